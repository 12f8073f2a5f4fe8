/* The queue of a compute pool: what a full one answers, and what becomes of those who leave while
 * they wait in it. REMUDA_TEST_LONG=1: as many as are promised, and as fast. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "tests/harness/census.h"
#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define WILD_SO REMUDA_TEST_APPS_DIR "/wild.so"
#define WAITERS_MAX 10000U
#define REFUSED_MS 5 /* in which a full queue answers, and */
#define IDLE_MS 1000 /* in which a pool is idle whose tasks nobody wants */

static struct reply r;
static struct client *waiters[WAITERS_MAX];
static char gate[16]; /* the file that tasks wait for */

static struct server *start(const char *workers, unsigned queue)
{
    char setting[64];
    (void)snprintf(setting, sizeof setting, "compute.queue=%u", queue);
    return server_start_app(WILD_SO, "--workers", workers, "--set", "compute.workers=1", "--set",
                            "compute.timeout=10m", "--set", "worker_connections=20000", "--set",
                            "inflight=20000", "--set", setting, NULL);
}

static struct client *send_wait(struct server *s)
{
    char request[300];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, gate));
    client_send_text(c, request);
    return c;
}

/* A task that waits carries descriptors, of which the kernel lets a user have so many on their way:
 * the server makes a queue shorter that could have more. */
static void allow_descriptors(rlim_t n)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < n)
        limit.rlim_max = n; /* takes a privilege */
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* How many may wait. */
static unsigned room_of(const struct server *s)
{
    char *status = control_ask(s, "{\"request\":\"status\"}");
    unsigned room = (unsigned)control_number(status, "pools.0.queue");
    free(status);
    return room;
}

/* One runs, n wait. Returns the one that runs */
static struct client *fill(struct server *s, unsigned n)
{
    char queued[16];
    struct client *runs = send_wait(s);
    (void)server_wait_log(s, "wild waits");
    for (unsigned i = 0; i < n; i++)
        waiters[i] = send_wait(s);
    (void)snprintf(queued, sizeof queued, "%u", n);
    control_wait_member(s, "pools.0.queued", queued);
    return runs;
}

static void full_queue_is_503_at_once(void **state)
{
    (void)state;
    enum { QUEUE = 20, REFUSED = 50 };
    uint64_t sum_us = 0, most_us = 0;
    struct server *s = start("1", QUEUE);
    (void)snprintf(gate, sizeof gate, "go");
    struct client *runs = fill(s, QUEUE), *c = client_to(s);
    for (int i = 0; i < REFUSED; i++) {
        uint64_t from_us = clock_now_us();
        client_exchange(c, &r, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
        uint64_t took_us = clock_now_us() - from_us;
        CHECK_EQ(r.status, 503);
        CHECK(!r.is_closing);
        const char *retry = reply_field(&r, "Retry-After");
        CHECK(retry && atoi(retry) >= 1);
        sum_us += took_us;
        most_us = took_us > most_us ? took_us : most_us;
    }
    (void)printf("> queue full: %d times 503 with Retry-After, %.2f ms on average, %.2f at most\n",
                 REFUSED, (double)sum_us / REFUSED / 1e3, (double)most_us / 1e3);
    CHECK(!patience_is_long() || sum_us / REFUSED < REFUSED_MS * 1000);
    CHECK_EQ(lines_count(&s->log, "wild waits"), 1);
    (void)server_write_file(s, "go", "");
    client_read(runs, &r, false);
    CHECK_EQ(r.status, 200);
    for (int i = 0; i < QUEUE; i++) { /* those who had a place have kept it */
        client_read(waiters[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    client_exchange(c, &r, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

static bool is_idle(const struct server *s)
{
    char *status = control_ask(s, "{\"request\":\"status\"}");
    bool is = control_number(status, "pools.0.queued") == 0 &&
              strcmp(control_member(status, "compute_workers.0.state"), "idle") == 0;
    free(status);
    return is;
}

/* One task runs, n wait, all of those clients leave. Returns how long the pool then takes, behind
 * the one that runs, to be idle, in us */
static uint64_t leave(struct server *s, unsigned n)
{
    struct census before = census_take(s);
    uint64_t deadline = patience_until(PATIENCE_MS);
    struct client *runs = fill(s, n);
    for (unsigned i = 0; i < n; i++)
        i % 2 ? client_abort(waiters[i]) : client_close(waiters[i]);
    for (struct census now = census_take(s); now.connected > before.connected + 1;
         now = census_take(s)) /* until that was seen */
        CHECK_SAYING(patience_turn(deadline), "%zu connections are left", now.connected);
    (void)server_write_file(s, gate, "");
    client_read(runs, &r, false);
    CHECK_EQ(r.status, 200);
    client_close(runs);
    uint64_t from_us = clock_now_us();
    while (!is_idle(s))
        CHECK(patience_turn(deadline));
    return clock_now_us() - from_us;
}

static void those_who_leave_while_they_wait_cost_nothing(void **state)
{
    (void)state;
    unsigned all = patience_times(300, WAITERS_MAX), rounds = 0;
    uint64_t longest_us = 0;
    allow_descriptors(4 * (rlim_t)all);
    struct server *s = start("2", all);
    struct census before = census_take(s);
    unsigned room = room_of(s);
    CHECK(room > 0);
    for (unsigned left = all, n; left > 0; left -= n, rounds++) {
        n = left < room ? left : room;
        (void)snprintf(gate, sizeof gate, "go%u", rounds);
        uint64_t took_us = leave(s, n);
        longest_us = took_us > longest_us ? took_us : longest_us;
    }
    (void)printf("> %u clients have left while they waited, %u at a time: the pool was idle %.0f "
                 "ms after the last task\n",
                 all, room < all ? room : all, (double)longest_us / 1e3);
    CHECK(!patience_is_long() || longest_us < IDLE_MS * 1000);
    CHECK_EQ(lines_count(&s->log, "wild waits"), rounds); /* none of theirs was begun */
    free(client_get(s, "/who", 200));
    census_wait_same_at_rest(s, &before);
}

SERVER_MAIN(SERVER_TEST(full_queue_is_503_at_once),
            SERVER_TEST(those_who_leave_while_they_wait_cost_nothing))
