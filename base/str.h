/* Pointer and length: borrowed text or bytes, never NUL-terminated by promise. */
#ifndef REMUDA_BASE_STR_H
#define REMUDA_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct str {
    const char *p; /* may be NULL only when len is 0 */
    size_t len;    /* bytes */
};

/* A str of a string literal, without a strlen at run time. */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})

/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).p

static inline struct str str_make(const char *p, size_t len)
{
    return (struct str){p, len};
}

/* The str of a NUL-terminated string; NULL gives the empty str. */
static inline struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

/* Equality octet by octet. */
static inline bool str_is_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Equality with ASCII letters compared without case (RFC 9110 §5.1: field names). */
static inline bool str_is_equal_nocase(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.p, b.p, a.len) == 0);
}

static inline bool str_has_prefix(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

/* Strips SP and HTAB at both ends (RFC 9110 §5.6.3: OWS). */
struct str str_trim(struct str s);

/* Reads an unsigned decimal that fills the whole of s, digits only.
 * Returns  0; -EINVAL not a number; -ERANGE above max
 * Safe     anywhere */
int str_parse_u64(struct str s, uint64_t max, uint64_t *out_value)
    __attribute__((warn_unused_result));

#define STR_U64_MAX 20 /* digits of UINT64_MAX */

/* Writes a number in decimal, without a NUL. Returns bytes written, at least 1 */
size_t str_print_u64(char out[STR_U64_MAX], uint64_t value);

/* Case-insensitive search for a token in a comma-separated list (RFC 9110 §5.6.1). */
bool str_list_has(struct str list, struct str token);

/* Length of the token at the front (RFC 9110 §5.6.2: field names, methods, parameters); 0: none. */
size_t str_token_length(struct str s);

/* Is it a token as a whole, and not empty? */
static inline bool str_is_token(struct str s)
{
    return s.len > 0 && str_token_length(s) == s.len;
}

/* Number of single-letter edits (insert, delete, replace, swap) between two short words;
 * words over 63 bytes count as infinitely far. For "did you mean". */
unsigned str_distance(const char *a, const char *b);

/* Is there an octet below 0x20 or 0x7f (RFC 9110 §5.5: CTL)? HTAB counts. Eight octets a step. */
bool str_has_control(struct str s);

/* Bytes of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogates, up to U+10FFFF).
 * len      ≥ 1
 * Returns  1 … 4; 0 when there is no whole valid sequence */
size_t str_utf8_length(const char *p, size_t len);

#endif
