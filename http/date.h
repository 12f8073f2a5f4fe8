/* IMF-fixdate (RFC 9110 §5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef REMUDA_HTTP_DATE_H
#define REMUDA_HTTP_DATE_H

#include <stdint.h>

#define DATE_LEN 29

/* Writes DATE_LEN characters and a NUL. seconds: since 1970, 0 … year 9999 (clamped). */
void date_format(char out[DATE_LEN + 1], int64_t seconds);

#define DATE_STAMP_LEN 24 /* "2026-11-21T12:00:00.123Z" */

/* RFC 3339 in UTC, with milliseconds, for logs.
 * wall_us  microseconds since 1970, the rest of a millisecond is dropped; what is outside of 1970 …
 *          9999 becomes the nearest moment inside */
void date_format_stamp(char out[DATE_STAMP_LEN + 1], int64_t wall_us);

#endif
