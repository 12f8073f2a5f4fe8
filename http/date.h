/* Dates of HTTP (RFC 9110 §5.6.7). One form is sent, IMF-fixdate; three are understood. */
#ifndef REMUDA_HTTP_DATE_H
#define REMUDA_HTTP_DATE_H

#include <stdint.h>

#include "base/str.h"

#define DATE_LEN 29

/* Writes DATE_LEN characters and a NUL: "Sun, 06 Nov 1994 08:49:37 GMT".
 * seconds  since 1970, 0 … year 9999 (clamped) */
void date_format(char out[DATE_LEN + 1], int64_t seconds);

/* Reads a date in any of the three forms, octet for octet, in the letters' own case:
 *   Sun, 06 Nov 1994 08:49:37 GMT    IMF-fixdate
 *   Sunday, 06-Nov-94 08:49:37 GMT   RFC 850: of the years that end so, the latest that puts the
 *                                    moment no more than 50 years ahead of now
 *   Sun Nov  6 08:49:37 1994         asctime(3)
 * The day must be one of its month; its name must be a name of a day, but is not compared with the
 * date. 23:59:60 is the moment that follows 23:59:59.
 * now_seconds  since 1970, 0 … year 9999 (clamped); only the second form asks for it
 * Returns      0; -EINVAL. *out_seconds is since 1970, negative before */
int date_parse(struct str text, int64_t now_seconds, int64_t *out_seconds)
    __attribute__((warn_unused_result));

#define DATE_STAMP_LEN 24 /* "2026-11-21T12:00:00.123Z" */

/* RFC 3339 in UTC, with milliseconds, for logs.
 * wall_us  microseconds since 1970, the rest of a millisecond is dropped; what is outside of 1970 …
 *          9999 becomes the nearest moment inside */
void date_format_stamp(char out[DATE_STAMP_LEN + 1], int64_t wall_us);

#endif
