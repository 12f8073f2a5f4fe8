/* A line of the access log as JSON. */
#ifndef REMUDA_HTTP_ACCESS_JSON_H
#define REMUDA_HTTP_ACCESS_JSON_H

#include <stddef.h>

#include "http/access.h"

/* Renders one object (RFC 8259) and a newline. Its members, always all of them and in this order:
 *   time         RFC 3339, UTC, milliseconds: "2026-11-21T12:00:00.123Z"
 *   peer user method target path query protocol     strings
 *   status       number                    bytes duration_us   numbers
 *   referer user_agent trace_id            strings
 *   pid          number
 *   note         string; only in the master's words about a request that a worker died of
 * null: not known, not sent, or empty. Octets that are not UTF-8 become U+FFFD. A line of more than
 * cap bytes has its longest strings cut, all at about the same length, each ending in "…".
 * cap      ≥ ACCESS_LINE_MIN
 * Returns  bytes written */
size_t access_json_render(const struct access_entry *entry, char *out, size_t cap);

#endif
