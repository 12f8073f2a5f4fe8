/* Many requests at once on one connection: answers come in order, whatever is between them, and no
 * more of them are made than limit_pipelined says before the client takes some. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct reply r;

static struct server *start(const char *app, const char *setting)
{
    return server_start_app(app, "--workers", "1", "--set", setting, NULL);
}

static void send_greetings(struct client *c, int first, int n)
{
    struct buf all = {0};
    for (int i = first; i < first + n; i++)
        CHECK(buf_printf(&all, "GET /hello/%d HTTP/1.1\r\nHost: a\r\n\r\n", i) == 0);
    CHECK(client_send(c, all.data, all.len));
    buf_fini(&all);
}

static void read_greetings(struct client *c, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "hello, %d\n", i);
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, expected);
    }
}

static void order_holds_at_every_limit(void **state)
{
    (void)state;
    static const char *const settings[] = {"limit_pipelined=1", "limit_pipelined=3",
                                           "limit_pipelined=10000"};
    for (size_t i = 0; i < 3; i++) {
        check_context("%s", settings[i]);
        struct client *c = client_to(start(REMUDA_DEMO_SO, settings[i]));
        send_greetings(c, 0, 500);
        read_greetings(c, 0, 500);
        send_greetings(c, 500, 4); /* nothing of the turns before is left over */
        read_greetings(c, 500, 4);
    }
}

static void large_answer_between_small_ones_and_a_slow_reader(void **state)
{
    (void)state;
    const size_t len = 20U << 20;
    struct client *c = client_to(start(REMUDA_DEMO_SO, "limit_pipelined=8"));
    client_shrink(c);
    send_greetings(c, 0, 100);
    client_send_text(c, "GET /bytes?n=20971520 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /stream?n=3&ms=0 HTTP/1.1\r\nHost: a\r\n\r\n");
    send_greetings(c, 100, 100);
    read_greetings(c, 0, 100);
    client_read_head(c, &r);
    CHECK_TEXT(reply_field(&r, "Content-Length"), "20971520");
    for (size_t taken = 0; taken < len;) {
        client_read_raw(c, 1);
        size_t n = c->in.len < len - taken ? c->in.len : len - taken;
        taken += n;
        buf_consume(&c->in, n);
        c->in.data[c->in.len] = '\0';
    }
    client_read(c, &r, false);
    CHECK(r.is_chunked);
    read_greetings(c, 100, 100);
}

static long count_references(struct server *s)
{
    char *counts = client_get(s, "/counts", 200);
    const char *refs = strstr(counts, "refs=");
    long n = refs ? strtol(refs + 5, NULL, 10) : -1;
    free(counts);
    return n;
}

/* Each answer is memory that the app made and gets back when it was sent: the client asks for many,
 * takes none, and only so many are ever made. */
static void client_that_takes_nothing_is_not_worked_for(void **state)
{
    (void)state;
    enum { COUNT = 60, LIMIT = 3, BYTES = 300000 };
    struct server *s = start(PROBE_SO, "limit_pipelined=3");
    struct client *c = client_to(s);
    struct buf all = {0};
    client_shrink(c);
    for (int i = 0; i < COUNT; i++)
        CHECK(buf_printf(&all, "GET /reference?n=%d HTTP/1.1\r\nHost: a\r\n\r\n", BYTES + i) == 0);
    CHECK(client_send(c, all.data, all.len));
    buf_fini(&all);
    CHECK(patience_poll(c->fd, POLLIN, patience_until(PATIENCE_MS)));
    for (int i = 0; i < 50; i++)
        CHECK(count_references(s) <= LIMIT);
    CHECK(count_references(s) > 0);
    for (int i = 0; i < COUNT; i++) {
        client_read(c, &r, false);
        CHECK_EQ(r.body.len, BYTES + i);
    }
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (count_references(s) > 0)
        CHECK(patience_turn(deadline));
}

/* A worker that was stopped finds a thousand requests of one client, and one of each of two others,
 * which came before and after it, at once: neither of them, whichever it looks at last, has to wait
 * for many of the thousand. */
static void others_get_their_turn_in_between(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct server *s = start(PROBE_SO, "limit_pipelined=1");
    pid_t pid = server_worker_pid(s, 0);
    struct client *clients[] = {client_to(s), client_to(s), client_to(s)};
    struct buf all = {0};
    for (int i = 0; i < COUNT; i++)
        CHECK(buf_printf(&all, "GET /say?text=%d HTTP/1.1\r\nHost: a\r\n\r\n", i) == 0);
    for (int i = 0; i < 3; i++)
        client_exchange(clients[i], &r, "GET /counts HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(kill(pid, SIGSTOP) == 0);
    client_send_text(clients[0], "GET /say?text=before HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client_send(clients[1], all.data, all.len));
    client_send_text(clients[2], "GET /say?text=after HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(kill(pid, SIGCONT) == 0);
    for (int i = 0; i < COUNT; i++)
        client_read(clients[1], &r, false);
    client_read(clients[0], &r, false);
    client_read(clients[2], &r, false);
    (void)server_wait_log_text(s, "probe says 999");
    const char *late = strstr(lines_text(&s->log), "probe says 200\n");
    const char *before = strstr(lines_text(&s->log), "probe says before");
    const char *after = strstr(lines_text(&s->log), "probe says after");
    CHECK(late && before && after);
    CHECK(before < late && after < late);
    buf_fini(&all);
}

/* Bodies between heads: where one ends and the next request begins must never be mistaken. */
static void requests_with_bodies_keep_their_order(void **state)
{
    (void)state;
    char *body = post_make(3000);
    struct client *c = client_to(start(REMUDA_DEMO_SO, "limit_pipelined=4"));
    for (size_t len = 0; len < 200; len++) {
        CHECK(len % 2 ? post_send(c, "/echo", "", body, len * 15)
                      : post_send_chunked(c, "/echo", body, len * 15, 100));
        send_greetings(c, (int)len, 1);
    }
    for (size_t len = 0; len < 200; len++) {
        client_read(c, &r, false);
        CHECK_BYTES(r.body.data, r.body.len, body, len * 15);
        read_greetings(c, (int)len, 1);
    }
    free(body);
}

/* What stands behind a refused request may be anything, so nobody looks at it: one answer more, and
 * the end. */
static void nothing_behind_a_refusal_is_answered(void **state)
{
    (void)state;
    struct client *c = client_to(start(REMUDA_DEMO_SO, "limit_pipelined=2"));
    send_greetings(c, 0, 20);
    client_send_text(c, "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    (void)client_send(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    read_greetings(c, 0, 20);
    client_read(c, &r, false);
    CHECK_EQ(r.status, 400);
    CHECK(r.is_closing);
    client_expect_close(c);
}

SERVER_MAIN(SERVER_TEST(order_holds_at_every_limit),
            SERVER_TEST(large_answer_between_small_ones_and_a_slow_reader),
            SERVER_TEST(client_that_takes_nothing_is_not_worked_for),
            SERVER_TEST(others_get_their_turn_in_between),
            SERVER_TEST(requests_with_bodies_keep_their_order),
            SERVER_TEST(nothing_behind_a_refusal_is_answered))
