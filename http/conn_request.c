/* Requests: from the first octet to the call of the handler. Reading order: step_idle() →
 * step_head() → on_head() → begin_body() → step_length(), step_chunked() → on_body_complete() →
 * conn_app_dispatch().
 *
 * A handler is called when its request is there as a whole. It is called with the head alone when
 * its route takes the body as it comes, or when no route was found, so that nobody's octets are
 * kept for a 404. */
#include "http/conn_request.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/panic.h"
#include "http/conn_answer.h"
#include "http/conn_app.h"
#include "http/guard.h"

#define BODY_FIRST_BYTES 65536U   /* room for the beginning of a body */
#define BODY_GROWTH 32U           /* and then for so many times what has come, or all of it */
#define PLACED_MIN_BYTES 4096U    /* a smaller body is copied with the head's image */
#define PLACED_READ_BYTES 262144U /* of a placed body in one read, so that others get theirs */
#define EMPTY_LINES_MAX 8U        /* before a request line (RFC 9112 §2.2 asks for at least one) */
#define CHUNKED_DRAIN_MAX 262144U /* octets of an unwanted chunked body that are read: a guess */

static void consume_view(struct conn_env *env, size_t n)
{
    env->view += n;
    env->view_len -= n;
}

/* ---- bodies ---- */

static uint64_t body_limit(const struct exchange *ex, const struct conn_env *env)
{
    const struct route *route = ex->req.match.route;
    return route && route->decl->body_limit > 0 ? route->decl->body_limit : env->limits.body;
}

/* Does its handler take the body as it comes? In another process it gets it as a whole. */
static bool is_streamed(const struct route *route)
{
    return route->decl->stream_body && route->runs != RMD_COMPUTE;
}

/* A body that another process is to read is received where that can: what has come of it stays in
 * the loop's input, which is a block, and becomes the request's at the end of the turn. */
__attribute__((cold, noinline)) static void place_body(struct exchange *ex,
                                                       const struct conn_env *env)
{
    const struct head *head = &ex->req.head;
    ex->is_placed = env->in_block && head->has_length && head->content_length > PLACED_MIN_BYTES &&
                    env->blocks->may(env->blocks->owner, head->content_length);
    ex->has_more |= ex->is_placed;
}

/* The head is complete and well-formed: is a body to come, and do we want it? */
static void begin_body(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    struct rmd_request *req = &ex->req;
    const struct head *head = &req->head;
    if (!head->is_chunked && (!head->has_length || head->content_length == 0)) {
        req->is_body_complete = true;
        conn_app_dispatch(c);
        return;
    }
    bool is_found = req->outcome == ROUTER_FOUND;
    uint64_t limit = is_found ? body_limit(ex, env) : UINT64_MAX;
    ex->is_continued = !head->wants_continue || env->view_len > 0; /* then it does not wait */
    ex->body_left = head->has_length ? head->content_length : 0;
    ex->sink = SINK_STORE;
    conn_app_start_body_clock(c);
    if (head->is_chunked)
        chunked_begin(&ex->chunked, &env->limits, limit);
    if (head->has_length && head->content_length > limit) {
        conn_answer_refuse(c, 413, NULL);
        return;
    }
    if (!is_found || is_streamed(req->match.route))
        conn_app_dispatch(c);
    else if (conn_app_continue(c)) {
        c->state = head->is_chunked ? CONN_CHUNKED : CONN_LENGTH;
        if (req->match.route->runs == RMD_COMPUTE)
            place_body(ex, env);
    }
}

static void refuse_body(struct conn *c, int error)
{
    struct conn_env *env = c->env;
    env->hooks.spool_failed(env->owner, &c->ex->req, error);
    conn_answer_refuse(c, body_status(error), NULL);
}

static bool is_receiving(const struct conn *c)
{
    return c->state == CONN_LENGTH || c->state == CONN_CHUNKED;
}

/* In memory of this process, where nobody else can read it. */
static bool is_to_lie_elsewhere(const struct exchange *ex)
{
    const struct head *head = &ex->req.head;
    return ex->body.fd < 0 && (head->is_chunked || head->content_length > PLACED_MIN_BYTES);
}

/* Octets of the body, decoded. Returns false when the request is over, or the body not wanted */
static bool take_body(struct conn *c, struct str octets)
{
    struct exchange *ex = c->ex;
    if (ex->sink == SINK_STORE) {
        int rc = body_append(&ex->body, &c->env->limits, octets.p, octets.len);
        if (rc < 0)
            refuse_body(c, rc);
        else if (ex->req.match.route && ex->req.match.route->runs == RMD_COMPUTE &&
                 is_to_lie_elsewhere(ex))
            c->env->moved += octets.len;
        return rc == 0;
    }
    if (ex->sink == SINK_CONSUME) {
        conn_app_feed(c, octets);
        /* not when it is answered, also by what is sent later, or has to wait */
        return c->ex == ex && ex->sink == SINK_CONSUME && is_receiving(c);
    }
    return true;
}

static void on_body_complete(struct conn *c)
{
    struct exchange *ex = c->ex;
    ex->req.is_body_complete = true;
    if (ex->sink == SINK_DISCARD) {
        conn_answer_release(c);
    } else if (ex->sink == SINK_CONSUME) {
        conn_app_feed(c, STR(""));
    } else {
        bool is_here = ex->is_body_in_env || ex->is_placed;
        int rc = is_here ? 0 : body_view(&ex->body, &ex->req.body);
        if (rc < 0)
            refuse_body(c, rc);
        else
            conn_app_dispatch(c);
    }
}

/* A body that comes in drops would hold its place for ever: behind the grace, which is a pause's,
 * it must have a rate. Returns true when it was refused */
static bool refuse_slow_body(struct conn *c)
{
    const struct exchange *ex = c->ex;
    const struct http_limits *limits = &c->env->limits;
    uint64_t elapsed_us = c->env->now_us - ex->body_started_us;
    if (!limits_is_too_slow(elapsed_us, ex->body_octets, limits->body_grace_us,
                            limits->body_min_rate))
        return false;
    if (!ex->is_over) {
        conn_answer_refuse(c, 408, "request body slower than body_min_rate");
        return true;
    }
    conn_fini(c); /* it has its answer */
    conn_answer_drop_input(c);
    return true;
}

static bool step_length(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    size_t n = env->view_len < ex->body_left ? env->view_len : (size_t)ex->body_left;
    struct str octets = str_make(env->view, n);
    if (n > 0) {
        consume_view(env, n);
        ex->body_left -= n;
        ex->body_octets += n;
    }
    if (ex->sink == SINK_STORE && n > 0 &&
        (ex->is_placed ||
         (ex->body_left == 0 && ex->body.len == 0 && n <= env->limits.body_buffer))) {
        RMD_ASSERT(ex->req.body.len == 0);
        ex->req.body = octets; /* all of it is in this read, or the rest follows it: stays there */
        ex->is_body_in_env = true;
    } else if (n > 0 && !take_body(c, octets)) {
        return true;
    }
    if (ex->body_left > 0)
        return refuse_slow_body(c);
    on_body_complete(c);
    return true;
}

/* An unwanted body without a length is not followed to its end, wherever that is. */
static bool is_drained_enough(const struct exchange *ex)
{
    return ex->sink == SINK_DISCARD && ex->body_octets > CHUNKED_DRAIN_MAX;
}

static void refuse_chunked(struct conn *c)
{
    struct exchange *ex = c->ex;
    if (!ex->is_over) {
        conn_answer_refuse(c, ex->chunked.status, ex->chunked.reason);
        return;
    }
    c->is_keep_alive = false; /* it has its answer */
    c->is_lingering = true;
    conn_answer_drop_input(c);
    conn_answer_release(c);
}

static bool step_chunked(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    if (env->view_len == 0)
        return false;
    for (;;) {
        size_t used = 0;
        struct str data = {0};
        enum chunked_result result =
            chunked_next(&ex->chunked, str_make(env->view, env->view_len), &used, &data);
        consume_view(env, used);
        ex->body_octets += used;
        if (result == CHUNKED_DATA && !is_drained_enough(ex)) {
            if (!take_body(c, data))
                return true;
        } else if (result == CHUNKED_MORE) {
            return refuse_slow_body(c);
        } else if (result == CHUNKED_DONE) {
            on_body_complete(c);
            return true;
        } else {
            refuse_chunked(c);
            return true;
        }
    }
}

/* ---- who asks ---- */

void conn_request_judge_peer(struct conn *c)
{
    const struct forwarded_rules *rules = c->env->forwarded;
    c->is_trusted = rules && network_has(rules->trusted, &c->peer.address.any);
}

static void adopt_peer(struct conn *c, const struct proxy_result *found)
{
    struct peer peer = {0};
    if (!found->is_local) {
        if (found->source.any.sa_family == AF_INET)
            peer.address.v4 = found->source.v4;
        else if (found->source.any.sa_family == AF_INET6)
            peer.address.v6 = found->source.v6;
        else
            peer.address.any.sa_family = AF_UNIX;
        c->peer = peer;
    }
    conn_request_judge_peer(c);
    c->state = CONN_IDLE;
}

/* The header in front of everything else; gathered in pending until it is whole. */
static bool step_proxy(struct conn *c)
{
    struct conn_env *env = c->env;
    size_t before = c->pending.len;
    size_t n =
        env->view_len < PROXY_HEADER_MAX - before ? env->view_len : PROXY_HEADER_MAX - before;
    struct proxy_result found;
    if (n == 0)
        return false;
    if (buf_append(&c->pending, env->view, n) < 0) {
        conn_answer_give_up(c);
        return true;
    }
    switch (proxy_parse(str_make(c->pending.data, c->pending.len), env->proxy_version, &found)) {
    case PROXY_MORE: /* so all of the view is in pending */
        consume_view(env, n);
        return false;
    case PROXY_DONE:
        consume_view(env, found.used - before);
        buf_fini(&c->pending);
        adopt_peer(c, &found);
        return true;
    default:
        env->hooks.proxy_refused(env->owner, &c->peer, found.reason);
        conn_fini(c);
        conn_answer_drop_input(c);
        return true;
    }
}

/* What a trusted proxy says about its client. Returns false when the request was refused */
static bool judge_forwarded(struct conn *c, const char *base)
{
    struct rmd_request *req = &c->ex->req;
    struct forwarded said;
    if (forwarded_judge(c->env->forwarded, &c->peer, &req->head, base, &said) > 0) {
        conn_answer_refuse(c, 400, said.reason);
        return false;
    }
    req->peer = said.client;
    req->is_https = said.proto == FORWARDED_PROTO_HTTPS;
    if (said.host.len > 0)
        req->head.host = said.host;
    if (said.has_deadline) {
        req->deadline_us = req->started_us + said.deadline_ms * CLOCK_US_PER_MS;
        c->ex->deadline_us = req->deadline_us;
        c->ex->has_more = true;
    }
    return true;
}

/* ---- heads ---- */

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

/* Likewise of one that is known, so it fits. */
static inline void take_method(struct rmd_request *req, const char *base)
{
    size_t len = req->head.method_len;
    if (__builtin_expect(len == 3, 1))
        memcpy(req->method, base, 3); /* without a call */
    else
        memcpy(req->method, base, len);
    req->method[len] = '\0';
}

static void on_head(struct conn *c, const char *base)
{
    struct exchange *ex = c->ex;
    const char *reason = NULL;
    ex->req.base = base;
    int status = guard_judge(&ex->req.head, base, &c->env->limits, &reason);
    if (status > 0) {
        fill_method(&ex->req, base, ex->req.head.bytes);
        conn_answer_refuse(c, status, reason);
        return;
    }
    take_method(&ex->req, base);
    if (c->is_trusted && forwarded_may_be_in(c->env->forwarded, &ex->req.head) &&
        !judge_forwarded(c, base))
        return;
    c->is_keep_alive = ex->req.head.is_keep_alive;
    int rc = request_route(&ex->req, c->env->router);
    if (rc < 0)
        conn_answer_refuse(c, 503, "no memory");
    else if (ex->req.outcome == ROUTER_BAD_PATH)
        conn_answer_refuse(c, 400, NULL);
    else
        begin_body(c);
}

static inline void prepare(struct conn_env *env, struct exchange *ex)
{
    struct rmd_request *req = &ex->req;
    struct field *fields = req->head.fields;
    uint32_t max_fields = req->head.max_fields;
    memset(req, 0, offsetof(struct rmd_request, match.params));
    req->magic = REQUEST_MAGIC;
    req->method[0] = '\0';
    req->head.fields = fields;
    req->head.max_fields = max_fields;
    req->env = env;
    req->arena = &ex->arena;
    req->res = &ex->res;
    req->started_us = env->now_us;
    req->board_entry = UINT32_MAX;
    req->trace[0] = env->trace_seed;
    req->trace[1] = ++env->trace_count;
    trace_count_up(env->trace_text + TRACE_WORD_LEN);
    memcpy(req->made_id, env->trace_text, sizeof req->made_id);
    ex->is_in_env = false;
    ex->is_body_in_env = false;
    ex->is_handled = false;
    ex->is_over = false;
}

void conn_request_begin(struct conn *c, struct exchange *ex)
{
    prepare(c->env, ex);
    ex->conn = c;
    ex->req.peer = c->peer;
}

void conn_request_begin_alone(struct conn_env *env, struct exchange *ex)
{
    prepare(env, ex);
    ex->conn = NULL;
    ex->req.peer = (struct peer){0};
}

static bool begin_request(struct conn *c)
{
    struct conn_env *env = c->env;
    struct exchange *ex = exchange_take(&env->pool);
    if (!ex) {
        conn_answer_give_up(c);
        return false;
    }
    c->ex = ex;
    c->state = CONN_HEAD;
    c->n_empty_lines = 0;
    conn_request_begin(c, ex);
    parse_begin(&ex->parse, &ex->req.head, &env->limits);
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
                conn_answer_refuse(c, 400, "malformed request line");
            return false;
        }
        c->has_cr = is_cr;
        consume_view(env, 1);
    }
    return false;
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
        conn_answer_refuse(c, ex->parse.status, ex->parse.reason);
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
        consume_view(env, ex->req.head.bytes);
    }
    on_head(c, base);
    return true;
}

static bool step_idle(struct conn *c)
{
    struct conn_env *env = c->env;
    if (env->view_len == 0)
        return false;
    if (__builtin_expect(env->view[0] <= '\r' || c->has_cr, 0) && !skip_empty_lines(c))
        return c->state != CONN_IDLE;
    return begin_request(c) && step_head(c);
}

/* ---- what http/conn.c calls ---- */

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

bool conn_request_step(struct conn *c)
{
    bool is_hungry = c->env->view_len == 0 && c->state > CONN_PROXY && c->state < CONN_SENDING;
    if (__builtin_expect(c->pending.len > 0, 0) && is_hungry)
        take_pending(c);
    switch ((enum conn_state)c->state) {
    case CONN_PROXY:
        return step_proxy(c);
    case CONN_IDLE:
        return step_idle(c);
    case CONN_HEAD:
        return step_head(c);
    case CONN_LENGTH:
        return step_length(c);
    case CONN_CHUNKED:
        return step_chunked(c);
    case CONN_DEFERRED:
        return conn_app_step_deferred(c);
    case CONN_AWAY:
        return conn_app_step_away(c);
    default:
        return false;
    }
}

/* ---- where input goes ---- */

static bool is_in_place(const struct conn *c)
{
    return c->ex->is_placed && c->ex->sink == SINK_STORE;
}

/* A block for all of the body. What came with the head lies in the block that was the loop's, which
 * mostly can be made as long as is wanted; else it moves. Returns false: there is no room */
static bool lengthen_body(struct exchange *ex, struct conn_env *env)
{
    const struct block_source *source = env->blocks;
    struct str *body = &ex->req.body;
    size_t bytes = (size_t)ex->req.head.content_length;
    struct block *begun = block_has(ex->block, body->p, body->len) ? ex->block : ex->body_block;
    if (body->len > 0 &&
        source->extend(source->owner, begun, (size_t)(body->p - begun->at) + bytes)) {
        if (!ex->body_block)
            ex->body_block = block_hold(begun);
        return true;
    }
    struct block *block = block_take(source, bytes, false);
    if (block && !source->ready(source->owner, block, 0, body->len))
        block_drop(&block);
    if (!block)
        return false;
    if (body->len > 0)
        memcpy(block->at, body->p, body->len);
    env->moved += body->len;
    body->p = block->at;
    block_drop(&ex->body_block);
    ex->body_block = block;
    return true;
}

/* Room behind what there is of a placed body. When there is none it goes the way of all others from
 * here on: returns false */
__attribute__((cold, noinline)) static bool find_place(struct conn *c, char **out_space,
                                                       size_t *out_room)
{
    struct exchange *ex = c->ex;
    const struct block_source *source = c->env->blocks;
    if (!ex->is_long) /* asked for again: others may have begun since its head came */
        ex->is_long =
            source->may(source->owner, ex->req.head.content_length) && lengthen_body(ex, c->env);
    if (ex->is_long) {
        *out_space = (char *)(uintptr_t)ex->req.body.p + ex->req.body.len;
        *out_room = ex->body_left < PLACED_READ_BYTES ? (size_t)ex->body_left : PLACED_READ_BYTES;
        return true;
    }
    struct str begun = ex->req.body;
    ex->is_placed = false;
    ex->req.body = (struct str){0};
    return begun.len > 0 && body_append(&ex->body, &c->env->limits, begun.p, begun.len) < 0;
}

/* A body that will fit into memory is read to where it stays. */
static bool reads_into_body(const struct conn *c)
{
    const struct exchange *ex = c->ex;
    return ex->sink == SINK_STORE && ex->req.head.content_length <= c->env->limits.body_buffer;
}

bool conn_request_has_room(const struct conn *c)
{
    return is_in_place(c) ? c->ex->is_long : reads_into_body(c);
}

bool conn_request_space(struct conn *c, char **out_space, size_t *out_room)
{
    struct exchange *ex = c->ex;
    const size_t cap = c->env->in.cap;
    *out_room = 0;
    if (c->state == CONN_HEAD && ex->store.len > 0) {
        /* Never more than the loop's buffer holds: what follows the request moves there. */
        if (buf_reserve(&ex->store, 4096) < 0)
            return true;
        *out_space = ex->store.data + ex->store.len;
        *out_room = ex->store.cap - ex->store.len;
        if (*out_room > cap)
            *out_room = cap;
        return true;
    }
    if (c->state != CONN_LENGTH)
        return false;
    if (is_in_place(c) && find_place(c, out_space, out_room))
        return true;
    if (!reads_into_body(c))
        return false;
    uint64_t most = ex->body_octets * BODY_GROWTH;
    size_t want = (size_t)ex->body_left;
    if (most < BODY_FIRST_BYTES)
        most = BODY_FIRST_BYTES;
    if (want > most)
        want = (size_t)most;
    exchange_use_spare(&c->env->pool, ex, want);
    if (body_reserve(&ex->body, want, out_space, out_room) == 0 && *out_room > ex->body_left)
        *out_room = (size_t)ex->body_left;
    return true;
}

__attribute__((cold, noinline)) static void commit_in_place(struct exchange *ex, size_t n)
{
    struct block *block = ex->body_block;
    size_t from = (size_t)(ex->req.body.p - block->at) + ex->req.body.len;
    block->source->filled(block->source->owner, block, from, n);
    ex->req.body.len += n;
}

bool conn_request_commit(struct conn *c, size_t n)
{
    struct exchange *ex = c->ex;
    if (c->state == CONN_HEAD && ex->store.len > 0) {
        ex->store.len += n;
        return true;
    }
    if (c->state != CONN_LENGTH)
        return false;
    if (is_in_place(c))
        commit_in_place(ex, n);
    else if (reads_into_body(c))
        body_commit(&ex->body, n);
    else
        return false;
    ex->body_left -= n;
    ex->body_octets += n;
    return true;
}

bool conn_request_is_receiving(const struct conn *c)
{
    return c->state == CONN_HEAD ||
           ((c->state == CONN_LENGTH || c->state == CONN_CHUNKED) && !c->ex->is_over);
}
