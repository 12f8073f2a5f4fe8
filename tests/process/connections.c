/* What happens to connections: keep-alive, pipelining, HTTP/1.0, and time-outs of idle ones. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

static struct reply r;

static struct client *start_and_connect(const char *setting)
{
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", setting ? "--set" : NULL, setting, NULL);
    return client_to(s);
}

static void connection_serves_many_requests(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    for (int i = 0; i < 200; i++) {
        client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(r.status, 200);
        CHECK(!r.is_closing);
    }
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(r.is_closing);
    client_expect_close(c);
}

/* Answers come in the order of the requests, whatever each of them takes. */
static void thousand_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct client *c = start_and_connect(NULL);
    struct buf all = {0};
    for (int i = 0; i < COUNT; i++)
        CHECK(buf_printf(&all, "GET /hello/%d HTTP/1.1\r\nHost: a\r\n\r\n", i) == 0);
    CHECK(client_send(c, all.data, all.len));
    buf_fini(&all);
    for (int i = 0; i < COUNT; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "hello, %d\n", i);
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, expected);
    }
}

static void pipelined_streams_and_sleeps_keep_the_order(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    client_send_text(c, "GET /sleep?ms=30 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /stream?n=3&ms=5 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /bytes?n=300000 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /hello/last HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "slept 30\n");
    client_read(c, &r, false);
    CHECK(r.is_chunked);
    client_read(c, &r, false);
    CHECK_EQ(r.body.len, 300000);
    client_read(c, &r, true);
    CHECK_TEXT(reply_field(&r, "Content-Length"), "19");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "hello, last\n");
}

static void half_a_pipelined_request_waits_for_its_rest(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    client_send_text(c, "GET /hello/1 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /hello/2 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /hello/3 HTT");
    client_read(c, &r, false);
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "hello, 2\n");
    client_send_text(c, "P/1.1\r\nHost: a\r\n\r\n");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "hello, 3\n");
}

/* The client never reads while it asks: the worker must not grow without bounds, and all answers
 * come once the client reads. */
static void pipelining_client_that_reads_late_gets_everything(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct client *c = start_and_connect(NULL);
    client_shrink(c);
    for (int i = 0; i < COUNT; i++)
        client_send_text(c, "GET /bytes?n=200000 HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < COUNT; i++) {
        client_read(c, &r, false);
        CHECK_EQ(r.body.len, 200000);
    }
}

static void client_that_says_it_sends_no_more_still_gets_its_answers(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    client_send_text(c, "GET /block?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /hello/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_shutdown(c);
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "blocked 20\n");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "hello, 2\n");
    client_expect_close(c);
}

static void http_1_0_closes_and_is_not_sent_chunks(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    client_exchange(c, &r, "GET /stream?n=3&ms=1 HTTP/1.0\r\n\r\n");
    CHECK_EQ(r.status, 200);
    CHECK(!r.is_chunked);
    CHECK(r.is_closing);
    CHECK(r.body.len > 0 && r.body.data[r.body.len - 1] == '\n');
}

/* The end of such a body is the end of the connection, whatever the client asked for. */
static void http_1_0_stream_closes_although_keep_alive_was_asked_for(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    client_exchange(c, &r, "GET /stream?n=2&ms=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK_EQ(r.status, 200);
    const char *connection = reply_field(&r, "Connection");
    CHECK(!connection || strcmp(connection, "close") == 0);
    CHECK(r.body.len > 0);
}

static void http_1_0_keep_alive_is_confirmed(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    for (int i = 0; i < 3; i++) {
        client_exchange(c, &r, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        CHECK_EQ(r.status, 200);
        CHECK(reply_field(&r, "Connection") != NULL); /* a 1.0 client must be told */
        CHECK_HAS(reply_field(&r, "Connection"), "eep-");
    }
}

static void idle_connection_is_closed_after_keepalive(void **state)
{
    (void)state;
    struct client *c = start_and_connect("keepalive=1s");
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(!r.is_closing);
    client_expect_close(c);
}

static void keepalive_zero_closes_behind_each_answer(void **state)
{
    (void)state;
    struct client *c = start_and_connect("keepalive=0");
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    CHECK(r.is_closing);
    client_expect_close(c);
}

static void head_that_never_ends_gets_408(void **state)
{
    (void)state;
    struct client *c = start_and_connect("header_timeout=1s");
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    CHECK_EQ(r.status, 408);
    CHECK(r.is_closing);
    client_expect_close(c);
}

static void body_that_stops_gets_408(void **state)
{
    (void)state;
    struct client *c = start_and_connect("body_timeout=1s");
    client_exchange(c, &r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    CHECK_EQ(r.status, 408);
    CHECK(r.is_closing);
    client_expect_close(c);
}

/* It stays in the socket's buffers and gets no answer: after write_timeout the worker lets go. */
static void client_that_never_reads_is_cut_off(void **state)
{
    (void)state;
    struct client *c = start_and_connect("write_timeout=1s");
    client_shrink(c);
    client_send_text(c, "GET /bytes?n=50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    CHECK_EQ(r.status, 200);
    /* What is sent to a closed socket is answered with a reset: then the worker has let go. */
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_send(c, "\r\n", 2))
        CHECK_SAYING(patience_turn(deadline), "the connection is still there");
}

SERVER_MAIN(SERVER_TEST(connection_serves_many_requests),
            SERVER_TEST(thousand_pipelined_requests_are_answered_in_order),
            SERVER_TEST(pipelined_streams_and_sleeps_keep_the_order),
            SERVER_TEST(half_a_pipelined_request_waits_for_its_rest),
            SERVER_TEST(pipelining_client_that_reads_late_gets_everything),
            SERVER_TEST(client_that_says_it_sends_no_more_still_gets_its_answers),
            SERVER_TEST(http_1_0_closes_and_is_not_sent_chunks),
            SERVER_TEST(http_1_0_stream_closes_although_keep_alive_was_asked_for),
            SERVER_TEST(http_1_0_keep_alive_is_confirmed),
            SERVER_TEST(idle_connection_is_closed_after_keepalive),
            SERVER_TEST(keepalive_zero_closes_behind_each_answer),
            SERVER_TEST(head_that_never_ends_gets_408), SERVER_TEST(body_that_stops_gets_408),
            SERVER_TEST(client_that_never_reads_is_cut_off))
