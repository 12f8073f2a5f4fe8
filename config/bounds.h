/* Ranges of settings: `auto`, a number, or two, between which the server chooses by what it
 * measures. As text they are written MIN..MAX or MIN..auto, in a file also as a map of min and max.
 */
#ifndef REMUDA_CONFIG_BOUNDS_H
#define REMUDA_CONFIG_BOUNDS_H

#include "base/buf.h"
#include "base/str.h"
#include "config/keys.h"
#include "config/schema.h"
#include "config/settings.h"

struct err;

/* Reads one as text: each number within the row's min and max.
 * Returns  0: what was left to auto is 0; -EINVAL, *err says what is wrong and what is allowed */
int bounds_parse(const struct setting_spec *spec, struct str text, struct setting_range *out,
                 struct err *err) __attribute__((warn_unused_result));

/* Reads a scalar or a map at r->place, or tells what is wrong; *out is then as before. A map
 * without min begins at the row's, one without max ends where auto does. */
void bounds_read(struct keys_reader *r, const struct settings_node *node,
                 const struct setting_spec *spec, struct setting_range *out);

/* Appends it as bounds_parse() takes it. Returns 0; -ENOMEM */
int bounds_print(struct buf *out, const struct setting_range *range)
    __attribute__((warn_unused_result));

/* Puts numbers where auto stands: bounds, and in between what to begin with.
 * begin  where auto, and what has room for it, begins
 * least  of auto alone, and
 * most   of auto, and where a range is to auto */
void bounds_resolve(struct setting_range *range, uint32_t begin, uint32_t least, uint32_t most);

#endif
