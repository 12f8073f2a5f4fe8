/* Queues of compute pools that somebody has shut. Whoever has an end of one can do that for all,
 * by mistake or in malice (shutdown(2)); the kernel tells the master at once. Then another queue
 * takes its place: what waits goes over, web workers are sent it, and workers that read the old one
 * are replaced, each when it is done with its task. */
#ifndef REMUDA_SERVER_MEND_H
#define REMUDA_SERVER_MEND_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"

struct herd;

#define MEND_POLLS (3 * (size_t)SETTINGS_POOLS_MAX) /* of three generations */

/* Before poll(2): fills entries for the queues that there are.
 * polls    room for MEND_POLLS
 * Returns  how many */
size_t mend_watch(const struct herd *herd, struct pollfd *polls);

/* After it. To be called before herd_fill(). */
void mend_turn(struct herd *herd, const struct pollfd *polls, size_t n);

/* When a queue is looked at again that was shut a moment ago, or could not be replaced; SEAT_NEVER:
 * none. */
uint64_t mend_next_us(const struct herd *herd);

#endif
