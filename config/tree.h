/* Building free-form trees of scalars, lists and maps; reading them is in config/settings.h.
 * Nodes live in the arena they were made in. */
#ifndef REMUDA_CONFIG_TREE_H
#define REMUDA_CONFIG_TREE_H

#include "base/arena.h"
#include "base/str.h"
#include "config/settings.h"

struct err;

/* A node without children. Returns NULL when memory is refused */
struct settings_node *tree_new(struct arena *arena, enum settings_kind kind)
    __attribute__((warn_unused_result));

/* Appends a child to a list or map. Takes as long as there are children, so that nodes need no
 * field for the last one; whoever builds a large tree keeps `last` (NULL: unknown or none). */
void tree_add(struct settings_node *parent, struct settings_node *child,
              struct settings_node *last);

/* The member of a map with exactly this key (dots mean nothing). NULL: none */
const struct settings_node *tree_find(const struct settings_node *map, struct str key);

/* Sets the scalar at a dotted path, as --set does, and makes maps on the way there.
 * root     a map of the same arena
 * Returns  0; -EINVAL a part of the path is empty or no map, *err says which; -ENOMEM */
int tree_set(struct arena *arena, const struct settings_node *root, const char *path,
             const char *text, struct err *err) __attribute__((warn_unused_result));

/* Whether a key names something that must not be shown: it has password, secret, token or key in
 * it, in any case. */
bool tree_is_secret_name(struct str key);

#endif
