/* http/conn.c, conn_request.c: bodies that are handed to the application as they come. Every piece
 * once and in order, however the body is cut; answers before its end; pieces that wait for a
 * ticket; and what a consumer is owed when its client leaves. */
#include "http/conn.h"

#include <sys/mman.h>

#include "tests/unit/http/bodies.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define S UINT64_C(1000000)
#define NEVER 1000000U

/* What the answer is, when it is given. */
enum answer { SMALL, LARGE, STREAM, FILE_ANSWER, NOTHING };

static struct wire wire;
static struct {
    unsigned answer_at; /* piece, from 1, that it answers at; NEVER: at the end */
    unsigned defer_at;  /* piece that it puts off; 0: none */
    bool defers_first;  /* the handler itself puts off, and asks for the body when it is back */
    bool never_asks;    /* answers in the handler */
    enum answer answer;
    struct buf got;
    unsigned n_pieces, n_ends, n_done, n_tickets, n_body_done;
    struct rmd_deferred *ticket;
} app;

static void on_body_done(void *arg)
{
    (void)arg;
    app.n_body_done++;
}

static void give_answer(rmd_request *req, rmd_response *res)
{
    static const char file_text[] = "from a file";
    int fd;
    switch (app.answer) {
    case SMALL:
        wire_give(res, 200, "done", 4);
        break;
    case LARGE:
        wire_give(res, 200, wire_big, sizeof wire_big);
        res->done = on_body_done;
        break;
    case STREAM:
        wire_stream(req, res);
        break;
    case FILE_ANSWER:
        fd = memfd_create("answer", MFD_CLOEXEC);
        CHECK(fd >= 0 && pwrite(fd, file_text, 11, 0) == 11);
        CHECK(ftruncate(fd, 200000) == 0);
        CHECK(response_give_file(res, req->arena, 200, fd,
                                 &(struct response_part){.offset = 0, .len = 200000}, 1) == 0);
        break;
    case NOTHING:
        break;
    }
}

static void on_done(void *state)
{
    CHECK(state == &app);
    app.n_done++;
}

static void take(rmd_request *req, rmd_response *res, rmd_slice piece, void *state)
{
    CHECK(state == &app);
    CHECK_SAYING(res->status == 0 && res->kind == RESPONSE_NONE, "called again after its answer");
    CHECK_EQ(app.n_ends, 0);
    CHECK_EQ(req->is_body_complete,
             piece.len == 0 || !req->match.route->decl->stream_body || req->is_body_complete);
    if (piece.len == 0) {
        app.n_ends++;
        give_answer(req, res);
        return;
    }
    app.n_pieces++;
    CHECK(buf_append(&app.got, piece.data, piece.len) == 0);
    if (app.n_pieces == app.answer_at)
        give_answer(req, res);
    if (app.n_pieces == app.defer_at) {
        app.ticket = req->deferred = deferred_new(req->env->box, exchange_of(req));
        app.n_tickets++;
    }
}

static void ask(rmd_request *req)
{
    req->consume = take;
    req->consume_state = &app;
    req->consume_done = on_done;
}

/* Back from somewhere: lets the body go on. */
static void go_on(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    if (!req)
        return;
    CHECK(res->status == 0);
    if (!req->consume)
        ask(req);
}

/* Back with the answer. */
static void answer_now(rmd_request *req, rmd_response *res, void *arg)
{
    (void)arg;
    if (req)
        give_answer(req, res);
}

static void handle(rmd_request *req, rmd_response *res)
{
    app.got.len = 0;
    if (app.never_asks) {
        give_answer(req, res);
    } else if (app.defers_first) {
        app.ticket = req->deferred = deferred_new(req->env->box, exchange_of(req));
        app.n_tickets++;
    } else {
        ask(req);
    }
}

static const rmd_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = wire_root},
    {.method = "*", .pattern = "/take", .handler = handle, .stream_body = true},
    {.method = "*", .pattern = "/collect", .handler = handle},
    {.method = "POST",
     .pattern = "/little",
     .handler = handle,
     .stream_body = true,
     .body_limit = 100},
    {.method = "GET", .pattern = "/hello/:name", .handler = wire_hello},
    {0}};

static void reset_app(void)
{
    buf_fini(&app.got);
    memset(&app, 0, sizeof app);
    app.answer_at = NEVER;
}

static int setup(void **state)
{
    (void)state;
    reset_app();
    wire_open_app(&wire, routes, &wire_limits, 4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_close(&wire);
    reset_app();
    return 0;
}

static void reopen(void)
{
    wire_reopen(&wire);
    reset_app();
}

/* ---- the whole body ---- */

static void check_got(const char *body, size_t len)
{
    struct wire_answer answers[2];
    CHECK_BYTES(app.got.data, app.got.len, body, len);
    CHECK_EQ(app.n_ends, 1);
    CHECK_EQ(app.n_done, 1);
    CHECK_EQ(wire.n_finished, 2);
    CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
    CHECK_BYTES(answers[0].body.p, answers[0].body.len, "done", 4);
    CHECK_BYTES(answers[1].body.p, answers[1].body.len, "hello, next\n", 12);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_REQUEST);
}

static void the_pieces_are_the_body_however_it_is_cut(void **state)
{
    (void)state;
    static const char body[] = "the octets\0of a body\r\n\r\n0\r\n\r\n";
    const size_t len = sizeof body - 1;
    static const char *const lines[] = {"POST /take", "POST /collect"};
    for (size_t i = 0; i < 2; i++)
        for (size_t chunk = 0; chunk <= 11; chunk += chunk ? 10 : 1) {
            struct buf request = {0};
            bodies_write(&request, lines[i], "", body, len, chunk);
            CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
            for (size_t cut = 0; cut < request.len; cut++) {
                check_context("%s, chunks of %zu, cut at %zu", lines[i], chunk, cut);
                reopen();
                CHECK_EQ(wire_feed(&wire, request.data, cut), cut);
                (void)wire_feed(&wire, request.data + cut, request.len - cut);
                check_got(body, len);
            }
            reopen();
            (void)wire_feed_pieces(&wire, request.data, request.len, 1);
            check_got(body, len);
            buf_fini(&request);
        }
}

static void nothing_of_a_large_body_is_kept(void **state)
{
    (void)state;
    unsigned fds = wire_count_fds();
    wire.env.limits.body_buffer = 1000;
    for (size_t chunk = 0; chunk <= 3000; chunk += 3000) {
        struct buf request = {0};
        reopen();
        bodies_write(&request, "POST /take", "", bodies_octets(600000), 600000, chunk);
        CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
        CHECK_EQ(wire_feed(&wire, request.data, 300000), 300000);
        CHECK(wire.conn.ex->body.memory.cap <= 65536 && wire.conn.pending.cap <= 65536);
        CHECK_EQ(wire_count_fds(), fds);
        CHECK_EQ(wire_feed(&wire, request.data + 300000, request.len - 300000),
                 request.len - 300000);
        check_got(bodies_octets(600000), 600000);
        buf_fini(&request);
    }
}

static void a_request_without_a_body_has_an_empty_one(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET /take HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        check_context("%s", requests[i]);
        reopen();
        wire_feed_text(&wire, requests[i]);
        wire_feed_text(&wire, GET("/hello/next"));
        check_got(NULL, 0);
        CHECK_EQ(app.n_pieces, 0);
    }
}

/* ---- answers before the end ---- */

static void check_answered_early(bool is_rest_drained, size_t body_len)
{
    struct wire_answer answers[3];
    bool is_kept = is_rest_drained;
    CHECK_EQ(wire_answers(&wire, false, answers, 3), is_kept ? 2 : 1);
    CHECK_EQ(answers[0].status, 200);
    CHECK_EQ(answers[0].body.len, body_len);
    if (is_kept)
        CHECK_BYTES(answers[1].body.p, answers[1].body.len, "hello, next\n", 12);
    CHECK_EQ(conn_wait(&wire.conn), is_kept ? CONN_WAIT_REQUEST : CONN_WAIT_LINGER);
    CHECK_EQ(app.n_pieces, app.answer_at);
    CHECK_EQ(app.n_ends, 0); /* what follows is not delivered any more */
    CHECK_EQ(app.n_done, 1);
    CHECK_EQ(wire.n_finished, is_kept ? 2 : 1);
    CHECK_EQ(wire.finished[0], 200);
}

static void a_consumer_may_answer_at_any_piece(void **state)
{
    (void)state;
    static const size_t lengths[] = {4, 200000, 24, 200000};
    unsigned fds = wire_count_fds();
    for (int answer = SMALL; answer <= FILE_ANSWER; answer++)
        for (unsigned at = 1; at <= 5; at++)
            for (size_t chunk = 0; chunk <= 10; chunk += 10)
                for (size_t piece = 10; piece <= 4096; piece += 4086) {
                    if (chunk == 0 && piece == 4096 && at > 1)
                        continue; /* is one piece */
                    check_context("answer %d at piece %u of 5, chunks of %zu, reads of %zu", answer,
                                  at, chunk, piece);
                    struct buf head = {0};
                    struct buf rest = {0};
                    reopen();
                    app.answer_at = at;
                    app.answer = (enum answer)answer;
                    bodies_write_head(&head, "POST /take",
                                      chunk ? "Transfer-Encoding: chunked\r\n"
                                            : "Content-Length: 50\r\n");
                    for (size_t i = 0; i < 5; i++) {
                        if (chunk)
                            CHECK(buf_append(&rest, "a\r\n", 3) == 0);
                        CHECK(buf_append(&rest, "0123456789", 10) == 0);
                        if (chunk)
                            CHECK(buf_append(&rest, "\r\n", 2) == 0);
                    }
                    if (chunk)
                        CHECK(buf_append(&rest, "0\r\n\r\n", 5) == 0);
                    size_t body = rest.len;
                    CHECK(buf_append(&rest, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
                    (void)wire_feed(&wire, head.data, head.len);
                    (void)wire_feed_pieces(&wire, rest.data, chunk ? rest.len : body,
                                           chunk && piece == 10 ? 15 : piece);
                    if (!chunk)
                        (void)wire_feed(&wire, rest.data + body, rest.len - body);
                    check_answered_early(true, answer == LARGE ? WIRE_BIG_BYTES : lengths[answer]);
                    CHECK_EQ(app.n_body_done, answer == LARGE);
                    buf_fini(&head);
                    buf_fini(&rest);
                }
    CHECK_EQ(wire_count_fds(), fds);
}

/* Everything in one read, and a socket that takes little at a time: what is behind the body waits
 * for the answer, and then goes on by itself. */
static void an_early_answer_may_be_slow_to_go_out(void **state)
{
    (void)state;
    for (int answer = SMALL; answer <= FILE_ANSWER; answer++)
        for (size_t chunk = 0; chunk <= 1000; chunk += 500)
            for (size_t cut = 0; cut <= 1400; cut += 200) {
                check_context("answer %d, chunks of %zu, cut at %zu", answer, chunk, cut);
                struct buf request = {0};
                reopen();
                app.answer_at = 1;
                app.answer = (enum answer)answer;
                bodies_write(&request, "POST /take", "", bodies_octets(1400), 1400, chunk);
                CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
                wire.room = WIRE_ENDLESS;
                if (cut > 0)
                    (void)wire_feed(&wire, request.data, cut);
                wire.room = wire.n_handled > 0 && wire.sent.len > 0 ? WIRE_ENDLESS : 0;
                size_t fed = cut;
                for (int i = 0; i < 1000 && wire.n_finished < 2; i++) {
                    fed += wire_feed(&wire, request.data + fed, request.len - fed);
                    if (wire.room != WIRE_ENDLESS)
                        wire.room = 20000;
                    (void)wire_turn(&wire);
                }
                CHECK_EQ(fed, request.len);
                struct wire_answer answers[2];
                CHECK_EQ(wire_answers(&wire, false, answers, 2), 2);
                CHECK_EQ(app.n_ends, 0);
                CHECK_EQ(app.n_done, 1);
                buf_fini(&request);
            }
}

static void an_early_answer_ends_the_connection_where_the_rest_is_long(void **state)
{
    (void)state;
    static const struct {
        size_t len, chunk;
        bool is_kept;
    } rows[] = {{4096 + 262144, 0, true},
                {5000 + 262144, 0, false},
                {200000, 4000, true},
                {400000, 4000, false}};
    for (int answer = SMALL; answer <= FILE_ANSWER; answer++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            check_context("answer %d, %zu octets in chunks of %zu", answer, rows[i].len,
                          rows[i].chunk);
            static const size_t lengths[] = {4, WIRE_BIG_BYTES, 24, 200000};
            struct buf request = {0};
            reopen();
            app.answer_at = 1;
            app.answer = (enum answer)answer;
            bodies_write(&request, "POST /take", "", bodies_octets(rows[i].len), rows[i].len,
                         rows[i].chunk);
            CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
            size_t head = (size_t)((char *)memmem(request.data, request.len, "\r\n\r\n", 4) + 4 -
                                   request.data);
            (void)wire_feed(&wire, request.data, head);
            (void)wire_feed(&wire, request.data + head, request.len - head);
            check_answered_early(rows[i].is_kept, lengths[answer]);
            buf_fini(&request);
        }
}

/* What is read for the sake of keep-alive is measured by itself: neither the octets that the
 * consumer took count, nor the time that the client took for the answer. */
static void a_rest_is_measured_from_the_answer_on(void **state)
{
    (void)state;
    wire.env.limits.body_grace_us = 30 * S;
    wire.env.limits.body_min_rate = 1000;
    for (size_t chunk = 0; chunk <= 4000; chunk += 4000)
        for (int answer = SMALL; answer <= LARGE; answer++) {
            check_context("answer %d, chunks of %zu", answer, chunk);
            struct buf request = {0};
            reopen();
            app.answer = (enum answer)answer;
            app.answer_at = chunk ? 190 : 95; /* of 4096 octets; a read cuts chunks in two */
            bodies_write(&request, "POST /take", "", bodies_octets(600000), 600000, chunk);
            CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
            wire.room = 10000;
            size_t fed = wire_feed(&wire, request.data, 500000);
            wire.env.now_us += answer == LARGE ? 600 * S : 0;
            wire.room = WIRE_ENDLESS;
            (void)wire_turn(&wire);
            wire.env.now_us += 20 * S;
            fed += wire_feed(&wire, request.data + fed, 10);
            CHECK(wire.conn.state == CONN_LENGTH || wire.conn.state == CONN_CHUNKED);
            fed += wire_feed(&wire, request.data + fed, request.len - fed);
            CHECK_EQ(fed, request.len);
            WIRE_ANSWERED(&wire, 200, 200);
            buf_fini(&request);
        }
}

static void a_handler_that_does_not_ask_has_refused_the_body(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *body;
        bool is_kept;
    } rows[] = {
        {"Content-Length: 5\r\n", "hello", true},
        {"Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", true},
        {"Content-Length: 300000\r\n", "", false},
        {"Content-Length: 5\r\nExpect: 100-continue\r\n", "", false},
        {"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "", false},
        {"Content-Length: 5\r\nConnection: close\r\n", "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].fields);
        struct buf request = {0};
        reopen();
        app.never_asks = true;
        bodies_write_head(&request, "POST /take", rows[i].fields);
        CHECK(buf_append(&request, rows[i].body, strlen(rows[i].body)) == 0);
        (void)wire_feed_pieces(&wire, request.data, request.len, 1);
        wire_feed_text(&wire, GET("/"));
        struct wire_answer answers[2]; /* fails at a 100 Continue */
        CHECK_EQ(wire_answers(&wire, false, answers, 2), rows[i].is_kept ? 2 : 1);
        struct str value;
        CHECK_EQ(wire_field(&answers[0], "Connection", &value), !rows[i].is_kept);
        CHECK_EQ(conn_wait(&wire.conn), rows[i].is_kept ? CONN_WAIT_REQUEST : CONN_WAIT_LINGER);
        CHECK_EQ(app.n_pieces + app.n_ends + app.n_done, 0);
        buf_fini(&request);
    }
}

static void a_client_is_told_to_go_on_when_its_body_is_asked_for(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /take HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                          "Content-Length: 5\r\n\r\n");
    CHECK_TEXT(wire_text(&wire), CONTINUE);
    wire.sent.len = 0;
    wire_feed_text(&wire, "hello" GET("/hello/next"));
    check_got("hello", 5);
    reopen();
    app.defers_first = true; /* and not before */
    wire.keeps_waits = true;
    wire_feed_text(&wire, "POST /take HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                          "Content-Length: 5\r\n\r\n");
    CHECK_EQ(wire.sent.len, 0);
    deferred_turn_in(app.ticket, go_on, NULL);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    CHECK_TEXT(wire_text(&wire), CONTINUE);
    wire.sent.len = 0;
    wire_feed_text(&wire, "hel");
    wire_feed_text(&wire, "lo" GET("/hello/next"));
    check_got("hello", 5);
}

static void a_consumer_that_never_answers_gets_an_error(void **state)
{
    (void)state;
    app.answer = NOTHING;
    wire_feed_text(&wire, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    wire_feed_text(&wire, GET("/"));
    WIRE_ANSWERED(&wire, 500, 200);
    CHECK_EQ(app.n_ends, 1);
    CHECK_EQ(app.n_done, 1);
}

/* ---- pieces that wait ---- */

static void a_body_waits_for_a_ticket_and_goes_on(void **state)
{
    (void)state;
    static const size_t len = 40000;
    wire.keeps_waits = true;
    for (size_t chunk = 0; chunk <= 1000; chunk += 500)
        for (unsigned at = 1; at <= 10; at++) {
            check_context("chunks of %zu, put off at piece %u", chunk, at);
            struct buf request = {0};
            reopen();
            app.defer_at = at;
            bodies_write(&request, "POST /take", "", bodies_octets(len), len, chunk);
            CHECK(buf_append(&request, GET("/hello/next"), strlen(GET("/hello/next"))) == 0);
            size_t fed = wire_feed(&wire, request.data, request.len);
            CHECK_EQ(wire.conn.state, CONN_DEFERRED);
            CHECK_EQ(app.n_pieces, at);
            CHECK_EQ(wire_turn(&wire), CONN_WAIT_TIMER); /* for nothing */
            CHECK_EQ(app.n_pieces, at);
            deferred_turn_in(app.ticket, go_on, NULL);
            CHECK_EQ(wire_take_tickets(&wire), 1);
            fed += wire_feed(&wire, request.data + fed, request.len - fed);
            CHECK_EQ(fed, request.len);
            check_got(bodies_octets(len), len);
            buf_fini(&request);
        }
}

/* At the very last piece too, and with all that follows in the same read. */
static void the_last_piece_may_be_put_off(void **state)
{
    (void)state;
    wire.keeps_waits = true;
    static const char *const requests[] = {
        "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/hello/next"),
        "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
        "\r\n" GET("/hello/next"),
        "POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/hello/next"),
        "POST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
        "\r\n" GET("/hello/next"),
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        for (int answers = 0; answers <= 1; answers++) {
            check_context("%s, %d", requests[i], answers);
            reopen();
            app.defer_at = 1;
            CHECK_EQ(wire_feed(&wire, requests[i], strlen(requests[i])), strlen(requests[i]));
            CHECK_EQ(wire.conn.state, CONN_DEFERRED);
            deferred_turn_in(app.ticket, answers ? answer_now : go_on, NULL);
            CHECK_EQ(wire_take_tickets(&wire), 1);
            if (answers) {
                CHECK_EQ(app.n_ends, 0);
                app.n_ends = 1;
            }
            check_got("hello", 5);
        }
}

/* Time that the application takes is not the client's. */
static void a_body_that_had_to_wait_is_not_slow(void **state)
{
    (void)state;
    static const char *const fields[] = {"Content-Length: 20\r\n",
                                         "Transfer-Encoding: chunked\r\n"};
    static const char *const pieces[] = {"0123456789", "a\r\n0123456789\r\n"};
    wire.keeps_waits = true;
    wire.env.limits.answer_us = 0;
    wire.env.limits.body_grace_us = 30 * S;
    wire.env.limits.body_min_rate = 1000;
    for (int i = 0; i < 2; i++)
        for (int first = 0; first <= 1; first++) {
            check_context("%s, %d", fields[i], first);
            struct buf head = {0};
            reopen();
            app.defers_first = first;
            app.defer_at = first ? 0 : 1;
            bodies_write_head(&head, "POST /take", fields[i]);
            (void)wire_feed(&wire, head.data, head.len);
            if (!first)
                wire_feed_text(&wire, pieces[i]);
            CHECK_EQ(wire.conn.state, CONN_DEFERRED);
            wire.env.now_us += 600 * S;
            deferred_turn_in(app.ticket, go_on, NULL);
            CHECK_EQ(wire_take_tickets(&wire), 1);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_BODY);
            if (first)
                wire_feed_text(&wire, pieces[i]);
            CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_BODY);
            wire.env.now_us += 29 * S;
            wire_feed_text(&wire, pieces[i]);
            if (i == 1)
                wire_feed_text(&wire, "0\r\n\r\n");
            WIRE_ANSWERED(&wire, 200);
            buf_fini(&head);
        }
    reopen(); /* and the client's own time counts from then on */
    app.defer_at = 1;
    wire_feed_text(&wire, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n");
    wire.env.now_us += 20 * S;
    wire_feed_text(&wire, pieces[0]);
    wire.env.now_us += 600 * S;
    deferred_turn_in(app.ticket, go_on, NULL);
    CHECK_EQ(wire_take_tickets(&wire), 1);
    wire.env.now_us += 31 * S;
    wire_feed_text(&wire, pieces[0]);
    WIRE_ANSWERED(&wire, 408);
}

/* ---- bodies that are refused, clients that leave ---- */

static void a_streamed_body_over_its_limit_is_refused(void **state)
{
    (void)state;
    struct buf request = {0};
    bodies_write(&request, "POST /little", "", bodies_octets(101), 101, 0);
    (void)wire_feed(&wire, request.data, request.len);
    WIRE_ANSWERED(&wire, 413);
    CHECK_EQ(wire.n_handled, 0);
    request.len = 0;
    reopen();
    bodies_write(&request, "POST /little", "", bodies_octets(101), 101, 50);
    (void)wire_feed(&wire, request.data, request.len);
    WIRE_ANSWERED(&wire, 413); /* in the middle: two pieces were taken */
    CHECK_EQ(app.n_pieces, 2);
    CHECK_EQ(app.n_ends, 0);
    CHECK_EQ(app.n_done, 1);
    CHECK_EQ(wire.n_finished, 1);
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_LINGER);
    buf_fini(&request);
}

static void a_malformed_rest_of_a_streamed_body_is_refused(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nhello\r\n-1\r\n" GET("/"));
    WIRE_ANSWERED(&wire, 400);
    CHECK_EQ(app.n_pieces, 1);
    CHECK_EQ(app.n_ends, 0); /* it is not complete, and never looks so */
    CHECK_EQ(app.n_done, 1);
    CHECK_EQ(wire.finished[0], 400);
}

static void a_streamed_body_that_stops_is_refused_with_408(void **state)
{
    (void)state;
    wire_feed_text(&wire, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    CHECK_EQ(conn_wait(&wire.conn), CONN_WAIT_BODY);
    conn_on_timeout(&wire.conn);
    CHECK_EQ(wire_turn(&wire), CONN_WAIT_LINGER);
    WIRE_ANSWERED(&wire, 408);
    CHECK_EQ(app.n_done, 1);
    CHECK_EQ(app.n_ends, 0);
    CHECK_EQ(wire.n_finished, 1);
}

static void a_client_that_leaves_in_the_middle_is_told_to_nobody_but_done(void **state)
{
    (void)state;
    static const struct {
        const char *octets;
        unsigned defer_at;
        unsigned n_tickets;
    } rows[] = {
        {"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", 0, 0},
        {"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", 0, 0},
        {"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", 1, 1},
        {"POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 0, 0},
        {"POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 1, 1},
    };
    wire.keeps_waits = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s, put off at %u", rows[i].octets, rows[i].defer_at);
        reopen();
        app.defer_at = rows[i].defer_at;
        wire_feed_text(&wire, rows[i].octets);
        CHECK_EQ(app.n_tickets, rows[i].n_tickets);
        CHECK_EQ(app.n_done, 0);
        conn_on_eof(&wire.conn);
        CHECK_EQ(wire_turn(&wire), CONN_WAIT_CLOSE);
        CHECK_EQ(app.n_done, 1);
        CHECK_EQ(app.n_ends, 0);
        CHECK_EQ(wire.n_finished, 1);
        CHECK_EQ(wire.finished[0], 0);
        CHECK_EQ(wire.sent.len, 0);
        if (app.ticket) {
            CHECK(!atomic_load(&app.ticket->is_wanted));
            deferred_turn_in(app.ticket, go_on, NULL);
            CHECK_EQ(wire_take_tickets(&wire), 1);
        }
        conn_fini(&wire.conn); /* once more harms nobody */
        CHECK_EQ(app.n_done, 1);
        CHECK_EQ(wire.n_finished, 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_pieces_are_the_body_however_it_is_cut),
        TEST(nothing_of_a_large_body_is_kept),
        TEST(a_request_without_a_body_has_an_empty_one),
        TEST(a_consumer_may_answer_at_any_piece),
        TEST(an_early_answer_may_be_slow_to_go_out),
        TEST(an_early_answer_ends_the_connection_where_the_rest_is_long),
        TEST(a_rest_is_measured_from_the_answer_on),
        TEST(a_handler_that_does_not_ask_has_refused_the_body),
        TEST(a_client_is_told_to_go_on_when_its_body_is_asked_for),
        TEST(a_consumer_that_never_answers_gets_an_error),
        TEST(a_body_waits_for_a_ticket_and_goes_on),
        TEST(the_last_piece_may_be_put_off),
        TEST(a_body_that_had_to_wait_is_not_slow),
        TEST(a_streamed_body_over_its_limit_is_refused),
        TEST(a_malformed_rest_of_a_streamed_body_is_refused),
        TEST(a_streamed_body_that_stops_is_refused_with_408),
        TEST(a_client_that_leaves_in_the_middle_is_told_to_nobody_but_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
