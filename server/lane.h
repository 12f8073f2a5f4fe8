/* In which lane a route of the lane auto runs: what its calls wait for (W) and compute (C) decides.
 * One that computes more than it waits, and more than a hand-over costs, is a compute worker's; one
 * that waits goes back to the threads.
 *
 * A move is no small thing: what waits in the old lane stays there. So both are moving averages
 * of a second or two, few calls weigh less, a move needs a clear majority, and after one there
 * is none for a while, which grows for a route that moves again and again: one whose calls are
 * of both kinds. */
#ifndef REMUDA_SERVER_LANE_H
#define REMUDA_SERVER_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/profile.h"

#define LANE_DWELL_US (3 * UINT64_C(1000000))       /* from a move to the next, at least */
#define LANE_DWELL_MAX_US (120 * UINT64_C(1000000)) /* for one that moves again and again */

/* What the calls of a route took that ended since the last look; in whatever lane, since a handler
 * waits and computes the same everywhere. Only calls that were measured. */
struct lane_look {
    uint64_t calls;
    uint64_t wall_ns, cpu_ns, delay_ns; /* of all these; delay: see ipc/profile.h */
};

struct lane_rules {
    enum profile_lane rest; /* where it runs when not in a pool: io, or inline without threads */
    uint64_t compute_us;    /* C of a route that is moved to a pool, at least */
    bool has_pool;          /* there is one that it may be moved to */
};

/* Of one route. All zero but for `lane`: nothing is known yet. */
struct lane_state {
    enum profile_lane lane; /* where it runs */
    uint64_t moved_us;      /* when it was moved there; 0: never */
    uint64_t dwell_us;      /* no move before so long after that; 0: LANE_DWELL_US */
    uint64_t looked_us;
    double wait_us, cpu_us;           /* of a call; moving averages */
    double weight;                    /* of what they are made from, as far as it matters */
    double some_wait_us, some_cpu_us; /* of some calls, all together, */
    double some_weight;               /* until there are enough to say something; */
    unsigned n_clear; /* how often in a row they said the contrary of the averages */
};

struct lane_verdict {
    bool moves; /* then the state has the new lane */
    enum profile_lane from, to;
    char why[96]; /* in words, with numbers */
};

/* Takes a look into account, and decides. Pure: touches nothing but *state. */
struct lane_verdict lane_decide(struct lane_state *state, const struct lane_look *look,
                                const struct lane_rules *rules, uint64_t now_us);

#endif
