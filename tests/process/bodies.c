/* Request bodies: framing, sizes, limits, and the talk before a body. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/server.h"

static struct reply r;

static struct client *start_and_connect(const char *setting)
{
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", setting ? "--set" : NULL, setting, NULL);
    return client_to(s);
}

static void five_mebibytes_come_back(void **state)
{
    (void)state;
    const size_t len = 5U << 20;
    char *body = post_make(len);
    struct client *c = start_and_connect(NULL);
    for (int i = 0; i < 2; i++) {
        CHECK(post_send(c, "/echo", "", body, len));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_BYTES(r.body.data, r.body.len, body, len);
    }
    free(body);
}

static void five_mebibytes_in_chunks_come_back(void **state)
{
    (void)state;
    const size_t len = 5U << 20;
    static const size_t chunks[] = {1000, 65536, 5U << 20};
    char *body = post_make(len);
    struct client *c = start_and_connect(NULL);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        CHECK(post_send_chunked(c, "/echo", body, len, chunks[i]));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_BYTES(r.body.data, r.body.len, body, len);
    }
    free(body);
}

static void bodies_may_come_octet_by_octet(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\n"};
    struct client *c = start_and_connect(NULL);
    for (size_t i = 0; i < 2; i++) {
        CHECK(client_send_pieces(c, requests[i], strlen(requests[i]), 1));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "hello world");
    }
}

/* With each number of answers that take a turn's rounds, one of which is the last. */
static void body_that_is_whole_at_the_end_of_a_turn_is_answered(void **state)
{
    (void)state;
    enum { LEN = 60000, ANSWERS_MAX = 20 };
    static const char get[] = "GET /bytes?n=20000 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char *const classes[] = {"event", "sync"};
    char *body = post_make(LEN);
    for (int k = 0; k < 2; k++) {
        struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--worker-class",
                                            classes[k], "--body-timeout", "2s", NULL);
        struct client *c = client_to(s);
        for (int n = 10; n <= ANSWERS_MAX; n++) {
            struct buf requests = {0};
            check_context("%s, behind %d answers", classes[k], n);
            for (int i = 0; i < n; i++)
                CHECK_EQ(buf_append(&requests, get, sizeof get - 1), 0);
            CHECK_EQ(buf_printf(&requests,
                                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                                LEN),
                     0);
            CHECK_EQ(buf_append(&requests, body, LEN), 0);
            CHECK_EQ(kill(server_worker_pid(s, 0), SIGSTOP), 0); /* so that all of it is there */
            CHECK(client_send(c, requests.data, requests.len));
            CHECK_EQ(kill(server_worker_pid(s, 0), SIGCONT), 0);
            for (int i = 0; i < n; i++) {
                client_read(c, &r, false);
                CHECK_EQ(r.status, 200);
            }
            client_read(c, &r, false);
            CHECK_EQ(r.status, 200);
            CHECK_BYTES(r.body.data, r.body.len, body, LEN);
            buf_fini(&requests);
        }
    }
    free(body);
}

static void body_at_the_limit_passes_and_one_more_is_413(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set",
                                        "limit_request_body=1000", NULL);
    static const struct {
        size_t len;
        int status;
    } rows[] = {{999, 200}, {1000, 200}, {1001, 413}};
    char *body = post_make(1001);
    for (size_t i = 0; i < 3; i++) {
        for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
            check_context("%zu octets%s", rows[i].len, is_chunked ? ", chunked" : "");
            struct client *c = client_to(s);
            CHECK((is_chunked ? post_send_chunked(c, "/echo", body, rows[i].len, 400)
                              : post_send(c, "/echo", "", body, rows[i].len)) ||
                  rows[i].status == 413);
            client_read(c, &r, false);
            CHECK_EQ(r.status, rows[i].status);
            if (rows[i].status == 413)
                client_expect_close(c);
            client_close(c);
        }
    }
    free(body);
}

/* A client that sends a large body and only then reads must find the 413: the server goes on
 * reading for a while instead of closing, which would answer what still comes with a reset, and a
 * reset may take the answer away (RFC 9112 §9.6). Linux spares what was received; the sender sees
 * the reset. One round without it is proof enough: the server lingers for a limited time. */
static void refusal_of_a_large_body_is_not_lost_in_a_reset(void **state)
{
    (void)state;
    char *body = post_make(300000);
    unsigned without_reset = 0;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set",
                                        "limit_request_body=1000", NULL);
    for (int i = 0; i < 20; i++) {
        struct client *c = client_to(s);
        client_send_text(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
        bool is_taken = client_send(c, body, 200000);
        CHECK(patience_poll(c->fd, POLLIN, patience_until(PATIENCE_MS)));
        for (int k = 0; k < 5 && is_taken; k++) {
            is_taken = client_send(c, body, 20000);
            (void)patience_turn(UINT64_MAX);
        }
        client_read(c, &r, false);
        CHECK_EQ(r.status, 413);
        without_reset += is_taken;
        client_close(c);
    }
    CHECK(without_reset > 0);
    free(body);
}

static void expect_continue_is_answered_before_the_body(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    for (int i = 0; i < 3; i++) {
        client_send_text(c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                            "Content-Length: 5\r\n\r\n");
        client_read(c, &r, false);
        CHECK_EQ(r.status, 100);
        client_send_text(c, "hello");
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "hello");
    }
}

static void expect_continue_with_chunks(void **state)
{
    (void)state;
    struct client *c = start_and_connect(NULL);
    client_exchange(c, &r,
                    "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
    CHECK_EQ(r.status, 100);
    client_exchange(c, &r, "5\r\nhello\r\n0\r\n\r\n");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "hello");
}

static void client_that_leaves_within_its_body_harms_nobody(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    for (int i = 0; i < 50; i++) {
        struct client *c = client_to(s);
        client_send_text(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome");
        if (i % 2)
            client_abort(c);
        else
            client_close(c);
    }
    free(client_get(s, "/", 200));
}

SERVER_MAIN(SERVER_TEST(five_mebibytes_come_back), SERVER_TEST(five_mebibytes_in_chunks_come_back),
            SERVER_TEST(bodies_may_come_octet_by_octet),
            SERVER_TEST(body_that_is_whole_at_the_end_of_a_turn_is_answered),
            SERVER_TEST(body_at_the_limit_passes_and_one_more_is_413),
            SERVER_TEST(refusal_of_a_large_body_is_not_lost_in_a_reset),
            SERVER_TEST(expect_continue_is_answered_before_the_body),
            SERVER_TEST(expect_continue_with_chunks),
            SERVER_TEST(client_that_leaves_within_its_body_harms_nobody))
