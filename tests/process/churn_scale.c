/* TTIN and TTOU under load: workers come and go, sockets are covered by their neighbours, and no
 * client notices. */
#include <signal.h>

#include "tests/harness/churn.h"
#include "tests/harness/patience.h"

static struct churn c;

/* Up to four workers and down to one, each step waited for until it answers; then in a row. */
static void scale_many_times(const char *worker_class)
{
    churn_begin(&c, "TTIN, TTOU", worker_class, "workers: 2\n");
    unsigned workers = 2;
    int signal = SIGTTIN;
    for (unsigned n = patience_times(12, 200); c.times < n; c.times++) {
        signal = workers == 4 ? SIGTTOU : workers == 1 ? SIGTTIN : signal;
        workers += signal == SIGTTIN ? 1 : -1U;
        server_signal(c.s, signal);
        churn_wait_workers(&c, workers);
        churn_wait_answers(&c, 20);
    }
    churn_end(&c);
}

static void scaling_loses_nothing_event(void **state)
{
    (void)state;
    scale_many_times("event");
}

static void scaling_loses_nothing_sync(void **state)
{
    (void)state;
    scale_many_times("sync");
}

/* Signals that meet in the master count once each time it looks, but never go below one worker. */
static void storm_of_scaling_loses_nothing(void **state)
{
    (void)state;
    churn_begin(&c, "TTIN, TTOU, storm", "event", "workers: 2\n");
    for (unsigned n = patience_times(60, 1000); c.times < n; c.times++) {
        server_signal(c.s, c.times % 16 < 6 ? SIGTTIN : SIGTTOU);
        (void)patience_turn(UINT64_MAX);
    }
    server_signal(c.s, SIGHUP);
    churn_wait_workers(&c, 2);
    churn_end(&c);
}

SERVER_MAIN(SERVER_TEST(scaling_loses_nothing_event), SERVER_TEST(scaling_loses_nothing_sync),
            SERVER_TEST(storm_of_scaling_loses_nothing))
