/* How many workers a compute pool has between its min and max: more when tasks wait although all
 * are there, CPUs could run more and memory has room for them, fewer when some have had nothing to
 * do for a while. What follows from what is server/adapt.h. */
#ifndef REMUDA_SERVER_GROWTH_H
#define REMUDA_SERVER_GROWTH_H

#include <stdint.h>

struct generation;
struct herd;
struct pool;

/* A generation that comes begins with as many web workers as there are, and its pools with as many
 * as those of the same name have, within their bounds and as far as memory has room for that beside
 * the old ones: what they have grown to was needed a moment ago. */
void growth_inherit(const struct herd *herd, struct generation *g);

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
