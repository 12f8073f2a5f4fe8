/* init says no, with a reason in the log. */
#include <remuda.h>

static int init(void)
{
    rmd_log(RMD_LOG_ERROR, "the moon is in the wrong phase");
    return -7;
}

RMD_APP(.name = "init_fails", .init = init);
