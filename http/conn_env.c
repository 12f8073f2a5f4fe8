/* What the connections of one loop share. The Server and Date lines are made once a second, not
 * once an answer. */
#include "http/conn_env.h"

#include <errno.h>
#include <stdio.h>

#include "base/panic.h"
#include "http/date.h"

int conn_env_init(struct conn_env *env, const struct http_limits *limits,
                  const struct router *router, const struct conn_hooks *hooks, void *owner,
                  size_t in_bytes)
{
    *env = (struct conn_env){
        .limits = *limits, .router = router, .hooks = *hooks, .owner = owner, .common_second = -1};
    exchange_init_pool(&env->pool, limits->fields);
    list_init(&env->orphans);
    conn_env_set_seed(env, 0);
    int rc = buf_reserve(&env->in, in_bytes);
    if (rc == 0)
        rc = buf_reserve(&env->out, CONN_ENV_OUT_BYTES);
    if (rc < 0)
        conn_env_fini(env);
    return rc;
}

static void drop_input(struct conn_env *env)
{
    if (env->in_block)
        env->in = (struct buf){0};
    block_drop(&env->in_block);
    buf_fini(&env->in);
}

void conn_env_fini(struct conn_env *env)
{
    exchange_fini_pool(&env->pool);
    drop_input(env);
    buf_fini(&env->out);
}

static void take_block(struct conn_env *env, struct block *block)
{
    env->in_block = block;
    env->in = (struct buf){.data = block->at, .cap = env->in.cap};
}

void conn_env_use_blocks(struct conn_env *env, const struct block_source *source)
{
    struct buf heap = {0};
    RMD_ASSERT(!env->view);
    env->blocks = source;
    if ((source != NULL) == (env->in_block != NULL))
        return;
    if (source) {
        struct block *block = block_take(source, env->in.cap, true);
        if (!block)
            return;
        buf_fini(&env->in);
        env->in.cap = block->bytes;
        take_block(env, block);
        return;
    }
    if (buf_reserve(&heap, env->in.cap) < 0)
        heap = (struct buf){0}; /* at the end of a worker: nothing is read any more */
    drop_input(env);
    env->in = heap;
}

int conn_env_part_with_input(struct conn_env *env, struct block **out_block, struct buf *out_heap)
{
    struct block *block = env->in_block ? block_take(env->blocks, env->in.cap, true) : NULL;
    if (block) {
        *out_block = env->in_block;
        take_block(env, block);
        return 0;
    }
    if (buf_reserve(out_heap, env->in.cap) < 0)
        return -ENOMEM;
    struct buf other = *out_heap;
    if (env->in_block) {
        *out_block = env->in_block;
        *out_heap = (struct buf){0};
        env->in_block = NULL;
    } else {
        *out_heap = env->in;
    }
    env->in = other;
    return 0;
}

void conn_env_set_seed(struct conn_env *env, uint64_t seed)
{
    env->trace_seed = seed;
    env->trace_count = 0;
    trace_put_word(env->trace_text, seed);
    trace_put_word(env->trace_text + TRACE_WORD_LEN, 0);
}

void conn_env_set_time(struct conn_env *env, int64_t wall_seconds, struct str server)
{
    if (env->common_second == wall_seconds)
        return;
    env->common_second = wall_seconds;
    if (server.len > CONN_SERVER_MAX)
        server.len = CONN_SERVER_MAX;
    char date[DATE_LEN + 1];
    date_format(date, wall_seconds);
    int n = server.len > 0
                ? snprintf(env->common_text, sizeof env->common_text,
                           "Server: %.*s\r\nDate: %s\r\n", STR_ARG(server), date)
                : snprintf(env->common_text, sizeof env->common_text, "Date: %s\r\n", date);
    RMD_ASSERT(n > 0 && (size_t)n < sizeof env->common_text);
    env->common = str_make(env->common_text, (size_t)n);
    env->identified = (struct str){0};
    size_t room = sizeof env->common_text - (size_t)n;
    int more = snprintf(env->common_text + n, room, "%.*s: %.*s\r\n", STR_ARG(env->id_header),
                        TRACE_ID_LEN, env->trace_text);
    if (env->id_header.len > 0 && more > 0 && (size_t)more < room)
        env->identified = str_make(env->common_text, (size_t)(n + more));
}

void conn_env_settle_owed(struct conn_env *env, struct exchange *ex)
{
    const struct rmd_request *req = &ex->req;
    bool is_apps = ex->res.done || req->consume_done || ex->ticket || ex->answering; /* its code */
    bool is_asked = is_apps && env->hooks.settling;
    if (is_asked)
        env->hooks.settling(env->owner, &ex->req, true);
    exchange_settle_owed(ex);
    if (is_asked)
        env->hooks.settling(env->owner, &ex->req, false);
}
