/* Answers: the head is rendered into the loop's output buffer, a small body behind it so that both
 * go out in one write; a large one is sent from where it lies, in memory or in a file. Reading
 * order: conn_answer_give() → gather() or CONN_SENDING → conn_answer_finish().
 *
 * An answer that did not wait for the end of its request's body leaves the rest to be read and
 * thrown away, if it is short: closing with octets unread would reset the connection, and the
 * client might never see the answer (RFC 9112 §9.6). If it is long the answer says close, and the
 * connection lingers. */
#include "http/conn_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/panic.h"

#define COPY_MAX_BYTES 16384U /* bodies up to this are gathered, larger sent from where they lie */
#define DRAIN_MAX_BYTES                                                                            \
    262144U /* rest of a body that is read for the sake of keep-alive: a guess */

void conn_answer_drop_input(struct conn *c)
{
    c->env->view_len = 0;
    c->pending.len = 0;
}

void conn_answer_give_up(struct conn *c)
{
    c->env->hooks.given_up(c->env->owner, &c->peer);
    conn_fini(c);
    conn_answer_drop_input(c);
}

void conn_answer_release(struct conn *c)
{
    struct exchange *ex = c->ex;
    c->ex = NULL;
    /* In a drain too: an answer that began before it promised to go on, and the client may have
     * sent its next request by now. When such a promise ends is for the driver to say. */
    c->state = c->is_keep_alive ? CONN_IDLE : CONN_CLOSING;
    exchange_give_back(&c->env->pool, ex);
}

void conn_answer_finish(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct conn_env *env = c->env;
    env->hooks.finished(env->owner, &ex->req, &ex->res);
    ex->is_handled = false;
    conn_env_settle(env, ex);
    c->n_requests++;
    if (__builtin_expect(ex->req.is_body_complete || !c->is_keep_alive, 1)) {
        if (!ex->req.is_body_complete)
            c->is_lingering = true; /* also when it is the client that closes */
        conn_answer_release(c);
        return;
    }
    ex->is_over = true;
    ex->sink = SINK_DISCARD;
    ex->body_octets = 0;
    ex->body_started_us = env->now_us;
    c->state = ex->req.head.is_chunked ? CONN_CHUNKED : CONN_LENGTH;
}

static bool has_body_on_wire(const struct exchange *ex)
{
    /* Not strcmp(3): the method has room for more than these five octets. */
    return !response_is_bodiless(ex->res.status) && memcmp(ex->req.method, "HEAD", 5) != 0;
}

static int render_head(struct conn *c, struct exchange *ex)
{
    struct rmd_response *res = &ex->res;
    bool is_1_0 = ex->req.head.bytes > 0 && ex->req.head.minor == 0;
    bool is_stream = res->kind == RESPONSE_STREAM;
    ex->is_stream_chunked = is_stream && !is_1_0;
    c->is_open_ended = is_stream && is_1_0;
    if (c->is_open_ended)
        c->is_keep_alive = false; /* the end of the body is the end of the connection */
    struct response_frame frame = {
        .common = c->env->common,
        .is_closing = !c->is_keep_alive,
        .is_keep_alive_1_0 = is_1_0,
        .is_chunked = ex->is_stream_chunked && !response_is_bodiless(res->status),
        .has_length = !is_stream && !response_is_bodiless(res->status),
        .length = res->body_len,
    };
    struct str id_header = c->env->id_header;
    if (id_header.len > 0 && (!res->fields || !response_find(res, id_header))) {
        struct str id = request_trace_id(&ex->req);
        if (id.p == ex->req.made_id && c->env->identified.len > 0) {
            frame.common = c->env->identified;
            frame.made_id = id.p;
        } else {
            frame.id = id;
            frame.id_header = id.len > 0 ? id_header : id;
        }
    }
    return response_render_head(res, &frame, &c->env->out);
}

/* Copies one part of a body. Returns 0; -ENOMEM; -EIO the file has become shorter; -errno */
static int gather_part(struct buf *out, int fd, const struct response_part *part)
{
    if (part->data)
        return buf_append(out, part->data, (size_t)part->len);
    int rc = buf_reserve(out, (size_t)part->len);
    for (uint64_t done = 0; rc == 0 && done < part->len;) {
        ssize_t n = pread(fd, out->data + out->len, (size_t)(part->len - done),
                          (off_t)(part->offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        out->len += (size_t)n;
        done += (uint64_t)n;
    }
    return rc;
}

static int gather(struct buf *out, const struct rmd_response *res)
{
    if (res->kind != RESPONSE_FILE)
        return buf_append(out, res->body, res->body_len);
    int rc = 0;
    for (uint32_t i = 0; i < res->n_parts && rc == 0; i++)
        rc = gather_part(out, res->fd, &res->parts[i]);
    return rc;
}

/* What of the request's body has not come: is it little enough to wait for? */
static bool is_drainable(const struct exchange *ex)
{
    if (ex->req.head.wants_continue)
        return false; /* whether the client sends it now is up to the client: RFC 9110 §10.1.1 */
    return ex->req.head.is_chunked || ex->body_left <= DRAIN_MAX_BYTES;
}

/* Requests behind an answer that says close are nobody's (RFC 9112 §9.6), so a drain says it with
 * the last of those that have come. */
static bool is_followed(const struct conn *c)
{
    return c->ex->req.is_body_complete && (c->env->view_len > 0 || c->pending.len > 0);
}

static void judge_keep_alive(struct conn *c)
{
    const struct conn_env *env = c->env;
    if (env->is_keep_alive_off || (env->is_draining && !is_followed(c)))
        c->is_keep_alive = false;
    if (c->is_keep_alive && !c->ex->req.is_body_complete)
        c->is_keep_alive = is_drainable(c->ex);
}

/* Forgets what the application has answered so far, or will. */
static void start_over(struct conn_env *env, struct exchange *ex)
{
    conn_env_settle(env, ex);
    response_begin(&ex->res, &ex->req);
}

/* The server's own page, in which nothing can fail as the application's answer did. */
static void give_own_page(struct conn *c, int status)
{
    start_over(c->env, c->ex);
    response_error_page(&c->ex->res, &c->ex->arena, status);
    conn_answer_give(c);
}

void conn_answer_give(struct conn *c)
{
    struct exchange *ex = c->ex;
    struct rmd_response *res = &ex->res;
    struct buf *out = &c->env->out;
    size_t out_len = out->len;
    judge_keep_alive(c);
    if (res->status == 205) { /* has no content (RFC 9110 §15.3.6), but says so by a length */
        response_drop_body(res);
        res->kind = RESPONSE_EMPTY;
    }
    if (render_head(c, ex) < 0) {
        conn_answer_give_up(c);
        return;
    }
    if (!has_body_on_wire(ex)) {
        conn_answer_finish(c);
    } else if (res->kind >= RESPONSE_STREAM) {
        c->state = res->kind == RESPONSE_STREAM ? CONN_STREAM : CONN_SENDING;
        c->resume_us = 0;
    } else if (res->body_len <= COPY_MAX_BYTES) {
        int rc = gather(out, res);
        if (rc < 0) {
            out->len = out_len;
            if (rc == -ENOMEM)
                conn_answer_give_up(c);
            else
                give_own_page(c, 500);
            return;
        }
        res->body_sent = res->body_len;
        conn_answer_finish(c);
    } else {
        c->state = CONN_SENDING;
    }
}

void conn_answer_error(struct conn *c, int status)
{
    struct exchange *ex = c->ex;
    start_over(c->env, ex);
    response_error_page(&ex->res, &ex->arena, status);
    c->env->hooks.error(c->env->owner, &ex->req, &ex->res, status);
    conn_answer_give(c);
}

void conn_answer_busy(struct conn *c)
{
    struct exchange *ex = c->ex;
    char seconds[16];
    int n = snprintf(seconds, sizeof seconds, "%u", ex->retry_s > 0 ? ex->retry_s : 1U);
    start_over(c->env, ex);
    /* Without it the answer says the same, only less of it. */
    (void)!response_set(&ex->res, &ex->arena, STR("Retry-After"), str_make(seconds, (size_t)n),
                        true);
    response_error_page(&ex->res, &ex->arena, 503);
    c->env->hooks.error(c->env->owner, &ex->req, &ex->res, 503);
    conn_answer_give(c);
}

void conn_answer_refuse(struct conn *c, int status, const char *reason)
{
    struct exchange *ex = c->ex;
    bool is_known = ex->req.raw_path.len > 0;
    c->is_keep_alive = false;
    c->is_lingering = true;
    conn_answer_drop_input(c);
    if (is_known) {
        conn_answer_error(c, status);
        return;
    }
    start_over(c->env, ex);
    response_error_page(&ex->res, &ex->arena, status);
    if (reason)
        ex->res.body = arena_printf(&ex->arena, &ex->res.body_len, "%d %s\n", status, reason);
    if (!ex->res.body)
        ex->res.body_len = 0;
    conn_answer_give(c);
}
