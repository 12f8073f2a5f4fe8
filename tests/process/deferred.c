/* Answers that come later: the worker serves others meanwhile, keeps nothing that grows, and waits
 * for what it has promised when it is told to stop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
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

/* Who waits for the server is not slow: no clock of the client's runs. That all of them are over is
 * seen by clients that came later. */
static void clocks_of_clients_do_not_run_while_the_server_works(void **state)
{
    (void)state;
    struct server *s = server_start_app(BODIES_SO, "--workers", "1", "--set", "header_timeout=1s",
                                        "--set", "body_timeout=1s", "--set", "write_timeout=1s",
                                        "--set", "keepalive=1s", NULL);
    struct client *held[] = {send_held(s, "/hold"), send_held(s, "/hold"), send_held(s, "/hold")};
    client_send_text(held[2], "GET /back HTTP/1.1\r\nHost: a\r\n\r\nGET /ba");
    for (int i = 0; i < 2; i++) {
        struct client *idle = client_to(s), *slow = client_to(s);
        client_exchange(idle, &r, "GET /back HTTP/1.1\r\nHost: a\r\n\r\n");
        client_exchange(slow, &r, "POST /back HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx");
        CHECK_EQ(r.status, 408);
        client_expect_close(idle);
    }
    for (int i = 0; i < 3; i++)
        CHECK(client_is_quiet(held[i]));
    (void)server_write_file(s, "go", "");
    for (int i = 0; i < 3; i++) {
        client_read(held[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    client_read(held[2], &r, false);
    CHECK_EQ(r.status, 200);
    client_exchange(held[2], &r, "ck HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

/* What stands behind a request that waits is not read without end: the client is held up, not the
 * worker's memory filled. */
static void requests_behind_one_that_waits_cost_no_memory(void **state)
{
    (void)state;
    enum { MOST = 64 << 20 };
    static const char request[] = "GET /back HTTP/1.1\r\nHost: a\r\nX-Long: "
                                  "0123456789012345678901234567890123456789012345678901\r\n\r\n";
    struct server *s = start(BODIES_SO, "strict=no");
    pid_t pid = server_worker_pid(s, 0);
    struct buf many = {0};
    for (int i = 0; i < 1000; i++)
        CHECK(buf_append(&many, request, sizeof request - 1) == 0);
    struct client *c = send_held(s, "/hold");
    unsigned long before = procs_memory_kib(pid, "RssAnon");
    size_t sent = 0, turns = 0;
    while (sent < MOST && turns < 50) { /* the kernel's buffers take some */
        size_t at = sent % many.len;
        ssize_t n = send(c->fd, many.data + at, many.len - at, MSG_NOSIGNAL);
        CHECK(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        turns = n > 0 ? 0 : turns + 1;
        CHECK(n > 0 || patience_turn(UINT64_MAX));
    }
    CHECK_SAYING(sent < MOST, "all was read");
    CHECK(procs_memory_kib(pid, "RssAnon") < before + 2048 * patience_factor());
    (void)server_write_file(s, "go", "");
    for (size_t i = 0; i <= sent / (sizeof request - 1); i++) {
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
    }
    buf_fini(&many);
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

SERVER_MAIN(SERVER_TEST(many_wait_at_once_on_one_worker),
            SERVER_TEST(worker_serves_others_while_answers_wait),
            SERVER_TEST(client_that_leaves_is_not_wanted_any_more),
            SERVER_TEST(answer_that_is_too_late_is_504), SERVER_TEST(timeout_of_the_route_decides),
            SERVER_TEST(clocks_of_clients_do_not_run_while_the_server_works),
            SERVER_TEST(requests_behind_one_that_waits_cost_no_memory),
            SERVER_TEST(stop_waits_for_answers_that_were_put_off),
            SERVER_TEST(stop_does_not_wait_longer_than_graceful_timeout))
