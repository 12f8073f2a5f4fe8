/* Every fork of the loader takes a while, as that of a process with much memory does. */
#include <remuda.h>

#include <pthread.h>
#include <unistd.h>

static void before_fork(void)
{
    (void)usleep(300000);
}

static int init(void)
{
    return pthread_atfork(before_fork, NULL, NULL);
}

RMD_APP(.name = "slow_fork", .init = init);
