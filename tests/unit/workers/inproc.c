/* workers/inproc.c: requests are written, exchanged and taken apart without a socket. */
#include "workers/inproc.h"

#include "tests/unit/workers/calls.h"

static void handler(rmd_request *req, rmd_response *res)
{
    rmd_slice body = rmd_body(req);
    rmd_send(res, 200, "a/b", body.data, body.len);
}

static unsigned n_pieces;
static unsigned n_done;

static int produce(rmd_writer *out, void *state)
{
    char piece[1000];
    memset(piece, 'p', sizeof piece);
    CHECK(state == NULL);
    CHECK_EQ(rmd_write(out, piece, sizeof piece), 0);
    return ++n_pieces == 5 ? RMD_END : 3600000; /* an hour each, passed over */
}

static int produce_forever(rmd_writer *out, void *state)
{
    char piece[10000];
    memset(piece, 'p', sizeof piece);
    CHECK(state == NULL);
    CHECK_EQ(rmd_write(out, piece, sizeof piece), 0);
    CHECK_SAYING(++n_pieces < 10000, "an endless stream is never cut");
    return 0;
}

static int produce_nothing(rmd_writer *out, void *state)
{
    (void)out;
    CHECK(state == NULL);
    return 1;
}

static void on_done(void *state)
{
    CHECK(state == NULL);
    n_done++;
}

static void stream(rmd_request *req, rmd_response *res)
{
    n_pieces = 0;
    rmd_producer which = rmd_query(req, "forever")   ? produce_forever
                         : rmd_query(req, "nothing") ? produce_nothing
                                                     : produce;
    rmd_stream(res, 200, "a/b", which, NULL, on_done);
}

static const rmd_route routes[] = {{.method = "*", .pattern = "/echo", .handler = handler},
                                   {.method = "GET", .pattern = "/stream", .handler = stream},
                                   {0}};
static const rmd_app app = CALLS_APP(.routes = routes);

static int setup(void **state)
{
    (void)state;
    n_done = 0;
    calls_open(&app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

static void requests_are_written_with_what_they_need(void **state)
{
    (void)state;
    struct buf octets = {0};
    struct inproc_request request = {"POST", "/a?b", STR("X: y\r\nZ: \r\n"), str_make("a\0b", 3)};
    CHECK_EQ(inproc_write_request(&request, &octets), 0);
    static const char expected[] = "POST /a?b HTTP/1.1\r\nHost: localhost\r\nX: y\r\nZ: \r\n"
                                   "Content-Length: 3\r\n\r\na\0b";
    CHECK_BYTES(octets.data, octets.len, expected, sizeof expected - 1);
    octets.len = 0;
    request = (struct inproc_request){"GET", "/", STR(""), STR("")};
    CHECK_EQ(inproc_write_request(&request, &octets), 0);
    static const char bare[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    CHECK_BYTES(octets.data, octets.len, bare, sizeof bare - 1);
    buf_fini(&octets);
}

/* An exchange, and whether the connection closed behind it. */
static bool closes(const char *octets, size_t len)
{
    bool is_closing = false;
    calls_answer.len = 0;
    CHECK_EQ(inproc_exchange(&calls_app, &calls_limits, str_make(octets, len), &calls_answer,
                             &is_closing),
             0);
    CHECK(buf_append(&calls_answer, "", 1) == 0);
    calls_answer.len--;
    return is_closing;
}

#define CLOSES(octets) closes(octets, sizeof(octets) - 1)

static void an_exchange_says_whether_the_connection_closed(void **state)
{
    (void)state;
    CHECK(!CLOSES("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK_HAS(calls_answer.data, "HTTP/1.1 200 OK\r\nServer: remuda\r\nDate: ");
    CHECK(CLOSES("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    CHECK(CLOSES("GET /echo HTTP/1.0\r\n\r\n"));
    CHECK(CLOSES("GE(T\r\n\r\n"));
    CHECK(!CLOSES("GET /echo HTTP/1.1\r\nHost: a\r\n")); /* unfinished: no answer */
    CHECK_EQ(calls_answer.len, 0);
    CHECK(!CLOSES(""));
    CHECK_EQ(calls_answer.len, 0);
}

static void a_body_of_any_size_goes_through(void **state)
{
    (void)state;
    for (size_t len = 1; len < 3000000; len = len * 7 + 1) {
        char *body = malloc(len + 1);
        CHECK(body != NULL);
        memset(body, 'b', len);
        body[len] = '\0';
        check_context("%zu octets", len);
        CHECK_EQ(calls_send_request("POST", "/echo", "", body), 200);
        CHECK_BYTES(calls_body.data, calls_body.len, body, len);
        free(body);
    }
    check_context("nothing");
    CHECK_EQ(calls_send_request("POST", "/echo", "Expect: 100-continue\r\n", "x"), 200);
    CHECK_TEXT(calls_text(), "x");
}

static void waits_of_a_stream_are_passed_over(void **state)
{
    (void)state;
    CHECK_EQ(calls_get("/stream"), 200);
    CHECK_EQ(calls_body.len, 5000);
    CHECK_EQ(strspn(calls_text(), "p"), 5000);
    CHECK_EQ(n_done, 1);
}

static void an_endless_stream_is_cut(void **state)
{
    (void)state;
    CHECK(CLOSES("GET /stream?forever HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(calls_answer.len >= INPROC_STREAM_MAX_BYTES);
    CHECK(calls_answer.len < INPROC_STREAM_MAX_BYTES + (1 << 20));
    CHECK_EQ(n_done, 1);
    CHECK(CLOSES("GET /stream?nothing HTTP/1.1\r\nHost: a\r\n\r\n")); /* for ever nothing */
    CHECK_EQ(n_done, 2);
}

/* Takes octets apart as if they were an answer. */
static int read_answer(const char *octets, const char *head, const char *body)
{
    struct buf head_buf = {0}, body_buf = {0};
    int status = inproc_read_answer(str_of(octets), &head_buf, &body_buf);
    check_context("%s", octets);
    if (status > 0)
        CHECK_TEXT(head_buf.data, head);
    CHECK_BYTES(body_buf.data ? body_buf.data : "", body_buf.len, body, strlen(body));
    buf_fini(&head_buf);
    buf_fini(&body_buf);
    return status;
}

#define OK "HTTP/1.1 200 OK\r\n"

static void answers_are_taken_apart(void **state)
{
    (void)state;
    CHECK_EQ(read_answer(OK "Content-Length: 2\r\n\r\nhi", OK "Content-Length: 2\r\n\r\n", "hi"),
             200);
    CHECK_EQ(read_answer(OK "Content-Length: 2\r\n\r\nhiHTTP/1.1 404",
                         OK "Content-Length: 2\r\n\r\n", "hi"),
             200);
    CHECK_EQ(read_answer(OK "Content-Length: 5\r\n\r\nhi", OK "Content-Length: 5\r\n\r\n", "hi"),
             200);
    CHECK_EQ(read_answer(OK "\r\nuntil close", OK "\r\n", "until close"), 200);
    CHECK_EQ(read_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"
                         "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                         "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ""),
             404);
    static const char chunked[] = OK "Transfer-Encoding: chunked\r\n\r\n";
    CHECK_EQ(
        read_answer(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nA\r\n0123456789\r\n0\r\n\r\n",
                    chunked, "hi0123456789"),
        200);
    CHECK_EQ(
        read_answer(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\na\r\n0123", chunked, "hi0123"),
        200); /* cut off: what there is */
    CHECK_EQ(read_answer(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\na", chunked, "hi"), 200);
    CHECK_EQ(read_answer(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi", chunked, "hi"), 200);
    CHECK_EQ(read_answer(OK "Transfer-Encoding: chunked\r\n\r\n", chunked, ""), 200);
}

static void what_is_no_answer_gives_none(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
                                       "HTTP/1.1 100 Continue\r\n\r\n",
                                       "\r\n\r\n",
                                       "HTTP/1.1\r\n\r\n",
                                       "HTTP/1.1 abc\r\n\r\n"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ(read_answer(rows[i], "", ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_written_with_what_they_need, setup, teardown),
        cmocka_unit_test_setup_teardown(an_exchange_says_whether_the_connection_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_body_of_any_size_goes_through, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_of_a_stream_are_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(an_endless_stream_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_taken_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_answer_gives_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
