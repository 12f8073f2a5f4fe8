/* Settings as YAML, for `remuda config`. What is printed loads again to the same settings; only
 * secrets of app_config are shown as ***. */
#ifndef REMUDA_CONFIG_RENDER_H
#define REMUDA_CONFIG_RENDER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "config/schema.h"
#include "config/settings.h"

/* Appends every setting with its effective value.
 * is_why   with comments: where each value came from, how `auto` came to its number and what
 *          would change it
 * Returns  0; -ENOMEM */
int render_settings(struct buf *out, const struct settings *s, bool is_why)
    __attribute__((warn_unused_result));

/* Appends a commented file with every setting at its default.
 * Returns  0; -ENOMEM */
int render_defaults(struct buf *out) __attribute__((warn_unused_result));

/* Appends text as a YAML scalar that is read back as the same text: plain where that is safe and
 * is_quoted does not ask for quotes, else in double quotes, with $ doubled.
 * Returns  0; -ENOMEM */
int render_scalar(struct buf *out, struct str text, bool is_quoted)
    __attribute__((warn_unused_result));

/* Appends `text` in lines of at most 78 bytes (longer words aside), each behind `prefix`.
 * Returns  0; -ENOMEM */
int render_wrapped(struct buf *out, const char *prefix, const char *text)
    __attribute__((warn_unused_result));

#endif
