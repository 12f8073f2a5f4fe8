/* Bodies that are streamed to their handler: nothing of them is kept, whatever their size. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/harness/client.h"
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

/* The handler stops after a while until the file "go" is there: the client is held up, and neither
 * the worker's memory nor a file takes what it sends. */
static void handler_that_waits_holds_the_client_up(void **state)
{
    (void)state;
    enum { MOST = 64 << 20, LENGTH = 100 << 20 };
    struct server *s = start(BODIES_SO, "limit_request_body=1GiB");
    pid_t pid = server_worker_pid(s, 0);
    char *body = post_make(1U << 20), text[400];
    free(client_get(s, "/back", 200));
    unsigned long before = procs_memory_kib(pid, "RssAnon");
    struct client *c = client_to(s);
    (void)snprintf(text, sizeof text,
                   "POST /count-slowly?file=%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                   server_path(s, "go"), LENGTH);
    client_send_text(c, text);
    size_t sent = 0, turns = 0;
    while (sent < MOST && turns < 50) { /* the kernel's buffers take some */
        size_t at = sent % (1U << 20);
        ssize_t n = send(c->fd, body + at, (1U << 20) - at, MSG_NOSIGNAL);
        CHECK(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        turns = n > 0 ? 0 : turns + 1;
        CHECK(n > 0 || patience_turn(UINT64_MAX));
    }
    CHECK_SAYING(sent < MOST, "all was read");
    CHECK(procs_memory_kib(pid, "RssAnon") < before + 2048 * patience_factor());
    free(client_get(s, "/back", 200));
    (void)server_write_file(s, "go", "");
    while (sent < LENGTH) {
        size_t at = sent % (1U << 20), n = (1U << 20) - at;
        CHECK(client_send(c, body + at, n));
        sent += n;
    }
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "counted 104857600\n");
    free(body);
}

/* The client's clocks do not run while the handler is what it waits for. That they would be over is
 * seen by clients that came later. */
static void client_is_not_slow_while_its_handler_waits(void **state)
{
    (void)state;
    struct server *s = server_start_app(BODIES_SO, "--workers", "1", "--set", "body_timeout=1s",
                                        "--set", "body_min_rate=10MiB", NULL);
    char text[400];
    struct client *held[2];
    for (int i = 0; i < 2; i++) {
        held[i] = client_to(s);
        (void)snprintf(
            text, sizeof text,
            "POST /count-slowly?file=%s HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n%s",
            server_path(s, "go"), i == 0 ? "half" : "complete");
        client_send_text(held[i], text);
        (void)server_wait_log(s, "stops");
    }
    for (int i = 0; i < 2; i++) {
        struct client *slow = client_to(s);
        client_exchange(slow, &r, "POST /back HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx");
        CHECK_EQ(r.status, 408);
    }
    for (int i = 0; i < 2; i++)
        CHECK(client_is_quiet(held[i]));
    (void)server_write_file(s, "go", "");
    client_send_text(held[0], "done");
    for (int i = 0; i < 2; i++) {
        check_context("client %d", i);
        client_read(held[i], &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "counted 8\n");
    }
}

SERVER_MAIN(SERVER_TEST(streamed_body_costs_no_memory),
            SERVER_TEST(streamed_body_above_the_limit_is_413),
            SERVER_TEST(handler_that_waits_holds_the_client_up),
            SERVER_TEST(client_is_not_slow_while_its_handler_waits))
