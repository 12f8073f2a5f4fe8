/* What `remuda routes --live` shows, as a pure function: two answers of the server give a table.
 * Nothing here knows a terminal. */
#ifndef REMUDA_SERVER_ROUTES_VIEW_H
#define REMUDA_SERVER_ROUTES_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "ipc/profile.h"

/* A route in a lane. */
struct routes_view_row {
    char route[96];
    enum profile_lane lane;
    uint64_t answers, errors;
    struct profile_sums sums;
    uint64_t latency[METER_BUCKETS]; /* of all answers of the route */
};

struct routes_view {
    struct routes_view_row *rows; /* heap, n_rows; in the order of the routes */
    size_t n_rows;
    bool has_loop;
};

/* Reads an answer to "routes". Members that are missing are 0 or "".
 * Returns  0; -ENOMEM */
int routes_view_read(struct routes_view *view, struct str answer)
    __attribute__((warn_unused_result));
void routes_view_fini(struct routes_view *view);

/* Appends the table: what came since `before`, and of routes of which nothing came, all that there
 * is.
 * interval_us  between the two
 * is_whole     rates apart, all that there is of every route
 * width        columns; longer advice is cut. 0: as long as it is
 * Returns      0; -ENOMEM */
int routes_view_render(const struct routes_view *now, const struct routes_view *before,
                       uint64_t interval_us, bool is_whole, unsigned width, struct buf *out)
    __attribute__((warn_unused_result));

#endif
