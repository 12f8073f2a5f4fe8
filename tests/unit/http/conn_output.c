/* http/conn.c: output that the socket does not take at once. Whatever it takes at a time, the
 * client gets the same octets; large bodies go out from where they lie; nothing is read
 * meanwhile. */
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

/* The client reads `step` octets whenever the server waits for it, until nothing comes any more. */
static void drain(size_t step)
{
    wire.room = step;
    while (wire_rest(&wire) == CONN_WAIT_WRITE)
        wire.room = step;
}

static void a_large_body_is_sent_from_where_it_lies(void **state)
{
    (void)state;
    struct iovec parts[2];
    wire.room = 0;
    (void)wire_read(&wire, GET("/big"), strlen(GET("/big")));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    CHECK_EQ(wire.conn.state, CONN_SENDING);
    CHECK_EQ(conn_output(&wire.conn, parts), 2); /* head, and the handler's own octets */
    CHECK(parts[1].iov_base == wire_big);
    CHECK_EQ(parts[1].iov_len, WIRE_BIG_BYTES);
    conn_output_sent(&wire.conn, parts[0].iov_len + 10);
    conn_settle(&wire.conn);
    CHECK_EQ(conn_output(&wire.conn, parts), 1);
    CHECK(parts[0].iov_base == wire_big + 10);
    CHECK_EQ(wire.n_done, 0);
    conn_output_sent(&wire.conn, WIRE_BIG_BYTES - 10);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_REQUEST);
}

static void blocked_answers_go_on_where_they_stopped(void **state)
{
    (void)state;
    static const char requests[] = GET("/") GET("/hello/ann") GET("/nowhere") GET("/stream")
        GET("/") "GET /hello/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    (void)wire_feed(&wire, requests, sizeof requests - 1);
    struct buf expected = wire.sent;
    wire.sent = (struct buf){0};
    for (size_t step = 1; step < expected.len + 2; step++) {
        check_context("%zu octets at a time", step);
        wire_reopen(&wire);
        wire.room = 0;
        (void)wire_read(&wire, requests, sizeof requests - 1);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
        drain(step);
        CHECK_BYTES(wire.sent.data, wire.sent.len, expected.data, expected.len);
        CHECK_EQ(wire.n_finished, 6);
        CHECK_EQ(wire.n_done, 1);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
    }
    buf_fini(&expected);
}

static void a_large_body_goes_on_where_it_stopped(void **state)
{
    (void)state;
    static const char requests[] = GET("/") GET("/big") GET("/big") GET("/hello/last");
    (void)wire_feed(&wire, requests, sizeof requests - 1);
    struct buf expected = wire.sent;
    wire.sent = (struct buf){0};
    for (size_t step = 1; step < expected.len * 2; step = step * 3 + 1) {
        check_context("%zu octets at a time", step);
        wire_reopen(&wire);
        wire.room = step;
        (void)wire_read(&wire, requests, sizeof requests - 1);
        drain(step);
        CHECK_BYTES(wire.sent.data, wire.sent.len, expected.data, expected.len);
        CHECK_EQ(wire.n_finished, 4);
        CHECK_EQ(wire.n_done, 2);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    }
    buf_fini(&expected);
}

/* A client that sends and never reads holds up itself: its input is not processed further. */
static void nothing_is_answered_while_output_is_blocked(void **state)
{
    (void)state;
    wire.room = 0;
    (void)wire_read(&wire, GET("/"), strlen(GET("/")));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    CHECK(!conn_can_go_on(&wire.conn));
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_WRITE);
    CHECK_EQ(wire_feed(&wire, GET("/"), strlen(GET("/"))), 0);
    CHECK_EQ(wire.n_handled, 1);
    wire.room = WIRE_ENDLESS;
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_REQUEST);
}

/* Requests behind an answer under way are kept, in order, also when a head is cut. */
static void requests_behind_a_blocked_answer_are_kept(void **state)
{
    (void)state;
    static const char requests[] = GET("/big") GET("/hello/one") GET("/hello/two") "GET /hel";
    wire.room = 100;
    CHECK_EQ(wire_read(&wire, requests, sizeof requests - 1), sizeof requests - 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    CHECK_EQ(wire.n_handled, 1);
    CHECK_EQ(wire.n_parked, 1);
    drain(50000);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_HEAD);
    wire.room = WIRE_ENDLESS;
    wire_feed_text(&wire, "lo/three HTTP/1.1\r\nHost: a\r\n\r\n");
    struct wire_answer answers[4];
    CHECK_EQ(wire_answers(&wire, false, answers, 4), 4);
    CHECK_BYTES(answers[1].body.p, answers[1].body.len, "hello, one\n", 11);
    CHECK_BYTES(answers[2].body.p, answers[2].body.len, "hello, two\n", 11);
    CHECK_BYTES(answers[3].body.p, answers[3].body.len, "hello, three\n", 13);
}

/* The loop's buffers serve the next connection while this one's request is still being answered. */
static void a_parked_request_keeps_its_octets(void **state)
{
    (void)state;
    char body[20000];
    struct buf request = {0};
    memset(body, 'p', sizeof body);
    CHECK(buf_printf(&request, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                     sizeof body) == 0);
    CHECK(buf_append(&request, body, sizeof body) == 0);
    size_t cut = 1;
    for (int pass = 0; pass < 2; cut += cut < 100 ? 1 : 1711) {
        if (cut > request.len) { /* once more, with an exchange whose store has grown */
            pass++;
            cut = 1;
        }
        check_context("cut at %zu, pass %d", cut, pass);
        wire_reopen(&wire);
        wire.room = 10;
        (void)wire_feed(&wire, request.data, cut);
        (void)wire_feed(&wire, request.data + cut, request.len - cut);
        CHECK_EQ(wire.conn.state, CONN_SENDING); /* the answer is the request's own body */
        struct conn parked = wire.conn;
        struct peer peer = {.address.any = {.sa_family = AF_UNIX}};
        conn_init(&wire.conn, &wire.env, &peer);
        struct buf first = wire.sent;
        wire.sent = (struct buf){0};
        wire.room = WIRE_ENDLESS;
        wire_feed_text(&wire, "POST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nother");
        wire_feed_text(&wire, GET("/hello/a-name-that-lies-where-the-body-was-before"));
        WIRE_ANSWERED(&wire, 200, 200);
        conn_fini(&wire.conn);
        buf_fini(&wire.sent);
        wire.conn = parked;
        wire.sent = first;
        (void)wire_rest(&wire);
        struct wire_answer answer;
        CHECK_EQ(wire_answers(&wire, false, &answer, 1), 1);
        CHECK_BYTES(answer.body.p, answer.body.len, body, sizeof body);
    }
    buf_fini(&request);
}

/* A driver that gives the loop to others after each round finds everything where it was. */
static void a_turn_may_end_after_any_round(void **state)
{
    (void)state;
    struct buf requests = {0};
    char body[3000];
    memset(body, 'b', sizeof body);
    for (int i = 0; i < 100; i++) {
        CHECK(buf_printf(&requests,
                         "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n") == 0);
        CHECK(buf_append(&requests, body, sizeof body) == 0);
    }
    wire_close(&wire);
    wire_open_with(&wire, &wire_limits, 1 << 20);
    char *space;
    size_t room;
    conn_input_space(&wire.conn, &space, &room);
    CHECK(room >= requests.len);
    memcpy(space, requests.data, requests.len);
    conn_on_input(&wire.conn, requests.len);
    unsigned rounds = 0;
    do { /* as wire_turn(), but one round a turn */
        conn_process(&wire.conn);
        (void)wire_send(&wire);
        conn_settle(&wire.conn);
        rounds++;
    } while (conn_wait(&wire.conn) == CONN_WAIT_WRITE);
    buf_fini(&requests);
    CHECK(rounds > 2 && rounds < 50);
    CHECK_EQ(wire.n_finished, 100);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    struct wire_answer answers[100];
    CHECK_EQ(wire_answers(&wire, false, answers, 100), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_large_body_is_sent_from_where_it_lies, setup, teardown),
        cmocka_unit_test_setup_teardown(blocked_answers_go_on_where_they_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_body_goes_on_where_it_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_answered_while_output_is_blocked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(requests_behind_a_blocked_answer_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_parked_request_keeps_its_octets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_may_end_after_any_round, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
