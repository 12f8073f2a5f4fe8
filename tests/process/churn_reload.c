/* HUP after HUP under load: not one request fails, not one answer is torn or given twice. */
#include <signal.h>
#include <stdio.h>

#include "tests/harness/churn.h"
#include "tests/harness/patience.h"

static struct churn c;

/* Each one's outcome is waited for; the one that goes may still drain when the next one comes. */
static void reload_many_times(const char *worker_class)
{
    churn_begin(&c, "HUP", worker_class, "workers: 2\n");
    for (unsigned n = patience_times(6, 100); c.times < n; c.times++) {
        server_signal(c.s, SIGHUP);
        long generation = lines_number(server_wait_log(c.s, "reloaded"), "generation");
        load_wait_generation(c.loads[0], (int)generation);
        churn_wait_answers(&c, 30);
    }
    churn_end(&c);
}

static void reloads_lose_nothing_event(void **state)
{
    (void)state;
    reload_many_times("event");
}

static void reloads_lose_nothing_sync(void **state)
{
    (void)state;
    reload_many_times("sync");
}

/* Whether every reload that has begun is over. */
static bool is_quiet(void)
{
    (void)lines_take(&c.s->log);
    unsigned begun = lines_count(&c.s->log, "reloading");
    return begun == lines_count(&c.s->log, "reloaded") &&
           begun == lines_count(&c.s->log, "generation gone");
}

/* Faster than they can be done: the last one's configuration is what holds in the end. */
static void storm_of_reloads_loses_nothing(void **state)
{
    (void)state;
    char yaml[64];
    churn_begin(&c, "HUP, storm", "event", "workers: 2\n");
    for (unsigned n = patience_times(40, 1000); c.times < n; c.times++) {
        (void)snprintf(yaml, sizeof yaml, "workers: %u\n", 1 + c.times % 4);
        churn_configure(&c, yaml);
        server_signal(c.s, SIGHUP);
        (void)patience_turn(UINT64_MAX);
    }
    churn_configure(&c, "workers: 5\n");
    server_signal(c.s, SIGHUP);
    churn_wait_workers(&c, 5);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!is_quiet())
        CHECK_SAYING(patience_turn(deadline), "a reload is not over");
    churn_wait_workers(&c, 5);
    CHECK(lines_count(&c.s->log, "reloaded") <= c.times + 1);
    churn_end(&c);
}

SERVER_MAIN(SERVER_TEST(reloads_lose_nothing_event), SERVER_TEST(reloads_lose_nothing_sync),
            SERVER_TEST(storm_of_reloads_loses_nothing))
