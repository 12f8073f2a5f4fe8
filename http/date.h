/* IMF-fixdate (RFC 9110 §5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef REMUDA_HTTP_DATE_H
#define REMUDA_HTTP_DATE_H

#include <stdint.h>

#define DATE_LEN 29

/* Writes DATE_LEN characters and a NUL. seconds: since 1970, 0 … year 9999 (clamped). */
void date_format(char out[DATE_LEN + 1], int64_t seconds);

#endif
