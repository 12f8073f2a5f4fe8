/* `remuda scale pool`: another number of workers for a compute pool of the current generation than
 * its settings say. From then on it has exactly so many: one that grew and shrank by itself does so
 * no more, until a reload. */
#ifndef REMUDA_SERVER_SCALE_POOL_H
#define REMUDA_SERVER_SCALE_POOL_H

#include "server/scale.h"

/* Has it done: new ones start, those with the highest slots leave when they are done with their
 * task. Asked for during a reload, the generation that comes gets the same number, too, if it has
 * such a pool; a reload that is asked for later goes back to what its settings say.
 * name     of the pool
 * Returns  0, *out_workers: how many there are to be, at least one; -errno, *err says what is
 *          allowed: ENOENT no such pool is in use; EINVAL more than all pools may have together;
 *          EBUSY the server stops */
int scale_pool(struct scale *scale, struct herd *herd, const char *name, struct scale_wish wish,
               uint32_t *out_workers, struct err *err) __attribute__((warn_unused_result));

/* A generation has begun to serve: its pools get what was wished since its reload was asked for.
 * scale_on_commit() calls it. */
void scale_pool_on_commit(struct scale *scale, struct herd *herd);

#endif
