/* What the connections of one loop share. The Server and Date lines are made once a second, not
 * once an answer. */
#include "http/conn_env.h"

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

void conn_env_fini(struct conn_env *env)
{
    exchange_fini_pool(&env->pool);
    buf_fini(&env->in);
    buf_fini(&env->out);
}

void conn_env_set_seed(struct conn_env *env, uint64_t seed)
{
    env->trace_seed = seed;
    trace_put_word(env->trace_seed_text, seed);
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
}
