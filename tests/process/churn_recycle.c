/* Workers that are worn after a few requests, all the time, under load: each is replaced before it
 * leaves, one after the other, and no client notices. */
#include "tests/harness/churn.h"
#include "tests/harness/patience.h"

static struct churn c;

static void recycle_many_times(const char *worker_class)
{
    churn_begin(&c, "max_requests: 50", worker_class, "workers: 3\nmax_requests: 50\n");
    uint64_t deadline = patience_until(10 * PATIENCE_MS);
    for (unsigned n = patience_times(12, 200); c.times < n;) {
        CHECK_SAYING(patience_turn(deadline), "only %u of %u workers have been replaced", c.times,
                     n);
        (void)lines_take(&c.s->log);
        c.times = lines_count(&c.s->log, "worker ended");
    }
    churn_end(&c);
}

static void recycling_loses_nothing_event(void **state)
{
    (void)state;
    recycle_many_times("event");
}

static void recycling_loses_nothing_sync(void **state)
{
    (void)state;
    recycle_many_times("sync");
}

SERVER_MAIN(SERVER_TEST(recycling_loses_nothing_event), SERVER_TEST(recycling_loses_nothing_sync))
