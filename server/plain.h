/* Text for people: from JSON to a terminal without anything that a terminal obeys, and numbers and
 * times in few columns. */
#ifndef REMUDA_SERVER_PLAIN_H
#define REMUDA_SERVER_PLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum plain_width {
    PLAIN_ANY,   /* every printable character, for sentences */
    PLAIN_NARROW /* only characters that are surely one column wide; others become "?" */
};

/* A JSON string as it may be shown: quotes and backslashes undone, other escapes left as written,
 * control characters (C0, DEL, C1) and those that turn the direction of text become "?".
 * Cut at a character when cap, with its NUL, is too small. Something else than a string gives "".
 * Returns  out */
const char *plain_text(char *out, size_t cap, struct str value, enum plain_width width);

/* The same of text that is no JSON. Returns out */
const char *plain_clean(char *out, size_t cap, const char *text, enum plain_width width);

/* Columns that text of PLAIN_NARROW takes: its characters. */
size_t plain_columns(const char *text);

#define PLAIN_MAX 32

/* Returns out, each time. */
const char *plain_count(char out[PLAIN_MAX], uint64_t n); /* 1,234,567 */
const char *plain_short(char out[PLAIN_MAX], uint64_t n); /* 999, 12.3k, 4.5M: at most 5 columns */
const char *plain_bytes(char out[PLAIN_MAX], uint64_t n); /* 0, 512K, 12M, 1.2G: at most 5 */
const char *plain_us(char out[PLAIN_MAX], uint64_t us);   /* 85us, 1.2ms, 450ms, 3.2s, 4m */
const char *plain_age(char out[PLAIN_MAX], uint64_t ms);  /* 8s, 5m12s, 3h04m, 12d */

#endif
