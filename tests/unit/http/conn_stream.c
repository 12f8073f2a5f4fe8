/* http/conn.c: streamed answers. Waits, framing, aborts, slow clients, requests behind a stream,
 * and done, which is owed exactly once whatever happens. */
#include "http/conn.h"

#include "tests/unit/http/wire.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

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

static void a_stream_is_chunked_for_http_1_1(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/stream"));
    CHECK_HAS(wire_text(&wire), "Transfer-Encoding: chunked\r\n");
    CHECK_HAS(wire_text(&wire),
              "\r\n\r\n8\r\npiece 0\n\r\n8\r\npiece 1\n\r\n8\r\npiece 2\n\r\n0\r\n\r\n");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.finished[0], 200);
}

/* RFC 9112 §6.3: 1.0 knows no chunks, the close ends the body. */
static void a_stream_ends_with_the_connection_for_http_1_0(void **state)
{
    (void)state;
    wire_feed_text(&wire, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK_HAS_NOT(wire_text(&wire), "Transfer-Encoding");
    CHECK_HAS_NOT(wire_text(&wire), "Content-Length");
    CHECK_HAS(wire_text(&wire), "\r\n\r\npiece 0\npiece 1\npiece 2\n");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
    CHECK_EQ(wire.n_done, 1);
}

static void a_stream_that_waits_gives_the_loop_to_others(void **state)
{
    (void)state;
    wire.waits_ms = 20;
    wire.keeps_waits = true;
    wire_feed_text(&wire, GET("/stream"));
    uint64_t start_us = wire.env.now_us;
    for (unsigned piece = 1; piece <= 3; piece++) {
        CHECK_EQ(wire.pieces, piece);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_TIMER);
        CHECK_EQ(wire.conn.resume_us, start_us + piece * 20000U);
        CHECK(!conn_can_go_on(&wire.conn));
        wire.env.now_us = wire.conn.resume_us - 1; /* too early */
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_TIMER);
        CHECK_EQ(wire.pieces, piece);
        CHECK_EQ(wire.n_done, 0);
        wire.env.now_us++;
        (void)wire_turn(&wire);
    }
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.n_parked, 1); /* once, not at each turn */
    WIRE_ANSWERED(&wire, 200);
}

/* Where a producer has nothing to write and returns 0 all the same, the loop has to rest. */
static void a_producer_that_never_waits_is_made_to(void **state)
{
    (void)state;
    wire.keeps_waits = true;
    wire.empty_calls = STREAM_EMPTY_MAX - 1; /* some compress */
    wire_feed_text(&wire, GET("/stream"));
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(wire.n_paced, 0);

    enum { TOO_MANY = 5 };
    wire_reopen(&wire);
    wire.empty_calls = STREAM_EMPTY_MAX + TOO_MANY;
    wire_feed_text(&wire, GET("/stream"));
    for (unsigned left = TOO_MANY + 1; left-- > 0;) {
        CHECK_EQ(wire.empty_calls, left);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_TIMER);
        CHECK_EQ(wire.conn.resume_us, wire.env.now_us + STREAM_PACE_MS * 1000U);
        CHECK_EQ(wire.n_paced, 1); /* told once */
        wire.env.now_us = wire.conn.resume_us;
        (void)wire_turn(&wire);
    }
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(wire.n_done, 1);
}

/* The producer is asked for more when the client has read, but for the little that one write
 * takes. */
static void a_slow_client_holds_up_its_own_stream_only(void **state)
{
    (void)state;
    size_t ahead = 65536 + 2 * 16384 + 4096;
    wire.piece_bytes = 16384;
    wire.room = 0;
    (void)wire_read(&wire, GET("/stream"), strlen(GET("/stream")));
    unsigned pieces = wire.pieces;
    CHECK(pieces * 16384 <= ahead);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_WRITE);
    CHECK_EQ(wire.pieces, pieces);
    while (wire.n_done == 0) {
        wire.room = 1000;
        (void)wire_turn(&wire);
        CHECK(wire.pieces * 16384 <= wire.sent.len + ahead);
    }
    wire.room = WIRE_ENDLESS;
    (void)wire_rest(&wire);
    struct wire_answer answer;
    CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
    CHECK_EQ(answer.body.len, 100 * 16384);
    for (size_t i = 0; i < answer.body.len; i += 16384)
        CHECK_BYTES(answer.body.p + i, 16384, wire_big, 16384);
}

/* A body that breaks off must not look complete: no last chunk, and the connection is cut. */
static void a_stream_that_aborts_is_cut(void **state)
{
    (void)state;
    wire.ends_with = RMD_ABORT;
    wire_feed_text(&wire, GET("/stream") GET("/"));
    CHECK_HAS(wire_text(&wire), "piece 2");
    CHECK_HAS_NOT(wire_text(&wire), "\r\n0\r\n\r\n");
    CHECK_HAS_NOT(wire_text(&wire), "hello");
    CHECK(wire.conn.state == CONN_CLOSED || wire.conn.state == CONN_LINGER);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], 0); /* cut off, for the log */
}

static void requests_behind_a_stream_are_answered_behind_it(void **state)
{
    (void)state;
    static const char requests[] = GET("/stream") GET("/hello/one")
        GET("/stream") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET(
            "/hello/two");
    size_t len = sizeof requests - 1;
    for (int waits_ms = 0; waits_ms < 10; waits_ms += 5) {
        for (size_t cut = 1; cut <= len; cut++) {
            check_context("waits of %d ms, cut at %zu", waits_ms, cut);
            wire_reopen(&wire);
            wire.waits_ms = waits_ms;
            CHECK_EQ(wire_feed(&wire, requests, cut), cut);
            CHECK_EQ(wire_feed(&wire, requests + cut, len - cut), len - cut);
            struct wire_answer answers[5];
            CHECK_EQ(wire_answers(&wire, false, answers, 5), 5);
            CHECK_BYTES(answers[1].body.p, answers[1].body.len, "hello, one\n", 11);
            CHECK_BYTES(answers[2].body.p, answers[2].body.len, "piece 0\npiece 1\npiece 2\n", 24);
            CHECK_BYTES(answers[3].body.p, answers[3].body.len, "body", 4);
            CHECK_BYTES(answers[4].body.p, answers[4].body.len, "hello, two\n", 11);
            CHECK_EQ(wire.n_done, 2);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
        }
    }
}

/* The whole of a read behind a stream that waits is kept, also when it is as large as a read can
 * be. */
static void a_full_buffer_behind_a_stream_is_kept(void **state)
{
    (void)state;
    struct buf requests = {0};
    unsigned n = 0;
    CHECK(buf_printf(&requests, GET("/stream")) == 0);
    for (; requests.len < WIRE_IN_BYTES + 5000; n++)
        CHECK(buf_printf(&requests, GET("/hello/%u"), n) == 0);
    wire.waits_ms = 5;
    CHECK_EQ(wire_feed(&wire, requests.data, requests.len), requests.len);
    CHECK_EQ(wire.n_finished, n + 1);
    buf_fini(&requests);
    const char *at = wire_text(&wire);
    for (unsigned i = 0; i < n; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "\nhello, %u\n", i);
        at = strstr(at, line);
        CHECK_SAYING(at != NULL, "answer %u is missing or out of order", i);
    }
}

static void a_client_that_leaves_ends_its_stream(void **state)
{
    (void)state;
    wire.waits_ms = 20;
    wire.keeps_waits = true;
    wire_feed_text(&wire, GET("/stream"));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_TIMER);
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], 0);
    conn_fini(&wire.conn); /* again: nothing is owed any more */
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.n_finished, 1);
}

static void a_stream_whose_client_reads_nothing_times_out(void **state)
{
    (void)state;
    wire.room = 0;
    wire.piece_bytes = 30000;
    (void)wire_read(&wire, GET("/stream"), strlen(GET("/stream")));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    conn_on_timeout(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.finished[0], 0);
}

/* A drain that begins in the middle of a stream, which had promised to go on: the client may have
 * sent its next request already, so the connection is kept, and the next answer says close. */
static void a_stream_in_a_draining_loop_is_finished_and_kept(void **state)
{
    (void)state;
    wire.waits_ms = 20;
    wire.keeps_waits = true;
    wire_feed_text(&wire, GET("/stream"));
    wire.env.is_draining = true;
    wire.keeps_waits = false;
    (void)wire_rest(&wire);
    struct wire_answer answers[2];
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 1);
    CHECK_BYTES(answers[0].body.p, answers[0].body.len, "piece 0\npiece 1\npiece 2\n", 24);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    wire_reopen(&wire); /* a request that is here already still gets its answer, the last */
    wire.env.is_draining = false;
    wire.keeps_waits = true;
    wire_feed_text(&wire, GET("/stream") GET("/hello/b"));
    wire.env.is_draining = true;
    wire.keeps_waits = false;
    (void)wire_rest(&wire);
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
    struct str value;
    CHECK(wire_field(&answers[1], "Connection", &value) && str_is_equal(value, STR("close")));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stream_is_chunked_for_http_1_1, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_ends_with_the_connection_for_http_1_0, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stream_that_waits_gives_the_loop_to_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_producer_that_never_waits_is_made_to, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_client_holds_up_its_own_stream_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stream_that_aborts_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_behind_a_stream_are_answered_behind_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_buffer_behind_a_stream_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_leaves_ends_its_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_whose_client_reads_nothing_times_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stream_in_a_draining_loop_is_finished_and_kept, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
