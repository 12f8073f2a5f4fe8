/* Calls that are waited for (workers/offload_wait.c), as those who run them on the loop's thread
 * see that. */
#ifndef REMUDA_WORKERS_OFFLOAD_WAIT_H
#define REMUDA_WORKERS_OFFLOAD_WAIT_H

#include <stdbool.h>

struct offload;
struct offload_wait;

/* NULL is fine. */
void offload_wait_free(struct offload_wait *wait);

/* Between these two nobody leaves: what is lent to the call may be read. NULL: nobody waits
 * Returns  whether it is still waited for, or never was */
bool offload_wait_enter(struct offload_wait *wait);
void offload_wait_leave(struct offload_wait *wait);

/* Has he who waited gone? Then the call is the loop's. */
bool offload_wait_is_left(const struct offload_wait *wait);

/* The call is over. It is not the loop's any more. */
void offload_wait_wake(struct offload *call);

#endif
