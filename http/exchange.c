/* Exchanges and their pool. */
#include "http/exchange.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_FIRST_BYTES 4096U
#define POOL_MAX 64U             /* exchanges kept for reuse */
#define KEPT_BUFFER_BYTES 65536U /* larger buffers of an exchange are freed when it ends */
#define SPARE_PART 4U /* a body that needs less than this part of the spare one gets none */

void exchange_init_pool(struct exchange_pool *pool, uint32_t n_fields)
{
    *pool = (struct exchange_pool){.n_fields = n_fields};
}

static void exchange_free(struct exchange *ex)
{
    arena_fini(&ex->arena);
    buf_fini(&ex->store);
    buf_fini(&ex->made);
    body_fini(&ex->body);
    free(ex);
}

void exchange_fini_pool(struct exchange_pool *pool)
{
    while (pool->first) {
        struct exchange *ex = pool->first;
        pool->first = ex->next;
        exchange_free(ex);
    }
    pool->n = 0;
    buf_fini(&pool->spare);
}

void exchange_settle_owed(struct exchange *ex)
{
    struct rmd_request *req = &ex->req;
    if (ex->res.done || ex->res.kind == RESPONSE_FILE)
        response_drop_body(&ex->res);
    if (req->consume_done) {
        void (*done)(void *) = req->consume_done;
        req->consume_done = NULL;
        done(req->consume_state);
    }
    req->consume = NULL;
    if (req->deferred)
        deferred_drop(req->deferred);
    req->deferred = NULL;
    if (ex->ticket)
        deferred_give_back(ex->ticket, false);
    ex->ticket = NULL;
    if (ex->answering)
        deferred_give_back(ex->answering, false);
    ex->answering = NULL;
}

struct exchange *exchange_take(struct exchange_pool *pool)
{
    struct exchange *ex = pool->first;
    if (ex) {
        pool->first = ex->next;
        pool->n--;
        return ex;
    }
    ex = calloc(1, sizeof *ex + pool->n_fields * sizeof ex->fields[0]);
    if (!ex)
        return NULL;
    arena_init_from(&ex->arena, ARENA_FIRST_BYTES, pool->source);
    body_init(&ex->body);
    ex->req.head.fields = ex->fields;
    ex->req.head.max_fields = pool->n_fields;
    ex->token.ex = ex;
    return ex;
}

__attribute__((cold, noinline)) static void forget_more(struct exchange *ex)
{
    block_drop(&ex->block);
    block_drop(&ex->body_block);
    if (ex->made.cap > KEPT_BUFFER_BYTES)
        buf_fini(&ex->made);
    ex->made.len = 0;
    atomic_store_explicit(&ex->is_cancelled, false, memory_order_relaxed);
    ex->task = NULL;
    ex->deadline_us = 0;
    ex->retry_s = 0;
    ex->why = NULL;
    ex->used = NULL;
    ex->failure = 0;
    ex->lane = 0;
    ex->is_io = ex->is_task = ex->is_second = ex->is_back = ex->is_made = false;
    ex->has_more = ex->is_placed = ex->is_long = false;
}

/* Of two large pieces the larger is kept. */
static void give_back_body(struct exchange_pool *pool, struct body *body)
{
    if (body->memory.cap > KEPT_BUFFER_BYTES && body->memory.cap >= pool->spare.cap) {
        buf_fini(&pool->spare);
        pool->spare = body->memory;
        pool->spare.len = 0;
        pool->is_spare_wanted = true;
        body->memory = (struct buf){0};
    }
    body_reset(body);
}

void exchange_use_spare(struct exchange_pool *pool, struct exchange *ex, size_t want)
{
    struct buf *memory = &ex->body.memory;
    size_t most = pool->spare.cap;
    if (memory->cap - memory->len >= want || memory->len + want > most ||
        memory->len + want < most / SPARE_PART)
        return;
    struct buf spare = pool->spare;
    if (memory->len > 0)
        memcpy(spare.data, memory->data, memory->len);
    spare.len = memory->len;
    buf_fini(memory);
    *memory = spare;
    pool->spare = (struct buf){0};
}

void exchange_shed(struct exchange_pool *pool)
{
    if (!pool->is_spare_wanted)
        buf_fini(&pool->spare);
    pool->is_spare_wanted = false;
}

void exchange_give_back(struct exchange_pool *pool, struct exchange *ex)
{
    arena_reset(&ex->arena);
    if (ex->store.cap > KEPT_BUFFER_BYTES)
        buf_fini(&ex->store);
    ex->store.len = 0;
    if (ex->body.memory.cap > 0 || ex->body.fd >= 0)
        give_back_body(pool, &ex->body);
    if (ex->has_more)
        forget_more(ex);
    if (pool->n >= POOL_MAX) {
        exchange_free(ex);
        return;
    }
    ex->next = pool->first;
    pool->first = ex;
    pool->n++;
}
