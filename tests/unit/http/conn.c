/* http/conn.c: requests in, answers out. Keep-alive, pipelining, bodies, HEAD, 100-continue,
 * refusals; and the property that answers do not depend on how requests are cut. What is blocked,
 * streamed or cut off is in conn_output.c, conn_stream.c and conn_end.c. */
#include "http/conn.h"

#include "tests/unit/http/wire.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define COMMON "Server: remuda\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"

static struct wire wire;

static int setup(void **state)
{
    (void)state;
    wire_open(&wire);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    return 0;
}

static void an_answer_is_what_rfc_9112_wants(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/"));
    CHECK_TEXT(wire_text(&wire), "HTTP/1.1 200 OK\r\n" COMMON
                                 "Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n");
    CHECK_EQ(wire.conn.state, CONN_IDLE);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    CHECK(wire.conn.ex == NULL); /* an idle connection has no exchange */
}

static void date_follows_the_clock_and_server_is_cut_or_left_out(void **state)
{
    (void)state;
    char server[200];
    memset(server, 's', sizeof server);
    conn_env_set_time(&wire.env, WIRE_WALL + 1, str_make(server, sizeof server));
    wire_feed_text(&wire, GET("/"));
    server[CONN_SERVER_MAX] = '\0';
    CHECK_HAS(wire_text(&wire), "\r\nDate: Tue, 14 Nov 2023 22:13:21 GMT\r\n");
    char line[200];
    (void)snprintf(line, sizeof line, "\r\nServer: %s\r\n", server);
    CHECK_HAS(wire_text(&wire), line);
    wire.sent.len = 0;
    conn_env_set_time(&wire.env, WIRE_WALL + 2, STR(""));
    wire_feed_text(&wire, GET("/"));
    CHECK_HAS(wire_text(&wire), "HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:22 GMT\r\n");
    CHECK_HAS_NOT(wire_text(&wire), "Server:");
}

/* ---- how long a connection lives ---- */

/* RFC 9112 §9.3 */
static void a_connection_lives_as_long_as_both_sides_want(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        const char *connection; /* of the answer; NULL: none */
        bool is_kept;
    } rows[] = {
        {GET("/"), NULL, true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close", false},
        {"GET / HTTP/1.0\r\n\r\n", "close", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", true},
        {"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "close", false},
        {"GET / HTTP/1.4\r\nHost: a\r\n\r\n", NULL, true},
        {"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", NULL, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wire_answer answer;
        struct str value = {0};
        check_context("%s", rows[i].request);
        wire_reopen(&wire);
        wire_feed_text(&wire, rows[i].request);
        CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
        CHECK_EQ(wire_field(&answer, "Connection", &value), rows[i].connection != NULL);
        if (rows[i].connection)
            CHECK(str_is_equal(value, str_of(rows[i].connection)));
        CHECK_EQ(wire.conn.state, rows[i].is_kept ? CONN_IDLE : CONN_CLOSED);
    }
}

static void a_draining_loop_closes_behind_each_answer(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/"));
    wire.env.is_draining = true;
    wire_feed_text(&wire, GET("/"));
    CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
    WIRE_ANSWERED(&wire, 200, 200);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
}

/* What is behind an answer that says close gets none. */
static void a_draining_loop_says_close_with_the_last_request_that_is_here(void **state)
{
    struct wire_answer answers[3];
    struct str value;
    (void)state;
    wire.env.is_draining = true;
    wire_feed_text(&wire, GET("/") GET("/hello/b") GET("/hello/c"));
    CHECK_EQ(wire_answers(&wire, false, answers, 3), 3);
    CHECK(!wire_field(&answers[0], "Connection", &value));
    CHECK(!wire_field(&answers[1], "Connection", &value));
    CHECK(wire_field(&answers[2], "Connection", &value) && str_is_equal(value, STR("close")));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
    wire_reopen(&wire); /* and one that has begun is one that is here */
    wire_feed_text(&wire, GET("/") "GET /he");
    CHECK_EQ(wire_answers(&wire, false, answers, 3), 1);
    CHECK(!wire_field(&answers[0], "Connection", &value));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_HEAD);
    wire_feed_text(&wire, "llo/b HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
}

static void a_loop_without_keep_alive_says_close_with_the_first(void **state)
{
    (void)state;
    wire.env.is_keep_alive_off = true;
    wire_feed_text(&wire, GET("/") GET("/"));
    WIRE_ANSWERED(&wire, 200);
    CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
}

/* Closing with input unread would reset the connection under the answer. */
static void what_follows_a_close_is_read_but_not_answered(void **state)
{
    (void)state;
    wire_feed_text(&wire, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/hello/b"));
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
    wire_feed_text(&wire, GET("/hello/c"));
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
}

/* ---- pipelining ---- */

static void pipelined_requests_are_answered_in_order_and_in_one_write(void **state)
{
    (void)state;
    struct buf requests = {0};
    for (int i = 0; i < 60; i++)
        CHECK(buf_printf(&requests, GET("/hello/%d"), i) == 0);
    CHECK_EQ(wire_feed(&wire, requests.data, requests.len), requests.len);
    buf_fini(&requests);
    CHECK_EQ(wire.writes, 1);
    CHECK_EQ(wire.n_finished, 60);
    struct wire_answer answers[60];
    CHECK_EQ(wire_answers(&wire, false, answers, 60), 60);
    for (int i = 0; i < 60; i++) {
        char expected[32];
        int n = snprintf(expected, sizeof expected, "hello, %d\n", i);
        CHECK_BYTES(answers[i].body.p, answers[i].body.len, expected, (size_t)n);
    }
}

/* Many large answers to one read: gathered up to a bound, then written, then gone on with. */
static void pipelined_answers_are_not_gathered_without_bound(void **state)
{
    (void)state;
    struct buf requests = {0};
    char body[3000];
    memset(body, 'b', sizeof body);
    for (int i = 0; i < 200; i++) {
        CHECK(buf_printf(&requests,
                         "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n") == 0);
        CHECK(buf_append(&requests, body, sizeof body) == 0);
    }
    wire_close(&wire);
    wire_open_with(&wire, &wire_limits, 1 << 20); /* all of them in one read */
    CHECK_EQ(wire_feed(&wire, requests.data, requests.len), requests.len);
    buf_fini(&requests);
    CHECK_EQ(wire.n_finished, 200);
    CHECK(wire.writes > 4 && wire.writes < 20);
    struct wire_answer answers[200];
    CHECK_EQ(wire_answers(&wire, false, answers, 200), 200);
    for (int i = 0; i < 200; i++)
        CHECK_BYTES(answers[i].body.p, answers[i].body.len, body, sizeof body);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
}

/* RFC 9112 §2.2, and LLHTTP.md 10. */
static void a_bad_request_behind_good_ones_leaves_them_their_answers(void **state)
{
    (void)state;
    wire_feed_text(&wire,
                   GET("/") GET("/nowhere") "GET / HTTP/1.1\r\nBad Name: x\r\n\r\n" GET("/"));
    WIRE_ANSWERED(&wire, 200, 404, 400);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
}

static void empty_lines_before_a_request_are_ignored(void **state)
{
    (void)state;
    wire_feed_text(&wire, "\r\n\r\n" GET("/") "\r\n" GET("/hello/b"));
    WIRE_ANSWERED(&wire, 200, 200);
    wire_reopen(&wire);
    wire_feed_text(&wire, "\r");
    wire_feed_text(&wire, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    WIRE_ANSWERED(&wire, 200);
    static const char *const bad[] = {
        "\n" GET("/"), "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\r\n",
        "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        wire_reopen(&wire);
        check_context("%zu", i);
        wire_feed_text(&wire, bad[i]);
        WIRE_ANSWERED(&wire, 400);
    }
}

/* ---- bodies ---- */

static void bodies_reach_the_handler_whole(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                          "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n"
                          "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                          "POST /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    struct wire_answer answers[4];
    CHECK_EQ(wire_answers(&wire, false, answers, 4), 4);
    CHECK_BYTES(answers[0].body.p, answers[0].body.len, "hello", 5);
    CHECK_BYTES(answers[1].body.p, answers[1].body.len, "abcde", 5);
    CHECK_EQ(answers[2].body.len, 0);
    CHECK_EQ(answers[3].body.len, 0);
}

static void a_body_of_megabytes_is_read_and_sent_back(void **state)
{
    (void)state;
    size_t len = 5U << 20;
    struct buf request = {0};
    CHECK(buf_printf(&request, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                     len) == 0);
    size_t head = request.len;
    CHECK(buf_reserve(&request, len) == 0);
    for (size_t i = 0; i < len; i++)
        request.data[request.len++] = (char)(i * 7 % 251);
    CHECK_EQ(wire_feed(&wire, request.data, 100), 100);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_BODY);
    CHECK_EQ(wire_feed(&wire, request.data + 100, request.len - 100), request.len - 100);
    struct wire_answer answer;
    CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
    CHECK_BYTES(answer.body.p, answer.body.len, request.data + head, len);
    buf_fini(&request);
}

/* ---- methods ---- */

/* RFC 9110 §9.3.2: as GET, without the body. */
static void head_gets_the_head_alone(void **state)
{
    (void)state;
    wire_feed_text(&wire, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                          "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n"
                          "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n"
                          "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    struct wire_answer answers[4];
    struct str value;
    CHECK_EQ(wire_answers(&wire, true, answers, 4), 4);
    CHECK(wire_field(&answers[0], "Content-Length", &value) && str_is_equal(value, STR("6")));
    CHECK(wire_field(&answers[1], "Content-Length", &value) && str_is_equal(value, STR("300000")));
    CHECK(wire_field(&answers[2], "Transfer-Encoding", &value));
    CHECK(!wire_field(&answers[2], "Content-Length", &value));
    CHECK_EQ(answers[3].status, 404);
    CHECK_EQ(wire.n_done, 2); /* of /big and /stream, which were not sent */
    CHECK_EQ(wire.n_finished, 4);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
}

/* RFC 9110 §6.4.1 */
static void no_content_means_no_body_and_no_length(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/no-content") "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/"));
    WIRE_ANSWERED(&wire, 204, 204, 200);
    CHECK_HAS_NOT(wire_text(&wire), "never sent");
    struct wire_answer answers[3];
    struct str value;
    CHECK_EQ(wire_answers(&wire, false, answers, 3), 3);
    CHECK(!wire_field(&answers[0], "Content-Length", &value));
}

/* ---- Expect, RFC 9110 §10.1.1 ---- */

static void continue_is_said_before_a_body_that_is_wanted(void **state)
{
    (void)state;
    static const char head[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    wire_feed_text(&wire, head);
    CHECK_TEXT(wire_text(&wire), "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_BODY);
    wire_feed_text(&wire, "hi");
    WIRE_ANSWERED(&wire, 100, 200);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    wire_reopen(&wire);
    wire_feed_text(&wire, GET("/") "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n");
    WIRE_ANSWERED(&wire, 200, 100);
}

static void continue_is_not_said_for_a_body_that_is_not_wanted(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {"POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
         404},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 405},
        {"POST /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n",
         413},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 2\r\n\r\n", 417},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wire_reopen(&wire);
        wire_feed_text(&wire, rows[i].request);
        WIRE_ANSWERED(&wire, rows[i].status);
        /* the client may have begun to send it all the same: read, and not taken for a request */
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
        CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
    }
    wire_reopen(&wire);
    wire_feed_text(&wire,
                   "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK_EQ(wire.sent.len, 0);
    wire_reopen(&wire);
    wire_feed_text(&wire, "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    WIRE_ANSWERED(&wire, 200);
}

/* ---- refusals ---- */

static void a_refusal_is_one_answer_and_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
        unsigned n_errors; /* pages from the hook: for requests that were well-formed */
    } rows[] = {
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, 0},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, 0},
        {"GET / HTTP/1.1\r\n\r\n", 400, 0},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, 0},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, 1},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890", 413, 1},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413, 1},
        {"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n", 413, 1},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].request);
        wire_reopen(&wire);
        wire_feed_text(&wire, rows[i].request);
        wire_feed_text(&wire, GET("/"));
        WIRE_ANSWERED(&wire, rows[i].status);
        CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
        CHECK_EQ(wire.n_errors, rows[i].n_errors);
        CHECK_EQ(wire.n_handled, 0);
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(wire.finished[0], rows[i].status);
    }
    wire_reopen(&wire);
    wire_feed_text(&wire,
                   "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    WIRE_ANSWERED(&wire, 200);
}

/* RFC 9110 §9.3.2: no answer to HEAD has a body, not even a refusal. */
static void a_refused_head_gets_no_body(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "HEAD / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\nHost : a\r\n\r\n",
        "HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/2.0\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wire_answer answer;
        check_context("%s", rows[i]);
        wire_reopen(&wire);
        wire_feed_text(&wire, rows[i]);
        CHECK_EQ(wire_answers(&wire, true, &answer, 1), 1);
        CHECK(answer.status >= 400);
    }
}

/* ---- the property ---- */

/* The same octets out, whatever the pieces in which they come in. */
static void answers_do_not_depend_on_how_requests_are_cut(void **state)
{
    (void)state;
    static const char requests[] =
        GET("/") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"
                 "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n" GET("/stream")
                     GET("/nowhere") "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET(
                         "/big") "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
                                 "GET /hello/last HTTP/1.5\r\nHost: a\r\nConnection: "
                                 "close\r\n\r\nrubbish";
    size_t len = sizeof requests - 1;
    CHECK_EQ(wire_feed(&wire, requests, len), len);
    struct buf expected = wire.sent;
    wire.sent = (struct buf){0};
    CHECK(memmem(expected.data, expected.len, "hello, last\n", 12) != NULL);
    unsigned n_finished = wire.n_finished;
    CHECK_EQ(n_finished, 9);
    for (size_t piece = 1; piece < len; piece++) {
        check_context("pieces of %zu", piece);
        wire_reopen(&wire);
        for (size_t at = 0; at < len; at += piece)
            (void)wire_feed(&wire, requests + at, piece < len - at ? piece : len - at);
        CHECK_BYTES(wire.sent.data, wire.sent.len, expected.data, expected.len);
        CHECK_EQ(wire.n_finished, n_finished);
        CHECK_EQ(wire.n_done, 2);
        check_context("cut at %zu", piece);
        wire_reopen(&wire);
        (void)wire_feed(&wire, requests, piece);
        (void)wire_feed(&wire, requests + piece, len - piece);
        CHECK_BYTES(wire.sent.data, wire.sent.len, expected.data, expected.len);
    }
    buf_fini(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_is_what_rfc_9112_wants, setup, teardown),
        cmocka_unit_test_setup_teardown(date_follows_the_clock_and_server_is_cut_or_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_connection_lives_as_long_as_both_sides_want, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_draining_loop_closes_behind_each_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_draining_loop_says_close_with_the_last_request_that_is_here, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loop_without_keep_alive_says_close_with_the_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_follows_a_close_is_read_but_not_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order_and_in_one_write,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined_answers_are_not_gathered_without_bound, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bad_request_behind_good_ones_leaves_them_their_answers,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(empty_lines_before_a_request_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies_reach_the_handler_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_of_megabytes_is_read_and_sent_back, setup, teardown),
        cmocka_unit_test_setup_teardown(head_gets_the_head_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(no_content_means_no_body_and_no_length, setup, teardown),
        cmocka_unit_test_setup_teardown(continue_is_said_before_a_body_that_is_wanted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(continue_is_not_said_for_a_body_that_is_not_wanted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_refusal_is_one_answer_and_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_head_gets_no_body, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_do_not_depend_on_how_requests_are_cut, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
