/* Percent-encoding and dot segments (RFC 3986 §2.1, §5.2.4), done once and in one place.
 *
 * The rule that everything here serves: an escape is decoded exactly once, by whoever needs the
 * text, from text that is still as received. So there are two forms of a path. The *encoded* one is
 * the target's own octets less its dot segments: parameters are cut from it and decoded afterwards.
 * The *decoded* one is for matching and for reading (rmd_path()) and is never decoded again. Both
 * have the same segments, one for one, because an encoded slash makes no separator in either. */
#ifndef REMUDA_HTTP_PATH_H
#define REMUDA_HTTP_PATH_H

#include "base/str.h"

struct arena;

/* Normalises the path of a target: escapes are decoded once, except %2F and %2f, which stay as
 * "%2F" so that they can't become a separator; then "." and ".." segments (also written with
 * escapes) are removed, never above the root. Empty segments ("//") are kept, and "..;" is no dot
 * segment. A "%2F" in the result came from "%2F" or from "%252F": it is text to compare, not to
 * decode.
 * Returns  0; -EINVAL malformed escape, an escape of NUL, no leading "/"; -ENOMEM.
 *          *out_path is raw itself when raw has neither escapes nor dot segments, else
 *          NUL-terminated text in the arena */
int path_normalise(struct str raw, struct arena *arena, struct str *out_path)
    __attribute__((warn_unused_result));

/* path_normalise() that also gives the encoded form; the two have the same segments.
 * Returns  as path_normalise(); *out_encoded is raw itself or text in the arena, likewise */
int path_resolve(struct str raw, struct arena *arena, struct str *out_path, struct str *out_encoded)
    __attribute__((warn_unused_result));

/* Decodes every escape, %2F too; with is_form also "+" to blank.
 * raw      as received; text that was decoded before must not come here
 * Returns  NUL-terminated text in the arena, its length in *out_len (may be NULL); NULL: malformed
 *          escape, a NUL (decoded or not), or memory refused */
char *path_decode(struct str raw, bool is_form, struct arena *arena, size_t *out_len);

/* Escapes every octet but the unreserved ones (RFC 3986 §2.3) and "/", so that decoded text can
 * stand in a target: it is path_decode() backwards.
 * Returns  NUL-terminated text in the arena; NULL: memory refused */
char *path_encode(struct str text, struct arena *arena);

/* Walks name=value pairs of a query or form (application/x-www-form-urlencoded). A pair without "="
 * has an empty value; empty pairs ("a&&b") are passed over.
 * rest     what is left, at first the whole
 * Returns  false at the end. name and value stay encoded */
bool path_next_pair(struct str *rest, struct str *out_name, struct str *out_value);

/* Does an encoded name of such a pair decode to this text? False for malformed escapes. No
 * allocation. */
bool path_name_is(struct str encoded, const char *name);

/* The pair at offset *at or behind it, decoded, in the arena; *at moves behind it.
 * Returns  false at the end. *out_name, *out_value: NULL where path_decode() refuses */
bool path_take_pair(struct str pairs, size_t *at, struct arena *arena, const char **out_name,
                    const char **out_value);

/* Value of the first pair of a name, decoded, in the arena. NULL: no such pair, or one that
 * path_decode() refuses. */
const char *path_find_pair(struct str pairs, const char *name, struct arena *arena);

#endif
