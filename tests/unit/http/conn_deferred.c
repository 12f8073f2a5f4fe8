/* http/conn.c, conn_request.c: answers that come later. In their turn, whoever else has the loop
 * meanwhile; put off again; too late; for nobody any more. */
#include "http/conn.h"

#include "tests/unit/http/bodies.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define S UINT64_C(1000000)
#define TICKETS_MAX 8U

static struct wire wire;
static struct {
    struct rmd_deferred *tickets[TICKETS_MAX]; /* that were given out, in order */
    unsigned n_tickets, n_answers, n_nobody, n_done;
    unsigned again; /* times that an answer is put off once more */
    int status;     /* of the answer; 0: none is given */
    bool is_large;
    const char
        *said_before; /* the handler itself gives this answer, and puts it off all the same */
} app;

static void count_done(void *state)
{
    (void)state;
    app.n_done++;
}

static void put_off(rmd_request *req)
{
    CHECK(app.n_tickets < TICKETS_MAX);
    struct rmd_deferred *ticket = deferred_new(req->env->box, exchange_of(req));
    CHECK(ticket != NULL);
    CHECK(atomic_load(&ticket->is_wanted));
    req->deferred = app.tickets[app.n_tickets++] = ticket;
}

static void answer(rmd_request *req, rmd_response *res, void *arg)
{
    CHECK(arg == &app);
    CHECK_EQ(req == NULL, res == NULL);
    if (!req) {
        app.n_nobody++;
        return;
    }
    CHECK(req->deferred == NULL);
    app.n_answers++;
    if (app.again > 0) {
        app.again--;
        put_off(req);
    } else if (app.is_large) {
        wire_give(res, 200, wire_big, sizeof wire_big);
        res->done = count_done;
    } else if (app.status == 200) { /* what it was asked is still there */
        size_t len = 0;
        const char *text =
            arena_printf(req->arena, &len, "later: %.*s %.*s\n", (int)req->raw_path.len,
                         req->raw_path.p, (int)req->body.len, req->body.p);
        wire_give(res, 200, text, len);
    } else if (app.status != 0) {
        response_error_page(res, req->arena, app.status);
    }
}

static void later(rmd_request *req, rmd_response *res)
{
    if (app.said_before)
        wire_give(res, 202, app.said_before, strlen(app.said_before));
    put_off(req);
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = wire_root},
    {.method = "*", .pattern = "/later", .handler = later},
    {.method = "*", .pattern = "/soon", .handler = later, .timeout_ms = 2000},
    {.method = "*", .pattern = "/early", .handler = later, .stream_body = true},
    {.method = "GET", .pattern = "/hello/:name", .handler = wire_hello},
    {.method = "GET", .pattern = "/big", .handler = wire_give_big},
    {0}};

static int setup(void **state)
{
    (void)state;
    memset(&app, 0, sizeof app);
    app.status = 200;
    wire_open_app(&wire, routes, &wire_limits, 4096);
    wire.keeps_waits = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    return 0;
}

static void reopen(void)
{
    wire_reopen(&wire);
    memset(&app, 0, sizeof app);
    app.status = 200;
}

static void turn_in(unsigned i)
{
    deferred_turn_in(app.tickets[i], answer, &app);
}

/* ---- in its turn ---- */

static void an_answer_may_come_later(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/later"));
    CHECK_EQ(wire.conn.state, CONN_DEFERRED);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_TIMER);
    CHECK(!conn_can_go_on(&wire.conn));
    CHECK_EQ(wire.n_parked, 1);
    CHECK_EQ(wire.n_finished, 0);
    CHECK_EQ(wire.sent.len, 0);
    CHECK_EQ(wire_take_tickets(&wire), 0);
    turn_in(0);
    CHECK_EQ(app.n_answers, 0); /* never from within */
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 200);
    CHECK_HAS(wire_text(&wire), "\r\n\r\nlater: /later ");
    CHECK_EQ(app.n_answers, 1);
    CHECK_EQ(app.n_nobody, 0);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    CHECK(wire.conn.ex == NULL);
}

/* Turned in before the turn has ended, even before the handler has returned. */
static void a_ticket_may_come_in_at_once(void **state)
{
    (void)state;
    char *space;
    size_t room;
    conn_input_space(&wire.conn, &space, &room);
    memcpy(space, GET("/later"), strlen(GET("/later")));
    conn_on_input(&wire.conn, strlen(GET("/later")));
    conn_process(&wire.conn);
    turn_in(0);
    CHECK(conn_on_ticket(&wire.env, deferred_take(&wire.box)) == &wire.conn);
    CHECK(conn_can_go_on(&wire.conn));
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_REQUEST);
    WIRE_ANSWERED(&wire, 200);
}

static void requests_behind_a_later_answer_are_answered_behind_it(void **state)
{
    (void)state;
    static const char requests[] =
        GET("/hello/one") "POST /later HTTP/1.1\r\nHost: a\r\n"
                          "Content-Length: 4\r\n\r\nbody" GET("/hello/two") GET("/later")
                              GET("/hello/three");
    size_t len = sizeof requests - 1;
    for (size_t cut = 1; cut <= len; cut++) {
        check_context("cut at %zu", cut);
        reopen();
        size_t fed = wire_feed(&wire, requests, cut);
        CHECK(fed == cut || wire.conn.state == CONN_DEFERRED);
        for (unsigned i = 0; i < 2; i++) {
            fed += wire_feed(&wire, requests + fed, len - fed);
            CHECK_EQ(wire.conn.state, CONN_DEFERRED);
            CHECK_EQ(app.n_tickets, i + 1);
            turn_in(i);
            CHECK_EQ(wire_take_tickets(&wire), 1);
        }
        fed += wire_feed(&wire, requests + fed, len - fed);
        CHECK_EQ(fed, len);
        struct wire_answer answers[5];
        CHECK_EQ(wire_answers(&wire, false, answers, 5), 5);
        CHECK_BYTES(answers[0].body.p, answers[0].body.len, "hello, one\n", 11);
        CHECK_BYTES(answers[1].body.p, answers[1].body.len, "later: /later body\n", 19);
        CHECK_BYTES(answers[2].body.p, answers[2].body.len, "hello, two\n", 11);
        CHECK_BYTES(answers[3].body.p, answers[3].body.len, "later: /later \n", 15);
        CHECK_BYTES(answers[4].body.p, answers[4].body.len, "hello, three\n", 13);
        CHECK_EQ(wire.n_finished, 5);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    }
}

/* Answers in front of it are not held back. */
static void an_answer_before_a_later_one_is_sent(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/") GET("/later"));
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(wire.conn.state, CONN_DEFERRED);
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 200, 200);
    reopen(); /* and when the client takes it slowly, the answer waits for that too */
    wire.room = 10;
    wire_feed_text(&wire, GET("/") GET("/later"));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(app.n_answers, 0);
    wire.room = WIRE_ENDLESS;
    (void)wire_turn(&wire);
    CHECK_EQ(app.n_answers, 1);
    WIRE_ANSWERED(&wire, 200, 200);
}

/* The loop's buffers serve others while the request waits: its octets stay where they are. */
static void a_waiting_request_keeps_its_octets(void **state)
{
    (void)state;
    struct conn waiting[4];
    struct peer peer = {.address.v4 = {.sin_family = AF_INET}};
    conn_fini(&wire.conn);
    for (unsigned i = 0; i < 4; i++) {
        char request[128];
        int n =
            snprintf(request, sizeof request,
                     "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody of %u", i);
        conn_init(&wire.conn, &wire.env, &peer);
        (void)wire_feed(&wire, request, (size_t)n - (i % 2 ? 5 : 0));
        if (i % 2)
            (void)wire_feed(&wire, request + n - 5, 5);
        CHECK_EQ(wire.conn.state, CONN_DEFERRED);
        waiting[i] = wire.conn;
    }
    for (unsigned i = 4; i-- > 0;) {
        char body[32];
        int n = snprintf(body, sizeof body, "later: /later body of %u\n", i);
        struct wire_answer given;
        wire.conn = waiting[i];
        wire.conn.ex->conn = &wire.conn; /* connections don't move but here */
        wire.sent.len = 0;
        turn_in(i);
        CHECK_EQ(wire_take_tickets(&wire), 1);
        CHECK_EQ(wire_answers(&wire, false, &given, 1), 1);
        CHECK_BYTES(given.body.p, given.body.len, body, (size_t)n);
        conn_fini(&wire.conn);
    }
}

/* ---- what the answer is ---- */

static void an_answer_may_be_put_off_again(void **state)
{
    (void)state;
    app.again = 3;
    wire_feed_text(&wire, GET("/later"));
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(wire.sent.len, 0);
        CHECK_EQ(wire.conn.state, CONN_DEFERRED);
        turn_in(i);
        CHECK_EQ(wire_take_tickets(&wire), 1);
        CHECK_EQ(app.n_answers, i + 1);
    }
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(app.n_nobody, 0);
    CHECK_EQ(wire.n_parked, 1);
}

static void a_later_answer_is_an_answer_like_others(void **state)
{
    (void)state;
    struct wire_answer given;
    app.status = 403;
    wire_feed_text(&wire, GET("/later"));
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 403);
    reopen();
    app.status = 0; /* that gives none */
    wire_feed_text(&wire, GET("/later"));
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 500);
    reopen();
    wire_feed_text(&wire, "HEAD /later HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(wire_answers(&wire, true, &given, 1), 1);
    CHECK_EQ(given.status, 200);
    struct str value;
    CHECK(wire_field(&given, "Content-Length", &value) && str_is_equal(value, STR("15")));
    reopen();
    wire_feed_text(&wire, "GET /later HTTP/1.0\r\n\r\n");
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
}

/* An answer that was given and put off all the same is not sent before the ticket is back. */
static void an_answer_that_was_given_already_waits_too(void **state)
{
    (void)state;
    struct wire_answer given;
    app.said_before = "before";
    app.status = 0;
    wire_feed_text(&wire, GET("/later"));
    CHECK_EQ(wire.sent.len, 0);
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(wire_answers(&wire, false, &given, 1), 1);
    CHECK_EQ(given.status, 202);
    CHECK_BYTES(given.body.p, given.body.len, "before", 6);
}

static void a_large_later_answer_is_sent_as_its_client_takes_it(void **state)
{
    (void)state;
    app.is_large = true;
    wire_feed_text(&wire, GET("/later") GET("/hello/next"));
    wire.room = 1000;
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    CHECK_EQ(app.n_done, 0);
    while (wire_rest(&wire) == CONN_WAIT_WRITE)
        wire.room = 50000;
    struct wire_answer answers[2];
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
    CHECK_BYTES(answers[0].body.p, answers[0].body.len, wire_big, WIRE_BIG_BYTES);
    CHECK_EQ(app.n_done, 1);
}

/* A body that was not asked for, behind an answer that came later. */
static void a_later_answer_before_the_body_drains_it(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/hello/next"),
        "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
        "\r\n" GET("/hello/next")};
    for (size_t i = 0; i < 2; i++)
        for (size_t cut = 50; cut <= strlen(bodies[i]); cut++) {
            check_context("%s cut at %zu", bodies[i], cut);
            reopen();
            size_t fed = wire_feed(&wire, bodies[i], cut);
            fed += wire_feed(&wire, bodies[i] + fed, strlen(bodies[i]) - fed);
            if (wire.conn.state == CONN_DEFERRED) {
                turn_in(0);
                CHECK_EQ(wire_take_tickets(&wire), 1);
            }
            fed += wire_feed(&wire, bodies[i] + fed, strlen(bodies[i]) - fed);
            CHECK_EQ(fed, strlen(bodies[i]));
            WIRE_ANSWERED(&wire, 200, 200);
        }
}

/* ---- patience ---- */

static void expect_patience(const char *request, uint64_t answer_us, uint64_t expected_us)
{
    check_context("%s with answer_us %llu", request, (unsigned long long)answer_us);
    reopen();
    wire.env.limits.answer_us = answer_us;
    uint64_t start_us = wire.env.now_us;
    wire_feed_text(&wire, request);
    CHECK_EQ(wire.conn.resume_us, expected_us == 0 ? CONN_NEVER_US : start_us + expected_us);
    if (expected_us == 0) {
        wire.env.now_us += 1000000 * S;
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_TIMER);
        turn_in(0);
        CHECK_EQ(wire_take_tickets(&wire), 1);
        WIRE_ANSWERED(&wire, 200);
        return;
    }
    wire.env.now_us = start_us + expected_us - 1;
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_TIMER);
    CHECK_EQ(wire.sent.len, 0);
    wire.env.now_us++;
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_REQUEST);
    WIRE_ANSWERED(&wire, 504);
    CHECK_EQ(wire.n_errors, 1); /* the page is the application's */
    CHECK_EQ(wire.finished[0], 504);
    CHECK(!atomic_load(&app.tickets[0]->is_wanted));
    wire_feed_text(&wire, GET("/hello/next"));
    WIRE_ANSWERED(&wire, 504, 200);
    turn_in(0); /* too late: it frees what it holds */
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(app.n_answers, 0);
    CHECK_EQ(app.n_nobody, 1);
    WIRE_ANSWERED(&wire, 504, 200);
}

static void patience_has_an_end(void **state)
{
    (void)state;
    expect_patience(GET("/later"), 60 * S, 60 * S);
    expect_patience(GET("/later"), 5 * S, 5 * S);
    expect_patience(GET("/soon"), 60 * S, 2 * S); /* the route's own counts */
    expect_patience(GET("/soon"), 1 * S, 2 * S);
    expect_patience(GET("/soon"), 0, 2 * S);
    expect_patience(GET("/later"), 0, 0);
}

/* A late ticket of an answered request is not that of the request under way. */
static void a_late_ticket_does_not_answer_the_next_request(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/soon"));
    wire.env.now_us += 3 * S;
    (void)wire_turn(&wire);
    wire_feed_text(&wire, GET("/later"));
    CHECK_EQ(app.n_tickets, 2);
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(app.n_nobody, 1);
    CHECK_EQ(wire.conn.state, CONN_DEFERRED);
    WIRE_ANSWERED(&wire, 504);
    turn_in(1);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 504, 200);
}

/* A ticket that came in is answered also when patience ended in the same turn. */
static void a_ticket_in_the_last_moment_counts(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/soon"));
    turn_in(0);
    wire.env.now_us += 2 * S;
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 200);
}

/* ---- the end ---- */

static void a_client_that_leaves_is_waited_for_by_nobody(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/later"));
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
    CHECK(!atomic_load(&app.tickets[0]->is_wanted));
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], 0);
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(app.n_answers, 0);
    CHECK_EQ(app.n_nobody, 1);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.sent.len, 0);
}

/* Between the ticket's coming in and the turn that would ask for the answer. */
static void a_client_that_leaves_in_the_last_moment_gets_no_answer(void **state)
{
    (void)state;
    wire.room = 0;
    wire_feed_text(&wire, GET("/") GET("/later"));
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1); /* blocked: the answer has to wait */
    CHECK_EQ(app.n_answers, 0);
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
    CHECK_EQ(app.n_nobody, 1);
    CHECK_EQ(app.n_answers, 0);
}

static void a_loop_that_drains_waits_and_closes_behind_it(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/later"));
    wire.env.is_draining = true;
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_TIMER);
    turn_in(0);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    WIRE_ANSWERED(&wire, 200);
    CHECK_HAS(wire_text(&wire), "Connection: close\r\n");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_CLOSE);
}

/* The loop's end: connections first, then the box. Nobody is called with a request. */
static void tickets_that_come_in_at_the_end_are_given_back(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/later"));
    turn_in(0);
    conn_fini(&wire.conn);
    CHECK_EQ(app.n_nobody, 0);
    deferred_close(&wire.box);
    CHECK_EQ(app.n_nobody, 1);
    CHECK_EQ(app.n_answers, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_may_come_later),
        TEST(a_ticket_may_come_in_at_once),
        TEST(requests_behind_a_later_answer_are_answered_behind_it),
        TEST(an_answer_before_a_later_one_is_sent),
        TEST(a_waiting_request_keeps_its_octets),
        TEST(an_answer_may_be_put_off_again),
        TEST(a_later_answer_is_an_answer_like_others),
        TEST(an_answer_that_was_given_already_waits_too),
        TEST(a_large_later_answer_is_sent_as_its_client_takes_it),
        TEST(a_later_answer_before_the_body_drains_it),
        TEST(patience_has_an_end),
        TEST(a_late_ticket_does_not_answer_the_next_request),
        TEST(a_ticket_in_the_last_moment_counts),
        TEST(a_client_that_leaves_is_waited_for_by_nobody),
        TEST(a_client_that_leaves_in_the_last_moment_gets_no_answer),
        TEST(a_loop_that_drains_waits_and_closes_behind_it),
        TEST(tickets_that_come_in_at_the_end_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
