/* Variables for the app's environment, as `env` writes them: a map of names to values, or a list of
 * texts NAME=value, as Gunicorn's raw_env. */
#ifndef REMUDA_CONFIG_VARIABLES_H
#define REMUDA_CONFIG_VARIABLES_H

#include "config/mistakes.h"
#include "config/settings.h"

/* A list of texts as the map that it stands for.
 * list     of a file
 * out_map  its nodes lie in the settings' arena
 * Returns  0, also when something was told: then the setting is marked as bad; -ENOMEM */
int variables_map_of(struct settings *s, const struct settings_node *list,
                     struct mistakes *mistakes, const struct settings_node **out_map)
    __attribute__((warn_unused_result));

/* Reads s->env into s->variables, or tells all that is wrong with it; call it once every layer has
 * written into the map.
 * Returns  0, also when something was told: then there are none; -ENOMEM */
int variables_load(struct settings *s, struct mistakes *mistakes, struct mistakes *warnings)
    __attribute__((warn_unused_result));

#endif
