/* Growth of compute pools. Process: master. Posts are added and taken away at the end, as those of
 * web workers are; who leaves finishes its task first (herd_dismiss()). A look costs a system call
 * for each pool, so it is taken by the clock: often while tasks wait, or somebody is to spare. */
#include "server/growth.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/headroom.h"
#include "server/herd.h"
#include "server/tasks.h"

#define LOOK_US (100 * CLOCK_US_PER_MS)
#define LOOK_IDLE_US CLOCK_US_PER_S

enum growth growth_decide(const struct growth_case *c)
{
    if (c->n_workers < c->n_max && c->n_ready >= c->n_workers && c->wait_us >= GROWTH_WAIT_US)
        return c->needs_bytes > c->room_bytes ? GROWTH_NO_ROOM : GROWTH_MORE;
    if (c->n_workers > c->n_min && c->spare_us >= GROWTH_SPARE_US)
        return GROWTH_LESS;
    return GROWTH_NONE;
}

static bool can_change(const struct pools *pools, uint32_t i)
{
    const struct pool *pool = &pools->items[i];
    return pools_is_used(pools, (int)i) && pool->n_min < pool->n_max;
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
                            .n_min = pool->n_min,
                            .n_max = pool->n_max,
                            .n_ready = pools_count_ready_of(pool),
                            .n_busy = count_busy(herd, pool),
                            .n_queued = n_queued > 0 ? (uint32_t)n_queued : 0};
    note(&pool->waits_us, c.n_queued > 0, herd->now_us);
    note(&pool->spares_us, c.n_queued == 0 && c.n_busy + 1 < c.n_ready, herd->now_us);
    c.wait_us = pool->waits_us != 0 ? herd->now_us - pool->waits_us : 0;
    c.spare_us = pool->spares_us != 0 ? herd->now_us - pool->spares_us : 0;
    return c;
}

/* What the largest of them has for itself the next may come to have, but for its limit. */
static void look_at_memory(const struct pool *pool, struct growth_case *c)
{
    struct machine machine;
    const uint64_t limit = pool->settings->memory_limit_bytes;
    for (uint32_t i = 0; i < pool->n_workers; i++) {
        const struct seat *seat = pool->workers[i].seat;
        uint64_t bytes = seat && seat->pid > 0 ? headroom_of_process("/proc", seat->pid) : 0;
        if (bytes != HEADROOM_UNKNOWN && bytes > c->needs_bytes)
            c->needs_bytes = bytes;
    }
    if (limit > 0 && c->needs_bytes > limit)
        c->needs_bytes = limit;
    machine_read(&machine, "/proc", "/sys/fs/cgroup");
    c->room_bytes = FAULT("growth.room") ? 0 : headroom_bytes(&machine, "/proc");
}

/* What memory has room for beside those that there are, since for a while both are there. */
static uint32_t inherit(struct pool *pool, const struct pool *from, uint64_t *room_bytes)
{
    struct growth_case c = {0};
    uint32_t most = from->n_workers < pool->n_max ? from->n_workers : pool->n_max;
    if (most <= pool->n_min)
        return pool->n_min;
    look_at_memory(from, &c);
    if (*room_bytes > c.room_bytes)
        *room_bytes = c.room_bytes;
    uint64_t needs_bytes = c.needs_bytes > 0 ? c.needs_bytes : 1;
    uint64_t fit = *room_bytes / needs_bytes;
    uint32_t n = fit < most ? (uint32_t)fit : most;
    if (n < pool->n_min)
        n = pool->n_min;
    *room_bytes -= n < fit ? n * needs_bytes : *room_bytes;
    return n;
}

void growth_inherit(struct pools *pools, const struct pools *from)
{
    uint64_t room_bytes = UINT64_MAX;
    for (uint32_t i = 0; i < pools->n; i++)
        for (uint32_t k = 0; k < from->n; k++)
            if (pools_is_used(from, (int)k) &&
                strcmp(pools->items[i].settings->name, from->items[k].settings->name) == 0)
                pools->items[i].n_workers = inherit(&pools->items[i], &from->items[k], &room_bytes);
}

static void tell_no_room(struct pool *pool, const struct growth_case *c)
{
    if (!pool->is_short_told)
        log_warn("compute pool does not grow",
                 "pool=%s workers=%" PRIu32 " max=%" PRIu32 " queued=%" PRIu32
                 " why=\"memory has no room for another worker\" needed_bytes=%" PRIu64
                 " room_bytes=%" PRIu64 " does=\"look again\"",
                 pool->settings->name, c->n_workers, c->n_max, c->n_queued, c->needs_bytes,
                 c->room_bytes);
    pool->is_short_told = true;
}

void growth_resize(struct herd *herd, struct pool *pool, uint32_t n, const char *why)
{
    pool->waits_us = pool->spares_us = 0;
    pool->is_short_told = false;
    for (uint32_t i = pool->n_workers; i < n; i++) {
        struct post *post = &pool->workers[i];
        *post = (struct post){
            .role = ROLE_COMPUTE, .pool = post->pool, .slot = post->slot, .due_us = herd->now_us};
    }
    for (uint32_t i = n; i < pool->n_workers; i++) {
        struct post *post = &pool->workers[i];
        if (post->next)
            herd_dismiss(herd, post->next, why);
        if (post->seat)
            herd_dismiss(herd, post->seat, why);
    }
    pool->n_workers = n;
    herd_owe_queues(herd, herd->current); /* who asks reckons with it */
}

static void change(struct herd *herd, struct pool *pool, const struct growth_case *c, bool is_more)
{
    uint32_t n = is_more ? c->n_workers + 1 : c->n_workers - 1;
    log_notice(is_more ? "compute pool grows" : "compute pool shrinks",
               "pool=%s workers=%" PRIu32 " from=%" PRIu32 " busy=%" PRIu32 " queued=%" PRIu32
               " min=%" PRIu32 " max=%" PRIu32,
               pool->settings->name, n, c->n_workers, c->n_busy, c->n_queued, c->n_min, c->n_max);
    growth_resize(herd, pool, n, "the pool shrinks");
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
        if (growth == GROWTH_MORE) {
            look_at_memory(pool, &c);
            growth = growth_decide(&c);
        }
        if (growth == GROWTH_NO_ROOM)
            tell_no_room(pool, &c);
        else if (growth != GROWTH_NONE)
            change(herd, pool, &c, growth == GROWTH_MORE);
        bool is_calm = growth == GROWTH_NO_ROOM || (c.n_queued == 0 && pool->n_workers == c.n_min);
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
