/* Overrides for single routes. The setting is a TREE, so that file, --set and `remuda config` treat
 * it as they treat every map; this reads the map once all of it is there. */
#include "config/route.h"

#include <errno.h>

#include "base/err.h"
#include "config/keys.h"
#include "config/pool.h"

#define US_PER_MS 1000U
#define LIMIT_BODY_MAX (UINT64_C(1) << 40)        /* as limit_request_body */
#define TIMEOUT_MAX_US (UINT64_C(3600) * 1000000) /* as request_timeout, and as remuda.h allows */

#define SLOW_MIN_US 10000U /* as slow_request */

#define TIMEOUT(name_)                                                                             \
    {                                                                                              \
        .spec = {.name = name_,                                                                    \
                 .type = SETTING_DURATION,                                                         \
                 .default_text = "0",                                                              \
                 .min = US_PER_MS,                                                                 \
                 .max = TIMEOUT_MAX_US},                                                           \
        .offset = offsetof(struct setting_route, request_timeout_us), .step = US_PER_MS,           \
        .part = "has parts of a millisecond; allowed: 1ms to 1h, in whole milliseconds"            \
    }

static const struct keys_row keys[] = {
    {.spec = {.name = "lane", .type = SETTING_ENUM_TYPE}},
    {.spec = {.name = "pool", .type = SETTING_STRING}},
    {.spec = {.name = "limit_request_body",
              .type = SETTING_SIZE,
              .default_text = "0",
              .min = 1,
              .max = LIMIT_BODY_MAX},
     .offset = offsetof(struct setting_route, limit_request_body_bytes)},
    {.spec = {.name = "slow_request",
              .type = SETTING_DURATION,
              .default_text = "0",
              .min = SLOW_MIN_US,
              .max = TIMEOUT_MAX_US},
     .offset = offsetof(struct setting_route, slow_request_us)},
    TIMEOUT("request_timeout"),
    TIMEOUT("timeout"), /* the word of `compute`, for the same */
    {.spec = {.name = "queue_target",
              .type = SETTING_DURATION,
              .default_text = "0",
              .min = US_PER_MS,
              .max = TIMEOUT_MAX_US,
              .zero = "never shed"},
     .offset = offsetof(struct setting_route, queue_target_us)},
};

#define N_KEYS (sizeof keys / sizeof keys[0])

static void read_lane(struct keys_reader *r, const struct settings_node *node, uint64_t *out_lane)
{
    static const char *const names[SETTING_LANES] = {[SETTING_LANE_INLINE] = "inline",
                                                     [SETTING_LANE_IO] = "io",
                                                     [SETTING_LANE_COMPUTE] = "compute",
                                                     [SETTING_LANE_AUTO] = "auto"};
    char quoted[VALUE_QUOTE_MAX];
    for (uint64_t lane = SETTING_LANE_INLINE; lane < SETTING_LANES; lane++) {
        if (strcmp(node->text, names[lane]) == 0) {
            *out_lane = lane;
            return;
        }
    }
    keys_complain(r, node->line, node->column, "%s is no lane; allowed: inline, io, compute, auto",
                  value_quote(quoted, str_make(node->text, node->len)));
}

static void read_pool(struct keys_reader *r, const struct settings_node *node,
                      const char **out_pool)
{
    char quoted[VALUE_QUOTE_MAX];
    char names[ERR_TEXT_MAX / 2] = "";
    size_t len = 0;
    const struct setting_pools *pools = &r->s->compute_pools;
    const struct setting_pool *pool = pool_find(r->s, node->text);
    if (pool) {
        *out_pool = pool->name;
        return;
    }
    if (r->s->sources[SETTING_ID_pools].is_bad || r->s->sources[SETTING_ID_compute].is_bad)
        return; /* which there are is not known */
    for (size_t i = 0; i < pools->n && len < sizeof names; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i > 0 ? ", " : "",
                                pools->items[i].name);
    keys_complain(r, node->line, node->column, "no such pool %s; allowed: those of pools, here %s",
                  value_quote(quoted, str_make(node->text, node->len)), names);
}

static void read_member(struct keys_reader *r, size_t at, const struct settings_node *node,
                        struct setting_route *out)
{
    const struct keys_row *key = keys_find(keys, N_KEYS, node->key);
    const char *wrong = key ? value_check_node(key->spec.type, node) : NULL;
    (void)keys_enter(r, at, node->key);
    if (!key)
        keys_refuse_key(r, node, keys, N_KEYS);
    else if (wrong)
        keys_complain(r, node->line, node->column, "%s", wrong);
    else if (key->spec.type == SETTING_ENUM_TYPE)
        read_lane(r, node, &out->lane);
    else if (key->spec.type == SETTING_STRING)
        read_pool(r, node, &out->pool);
    else if (key->offset == offsetof(struct setting_route, request_timeout_us) &&
             out->request_timeout_us > 0)
        keys_complain(r, node->key_line, node->key_column,
                      "timeout and request_timeout are the same; allowed: one of them");
    else
        keys_read(r, node, key, out);
}

/* Has it the form of a route: a word, one blank, a path? The rest the app's routes decide. */
static bool is_route(const char *key)
{
    size_t method = strcspn(key, " ");
    return method > 0 && key[method] == ' ' && key[method + 1] == '/' &&
           !str_has_control(str_of(key));
}

static void read_route(struct keys_reader *r, const struct settings_node *node,
                       struct setting_route *out)
{
    char quoted[VALUE_QUOTE_MAX];
    *out = (struct setting_route){.route = node->key,
                                  .queue_target_us = SETTING_QUEUE_TARGET_UNSAID,
                                  .line = node->key_line,
                                  .column = node->key_column};
    (void)snprintf(r->place, sizeof r->place, "routes");
    if (!is_route(node->key)) {
        keys_complain(
            r, node->key_line, node->key_column,
            "%s is no route; allowed: METHOD PATTERN as remuda routes prints them, such as "
            "\"POST /upload\" or \"* /echo\"",
            value_quote(quoted, str_of(node->key)));
        return;
    }
    size_t at = keys_enter(r, strlen("routes"), node->key);
    if (node->kind != SETTINGS_MAP) {
        keys_refuse_node(r, node, keys, N_KEYS);
        return;
    }
    for (const struct settings_node *member = node->first; member; member = member->next)
        read_member(r, at, member, out);
}

int route_load(struct settings *s, struct mistakes *mistakes)
{
    struct keys_reader r = {.s = s, .mistakes = mistakes};
    struct setting_route *items = arena_alloc(&s->arena, (s->routes->n + 1) * sizeof *items);
    if (!items)
        return -ENOMEM;
    size_t n = 0;
    for (const struct settings_node *node = s->routes->first; node; node = node->next)
        read_route(&r, node, &items[n++]);
    if (r.is_bad)
        s->sources[SETTING_ID_routes].is_bad = true;
    else
        s->route_overrides = (struct setting_routes){items, n};
    return 0;
}
