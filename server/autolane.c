/* See autolane.h. Process: master. What workers say of routes is advice: an index or a number that
 * can't be is left out, and a worker moves only routes whose lane is auto by its own tables. So the
 * worst that a wild one can do is to have such routes run in the other lane. */
#include "server/autolane.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "server/herd.h"

#define LOOK_US (CLOCK_US_PER_S / 5) /* short beside what a route in the wrong lane costs */

/* ---- which they are ---- */

static bool serves(const struct herd *herd, const struct seat *seat, const struct generation *g)
{
    (void)herd;
    return seat->role == ROLE_WEB && seat->generation == g->number &&
           (seat->phase == SEAT_READY || seat->phase == SEAT_DRAINING);
}

static enum profile_lane rest_of(const struct generation *g)
{
    return g->settings->worker_class == WORKER_CLASS_SYNC ? PROFILE_INLINE : PROFILE_IO;
}

static void add_route(struct lane_table *lanes, const struct generation *g, uint32_t index,
                      const struct route_stats *stats)
{
    uint32_t pool = atomic_load_explicit(&stats->auto_pool, memory_order_relaxed);
    if (pool == 0 || pool > g->pools.n || index > UINT16_MAX || lanes->n >= lanes->cap)
        return;
    struct lane_route *route = &lanes->routes[lanes->n++];
    *route = (struct lane_route){
        .index = (uint16_t)index, .pool = (int8_t)(pool - 1), .state = {.lane = rest_of(g)}};
    memcpy(route->name, stats->name, sizeof route->name - 1); /* the last octet is a NUL */
}

/* What was found out of a route of that name a moment ago still holds. */
static void inherit(struct lane_table *lanes, const struct generation *g,
                    const struct generation *from)
{
    for (uint32_t i = 0; i < lanes->n; i++) {
        struct lane_route *route = &lanes->routes[i];
        const struct lane_route *old = lane_table_find(&from->lanes, route->name);
        if (!old)
            continue;
        route->state = old->state;
        if (route->state.lane != PROFILE_COMPUTE)
            route->state.lane = rest_of(g);
    }
}

/* All web workers of a generation number their routes alike: one of them is asked. One that names
 * none at all is wild: even an app without routes has names for what is no route's. */
static void read_routes(const struct herd *herd, struct generation *g)
{
    struct lane_table *lanes = &g->lanes;
    for (uint32_t i = 0; i < herd->slots.n_used && !lanes->is_read; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (!serves(herd, seat, g))
            continue;
        struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
        for (uint32_t k = 0; k < herd->board.n_routes && part.routes[k].name[0]; k++)
            add_route(lanes, g, k, &part.routes[k]);
        lanes->is_read = part.routes[0].name[0] != '\0';
    }
    if (lanes->is_read && herd->leaving && herd->leaving->lanes.is_read)
        inherit(lanes, g, herd->leaving);
}

/* ---- what they take ---- */

static uint64_t read_believable(const _Atomic uint64_t *number)
{
    uint64_t n = atomic_load_explicit(number, memory_order_relaxed);
    return n < UINT64_MAX / 1024 ? n : 0; /* sums of all workers stay numbers */
}

/* Who it is that serves: another number when anybody has come or gone. */
static uint64_t hash_crew(const struct herd *herd, const struct generation *g)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, by words */
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (serves(herd, seat, g))
            hash = (hash ^ ((uint64_t)seat->number << 32 | seat->epoch)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* All that is alive; what a dead one had counted is missing from now on. */
static struct lane_look sum_up(const struct herd *herd, const struct generation *g,
                               const struct lane_route *route)
{
    struct lane_look sum = {0};
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        if (!serves(herd, &herd->slots.seats[i], g))
            continue;
        struct scoreboard_part part = scoreboard_peek(&herd->board, herd->slots.seats[i].number);
        for (int lane = 0; lane < PROFILE_LANES; lane++) {
            const struct profile *p = &part.routes[route->index].lanes[lane];
            sum.calls += read_believable(&p->measured);
            sum.wall_ns += read_believable(&p->measured_wall_ns);
            sum.cpu_ns += read_believable(&p->cpu_ns);
            sum.delay_ns += read_believable(&p->delay_ns);
        }
    }
    return sum;
}

/* Between two looks at the same workers. What falls all the same was never true. */
static struct lane_look since(const struct lane_look *now, const struct lane_look *then)
{
    if (now->calls < then->calls || now->wall_ns < then->wall_ns || now->cpu_ns < then->cpu_ns ||
        now->delay_ns < then->delay_ns)
        return (struct lane_look){0};
    return (struct lane_look){.calls = now->calls - then->calls,
                              .wall_ns = now->wall_ns - then->wall_ns,
                              .cpu_ns = now->cpu_ns - then->cpu_ns,
                              .delay_ns = now->delay_ns - then->delay_ns};
}

/* ---- moves ---- */

static void note_move(struct herd *herd, const struct lane_route *route,
                      const struct lane_verdict *v, const struct lane_look *look)
{
    const struct lane_state *s = &route->state;
    uint64_t dwell_us = s->dwell_us > 0 ? s->dwell_us : LANE_DWELL_US;
    decisions_note(&herd->decisions, herd->now_us,
                   &(struct decisions_entry){.event = "route moves",
                                             .kind = "lane",
                                             .about = route->name,
                                             .text = "route",
                                             .from = profile_lane_names[v->from],
                                             .to = profile_lane_names[v->to],
                                             .why = v->why},
                   "wait_us=%.0f cpu_us=%.0f calls=%" PRIu64 " dwell_ms=%" PRIu64, s->wait_us,
                   s->cpu_us, look->calls, dwell_us / CLOCK_US_PER_MS);
}

/* Returns whether it is to run elsewhere from now on */
static bool look_at(struct herd *herd, struct generation *g, struct lane_route *route,
                    bool is_same_crew)
{
    struct lane_look now = sum_up(herd, g, route);
    struct lane_look look = is_same_crew ? since(&now, &route->then) : (struct lane_look){0};
    struct lane_rules rules = {.rest = rest_of(g),
                               .compute_us = g->settings->auto_compute_us,
                               .has_pool = pools_is_used(&g->pools, route->pool)};
    route->then = now;
    struct lane_verdict v = lane_decide(&route->state, &look, &rules, herd->now_us);
    if (v.moves)
        note_move(herd, route, &v, &look);
    return v.moves;
}

static void owe_all(struct herd *herd, const struct generation *g)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        if (seat->role == ROLE_WEB && seat->generation == g->number && seat->channel_fd >= 0)
            herd_owe_lanes(herd, seat);
    }
}

/* The generation that serves; and only while nothing is on its way out. */
static struct generation *subject(const struct herd *herd)
{
    bool is_on = herd->stage == DECIDE_RUNNING && herd->current->leaves_us == 0 &&
                 herd->current->settings->adaptive;
    return is_on ? herd->current : NULL;
}

void autolane_turn(struct herd *herd)
{
    struct generation *g = subject(herd);
    if (!g || g->lanes.look_us > herd->now_us)
        return;
    bool is_new = !g->lanes.is_read;
    if (is_new)
        read_routes(herd, g);
    bool has_moved = is_new && g->lanes.n > 0;
    uint64_t crew = hash_crew(herd, g);
    bool is_same_crew = crew == g->lanes.crew; /* else what the dead counted is in one sum only */
    g->lanes.crew = crew;
    for (uint32_t i = 0; i < g->lanes.n; i++) {
        bool moves = look_at(herd, g, &g->lanes.routes[i], is_same_crew);
        g->lanes.n_moves += moves;
        has_moved |= moves;
    }
    if (has_moved)
        owe_all(herd, g);
    g->lanes.look_us = g->lanes.is_read && g->lanes.n == 0 ? SEAT_NEVER : herd->now_us + LOOK_US;
}

uint64_t autolane_next_us(const struct herd *herd)
{
    const struct generation *g = subject(herd);
    return g ? g->lanes.look_us : SEAT_NEVER;
}
