/* All that may be asked of a server, in any order and without waiting for what was asked before:
 * still not one request fails. What is done follows from a seed; REMUDA_TEST_SEED=N repeats it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/churn.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"

static struct churn c;
static uint64_t dice;

static uint64_t roll(uint64_t sides)
{
    return ask_random(&dice) % sides;
}

static void reload(void)
{
    char yaml[64];
    (void)snprintf(yaml, sizeof yaml, "workers: %u\n", 1 + (unsigned)roll(4));
    churn_configure(&c, yaml);
    server_signal(c.s, SIGHUP);
}

static void reload_what_is_wrong(void)
{
    churn_configure(&c, "workers: many\n");
    server_signal(c.s, SIGHUP);
}

static void reopen_logs(void)
{
    server_signal(c.s, SIGUSR1);
}

static void end_a_worker(void)
{
    pid_t below[PROCS_MAX];
    size_t n = procs_below(c.s->pid, below);
    if (n > 0)
        (void)kill(below[roll(n)], SIGTERM);
}

static void scale(void)
{
    server_signal(c.s, roll(2) == 0 ? SIGTTIN : SIGTTOU);
}

/* At times: the new master serves, and the old one is told to go; what was asked of it before may
 * not be done yet. */
static void upgrade(void)
{
    if (roll(4) != 0)
        return;
    churn_configure(&c, "workers: 2\n"); /* the new master starts with it */
    server_signal(c.s, SIGUSR2);
    (void)server_wait_log(c.s, "new master ready");
    server_signal(c.s, SIGTERM);
    CHECK_EQ(server_wait_succession(c.s), 0);
    (void)server_wait_log(c.s, "old master gone");
}

static void (*const acts[])(void) = {reload, reload_what_is_wrong, reopen_logs, end_a_worker, scale,
                                     upgrade};

static void do_anything(const char *worker_class)
{
    const char *seed = getenv("REMUDA_TEST_SEED");
    churn_begin(&c, "mixture", worker_class, "workers: 3\n");
    c.s->is_violent = true; /* TERM ends who is being born, for want of a loop that hears it */
    dice = seed ? strtoull(seed, NULL, 10) : c.begun_us;
    check_context("REMUDA_TEST_SEED=%llu", (unsigned long long)dice);
    for (unsigned n = patience_times(40, 1000); c.times < n; c.times++) {
        acts[roll(sizeof acts / sizeof acts[0])]();
        for (uint64_t turns = roll(5) * roll(5); turns > 0; turns--)
            (void)patience_turn(UINT64_MAX);
        (void)lines_take(&c.s->log);
    }
    churn_configure(&c, "workers: 5\n");
    server_signal(c.s, SIGHUP);
    churn_wait_workers(&c, 5);
    churn_end(&c);
}

static void anything_in_any_order_loses_nothing_event(void **state)
{
    (void)state;
    do_anything("event");
}

static void anything_in_any_order_loses_nothing_sync(void **state)
{
    (void)state;
    do_anything("sync");
}

SERVER_MAIN(SERVER_TEST(anything_in_any_order_loses_nothing_event),
            SERVER_TEST(anything_in_any_order_loses_nothing_sync))
