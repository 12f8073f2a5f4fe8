/* workers/iopool.c: threads on demand and their bounds, jobs in order, those that are taken back or
 * given up. Jobs of the tests wait for a gate, so that what is asked is known to hold. */
#include "workers/iopool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"

#define N_JOBS 64

struct job {
    struct list link;
    atomic_bool may_end;
    atomic_bool has_begun, has_ended;
    unsigned order; /* in which it began, 1 … */
};

static struct job jobs[N_JOBS];
static struct iopool *pool;
static atomic_uint n_begun;
static atomic_bool are_all_free; /* every job may end */
static sigset_t seen_mask;

static void pause_a_little(void)
{
    struct timespec t = {.tv_nsec = 200000};
    (void)nanosleep(&t, NULL);
}

static void run(void *owner, struct list *node)
{
    struct job *job = LIST_ENTRY(node, struct job, link);
    CHECK(owner == &pool);
    job->order = atomic_fetch_add(&n_begun, 1) + 1;
    if (job == &jobs[0])
        (void)pthread_sigmask(SIG_SETMASK, NULL, &seen_mask);
    atomic_store(&job->has_begun, true);
    while (!atomic_load(&job->may_end) && !atomic_load(&are_all_free))
        pause_a_little();
    atomic_store(&job->has_ended, true);
}

static void open_pool(uint32_t threads, uint64_t idle_us)
{
    const struct iopool_rules rules = {.threads_min = threads,
                                       .threads_max = threads,
                                       .cpus = 2,
                                       .workers = 1,
                                       .idle_us = idle_us,
                                       .run = run,
                                       .owner = &pool};
    memset(jobs, 0, sizeof jobs);
    atomic_store(&n_begun, 0);
    atomic_store(&are_all_free, false);
    CHECK_EQ(iopool_open(&rules, &pool), 0);
}

static struct iopool_state look(void)
{
    struct iopool_state state;
    iopool_peek(pool, &state);
    return state;
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_us = patience_until(PATIENCE_MS);                                           \
        while (!(condition))                                                                       \
            CHECK_SAYING(patience_turn(until_us), "still not: %s", #condition);                    \
    } while (0)

/* They are detached: one that has left the pool may not have left the process yet, and valgrind
 * takes what it has then for lost. The thread sanitizer has a thread of its own. */
static void wait_for_threads(void)
{
#ifndef __SANITIZE_THREAD__
    WAIT_FOR(procs_thread_count(getpid()) == 1);
#endif
}

static void close_pool(void)
{
    atomic_store(&are_all_free, true);
    WAIT_FOR(iopool_count(pool) == 0);
    CHECK_EQ(iopool_close(pool), 0);
    pool = NULL;
    wait_for_threads();
}

static void threads_come_with_the_jobs_up_to_the_limit(void **state)
{
    (void)state;
    open_pool(3, CLOCK_US_PER_S * 3600);
    CHECK_EQ(look().n_threads, 0);
    for (unsigned i = 0; i < 8; i++) {
        iopool_post(pool, &jobs[i].link);
        CHECK_EQ(look().n_threads, i < 3 ? i + 1 : 3);
        if (i < 3)
            WAIT_FOR(atomic_load(&jobs[i].has_begun));
    }
    CHECK_EQ(look().n_running, 3);
    CHECK_EQ(look().n_queued, 5);
    CHECK_EQ(iopool_count(pool), 8);
    atomic_store(&jobs[1].may_end, true);
    WAIT_FOR(atomic_load(&jobs[3].has_begun)); /* the oldest is next */
    CHECK(!atomic_load(&jobs[4].has_begun));
    close_pool();
    for (unsigned i = 0; i < 8; i++)
        CHECK(atomic_load(&jobs[i].has_ended));
}

static void an_idle_thread_is_used_again(void **state)
{
    (void)state;
    open_pool(8, CLOCK_US_PER_S * 3600);
    atomic_store(&are_all_free, true);
    for (unsigned i = 0; i < N_JOBS; i++) {
        iopool_post(pool, &jobs[i].link);
        WAIT_FOR(iopool_count(pool) == 0);
        CHECK_EQ(jobs[i].order, i + 1);
    }
    CHECK(look().n_threads < 8); /* one, but for jobs that came before it was idle again */
    close_pool();
}

static void idle_threads_end_and_come_again(void **state)
{
    (void)state;
    open_pool(4, 1000);
    for (unsigned round = 0; round < 3; round++) {
        atomic_store(&are_all_free, false);
        memset(jobs, 0, sizeof jobs);
        for (unsigned i = 0; i < 4; i++)
            iopool_post(pool, &jobs[i].link);
        WAIT_FOR(look().n_running == 4);
        atomic_store(&are_all_free, true);
        WAIT_FOR(look().n_threads == 0);
        CHECK_EQ(iopool_count(pool), 0);
    }
    close_pool();
}

static void a_job_that_waits_is_taken_back_and_one_that_runs_is_not(void **state)
{
    (void)state;
    open_pool(1, CLOCK_US_PER_S * 3600);
    for (unsigned i = 0; i < 3; i++)
        iopool_post(pool, &jobs[i].link);
    WAIT_FOR(atomic_load(&jobs[0].has_begun));
    CHECK(iopool_take_back(pool, &jobs[1].link));
    CHECK(!iopool_take_back(pool, &jobs[1].link));
    CHECK(!iopool_take_back(pool, &jobs[0].link));
    CHECK_EQ(iopool_count(pool), 2);
    close_pool();
    CHECK(!atomic_load(&jobs[1].has_begun));
    CHECK(atomic_load(&jobs[2].has_ended));
}

static void who_never_ends_is_replaced_until_it_does(void **state)
{
    (void)state;
    open_pool(1, CLOCK_US_PER_S * 3600);
    iopool_post(pool, &jobs[0].link);
    iopool_post(pool, &jobs[1].link);
    iopool_post(pool, &jobs[2].link);
    WAIT_FOR(atomic_load(&jobs[0].has_begun));
    CHECK(!iopool_give_up(pool, &jobs[1].link)); /* it does not run */
    CHECK(iopool_give_up(pool, &jobs[0].link));
    CHECK(!iopool_give_up(pool, &jobs[0].link));
    WAIT_FOR(atomic_load(&jobs[1].has_begun)); /* on another thread */
    CHECK_EQ(look().n_given_up, 1);
    CHECK_EQ(look().n_running, 1);
    CHECK(!atomic_load(&jobs[2].has_begun)); /* one is the limit */
    atomic_store(&jobs[0].may_end, true);
    WAIT_FOR(look().n_given_up == 0);
    WAIT_FOR(look().n_threads == 1); /* one too many now */
    atomic_store(&jobs[1].may_end, true);
    WAIT_FOR(atomic_load(&jobs[2].has_begun));
    close_pool();
}

static void closing_says_who_still_runs(void **state)
{
    (void)state;
    open_pool(2, CLOCK_US_PER_S * 3600);
    for (unsigned i = 0; i < 5; i++)
        iopool_post(pool, &jobs[i].link);
    WAIT_FOR(atomic_load(&jobs[0].has_begun) && atomic_load(&jobs[1].has_begun));
    CHECK_EQ(iopool_close(pool), 2);
    CHECK_EQ(look().n_queued, 0); /* and nothing else is begun */
    atomic_store(&are_all_free, true);
    WAIT_FOR(look().n_threads == 0);
    CHECK_EQ(iopool_close(pool), 0);
    pool = NULL;
    for (unsigned i = 2; i < 5; i++)
        CHECK(!atomic_load(&jobs[i].has_begun));
    CHECK_EQ(iopool_close(NULL), 0);
}

static void signals_are_for_the_loop_but_for_faults(void **state)
{
    (void)state;
    static const int blocked[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGCHLD, SIGALRM, SIGPIPE};
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t before, after;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    open_pool(1, CLOCK_US_PER_S * 3600);
    iopool_post(pool, &jobs[0].link);
    WAIT_FOR(atomic_load(&jobs[0].has_begun));
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        CHECK_EQ(sigismember(&seen_mask, blocked[i]), 1);
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        CHECK_EQ(sigismember(&seen_mask, open[i]), 0);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++)
        CHECK_EQ(sigismember(&after, number), sigismember(&before, number));
    close_pool();
}

#ifdef REMUDA_DEBUG
/* REMUDA_FAULT is read once a process: this test comes first, and the points are used up by it. */
static void a_refused_thread_is_asked_for_again(void **state)
{
    (void)state;
    CHECK(setenv("REMUDA_FAULT", "iopool.thread:11:0:3", 1) == 0);
    open_pool(2, CLOCK_US_PER_S * 3600);
    CHECK_EQ(iopool_prepare(pool), -EAGAIN);
    CHECK_EQ(look().n_threads, 0);
    iopool_post(pool, &jobs[0].link); /* waits */
    CHECK_EQ(look().n_threads, 0);
    iopool_on_tick(pool);
    CHECK_EQ(look().n_threads, 0);
    iopool_on_tick(pool);
    CHECK_EQ(look().n_threads, 1);
    WAIT_FOR(atomic_load(&jobs[0].has_begun));
    CHECK_EQ(iopool_prepare(pool), 0);
    close_pool();
}
#endif

static uint32_t limit(const struct iopool_rules *rules, double wall_us, double cpu_us,
                      double delay_us)
{
    const struct iopool_times times = {wall_us, cpu_us, delay_us};
    return iopool_limit(rules, &times);
}

static void the_limit_follows_what_was_measured(void **state)
{
    (void)state;
    struct iopool_rules rules = {.threads_min = 4, .threads_max = 128, .cpus = 2, .workers = 2};
    CHECK_EQ(limit(&rules, 0, 0, 0), 16);        /* not known yet */
    CHECK_EQ(limit(&rules, 1e6, 1e6, 0), 4);     /* all of it is work: the least */
    CHECK_EQ(limit(&rules, 1e6, 1e5, 0), 10);    /* nine parts of waiting */
    CHECK_EQ(limit(&rules, 1.05e6, 1e5, 0), 11); /* rounded up */
    CHECK_EQ(limit(&rules, 1e9, 0, 0), 128);     /* nothing but waiting: the most */
    CHECK_EQ(limit(&rules, 1e5, 1e6, 0), 4);     /* clocks may disagree */
    CHECK_EQ(limit(&rules, 1e6, 1e5, 9e5), 4);   /* not for something, but for a CPU */
    CHECK_EQ(limit(&rules, 1e6, 1e5, 4e5), 6);
    CHECK_EQ(limit(&rules, 1e6, 1e5, 1e9), 4);
    rules.workers = 1;
    CHECK_EQ(limit(&rules, 1e6, 1e5, 0), 20);
    rules.threads_min = rules.threads_max = 7;
    CHECK_EQ(limit(&rules, 0, 0, 0), 7);
    CHECK_EQ(limit(&rules, 1e9, 1, 0), 7);
}

/* A pool in which everybody waits ends no job, and must grow all the same. */
static void a_pool_that_only_waits_grows(void **state)
{
    (void)state;
    const struct iopool_rules rules = {.threads_min = 4,
                                       .threads_max = 40,
                                       .cpus = 2,
                                       .workers = 1,
                                       .idle_us = CLOCK_US_PER_S * 3600,
                                       .run = run,
                                       .owner = &pool};
    memset(jobs, 0, sizeof jobs);
    atomic_store(&are_all_free, false);
    CHECK_EQ(iopool_open(&rules, &pool), 0);
    for (unsigned i = 0; i < N_JOBS; i++)
        iopool_post(pool, &jobs[i].link);
    CHECK_EQ(look().n_threads, 16);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (look().n_threads < 40) {
        CHECK(patience_turn(deadline));
        iopool_on_tick(pool);
    }
    WAIT_FOR(look().n_running == 40);
    CHECK_EQ(look().n_queued, N_JOBS - 40);
    close_pool();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#ifdef REMUDA_DEBUG
        cmocka_unit_test(a_refused_thread_is_asked_for_again),
#endif
        cmocka_unit_test(threads_come_with_the_jobs_up_to_the_limit),
        cmocka_unit_test(an_idle_thread_is_used_again),
        cmocka_unit_test(idle_threads_end_and_come_again),
        cmocka_unit_test(a_job_that_waits_is_taken_back_and_one_that_runs_is_not),
        cmocka_unit_test(who_never_ends_is_replaced_until_it_does),
        cmocka_unit_test(closing_says_who_still_runs),
        cmocka_unit_test(signals_are_for_the_loop_but_for_faults),
        cmocka_unit_test(the_limit_follows_what_was_measured),
        cmocka_unit_test(a_pool_that_only_waits_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
