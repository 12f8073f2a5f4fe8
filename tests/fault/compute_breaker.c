/* The circuit breaker of a route: what opens it, what it answers meanwhile, and how it closes, also
 * when whoever was to find out is dead. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"

static struct reply r;

static struct server *start(const char *workers, const char *failures, const char *reset)
{
    server_let_crash();
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", workers, "--set", "compute.workers=1", "--set",
                         failures, "--set", reset, "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    return s;
}

static struct client *send(struct server *s, const char *target)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_send_text(c, request);
    return c;
}

static int ask(struct server *s, const char *target)
{
    struct client *c = send(s, target);
    client_read(c, &r, false);
    client_close(c);
    return r.status;
}

/* Until its route is tried again, and goes. */
static void wait_closed(struct server *s, const char *target)
{
    uint64_t until = patience_until(PATIENCE_MS);
    while (ask(s, target) != 200) {
        CHECK_EQ(r.status, 503);
        CHECK(patience_turn(until));
    }
    CHECK_TEXT(r.body.data, "fine\n");
}

static void failures_open_it_for_all_workers_and_for_no_other_route(void **state)
{
    (void)state;
    struct server *s = start("2", "compute.breaker.failures=3", "compute.breaker.reset_timeout=1h");
    CHECK_EQ(ask(s, "/moody?bad=1"), 500);
    CHECK_EQ(ask(s, "/moody?bad=2"), 500);
    CHECK_EQ(ask(s, "/moody?bad=3"), 500); /* three of the same would be poison */
    const char *opened = server_wait_log(s, "circuit breaker opened");
    CHECK_HAS(opened, "route=\"GET /moody\"");
    CHECK_HAS(opened, "cause=\"crash\"");
    for (int i = 0; i < 8; i++) { /* of whichever worker */
        CHECK_EQ(ask(s, "/moody"), 503);
        const char *retry = reply_field(&r, "Retry-After");
        CHECK(retry && atoi(retry) > 3000 && atoi(retry) <= 3600);
    }
    CHECK_EQ(ask(s, "/moody-with-fallback"), 200);
    CHECK_TEXT(r.body.data, "fine\n");
    char *status = control_ask(s, "{\"request\":\"status\"}");
    CHECK_TEXT(control_member(status, "breakers.0.route"), "GET /moody");
    CHECK_TEXT(control_member(status, "breakers.0.state"), "open");
    CHECK_EQ(control_number(status, "breakers.0.failures"), 3);
    free(status);
}

static void fallback_answers_in_the_web_worker(void **state)
{
    (void)state;
    struct server *s = start("2", "compute.breaker.failures=1", "compute.breaker.reset_timeout=1h");
    CHECK_EQ(ask(s, "/moody-with-fallback?bad=1"), 500);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(ask(s, "/moody-with-fallback?bad=1"), 200);
        CHECK_TEXT(r.body.data, "instead, by web\n");
    }
}

static void it_closes_when_a_request_that_tries_is_answered(void **state)
{
    (void)state;
    struct server *s =
        start("2", "compute.breaker.failures=2", "compute.breaker.reset_timeout=10ms");
    for (int i = 0; i < 2; i++)
        CHECK_EQ(ask(s, "/moody?bad=1"), 500);
    wait_closed(s, "/moody");
    (void)server_wait_log(s, "circuit breaker opened");
    (void)server_wait_log(s, "circuit breaker lets a request try");
    (void)server_wait_log(s, "circuit breaker closed");
}

static void it_opens_again_when_that_one_fails(void **state)
{
    (void)state;
    struct server *s =
        start("2", "compute.breaker.failures=1", "compute.breaker.reset_timeout=10ms");
    uint64_t until = patience_until(PATIENCE_MS);
    CHECK_EQ(ask(s, "/moody?bad=1"), 500);
    while (ask(s, "/moody?bad=1") != 500)
        CHECK(patience_turn(until));
    (void)server_wait_log(s, "circuit breaker opened again");
    wait_closed(s, "/moody");
}

static bool is_probing(const struct server *s)
{
    char *status = control_ask(s, "{\"request\":\"status\"}");
    bool is_out = strcmp(control_member(status, "breakers.0.state"), "probing") == 0;
    free(status);
    return is_out;
}

static void web_worker_that_dies_with_the_probe_does_not_keep_it(void **state)
{
    (void)state;
    struct server *s =
        start("1", "compute.breaker.failures=1", "compute.breaker.reset_timeout=10ms");
    uint64_t until = patience_until(PATIENCE_MS);
    CHECK_EQ(ask(s, "/moody?bad=1"), 500);
    struct client *c = send(s, "/moody?hang=1");
    while (!is_probing(s)) {
        if (!client_is_quiet(c)) { /* that was too early: a 503 */
            client_close(c);
            c = send(s, "/moody?hang=1");
        }
        CHECK(patience_turn(until));
    }
    CHECK_EQ(kill(server_worker_pid(s, 0), SIGKILL), 0);
    client_close(c);
    wait_closed(s, "/moody");
    (void)server_wait_log_text(s, "the worker that let a request try is gone");
}

/* A healthy handler, and from the first moment on more of it than there is time for. What is not
 * yet known is learnt by killing; then nobody is killed. It takes more than half of its time, so
 * that those who are killed ran for longer than they had waited. */
static void cold_pool_with_too_much_to_do_recovers(void **state)
{
    enum { CLIENTS = 8, ANSWERS = 20, KILLS_MAX = 40 };
    (void)state;
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1",
                                        "--set", "compute.timeout=250ms", "--set",
                                        "compute.queue=10", "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    struct client *clients[CLIENTS];
    uint64_t until = patience_until(PATIENCE_MS);
    unsigned n_answers = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = send(s, "/work?n=150000");
    for (unsigned i = 0; n_answers < ANSWERS; i = (i + 1) % CLIENTS) {
        client_read(clients[i], &r, false);
        CHECK(r.status == 200 || r.status == 503 || r.status == 504);
        n_answers += r.status == 200;
        client_close(clients[i]);
        CHECK_SAYING(patience_turn(until), "%u answers", n_answers);
        (void)lines_take(&s->log);
        CHECK_EQ(lines_count(&s->log, "circuit breaker opened"), 0);
        clients[i] = send(s, "/work?n=150000");
    }
    CHECK(lines_count(&s->log, "compute worker died") <= KILLS_MAX);
}

SERVER_MAIN(SERVER_TEST(failures_open_it_for_all_workers_and_for_no_other_route),
            SERVER_TEST(fallback_answers_in_the_web_worker),
            SERVER_TEST(it_closes_when_a_request_that_tries_is_answered),
            SERVER_TEST(cold_pool_with_too_much_to_do_recovers),
            SERVER_TEST(it_opens_again_when_that_one_fails),
            SERVER_TEST(web_worker_that_dies_with_the_probe_does_not_keep_it))
