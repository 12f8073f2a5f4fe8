/* init starts a thread, which no fork would take along. */
#include <remuda.h>

#include <pthread.h>
#include <unistd.h>

static void *run(void *arg)
{
    (void)arg;
    for (;;)
        (void)pause();
    return NULL;
}

static int init(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, run, NULL);
}

RMD_APP(.name = "init_thread", .init = init);
