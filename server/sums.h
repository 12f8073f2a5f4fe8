/* Adding up what all workers have counted, the living and the dead. */
#ifndef REMUDA_SERVER_SUMS_H
#define REMUDA_SERVER_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/herd.h"

/* The part of a web worker of the current generation, which has named all routes. Returns false:
 * there is none */
bool sums_find_named(const struct herd *herd, struct scoreboard_part *out);

/* Everything into herd->sums. Counters of the living change meanwhile; each stands for itself.
 * Returns  connections open now */
uint64_t sums_add_up(const struct herd *herd);

#endif
