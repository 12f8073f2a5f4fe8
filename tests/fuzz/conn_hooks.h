/* For fuzz_conn.c: what the machine tells its driver, and asks it for; what runs elsewhere is in
 * conn_pool.h. */
#ifndef REMUDA_TESTS_FUZZ_CONN_HOOKS_H
#define REMUDA_TESTS_FUZZ_CONN_HOOKS_H

#include "tests/fuzz/conn_app.h"

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    RMD_ASSERT(req->magic == REQUEST_MAGIC && req->base && !req->user_data);
    RMD_ASSERT(res->kind == RESPONSE_NONE && res->status == 0 && res->req == req);
    if (req->body.len > 0)
        RMD_ASSERT(!req->head.has_length || req->body.len == req->head.content_length);
    if (!req->is_body_complete && req->head.content_length > 200000)
        world.is_long = true;
    struct task *task = task_new(req);
    world.n_handled++;
    if (req->match.route)
        req->match.route->decl->handler(req, res);
    else
        response_error_page(res, req->arena, req->outcome == ROUTER_NOT_ALLOWED ? 405 : 404);
    complete(task);
}

static void on_consume(void *owner, struct rmd_request *req, struct rmd_response *res,
                       struct str piece)
{
    (void)owner;
    req->consume(req, res, (rmd_slice){piece.p, piece.len}, req->consume_state);
    complete(req->user_data);
}

static void on_answer(void *owner, struct rmd_request *req, struct rmd_response *res,
                      const struct rmd_deferred *ticket)
{
    (void)owner;
    struct task *task = req->user_data;
    RMD_ASSERT(ticket->arg == task && req->deferred == NULL);
    task_owe(task); /* it is still looked at when the ticket was all that was owed */
    ticket->answer(req, res, ticket->arg);
    complete(task);
    task_pay(task);
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    (void)owner;
    RMD_ASSERT(res->kind == RESPONSE_NONE || !res->done);
    const struct task *task = req->user_data;
    RMD_ASSERT(status != 408 || world.now->is_slow);
    if (status == 504 && !(task && task->is_given_up))
        world.is_changed = true; /* the script was slow */
    response_error_page(res, req->arena, status);
}

static void on_given_up(void *owner, const struct peer *peer)
{
    (void)owner;
    (void)peer;
}

static void on_spool_failed(void *owner, struct rmd_request *req, int error)
{
    (void)owner;
    RMD_ASSERT(error < 0 && world.is_cut);
    free(copy_of(request_target(req)));
}

static void on_proxy_refused(void *owner, const struct peer *peer, const char *reason)
{
    (void)owner;
    RMD_ASSERT(reason && peer == &world.now->conn.peer && world.env.proxies);
}

/* What the client should get. */
static void note_body(struct outcome *outcome, const struct rmd_response *res)
{
    outcome->is_known = true;
    outcome->hash = HASH_START;
    outcome->len = res->body_len;
    if (res->kind == RESPONSE_BYTES)
        outcome->hash = hash_more(outcome->hash, res->body, res->body_len);
    else if (res->kind == RESPONSE_FILE && !world.is_changed)
        for (uint32_t i = 0; i < res->n_parts; i++) {
            const struct response_part *part = &res->parts[i];
            outcome->hash = hash_more(outcome->hash, part->data ? part->data : big + part->offset,
                                      (size_t)part->len);
        }
    else
        outcome->is_known = res->kind == RESPONSE_EMPTY && res->body_len == 0;
}

static struct outcome *outcome_new(struct client *client)
{
    if (client->n_outcomes == client->outcomes_room) {
        client->outcomes_room = client->outcomes_room * 2 + 8;
        client->outcomes =
            realloc(client->outcomes, client->outcomes_room * sizeof client->outcomes[0]);
        RMD_ASSERT(client->outcomes);
    }
    return &client->outcomes[client->n_outcomes++];
}

/* NULL: it is an orphan's, or the copy of one. */
static struct client *client_of(const struct rmd_request *req)
{
    const struct conn *c = exchange_of(req)->conn;
    for (int i = 0; i < N_CLIENTS; i++)
        if (c == &world.clients[i].conn)
            return &world.clients[i];
    return NULL;
}

static void note_outcome(struct client *client, const struct rmd_request *req,
                         const struct rmd_response *res)
{
    RMD_ASSERT(client == world.now);
    struct outcome *outcome = outcome_new(client);
    *outcome = (struct outcome){.status = res->status, .is_head = strcmp(req->method, "HEAD") == 0};
    if (res->status > 0)
        note_body(outcome, res);
    client->is_early = !req->is_body_complete && res->status > 0 && !client->conn.is_keep_alive;
}

/* As a worker's log does, everything that a request has is read once more. */
static void on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    if (req->head.bytes > 0)
        free(copy_of(request_target(req)));
    if (req->base)
        (void)request_find(req, STR("x-request-id"), NULL);
    uint64_t *ended = &world.ends[req->trace[1] % N_ENDS];
    RMD_ASSERT(*ended != req->trace[1]);
    *ended = req->trace[1];
    struct client *client = client_of(req);
    if (client)
        note_outcome(client, req, res);
    else
        RMD_ASSERT(res->status == 0);
    if (req->user_data)
        task_end(req->user_data);
}

static void on_paced(void *owner, struct rmd_request *req)
{
    (void)owner;
    struct task *task = req->user_data;
    RMD_ASSERT(task->res->n_empty == STREAM_EMPTY_MAX && !task->is_paced);
    task->is_paced = true;
}

static void on_parked(void *owner, struct rmd_request *req)
{
    (void)owner;
    bool is_io = exchange_of(req)->is_io; /* which comes and goes, and is not handled at first */
    RMD_ASSERT(req->base && (is_io || (req->board_entry == UINT32_MAX && req->user_data)));
    req->board_entry = 1;
}

#endif
