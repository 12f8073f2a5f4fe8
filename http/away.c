/* See away.h. */
#include "http/away.h"

#include <errno.h>
#include <string.h>

#include "base/panic.h"
#include "http/conn_request.h"
#include "http/stream.h"

/* ---- the loop's side ---- */

void away_send(struct conn *c)
{
    struct exchange *ex = c->ex;
    RMD_ASSERT(!ex->is_in_env && !ex->is_body_in_env);
    /* Read by both from now on: made while there is one who may write it. */
    (void)request_trace_id(&ex->req);
    ex->token.box = c->env->box;
    ex->sent_before = ex->res.body_sent;
    ex->is_away = true;
    c->env->hooks.send(c->env->owner, ex);
}

/* Nobody waits for it: all that is left is what the application is owed. */
static void end_orphan(struct conn_env *env, struct exchange *ex)
{
    if (ex->is_handled) {
        ex->res.status = 0;
        env->hooks.finished(env->owner, &ex->req, &ex->res);
        ex->is_handled = false;
    }
    conn_env_settle(env, ex);
    exchange_give_back(&env->pool, ex);
}

struct conn *away_come_back(struct conn_env *env, struct exchange *ex)
{
    RMD_ASSERT(ex->is_away && !ex->is_back);
    ex->is_away = false;
    list_unlink(&ex->orphan_link);
    if (env->hooks.back)
        env->hooks.back(env->owner, ex);
    if (ex->answering) {
        deferred_give_back(ex->answering, true);
        ex->answering = NULL;
    }
    if (!ex->conn) {
        end_orphan(env, ex);
        return NULL;
    }
    ex->is_back = true;
    return ex->conn;
}

bool away_recall(struct conn *c)
{
    struct exchange *ex = c->ex;
    if (ex->is_away && c->env->hooks.recall(c->env->owner, ex))
        ex->is_away = false;
    return !ex->is_away;
}

static void orphan(struct conn *c)
{
    struct exchange *ex = c->ex;
    ex->conn = NULL;
    ex->overdue_us = CONN_NEVER_US;
    list_push(&c->env->orphans, &ex->orphan_link);
    atomic_store_explicit(&ex->is_cancelled, true, memory_order_relaxed);
    c->ex = NULL;
}

void away_let_go(struct conn *c)
{
    struct exchange *ex = c->ex;
    if (away_recall(c))
        return;
    orphan(c);
    ex->overdue_us = c->resume_us;
}

void away_expire(struct conn_env *env)
{
    LIST_FOREACH (link, &env->orphans) {
        struct exchange *ex = LIST_ENTRY(link, struct exchange, orphan_link);
        if (ex->overdue_us > env->now_us)
            continue;
        ex->overdue_us = CONN_NEVER_US;
        env->hooks.overdue(env->owner, ex);
    }
}

/* What does not change while the errand runs; the rest may be written to by it. */
static int copy_request(const struct rmd_request *from, struct exchange *to,
                        const struct router *router)
{
    struct rmd_request *req = &to->req;
    struct field *fields = req->head.fields;
    if (buf_append(&to->store, from->base, from->head.bytes) < 0)
        return -ENOMEM;
    req->base = to->store.data;
    req->head = from->head;
    req->head.fields = fields;
    memcpy(fields, from->head.fields, from->head.n_fields * sizeof *fields);
    if (req->head.host.p)
        req->head.host.p = req->base + (from->head.host.p - from->base);
    memcpy(req->method, from->method, sizeof req->method);
    memcpy(req->trace, from->trace, sizeof req->trace);
    memcpy(req->made_id, from->made_id, sizeof req->made_id);
    req->peer = from->peer;
    req->is_https = from->is_https;
    req->started_us = from->started_us;
    req->board_entry = from->board_entry;
    req->is_body_complete = from->is_body_complete;
    to->lane = exchange_of(from)->lane;
    to->has_more = true;
    return request_route(req, router);
}

/* Ends a request whose exchange is not here: as much of it as is read for the log. */
static void finish_copy(struct conn_env *env, const struct exchange *old)
{
    struct conn none = {.env = env, .peer = old->req.peer};
    struct exchange *ex = exchange_take(&env->pool);
    if (!ex)
        return; /* it has been told */
    conn_request_begin(&none, ex);
    response_begin(&ex->res, &ex->req);
    ex->res.body_sent = old->sent_before;
    if (copy_request(&old->req, ex, env->router) == 0)
        env->hooks.finished(env->owner, &ex->req, &ex->res);
    exchange_give_back(&env->pool, ex);
}

void away_abandon(struct conn_env *env, void (*tell)(void *owner, struct rmd_request *req))
{
    LIST_FOREACH (link, &env->orphans) {
        struct exchange *ex = LIST_ENTRY(link, struct exchange, orphan_link);
        list_unlink(link);
        if (!ex->is_handled)
            continue; /* another has answered for it */
        tell(env->owner, &ex->req);
        finish_copy(env, ex);
        ex->is_handled = false;
    }
}

int away_replace(struct conn *c)
{
    struct conn_env *env = c->env;
    struct exchange *old = c->ex;
    struct exchange *ex = exchange_take(&env->pool);
    orphan(c);
    if (!ex)
        return -ENOMEM;
    conn_request_begin(c, ex);
    int rc = copy_request(&old->req, ex, env->router);
    if (rc < 0) {
        exchange_give_back(&env->pool, ex);
        return rc;
    }
    old->is_handled = false; /* what is said of this request is said with the answer */
    ex->is_handled = true;
    c->ex = ex;
    return 0;
}

int away_take_made(struct exchange *ex, struct buf *out)
{
    int rc = buf_append(out, ex->made.data, ex->made.len);
    ex->made.len = 0;
    ex->is_made = false;
    return rc < 0 ? RMD_ABORT : ex->wait_ms;
}

/* ---- the other side ---- */

void away_produce(struct exchange *ex)
{
    size_t before;
    ex->made.len = 0;
    do {
        before = ex->made.len;
        ex->wait_ms = stream_produce(&ex->res, ex->is_stream_chunked, &ex->made);
    } while (ex->wait_ms == 0 && ex->made.len > before && ex->made.len < CONN_ENV_OUT_BYTES);
}

void away_turn_in(struct exchange *ex)
{
    deferred_turn_in(&ex->token, NULL, NULL);
}

void away_fail(struct exchange *ex, int status, const char *why)
{
    RMD_ASSERT(ex->errand == ERRAND_HANDLE);
    ex->failure = (uint16_t)status;
    ex->why = why;
    away_turn_in(ex);
}
