/* What calls take, and how requests end: noted by a web worker in its part of the shared table,
 * route by route (ipc/profile.h). A call is one time that the app's code has the loop, a thread or
 * a compute worker for a request: a handler with its filters, a consumer, a ticket's callback, a
 * producer, a task. Errors' pages are not counted as calls.
 *
 * Two blocks stand behind those of routes and tasks: "static" for requests that a mount of the
 * settings answers, "none" for those that have no route. */
#ifndef REMUDA_WORKERS_PROFILING_H
#define REMUDA_WORKERS_PROFILING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "http/exchange.h"
#include "ipc/scoreboard.h"

struct app;
struct task_reply;

struct profiling {
    struct seat_head *head;
    struct route_stats *routes; /* n_routes, */
    uint32_t n_routes;
    struct route_stats *mounts; /* and these two, wherever they are: */
    struct route_stats *none;
    uint64_t tick_ns;    /* nanoseconds a tick of clock_ticks(), × 2^32 */
    int schedstat_fd;    /* of the loop's thread; negative: there is none */
    uint64_t example_us; /* an answer that took so long may be an example; 0: whatever it took */
    /* Of the call that runs on the loop: */
    uint64_t began_ticks;
    struct profile *profile; /* where it is noted */
    struct profile nowhere;  /* of what is not to be */
    bool is_measured;        /* from here on, if so */
    uint64_t began_ns;
    uint64_t began_cpu_ns;
    uint64_t began_delay_ns;
};

/* Names a block: "GET /hello/:name", "TASK resize". What is no text, or too long, is changed and
 * ends in a hash of all that it was: so it is another's in no generation. */
void profiling_name(struct route_stats *block, const char *kind, const char *what);

/* Names the blocks: of the app's routes, its tasks, and the two.
 * part  the worker's, with n_blocks of them */
void profiling_init(struct profiling *p, const struct app *app, const struct scoreboard_part *part,
                    uint32_t n_blocks);
void profiling_fini(struct profiling *p);

/* What was measured meanwhile, over a longer time than at the beginning. */
void profiling_set_ticks(struct profiling *p, double ticks_per_us);

/* Forgets what calls took so far. */
void profiling_clear(struct profiling *p);

/* ---- on the loop ---- */

/* Where a request counts. */
static inline struct route_stats *profiling_find(const struct profiling *p,
                                                 const struct rmd_request *req)
{
    const struct route *route = req->match.route;
    if (__builtin_expect(req->is_static, 0))
        return p->mounts;
    return __builtin_expect(route && route->index < p->n_routes, 1) ? &p->routes[route->index]
                                                                    : p->none;
}

static inline struct route_stats *profiling_block(const struct profiling *p,
                                                  struct rmd_request *req)
{
    if (__builtin_expect(!req->stats, 0))
        req->stats = profiling_find(p, req);
    return req->stats;
}

/* Its answers by class of status: of the lane in which it runs, or was to run, and its method. */
_Atomic uint64_t *profiling_find_answers(struct route_stats *stats, const struct rmd_request *req);
static inline _Atomic uint64_t *profiling_answers(struct route_stats *stats,
                                                  const struct rmd_request *req)
{
    bool is_usual =
        exchange_of(req)->lane == PROFILE_INLINE && memcmp(req->method, "GET", sizeof "GET") == 0;
    return __builtin_expect(is_usual, 1) ? stats->answers[PROFILE_INLINE][PROFILE_GET]
                                         : profiling_find_answers(stats, req);
}

/* An answer is complete. One that took long may become its route's example; of those that did not,
 * that is seen without a call. now_us: of the turn's begin, wall_offset_us: from there to 1970 */
#define PROFILING_SLOW_US 1000U
void profiling_show(struct route_stats *stats, struct rmd_request *req, int64_t wall_offset_us);
static inline void profiling_answered(const struct profiling *p, struct route_stats *stats,
                                      struct rmd_request *req, uint64_t now_us,
                                      int64_t wall_offset_us)
{
    if (__builtin_expect(now_us - req->started_us >= p->example_us, 0))
        profiling_show(stats, req, wall_offset_us);
}

void profiling_begin_measured(struct profiling *p);
void profiling_end_measured(struct profiling *p);

/* The app's code is about to run, in a turn that began at now_us; or has run. Returns for how many
 * ticks it has had the loop */
static inline void profiling_enter(struct profiling *p, struct rmd_request *req, uint64_t now_us)
{
    struct route_stats *stats = profiling_find(p, req);
    req->stats = stats;
    p->profile = &stats->lanes[PROFILE_INLINE];
    if (__builtin_expect(profile_take_due(p->profile, now_us), 0))
        profiling_begin_measured(p);
    p->began_ticks = clock_ticks();
}

/* What runs now is none of the app's calls. */
static inline void profiling_disown(struct profiling *p)
{
    p->profile = &p->nowhere;
}

static inline uint64_t profiling_leave(struct profiling *p)
{
    uint64_t ticks = clock_ticks() - p->began_ticks;
    if (__builtin_expect(p->is_measured, 0))
        profiling_end_measured(p);
    else
        profile_note_wall(p->profile, (uint64_t)((unsigned __int128)ticks * p->tick_ns >> 32));
    return ticks;
}

/* ---- on threads ---- */

/* An errand is sent to a thread; has been run, on that thread; and has come back. */
void profiling_send_errand(struct profiling *p, struct exchange *ex, uint64_t now_us);
void profiling_end_errand(struct exchange *ex);
void profiling_note_errand(struct profiling *p, struct exchange *ex);

/* ---- in compute workers ---- */

/* A task has had its last word.
 * subject   index of its route; behind the last that of a task of the app
 * since_us  since it was sent: what the reply says is not believed beyond that */
void profiling_note_task(struct profiling *p, uint16_t subject, const struct task_reply *reply,
                         uint64_t since_us);

#endif
