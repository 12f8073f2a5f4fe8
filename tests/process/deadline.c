/* The client's own deadline (deadline_header): in every lane, from peers that are trusted. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"

static struct reply r;

static struct server *start(const char *app, const char *class, const char *trusted)
{
    return server_start_app(app, "--workers", "1", "--set", "compute.workers=1", "--set",
                            "pools.other.workers=1", "--worker-class", class, "--set",
                            "deadline_header=X-Time-Left", "--set", "compute.timeout=1h", "--set",
                            "request_timeout=1h", "--set", trusted, NULL);
}

static void ask(struct server *s, const char *line, const char *field)
{
    char request[256];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n%s\r\n",
                   line, field);
    client_exchange(c, &r, request);
    client_close(c);
}

static void task_ends_at_its_clients_deadline(void **state)
{
    (void)state;
    static const char *const classes[] = {"event", "sync"};
    for (size_t i = 0; i < 2; i++) {
        struct server *s = start(HEAVY_SO, classes[i], "strict=no");
        s->is_violent = true;
        ask(s, "GET /loop", "X-Time-Left: 200\r\n"); /* else it would have an hour */
        CHECK_EQ(r.status, 504);
        CHECK_HAS(server_wait_log(s, "compute worker died"), "its task's time is over");
        ask(s, "GET /who", "X-Time-Left: 3600000\r\n"); /* longer than it may take anyway */
        CHECK_EQ(r.status, 200);
    }
}

static void task_of_a_handler_sees_it(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"event", "POST /offload/time"},
                                          {"event", "POST /wait-io/time"},
                                          {"sync", "POST /offload/time"},
                                          {"sync", "POST /wait/time"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct server *s = start(HEAVY_SO, rows[i][0], "strict=no");
        check_context("%s %s", rows[i][0], rows[i][1]);
        ask(s, rows[i][1], "X-Time-Left: 9000\r\n");
        CHECK_EQ(r.status, 200);
        long left_ms = strtol(r.body.data, NULL, 10);
        CHECK_SAYING(left_ms > 0 && left_ms <= 9000, "%ld", left_ms);
        ask(s, rows[i][1], "");
        CHECK_SAYING(strtol(r.body.data, NULL, 10) > 9000, "%s", r.body.data);
    }
    check_context("%s", "");
}

static void handler_of_the_io_lane_is_not_waited_for(void **state)
{
    (void)state;
    struct server *s = start(LANES_SO, "event", "strict=no");
    ask(s, "GET /wanted", "X-Time-Left: 50\r\n"); /* until it is cancelled */
    CHECK_EQ(r.status, 504);
    (void)server_wait_log(s, "lanes is cancelled");
}

static void what_is_no_number_is_refused_and_strangers_are_not_asked(void **state)
{
    (void)state;
    struct server *s = start(LANES_SO, "event", "strict=no");
    ask(s, "GET /io", "X-Time-Left: 1s\r\n");
    CHECK_EQ(r.status, 400);
    CHECK_HAS(r.body.data, "deadline_header: one whole number of milliseconds is allowed");
    ask(s, "GET /io", "X-Time-Left: 1000\r\nX-Time-Left: 1000\r\n");
    CHECK_EQ(r.status, 400);
    s = start(LANES_SO, "event", "forwarded_allow_ips=192.0.2.1");
    ask(s, "GET /io", "X-Time-Left: 0\r\n");
    CHECK_EQ(r.status, 200);
    ask(s, "GET /io", "X-Time-Left: 1s\r\n");
    CHECK_EQ(r.status, 200);
}

SERVER_MAIN(SERVER_TEST(task_ends_at_its_clients_deadline), SERVER_TEST(task_of_a_handler_sees_it),
            SERVER_TEST(handler_of_the_io_lane_is_not_waited_for),
            SERVER_TEST(what_is_no_number_is_refused_and_strangers_are_not_asked))
