/* Where the threads of another process are, found from outside while it goes on.
 *
 * Three processes, so that none has more than it needs. Who asks has the master's rights and never
 * reads a file that an app can choose. A *holder*, a child of it, stops one thread after another
 * (ptrace(2)), for as long as it takes to copy registers and the stack's end; and ends at once, so
 * that whatever becomes of it the kernel lets everybody go. A *reader* (the same as the coroner's)
 * gives up its privileges, and follows the copies with the unwind tables of the objects: no thread
 * waits for that.
 *
 * A system call that is interrupted by it goes on afterwards, but for those that give EINTR also
 * where no handler of a signal has run: epoll_wait(2), semop(2), msgrcv(2) and sockets with
 * SO_RCVTIMEO (signal(7)). */
#ifndef REMUDA_WORKERS_STACKS_H
#define REMUDA_WORKERS_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/heritage.h"
#include "ipc/remains.h"
#include "workers/symbols.h"

#define STACKS_THREADS_MAX 160U /* of one process: those of the io lane, and then some */
#define STACKS_WCHAN_MAX 48

/* One thread, as it was for a moment. */
struct stacks_thread {
    pid_t tid;
    int rc;                        /* 0: it was stopped and copied; -errno */
    char state;                    /* before that: R S D T … (proc(5)); '?' not known */
    char name[REMAINS_THREAD_MAX]; /* of the thread, NUL-terminated */
    char wchan[STACKS_WCHAN_MAX];  /* where in the kernel it waits; "" nowhere, or not known */
    uint64_t stopped_us;           /* how long it was, at most: since it was last seen to run */
    bool is_other;                 /* is_wanted() said no while it was stopped */
    struct remains *remains;       /* its frames and modules; heap, stacks_free() */
    struct symbols_place *places;  /* of the frames; REMAINS_FRAMES */
    uint32_t n_named;              /* of those, the first ones are there */
};

struct stacks {
    struct stacks_thread *threads; /* heap */
    uint32_t n_threads;
    uint32_t n_left_out; /* more than STACKS_THREADS_MAX */
    bool has_library;    /* frames could be found at all */
};

struct stacks_ask {
    const struct heritage *heritage;        /* settings, app_fd; master_pid is set here */
    pid_t pid;                              /* a child of the master's, known to live */
    pid_t tid;                              /* one thread of it; 0: all */
    bool (*is_wanted)(const void *context); /* asked while the thread is stopped; NULL: it is */
    const void *context;
};

/* Looks. May take a second, or five for an app with much debug information; nobody is stopped for
 * that long.
 * Returns  0, *out for stacks_free(), also when single threads could not be stopped (their rc);
 *          -ESRCH no such process or thread; -EPERM the kernel does not let us; -errno */
int stacks_take(const struct stacks_ask *ask, struct stacks *out)
    __attribute__((warn_unused_result));
void stacks_free(struct stacks *stacks);

/* A frame as pairs for a log line. i below thread->remains->n_frames. Returns out */
const char *stacks_print(const struct stacks_thread *thread, uint32_t i, const char *app,
                         char out[REMAINS_LINE_MAX]);

/* What to change where -EPERM came back, in words: by what this machine says of itself. */
#define STACKS_REMEDY_MAX 200
const char *stacks_remedy(pid_t pid, char out[STACKS_REMEDY_MAX]);

#endif
