/* Heavy routes, uploads and streams among them, while workers of both kinds wear out, reload
 * follows reload, and masters follow each other: tasks of those who leave are finished, and no
 * client notices. */
#include <signal.h>

#include "tests/harness/churn.h"
#include "tests/harness/patience.h"

static struct churn c;

/* All but the lane and the class is as in the other churn tests. */
#define HEAVY                                                                                      \
    "workers: 2\n"                                                                                 \
    "compute: {workers: 3, queue: 1000, max_tasks: 100}\n"                                         \
    "routes:\n"                                                                                    \
    "  GET /bytes: {lane: compute}\n"                                                              \
    "  POST /echo: {lane: compute}\n"                                                              \
    "  GET /stream: {lane: compute}\n"                                                             \
    "  GET /later: {lane: compute}\n"

static void reload(void)
{
    server_signal(c.s, SIGHUP);
    long generation = lines_number(server_wait_log(c.s, "reloaded"), "generation");
    load_wait_generation(c.loads[0], (int)generation);
}

static void upgrade(void)
{
    server_signal(c.s, SIGUSR2);
    (void)server_wait_log(c.s, "new master ready");
    server_signal(c.s, SIGTERM);
    CHECK_EQ(server_wait_succession(c.s), 0);
    (void)server_wait_log(c.s, "old master gone");
}

static void churn(const char *what, const char *worker_class, const char *yaml, void (*act)(void),
                  unsigned times)
{
    churn_begin(&c, what, worker_class, yaml);
    for (; c.times < times; c.times++) {
        act();
        churn_wait_answers(&c, 30);
    }
    churn_end(&c);
}

static void reloads_lose_no_task_event(void **state)
{
    (void)state;
    churn("HUP, compute lane", "event", HEAVY, reload, patience_times(5, 100));
}

static void reloads_lose_no_task_sync(void **state)
{
    (void)state;
    churn("HUP, compute lane", "sync", HEAVY, reload, patience_times(2, 30));
}

static void upgrades_lose_no_task(void **state)
{
    (void)state;
    churn("USR2, compute lane", "event", HEAVY, upgrade, patience_times(2, 20));
}

/* Both kinds of workers, after a few requests and a few tasks. */
static void wait_worn(void)
{
    unsigned n = lines_count(&c.s->log, "compute worker ended");
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (lines_count(&c.s->log, "compute worker ended") == n)
        CHECK_SAYING(patience_turn(deadline), "%u worn compute workers are all", n);
}

static void worn_workers_lose_no_task(void **state)
{
    (void)state;
    churn("worn, compute lane", "event", HEAVY "max_requests: 100\n", wait_worn,
          patience_times(6, 100));
}

SERVER_MAIN(SERVER_TEST(reloads_lose_no_task_event), SERVER_TEST(reloads_lose_no_task_sync),
            SERVER_TEST(upgrades_lose_no_task), SERVER_TEST(worn_workers_lose_no_task))
