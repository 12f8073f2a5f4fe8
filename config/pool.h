/* Compute pools, as `compute` (the pool called default) and `pools` (all others, by name) write
 * them: maps with the same keys. What a pool does not say is at its default, whatever other pools
 * say. */
#ifndef REMUDA_CONFIG_POOL_H
#define REMUDA_CONFIG_POOL_H

#include "base/buf.h"
#include "config/machine.h"
#include "config/mistakes.h"
#include "config/settings.h"

#define POOL_DEFAULT "default"

/* Reads s->compute and s->pools into s->compute_pools, or tells all that is wrong with them; call
 * it once every layer has written into the trees, and before routes are read, which name pools.
 * Returns  0, also when something was told: then there is the default pool alone; -ENOMEM */
int pool_load(struct settings *s, struct mistakes *mistakes) __attribute__((warn_unused_result));

/* NULL: there is no such pool. */
const struct setting_pool *pool_find(const struct settings *s, const char *name);

/* Puts numbers where pools say auto, and the reason. machine_resolve() calls it.
 * Returns  0; -ENOMEM */
int pool_resolve(const struct machine *machine, struct settings *s)
    __attribute__((warn_unused_result));

/* Bytes that all workers of all pools may allocate together; UINT64_MAX: a pool has no limit. */
uint64_t pool_memory(const struct settings *s);

/* Warns when that is more than there is: only where pools were configured, since who has no route
 * that needs one has none started. */
void pool_check(const struct settings *s, struct mistakes *warnings);

/* Appends a pool as lines of YAML, each key of it, so that it loads again to the same.
 * indent   blanks in front of each line
 * is_why   with the reasons of what is derived
 * Returns  0; -ENOMEM */
int pool_render(struct buf *out, const struct setting_pool *pool, int indent, bool is_why)
    __attribute__((warn_unused_result));

#endif
