/* What all workers that ever lived have counted, so that no counter falls when one dies. Readers
 * add the living workers' parts of the shared table. Master's private memory. */
#ifndef REMUDA_SERVER_TOTALS_H
#define REMUDA_SERVER_TOTALS_H

#include <stdint.h>

#include "ipc/scoreboard.h"

struct totals_route {
    char name[sizeof((struct route_stats *)0)->name]; /* "" free */
    uint64_t requests;
    uint64_t errors;
    struct account_sums account; /* of its tasks */
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
    uint32_t n_pools;
    struct totals_pool pools[TOTALS_POOLS]; /* n_pools; likewise */
    uint64_t accepted;
    uint64_t requests;
    uint64_t responses[6]; /* by class, as in struct seat_head */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t log_dropped;
    uint64_t refused; /* as in struct seat_head, these three */
    uint64_t overdue;
    uint64_t slow;
    uint64_t tasks;  /* run by compute workers */
    uint64_t copied; /* octets of their payloads, in user space */
};

/* Makes room for max_routes names. Returns 0; -ENOMEM */
int totals_init(struct totals *totals, uint32_t max_routes) __attribute__((warn_unused_result));
void totals_fini(struct totals *totals);

/* Adds what a web worker counted. Its part is not believed: names are cut to their field, and there
 * are no routes behind one without a name. */
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

/* Begins anew, with the routes of a web worker in their order, so that those of others are mostly
 * found where they have their index; adds others.
 * part  NULL: with none */
void totals_clear(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes);
void totals_add_totals(struct totals *totals, const struct totals *others);

/* The entry of a route, of a pool, by name; NULL: nothing was counted for it. */
const struct totals_route *totals_find(const struct totals *totals, const char *name);
const struct totals_pool *totals_find_pool(const struct totals *totals, const char *name);

#endif
