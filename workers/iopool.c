/* Threads of a web worker. One mutex, held for a few instructions at a time; a thread waits for
 * jobs on a condition, so the kernel chooses who wakes.
 *
 * Threads are detached: nobody waits for one in an ordinary life, and one that never comes back
 * can't be joined anyway. */
#include "workers/iopool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/schedstat.h"

#define NS_PER_US 1e3
#define UNKNOWN_LIMIT 16U  /* threads as long as nothing was measured: a guess between the bounds */
#define MEASURED_US 50000U /* of wall time: less says nothing */
#define FADES_AT_US (10 * CLOCK_US_PER_S) /* of wall time that is remembered; then it is halved */

struct thread {
    struct list link; /* in pool->threads */
    struct iopool *pool;
    const struct list *job; /* NULL: none */
    clockid_t clock;        /* of its CPU time */
    int schedstat_fd;       /* of its delay; negative: that is not known */
    uint64_t began_ns;      /* its job */
    /* Of a job whose CPU time is measured; what is below is written before that is said. */
    atomic_bool is_measured;
    uint64_t began_cpu_ns;
    uint64_t began_delay_ns;
    struct profile_call call; /* the thread's: what its job took, */
    bool has_call;            /* once that is known */
    bool is_given_up;
};

static _Thread_local struct thread *self; /* on a thread of a pool */

struct iopool {
    struct iopool_rules rules; /* does not change */
    pthread_mutex_t mutex;     /* for all below */
    pthread_cond_t has_job;
    pthread_cond_t has_ended; /* a thread, while it is_closing */
    struct list queue;
    struct list threads;
    struct iopool_state state;
    uint32_t n_idle;
    struct iopool_times times; /* of measured jobs that ended, the older the less */
    bool is_told;              /* its limit; so it is not for this process to find */
    bool is_closing;
    bool has_warned; /* that a thread was refused, since the last one that was not */
};

/* ---- time ---- */

uint32_t iopool_limit(const struct iopool_rules *rules, const struct iopool_times *times)
{
    double n = UNKNOWN_LIMIT;
    if (times->wall_us >= MEASURED_US) {
        double cpu = times->cpu_us < 1 ? 1 : times->cpu_us;
        double busy = cpu + times->delay_us;
        double wait = times->wall_us > busy ? times->wall_us - busy : 0;
        n = rules->cpus * (1 + wait / cpu) / rules->workers;
    }
    if (n >= rules->threads_max)
        return rules->threads_max;
    uint32_t whole = (uint32_t)n + (n > (uint32_t)n);
    return whole < rules->threads_min ? rules->threads_min : whole;
}

static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

/* Of a measured job, so far. The wall clock is read last, so that none takes more CPU time than
 * time. */
static void read_call(const struct thread *t, struct profile_call *out)
{
    uint64_t delay_ns = schedstat_delay_ns(t->schedstat_fd);
    *out = (struct profile_call){.is_measured = true};
    out->delay_ns = t->began_delay_ns > 0 ? since(t->began_delay_ns, delay_ns) : 0;
    out->cpu_ns = since(t->began_cpu_ns, clock_cpu_ns(t->clock));
    out->wall_ns = since(t->began_ns, clock_now_ns());
    profile_bound(out);
}

static void add_call(struct iopool_times *times, const struct profile_call *call)
{
    times->wall_us += (double)call->wall_ns / NS_PER_US;
    times->cpu_us += (double)call->cpu_ns / NS_PER_US;
    times->delay_us += (double)call->delay_ns / NS_PER_US;
}

/* What has ended, and what still runs: a pool in which everybody waits ends nothing. */
static void measure(struct iopool *pool)
{
    struct iopool_times times = pool->times;
    if (pool->is_told)
        return;
    LIST_FOREACH (node, &pool->threads) {
        const struct thread *t = LIST_ENTRY(node, struct thread, link);
        struct profile_call call;
        if (!t->job || !atomic_load_explicit(&t->is_measured, memory_order_acquire))
            continue;
        read_call(t, &call);
        add_call(&times, &call);
    }
    pool->state.limit = iopool_limit(&pool->rules, &times);
}

/* ---- a thread ---- */

static void block_signals(sigset_t *out_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t all;
    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        (void)sigdelset(&all, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &all, out_before);
}

static bool is_one_too_many(const struct iopool *pool)
{
    return pool->state.n_threads - pool->state.n_given_up > pool->state.limit;
}

/* Waits for a job. Returns NULL when the thread is to end; the mutex is held before and after */
static struct list *take_job(struct iopool *pool)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(pool->rules.idle_us / CLOCK_US_PER_S);
    end.tv_nsec += (long)(pool->rules.idle_us % CLOCK_US_PER_S) * 1000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    int rc = 0;
    while (!pool->is_closing && list_is_empty(&pool->queue) && rc != ETIMEDOUT) {
        pool->n_idle++;
        rc = pthread_cond_timedwait(&pool->has_job, &pool->mutex, &end);
        pool->n_idle--;
    }
    if (pool->is_closing || list_is_empty(&pool->queue) || is_one_too_many(pool))
        return NULL;
    struct list *job = pool->queue.next;
    list_unlink(job);
    pool->state.n_queued--;
    return job;
}

static void begin_job(struct thread *t, const struct list *job)
{
    t->job = job;
    t->began_ns = clock_now_ns();
    t->has_call = false;
    t->pool->state.n_running++;
}

/* Without the mutex: system calls, while others want jobs. */
static void begin_measuring(struct thread *t)
{
    t->began_delay_ns = schedstat_delay_ns(t->schedstat_fd);
    t->began_cpu_ns = clock_cpu_ns(t->clock);
    atomic_store_explicit(&t->is_measured, true, memory_order_release);
}

static void end_call(struct thread *t)
{
    if (atomic_load_explicit(&t->is_measured, memory_order_relaxed))
        read_call(t, &t->call);
    else
        t->call = (struct profile_call){.wall_ns = since(t->began_ns, clock_now_ns())};
    t->has_call = true;
}

uint64_t iopool_end_call(struct profile_call *out_call)
{
    end_call(self);
    *out_call = self->call;
    return self->began_ns;
}

static void end_job(struct thread *t)
{
    struct iopool *pool = t->pool;
    t->job = NULL;
    atomic_store_explicit(&t->is_measured, false, memory_order_relaxed);
    if (t->call.is_measured)
        add_call(&pool->times, &t->call);
    if (pool->times.wall_us > FADES_AT_US) {
        pool->times.wall_us /= 2;
        pool->times.cpu_us /= 2;
        pool->times.delay_us /= 2;
    }
    if (t->is_given_up)
        pool->state.n_given_up--;
    else
        pool->state.n_running--;
    t->is_given_up = false;
}

static void *run_thread(void *arg)
{
    struct thread *t = arg;
    struct iopool *pool = t->pool;
    struct list *job;
    self = t;
    t->clock = CLOCK_THREAD_CPUTIME_ID;
    (void)pthread_getcpuclockid(pthread_self(), &t->clock);
    t->schedstat_fd = schedstat_open();
    if (pool->rules.begin)
        pool->rules.begin();
    (void)pthread_mutex_lock(&pool->mutex);
    while ((job = take_job(pool))) {
        if (pool->rules.shed && pool->rules.shed(pool->rules.owner, job, pool->state.n_queued == 0))
            continue;
        begin_job(t, job);
        (void)pthread_mutex_unlock(&pool->mutex);
        if (!pool->rules.is_due || pool->rules.is_due(pool->rules.owner, job))
            begin_measuring(t);
        pool->rules.run(pool->rules.owner, job);
        if (!t->has_call)
            end_call(t);
        (void)pthread_mutex_lock(&pool->mutex);
        end_job(t);
    }
    if (pool->rules.end)
        pool->rules.end();
    if (t->schedstat_fd >= 0)
        (void)close(t->schedstat_fd);
    list_unlink(&t->link);
    pool->state.n_threads--;
    if (pool->is_closing)
        (void)pthread_cond_signal(&pool->has_ended);
    else if (!list_is_empty(&pool->queue)) /* this one may have been woken for it */
        (void)pthread_cond_signal(&pool->has_job);
    (void)pthread_mutex_unlock(&pool->mutex); /* the last look at the pool */
    free(t);
    return NULL;
}

/* ---- starting threads ---- */

static int create(struct thread *t)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t before;
    int rc = FAULT("iopool.thread");
    if (rc == 0)
        rc = pthread_attr_init(&attr);
    if (rc != 0)
        return -rc;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    block_signals(&before);
    rc = pthread_create(&id, &attr, run_thread, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return -rc;
}

/* The mutex is held: the new thread waits for it. Returns 0; -errno */
static int start_thread(struct iopool *pool)
{
    struct thread *t = calloc(1, sizeof *t);
    int rc = t ? 0 : -ENOMEM;
    if (t) {
        t->pool = pool;
        list_push(&pool->threads, &t->link);
        pool->state.n_threads++;
        rc = create(t);
        if (rc < 0) {
            list_unlink(&t->link);
            pool->state.n_threads--;
            free(t);
        }
    }
    if (rc < 0 && !pool->has_warned)
        log_warn("io thread refused", "reason=\"%s\" threads=%u limit=%u does=\"%s\"",
                 strerror(-rc), pool->state.n_threads, pool->state.limit,
                 pool->state.n_threads > pool->state.n_given_up ? "go on with those there are"
                                                                : "answer 503");
    pool->has_warned = rc < 0;
    return rc;
}

static bool can_grow(const struct iopool *pool)
{
    return pool->state.n_threads - pool->state.n_given_up < pool->state.limit;
}

static void start_missing(struct iopool *pool)
{
    while (pool->state.n_queued > pool->n_idle && can_grow(pool)) {
        uint32_t starting =
            pool->state.n_threads - pool->state.n_given_up - pool->state.n_running - pool->n_idle;
        if (pool->state.n_queued <= pool->n_idle + starting || start_thread(pool) < 0)
            return;
    }
}

/* ---- what the loop calls ---- */

int iopool_open(const struct iopool_rules *rules, struct iopool **out_pool)
{
    struct iopool *pool = calloc(1, sizeof *pool);
    pthread_condattr_t attr;
    if (!pool)
        return -ENOMEM;
    pool->rules = *rules;
    list_init(&pool->queue);
    list_init(&pool->threads);
    pool->state.limit = iopool_limit(rules, &(struct iopool_times){0});
    int rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        rc = pthread_cond_init(&pool->has_job, &attr);
        (void)pthread_condattr_destroy(&attr);
    }
    if (rc == 0) /* these two allocate nothing in glibc, and can't fail there */
        rc = pthread_cond_init(&pool->has_ended, NULL);
    if (rc == 0)
        rc = pthread_mutex_init(&pool->mutex, NULL);
    if (rc != 0) {
        free(pool);
        return -rc;
    }
    *out_pool = pool;
    return 0;
}

uint32_t iopool_close(struct iopool *pool)
{
    if (!pool)
        return 0;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->is_closing = true;
    while (!list_is_empty(&pool->queue))
        list_unlink(pool->queue.next);
    pool->state.n_queued = 0;
    (void)pthread_cond_broadcast(&pool->has_job);
    while (pool->state.n_threads > pool->state.n_running + pool->state.n_given_up)
        (void)pthread_cond_wait(&pool->has_ended, &pool->mutex);
    uint32_t n = pool->state.n_threads;
    (void)pthread_mutex_unlock(&pool->mutex);
    if (n > 0)
        return n;
    (void)pthread_cond_destroy(&pool->has_job);
    (void)pthread_cond_destroy(&pool->has_ended);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool);
    return 0;
}

int iopool_prepare(struct iopool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    int rc = 0;
    if (pool->state.n_threads == pool->state.n_given_up)
        rc = start_thread(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
    return rc;
}

uint32_t iopool_post(struct iopool *pool, struct list *job)
{
    (void)pthread_mutex_lock(&pool->mutex);
    list_push(&pool->queue, job);
    pool->state.n_queued++;
    if (pool->n_idle > 0)
        (void)pthread_cond_signal(&pool->has_job);
    start_missing(pool);
    uint32_t n = pool->state.n_threads - pool->state.n_given_up;
    (void)pthread_mutex_unlock(&pool->mutex);
    return n;
}

bool iopool_take_back(struct iopool *pool, struct list *job)
{
    (void)pthread_mutex_lock(&pool->mutex);
    bool is_queued = list_is_linked(job);
    if (is_queued) {
        list_unlink(job);
        pool->state.n_queued--;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return is_queued;
}

bool iopool_give_up(struct iopool *pool, const struct list *job)
{
    bool is_running = false;
    (void)pthread_mutex_lock(&pool->mutex);
    LIST_FOREACH (node, &pool->threads) {
        struct thread *t = LIST_ENTRY(node, struct thread, link);
        if (t->job != job || t->is_given_up)
            continue;
        t->is_given_up = is_running = true;
        pool->state.n_running--;
        pool->state.n_given_up++;
    }
    if (is_running)
        start_missing(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
    return is_running;
}

uint32_t iopool_count(struct iopool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    uint32_t n = pool->state.n_queued + pool->state.n_running + pool->state.n_given_up;
    (void)pthread_mutex_unlock(&pool->mutex);
    return n;
}

void iopool_on_tick(struct iopool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    measure(pool);
    start_missing(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void iopool_set_limit(struct iopool *pool, uint32_t limit)
{
    const struct iopool_rules *rules = &pool->rules;
    uint32_t most = limit < rules->threads_max ? limit : rules->threads_max;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->is_told = true;
    pool->state.limit = most > rules->threads_min ? most : rules->threads_min;
    start_missing(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void iopool_peek(struct iopool *pool, struct iopool_state *out_state)
{
    (void)pthread_mutex_lock(&pool->mutex);
    *out_state = pool->state;
    (void)pthread_mutex_unlock(&pool->mutex);
}
