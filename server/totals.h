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
};

struct totals {
    struct totals_route *routes; /* cap; the last one takes what has no room: "other" */
    uint32_t n_routes;
    uint32_t cap;
    uint64_t accepted;
    uint64_t requests;
    uint64_t responses[6]; /* by class, as in struct seat_head */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t log_dropped;
    uint64_t tasks; /* run by compute workers */
};

/* Makes room for max_routes names. Returns 0; -ENOMEM */
int totals_init(struct totals *totals, uint32_t max_routes) __attribute__((warn_unused_result));
void totals_fini(struct totals *totals);

/* Adds what a dead occupant counted. Its part is not believed: names are cut to their field. */
void totals_add(struct totals *totals, const struct scoreboard_part *part, uint32_t n_routes);

/* Adds what a dead compute worker has counted: its requests are a web worker's. */
void totals_add_tasks(struct totals *totals, const struct scoreboard_part *part);

/* The entry of a route by name; NULL: nothing was counted for it. */
const struct totals_route *totals_find(const struct totals *totals, const char *name);

#endif
