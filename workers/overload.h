/* Load that is shed (workers/codel.h): who may be, after how long in its queue; what it counts as,
 * and the log of it. The decision is taken where requests leave their queue: by a thread of the io
 * lane, by a compute worker; the rest is the web worker's that they came to. */
#ifndef REMUDA_WORKERS_OVERLOAD_H
#define REMUDA_WORKERS_OVERLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rmd_request;
struct web;

#define OVERLOAD_WHY "it has waited for too long, as all others do at the moment"

/* Of one queue, as one web worker sees it; the first four from any thread. Zero: nothing was shed.
 * An episode is told when it begins, by the next tick, and when it has ended. */
struct overload {
    _Atomic uint64_t shed;       /* ever */
    _Atomic uint64_t first_us;   /* when, in this episode; 0: there is none */
    _Atomic uint64_t last_us;    /* when the last was */
    _Atomic uint64_t longest_us; /* that one had waited, in this episode */
    uint64_t told;               /* of shed: those of the episodes before */
    bool is_told;                /* that it has begun */
};

/* Balancers and watchers that are told "too much to do" take the whole server for dead. */
bool overload_is_health_check(const struct web *web, const struct rmd_request *req);

/* For how long a request of a route should wait at most, in a queue that says general_us.
 * Returns  0: it is not to be shed */
uint64_t overload_target_us(const struct web *web, const struct rmd_request *req,
                            uint64_t general_us);

/* One was shed after so long. Safe: threads: any */
void overload_note(struct overload *o, struct web *web, uint64_t wait_us, uint64_t now_us);

/* Now and then (half a second).
 * queue      as the log calls it: "io", or a pool's name
 * target_us  that its settings say */
void overload_on_tick(struct overload *o, const char *queue, uint64_t target_us, uint64_t now_us);

/* The worker ends, and with it what it has to tell. */
void overload_end(struct overload *o, const char *queue);

#endif
