/* What holds up a worker's loop is told: which call of the app, of what request; and how late the
 * loop's timer comes, also when it is no call that holds it up. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define SLOW_SO REMUDA_TEST_APPS_DIR "/slow_calls.so"
#define STATUS "{\"request\":\"status\"}\n"
#define HELD "handler held the loop"

static struct reply r;

static struct server *start(void)
{
    return server_start_app(SLOW_SO, "--workers", "1", "--set", "slow_callback=50ms", "--set",
                            "limit_request_body=1000", NULL);
}

static void every_kind_of_call_is_told_with_its_request(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *body, *kind, *route;
        int status;
    } rows[] = {
        {"GET", "/handler", "", "callback=handler", "route=\"/handler\"", 200},
        {"POST", "/consumer", "Content-Length: 4\r\n\r\nbody", "callback=consumer",
         "route=\"/consumer\"", 200},
        {"GET", "/producer", "", "callback=producer", "route=\"/producer\"", 200},
        {"GET", "/answer", "", "callback=answer", "route=\"/answer\"", 200},
        {"GET", "/done", "", "callback=done", "route=\"/done\"", 200},
        {"GET", "/nowhere", "", "callback=handler", "target=\"/nowhere\"", 404}, /* by its page */
        {"POST", "/consumer", "Content-Length: 9999\r\n\r\n", "callback=error_page",
         "target=\"/consumer\"", 413},
    };
    struct server *s = start();
    struct client *c = client_to(s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[256], trace[32];
        check_context("%s", rows[i].path);
        (void)snprintf(trace, sizeof trace, "trace=dawdler-%zu", i);
        (void)snprintf(request, sizeof request,
                       "%s %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: %s\r\n%s", rows[i].method,
                       rows[i].path, trace + 6, rows[i].body[0] ? rows[i].body : "\r\n");
        client_exchange(c, &r, request);
        CHECK_EQ(r.status, rows[i].status);
        const char *line = server_wait_log(s, HELD);
        CHECK_HAS(line, rows[i].kind);
        CHECK_HAS(line, rows[i].route);
        CHECK_HAS(line, trace);
    }
    c = client_to(s);
    client_exchange(c, &r, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(lines_count(&s->log, HELD), sizeof rows / sizeof rows[0]);
}

/* Its request has ended, so there is none to name. */
static void callback_of_a_request_that_is_over_is_told(void **state)
{
    (void)state;
    struct server *s = start();
    struct client *c = client_to(s);
    client_send_text(c, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "slow_calls waits");
    client_close(c);
    CHECK_HAS(server_wait_log(s, HELD), "callback=done route=\"\" method=- ");
}

static void longest_call_is_in_the_status(void **state)
{
    (void)state;
    struct server *s = start();
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
    client_exchange(c, &r, "GET /done HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, HELD);
    char *answer = control_ask(s, STATUS);
    CHECK_TEXT(control_member(answer, "workers.0.longest_call_ever.route"), "GET /done");
    CHECK_TEXT(control_member(answer, "workers.0.longest_call_ever.callback"), "done");
    CHECK(control_number(answer, "workers.0.longest_call_ever.us") >= 90000);
    free(answer);
    control_wait_member(s, "workers.0.longest_call", "null"); /* a second later */
    answer = control_ask(s, STATUS);
    CHECK_TEXT(control_member(answer, "workers.0.longest_call_ever.route"), "GET /done");
    free(answer);
}

static uint64_t ask_number(const struct server *s, const char *path)
{
    char *answer = control_ask(s, STATUS);
    uint64_t n = control_number(answer, path);
    free(answer);
    return n;
}

/* A process that had no CPU has had no long turn: its timer says it. */
static void loop_that_stood_still_shows_in_the_drift_of_its_timer(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    uint64_t end = patience_until(PATIENCE_MS);
    do {
        CHECK(kill(pid, SIGSTOP) == 0);
        while (ask_number(s, "workers.0.silent_ms") < 900)
            CHECK(patience_turn(end));
        CHECK(kill(pid, SIGCONT) == 0);
        while (ask_number(s, "workers.0.silent_ms") >= 900)
            CHECK(patience_turn(end));
    } while (ask_number(s, "workers.0.drift_us") < 300000); /* due within half a second, at most */
}

SERVER_MAIN(SERVER_TEST(every_kind_of_call_is_told_with_its_request),
            SERVER_TEST(callback_of_a_request_that_is_over_is_told),
            SERVER_TEST(longest_call_is_in_the_status),
            SERVER_TEST(loop_that_stood_still_shows_in_the_drift_of_its_timer))
