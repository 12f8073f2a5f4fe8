/* Percent-encoding and dot segments (RFC 3986 §2.1, §5.2.4), done once and in one place. */
#ifndef REMUDA_HTTP_PATH_H
#define REMUDA_HTTP_PATH_H

#include "base/str.h"

struct arena;

/* Normalises the path of a target: unreserved and other escapes are decoded once, except %2F, which
 * stays (as "%2F") so that it can't become a separator; then "." and ".." segments (also written
 * with escapes) are removed, never above the root. Empty segments ("//") are kept.
 * Returns  0; -EINVAL malformed escape, an escape of NUL, no leading "/"; -ENOMEM.
 *          *out_path is raw itself when nothing changes, else NUL-terminated text in the arena */
int path_normalise(struct str raw, struct arena *arena, struct str *out_path)
    __attribute__((warn_unused_result));

/* Decodes every escape; with is_form also "+" to blank.
 * Returns  NUL-terminated text in the arena, its length in *out_len (may be NULL); NULL: malformed
 *          escape, decoded NUL, or
 *          memory refused */
char *path_decode(struct str raw, bool is_form, struct arena *arena, size_t *out_len);

/* Walks name=value pairs of a query or form (application/x-www-form-urlencoded). rest: what is left,
 * at first the whole. Returns false at the end. name and value stay encoded. */
bool path_next_pair(struct str *rest, struct str *out_name, struct str *out_value);

/* Does an encoded name decode to this text? No allocation. */
bool path_name_is(struct str encoded, const char *name);

#endif
