/* http/away.c, conn_app.c: handlers that run elsewhere. Here "elsewhere" is this test: it holds the
 * exchanges that were sent, runs their errands when it likes, and turns them in. What belongs to
 * whom is seen by the sanitizers: an exchange that is away lies in no buffer of the loop. */
#include "http/away.h"

#include "tests/unit/http/bodies.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define S UINT64_C(1000000)
#define SENT_MAX 8U

static struct wire wire;
static struct {
    struct exchange *sent[SENT_MAX]; /* that have not begun, oldest first */
    unsigned n_sent;
    struct exchange *running; /* whose errand has been run, and is not turned in */
    unsigned n_runs, n_overdue, n_abandoned, n_done, n_nobody;
    bool is_full, is_here; /* what choose() says */
    struct rmd_deferred *ticket;
    bool is_again; /* the answer is put off once more */
    struct buf body;
    unsigned pieces; /* that the consumer gets before it puts its answer off; 0: never */
} app;

static void count_done(void *state)
{
    (void)state;
    app.n_done++;
}

static void say(rmd_request *req, rmd_response *res)
{
    size_t len = 0;
    const char *text = arena_printf(req->arena, &len, "%.*s %.*s\n", STR_ARG(request_target(req)),
                                    STR_ARG(req->body));
    wire_give(res, 200, text, len);
}

static void put_off(rmd_request *req)
{
    app.ticket = req->deferred = deferred_new(req->env->box, exchange_of(req));
    CHECK(app.ticket != NULL);
}

static void answer(rmd_request *req, rmd_response *res, void *arg)
{
    CHECK(arg == &app);
    if (!req)
        app.n_nobody++;
    else if (app.is_again)
        put_off(req);
    else
        say(req, res);
    app.is_again = false;
}

/* Gives no answer: a body that waits goes on. */
static void go_on(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res, (void)arg;
}

static void later(rmd_request *req, rmd_response *res)
{
    (void)res;
    put_off(req);
}

static void piece(rmd_request *req, rmd_response *res, rmd_slice octets, void *state)
{
    (void)state;
    if (octets.len == 0) {
        wire_give(res, 200, app.body.data, app.body.len);
        return;
    }
    CHECK(buf_append(&app.body, octets.data, octets.len) == 0);
    if (app.pieces > 0 && --app.pieces == 0)
        put_off(req);
}

static void receive(rmd_request *req, rmd_response *res)
{
    (void)res;
    req->consume = piece;
    req->consume_done = count_done;
}

static void owe(rmd_request *req, rmd_response *res)
{
    say(req, res);
    res->done = count_done;
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = wire_root},
    {.method = "*", .pattern = "/io", .handler = say, .lane = RMD_IO},
    {.method = "*", .pattern = "/owe", .handler = owe, .lane = RMD_IO},
    {.method = "*", .pattern = "/brief", .handler = say, .lane = RMD_IO, .timeout_ms = 2000},
    {.method = "*", .pattern = "/later", .handler = later, .lane = RMD_IO},
    {.method = "*", .pattern = "/all", .handler = receive, .lane = RMD_IO},
    {.method = "*", .pattern = "/piece", .handler = receive, .lane = RMD_IO, .stream_body = true},
    {.method = "GET", .pattern = "/stream", .handler = wire_stream, .lane = RMD_IO},
    {.method = "GET", .pattern = "/big", .handler = wire_give_big, .lane = RMD_IO},
    {0}};

/* ---- elsewhere ---- */

static enum conn_lane choose(void *owner, struct rmd_request *req)
{
    (void)owner;
    CHECK(req->match.route->lane == RMD_IO);
    return app.is_full ? CONN_LANE_FULL : app.is_here ? CONN_LANE_LOOP : CONN_LANE_AWAY;
}

static void send_away(void *owner, struct exchange *ex)
{
    (void)owner;
    CHECK(app.n_sent < SENT_MAX);
    app.sent[app.n_sent++] = ex;
}

static bool recall(void *owner, struct exchange *ex)
{
    (void)owner;
    for (unsigned i = 0; i < app.n_sent; i++) {
        if (app.sent[i] != ex)
            continue;
        memmove(app.sent + i, app.sent + i + 1, (--app.n_sent - i) * sizeof app.sent[0]);
        return true;
    }
    return false;
}

static void overdue(void *owner, struct exchange *ex)
{
    (void)owner;
    CHECK(ex == app.running);
    app.n_overdue++;
}

/* Runs the oldest errand, and keeps it. */
static void run(void)
{
    CHECK(app.n_sent > 0 && !app.running);
    struct exchange *ex = app.running = app.sent[0];
    memmove(app.sent, app.sent + 1, --app.n_sent * sizeof app.sent[0]);
    app.n_runs++;
    switch ((enum errand)ex->errand) {
    case ERRAND_HANDLE:
        wire_on_handle(&wire, &ex->req, &ex->res);
        break;
    case ERRAND_CONSUME:
        wire_on_consume(&wire, &ex->req, &ex->res, ex->piece);
        break;
    case ERRAND_ANSWER:
        wire_on_answer(&wire, &ex->req, &ex->res, ex->answering);
        break;
    case ERRAND_PRODUCE:
        away_produce(ex);
        break;
    }
}

static void turn_in(void)
{
    struct exchange *ex = app.running;
    app.running = NULL;
    away_turn_in(ex);
    (void)wire_take_tickets(&wire);
}

/* Runs all that is due until nothing is. */
static void run_all(void)
{
    while (app.n_sent > 0) {
        run();
        turn_in();
        (void)wire_rest(&wire);
    }
}

static void forget(void)
{
    buf_fini(&app.body);
    memset(&app, 0, sizeof app);
}

static int setup(void **state)
{
    (void)state;
    wire_open_app(&wire, routes, &wire_limits, 4096);
    wire.env.hooks.choose = choose;
    wire.env.hooks.send = send_away;
    wire.env.hooks.recall = recall;
    wire.env.hooks.overdue = overdue;
    wire.keeps_waits = true;
    forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    forget();
    return 0;
}

static void reopen(void)
{
    wire_reopen(&wire);
    forget();
}

/* Goes to where the patience of a request ends. */
static void wait_too_long(void)
{
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_TIMER);
    CHECK(wire.conn.resume_us != CONN_NEVER_US);
    wire.env.now_us = wire.conn.resume_us;
    (void)wire_turn(&wire);
}

/* ---- in its turn ---- */

static void a_handler_may_run_elsewhere(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /io HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    CHECK_EQ(wire.conn.state, CONN_AWAY);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_TIMER);
    CHECK(!conn_can_go_on(&wire.conn));
    CHECK_EQ(app.n_sent, 1);
    CHECK_EQ(wire.n_handled + wire.n_finished + wire.sent.len, 0);
    CHECK_EQ(wire.n_parked, 1); /* it has a name in the table before it goes */
    run();
    CHECK_EQ(wire.sent.len, 0);
    turn_in();
    WIRE_ANSWERED(&wire, 200);
    CHECK_HAS(wire_text(&wire), "\r\n\r\n/io body\n");
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    CHECK(wire.conn.ex == NULL);
}

static void routes_of_the_lane_may_run_here(void **state)
{
    (void)state;
    app.is_here = true;
    wire_feed_text(&wire, GET("/io"));
    WIRE_ANSWERED(&wire, 200);
    CHECK_EQ(app.n_sent, 0);
}

static void answers_keep_their_order_however_requests_are_cut(void **state)
{
    (void)state;
    static const char requests[] =
        GET("/") "POST /io HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/")
            GET("/io") "POST /piece HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nin pieces" GET(
                "/big") GET("/");
    size_t len = sizeof requests - 1;
    for (size_t cut = 1; cut <= len; cut++) {
        check_context("cut at %zu", cut);
        reopen();
        size_t fed = 0;
        while (fed < len) {
            size_t until = fed < cut ? cut : len;
            fed += wire_feed(&wire, requests + fed, until - fed);
            run_all();
        }
        struct wire_answer answers[7];
        CHECK_EQ(wire_answers(&wire, false, answers, 7), 7);
        CHECK_BYTES(answers[1].body.p, answers[1].body.len, "/io body\n", 9);
        CHECK_BYTES(answers[3].body.p, answers[3].body.len, "/io \n", 5);
        CHECK_BYTES(answers[4].body.p, answers[4].body.len, "in pieces", 9);
        CHECK_BYTES(answers[5].body.p, answers[5].body.len, wire_big, sizeof wire_big);
        CHECK_EQ(wire.n_finished, 7);
        CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
    }
}

/* The loop's buffers are used by everybody else while it is away. */
static void what_is_away_keeps_its_octets(void **state)
{
    (void)state;
    struct conn waiting[4];
    struct peer peer = {.address.v4 = {.sin_family = AF_INET}};
    conn_fini(&wire.conn);
    for (unsigned i = 0; i < 4; i++) {
        char request[128];
        int n = snprintf(request, sizeof request,
                         "POST /io HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody of %u", i);
        conn_init(&wire.conn, &wire.env, &peer);
        (void)wire_feed(&wire, request, (size_t)n - (i % 2 ? 5 : 0));
        if (i % 2)
            (void)wire_feed(&wire, request + n - 5, 5);
        CHECK_EQ(wire.conn.state, CONN_AWAY);
        waiting[i] = wire.conn;
    }
    for (unsigned i = 0; i < 4; i++) {
        char body[32];
        int n = snprintf(body, sizeof body, "/io body of %u\n", i);
        struct wire_answer given;
        wire.conn = waiting[i];
        wire.conn.ex->conn = &wire.conn; /* connections don't move but here */
        wire.sent.len = 0;
        run();
        turn_in();
        CHECK_EQ(wire_answers(&wire, false, &given, 1), 1);
        CHECK_BYTES(given.body.p, given.body.len, body, (size_t)n);
        conn_fini(&wire.conn);
    }
}

static void no_room_is_503_with_retry_after_at_once(void **state)
{
    (void)state;
    app.is_full = true;
    wire_feed_text(&wire, GET("/io"));
    WIRE_ANSWERED(&wire, 503);
    CHECK_HAS(wire_text(&wire), "\r\nRetry-After: 1\r\n");
    CHECK_EQ(wire.n_errors, 1);
    CHECK_EQ(wire.n_handled, 0);
    app.is_full = false;
    wire_feed_text(&wire, GET("/"));
    WIRE_ANSWERED(&wire, 503, 200);
}

/* An answer in front of it that the client takes slowly comes first. */
static void it_waits_for_a_slow_client_as_others_do(void **state)
{
    (void)state;
    wire.room = 10;
    wire_feed_text(&wire, GET("/") GET("/io"));
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    run();
    turn_in();
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    wire.room = WIRE_ENDLESS;
    (void)wire_turn(&wire);
    WIRE_ANSWERED(&wire, 200, 200);
    CHECK_EQ(app.n_runs, 1);
}

/* ---- nobody waits any more ---- */

static void what_has_not_begun_is_taken_back_when_its_client_leaves(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/owe"));
    conn_on_eof(&wire.conn);
    CHECK_EQ(app.n_sent, 0);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], 0);
    CHECK_EQ(wire.n_handled, 0);
}

static void what_runs_is_an_orphan_until_it_comes_back(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/owe"));
    run();
    struct exchange *ex = app.running;
    CHECK(!atomic_load(&ex->is_cancelled));
    conn_on_eof(&wire.conn);
    CHECK_EQ(wire.conn.state, CONN_CLOSED);
    CHECK(atomic_load(&ex->is_cancelled));
    CHECK_EQ(wire.n_finished, 0); /* it is still in hand, and named in the table */
    CHECK_EQ(app.n_done, 0);
    turn_in();
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], 0);
    CHECK_EQ(app.n_done, 1);
    CHECK(!atomic_load(&ex->is_cancelled)); /* for the next request that it holds */
}

static void an_orphan_has_no_more_time_than_if_its_client_had_stayed(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/owe"));
    run();
    uint64_t ends_us = wire.conn.resume_us;
    CHECK(ends_us != CONN_NEVER_US);
    conn_on_eof(&wire.conn);
    wire.env.now_us = ends_us - 1;
    away_expire(&wire.env);
    CHECK_EQ(app.n_overdue, 0);
    wire.env.now_us = ends_us;
    away_expire(&wire.env);
    away_expire(&wire.env);
    CHECK_EQ(app.n_overdue, 1);
    turn_in();
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(app.n_done, 1);
    away_expire(&wire.env);
    CHECK_EQ(app.n_overdue, 1);
}

static void note_abandoned(void *owner, struct rmd_request *req)
{
    CHECK(owner == &wire);
    CHECK_BYTES(request_target(req).p, request_target(req).len, "/owe?x=1", 8);
    app.n_abandoned++;
}

/* The process ends while they run: they have ended for the log, once, and nothing of them is
 * touched. */
static void an_orphan_that_nobody_waits_for_ends_in_the_log(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) { /* within its time; told that it is overdue */
        check_context("way %u", way);
        reopen();
        wire_feed_text(&wire, GET("/owe?x=1"));
        run();
        wire.env.now_us = wire.conn.resume_us - 1 + way;
        conn_on_eof(&wire.conn);
        away_expire(&wire.env);
        CHECK_EQ(app.n_overdue, way);
        away_abandon(&wire.env, note_abandoned);
        away_abandon(&wire.env, note_abandoned);
        CHECK_EQ(app.n_abandoned, 1);
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(wire.finished[0], 0);
        CHECK_EQ(app.n_done, 0);
        turn_in();
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(app.n_done, 1);
    }
}

static void an_overdue_request_has_not_ended_twice(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/owe?x=1"));
    run();
    wait_too_long();
    away_abandon(&wire.env, note_abandoned);
    CHECK_EQ(app.n_abandoned, 0);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(wire.finished[0], 504);
    turn_in();
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(app.n_done, 1);
}

static void a_request_that_waits_too_long_is_504_and_never_run(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/brief") GET("/"));
    CHECK_EQ(wire.conn.resume_us, wire.env.now_us + 2 * S);
    wait_too_long();
    WIRE_ANSWERED(&wire, 504, 200);
    CHECK_EQ(app.n_sent, 0);
    CHECK_EQ(wire.n_handled, 1);
    CHECK_EQ(app.n_overdue, 0);
}

/* The client is answered and may go on; what ran is only freed. */
static void a_request_that_runs_too_long_is_504_and_left_behind(void **state)
{
    (void)state;
    static const char request[] =
        "POST /owe?x=1 HTTP/1.1\r\nHost: example.org\r\nX-Request-ID: that-one\r\n"
        "Content-Length: 4\r\n\r\nbody";
    for (size_t cut = 1; cut < sizeof request; cut++) {
        check_context("cut at %zu", cut);
        reopen();
        (void)wire_feed(&wire, request, cut);
        (void)wire_feed(&wire, request + cut, sizeof request - 1 - cut);
        CHECK_EQ(wire.n_parked, 1);
        run();
        wait_too_long();
        WIRE_ANSWERED(&wire, 504);
        CHECK_EQ(app.n_overdue, 1);
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(wire.finished[0], 504);
        CHECK_EQ(wire.n_errors, 1);
        CHECK_EQ(wire.n_parked, 1); /* the entry in the table went with the answer */
        wire_feed_text(&wire, GET("/"));
        CHECK_EQ(app.n_done, 0);
        turn_in();
        CHECK_EQ(app.n_done, 1);
        CHECK_EQ(wire.n_finished, 2);
        WIRE_ANSWERED(&wire, 504, 200);
    }
}

/* The page of the 504 is made from a copy of the head. */
static struct {
    char target[64], host[64], trace[64], header[64];
} seen;

static void look(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    const struct field *field = request_find(req, STR("x-some"), NULL);
    CHECK(field != NULL);
    (void)snprintf(seen.target, sizeof seen.target, "%.*s", STR_ARG(request_target(req)));
    (void)snprintf(seen.host, sizeof seen.host, "%.*s", STR_ARG(req->head.host));
    (void)snprintf(seen.trace, sizeof seen.trace, "%.*s", STR_ARG(request_trace_id(req)));
    (void)snprintf(seen.header, sizeof seen.header, "%.*s", STR_ARG(request_value(req, field)));
    CHECK_TEXT(req->method, "PUT");
    CHECK_TEXT(req->match.route->pattern, "/io");
    CHECK_EQ(req->body.len, 0);
    wire_on_error(owner, req, res, status);
}

static void the_page_of_an_overdue_request_knows_what_was_asked(void **state)
{
    (void)state;
    wire.env.hooks.error = look;
    wire_feed_text(&wire, "PUT /io?a=b HTTP/1.1\r\nHost: example.org\r\nX-Request-ID: that-one\r\n"
                          "X-Some: thing\r\nContent-Length: 2\r\n\r\nhi");
    run();
    memset(&app.running->req.body, 0, sizeof app.running->req.body); /* as if it were busy */
    wait_too_long();
    CHECK_TEXT(seen.target, "/io?a=b");
    CHECK_TEXT(seen.host, "example.org");
    CHECK_TEXT(seen.trace, "that-one");
    CHECK_TEXT(seen.header, "thing");
    turn_in();
}

/* Whose body is not all there can't go on: what follows would be taken for a request. */
static void an_overdue_request_with_half_a_body_ends_its_connection(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /piece HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET / HT");
    run();
    wait_too_long();
    WIRE_ANSWERED(&wire, 504);
    CHECK_HAS(wire_text(&wire), "\r\nConnection: close\r\n");
    CHECK_EQ(wire.conn.state, CONN_LINGER);
    turn_in();
    CHECK_EQ(app.n_done, 1); /* the consumer's */
}

/* ---- answers that come later ---- */

static void an_answer_may_be_put_off_from_elsewhere(void **state)
{
    (void)state;
    for (unsigned when = 0; when < 3; when++) { /* before the errand is over, later, and again */
        check_context("turned in %u", when);
        reopen();
        app.is_again = when == 2;
        wire_feed_text(&wire, GET("/later"));
        run();
        if (when == 0) {
            deferred_turn_in(app.ticket, answer, &app);
            CHECK_EQ(wire_take_tickets(&wire), 1);
            CHECK_EQ(app.n_sent, 0);
        }
        turn_in();
        run_all();
        for (unsigned i = 0; i < when; i++) {
            CHECK_EQ(wire.conn.state, CONN_DEFERRED);
            deferred_turn_in(app.ticket, answer, &app);
            CHECK_EQ(wire_take_tickets(&wire), 1);
            CHECK_EQ(app.n_sent, 1); /* its callback may wait as well */
            run_all();
        }
        WIRE_ANSWERED(&wire, 200);
        CHECK_HAS(wire_text(&wire), "/later \n");
    }
}

static void a_ticket_of_an_orphan_is_for_nobody(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        check_context("order %u", order);
        reopen();
        wire_feed_text(&wire, GET("/later"));
        run();
        conn_on_eof(&wire.conn);
        if (order == 0)
            turn_in();
        if (order == 0)
            CHECK(!atomic_load(&app.ticket->is_wanted));
        deferred_turn_in(app.ticket, answer, &app);
        CHECK_EQ(wire_take_tickets(&wire), 1);
        if (order == 1)
            turn_in();
        CHECK_EQ(app.n_nobody, 1);
        CHECK_EQ(wire.n_finished, 1);
    }
}

static void a_callback_that_is_taken_back_is_for_nobody(void **state)
{
    (void)state;
    wire_feed_text(&wire, GET("/later"));
    run();
    turn_in();
    deferred_turn_in(app.ticket, answer, &app);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_EQ(app.n_sent, 1);
    wait_too_long();
    CHECK_EQ(app.n_nobody, 1);
    WIRE_ANSWERED(&wire, 504);
}

/* ---- bodies ---- */

static void the_pieces_are_the_body_however_it_is_cut(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /piece HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
        ("POST /piece HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        "POST /all HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    };
    for (size_t i = 0; i < 3; i++)
        for (size_t piece_len = 1; piece_len <= strlen(requests[i]); piece_len++)
            for (unsigned put_off_at = 0; put_off_at < 3; put_off_at++) {
                check_context("request %zu, %zu at a time, put off at %u", i, piece_len,
                              put_off_at);
                reopen();
                app.pieces = i < 2 ? put_off_at : 0;
                size_t len = strlen(requests[i]), fed = 0;
                while (fed < len) {
                    size_t n = piece_len < len - fed ? piece_len : len - fed;
                    fed += wire_feed(&wire, requests[i] + fed, n);
                    run_all();
                    if (wire.conn.state == CONN_DEFERRED) { /* lets the body go on */
                        deferred_turn_in(app.ticket, go_on, &app);
                        (void)wire_take_tickets(&wire);
                        run_all();
                    }
                }
                WIRE_ANSWERED(&wire, 200);
                CHECK_HAS(wire_text(&wire), "\r\n\r\nhello world");
                CHECK_EQ(app.n_done, 1);
            }
}

/* ---- streams ---- */

static void a_stream_is_made_elsewhere(void **state)
{
    (void)state;
    wire.waits_ms = 10;
    wire_feed_text(&wire, GET("/stream") GET("/"));
    run();
    turn_in(); /* the handler: now its producer is due */
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(app.n_sent, 1);
        run();
        turn_in();
        CHECK_EQ(wire.conn.state, CONN_STREAM);
        CHECK_EQ(wire.conn.resume_us, wire.env.now_us + 10000);
        wire.env.now_us = wire.conn.resume_us;
        (void)wire_turn(&wire);
    }
    run_all();
    struct wire_answer answers[2];
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
    CHECK_BYTES(answers[0].body.p, answers[0].body.len, "piece 0\npiece 1\npiece 2\n", 24);
    CHECK_EQ(wire.n_done, 1);
    CHECK_EQ(wire.n_finished, 2);
}

/* One errand gathers as much as a turn on the loop would, so that a long stream does not change
 * hands for each call. */
static void a_producer_that_does_not_wait_is_called_until_it_has_written_enough(void **state)
{
    (void)state;
    wire.piece_bytes = 16384;
    wire_feed_text(&wire, GET("/stream"));
    run_all();
    struct wire_answer given;
    CHECK_EQ(wire_answers(&wire, false, &given, 1), 1);
    CHECK_EQ(given.body.len, 100 * 16384);
    CHECK(app.n_runs < 40);
}

static void a_producer_that_never_waits_is_made_to_elsewhere_too(void **state)
{
    (void)state;
    wire.empty_calls = STREAM_EMPTY_MAX + 1;
    wire_feed_text(&wire, GET("/stream"));
    run_all();
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(wire.empty_calls, 1 - i);
        CHECK_EQ(wire.conn.state, CONN_STREAM);
        CHECK_EQ(wire.conn.resume_us, wire.env.now_us + STREAM_PACE_MS * 1000U);
        CHECK_EQ(wire.n_paced, 1);
        CHECK(app.n_runs <= 1 + STREAM_EMPTY_MAX + i);
        wire.env.now_us = wire.conn.resume_us;
        (void)wire_turn(&wire);
        run_all();
    }
    WIRE_ANSWERED(&wire, 200);
}

static void a_slow_client_holds_up_its_stream_elsewhere_too(void **state)
{
    (void)state;
    wire.piece_bytes = 16384;
    wire.room = 1000;
    wire_feed_text(&wire, GET("/stream"));
    run_all();
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_WRITE);
    CHECK(wire.pieces < 20);
    wire.room = WIRE_ENDLESS;
    (void)wire_turn(&wire);
    run_all();
    WIRE_ANSWERED(&wire, 200);
}

static void a_stream_that_breaks_or_is_overdue_is_cut(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) { /* breaks; its client leaves; takes too long */
        check_context("way %u", way);
        reopen();
        wire.waits_ms = 0;
        wire.pieces = 0;
        wire.piece_bytes = 0;
        wire.ends_with = way == 0 ? RMD_ABORT : RMD_END;
        wire.waits_ms = way == 0 ? 0 : 10;
        wire_feed_text(&wire, GET("/stream"));
        run();
        turn_in();
        run();
        if (way == 1)
            conn_on_eof(&wire.conn);
        if (way == 2)
            wait_too_long();
        turn_in();
        CHECK_EQ(wire.conn.state, CONN_CLOSED);
        CHECK_EQ(wire.conn.is_broken, way != 1);
        CHECK_EQ(wire.n_done, 1);
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(wire.finished[0], 0);
        CHECK_EQ(app.n_overdue, way == 2);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_handler_may_run_elsewhere),
        TEST(routes_of_the_lane_may_run_here),
        TEST(answers_keep_their_order_however_requests_are_cut),
        TEST(what_is_away_keeps_its_octets),
        TEST(no_room_is_503_with_retry_after_at_once),
        TEST(it_waits_for_a_slow_client_as_others_do),
        TEST(what_has_not_begun_is_taken_back_when_its_client_leaves),
        TEST(what_runs_is_an_orphan_until_it_comes_back),
        TEST(an_orphan_has_no_more_time_than_if_its_client_had_stayed),
        TEST(an_orphan_that_nobody_waits_for_ends_in_the_log),
        TEST(an_overdue_request_has_not_ended_twice),
        TEST(a_request_that_waits_too_long_is_504_and_never_run),
        TEST(a_request_that_runs_too_long_is_504_and_left_behind),
        TEST(the_page_of_an_overdue_request_knows_what_was_asked),
        TEST(an_overdue_request_with_half_a_body_ends_its_connection),
        TEST(an_answer_may_be_put_off_from_elsewhere),
        TEST(a_ticket_of_an_orphan_is_for_nobody),
        TEST(a_callback_that_is_taken_back_is_for_nobody),
        TEST(the_pieces_are_the_body_however_it_is_cut),
        TEST(a_stream_is_made_elsewhere),
        TEST(a_producer_that_does_not_wait_is_called_until_it_has_written_enough),
        TEST(a_producer_that_never_waits_is_made_to_elsewhere_too),
        TEST(a_slow_client_holds_up_its_stream_elsewhere_too),
        TEST(a_stream_that_breaks_or_is_overdue_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
