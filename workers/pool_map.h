/* Which route of the app is of which compute pool. */
#ifndef REMUDA_WORKERS_POOL_MAP_H
#define REMUDA_WORKERS_POOL_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "workers/chain.h"

struct err;
struct settings;

#define POOL_MAP_NONE (-1)

/* The pool that runs a route, or may when its lane is auto: an index in
 * settings->compute_pools.items; POOL_MAP_NONE: it is of another lane, or there is no pool of that
 * name (which pool_map_check() refuses). */
int pool_map_of_route(const struct settings *settings, const struct route *route);

/* The pool of a task of the app's table. */
int pool_map_of_task(const struct settings *settings, const rmd_task *task);

/* Is there a pool of each name that a task, or a route of the lanes compute and auto, has? Settings
 * without any pool are not asked: they are those of a process that has none to run.
 * Returns  0; -EINVAL, *err names it and the pools there are */
int pool_map_check(const struct settings *settings, const struct app *app, struct err *err)
    __attribute__((warn_unused_result));

/* Pools that some route or task is of, as bits: 1 << index. Without one, nobody needs a compute
 * worker. */
uint32_t pool_map_in_use(const struct settings *settings, const struct app *app);

/* Logs which routes name a pool that they don't run in, or say what means nothing outside of one,
 * and which pools nobody runs in but for the default one. */
void pool_map_tell_unused(const struct settings *settings, const struct app *app);

/* Calls a hook of the app with the name of each pool that some route or task is of, once.
 * hook     NULL: the app has none
 * what     its name, for messages
 * Returns  0; -ECANCELED, *err: what it returned was not 0 */
int pool_map_call(const struct app *app, int (*hook)(const char *pool), const char *what,
                  struct err *err) __attribute__((warn_unused_result));

#endif
