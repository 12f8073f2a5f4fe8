/* Expect: 100-continue over the wire: the client is told to go on only when its body will be read,
 * and an expectation that nobody knows is refused (RFC 9110 §10.1.1). */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"

static struct reply r;

static struct server *start(const char *app)
{
    return server_start_app(app, "--workers", "1", "--set", "limit_request_body=1000", NULL);
}

/* Sends a head alone, with an expectation, and reads the first answer to it. */
static struct client *ask(struct server *s, const char *line, const char *fields)
{
    char request[512];
    struct client *c = client_to(s);
    check_context("%s, %s", line, fields);
    (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, fields);
    client_exchange(c, &r, request);
    return c;
}

#define CONTINUE "Expect: 100-continue\r\n"
#define FIVE "Content-Length: 5\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void body_that_will_be_read_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields, *body, *answer;
    } rows[] = {
        {"POST /echo", CONTINUE FIVE, "hello", "hello"},
        {"PUT /echo", FIVE "expect: 100-Continue\r\n", "hello", "hello"},
        {"POST /echo", CONTINUE CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"POST /count", CONTINUE FIVE, "hello", "counted 5\n"},
        {"POST /count", CONTINUE CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "counted 5\n"},
    };
    struct server *s = start(REMUDA_DEMO_SO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client *c = ask(s, rows[i].line, rows[i].fields);
        CHECK_EQ(r.status, 100);
        CHECK(client_is_quiet(c));
        client_exchange(c, &r, rows[i].body);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, rows[i].answer);
        client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* the connection is good */
        CHECK_EQ(r.status, 200);
    }
}

/* The final answer is the first one. When the connection stays, the body must still be understood
 * as one; when it closes, that is said. */
static void body_that_will_not_be_read_is_not_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields;
        int status;
    } rows[] = {
        {"POST /nowhere", CONTINUE FIVE, 404},
        {"POST /nowhere", CONTINUE CHUNKED, 404},
        {"POST /json", CONTINUE FIVE, 405},
        {"POST /echo", CONTINUE "Content-Length: 1001\r\n", 413},
        {"POST /echo", CONTINUE "Content-Length: 99999999999999999999999\r\n", 413},
        {"POST /echo", CONTINUE "Content-Length: 5\r\nContent-Length: 6\r\n", 400},
        {"POST /echo", CONTINUE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400},
        {"POST /echo", CONTINUE "Transfer-Encoding: gzip\r\n", 0},
        {"POST /echo", FIVE "Expect: 200-ok\r\n", 417},
        {"POST /count", FIVE "Expect: 200-ok\r\n", 417},
        {"POST /echo", FIVE "Expect: 100-continue, 200-ok\r\n", 417},
        {"POST /echo", CONTINUE FIVE "Expect: x\r\n", 417},
        {"GET /", "Expect: x\r\n", 417},
    };
    struct server *s = start(REMUDA_DEMO_SO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client *c = ask(s, rows[i].line, rows[i].fields);
        if (rows[i].status > 0)
            CHECK_EQ(r.status, rows[i].status);
        else
            CHECK(r.status >= 400);
        if (r.is_closing) {
            client_expect_close(c);
            continue;
        }
        client_send_text(c, strstr(rows[i].fields, CHUNKED) ? "5\r\nhello\r\n0\r\n\r\n"
                            : strstr(rows[i].fields, FIVE)  ? "hello"
                                                            : "");
        client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "hello\n");
    }
}

static void limit_of_the_route_decides(void **state)
{
    (void)state;
    struct server *s = start(BODIES_SO);
    (void)ask(s, "POST /small", CONTINUE "Content-Length: 1000\r\n");
    CHECK_EQ(r.status, 100);
    (void)ask(s, "POST /large", CONTINUE "Content-Length: 1001\r\n");
    CHECK_EQ(r.status, 100);
    (void)ask(s, "POST /back", CONTINUE "Content-Length: 1001\r\n");
    CHECK_EQ(r.status, 413);
}

/* Nobody waits for a 100 then: HTTP/1.0 does not know it, and without a body, or when some of it is
 * there, it would be noise. */
static void nobody_is_told_to_go_on_who_does_not_wait(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO);
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n" CONTINUE "\r\n");
    CHECK_EQ(r.status, 200);
    client_exchange(c, &r,
                    "POST /echo HTTP/1.1\r\nHost: a\r\n" CONTINUE "Content-Length: 0\r\n\r\n");
    CHECK_EQ(r.status, 200);
    client_exchange(c, &r, "POST /echo HTTP/1.1\r\nHost: a\r\n" CONTINUE FIVE "\r\nhello");
    CHECK_EQ(r.status, 200);
    client_exchange(c, &r, "POST /echo HTTP/1.0\r\n" CONTINUE FIVE "\r\nhello");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "hello");
}

/* RFC 9110 §10.1.1: an HTTP/1.0 client that waits for nothing sends its body later. */
static void http_1_0_is_never_sent_an_interim_answer(void **state)
{
    (void)state;
    struct client *c = client_open(server_address(start(REMUDA_DEMO_SO), 0));
    client_send_text(c, "POST /echo HTTP/1.0\r\n" CONTINUE FIVE "\r\n");
    client_send_text(c, "hel");
    client_exchange(c, &r, "lo");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "hello");
}

/* A request behind others must not have its 100 overtake their answers. */
static void interim_answer_comes_in_its_turn(void **state)
{
    (void)state;
    struct client *c = client_to(start(REMUDA_DEMO_SO));
    client_send_text(c, "GET /later?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "POST /echo HTTP/1.1\r\nHost: a\r\n" CONTINUE FIVE "\r\n");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "later 20\n");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 100);
    client_exchange(c, &r, "hello");
    CHECK_TEXT(r.body.data, "hello");
}

SERVER_MAIN(SERVER_TEST(body_that_will_be_read_is_asked_for),
            SERVER_TEST(body_that_will_not_be_read_is_not_asked_for),
            SERVER_TEST(limit_of_the_route_decides),
            SERVER_TEST(nobody_is_told_to_go_on_who_does_not_wait),
            SERVER_TEST(http_1_0_is_never_sent_an_interim_answer),
            SERVER_TEST(interim_answer_comes_in_its_turn))
