/* Text as it stands in a JSON string (RFC 8259 §7), whatever its octets are. */
#ifndef REMUDA_BASE_JSON_H
#define REMUDA_BASE_JSON_H

#include <stddef.h>

#include "base/str.h"

#define JSON_ESCAPE_MAX 6 /* bytes that one octet of text may take: \u001f */

/* Writes the inside of a JSON string, without its quotes and without a NUL. Octets that are not
 * UTF-8 become U+FFFD, each of them. Escaped are quotes, backslashes, control characters (C0, DEL,
 * C1), and what forges lines in viewers as LF does in files: U+2028, U+2029 and the characters that
 * turn the direction of text. Everything else stays as it is.
 * cap        bytes at out; text.len * JSON_ESCAPE_MAX is enough for all of it
 * out_taken  NULL, or: octets of text that were written; the rest found no room. Never a part of a
 *            character or of an escape
 * Returns    bytes written */
size_t json_escape(char *out, size_t cap, struct str text, size_t *out_taken);

#endif
