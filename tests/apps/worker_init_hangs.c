/* No worker ever becomes ready. */
#include <remuda.h>

#include <unistd.h>

static int worker_init(void)
{
    for (;;)
        (void)pause();
    return 0;
}

RMD_APP(.name = "worker_init_hangs", .worker_init = worker_init);
