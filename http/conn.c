/* The connection state machine: its life, its turns, and what outlives a turn. Requests are in
 * http/conn_request.c, answers in http/conn_answer.c.
 *
 * Memory: the octets of a request lie either in the loop's input buffer (the usual case: it arrived
 * in one read and is answered in the same turn), or in the exchange's store. Pointers into them are
 * handed to the application, so they never move once the head is complete: when a turn ends before
 * the answer does, conn_settle() gives the exchange the loop's buffer itself and the loop
 * another. */
#include "http/conn.h"

#include <errno.h>

#include "base/clock.h"
#include "base/panic.h"
#include "http/away.h"
#include "http/conn_answer.h"
#include "http/conn_app.h"
#include "http/conn_request.h"
#include "http/stream.h"

#define OUT_KEPT_BYTES 262144U

const char *const conn_state_names[CONN_STATES] = {
    [CONN_PROXY] = "proxy",     [CONN_IDLE] = "idle",         [CONN_HEAD] = "head",
    [CONN_LENGTH] = "body",     [CONN_CHUNKED] = "chunked",   [CONN_SENDING] = "send",
    [CONN_STREAM] = "stream",   [CONN_DEFERRED] = "deferred", [CONN_AWAY] = "away",
    [CONN_CLOSING] = "closing", [CONN_LINGER] = "linger",     [CONN_CLOSED] = "closed"};

/* ---- a connection's life ---- */

void conn_init(struct conn *c, struct conn_env *env, const struct peer *peer)
{
    *c = (struct conn){.env = env, .peer = *peer, .state = CONN_IDLE};
    if (env->proxies && network_has(env->proxies, &peer->address.any))
        c->state = CONN_PROXY;
    else
        conn_request_judge_peer(c);
}

void conn_fini(struct conn *c)
{
    if (c->is_open_ended &&
        (c->state == CONN_STREAM || c->state == CONN_AWAY || c->state == CONN_CLOSING))
        c->is_broken = true; /* not all of it was made, or sent */
    if (c->ex && c->ex->is_away)
        away_let_go(c);
    if (c->ex) {
        struct exchange *ex = c->ex;
        if (ex->is_handled) {
            ex->res.status = 0; /* cut off */
            c->env->hooks.finished(c->env->owner, &ex->req, &ex->res);
        }
        conn_env_settle(c->env, ex);
        exchange_give_back(&c->env->pool, ex);
        c->ex = NULL;
    }
    buf_fini(&c->pending);
    buf_fini(&c->out);
    c->out_sent = 0;
    c->state = CONN_CLOSED;
}

/* ---- input ---- */

void conn_input_space(struct conn *c, char **out_space, size_t *out_room)
{
    if (__builtin_expect(c->state != CONN_IDLE, 0) && conn_request_space(c, out_space, out_room))
        return;
    *out_space = c->env->in.data;
    *out_room = c->env->in.cap;
}

void conn_on_input(struct conn *c, size_t n)
{
    struct conn_env *env = c->env;
    if (__builtin_expect(c->state != CONN_IDLE, 0) &&
        (c->state == CONN_LINGER || conn_request_commit(c, n)))
        return;
    env->view = env->in.data;
    env->view_len = n;
}

void conn_on_eof(struct conn *c)
{
    /* A request that ends in the middle is nobody's request (RFC 9112 §8). */
    conn_fini(c);
}

struct conn *conn_on_ticket(struct conn_env *env, struct rmd_deferred *d)
{
    struct exchange *ex = d->ex;
    if (!ex) {
        if (env->hooks.settling)
            env->hooks.settling(env->owner, NULL, true);
        deferred_give_back(d, false);
        if (env->hooks.settling)
            env->hooks.settling(env->owner, NULL, false);
        return NULL;
    }
    if (d == &ex->token)
        return away_come_back(env, ex);
    ex->ticket = d;
    if (ex->is_away)
        return NULL; /* looked at when that is back */
    RMD_ASSERT(ex->conn && ex->req.deferred == d);
    return ex->conn;
}

/* ---- a turn ---- */

static int produce(struct conn_env *env, struct exchange *ex)
{
    if (env->hooks.producing)
        env->hooks.producing(env->owner, &ex->req, true);
    int wait_ms = stream_produce(&ex->res, ex->is_stream_chunked, &env->out);
    if (env->hooks.producing)
        env->hooks.producing(env->owner, &ex->req, false);
    return wait_ms;
}

static void tell_paced(struct conn_env *env, struct exchange *ex)
{
    ex->res.is_pace_told = true;
    if (env->hooks.paced)
        env->hooks.paced(env->owner, &ex->req);
}

static bool step_stream(struct conn *c)
{
    struct conn_env *env = c->env;
    struct exchange *ex = c->ex;
    if (c->resume_us > env->now_us)
        return false;
    if (__builtin_expect(ex->is_io && !ex->is_made, 0)) {
        conn_app_send(c, ERRAND_PRODUCE);
        return false;
    }
    size_t len = env->out.len;
    int wait_ms = ex->is_io ? away_take_made(ex, &env->out) : produce(env, ex);
    if (__builtin_expect(ex->res.n_empty == STREAM_EMPTY_MAX && !ex->res.is_pace_told, 0))
        tell_paced(env, ex);
    if (wait_ms == RMD_END) {
        conn_answer_finish(c);
    } else if (wait_ms < 0) {
        ex->res.status = 0;
        c->is_keep_alive = false;
        c->is_broken = true;
        conn_answer_finish(c);
    } else {
        c->resume_us = wait_ms > 0 ? env->now_us + (uint64_t)wait_ms * CLOCK_US_PER_MS : 0;
        return env->out.len > len; /* one that asks again with nothing to say lets others go on,
                                    * and not for ever: STREAM_EMPTY_MAX */
    }
    return true;
}

static bool step(struct conn *c)
{
    return c->state == CONN_STREAM ? step_stream(c) : conn_request_step(c);
}

/* Between requests, with nothing to go on with: how most turns end. */
static bool is_at_rest(const struct conn *c)
{
    return c->state == CONN_IDLE && c->env->view_len == 0 && c->pending.len == 0;
}

/* Answers wait for each other in the output buffer, but not for ever: then others get their turn
 * (CONN_ENV_OUT_BYTES, limits.pipelined). */
void conn_process(struct conn *c)
{
    struct conn_env *env = c->env;
    if (c->out.len > 0)
        return; /* first what could not be sent */
    c->is_paused = true;
    uint32_t n_before = c->n_requests;
    do {
        if (env->out.len - env->out_sent >= CONN_ENV_OUT_BYTES || c->state == CONN_SENDING ||
            c->n_requests - n_before >= env->limits.pipelined)
            return;
    } while (step(c) && !is_at_rest(c));
    c->is_paused = false;
}

bool conn_can_go_on(const struct conn *c)
{
    if (c->out.len > 0)
        return false;
    if (__builtin_expect(c->state == CONN_IDLE, 1))
        return c->is_paused;
    if (c->state == CONN_STREAM || c->state == CONN_DEFERRED)
        return c->resume_us <= c->env->now_us || (c->ex && c->ex->ticket);
    if (c->state == CONN_AWAY)
        return c->resume_us <= c->env->now_us || c->ex->is_back;
    return c->is_paused && c->state < CONN_SENDING;
}

bool conn_has_room_for_body(const struct conn *c)
{
    return c->state == CONN_LENGTH && c->env->view_len == 0 && conn_request_has_room(c);
}

/* ---- the end of a turn ---- */

/* The answer outlives the turn and the request lies in the loop's buffer: the exchange takes the
 * buffer, so that no pointer of the application moves, and the loop gets another. Where only the
 * body is in it the head has a place already, maybe the buffer of an earlier turn. */
static int keep_request(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    if (!ex->is_in_env && !ex->is_body_in_env)
        return 0;
    struct buf *place = ex->is_in_env ? &ex->store : &ex->body.memory;
    struct block **block = ex->is_in_env ? &ex->block : &ex->body_block;
    RMD_ASSERT(place->len == 0 && !*block);
    int rc = conn_env_part_with_input(env, block, place);
    if (rc < 0)
        return rc;
    ex->has_more |= *block != NULL;
    ex->is_in_env = false;
    ex->is_body_in_env = false;
    return 0;
}

static int settle_input(struct conn *c)
{
    struct conn_env *env = c->env;
    int rc = 0;
    switch ((enum conn_state)c->state) {
    case CONN_HEAD:
        if (c->ex->store.len == 0)
            rc = buf_append(&c->ex->store, env->view, env->view_len);
        break;
    case CONN_AWAY:
        if (c->ex->is_away)
            break;
        __attribute__((fallthrough));
    case CONN_SENDING:
    case CONN_STREAM:
    case CONN_DEFERRED:
        if (c->ex->req.board_entry == UINT32_MAX || c->ex->is_io)
            env->hooks.parked(env->owner, &c->ex->req);
        rc = buf_append(&c->pending, env->view, env->view_len);
        if (rc == 0)
            rc = keep_request(c);
        break;
    case CONN_IDLE:
        if (env->view_len > 0) /* gave way with them unanswered */
            rc = buf_append(&c->pending, env->view, env->view_len);
        break;
    case CONN_LENGTH:
    case CONN_CHUNKED: /* view: gave way to others */
        rc = buf_append(&c->pending, env->view, env->view_len);
        if (rc == 0 && !c->ex->is_over)
            rc = keep_request(c);
        break;
    case CONN_CLOSING: /* closing with input unread would reset what we just sent */
        if (env->view_len > 0 || c->pending.len > 0)
            c->is_lingering = true;
        buf_fini(&c->pending);
        break;
    default:
        break;
    }
    return rc;
}

void conn_settle(struct conn *c)
{
    struct conn_env *env = c->env;
    int rc = 0;
    if (__builtin_expect(is_at_rest(c) && env->out.len == 0 && env->out.cap <= OUT_KEPT_BYTES, 1)) {
        env->view = NULL;
        return;
    }
    RMD_ASSERT(c->state != CONN_LENGTH || c->ex->body_left > 0);
    if (c->state != CONN_CLOSED)
        rc = settle_input(c);
    env->view = NULL; /* also when the connection was cut off: it is nobody else's input */
    env->view_len = 0;
    if (rc == 0 && c->state != CONN_CLOSED && env->out.len > env->out_sent)
        rc = buf_append(&c->out, env->out.data + env->out_sent, env->out.len - env->out_sent);
    if (env->out.cap > OUT_KEPT_BYTES)
        buf_fini(&env->out);
    env->out.len = 0;
    env->out_sent = 0;
    if (rc < 0)
        conn_fini(c);
    if (c->state == CONN_AWAY && !c->ex->is_away && !c->ex->is_back)
        away_send(c);
    if (c->state == CONN_CLOSING && c->out.len == 0)
        c->state = c->is_lingering && !c->is_broken ? CONN_LINGER : CONN_CLOSED;
}

void conn_linger(struct conn *c)
{
    RMD_ASSERT(c->state == CONN_CLOSED && !c->ex);
    if (!c->is_broken) /* the reset is wanted */
        c->state = CONN_LINGER;
}

enum conn_wait conn_wait(const struct conn *c)
{
    if (__builtin_expect(c->state == CONN_IDLE && c->out.len == 0 && !c->is_paused, 1))
        return CONN_WAIT_REQUEST;
    if (c->out.len > 0 || c->state == CONN_SENDING || conn_can_go_on(c))
        return CONN_WAIT_WRITE;
    switch ((enum conn_state)c->state) {
    case CONN_PROXY:
    case CONN_IDLE:
        return CONN_WAIT_REQUEST;
    case CONN_HEAD:
        return CONN_WAIT_HEAD;
    case CONN_LENGTH:
    case CONN_CHUNKED:
        return CONN_WAIT_BODY;
    case CONN_STREAM:
    case CONN_DEFERRED:
    case CONN_AWAY:
        return CONN_WAIT_TIMER;
    case CONN_LINGER:
        return CONN_WAIT_LINGER;
    default:
        return CONN_WAIT_CLOSE;
    }
}

void conn_on_timeout(struct conn *c)
{
    if (conn_request_is_receiving(c) && c->out.len == 0)
        conn_answer_refuse(c, 408, "request not complete in time");
    else
        conn_fini(c);
}
