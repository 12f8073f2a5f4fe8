/* init never comes back. */
#include <remuda.h>

#include <unistd.h>

static int init(void)
{
    for (;;)
        (void)pause();
    return 0;
}

RMD_APP(.name = "init_hangs", .init = init);
