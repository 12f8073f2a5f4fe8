/* The connection state machine. Reading order: conn_process() → step() → the on_… functions in the
 * order of a request's life → answer() → finish().
 *
 * Memory: the octets of a request lie either in the loop's input buffer (the usual case: it arrived
 * in one read and is answered in the same turn), or in the exchange's store. Pointers into them are
 * handed to the application, so they never move once the head is complete: when a turn ends before
 * the answer does, conn_settle() gives the exchange the loop's buffer itself and the loop
 * another. */
#include "http/conn.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/panic.h"
#include "http/guard.h"
#include "http/stream.h"

#define BODY_FIRST_BYTES 65536U /* a body grows from here; malloc gives pages when touched */
#define COPY_MAX_BYTES 16384U /* bodies up to this are gathered, larger sent from where they lie */
#define OUT_KEPT_BYTES 262144U
#define EMPTY_LINES_MAX 8U /* before a request line (RFC 9112 §2.2 asks for at least one) */

const char *const conn_state_names[CONN_STATES] = {
    [CONN_IDLE] = "idle",       [CONN_HEAD] = "head",     [CONN_LENGTH] = "body",
    [CONN_CHUNKED] = "chunked", [CONN_SENDING] = "send",  [CONN_STREAM] = "stream",
    [CONN_CLOSING] = "closing", [CONN_LINGER] = "linger", [CONN_CLOSED] = "closed"};

/* ---- a connection's life ---- */

void conn_init(struct conn *c, struct conn_env *env, const struct peer *peer)
{
    *c = (struct conn){.env = env, .peer = *peer, .state = CONN_IDLE};
}

void conn_fini(struct conn *c)
{
    if (c->ex) {
        struct exchange *ex = c->ex;
        if (c->state == CONN_SENDING || c->state == CONN_STREAM) {
            ex->res.status = 0; /* cut off */
            c->env->hooks.finished(c->env->owner, &ex->req, &ex->res);
        }
        response_drop_body(&ex->res);
        exchange_give_back(&c->env->pool, ex);
        c->ex = NULL;
    }
    buf_fini(&c->pending);
    buf_fini(&c->out);
    c->state = CONN_CLOSED;
}

bool conn_is_idle(const struct conn *c)
{
    return (c->state == CONN_IDLE || c->state == CONN_HEAD) && c->out.len == 0;
}

static void drop_input(struct conn *c)
{
    c->env->view_len = 0;
    c->pending.len = 0;
}

/* ---- input ---- */

void conn_input_space(struct conn *c, char **out_space, size_t *out_room)
{
    struct conn_env *env = c->env;
    struct exchange *ex = c->ex;
    *out_room = 0;
    if (c->state == CONN_HEAD && ex->store.len > 0) {
        /* Never more than the loop's buffer holds: what follows the request moves there. */
        if (buf_reserve(&ex->store, 4096) < 0)
            return;
        *out_space = ex->store.data + ex->store.len;
        *out_room = ex->store.cap - ex->store.len;
        if (*out_room > env->in.cap)
            *out_room = env->in.cap;
        return;
    }
    if (c->state == CONN_LENGTH) {
        size_t want = c->body_left < BODY_FIRST_BYTES ? (size_t)c->body_left : BODY_FIRST_BYTES;
        if (ex->body.cap - ex->body.len < want && buf_reserve(&ex->body, want) < 0)
            return;
        *out_space = ex->body.data + ex->body.len;
        *out_room = ex->body.cap - ex->body.len;
        if (*out_room > c->body_left)
            *out_room = (size_t)c->body_left;
        return;
    }
    *out_space = env->in.data;
    *out_room = env->in.cap;
}

void conn_on_input(struct conn *c, size_t n)
{
    struct conn_env *env = c->env;
    if (c->state == CONN_HEAD && c->ex->store.len > 0) {
        c->ex->store.len += n;
    } else if (c->state == CONN_LENGTH) {
        c->ex->body.len += n;
        c->body_left -= n;
    } else if (c->state != CONN_LINGER) {
        env->view = env->in.data;
        env->view_len = n;
    }
}

void conn_on_eof(struct conn *c)
{
    /* A request that ends in the middle is nobody's request (RFC 9112 §8). */
    conn_fini(c);
}

static void consume(struct conn_env *env, size_t n)
{
    env->view += n;
    env->view_len -= n;
}

/* ---- answers ---- */

static void finish(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    env->hooks.finished(env->owner, &ex->req, &ex->res);
    if (ex->res.done)
        response_drop_body(&ex->res);
    c->ex = NULL;
    /* An answer that began before the drain promised to go on: requests that are here get
     * theirs. */
    bool is_last =
        !c->is_keep_alive || (env->is_draining && env->view_len == 0 && c->pending.len == 0);
    c->state = is_last ? CONN_CLOSING : CONN_IDLE;
    c->n_requests++;
    exchange_give_back(&env->pool, ex);
}

/* No memory even for an error: the connection ends, others go on. */
static void give_up(struct conn *c)
{
    conn_fini(c);
    drop_input(c);
}

static bool has_body_on_wire(const struct exchange *ex)
{
    return !response_is_bodiless(ex->res.status) && strcmp(ex->req.method, "HEAD") != 0;
}

static int render_head(struct conn *c, struct exchange *ex)
{
    struct rmd_response *res = &ex->res;
    bool is_1_0 = ex->req.head.bytes > 0 && ex->req.head.minor == 0;
    bool is_stream = res->kind == RESPONSE_STREAM;
    c->is_stream_chunked = is_stream && !is_1_0;
    if (is_stream && is_1_0)
        c->is_keep_alive = false; /* the end of the body is the end of the connection */
    struct response_frame frame = {
        .common = c->env->common,
        .is_closing = !c->is_keep_alive,
        .is_keep_alive_1_0 = is_1_0,
        .is_chunked = c->is_stream_chunked && !response_is_bodiless(res->status),
        .has_length = !is_stream && !response_is_bodiless(res->status),
        .length = res->body_len,
    };
    return response_render_head(res, &frame, &c->env->out);
}

/* The answer is known: puts it on the way. */
static void answer(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct rmd_response *res = &ex->res;
    struct buf *out = &c->env->out;
    if (c->env->is_draining)
        c->is_keep_alive = false;
    if (res->status ==
        205) { /* must not have content (RFC 9110 §15.3.6), but says so by a length */
        response_drop_body(res);
        res->kind = RESPONSE_EMPTY;
    }
    if (render_head(c, ex) < 0) {
        give_up(c);
        return;
    }
    if (!has_body_on_wire(ex)) {
        finish(c);
    } else if (res->kind == RESPONSE_STREAM) {
        c->state = CONN_STREAM;
        c->resume_us = 0;
    } else if (res->body_len <= COPY_MAX_BYTES) {
        if (buf_append(out, res->body, res->body_len) < 0) {
            give_up(c);
            return;
        }
        res->body_sent = res->body_len;
        finish(c);
    } else {
        c->state = CONN_SENDING;
    }
}

/* Refuses a request: one answer, then the connection ends, because what follows can't be trusted to
 * be a request (RFC 9112 §2.2, §9.6). */
static void refuse(struct conn *c, int status, const char *reason)
{
    struct exchange *ex = c->ex;
    bool is_known = ex->req.raw_path.len > 0;
    response_begin(&ex->res, &ex->req);
    response_error_page(&ex->res, &ex->arena, status);
    if (is_known)
        c->env->hooks.error(c->env->owner, &ex->req, &ex->res, status);
    else if (reason)
        ex->res.body = arena_printf(&ex->arena, &ex->res.body_len, "%d %s\n", status, reason);
    if (!ex->res.body)
        ex->res.body_len = 0;
    c->is_keep_alive = false;
    c->is_lingering = true;
    drop_input(c);
    answer(c);
}

static void dispatch(struct conn *c)
{
    struct exchange *ex = c->ex;
    response_begin(&ex->res, &ex->req);
    c->env->hooks.handle(c->env->owner, &ex->req, &ex->res);
    answer(c);
}

/* ---- requests ---- */

static uint64_t body_limit(const struct exchange *ex, const struct conn_env *env)
{
    const struct route *route = ex->req.match.route;
    return route && route->decl->body_limit > 0 ? route->decl->body_limit : env->limits.body;
}

/* The head is complete and well-formed: is a body to come, and do we want it? */
static void begin_body(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    struct head *head = &ex->req.head;
    if (!head->is_chunked && (!head->has_length || head->content_length == 0)) {
        dispatch(c);
        return;
    }
    uint64_t limit = body_limit(ex, env);
    if (head->has_length && head->content_length > limit) {
        refuse(c, 413, NULL);
        return;
    }
    if (head->wants_continue && env->view_len == 0) {
        if (ex->req.outcome != ROUTER_FOUND) { /* the answer is known: don't ask for the body */
            c->is_keep_alive = false;
            c->is_lingering = true;
            dispatch(c);
            return;
        }
        if (buf_append(&env->out, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0) {
            give_up(c);
            return;
        }
    }
    if (head->is_chunked) {
        parse_begin_chunked(&ex->parse, &ex->body, limit);
        c->state = CONN_CHUNKED;
    } else {
        c->body_left = head->content_length;
        c->state = CONN_LENGTH;
    }
}

/* The method as text; also of a head that is refused, since an answer to HEAD has no body. */
static void fill_method(struct rmd_request *req, const char *base, size_t len)
{
    size_t n = 0;
    while (n < len && n < REQUEST_METHOD_MAX - 1 && base[n] > ' ' && base[n] < 0x7f) {
        req->method[n] = base[n];
        n++;
    }
    req->method[n] = '\0';
}

static void on_head(struct conn *c, const char *base)
{
    struct exchange *ex = c->ex;
    const char *reason = NULL;
    fill_method(&ex->req, base, ex->req.head.bytes);
    ex->req.base = base;
    int status = guard_judge(&ex->req.head, base, &c->env->limits, &reason);
    if (status > 0) {
        refuse(c, status, reason);
        return;
    }
    c->is_keep_alive = ex->req.head.is_keep_alive;
    int rc = request_route(&ex->req, c->env->router);
    if (rc < 0)
        refuse(c, 503, "no memory");
    else if (ex->req.outcome == ROUTER_BAD_PATH)
        refuse(c, 400, NULL);
    else
        begin_body(c);
}

static bool begin_request(struct conn *c)
{
    struct conn_env *env = c->env;
    struct exchange *ex = exchange_take(&env->pool);
    if (!ex) {
        give_up(c);
        return false;
    }
    c->ex = ex;
    c->state = CONN_HEAD;
    c->n_empty_lines = 0;
    struct rmd_request *req = &ex->req;
    struct head head = req->head;
    *req = (struct rmd_request){.magic = REQUEST_MAGIC,
                                .head = {.fields = head.fields, .max_fields = head.max_fields},
                                .arena = &ex->arena,
                                .peer = c->peer,
                                .res = &ex->res,
                                .started_us = env->now_us,
                                .board_entry = UINT32_MAX,
                                .trace = {env->trace_seed, ++env->trace_count}};
    ex->is_in_env = false;
    ex->is_body_in_env = false;
    parse_begin(&ex->parse, &req->head, &env->limits);
    return true;
}

/* Empty lines before a request line are ignored (RFC 9112 §2.2), a few of them; a CR without its
 * LF, or an LF alone, begins no request. */
static bool skip_empty_lines(struct conn *c)
{
    struct conn_env *env = c->env;
    while (env->view_len > 0) {
        char octet = env->view[0];
        bool is_lf = c->has_cr && octet == '\n';
        bool is_cr = !c->has_cr && octet == '\r';
        if (!is_lf && !is_cr && !c->has_cr && octet != '\n')
            return true;
        if ((!is_lf && !is_cr) || (is_lf && ++c->n_empty_lines > EMPTY_LINES_MAX)) {
            if (begin_request(c))
                refuse(c, 400, "malformed request line");
            return false;
        }
        c->has_cr = is_cr;
        consume(env, 1);
    }
    return false;
}

/* ---- steps: each returns whether it got anywhere ---- */

/* Input that came while an answer was under way. */
static void take_pending(struct conn *c)
{
    struct conn_env *env = c->env;
    RMD_ASSERT(c->pending.len <= env->in.cap); /* it was read there */
    memcpy(env->in.data, c->pending.data, c->pending.len);
    env->view = env->in.data;
    env->view_len = c->pending.len;
    buf_fini(&c->pending);
}

static bool step_idle(struct conn *c)
{
    struct conn_env *env = c->env;
    if (env->view_len == 0 && c->pending.len > 0)
        take_pending(c);
    if (env->view_len == 0)
        return false;
    if (__builtin_expect(env->view[0] <= '\r' || c->has_cr, 0) && !skip_empty_lines(c))
        return c->state != CONN_IDLE;
    return begin_request(c);
}

static bool step_head(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    bool is_stored = ex->store.len > 0;
    char *base = is_stored ? ex->store.data : env->view;
    size_t len = is_stored ? ex->store.len : env->view_len;
    if (len == ex->parse.fed && !ex->parse.is_failed)
        return false;
    switch (parse_head(&ex->parse, base, len)) {
    case PARSE_MORE:
        return false;
    case PARSE_BAD:
        ex->req.base = base; /* the head may be whole, only too large, and is logged */
        fill_method(&ex->req, base, len);
        refuse(c, ex->parse.status, ex->parse.reason);
        return true;
    case PARSE_DONE:
        break;
    }
    size_t rest = len - ex->req.head.bytes;
    if (is_stored) { /* what follows the head was read behind it: goes on in the loop's buffer */
        RMD_ASSERT(rest <= env->in.cap);
        if (rest > 0)
            memcpy(env->in.data, base + ex->req.head.bytes, rest);
        env->view = env->in.data;
        env->view_len = rest;
        ex->store.len = ex->req.head.bytes;
    } else {
        ex->is_in_env = true;
        consume(env, ex->req.head.bytes);
    }
    on_head(c, base);
    return true;
}

static bool step_length(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    size_t n = env->view_len < c->body_left ? env->view_len : (size_t)c->body_left;
    if (n == c->body_left && ex->body.len == 0) { /* all of it is in this read: stays there */
        ex->req.body = str_make(env->view, n);
        ex->is_body_in_env = true;
        consume(env, n);
        c->body_left = 0;
        dispatch(c);
        return true;
    }
    if (n > 0) {
        if (buf_append(&ex->body, env->view, n) < 0) {
            refuse(c, 503, NULL);
            return true;
        }
        consume(env, n);
        c->body_left -= n;
    }
    if (c->body_left > 0)
        return false;
    ex->req.body = str_make(ex->body.data, ex->body.len);
    dispatch(c);
    return true;
}

static bool step_chunked(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    if (env->view_len == 0)
        return false;
    size_t used = 0;
    switch (parse_chunked(&ex->parse, env->view, env->view_len, &used)) {
    case PARSE_BAD:
        refuse(c, ex->parse.status, NULL);
        return true;
    case PARSE_MORE:
        consume(env, used);
        return false;
    case PARSE_DONE:
        break;
    }
    consume(env, used);
    ex->req.body = str_make(ex->body.data, ex->body.len);
    dispatch(c);
    return true;
}

static bool step_stream(struct conn *c)
{
    struct conn_env *env = c->env;
    if (c->resume_us > env->now_us)
        return false;
    size_t len = env->out.len;
    int wait_ms = stream_produce(&c->ex->res, c->is_stream_chunked, &env->out);
    if (wait_ms == RMD_END) {
        finish(c);
    } else if (wait_ms < 0) {
        c->ex->res.status = 0;
        c->is_keep_alive = false;
        finish(c);
    } else {
        c->resume_us = wait_ms > 0 ? env->now_us + (uint64_t)wait_ms * CLOCK_US_PER_MS : 0;
        return env->out.len > len; /* one that asks again with nothing to say lets others go on */
    }
    return true;
}

static bool step(struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_IDLE:
        return step_idle(c);
    case CONN_HEAD:
        return step_head(c);
    case CONN_LENGTH:
        return step_length(c);
    case CONN_CHUNKED:
        return step_chunked(c);
    case CONN_STREAM:
        return step_stream(c);
    default:
        return false;
    }
}

void conn_process(struct conn *c)
{
    struct conn_env *env = c->env;
    if (c->out.len > 0)
        return; /* first what could not be sent */
    c->is_paused = true;
    do {
        if (env->out.len - env->out_sent >= CONN_ENV_OUT_BYTES || c->state == CONN_SENDING)
            return;
    } while (step(c));
    c->is_paused = false;
}

/* ---- output ---- */

int conn_output(struct conn *c, struct iovec *iov)
{
    struct conn_env *env = c->env;
    int n = 0;
    if (c->out.len > 0)
        iov[n++] = (struct iovec){c->out.data + c->out_sent, c->out.len - c->out_sent};
    else if (env->out.len > env->out_sent)
        iov[n++] = (struct iovec){env->out.data + env->out_sent, env->out.len - env->out_sent};
    if (c->state == CONN_SENDING) {
        const struct rmd_response *res = &c->ex->res;
        iov[n++] = (struct iovec){(void *)(uintptr_t)(res->body + res->body_sent),
                                  res->body_len - (size_t)res->body_sent};
    }
    return n;
}

void conn_on_sent(struct conn *c, size_t n)
{
    struct conn_env *env = c->env;
    if (c->out.len > 0) {
        size_t left = c->out.len - c->out_sent;
        size_t from_out = n < left ? n : left;
        c->out_sent += from_out;
        n -= from_out;
        if (c->out_sent == c->out.len) {
            buf_fini(&c->out);
            c->out_sent = 0;
        }
    } else {
        size_t from_env = env->out.len - env->out_sent;
        if (from_env > n)
            from_env = n;
        env->out_sent += from_env;
        n -= from_env;
        if (env->out_sent == env->out.len)
            env->out_sent = env->out.len = 0;
    }
    if (c->state == CONN_SENDING) {
        c->ex->res.body_sent += n;
        if (c->ex->res.body_sent == c->ex->res.body_len)
            finish(c);
    }
}

bool conn_can_go_on(const struct conn *c)
{
    if (c->out.len > 0)
        return false;
    if (c->state == CONN_STREAM)
        return c->resume_us <= c->env->now_us;
    return c->is_paused && c->state < CONN_SENDING;
}

/* ---- the end of a turn ---- */

/* The answer outlives the turn and the request lies in the loop's buffer: the exchange takes the
 * buffer, so that no pointer of the application moves, and the loop gets another. */
static int keep_request(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    if (!ex->is_in_env && !ex->is_body_in_env)
        return 0;
    struct buf other = {0};
    if (ex->store.len == 0 && ex->store.cap >= env->in.cap) {
        other = ex->store;
        ex->store = (struct buf){0};
    } else if (buf_reserve(&other, env->in.cap) < 0) {
        return -ENOMEM;
    }
    if (ex->store.len > 0) { /* the head is in the store, only the body in the loop's buffer */
        buf_fini(&ex->body);
        ex->body = env->in;
    } else {
        buf_fini(&ex->store);
        ex->store = env->in;
    }
    env->in = other;
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
    case CONN_SENDING:
    case CONN_STREAM:
        if (c->ex->req.board_entry == UINT32_MAX)
            env->hooks.parked(env->owner, &c->ex->req);
        rc = buf_append(&c->pending, env->view, env->view_len);
        if (rc == 0)
            rc = keep_request(c);
        break;
    case CONN_IDLE:
        /* gave way to others with requests unanswered; in a drain nothing else keeps it */
        rc = buf_append(&c->pending, env->view, env->view_len);
        if (env->is_draining && c->n_requests > 0 && c->pending.len == 0)
            c->state = CONN_CLOSING;
        break;
    case CONN_LENGTH:
    case CONN_CHUNKED:
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
    env->view = NULL;
    env->view_len = 0;
    return rc;
}

void conn_settle(struct conn *c)
{
    struct conn_env *env = c->env;
    int rc = 0;
    if (c->state != CONN_CLOSED)
        rc = settle_input(c);
    if (rc == 0 && c->state != CONN_CLOSED && env->out.len > env->out_sent)
        rc = buf_append(&c->out, env->out.data + env->out_sent, env->out.len - env->out_sent);
    if (env->out.cap > OUT_KEPT_BYTES)
        buf_fini(&env->out);
    env->out.len = 0;
    env->out_sent = 0;
    if (rc < 0)
        conn_fini(c);
    if (c->state == CONN_CLOSING && c->out.len == 0)
        c->state = c->is_lingering ? CONN_LINGER : CONN_CLOSED;
}

void conn_linger(struct conn *c)
{
    RMD_ASSERT(c->state == CONN_CLOSED && !c->ex);
    c->state = CONN_LINGER;
}

enum conn_wait conn_wait(const struct conn *c)
{
    if (c->out.len > 0 || c->state == CONN_SENDING || conn_can_go_on(c))
        return CONN_WAIT_WRITE;
    switch ((enum conn_state)c->state) {
    case CONN_IDLE:
        return CONN_WAIT_REQUEST;
    case CONN_HEAD:
        return CONN_WAIT_HEAD;
    case CONN_LENGTH:
    case CONN_CHUNKED:
        return CONN_WAIT_BODY;
    case CONN_STREAM:
        return CONN_WAIT_TIMER;
    case CONN_LINGER:
        return CONN_WAIT_LINGER;
    default:
        return CONN_WAIT_CLOSE;
    }
}

void conn_on_timeout(struct conn *c)
{
    bool is_receiving =
        c->state == CONN_HEAD || c->state == CONN_LENGTH || c->state == CONN_CHUNKED;
    if (is_receiving && c->out.len == 0)
        refuse(c, 408, "request not complete in time");
    else
        conn_fini(c);
}
