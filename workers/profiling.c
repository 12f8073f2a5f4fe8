/* See profiling.h. Process: web workers. A thread's CPU clock and its delay are asked for by system
 * calls, 3 to 9 µs in all, so only some calls are measured (profile_take_due()); of the others it
 * is known how long they took, by the processor's ticks. */
#include "workers/profiling.h"

#include <stdio.h>
#include <unistd.h>

#include "base/schedstat.h"
#include "base/siphash.h"
#include "base/str.h"
#include "http/router.h"
#include "ipc/task.h"
#include "workers/chain.h"
#include "workers/iopool.h"
#include "workers/web.h"

#define FIRST_TICKS_NS 200000U
#define NAME_BYTES sizeof(((struct route_stats *)0)->name)

/* What a tick is, from a short while: near enough until the first half second is over. */
static void set_first_ticks(struct profiling *p)
{
    uint64_t began_ns = clock_now_ns(), began_ticks = clock_ticks(), now_ns;
    do
        now_ns = clock_now_ns();
    while (now_ns < began_ns + FIRST_TICKS_NS);
    profiling_set_ticks(p, (double)(clock_ticks() - began_ticks) / (double)(now_ns - began_ns) *
                               CLOCK_NS_PER_US);
}

/* Octets that are no text become "?": who reads the table believes no others (ipc/totals.c), and an
 * app may have any in a pattern. Returns whether there were some */
static bool make_text(char name[NAME_BYTES])
{
    const size_t len = strlen(name);
    bool is_changed = false;
    for (size_t i = 0, n; i < len; i += n) {
        n = str_utf8_length(name + i, len - i);
        if (n > 0 && !str_has_control(str_make(name + i, n)))
            continue;
        name[i] = '?';
        is_changed = true;
        n = 1;
    }
    return is_changed;
}

/* What is longer is cut between two characters. */
void profiling_name(struct route_stats *block, const char *kind, const char *what)
{
    static const uint64_t key[2];
    char name[NAME_BYTES], end[] = "~00000000";
    int n = snprintf(name, sizeof name, "%s %s", kind, what);
    if (make_text(name) || n >= (int)sizeof name) {
        size_t at = strnlen(name, sizeof name - sizeof end);
        while (at > 0 && ((unsigned char)name[at] & 0xc0) == 0x80)
            at--;
        (void)snprintf(end, sizeof end, "~%08x", (unsigned)siphash(key, what, strlen(what)));
        memcpy(name + at, end, sizeof end);
    }
    (void)snprintf(block->name, sizeof block->name, "%s", name);
}

void profiling_init(struct profiling *p, const struct app *app, const struct scoreboard_part *part,
                    uint32_t n_blocks)
{
    uint32_t i = 0;
    const uint32_t most = n_blocks - SCOREBOARD_MORE_ROUTES; /* behind limit_routes come the two */
    struct route_stats *blocks = part->routes;
    for (size_t k = 0; k < router_count(app->router) && i < most; k++) {
        const struct route *route = router_route(app->router, k);
        profiling_name(&blocks[i++], route->method, route->pattern);
    }
    for (size_t k = 0; k < app->n_tasks && i < most; k++) /* for their breakers, too */
        profiling_name(&blocks[i++], "TASK", chain_task(app, k)->name);
    *p = (struct profiling){.head = part->head,
                            .routes = blocks,
                            .n_routes = i,
                            .mounts = &blocks[i],
                            .none = &blocks[i + 1],
                            .example_us = PROFILING_SLOW_US,
                            .schedstat_fd = schedstat_open()};
    set_first_ticks(p);
    (void)snprintf(p->mounts->name, NAME_BYTES, "static");
    (void)snprintf(p->none->name, NAME_BYTES, "none");
}

void profiling_fini(struct profiling *p)
{
    if (p->head && p->schedstat_fd >= 0)
        (void)close(p->schedstat_fd);
    *p = (struct profiling){0};
}

void profiling_set_ticks(struct profiling *p, double ticks_per_us)
{
    const double ns_per_us = 1e3, one = (double)(UINT64_C(1) << 32);
    if (ticks_per_us > 0)
        p->tick_ns = (uint64_t)(ns_per_us * one / ticks_per_us);
}

void profiling_clear(struct profiling *p)
{
    for (uint32_t i = 0; i < p->n_routes + SCOREBOARD_MORE_ROUTES; i++)
        for (int lane = 0; lane < PROFILE_LANES; lane++)
            profile_clear(&p->routes[i].lanes[lane]);
}

static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

/* ---- on the loop ---- */

__attribute__((cold, noinline)) void profiling_begin_measured(struct profiling *p)
{
    p->is_measured = true;
    p->began_ns = clock_now_ns();
    p->began_delay_ns = schedstat_delay_ns(p->schedstat_fd);
    p->began_cpu_ns = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    p->began_ns = clock_now_ns();
}

__attribute__((cold, noinline)) void profiling_end_measured(struct profiling *p)
{
    struct profile_call call = {.wall_ns = since(p->began_ns, clock_now_ns()),
                                .cpu_ns =
                                    since(p->began_cpu_ns, clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID)),
                                .is_measured = true};
    uint64_t delay_ns = schedstat_delay_ns(p->schedstat_fd);
    call.delay_ns = p->began_delay_ns > 0 ? since(p->began_delay_ns, delay_ns) : 0;
    profile_bound(&call);
    profile_note_inline(p->profile, &call);
    p->is_measured = false;
    if (call.wall_ns >= PROFILING_SLOW_US * CLOCK_NS_PER_US)
        p->example_us = 0;
}

_Atomic uint64_t *profiling_find_answers(struct route_stats *stats, const struct rmd_request *req)
{
    return stats->answers[exchange_of(req)->lane][profile_method_of(req->method)];
}

/* The slowest of the last while: copied rarely, since there are few that are slower than all others
 * of ten seconds. */
#define EXEMPLAR_US (10 * (int64_t)CLOCK_US_PER_S)

__attribute__((cold, noinline)) void profiling_show(struct route_stats *stats,
                                                    struct rmd_request *req, int64_t wall_offset_us)
{
    struct route_exemplar *exemplar = &stats->exemplar;
    uint64_t now_us = clock_now_us(), latency_us = since(req->started_us, now_us);
    int64_t wall_us = (int64_t)now_us + wall_offset_us;
    bool is_old = wall_us - exemplar->wall_us > EXEMPLAR_US || wall_us < exemplar->wall_us;
    if (latency_us < PROFILING_SLOW_US || (!is_old && latency_us <= exemplar->latency_us))
        return;
    struct str trace = request_trace_id(req);
    scoreboard_set_exemplar(exemplar, trace.p, trace.len, latency_us, wall_us);
}

/* ---- on threads ---- */

void profiling_send_errand(struct profiling *p, struct exchange *ex, uint64_t now_us)
{
    struct profile *profile = &profiling_block(p, &ex->req)->lanes[PROFILE_IO];
    ex->cost = (struct errand_cost){.queued_ns = clock_now_ns(),
                                    .is_due = profile_take_due(profile, now_us)};
}

void profiling_end_errand(struct exchange *ex)
{
    struct profile_call call;
    struct errand_cost *cost = &ex->cost;
    uint64_t began_ns = iopool_end_call(&call);
    cost->wait_ns = since(cost->queued_ns, began_ns);
    cost->wall_ns = call.wall_ns;
    cost->cpu_ns = call.cpu_ns;
    cost->delay_ns = call.delay_ns;
    cost->is_measured = call.is_measured;
    cost->is_known = true;
}

void profiling_note_errand(struct profiling *p, struct exchange *ex)
{
    struct errand_cost *cost = &ex->cost;
    if (ex->is_task || !cost->is_known)
        return;
    const struct profile_call call = {.wait_ns = cost->wait_ns,
                                      .wall_ns = cost->wall_ns,
                                      .cpu_ns = cost->cpu_ns,
                                      .delay_ns = cost->delay_ns,
                                      .is_measured = cost->is_measured};
    cost->is_known = false;
    profile_note(&profiling_block(p, &ex->req)->lanes[PROFILE_IO], &call);
}

/* ---- in compute workers ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void profiling_note_task(struct profiling *p, uint16_t subject, const struct task_reply *reply,
                         uint64_t since_us)
{
    uint64_t wall_us = least(reply->wall_us, since_us);
    uint64_t wait_us = least(reply->wait_us, since_us - wall_us);
    web_count(&p->head->handoff[meter_bucket(since_us - wall_us - wait_us)], 1);
    web_count(&p->head->handoff_us, since_us - wall_us - wait_us);
    if (subject >= p->n_routes)
        return;
    const struct profile_call call = {.wait_ns = wait_us * CLOCK_NS_PER_US,
                                      .wall_ns = wall_us * CLOCK_NS_PER_US,
                                      .cpu_ns = least(reply->cpu_us, wall_us) * CLOCK_NS_PER_US,
                                      .delay_ns = least(reply->delay_us, wall_us) * CLOCK_NS_PER_US,
                                      .is_measured = true};
    profile_note(&p->routes[subject].lanes[PROFILE_COMPUTE], &call);
}
