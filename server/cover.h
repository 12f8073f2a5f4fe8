/* Who watches which listening socket, as a pure function of what the workers can do.
 *
 * A slot's own socket is always watched by its own worker, from its birth to its end. Beside that:
 * a slot whose worker cannot accept (dead, not yet ready, hung, full) is covered by one neighbour
 * that can, and a socket that all share (unix) is watched by at most COVER_SHARED_MAX workers,
 * since the kernel wakes every idle watcher for each connection. */
#ifndef REMUDA_SERVER_COVER_H
#define REMUDA_SERVER_COVER_H

#include <stdbool.h>
#include <stdint.h>

#define COVER_SHARED_MAX 4 /* measured: 8 watchers cost 55 us a connection, 4 cost 17 */
#define COVER_NOBODY (-1)

/* The worker of one slot, as far as covering is concerned. */
struct cover_worker {
    bool is_able;         /* ready, not full, heart beating */
    bool is_alive;        /* ready at least: what it watches may stay with it */
    bool is_excused;      /* its slot need not be covered yet: it boots and was just asked for */
    uint64_t connections; /* open now; whose number is high loses its place at a shared socket */
};

/* What follows for one slot. Zeroed or from the plan before; COVER_NOBODY where nobody covers. */
struct cover_duty {
    int32_t covered_by;   /* slot of the worker that watches this slot's sockets as well */
    uint32_t n_covers;    /* slots that this one's worker covers, while the plan is made */
    bool is_sharing;      /* its worker watches the sockets that all share */
    bool is_watching_all; /* its worker, of class sync, watches every socket: the plan is void */
};

/* Brings the plan up to date. Changes as little as possible: who covers or shares and is still
 * able goes on.
 * workers, duties  one for each slot, n_slots of them
 * Returns          whether anything changed */
bool cover_plan(const struct cover_worker *workers, struct cover_duty *duties, uint32_t n_slots);

#endif
