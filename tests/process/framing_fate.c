/* Clients that send on and on, and read only then: they must find the one answer that refused them,
 * and an orderly end. A server that closed at once would answer what still comes with a reset,
 * which may take the answer away from under the client (RFC 9112 §9.6). */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define MORE (2U << 20) /* octets that are sent behind the refusal */

static struct reply r;

static const struct {
    const char *request;
    int status;
} rows[] = {
    {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n", 413},
    {"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n", 413},
    {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n500000\r\n", 413},
    {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n", 400},
    {"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400},
    {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"nonsense\r\n", 400},
    {"GET /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
     "56789012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\n",
     414},
    {"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n", 431},
    {"GET / HTTP/2.0\r\n\r\n", 505},
    {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 5000000\r\n\r\n", 417},
};

static struct server *start(void)
{
    return server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "limit_request_body=1000",
                            "--set", "limit_request_line=128", "--set", "limit_request_fields=5",
                            NULL);
}

/* One answer, and an end that is no reset: what was sent was all taken. */
static void refusal_is_found_however_much_is_sent_behind_it(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    char *more = post_make(MORE);
    size_t before = procs_fd_count(pid);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].request);
        struct client *c = client_to(s);
        client_send_text(c, rows[i].request);
        CHECK(patience_poll(c->fd, POLLIN, patience_until(PATIENCE_MS))); /* it is refused by now */
        CHECK_SAYING(client_send(c, more, MORE), "the connection was reset");
        client_read(c, &r, false);
        CHECK_EQ(r.status, rows[i].status);
        CHECK(r.is_closing);
        client_expect_close(c);
        CHECK_SAYING(client_send(c, more, 1000), "the connection was reset");
        client_close(c);
    }
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > before)
        CHECK_SAYING(patience_turn(deadline), "connections are still there");
    CHECK_EQ(server_worker_pid(s, 0), pid);
    free(more);
}

/* All at once, what is refused in the same segment as what stands behind it. */
static void refusal_is_the_only_answer_to_what_came_with_it(void **state)
{
    (void)state;
    static const char behind[] = "GET /hello/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    struct server *s = start();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf all = {0};
        check_context("%s", rows[i].request);
        CHECK(buf_printf(&all, "%s\r\n\r\n", rows[i].request) == 0);
        for (int k = 0; k < 100; k++)
            CHECK(buf_append(&all, behind, sizeof behind - 1) == 0);
        struct client *c = client_to(s);
        (void)client_send(c, all.data, all.len);
        client_read(c, &r, false);
        CHECK_EQ(r.status, rows[i].status);
        CHECK(r.is_closing);
        client_expect_close(c);
        client_close(c);
        buf_fini(&all);
    }
}

/* Who never closes is not waited for forever. */
static void who_does_not_close_is_left(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    size_t before = procs_fd_count(pid);
    struct client *clients[20];
    for (int i = 0; i < 20; i++) {
        clients[i] = client_to(s);
        client_exchange(clients[i], &r, "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
        CHECK_EQ(r.status, 400);
    }
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > before)
        CHECK_SAYING(patience_turn(deadline), "connections are still there");
}

/* The unread body of a request that was answered: the connection stays and the next request is
 * found behind it, or it says that it closes. */
static void unread_body_never_becomes_a_request(void **state)
{
    (void)state;
    static const char body[] = "GET /hello/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char *const lines[] = {"POST /nowhere", "POST /json", "DELETE /", "POST /count"};
    struct server *s = start();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (size_t n = 1; n <= 20000; n += 19999) {
            char request[256];
            struct client *c = client_to(s);
            check_context("%s, %zu times", lines[i], n);
            (void)snprintf(request, sizeof request,
                           "%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", lines[i],
                           n * (sizeof body - 1));
            client_send_text(c, request);
            bool is_open = true;
            for (size_t k = 0; k < n && is_open; k++)
                is_open = client_send(c, body, sizeof body - 1);
            client_read(c, &r, false);
            CHECK(r.status >= 400 || strncmp(r.body.data, "counted ", 8) == 0);
            if (!r.is_closing) {
                client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                CHECK_TEXT(r.body.data, "hello\n");
            } else {
                client_expect_close(c);
            }
            client_close(c);
        }
    }
}

SERVER_MAIN(SERVER_TEST(refusal_is_found_however_much_is_sent_behind_it),
            SERVER_TEST(refusal_is_the_only_answer_to_what_came_with_it),
            SERVER_TEST(who_does_not_close_is_left),
            SERVER_TEST(unread_body_never_becomes_a_request))
