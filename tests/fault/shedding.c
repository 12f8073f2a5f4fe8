/* More than the lanes io and compute can do: who stands in a queue that does not become shorter is
 * shed, honestly, and counted; the health check and routes that say so never are. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define MEMBERS 32                    /* each waits for the answer and asks again */
#define WORK_US "4000"                /* of each: so all of them wait for an eighth of a second */
#define OTHER "pools.other.workers=1" /* of which the app has a route */
#define IO_WORK "routes.GET /work.lane=io"
#define IO_WHO "routes.GET /who.lane=io"

static struct reply r;

struct crowd {
    struct client *members[MEMBERS];
    unsigned long answers, shed, healthy;
};

/* The first asks for what the health check does. */
static void ask(struct crowd *crowd, int i)
{
    client_send_text(crowd->members[i], i == 0 ? "GET /who?crowd HTTP/1.1\r\nHost: a\r\n\r\n"
                                               : "GET /work?n=" WORK_US " HTTP/1.1\r\n"
                                                 "Host: a\r\n\r\n");
}

static void take(struct crowd *crowd, int i)
{
    client_read(crowd->members[i], &r, false);
    crowd->answers++;
    if (i == 0) {
        CHECK_EQ(r.status, 200);
        crowd->healthy++;
    } else if (r.status == 503) {
        const char *retry = reply_field(&r, "Retry-After");
        CHECK(retry && atoi(retry) >= 1 && atoi(retry) < 60);
        CHECK_HAS(r.body.data, "waited for too long");
        crowd->shed++;
    } else {
        CHECK_EQ(r.status, 200);
    }
}

static void gather(struct crowd *crowd, struct server *s)
{
    *crowd = (struct crowd){0};
    for (int i = 0; i < MEMBERS; i++) {
        crowd->members[i] = client_to(s);
        ask(crowd, i);
    }
}

/* Until so many answers have come, or so many were shed. */
static void press(struct crowd *crowd, unsigned long answers, unsigned long shed)
{
    uint64_t end = patience_until(PATIENCE_MS);
    while (crowd->answers < answers && crowd->shed < shed) {
        CHECK(patience_left_ms(end) > 0);
        for (int i = 0; i < MEMBERS; i++) {
            take(crowd, i);
            ask(crowd, i);
        }
    }
}

static void disperse(struct crowd *crowd)
{
    for (int i = 0; i < MEMBERS; i++) {
        take(crowd, i);
        client_close(crowd->members[i]);
    }
}

static unsigned long count_status(const struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}\n");
    unsigned long n = (unsigned long)control_number(answer, "shed");
    free(answer);
    return n;
}

static void standing_queue_of_the_io_lane_is_cut(void **state)
{
    (void)state;
    struct crowd crowd;
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", OTHER, "--set",
                                        "threads=1", "--set", IO_WORK, "--set", IO_WHO, "--set",
                                        "health_check=/who", "--set", "queue_target=20ms", NULL);
    gather(&crowd, s);
    press(&crowd, UINT64_MAX, 20);
    const char *line = server_wait_log(s, "requests are shed");
    CHECK_HAS(line, "queue=io");
    CHECK_HAS(line, "queue_target_ms=20 interval_ms=200");
    disperse(&crowd);
    CHECK(crowd.healthy > 0);
    CHECK_EQ(count_status(s), crowd.shed);
    line = server_wait_log(s, "requests are not shed any more");
    CHECK_HAS(line, "queue=io");
    CHECK_EQ(lines_number(line, "shed"), crowd.shed);
    CHECK_EQ(lines_count(&s->log, "requests are shed"), 1);
}

static void standing_queue_of_a_pool_is_cut(void **state)
{
    (void)state;
    struct crowd crowd;
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", OTHER, "--set", "compute.workers=1",
                         "--set", "health_check=/who", "--set", "compute.queue_target=20ms", NULL);
    gather(&crowd, s);
    press(&crowd, UINT64_MAX, 20);
    CHECK_HAS(server_wait_log(s, "requests are shed"), "queue=default");
    disperse(&crowd);
    CHECK(crowd.healthy > 0);
    CHECK_EQ(count_status(s), crowd.shed);
    char *answer = control_ask(s, "{\"request\":\"status\"}\n");
    CHECK_EQ(control_number(answer, "pools.0.tasks.shed"), crowd.shed);
    free(answer);
    CHECK(kill(s->pid, SIGTERM) == 0); /* the end of a worker is the end of what it has to tell */
    const char *line = server_wait_log(s, "requests are not shed any more");
    CHECK_HAS(line, "queue=default");
    CHECK_EQ(lines_number(line, "shed"), crowd.shed);
}

/* In all other respects as above, and for longer than its interval. */
static void route_that_says_so_is_never_shed(void **state)
{
    (void)state;
    struct crowd crowd;
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", OTHER, "--set", "compute.workers=1",
                         "--set", "queue_target=5ms", "--set", "routes.GET /work.queue_target=0",
                         "--set", "routes.GET /who.queue_target=0", NULL);
    gather(&crowd, s);
    press(&crowd, 64, UINT64_MAX);
    disperse(&crowd);
    CHECK_EQ(crowd.shed, 0);
    CHECK_EQ(count_status(s), 0);
}

/* Likewise: by default a queue is bounded by its length, and by the time that requests have. */
static void nobody_is_shed_unasked(void **state)
{
    (void)state;
    struct crowd crowd;
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", OTHER, "--set",
                                        "compute.workers=1", NULL);
    gather(&crowd, s);
    press(&crowd, 64, UINT64_MAX);
    disperse(&crowd);
    CHECK_EQ(crowd.shed, 0);
}

SERVER_MAIN(SERVER_TEST(standing_queue_of_the_io_lane_is_cut),
            SERVER_TEST(standing_queue_of_a_pool_is_cut),
            SERVER_TEST(route_that_says_so_is_never_shed), SERVER_TEST(nobody_is_shed_unasked))
