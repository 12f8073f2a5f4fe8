/* The application's turn with a request. Reading order: conn_app_dispatch() → after_app() →
 * conn_app_feed(), conn_app_step_deferred(); where its code runs elsewhere: conn_app_send(),
 * conn_app_step_away() → come_back(). */
#include "http/conn_app.h"

#include "base/clock.h"
#include "http/away.h"
#include "http/conn_answer.h"

bool conn_app_continue(struct conn *c)
{
    struct exchange *ex = c->ex;
    if (ex->is_continued)
        return true;
    ex->is_continued = true;
    if (buf_append(&c->env->out, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0)
        return true;
    conn_answer_give_up(c);
    return false;
}

static uint64_t patience_of(const struct conn *c)
{
    const struct rmd_request *req = &c->ex->req;
    const struct route *route = req->match.route;
    uint64_t deadline_us = c->ex->deadline_us > 0 ? c->ex->deadline_us : CONN_NEVER_US;
    uint64_t limit_us = c->env->limits.answer_us;
    if (c->ex->is_task)
        return deadline_us;
    if (route && route->decl->timeout_ms > 0)
        limit_us = route->decl->timeout_ms * CLOCK_US_PER_MS;
    uint64_t own_us = limit_us > 0 ? c->env->now_us + limit_us : CONN_NEVER_US;
    return own_us < deadline_us ? own_us : deadline_us;
}

/* What the application left behind: its answer, or its word that it comes later. One that waits for
 * the body gets what is here, or what is to come; a ticket that is turned in without an answer lets
 * a body go on that had to wait. */
static void after_app(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct rmd_request *req = &ex->req;
    if (__builtin_expect(!request_is_put_off(req), 1)) {
        conn_answer_give(c);
    } else if (req->deferred) {
        c->state = CONN_DEFERRED;
        c->resume_us = patience_of(c);
    } else if (req->is_body_complete) {
        conn_app_feed(c, ex->sink == SINK_CONSUME ? STR("") : req->body);
    } else if (conn_app_continue(c)) {
        if (c->state == CONN_DEFERRED || c->state == CONN_AWAY)
            conn_app_start_body_clock(c); /* it was not the client that let time pass */
        ex->sink = SINK_CONSUME;
        c->state = req->head.is_chunked ? CONN_CHUNKED : CONN_LENGTH;
    }
}

void conn_app_send(struct conn *c, enum errand errand)
{
    c->ex->errand = (uint8_t)errand;
    c->state = CONN_AWAY;
    c->resume_us = patience_of(c);
    c->ex->req.deadline_us = c->resume_us;
}

/* A piece in the loop's buffer is copied: others are read there while the consumer has it. */
static void send_piece(struct conn *c, struct str piece)
{
    struct exchange *ex = c->ex;
    if (piece.len > 0 && piece.p != ex->req.body.p) {
        ex->made.len = 0;
        if (buf_append(&ex->made, piece.p, piece.len) < 0) {
            conn_answer_give_up(c);
            return;
        }
        piece.p = ex->made.data;
    }
    ex->piece = piece;
    conn_app_send(c, ERRAND_CONSUME);
}

void conn_app_feed(struct conn *c, struct str piece)
{
    struct exchange *ex = c->ex;
    ex->sink = SINK_CONSUME;
    if (piece.len == 0)
        ex->req.is_consumed = true;
    if (__builtin_expect(ex->is_io, 0)) {
        send_piece(c, piece);
        return;
    }
    c->env->hooks.consume(c->env->owner, &ex->req, &ex->res, piece);
    after_app(c);
}

/* A route of another lane. Returns false when its handler runs here all the same */
__attribute__((cold, noinline)) static bool dispatch_away(struct conn *c)
{
    struct conn_env *env = c->env;
    struct exchange *ex = c->ex;
    enum conn_lane lane =
        env->hooks.choose ? env->hooks.choose(env->owner, &ex->req) : CONN_LANE_LOOP;
    if (lane == CONN_LANE_FULL)
        conn_answer_busy(c);
    if (lane == CONN_LANE_LATE)
        conn_answer_error(c, 504);
    if (lane == CONN_LANE_AWAY) {
        ex->is_io = ex->has_more = true;
        conn_app_send(c, ERRAND_HANDLE);
    }
    return lane != CONN_LANE_LOOP;
}

void conn_app_dispatch(struct conn *c)
{
    struct exchange *ex = c->ex;
    const struct route *route = ex->req.match.route;
    response_begin(&ex->res, &ex->req);
    ex->is_handled = true;
    if (__builtin_expect(route && route->runs != RMD_INLINE, 0) && dispatch_away(c))
        return;
    c->env->hooks.handle(c->env->owner, &ex->req, &ex->res);
    after_app(c);
}

bool conn_app_step_deferred(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct rmd_deferred *ticket = ex->ticket;
    if (ticket) {
        ex->ticket = NULL;
        ex->req.deferred = NULL;
        if (ex->is_io) {
            ex->answering = ticket;
            conn_app_send(c, ERRAND_ANSWER);
            return true;
        }
        c->env->hooks.answer(c->env->owner, &ex->req, &ex->res, ticket);
        deferred_give_back(ticket, true);
        after_app(c);
        return true;
    }
    if (c->resume_us > c->env->now_us)
        return false;
    conn_answer_error(c, 504);
    return true;
}

/* What its code left behind, now that the exchange is here again. */
static void come_back(struct conn *c)
{
    struct exchange *ex = c->ex;
    ex->is_back = false;
    if (ex->failure > 0) {
        int status = ex->failure;
        ex->failure = 0;
        if (status == 503)
            conn_answer_busy(c);
        else
            conn_answer_error(c, status);
        return;
    }
    if (ex->errand != ERRAND_PRODUCE) {
        after_app(c);
        return;
    }
    ex->is_made = true;
    c->state = CONN_STREAM;
    c->resume_us = 0;
}

/* It took too long. An answer that has begun can't become a 504: it is cut. */
static void expire_away(struct conn *c)
{
    struct conn_env *env = c->env;
    struct exchange *ex = c->ex;
    bool is_here = away_recall(c);
    if (!is_here && ex->is_task) { /* it has come back already, and is only not looked at yet */
        c->resume_us = CONN_NEVER_US;
        return;
    }
    if (!is_here)
        env->hooks.overdue(env->owner, ex);
    if (ex->errand == ERRAND_PRODUCE) {
        c->resume_us = CONN_NEVER_US; /* it has been said */
        c->is_broken = true;
        conn_fini(c);
        conn_answer_drop_input(c);
        return;
    }
    if (!is_here && away_replace(c) < 0) {
        conn_answer_give_up(c);
        return;
    }
    if (!c->ex->req.is_body_complete)
        c->is_keep_alive = false;
    conn_answer_error(c, 504);
}

bool conn_app_step_away(struct conn *c)
{
    if (c->ex->is_back)
        come_back(c);
    else if (c->ex->is_away && c->resume_us <= c->env->now_us)
        expire_away(c);
    else
        return false;
    return true;
}
