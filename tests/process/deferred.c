/* Answers that come later, and bodies that are streamed to their handler: the worker serves others
 * meanwhile, waits for what it has promised when it is told to stop, and keeps nothing. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"

static struct reply r;

static struct server *start(const char *app, const char *setting)
{
    return server_start_app(app, "--workers", "1", "--set", setting, NULL);
}

/* A request whose answer waits for the file "go". Returns when its handler has put it off. */
static struct client *send_held(struct server *s, const char *path)
{
    char request[400];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s?file=%s HTTP/1.1\r\nHost: a\r\n\r\n", path,
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "holds");
    return c;
}

static void many_wait_at_once_on_one_worker(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    struct server *s = start(REMUDA_DEMO_SO, "strict=no");
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char request[128];
        clients[i] = client_to(s);
        for (int k = 0; k < 3; k++) {
            (void)snprintf(request, sizeof request, "GET /later?ms=%d HTTP/1.1\r\nHost: a\r\n\r\n",
                           (i * 7 + k) % 50);
            client_send_text(clients[i], request);
        }
    }
    free(client_get(s, "/", 200));
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < 3; k++) {
            char expected[32];
            (void)snprintf(expected, sizeof expected, "later %d\n", (i * 7 + k) % 50);
            client_read(clients[i], &r, false);
            CHECK_EQ(r.status, 200);
            CHECK_TEXT(r.body.data, expected);
        }
}

static void worker_serves_others_while_answers_wait(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO, "strict=no");
    struct client *held[20];
    for (int i = 0; i < 20; i++)
        held[i] = send_held(s, "/hold");
    struct load *load = load_start(server_address(s, 0), 4, "/back", "");
    load_wait_answers(load, 500);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
    for (int i = 0; i < 20; i++)
        CHECK(client_is_quiet(held[i]));
    (void)server_write_file(s, "go", "");
    for (int i = 0; i < 20; i++) {
        client_read(held[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
}

/* Who leaves is noticed while the answer is being made: rmd_is_wanted() says so, and the answer
 * callback comes without a request. */
static void client_that_leaves_is_not_wanted_any_more(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO, "strict=no");
    size_t before = procs_fd_count(server_worker_pid(s, 0));
    for (int i = 0; i < 10; i++) {
        struct client *c = send_held(s, "/hold");
        if (i % 2)
            client_abort(c);
        else
            client_close(c);
        (void)server_wait_log_text(s, "ended without its answer");
    }
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(server_worker_pid(s, 0)) > before)
        CHECK(patience_turn(deadline));
    free(client_get(s, "/back", 200));
}

static void check_504(struct client *c)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, 504);
    CHECK(!r.is_closing);
    client_exchange(c, &r, "GET /back HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

static void answer_that_is_too_late_is_504(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO, "request_timeout=1s");
    struct client *c = send_held(s, "/hold");
    check_504(c);
    (void)server_wait_log_text(s, "ended without its answer");
}

/* The route's own timeout wins over the setting; the end of the request is the only one. */
static void timeout_of_the_route_decides(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO, "request_timeout=1h");
    struct client *patient = send_held(s, "/hold"), *brief = send_held(s, "/hold-briefly");
    check_504(brief);
    (void)server_wait_log_text(s, "ended without its answer");
    CHECK(client_is_quiet(patient));
    (void)server_write_file(s, "go", "");
    client_read(patient, &r, false);
    CHECK_EQ(r.status, 200);
}

static void wait_refused(struct server *s)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_try(server_address(s, 0)) == 0)
        CHECK_SAYING(patience_turn(deadline), "connections are still taken");
}

static void stop_waits_for_answers_that_were_put_off(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO, "graceful_timeout=1h");
    struct client *held[5];
    for (int i = 0; i < 5; i++)
        held[i] = send_held(s, "/hold");
    server_signal(s, SIGTERM);
    wait_refused(s);
    for (int i = 0; i < 5; i++)
        CHECK(client_is_quiet(held[i]));
    (void)server_write_file(s, "go", "");
    for (int i = 0; i < 5; i++) {
        client_read(held[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_expect_close(held[i]);
    }
    CHECK_EQ(server_wait_exit(s), 0);
}

/* "go" never comes: the worker is not waited for any longer than that. */
static void stop_does_not_wait_longer_than_graceful_timeout(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO, "graceful_timeout=1s");
    s->is_violent = true;
    struct client *c = send_held(s, "/hold");
    server_signal(s, SIGTERM);
    client_read_all(c);
    CHECK_HAS_NOT(c->in.data, "HTTP/1.1 200");
    CHECK_EQ(server_wait_exit(s), 0);
}

/* Everything is counted and nothing kept, however much it is. */
static void streamed_body_costs_no_memory(void **state)
{
    (void)state;
    const size_t piece = 1U << 20, n = 50 / patience_factor() + 1;
    struct server *s = start(REMUDA_DEMO_SO, "limit_request_body=100MiB");
    pid_t pid = server_worker_pid(s, 0);
    char *body = post_make(piece), text[128];
    free(client_get(s, "/", 200));
    unsigned long before = procs_memory_kib(pid, "RssAnon");
    size_t files = procs_fd_count(pid);
    struct client *c = client_to(s);
    (void)snprintf(text, sizeof text,
                   "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", n * piece);
    client_send_text(c, text);
    for (size_t i = 0; i < n; i++) {
        CHECK(client_send(c, body, piece));
        CHECK(procs_memory_kib(pid, "RssAnon") < before + 4096 * patience_factor());
        CHECK(procs_fd_count(pid) <= files + 1); /* the connection; no spool file */
    }
    client_read(c, &r, false);
    (void)snprintf(text, sizeof text, "counted %zu\n", n * piece);
    CHECK_TEXT(r.body.data, text);
    CHECK(post_send_chunked(c, "/count", body, piece, 999));
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "counted 1048576\n");
    free(body);
}

static void streamed_body_above_the_limit_is_413(void **state)
{
    (void)state;
    char *body = post_make(100000);
    struct server *s = start(REMUDA_DEMO_SO, "limit_request_body=64KiB");
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        struct client *c = client_to(s);
        (void)(is_chunked ? post_send_chunked(c, "/count", body, 100000, 5000)
                          : post_send(c, "/count", "", body, 100000));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 413);
        CHECK(r.is_closing);
        client_expect_close(c);
    }
    free(body);
}

SERVER_MAIN(SERVER_TEST(many_wait_at_once_on_one_worker),
            SERVER_TEST(worker_serves_others_while_answers_wait),
            SERVER_TEST(client_that_leaves_is_not_wanted_any_more),
            SERVER_TEST(answer_that_is_too_late_is_504), SERVER_TEST(timeout_of_the_route_decides),
            SERVER_TEST(stop_waits_for_answers_that_were_put_off),
            SERVER_TEST(stop_does_not_wait_longer_than_graceful_timeout),
            SERVER_TEST(streamed_body_costs_no_memory),
            SERVER_TEST(streamed_body_above_the_limit_is_413))
