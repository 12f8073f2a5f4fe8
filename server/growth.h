/* How many workers a compute pool has between its min and max: one more when tasks wait although
 * all are there and memory has room for another, one less when one has had nothing to do for a
 * while. */
#ifndef REMUDA_SERVER_GROWTH_H
#define REMUDA_SERVER_GROWTH_H

#include <stdint.h>

struct herd;
struct pool;
struct pools;

#define GROWTH_WAIT_US (200 * UINT64_C(1000)) /* tasks wait for so long: one more. A guess */
#define GROWTH_SPARE_US (30 * UINT64_C(1000) * 1000U) /* one is not needed for so long: one less */

enum growth { GROWTH_NONE, GROWTH_MORE, GROWTH_LESS, GROWTH_NO_ROOM };

/* How a pool stands. */
struct growth_case {
    uint32_t n_workers, n_min, n_max; /* that there are to be, and bounds */
    uint32_t n_ready, n_busy;         /* of them */
    uint32_t n_queued;                /* tasks that wait */
    uint64_t wait_us;                 /* at every look for so long some did */
    uint64_t spare_us;                /* likewise: none did, and two workers or more were idle */
    uint64_t needs_bytes;             /* what one of them has for itself at most */
    uint64_t room_bytes;              /* what memory has room for; UINT64_MAX: not known */
};

/* Pure. */
enum growth growth_decide(const struct growth_case *c);

/* Pools that come begin with as many workers as those of the same name have, within their bounds
 * and as far as memory has room for that: what they have grown to was needed a moment ago. */
void growth_inherit(struct pools *pools, const struct pools *from);

/* Looks at the pools of the generation that serves, and changes the number of their posts. To be
 * called before herd_fill(). */
void growth_turn(struct herd *herd);

/* Gives a pool of the current generation so many posts; who has one that goes leaves when it is
 * done with its task.
 * n    1 … POOLS_WORKERS_MAX
 * why  of those that leave, for the log, static text */
void growth_resize(struct herd *herd, struct pool *pool, uint32_t n, const char *why);

/* When to look again; SEAT_NEVER: no pool may grow or shrink. */
uint64_t growth_next_us(const struct herd *herd);

#endif
