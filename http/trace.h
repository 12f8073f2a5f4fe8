/* The identity of a request across processes and services: the trace-id of traceparent (W3C Trace
 * Context, level 1), else X-Request-ID, else one made here. */
#ifndef REMUDA_HTTP_TRACE_H
#define REMUDA_HTTP_TRACE_H

#include <stdint.h>

#include "base/str.h"
#include "http/parse.h"

#define TRACE_ID_LEN 32     /* of those in traceparent, and of ours: lower-case hexadecimal */
#define TRACE_GIVEN_MAX 128 /* octets of an X-Request-ID that is taken */
#define TRACE_PARENT_LEN 55 /* "00-" 32 digits "-" 16 digits "-" 2 digits */

/* The request's identity as its client gave it: the trace-id of a valid traceparent, else an
 * X-Request-ID of 1 to 128 characters of A–Z a–z 0–9 . _ - =. A field that came twice is not taken.
 * head, base  as of guard_judge()
 * Returns     a view into the octets; empty: make one with trace_format() */
struct str trace_find(const struct head *head, const char *base);

/* May a head have one of the two fields? Told by the lengths of its names. */
static inline bool trace_may_be_in(const struct head *head)
{
    return (head->name_lengths & (UINT64_C(1) << 11 | UINT64_C(1) << 12)) != 0;
}

/* The request's traceparent, when it is valid and came once. Of versions above 00 what follows the
 * flags is not looked at (§3.2.4); version ff, and identities that are all zero, are invalid.
 * Returns  a view into the octets, of the value as received; else empty */
struct str trace_find_parent(const struct head *head, const char *base);

/* Is this a valid value of traceparent? */
bool trace_is_parent(struct str value);

/* A word as 16 lower-case digits, without a NUL. */
#define TRACE_WORD_LEN 16
void trace_put_word(char out[TRACE_WORD_LEN], uint64_t word);

/* Turns the digits of a number below 2^64 - 1 into those of the next one. Fifteen times of sixteen
 * one octet changes; writing all of them anew would cost every request thirty instructions. */
static inline void trace_count_up(char digits[TRACE_WORD_LEN])
{
    char *last = digits + TRACE_WORD_LEN - 1;
    while (*last == 'f')
        *last-- = '0';
    *last = *last == '9' ? 'a' : (char)(*last + 1);
}

/* 32 lower-case digits, NUL-terminated, never all zero.
 * words  a random number of the process, and a count */
void trace_format(const uint64_t words[2], char out[TRACE_ID_LEN + 1]);

/* A traceparent of version 00, for answers and for calls to others, NUL-terminated.
 * received   of trace_find_parent(): its trace-id stays, and of its flags "sampled", the only one
 *            that version 00 has (§3.2.2.5: others are to be 0). Empty: a new trace, not sampled
 * words      as of trace_format(), for a new trace
 * parent_id  identity of this request within the trace: a random word; 0 is taken as 1 */
void trace_make_parent(struct str received, const uint64_t words[2], uint64_t parent_id,
                       char out[TRACE_PARENT_LEN + 1]);

#endif
