/* The routes of a generation whose lane is auto, and where they run: what server/autolane.h decides
 * by, and what workers are told. */
#ifndef REMUDA_SERVER_LANE_TABLE_H
#define REMUDA_SERVER_LANE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/lane.h"

struct lane_route {
    uint16_t index; /* in the app's table */
    int8_t pool;    /* into which it may be moved; an index */
    char name[96];  /* "GET /auto", as a web worker says */
    struct lane_state state;
    struct lane_look then; /* sums at the last look */
};

/* Of a generation. */
struct lane_table {
    struct lane_route *routes; /* cap; those whose lane is auto */
    uint32_t n, cap;
    bool is_read; /* which they are is known, from a web worker */
    uint64_t look_us;
    uint64_t crew; /* who served at the last look: sums of others can't be compared */
    uint64_t n_moves;
};

/* Makes room for so many routes. Returns 0; -ENOMEM */
int lane_table_init(struct lane_table *lanes, uint32_t limit_routes)
    __attribute__((warn_unused_result));
void lane_table_fini(struct lane_table *lanes);

/* Tells a web worker of a generation where they run, if anything is to be told. Returns as
 * msg_send() */
int lane_table_send(const struct lane_table *lanes, int channel_fd)
    __attribute__((warn_unused_result));

/* Of that name; NULL: none that may be moved. */
const struct lane_route *lane_table_find(const struct lane_table *lanes, const char *name);

#endif
