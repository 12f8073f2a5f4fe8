/* Folders to serve, as `static` writes them: a list of maps, one map {path: folder}, or texts
 * "/path/=folder" of a flag or variable. */
#ifndef REMUDA_CONFIG_MOUNT_H
#define REMUDA_CONFIG_MOUNT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/mistakes.h"
#include "config/settings.h"

struct err;

#define MOUNT_FORMS                                                                                \
    "a list of maps with path and folder (and index, listing, dotfiles, follow, precompressed, "   \
    "cache_control), or one map of /path/: folder; in a flag or variable /path/=folder"

/* Reads "/path/=folder"; everything else is at its default.
 * out      its texts lie in the arena; line and column are 0
 * Returns  0; -EINVAL, *err says what is wrong; -ENOMEM */
int mount_parse(struct arena *arena, struct str text, struct setting_mount *out, struct err *err)
    __attribute__((warn_unused_result));

/* Reads the value of the setting `name` from a file: all mounts, or all that is wrong with them.
 * Returns  0: *out is filled, unless *out_is_bad says that something was refused, told; -ENOMEM */
int mount_load(struct arena *arena, const char *name, const struct settings_node *node,
               const char *file, struct mistakes *mistakes, struct setting_mounts *out,
               bool *out_is_bad) __attribute__((warn_unused_result));

/* Appends a mount as lines of YAML, an item of a list indented by two: all its keys, so that it
 * loads again to the same.
 * Returns  0; -ENOMEM */
int mount_render(struct buf *out, const struct setting_mount *mount)
    __attribute__((warn_unused_result));

#endif
