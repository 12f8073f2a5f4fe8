/* The chunked transfer coding, decoded (RFC 9112 §7.1): octets in, views of them out, nothing kept.
 * Feeding may stop and go on at any octet; the outcome is the same, down to the reason of a refusal
 * and the octet that it is about. Whatever the grammar does not allow is refused; extensions and
 * trailers are checked and then discarded, which RFC 9112 §7.1.1 and RFC 9110 §6.5.2 allow. */
#ifndef REMUDA_HTTP_CHUNKED_H
#define REMUDA_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/limits.h"

#define CHUNKED_SLACK 16384U /* octets of framing allowed before the first byte of data */
#define CHUNKED_FACTOR 16U   /* and for each byte of data; one-byte chunks need 5 */
#define CHUNKED_DIGITS 16U   /* of a chunk size, leading zeros included */

/* Everything below `reason` belongs to chunked.c. */
struct chunked {
    int status;         /* CHUNKED_BAD: 400, 413 or 431 */
    const char *reason; /* CHUNKED_BAD: static text */
    const struct http_limits *limits;
    uint64_t size;          /* of the chunk: as read so far, then what of it has not come */
    uint64_t body_left;     /* bytes that chunks to come may hold, < 2^63 */
    uint64_t framing_left;  /* octets that may stand between data before more data comes */
    uint32_t section_left;  /* octets of the trailer section to come, at most */
    uint32_t line_left;     /* and of the trailer line */
    uint32_t fields_left;   /* trailer fields to come, at most */
    uint8_t state;          /* what stands before the next octet; chunked.c */
    uint8_t n_digits;       /* of the chunk size, ≤ CHUNKED_DIGITS */
    uint8_t first, end, at; /* names of the table of forbidden trailers that agree in `at` octets */
};

enum chunked_result {
    CHUNKED_MORE, /* everything was consumed and nothing is complete */
    CHUNKED_DATA, /* bytes of the body; call again for what follows them */
    CHUNKED_DONE, /* the body and its trailer section are complete */
    CHUNKED_BAD   /* refused: status and reason are set */
};

/* Starts a body.
 * limits      `fields`, `field_size` and `head` hold for the trailer section too: 431. Read until
 *             the body is done
 * body_limit  bytes, decoded; more than 2^63 - 1 counts as that much */
void chunked_begin(struct chunked *d, const struct http_limits *limits, uint64_t body_limit);

/* Goes on. octets are those that were not consumed so far, as many as there are; they may be none.
 * Returns  CHUNKED_DATA: *out_data, never empty, points into octets. CHUNKED_DONE: octets behind
 *          *out_used belong to the next request; so it stays at every further call, as does
 *          CHUNKED_BAD:
 *          400 what the grammar does not allow; a chunk size of more than 16 digits; a trailer
 *              field that is not for trailers (RFC 9110 §6.5.1); more than CHUNKED_SLACK +
 *              limits->head + CHUNKED_FACTOR × (bytes of data so far) octets of framing
 *          413 a chunk that the limit has no room for, when the line with its size is complete
 *          431 a trailer section over a limit, at the first octet that is too much
 *          *out_used is set in every case: octets consumed, for CHUNKED_BAD those in front of the
 *          one that was refused. *out_data is set with CHUNKED_DATA only */
enum chunked_result chunked_next(struct chunked *d, struct str octets, size_t *out_used,
                                 struct str *out_data);

#endif
