/* What all workers that ever lived have counted, so that no counter falls when one dies: kept by
 * the master. Readers add the living workers' parts of the shared table. */
#ifndef REMUDA_IPC_TOTALS_H
#define REMUDA_IPC_TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/scoreboard.h"

struct totals_route {
    char name[sizeof((struct route_stats *)0)->name]; /* "" free */
    uint64_t requests;
    uint64_t errors;
    struct account_sums account; /* of its tasks */
    uint64_t answers[PROFILE_LANES][PROFILE_METHODS][PROFILE_CLASSES];
    uint64_t latency[METER_BUCKETS]; /* as in struct seat_head */
    uint64_t latency_us;
    struct profile_sums lanes[PROFILE_LANES];
};

#define TOTALS_POOLS 64 /* names of compute pools; a generation has at most 16 */

struct totals_pool {
    char name[32]; /* "" free */
    struct account_sums account;
};

struct totals {
    struct totals_route *routes; /* cap; the last one takes what has no room: "other" */
    uint32_t n_routes;
    uint32_t cap;
    bool is_borrowed; /* routes are somebody else's memory */
    uint32_t n_pools;
    struct totals_pool pools[TOTALS_POOLS]; /* n_pools; likewise */
    uint64_t accepted;
    uint64_t requests;
    uint64_t responses[6]; /* by class, as in struct seat_head */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t log_dropped;
    uint64_t refused; /* as in struct seat_head, these four */
    uint64_t shed;
    uint64_t overdue;
    uint64_t slow;
    uint64_t tasks;  /* run by compute workers */
    uint64_t copied; /* octets of their payloads, in user space */
    uint64_t latency[METER_BUCKETS];
    uint64_t handoff[METER_BUCKETS]; /* as in struct seat_head, these two, */
    uint64_t handoff_us;
    uint64_t drift[METER_BUCKETS]; /* and these */
    uint64_t drift_us;
};

/* Makes room for max_routes names. Returns 0; -ENOMEM */
int totals_init(struct totals *totals, uint32_t max_routes) __attribute__((warn_unused_result));
void totals_fini(struct totals *totals);

/* The same in memory that is there and zeroed: max_routes + 1 entries, which totals_fini() must not
 * free. */
void totals_init_in(struct totals *totals, uint32_t max_routes, struct totals_route *routes);

/* Adds what a web worker counted. Its part is not believed: names are cut to their field, what is
 * no text is left out, and there are no routes behind one without a name. */
void totals_add(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes);

/* Adds what a compute worker of a pool has counted: its requests are a web worker's. Its handlers
 * may have written to its part: what has another name than it should have, or numbers that can't
 * be, is left out.
 * names  the blocks of a web worker of its generation, n_routes; NULL: there is none left */
void totals_add_tasks(struct totals *totals, const struct scoreboard_part *part,
                      const struct route_stats *names, uint32_t n_routes, const char *pool);

/* A task that its worker died of. route: "" none */
void totals_count_lost(struct totals *totals, const char *route, const char *pool,
                       enum account_number end, const struct account_used *used);

/* Begins anew, with the routes of a web worker, each at its index, so that those of others are
 * mostly found there. Where it has no name any more, or another's, it becomes "route~INDEX".
 * part  NULL: with none */
void totals_clear(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes);

/* Begins anew, with the names of the first routes that there were. */
void totals_clear_counts(struct totals *totals, uint32_t n_names);

/* Adds others. */
void totals_add_totals(struct totals *totals, const struct totals *others);

/* Was anything counted for it, but for its tasks? */
bool totals_is_used(const struct totals_route *route);

/* The entry of a route, of a pool, by name; NULL: nothing was counted for it. */
const struct totals_route *totals_find(const struct totals *totals, const char *name);
const struct totals_pool *totals_find_pool(const struct totals *totals, const char *name);

#endif
