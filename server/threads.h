/* How many threads the io lane of each event worker may have: the master looks at what the worker's
 * part of the shared table says of its calls, decides (server/adapt.h), and tells the worker. Only
 * where `threads` is auto or a range; where nobody says anything (--single) the worker goes by a
 * rule of its own (workers/iopool.h). */
#ifndef REMUDA_SERVER_THREADS_H
#define REMUDA_SERVER_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/profile.h"
#include "server/adapt.h"

struct generation;
struct herd;

/* Who sits in a slot, and what is remembered of it. */
struct threads_slot {
    uint32_t seat, epoch; /* the occupant that all below is of; epoch 0: none yet */
    uint32_t limit;       /* that it has, or is to be told */
    bool is_owed;         /* its channel was full: it is to be told once more */
    uint64_t look_us;     /* when to look at it again */
    uint64_t sent;        /* as it said at the last look */
    struct profile_sums then;
    struct adapt_state adapt;
};

/* Of a generation. */
struct threads {
    struct threads_slot *slots; /* GENERATION_WORKERS_MAX */
    uint16_t *routes;           /* those that may run on threads: indexes in the app's table */
    uint32_t n_routes, cap_routes;
    bool is_read; /* which they are is known, from a web worker */
    uint64_t look_us;
};

/* Looks at the workers of the generation that serves when it is time, and tells those that may have
 * another number of threads. */
void threads_turn(struct herd *herd);

/* When to look again; SEAT_NEVER: no worker's number may change. */
uint64_t threads_next_us(const struct herd *herd);

#endif
