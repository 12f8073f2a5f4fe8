/* Overrides for single routes, as `routes` writes them: a map of "METHOD PATTERN" to maps. Whether
 * the app has such a route only the process that loads it can say (http/router.h). */
#ifndef REMUDA_CONFIG_ROUTE_H
#define REMUDA_CONFIG_ROUTE_H

#include "config/mistakes.h"
#include "config/settings.h"

/* Reads s->routes into s->route_overrides, or tells all that is wrong with it; call it once every
 * layer has written into the tree.
 * Returns  0, also when something was told: then there are no overrides; -ENOMEM */
int route_load(struct settings *s, struct mistakes *mistakes) __attribute__((warn_unused_result));

#endif
