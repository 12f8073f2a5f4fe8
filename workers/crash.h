/* What a process that runs app code does when it crashes, is aborted by the watchdog, or when app
 * code calls exit(3): it writes where it was into its part of the shared table, then dies as it
 * would have. Names are found later, by another process (workers/coroner.h). */
#ifndef REMUDA_WORKERS_CRASH_H
#define REMUDA_WORKERS_CRASH_H

#include <stdatomic.h>
#include <stddef.h>

struct remains;
struct request_entry;
struct rmd_request;

/* What the present thread has in hand: read by the handler when it crashes. */
struct crash_subject {
    const struct rmd_request *req;     /* meaningless while the entry is FREE */
    const struct request_entry *entry; /* NULL: it handles no requests */
};
extern _Thread_local struct crash_subject crash_subject;

/* Loader, before it loads the app, and inherited by all that it forks: handlers for SEGV, ABRT,
 * BUS, FPE, ILL, SYS and TRAP, each only where nobody else (a sanitizer) has installed one, and a
 * stack of their own, so that an overflow of the usual one is survived. What the app installs
 * later wins. */
void crash_arm(void);

/* Where to write, from now on, and the entry of the requests that the main thread handles. A
 * process that is forked off later, by whomever, writes nothing. remains NULL: nowhere */
void crash_attach(struct remains *remains, const struct request_entry *current);

/* A thread that runs app code begins and ends: gives it a stack for the handler, and leaves
 * SIGABRT, with which the watchdog asks the main thread where it is, to that.
 * Returns  0; -ENOMEM: an overflow of its stack will not be survived, all else will
 * Safe     on the thread itself, once */
int crash_enter_thread(void) __attribute__((warn_unused_result));
void crash_leave_thread(void);

/* An answer for the client of a request that is aborted from outside (watchdog, request_timeout),
 * for a worker that serves one connection at a time: the handler sends it, without waiting, unless
 * *is_begun says that octets of another answer have gone out. All borrowed; NULL: no more. */
struct crash_farewell {
    int fd;
    const void *octets;
    size_t len;
    const atomic_bool *is_begun;
};
void crash_set_farewell(const struct crash_farewell *farewell);

/* The main thread's next handler call is for this request; one store, since every request pays. */
static inline void crash_set_request(const struct rmd_request *req)
{
    crash_subject.req = req;
}

#endif
