/* Work that handlers hand to the app's tasks (rmd_offload()): a call waits with a ticket of its
 * request, and is a task of the desk (workers/desk.h) like any other. */
#ifndef REMUDA_WORKERS_OFFLOAD_H
#define REMUDA_WORKERS_OFFLOAD_H

#include "workers/desk.h"

struct offload; /* a call */

/* This worker has a compute lane, from now on; NULL: not any more. Without one tasks run where they
 * are asked for. */
void offload_attach(struct web *web);

/* The last word on a call is in d->frame. Afterwards the slot may be free.
 * fd  that came with it; owned. -1: none */
void offload_take(struct desk_slot *slot, int fd);

/* The time of a call is over. The slot goes on without it. */
void offload_time_out(struct desk_slot *slot);

/* No last word will come. error: negative errno. Likewise */
void offload_give_up(struct desk_slot *slot, int error);

/* What became of a call whose compute worker is dead. Returns a negative errno */
int offload_judge(enum task_loss loss);

/* Queues may have room: for calls with many payloads, none of which is out. */
void offload_map_turn(void);

/* Does its request still wait? */
bool offload_is_wanted(const struct offload *call);

#endif
