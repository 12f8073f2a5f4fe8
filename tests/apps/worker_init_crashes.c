/* Every worker dies while it starts. */
#include <remuda.h>

#include <signal.h>

static int worker_init(void)
{
    (void)raise(SIGSEGV);
    return 0;
}

RMD_APP(.name = "worker_init_crashes", .worker_init = worker_init);
