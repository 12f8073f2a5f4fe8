/* What measuring costs: CPU time of one call of the profiler (workers/profiling.h), as a web worker
 * makes it for each request, without anything else of the request.
 *
 *   measuring [ROUNDS]
 *
 * "unmeasured" is a call of which only its time is known; "measured" one whose CPU time and delay
 * are, by system calls; "short calls" what both come to for a route of short calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/schedstat.h"
#include "http/router.h"
#include "workers/profiling.h"

static struct seat_head head;
static struct route_stats blocks[3];
static struct exchange *exchange;

/* Everybody's blocks lie in a table; here one route has one. */
static struct profiling make_profiling(void)
{
    static struct route route;
    exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        exit(1);
    exchange->req.match.route = &route;
    memcpy(exchange->req.method, "GET", sizeof "GET");
    return (struct profiling){.head = &head,
                              .routes = blocks,
                              .n_routes = 1,
                              .mounts = &blocks[1],
                              .none = &blocks[2],
                              .tick_ns = UINT64_C(1) << 31,
                              .example_us = PROFILING_SLOW_US,
                              .schedstat_fd = -1};
}

/* A request's: its call, and its answer. */
static void one(struct profiling *p)
{
    struct rmd_request *req = &exchange->req;
    req->stats = NULL;
    profiling_enter(p, req, 0);
    __asm__ volatile("" ::: "memory");
    (void)profiling_leave(p);
    struct route_stats *stats = profiling_block(p, req);
    meter_add(profiling_answers(stats, req) + 2, 1);
    meter_add(&stats->latency[7], 1);
}

static double ns_of(struct profiling *p, unsigned long rounds, bool is_each_due, bool is_none_due)
{
    uint64_t began_ns = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned long i = 0; i < rounds; i++) {
        if (is_each_due)
            blocks[0].lanes[PROFILE_INLINE].due = 0;
        blocks[0].lanes[PROFILE_INLINE].due_us = 0;
        if (is_none_due)
            blocks[0].lanes[PROFILE_INLINE].due = UINT64_MAX;
        one(p);
    }
    return (double)(clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns) / (double)rounds;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000000;
    struct profiling p = make_profiling();
    if (rounds < 100) {
        (void)fprintf(stderr, "usage: measuring [ROUNDS], 100 and more\n");
        return 2;
    }
    p.schedstat_fd = schedstat_open();
    (void)ns_of(&p, rounds / 10, false, false); /* warms up */
    double unmeasured = ns_of(&p, rounds, false, true);
    double measured = ns_of(&p, rounds / 50, true, false);
    memset(blocks, 0, sizeof blocks);
    double both = ns_of(&p, rounds, false, false);
    (void)printf("| measuring, CPU ns a request | |\n| --- | --- |\n");
    (void)printf("| unmeasured call | %.0f |\n", unmeasured);
    (void)printf("| measured call | %.0f |\n", measured);
    (void)printf("| short calls, 1 of 256 measured | %.0f |\n", both);
    free(exchange);
    return 0;
}
