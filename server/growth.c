/* Growth of compute pools. Process: master. Posts are added and taken away at the end, as those of
 * web workers are; who leaves finishes its task first (herd_dismiss()). A look costs a system call
 * for each pool, so it is taken by the clock: often while tasks wait, or somebody is to spare. */
#include "server/growth.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/herd.h"
#include "server/tasks.h"

#define LOOK_US (100 * CLOCK_US_PER_MS)
#define LOOK_IDLE_US CLOCK_US_PER_S

enum growth growth_decide(const struct growth_case *c)
{
    if (c->n_workers < c->n_max && c->n_ready >= c->n_workers && c->wait_us >= GROWTH_WAIT_US)
        return GROWTH_MORE;
    if (c->n_workers > c->n_min && c->spare_us >= GROWTH_SPARE_US)
        return GROWTH_LESS;
    return GROWTH_NONE;
}

static bool can_change(const struct pools *pools, uint32_t i)
{
    const struct setting_pool *settings = pools->items[i].settings;
    return pools_is_used(pools, (int)i) && settings->workers_min < settings->workers_max;
}

static uint32_t count_busy(const struct herd *herd, const struct pool *pool)
{
    struct task task;
    uint32_t n = 0;
    for (uint32_t i = 0; i < pool->n_workers; i++)
        n += pool->workers[i].seat && tasks_peek(herd, pool->workers[i].seat, &task) != TASK_NONE;
    return n;
}

/* Since when something holds at every look; 0: it does not. */
static void note(uint64_t *since_us, bool holds, uint64_t now_us)
{
    *since_us = !holds ? 0 : *since_us != 0 ? *since_us : now_us;
}

static struct growth_case look(const struct herd *herd, struct pool *pool)
{
    int n_queued = task_count_queued(&pool->queue);
    struct growth_case c = {.n_workers = pool->n_workers,
                            .n_min = (uint32_t)pool->settings->workers_min,
                            .n_max = (uint32_t)pool->settings->workers_max,
                            .n_ready = pools_count_ready_of(pool),
                            .n_busy = count_busy(herd, pool),
                            .n_queued = n_queued > 0 ? (uint32_t)n_queued : 0};
    note(&pool->waits_us, c.n_queued > 0, herd->now_us);
    note(&pool->spares_us, c.n_queued == 0 && c.n_busy + 1 < c.n_ready, herd->now_us);
    c.wait_us = pool->waits_us != 0 ? herd->now_us - pool->waits_us : 0;
    c.spare_us = pool->spares_us != 0 ? herd->now_us - pool->spares_us : 0;
    return c;
}

static void change(struct herd *herd, struct pool *pool, const struct growth_case *c, bool is_more)
{
    struct post *last = &pool->workers[is_more ? pool->n_workers : pool->n_workers - 1];
    log_notice(is_more ? "compute pool grows" : "compute pool shrinks",
               "pool=%s workers=%" PRIu32 " from=%" PRIu32 " busy=%" PRIu32 " queued=%" PRIu32
               " min=%" PRIu32 " max=%" PRIu32,
               pool->settings->name, is_more ? c->n_workers + 1 : c->n_workers - 1, c->n_workers,
               c->n_busy, c->n_queued, c->n_min, c->n_max);
    pool->waits_us = pool->spares_us = 0;
    if (is_more) {
        *last = (struct post){
            .role = ROLE_COMPUTE, .pool = last->pool, .slot = last->slot, .due_us = herd->now_us};
        pool->n_workers++;
        return;
    }
    if (last->next)
        herd_dismiss(herd, last->next, "the pool shrinks");
    if (last->seat)
        herd_dismiss(herd, last->seat, "the pool shrinks");
    pool->n_workers--;
}

void growth_turn(struct herd *herd)
{
    struct pools *pools = &herd->current->pools;
    if (herd->stage != DECIDE_RUNNING || herd->current->leaves_us != 0)
        return;
    for (uint32_t i = 0; i < pools->n; i++) {
        struct pool *pool = &pools->items[i];
        if (!can_change(pools, i) || pool->look_us > herd->now_us)
            continue;
        struct growth_case c = look(herd, pool);
        enum growth growth = growth_decide(&c);
        if (growth != GROWTH_NONE)
            change(herd, pool, &c, growth == GROWTH_MORE);
        bool is_calm = c.n_queued == 0 && pool->n_workers == c.n_min;
        pool->look_us = herd->now_us + (is_calm ? LOOK_IDLE_US : LOOK_US);
    }
}

uint64_t growth_next_us(const struct herd *herd)
{
    const struct pools *pools = &herd->current->pools;
    uint64_t next = SEAT_NEVER;
    if (herd->stage != DECIDE_RUNNING || herd->current->leaves_us != 0)
        return SEAT_NEVER;
    for (uint32_t i = 0; i < pools->n; i++)
        if (can_change(pools, i) && pools->items[i].look_us < next)
            next = pools->items[i].look_us;
    return next;
}
