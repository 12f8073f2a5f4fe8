/* Growth of compute pools. Process: master. Posts are added and taken away at the end, as those of
 * web workers are; who leaves finishes its task first (herd_dismiss()). A look costs a system call
 * for the queue and one for each worker, so it is taken by the clock: often while tasks wait, or
 * somebody is to spare. */
#include "server/growth.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/adapt.h"
#include "server/growth_web.h"
#include "server/herd.h"
#include "server/posts.h"
#include "server/tasks.h"

#define LOOK_IDLE_US CLOCK_US_PER_S
#define CALLS_US CLOCK_US_PER_S           /* between looks at what calls took, of all routes */
#define BELIEVABLE_US (UINT64_C(1) << 40) /* of what a worker says it did since a look */

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

/* ---- looking ---- */

/* Since the last look; of somebody new, since its birth. */
static uint64_t gain(uint64_t now, uint64_t *seen)
{
    uint64_t gained = now > *seen ? now - *seen : 0;
    *seen = now;
    return gained < BELIEVABLE_US ? gained : BELIEVABLE_US;
}

/* Since the last look that could read it; what somebody new had before is of its coming up. */
static uint64_t gain_on(uint64_t now, uint64_t *seen)
{
    if (*seen == 0)
        *seen = now;
    return gain(now, seen);
}

static void look_at_worker(const struct herd *herd, struct post *post, struct adapt_look *look)
{
    const struct seat *seat = post->seat;
    struct post_seen *seen = &post->seen;
    struct account_sums sums = {0};
    struct gauge_thread thread;
    uint64_t switches;
    if (!seat || seat->phase != SEAT_READY)
        return;
    if (seen->seat != seat->number || seen->epoch != seat->epoch)
        *seen = (struct post_seen){.seat = seat->number, .epoch = seat->epoch};
    account_add(&sums, &scoreboard_peek(&herd->board, seat->number).head->account);
    uint64_t wall_us = gain(sums.numbers[ACCOUNT_WALL_US], &seen->wall);
    uint64_t cpu_us = gain(sums.numbers[ACCOUNT_CPU_US], &seen->cpu);
    uint64_t jobs = gain(account_tasks(&sums) - sums.numbers[ACCOUNT_DROPPED], &seen->jobs);
    if (gauge_read_thread(seat->pid, &thread) == 0)
        seen->owed += gain_on(thread.delay_ns, &seen->delay) / 1000;
    if (gauge_read_switches(seat->pid, &switches) == 0)
        look->switches += gain_on(switches, &seen->switches);
    look->completions += jobs;
    if (jobs == 0)
        return; /* what a task waits for the CPUs is told with the rest of it, at its end */
    uint64_t left_us = wall_us > cpu_us ? wall_us - cpu_us : 0;
    look->wall_ns += wall_us * 1000;
    look->measured_wall_ns += wall_us * 1000;
    look->cpu_ns += (cpu_us < wall_us ? cpu_us : wall_us) * 1000;
    look->delay_ns += (seen->owed < left_us ? seen->owed : left_us) * 1000;
    seen->owed = 0;
}

static bool is_only_one(const struct pools *pools)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pools->n; i++)
        n += pools_is_used(pools, (int)i);
    return n == 1;
}

/* Which pool a route's tasks go to is known to web workers only, so where there are several this
 * says nothing. */
static void look_at_calls(const struct herd *herd, struct pool *pool, struct adapt_look *look)
{
    if (!is_only_one(&herd->current->pools) || herd->now_us - pool->calls_us < CALLS_US)
        return;
    struct gauge_calls calls = gauge_calls_since(herd, PROFILE_COMPUTE, &pool->seen);
    bool is_first = pool->calls_us == 0;
    pool->calls_us = herd->now_us;
    if (is_first)
        return;
    look->wait_p99_us = meter_quantile(calls.wait, 990);
    look->latency_p99_us = look->wait_p99_us + meter_quantile(calls.wall, 990);
}

static struct adapt_look observe(struct herd *herd, struct pool *pool)
{
    int n_queued = task_count_queued(&pool->queue);
    struct adapt_look look = {.now_us = herd->now_us,
                              .units = pool->n_workers,
                              .ready = pools_count_ready_of(pool),
                              .busy = count_busy(herd, pool),
                              .queued = n_queued > 0 ? (uint32_t)n_queued : 0,
                              .missing = herd->current->has_been_ready
                                             ? posts_count_missing(pool->workers, pool->n_workers)
                                             : 0,
                              .room = UINT32_MAX};
    gauge_read(&herd->gauge, herd);
    look.cpu_share = herd->gauge.cpu_share;
    look.memory_pressure = herd->gauge.memory_pressure;
    for (uint32_t i = 0; i < pool->n_workers; i++)
        look_at_worker(herd, &pool->workers[i], &look);
    look_at_calls(herd, pool, &look);
    uint32_t in_hand = look.busy + look.queued;
    uint64_t came = look.completions + in_hand;
    look.arrivals = came > pool->in_hand ? came - pool->in_hand : 0;
    pool->in_hand = in_hand;
    return look;
}

/* Returns  index of the one of that name that is in use; -1: there is none */
static int find_pool(const struct pools *pools, const char *name)
{
    for (uint32_t k = 0; k < pools->n; k++)
        if (pools_is_used(pools, (int)k) && strcmp(pools->items[k].settings->name, name) == 0)
            return (int)k;
    return -1;
}

/* What comes in any case has its room before what may come. */
void growth_inherit(const struct herd *herd, struct generation *g)
{
    const struct pools *from = &herd->current->pools;
    struct gauge_room room = gauge_read_room(herd);
    (void)gauge_take(&room, room.web_bytes, g->web.n_min, g->web.n_min);
    for (uint32_t i = 0; i < g->pools.n; i++) {
        const struct pool *pool = &g->pools.items[i];
        int k = find_pool(from, pool->settings->name);
        if (k >= 0)
            (void)gauge_take(&room, room.pool_bytes[k], pool->n_min, pool->n_min);
    }
    growth_web_inherit(herd, g, &room);
    for (uint32_t i = 0; i < g->pools.n; i++) {
        struct pool *pool = &g->pools.items[i];
        int k = find_pool(from, pool->settings->name);
        uint32_t n = k >= 0 ? from->items[k].n_workers : 0;
        n = n < pool->n_max ? n : pool->n_max;
        if (n > pool->n_min)
            pool->n_workers =
                pool->n_min + gauge_take(&room, room.pool_bytes[k], 0, n - pool->n_min);
    }
}

/* ---- acting ---- */

static void tell_no_room(struct pool *pool, const struct adapt_look *look,
                         const struct gauge_room *room, uint64_t needs_bytes)
{
    if (!pool->is_short_told)
        log_warn("compute pool does not grow",
                 "pool=%s workers=%" PRIu32 " max=%" PRIu32 " queued=%" PRIu32
                 " why=\"memory has no room for another worker\" needed_bytes=%" PRIu64
                 " room_bytes=%" PRIu64 " set_aside_bytes=%" PRIu64 " does=\"look again\"",
                 pool->settings->name, pool->n_workers, pool->n_max, look->queued, needs_bytes,
                 room->bytes, room->set_aside_bytes);
    pool->is_short_told = true;
}

void growth_resize(struct herd *herd, struct pool *pool, uint32_t n, const char *why)
{
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

static void change(struct herd *herd, struct pool *pool, const struct adapt_look *look,
                   const struct adapt_verdict *v)
{
    char from[DECISIONS_VALUE_BYTES], to[DECISIONS_VALUE_BYTES];
    (void)snprintf(from, sizeof from, "%" PRIu32, pool->n_workers);
    (void)snprintf(to, sizeof to, "%" PRIu32, v->units);
    const struct decisions_entry entry = {
        .event = v->units > pool->n_workers ? "compute pool grows" : "compute pool shrinks",
        .kind = "compute",
        .about = pool->settings->name,
        .from = from,
        .to = to,
        .why = adapt_reason_names[v->reason]};
    struct decisions_figures figures;
    decisions_note(&herd->decisions, herd->now_us, &entry, "min=%" PRIu32 " max=%" PRIu32 "%s",
                   pool->n_min, pool->n_max, decisions_figures(&figures, look, v));
    growth_resize(herd, pool, v->units, "the pool shrinks");
}

/* What memory has room for is found out only where it matters: it takes a file for each worker. */
static struct adapt_verdict judge(const struct herd *herd, struct pool *pool,
                                  struct adapt_look *look)
{
    const struct adapt_rules rules = {.kind = ADAPT_COMPUTE,
                                      .min = pool->n_min,
                                      .max = pool->n_max,
                                      .cpus = herd->current->settings->cpus};
    struct adapt_state before = pool->adapt;
    struct adapt_verdict v = adapt_decide(&rules, &pool->adapt, look);
    if (v.units <= look->units)
        return v;
    struct gauge_room room = gauge_read_room(herd);
    uint64_t needs_bytes = room.pool_bytes[pool - herd->current->pools.items];
    look->room = gauge_count_fit(&room, needs_bytes);
    pool->adapt = before;
    v = adapt_decide(&rules, &pool->adapt, look);
    if (v.reason == ADAPT_HELD_BY_ROOM)
        tell_no_room(pool, look, &room, needs_bytes);
    return v;
}

static bool is_calm(const struct pool *pool, const struct adapt_look *look,
                    const struct adapt_verdict *v)
{
    return v->reason == ADAPT_HELD_BY_ROOM ||
           (look->queued == 0 && look->busy < look->ready && pool->n_workers == pool->n_min);
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
        struct adapt_look seen = observe(herd, pool);
        struct adapt_verdict v = judge(herd, pool, &seen);
        if (v.units != pool->n_workers)
            change(herd, pool, &seen, &v);
        pool->look_us =
            herd->now_us +
            (is_calm(pool, &seen, &v) ? LOOK_IDLE_US : adapt_interval_us(ADAPT_COMPUTE));
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
