/* Where metrics and health are served, as `admin` writes it: a map with the key bind. */
#ifndef REMUDA_CONFIG_ADMIN_H
#define REMUDA_CONFIG_ADMIN_H

#include "config/mistakes.h"
#include "config/settings.h"

/* Reads s->admin into s->admin_bind, or tells all that is wrong with it; call it once every layer
 * has written into the map.
 * Returns  0, also when something was told: then there is none; -ENOMEM */
int admin_load(struct settings *s, struct mistakes *mistakes) __attribute__((warn_unused_result));

#endif
