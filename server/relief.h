/* Sending home whose work is done by others: workers and loader of a generation that leaves, and
 * workers that were dismissed (herd_dismiss()). Nobody goes before somebody else looks after the
 * sockets of its slot, so no connection ever waits in a queue without a reader. */
#ifndef REMUDA_SERVER_RELIEF_H
#define REMUDA_SERVER_RELIEF_H

#include "server/herd.h"
#include "server/listen.h"
#include "server/steer.h"

/* Drains who may go. To be called after steer_workers(). */
void relief_workers(struct herd *herd, const struct steer *steer);

/* Drains compute workers of generations that leave, also when the server stops: once nobody is left
 * who may ask them for something, and no task waits. */
void relief_rear(struct herd *herd);

/* How long a compute worker that drains may take: where others go on in its place, as long as its
 * task may; where all of its generation leave, no longer than all. To be called before its seat is
 * judged by the clock. */
void relief_judge(const struct herd *herd, struct seat *seat);

/* When one of the two must look again though nothing was heard; SEAT_NEVER: no need. */
uint64_t relief_next_us(const struct herd *herd);

/* Tells everyone that holds sockets of an address that is given up to accept what waits there and
 * close them. They are nobody's afterwards. */
void relief_retire(struct herd *herd, const struct listen_set *listeners);

/* What a generation has of a process is told to end, ready or not: it was thrown away. */
void relief_discard(struct herd *herd, const struct generation *g);

#endif
