/* Compute pools. Both settings are TREEs, so that file and --set treat them as every map; this
 * reads them once all of it is there. */
#include "config/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "config/check.h"
#include "config/keys.h"
#include "config/bounds.h"
#include "config/render.h"

#define SETTING_MS(n) (UINT64_C(1000) * (n))
#define SETTING_S(n) (UINT64_C(1000000) * (n))
#define SETTING_MIB(n) (UINT64_C(1048576) * (n))
#define SETTING_TIB(n) (SETTING_MIB(n) * 1048576)
#define NAME_LEN_MAX 31U
#define WORKERS_MAX SETTINGS_POOL_WORKERS_MAX
#define CPUS_FOR_OTHERS 2U
#define HOUR_US SETTING_S(3600)
#define AT(field) offsetof(struct setting_pool, field)
#define MILLISECONDS                                                                               \
    .step = SETTING_MS(1),                                                                         \
    .part = "has parts of a millisecond; allowed: 1ms to 1h, in whole milliseconds"
#define PAGES                                                                                      \
    .step = 4096, .part = "is not whole pages of 4KiB; allowed: 1MiB to 16GiB, such as 256MiB"
#define SECONDS                                                                                    \
    .step = SETTING_S(1), .part = "has parts of a second, which the kernel does not know; "        \
                                  "allowed: 1s to 1h, or 0 (no limit)"

/* THE table of a pool. docs/settings.md says the same in the rows of `compute`. */
static const struct keys_row keys[] = {
    {.spec = {.name = "workers", .type = SETTING_RANGE}},
    {.spec = {.name = "memory_limit",
              .type = SETTING_SIZE,
              .default_text = "512MiB",
              .min = SETTING_MIB(16),
              .max = SETTING_TIB(1),
              .zero = "no limit"},
     .offset = AT(memory_limit_bytes)},
    {.spec = {.name = "cpu_limit",
              .type = SETTING_DURATION,
              .default_text = "0",
              .min = SETTING_S(1),
              .max = HOUR_US,
              .zero = "no limit"},
     .offset = AT(cpu_limit_us),
     SECONDS},
    {.spec = {.name = "nofile",
              .type = SETTING_COUNT,
              .default_text = "1024",
              .min = 64,
              .max = 1048576,
              .unit = "descriptors"},
     .offset = AT(nofile)},
    {.spec = {.name = "timeout",
              .type = SETTING_DURATION,
              .default_text = "30s",
              .min = SETTING_MS(1),
              .max = HOUR_US},
     .offset = AT(timeout_us),
     MILLISECONDS},
    {.spec = {.name = "queue",
              .type = SETTING_COUNT,
              .default_text = "100",
              .min = 1,
              .max = 100000,
              .unit = "tasks"},
     .offset = AT(queue)},
    {.spec = {.name = "queue_target", /* default: that of the settings */
              .type = SETTING_DURATION,
              .default_text = "0",
              .min = SETTING_MS(1),
              .max = HOUR_US,
              .zero = "no limit"},
     .offset = AT(queue_target_us)},
    {.spec = {.name = "max_tasks",
              .type = SETTING_COUNT,
              .default_text = "0",
              .min = 1,
              .max = 2000000000,
              .unit = "tasks",
              .zero = "never"},
     .offset = AT(max_tasks)},
    {.spec = {.name = "max_rss",
              .type = SETTING_SIZE,
              .default_text = "0",
              .min = SETTING_MIB(1),
              .max = SETTING_TIB(1),
              .zero = "no limit"},
     .offset = AT(max_rss_bytes)},
    {.spec = {.name = "nice", .type = SETTING_COUNT, .default_text = "10", .min = 0, .max = 19},
     .offset = AT(nice)},
    {.spec = {.name = "fork", .type = SETTING_BOOL, .default_text = "no"}, .offset = AT(fork)},
    {.spec = {.name = "segment",
              .type = SETTING_SIZE,
              .default_text = "256MiB",
              .min = SETTING_MIB(1),
              .max = SETTING_MIB(16384)},
     .offset = AT(segment_bytes),
     PAGES},
    {.spec = {.name = "breaker", .type = SETTING_TREE}},
    {.spec = {.name = "on_disconnect",
              .type = SETTING_ENUM_TYPE,
              .default_text = "cancel",
              .names = "cancel,finish"},
     .offset = AT(on_disconnect)},
};

static const struct keys_row breaker_keys[] = {
    {.spec = {.name = "failures",
              .type = SETTING_COUNT,
              .default_text = "5",
              .min = 1,
              .max = 1000000,
              .unit = "failures",
              .zero = "never opens"},
     .offset = AT(breaker_failures)},
    {.spec = {.name = "reset_timeout",
              .type = SETTING_DURATION,
              .default_text = "30s",
              .min = SETTING_MS(1),
              .max = HOUR_US},
     .offset = AT(breaker_reset_us),
     MILLISECONDS},
};

#define N(rows) (sizeof(rows) / sizeof(rows)[0])

/* ---- Reading ---- */

/* auto, a number, or min and max. */
static void read_workers(struct keys_reader *r, const struct settings_node *node,
                         struct setting_pool *pool)
{
    static const struct setting_spec spec = {.name = "workers",
                                             .type = SETTING_RANGE,
                                             .default_text = "auto",
                                             .min = 1,
                                             .max = WORKERS_MAX,
                                             .unit = "processes"};
    struct setting_range range = {.is_auto = true};
    bounds_read(r, node, &spec, &range);
    pool->workers = range.is_auto       ? SETTING_POOL_AUTO
                    : range.is_max_auto ? SETTING_POOL_RANGE_TO_AUTO
                                        : SETTING_POOL_RANGE;
    pool->workers_min = range.min;
    pool->workers_max = pool->workers_given = range.max;
}

static void read_breaker(struct keys_reader *r, const struct settings_node *node,
                         struct setting_pool *pool)
{
    size_t at = strlen(r->place);
    if (node->kind != SETTINGS_MAP) {
        keys_refuse_node(r, node, breaker_keys, N(breaker_keys));
        return;
    }
    for (const struct settings_node *member = node->first; member; member = member->next) {
        const struct keys_row *key = keys_find(breaker_keys, N(breaker_keys), member->key);
        (void)keys_enter(r, at, member->key);
        if (key)
            keys_read(r, member, key, pool);
        else
            keys_refuse_key(r, member, breaker_keys, N(breaker_keys));
    }
}

static struct setting_pool make_pool(const struct settings *s, const char *name)
{
    struct setting_pool pool = {.name = name, .workers = SETTING_POOL_AUTO};
    keys_set_defaults(keys, N(keys), &pool);
    keys_set_defaults(breaker_keys, N(breaker_keys), &pool);
    pool.queue_target_us = s->queue_target_us;
    return pool;
}

/* The members of a map that is at r->place. */
static void read_pool(struct keys_reader *r, const struct settings_node *node,
                      struct setting_pool *pool)
{
    size_t at = strlen(r->place);
    for (const struct settings_node *member = node->first; member; member = member->next) {
        const struct keys_row *key = keys_find(keys, N(keys), member->key);
        (void)keys_enter(r, at, member->key);
        if (!key)
            keys_refuse_key(r, member, keys, N(keys));
        else if (key->spec.type == SETTING_RANGE)
            read_workers(r, member, pool);
        else if (key->spec.type == SETTING_TREE)
            read_breaker(r, member, pool);
        else
            keys_read(r, member, key, pool);
    }
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= NAME_LEN_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

static void read_named(struct keys_reader *r, const struct settings_node *node,
                       struct setting_pool *pool)
{
    char quoted[VALUE_QUOTE_MAX];
    *pool = make_pool(r->s, node->key);
    (void)snprintf(r->place, sizeof r->place, "pools");
    if (!is_name(node->key)) {
        keys_complain(r, node->key_line, node->key_column,
                      "%s is no name; allowed: up to %u letters, digits, _ and -",
                      value_quote(quoted, str_of(node->key)), NAME_LEN_MAX);
        return;
    }
    (void)keys_enter(r, strlen("pools"), node->key);
    if (strcmp(node->key, POOL_DEFAULT) == 0)
        keys_complain(r, node->key_line, node->key_column,
                      "is the pool that compute is about; write its keys there");
    else if (node->kind != SETTINGS_MAP)
        keys_refuse_node(r, node, keys, N(keys));
    else
        read_pool(r, node, pool);
}

int pool_load(struct settings *s, struct mistakes *mistakes)
{
    struct keys_reader r = {.s = s, .mistakes = mistakes, .place = "compute"};
    size_t n_named = s->pools->n < SETTINGS_POOLS_MAX ? s->pools->n : SETTINGS_POOLS_MAX - 1;
    struct setting_pool *items = arena_alloc(&s->arena, (n_named + 1) * sizeof *items);
    if (!items)
        return -ENOMEM;
    items[0] = make_pool(s, POOL_DEFAULT);
    read_pool(&r, s->compute, &items[0]);
    s->sources[SETTING_ID_compute].is_bad |= r.is_bad;
    bool is_bad = r.is_bad;
    r.is_bad = false;
    const struct settings_node *node = s->pools->first;
    for (size_t i = 0; i < n_named; i++, node = node->next)
        read_named(&r, node, &items[i + 1]);
    if (node) {
        (void)snprintf(r.place, sizeof r.place, "pools");
        keys_complain(&r, node->key_line, node->key_column,
                      "one pool too many; allowed: at most %d besides that of compute",
                      SETTINGS_POOLS_MAX - 1);
    }
    s->sources[SETTING_ID_pools].is_bad |= r.is_bad;
    if (is_bad || r.is_bad)
        items[0] = make_pool(s, POOL_DEFAULT);
    s->compute_pools = (struct setting_pools){items, is_bad || r.is_bad ? 1 : n_named + 1};
    return 0;
}

const struct setting_pool *pool_find(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->compute_pools.n; i++)
        if (strcmp(s->compute_pools.items[i].name, name) == 0)
            return &s->compute_pools.items[i];
    return NULL;
}

/* ---- What follows from it ---- */

/* Workers for each pool that says auto, so that all pools together have no more than is allowed;
 * one that is to have more at least has those. */
static uint64_t share_of_auto(const struct setting_pools *pools)
{
    uint64_t share = WORKERS_MAX;
    for (size_t round = 0; round <= pools->n; round++) {
        uint64_t given = 0;
        uint64_t n_auto = 0;
        for (size_t i = 0; i < pools->n; i++) {
            const struct setting_pool *pool = &pools->items[i];
            bool is_number = pool->workers == SETTING_POOL_RANGE;
            bool is_more = pool->workers == SETTING_POOL_RANGE_TO_AUTO && pool->workers_min > share;
            given += is_number ? pool->workers_max : is_more ? pool->workers_min : 0;
            n_auto += !is_number && !is_more;
        }
        uint64_t left = given < WORKERS_MAX ? WORKERS_MAX - given : 0;
        share = n_auto > 0 && left > n_auto ? left / n_auto : 1;
    }
    return share;
}

/* What a pool that says auto begins with, and what it may grow to while there is work for them: all
 * CPUs, since at its lower priority (`nice`) a compute worker takes little from others. */
struct auto_numbers {
    uint64_t begin, most;
    const char *but;
};

static struct auto_numbers find_auto(const struct machine *machine, const struct settings *s)
{
    const uint64_t spare = machine->cpus > CPUS_FOR_OTHERS ? machine->cpus - CPUS_FOR_OTHERS : 0;
    const uint64_t share = share_of_auto(&s->compute_pools);
    struct auto_numbers n = {.begin = spare == 0      ? 1
                                      : spare < share ? spare
                                                      : share,
                             .most = machine->cpus < share ? machine->cpus : share};
    if (n.most < n.begin || !s->adaptive)
        n.most = n.begin;
    n.but = spare == 0        ? ", and one at least"
            : n.begin < spare ? ", up to its share of those that all may have"
                              : "";
    return n;
}

static const char *tell_auto(struct settings *s, const struct setting_pool *pool,
                             const struct auto_numbers *n)
{
    if (pool->workers != SETTING_POOL_AUTO && !s->adaptive)
        return arena_printf(&s->arena, NULL, "%" PRIu64 ", its min, since adaptive is off",
                            pool->workers_min);
    if (pool->workers == SETTING_POOL_RANGE_TO_AUTO)
        return arena_printf(
            &s->arena, NULL, "%" PRIu64 " at most, as auto would grow to%s. CPUs: %s",
            pool->workers_max, pool->workers_max > n->most ? ", and not less than min" : "",
            s->cpus_why);
    return arena_printf(&s->arena, NULL,
                        "%" PRIu64
                        ", one for each CPU but %u, which are left to the web workers%s; "
                        "up to %" PRIu64 " while there is work for them. CPUs: %s",
                        pool->workers_min, CPUS_FOR_OTHERS, n->but, pool->workers_max, s->cpus_why);
}

int pool_resolve(const struct machine *machine, struct settings *s)
{
    for (size_t i = 0; i < s->compute_pools.n && !s->adaptive; i++) /* pinned: see adaptive.md */
        if (s->compute_pools.items[i].workers == SETTING_POOL_RANGE)
            s->compute_pools.items[i].workers_max = s->compute_pools.items[i].workers_min;
    const struct auto_numbers n = find_auto(machine, s);
    for (size_t i = 0; i < s->compute_pools.n; i++) {
        struct setting_pool *pool = &s->compute_pools.items[i];
        if (pool->workers == SETTING_POOL_RANGE && pool->workers_max == pool->workers_given)
            continue;
        if (pool->workers == SETTING_POOL_AUTO)
            pool->workers_min = n.begin;
        bool is_pinned = !s->adaptive || pool->workers_min > n.most;
        pool->workers_max = is_pinned ? pool->workers_min : n.most;
        pool->workers_why = tell_auto(s, pool, &n);
        if (!pool->workers_why)
            return -ENOMEM;
    }
    return 0;
}

uint64_t pool_memory(const struct settings *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->compute_pools.n; i++) {
        const struct setting_pool *pool = &s->compute_pools.items[i];
        if (pool->memory_limit_bytes == 0)
            return UINT64_MAX;
        sum += pool->workers_max * pool->memory_limit_bytes; /* below 2^63: 16 pools, 256, 1 TiB */
    }
    return sum;
}

static void check_workers(const struct settings *s, struct mistakes *warnings)
{
    uint64_t n_workers = 0;
    for (size_t i = 0; i < s->compute_pools.n; i++)
        n_workers += s->compute_pools.items[i].workers_max;
    if (n_workers > WORKERS_MAX)
        check_complain(s, SETTING_ID_pools, warnings,
                       "all pools have up to %" PRIu64 " workers together; those that the app uses "
                       "may have %u",
                       n_workers, WORKERS_MAX);
}

static void check_memory(const struct settings *s, enum setting_id id, struct mistakes *warnings)
{
    const uint64_t need = pool_memory(s);
    const double gib = 1 << 30;
    if (s->memory_bytes == 0 || need == UINT64_MAX || need <= s->memory_bytes)
        return;
    check_complain(s, id, warnings,
                   "workers x memory_limit of all pools is %.2f GiB, more than the memory there "
                   "is, %.2f GiB; lower one of them",
                   (double)need / gib, (double)s->memory_bytes / gib);
}

/* A descriptor waits with each task, and for a process the kernel compares all that are on their
 * way, of its user, with what it may have open: unix(7), ETOOMANYREFS. */
static void check_descriptors(const struct settings *s, enum setting_id id,
                              struct mistakes *warnings)
{
    uint64_t waiting = 0;
    for (size_t i = 0; i < s->compute_pools.n; i++)
        waiting += s->compute_pools.items[i].queue;
    for (size_t i = 0; i < s->compute_pools.n; i++) {
        const struct setting_pool *pool = &s->compute_pools.items[i];
        if (pool->nofile < waiting)
            check_complain(s, id, warnings,
                           "nofile of pool %s is %" PRIu64 ", less than the queues of all pools "
                           "hold, %" PRIu64 ": when they do, its answers that send a file are "
                           "refused; raise nofile, or lower queue",
                           pool->name, pool->nofile, waiting);
    }
}

void pool_check(const struct settings *s, struct mistakes *warnings)
{
    const struct setting_source *compute = &s->sources[SETTING_ID_compute];
    const struct setting_source *pools = &s->sources[SETTING_ID_pools];
    bool has_compute = compute->origin != SETTING_FROM_DEFAULT;
    if (compute->is_bad || pools->is_bad)
        return;
    check_workers(s, warnings);
    if (!has_compute && pools->origin == SETTING_FROM_DEFAULT)
        return;
    enum setting_id id = has_compute ? SETTING_ID_compute : SETTING_ID_pools;
    check_memory(s, id, warnings);
    check_descriptors(s, id, warnings);
}

/* ---- Printing ---- */

static int render_row(struct buf *out, const struct keys_row *row, const struct setting_pool *pool,
                      int indent)
{
    int rc = buf_printf(out, "%*s%s: ", indent, "", row->spec.name);
    if (rc == 0)
        rc = keys_print(out, row, pool);
    return rc < 0 ? rc : buf_printf(out, "\n");
}

/* As given, and behind it the number here where that is another. */
static int render_workers(struct buf *out, const struct setting_pool *pool, int indent, bool is_why)
{
    int rc = buf_printf(out, "%*sworkers: ", indent, "");
    if (rc == 0 && pool->workers == SETTING_POOL_AUTO)
        rc = buf_printf(out, "auto");
    else if (rc == 0 && pool->workers == SETTING_POOL_RANGE_TO_AUTO)
        rc = buf_printf(out, "{min: %" PRIu64 ", max: auto}", pool->workers_min);
    else if (rc == 0 && pool->workers_min == pool->workers_given)
        rc = buf_printf(out, "%" PRIu64, pool->workers_min);
    else if (rc == 0)
        rc = buf_printf(out, "{min: %" PRIu64 ", max: %" PRIu64 "}", pool->workers_min,
                        pool->workers_given);
    if (rc == 0 && pool->workers_why && !is_why && pool->workers_min < pool->workers_max)
        rc = buf_printf(out, "  # %" PRIu64 " to %" PRIu64 " here", pool->workers_min,
                        pool->workers_max);
    else if (rc == 0 && pool->workers_why && !is_why)
        rc = buf_printf(out, "  # %" PRIu64 " here", pool->workers_max);
    if (rc == 0)
        rc = buf_printf(out, "\n");
    if (rc == 0 && pool->workers_why && is_why)
        rc = render_wrapped(out, "#   ", pool->workers_why);
    return rc;
}

int pool_render(struct buf *out, const struct setting_pool *pool, int indent, bool is_why)
{
    int rc = 0;
    for (size_t i = 0; i < N(keys) && rc == 0; i++) {
        if (keys[i].spec.type == SETTING_RANGE)
            rc = render_workers(out, pool, indent, is_why);
        else if (keys[i].spec.type != SETTING_TREE)
            rc = render_row(out, &keys[i], pool, indent);
        else
            rc = buf_printf(out, "%*s%s:\n", indent, "", keys[i].spec.name);
        for (size_t k = 0; keys[i].spec.type == SETTING_TREE && k < N(breaker_keys) && rc == 0; k++)
            rc = render_row(out, &breaker_keys[k], pool, indent + 2);
    }
    return rc;
}
