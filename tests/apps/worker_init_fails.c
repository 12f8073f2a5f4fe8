/* No worker can start: the database, say, is away. */
#include <remuda.h>

static int worker_init(void)
{
    rmd_log(RMD_LOG_ERROR, "no database here");
    return 1;
}

RMD_APP(.name = "worker_init_fails", .worker_init = worker_init);
