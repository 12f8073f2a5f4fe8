/* http/conn.c: how a connection ends. End of input and time-outs in every state, linger, and what
 * the connections of a loop share: exchanges are used again and nothing grows. */
#include "http/conn.h"

#include <malloc.h>

#include "tests/unit/http/wire.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(length) "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define CHUNKED "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

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

/* How to bring a connection into each state, and what is owed there. */
static const struct place {
    const char *octets;
    size_t room;
    enum conn_state state;
    enum conn_wait wait;
    int timeout_status; /* 0: just closed */
    bool is_cut; /* an answer is under way: its end is told with status 0, and done is owed */
} places[] = {
    {"", WIRE_ENDLESS, CONN_IDLE, CONN_WAIT_REQUEST, 0, false},
    {GET("/"), WIRE_ENDLESS, CONN_IDLE, CONN_WAIT_REQUEST, 0, false},
    {"G", WIRE_ENDLESS, CONN_HEAD, CONN_WAIT_HEAD, 408, false},
    {"GET / HTTP/1.1\r\nHost: a\r\n", WIRE_ENDLESS, CONN_HEAD, CONN_WAIT_HEAD, 408, false},
    {"BREW /pot", WIRE_ENDLESS, CONN_HEAD, CONN_WAIT_HEAD, 408, false},
    {POST("5"), WIRE_ENDLESS, CONN_LENGTH, CONN_WAIT_BODY, 408, false},
    {POST("5") "hell", WIRE_ENDLESS, CONN_LENGTH, CONN_WAIT_BODY, 408, false},
    {CHUNKED, WIRE_ENDLESS, CONN_CHUNKED, CONN_WAIT_BODY, 408, false},
    {CHUNKED "5\r\nhe", WIRE_ENDLESS, CONN_CHUNKED, CONN_WAIT_BODY, 408, false},
    {GET("/big"), 10, CONN_SENDING, CONN_WAIT_WRITE, 0, true},
    {GET("/big"), 1000, CONN_SENDING, CONN_WAIT_WRITE, 0, true},
    {GET("/stream"), WIRE_ENDLESS, CONN_STREAM, CONN_WAIT_TIMER, 0, true},
    {GET("/"), 10, CONN_IDLE, CONN_WAIT_WRITE, 0, false},
    {"GET / HTTP/1.0\r\n\r\n", 10, CONN_CLOSING, CONN_WAIT_WRITE, 0, false},
    {"GE(T\r\n\r\n", WIRE_ENDLESS, CONN_LINGER, CONN_WAIT_LINGER, 0, false},
    {"GET / HTTP/1.0\r\n\r\n", WIRE_ENDLESS, CONN_CLOSED, CONN_WAIT_CLOSE, 0, false},
};

static void go_to(const struct place *place)
{
    check_context("%s with room for %zd", place->octets, (ssize_t)place->room);
    wire_reopen(&wire);
    wire.waits_ms = 20;
    wire.keeps_waits = true;
    wire.room = place->room;
    wire_feed_text(&wire, place->octets);
    CHECK_TEXT(conn_state_names[wire.conn.state], conn_state_names[place->state]);
    CHECK_EQ(conn_wait(&wire.conn), place->wait);
}

static void check_ended(const struct place *place)
{
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
    CHECK(wire.conn.ex == NULL && wire.conn.out.cap == 0 && wire.conn.pending.cap == 0);
    CHECK_EQ(wire.n_done, place->is_cut);
    if (place->is_cut)
        CHECK_EQ(wire.finished[wire.n_finished - 1], 0);
    conn_fini(&wire.conn); /* once more harms nobody */
    CHECK_EQ(wire.n_done, place->is_cut);
}

static void end_of_input_ends_the_connection_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        go_to(&places[i]);
        size_t sent = wire.sent.len;
        wire.room = WIRE_ENDLESS;
        conn_on_eof(&wire.conn);
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
        CHECK_EQ(wire.sent.len, sent); /* a request that ends in the middle is nobody's request */
        check_ended(&places[i]);
    }
}

static void closing_at_any_time_pays_what_is_owed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        go_to(&places[i]);
        conn_fini(&wire.conn);
        check_ended(&places[i]);
    }
}

static void time_outs_answer_408_while_a_request_is_coming_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        go_to(&places[i]);
        wire.sent.len = 0;
        wire.room = WIRE_ENDLESS;
        conn_on_timeout(&wire.conn);
        enum conn_wait wait = wire_turn(&wire);
        if (places[i].timeout_status == 0) {
            CHECK_EQ(wire.sent.len, 0);
            check_ended(&places[i]);
            continue;
        }
        WIRE_ANSWERED(&wire, places[i].timeout_status);
        CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
        CHECK_EQ(wait, CONN_WAIT_LINGER);
        CHECK_EQ(wire.n_handled, 0);
        CHECK_EQ(wire.finished[0], 408);
        wire_feed_text(&wire, "llo" GET("/")); /* too late */
        WIRE_ANSWERED(&wire, 408);
        conn_on_timeout(&wire.conn);
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
        check_ended(&places[i]);
    }
}

static void a_half_read_body_still_gets_its_answer_when_the_client_goes_on(void **state)
{
    (void)state;
    wire_feed_text(&wire, POST("10") "hello");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_BODY);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_BODY); /* a turn for nothing */
    wire_feed_text(&wire, "world" GET("/"));
    WIRE_ANSWERED(&wire, 200, 200);
}

/* ---- what a loop shares ---- */

static void exchanges_are_used_again(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/"));
    CHECK_EQ(wire.env.pool.n, 1);
    const struct exchange *first = wire.env.pool.first;
    for (int i = 0; i < 100; i++) {
        wire_feed_text(&wire, i % 2 ? GET("/hello/a") : POST("5") "hello");
        CHECK_EQ(wire.env.pool.n, 1);
        CHECK(wire.env.pool.first == first);
    }
    wire_feed_text(&wire, "GET /");
    CHECK_EQ(wire.env.pool.n, 0);
    CHECK(wire.conn.ex == first);
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire.env.pool.n, 1);
}

/* Many at once are given back, but not all of them kept. */
static void the_pool_has_a_bound(void **state)
{
    (void)state;
    enum { N = 300 };
    static struct conn conns[N];
    struct peer peer = {.address.v4 = {.sin_family = AF_INET}};
    conn_fini(&wire.conn);
    for (int i = 0; i < N; i++) {
        conn_init(&wire.conn, &wire.env, &peer);
        (void)wire_read(&wire, "GET ", 4);
        conns[i] = wire.conn;
    }
    for (int i = 0; i < N; i++) {
        wire.conn = conns[i];
        const char *rest = i % 2 ? "/ HTTP/1.1\r\nHost: a\r\n\r\n" : "x";
        (void)wire_read(&wire, rest, strlen(rest));
        conn_fini(&wire.conn);
    }
    CHECK_EQ(wire.n_finished, N / 2);
    CHECK(wire.env.pool.n > 0 && wire.env.pool.n < N);
    unsigned n = 0;
    for (const struct exchange *ex = wire.env.pool.first; ex; ex = ex->next)
        n++;
    CHECK_EQ(n, wire.env.pool.n);
}

/* Bytes in use on the heap; 0 under a sanitizer's allocator, where leaks are found otherwise. */
static size_t heap_in_use(void)
{
    return mallinfo2().uordblks;
}

static void nothing_grows_with_the_number_of_requests(void **state)
{
    (void)state;
    static const char requests[] =
        GET("/") POST("5") "hello" CHUNKED "5\r\nhello\r\n0\r\n\r\n" GET("/big") GET("/stream")
            GET("/nowhere") "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t after_first = 0;
    for (int round = 0; round < 400; round++) {
        wire_reopen(&wire);
        wire.waits_ms = 1;
        for (size_t at = 0, n; at < sizeof requests - 1; at += n) {
            n = 1 + (size_t)(round * 7 + (int)at) % 97;
            n = n < sizeof requests - 1 - at ? n : sizeof requests - 1 - at;
            CHECK_EQ(wire_feed(&wire, requests + at, n), n);
        }
        CHECK_EQ(wire.n_finished, 7);
        CHECK_EQ(wire.n_done, 2);
        CHECK_EQ(wire.env.pool.n, 1);
        if (round == 100)
            after_first = heap_in_use();
    }
    CHECK(heap_in_use() <= after_first);
}

/* A large body's memory goes with its request. */
static void a_large_body_does_not_stay(void **state)
{
    (void)state;
    size_t before = heap_in_use();
    char body[60000];
    memset(body, 'x', sizeof body);
    wire_feed_text(&wire, POST("6000000"));
    for (int i = 0; i < 100; i++)
        CHECK_EQ(wire_feed(&wire, body, sizeof body), sizeof body);
    CHECK_EQ(wire.finished[0], 200);
    buf_fini(&wire.sent);
    CHECK(heap_in_use() < before + 1000000);
    CHECK(wire.env.pool.first->body.memory.cap <= 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(end_of_input_ends_the_connection_in_every_state, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(closing_at_any_time_pays_what_is_owed, setup, teardown),
        cmocka_unit_test_setup_teardown(time_outs_answer_408_while_a_request_is_coming_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_half_read_body_still_gets_its_answer_when_the_client_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(exchanges_are_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pool_has_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_grows_with_the_number_of_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_body_does_not_stay, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
