/* rmd_offload_wait(): a handler that may block waits for its call, on a thread of the io lane or in
 * a sync worker. See offload.h. Reading order: rmd_offload_wait() → run_and_wait() →
 * wait_on_thread(), wait_here(); on the loop's thread: offload_wait_enter(), offload_wait_wake().
 * Process: web workers. */
#include "workers/offload_wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/conn.h"
#include "workers/offload_call.h"

#define LOOK_US (CLOCK_US_PER_S / 10) /* how often one who waits looks whether anybody else does */

/* Of a call that is waited for: who waits frees it when it is over, else whoever finds that it was
 * left. */
struct offload_wait {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
    _Atomic bool is_left; /* nobody waits any more */
};

/* ---- on the loop's thread ---- */

void offload_wait_free(struct offload_wait *wait)
{
    if (!wait)
        return;
    (void)pthread_mutex_destroy(&wait->lock);
    (void)pthread_cond_destroy(&wait->over);
    free(wait);
}

bool offload_wait_enter(struct offload_wait *wait)
{
    if (wait)
        (void)pthread_mutex_lock(&wait->lock);
    return !wait || !wait->is_left;
}

void offload_wait_leave(struct offload_wait *wait)
{
    if (wait)
        (void)pthread_mutex_unlock(&wait->lock);
}

bool offload_wait_is_left(const struct offload_wait *wait)
{
    return wait->is_left;
}

void offload_wait_wake(struct offload *call)
{
    (void)pthread_mutex_lock(&call->wait->lock);
    bool is_left = call->wait->is_left;
    call->wait->is_over = true;
    (void)pthread_cond_signal(&call->wait->over);
    (void)pthread_mutex_unlock(&call->wait->lock);
    if (is_left) /* else it is not ours any more */
        offload_free(call, true);
}

/* ---- where one may wait ---- */

static int begin_wait(struct offload *call)
{
    struct offload_wait *wait = calloc(1, sizeof *wait);
    pthread_condattr_t attributes;
    if (!wait)
        return -ENOMEM;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&wait->lock, NULL);
    (void)pthread_cond_init(&wait->over, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    call->wait = wait;
    return 0;
}

/* With the lock, for a moment or until somebody says that it is over. */
static void wait_a_moment(struct offload_wait *wait, uint64_t deadline_us)
{
    uint64_t until_us = clock_now_us() + LOOK_US;
    until_us = until_us < deadline_us ? until_us : deadline_us;
    const struct timespec until = {.tv_sec = (time_t)(until_us / CLOCK_US_PER_S),
                                   .tv_nsec = (long)(until_us % CLOCK_US_PER_S * 1000)};
    (void)pthread_cond_timedwait(&wait->over, &wait->lock, &until);
}

/* On a thread of the io lane. The loop ends the call; but it may be busy, and nobody is to wait for
 * that. Returns 0: it is over; -ETIMEDOUT, -ECANCELED: it has been left, and is the loop's */
static int wait_on_thread(struct offload *call, const rmd_request *req)
{
    struct offload_wait *wait = call->wait;
    int rc = 0;
    (void)pthread_mutex_lock(&wait->lock);
    while (!wait->is_over && rc == 0) {
        wait_a_moment(wait, call->task.deadline_us);
        if (rmd_cancelled(req))
            rc = -ECANCELED;
        if (clock_now_us() >= call->task.deadline_us)
            rc = -ETIMEDOUT;
    }
    rc = wait->is_over ? 0 : rc;
    wait->is_left = !wait->is_over;
    (void)pthread_mutex_unlock(&wait->lock);
    return rc;
}

/* In a worker that has no loop: here is where replies are taken. Returns likewise */
static int wait_here(struct web *web, struct offload *call)
{
    while (!call->wait->is_over && web->await())
        continue;
    call->wait->is_left = !call->wait->is_over;
    return call->wait->is_over ? 0 : -ECANCELED;
}

/* Returns 0: it is over; else the call is not ours any more */
static int run_and_wait(struct offload *call, struct rmd_deferred *errand, const rmd_request *req)
{
    struct web *web = offload_home();
    if (errand) {
        deferred_turn_in(errand, offload_start, call);
        return wait_on_thread(call, req);
    }
    offload_start(NULL, NULL, call);
    return web && !call->wait->is_over ? wait_here(web, call) : 0;
}

/* How long the handler may go on, less what it may need to give an answer. 0: without end */
static uint64_t patience_of_handler_us(const rmd_request *req)
{
    uint64_t now_us = clock_now_us();
    if (req->deadline_us == 0 || req->deadline_us == TASK_NEVER_US)
        return 0;
    return req->deadline_us > now_us ? offload_less_spare(req->deadline_us - now_us) + 1 : 1;
}

int rmd_offload_wait(rmd_request *req, const char *task, const void *payload, size_t len,
                     unsigned timeout_ms, rmd_slice *out_result)
{
    struct web *web = offload_home();
    bool is_on_thread = web && exchange_of(req)->is_io;
    rmd_slice result;
    if (web && !is_on_thread && !web->await)
        return -EDEADLK;
    struct offload *call = offload_new();
    if (!call)
        return -ENOMEM;
    struct rmd_deferred *errand = NULL;
    int rc = offload_fill(call, req, task, timeout_ms, patience_of_handler_us(req));
    if (rc == 0)
        rc = begin_wait(call);
    if (rc == 0)
        rc = offload_pack(call, req, payload, len, true);
    if (rc == 0)
        rc = offload_prepare_back(call, req);
    if (rc == 0 && is_on_thread && !(errand = deferred_new(web->env.box, NULL)))
        rc = -ENOMEM;
    if (rc == 0 && (rc = run_and_wait(call, errand, req)) < 0)
        return rc;
    if (rc == 0)
        rc = offload_fetch(call, req, &result);
    if (rc == 0 && out_result)
        *out_result = result;
    offload_free(call, !is_on_thread);
    return rc;
}
