/* Scaling of compute pools. Process: master. Posts come and go as when a pool grows by itself
 * (growth.c); here is only what somebody may wish for. */
#include "server/scale_pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "server/growth.h"

static struct pool *find(struct pools *pools, const char *name)
{
    for (uint32_t i = 0; i < pools->n; i++)
        if (pools_is_used(pools, (int)i) && strcmp(pools->items[i].settings->name, name) == 0)
            return &pools->items[i];
    return NULL;
}

static int refuse_name(const struct pools *pools, const char *name, struct err *err)
{
    char names[256] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < pools->n && len < sizeof names; i++) {
        if (!pools_is_used(pools, (int)i))
            continue;
        int n = snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
                         pools->items[i].settings->name);
        len += n > 0 ? (size_t)n : 0;
    }
    if (len == 0)
        return err_set(err, ENOENT, "the app has no heavy routes, so no compute pool is in use");
    return err_set(err, ENOENT, "no pool \"%.31s\" is in use; there is %s", name, names);
}

/* That a pool may have, beside what the others that are in use have, or may grow to. */
static uint32_t room_for(const struct pools *pools, const struct pool *pool)
{
    uint32_t others = 0;
    for (uint32_t i = 0; i < pools->n; i++)
        if (pools_is_used(pools, (int)i) && &pools->items[i] != pool)
            others += pools->items[i].n_max;
    return others < POOLS_WORKERS_MAX ? POOLS_WORKERS_MAX - others : 0;
}

static void set_number(struct herd *herd, struct pool *pool, uint32_t n, const char *who)
{
    log_notice("scaling", "pool=%s workers=%" PRIu32 " from=%" PRIu32 " why=\"%s\"",
               pool->settings->name, n, pool->n_workers, who);
    pool->n_min = pool->n_max = n;
    growth_resize(herd, pool, n, "fewer workers are wanted");
}

static void remember(struct scale *scale, const struct pool *pool, uint32_t n)
{
    size_t i = 0;
    while (i < scale->n_pools && strcmp(scale->pools[i].name, pool->settings->name) != 0)
        i++;
    if (i == SETTINGS_POOLS_MAX)
        return; /* there are no more: names are those of one generation, mostly */
    (void)snprintf(scale->pools[i].name, sizeof scale->pools[i].name, "%s", pool->settings->name);
    scale->pools[i].n = n;
    scale->n_pools += i == scale->n_pools;
}

int scale_pool(struct scale *scale, struct herd *herd, const char *name, struct scale_wish wish,
               uint32_t *out_workers, struct err *err)
{
    struct pools *pools = &herd->current->pools;
    struct pool *pool = find(pools, name);
    if (herd->stage != DECIDE_RUNNING)
        return err_set(err, EBUSY, "the server is stopping");
    if (!pool)
        return refuse_name(pools, name, err);
    uint32_t room = room_for(pools, pool);
    uint32_t n = scale_target(wish, pool->n_workers);
    if (n > room && n > pool->n_workers)
        return err_set(err, EINVAL,
                       "pool %s: %" PRIu32 " workers are too many; allowed: 1 to %" PRIu32
                       ", since all pools that are in use may have %u together",
                       name, n, room, POOLS_WORKERS_MAX);
    remember(scale, pool, n);
    set_number(herd, pool, n, "control");
    *out_workers = n;
    return 0;
}

void scale_pool_on_commit(struct scale *scale, struct herd *herd)
{
    struct pools *pools = &herd->current->pools;
    for (size_t i = 0; i < scale->n_pools; i++) {
        struct pool *pool = find(pools, scale->pools[i].name);
        uint32_t room = pool ? room_for(pools, pool) : 0;
        uint32_t n = scale->pools[i].n < room ? scale->pools[i].n : room;
        if (pool && n > 0 && n != pool->n_workers)
            set_number(herd, pool, n, "asked for during the reload");
    }
}
