/* Tasks of a compute worker that died and had written over what it had in hand. */
#ifndef REMUDA_WORKERS_DESK_SEEK_H
#define REMUDA_WORKERS_DESK_SEEK_H

#include "ipc/msg.h"
#include "workers/desk.h"

/* The master says (MSG_GONE, about = 1) that somebody's task of a pool is lost: looks whether it is
 * one of this web worker's. */
void desk_seek_begin(struct desk *d, const struct msg *gone);

/* Looks again, for those that may have waited in the queue. To be called at each tick. */
void desk_seek_turn(struct desk *d);

#endif
