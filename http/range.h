/* Range requests (RFC 9110 §14): the Range field read, and answers that hold parts of a
 * representation, one as it is, several as multipart/byteranges (§14.6). */
#ifndef REMUDA_HTTP_RANGE_H
#define REMUDA_HTTP_RANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct arena;
struct rmd_response;

/* Ranges in one field, a guess: downloaders ask for one, PDF viewers for some twenty. Bounds what
 * a request of a few hundred octets can ask for (CVE-2011-3192). */
#define RANGE_MAX 64

/* Longest boundary (RFC 2046 §5.1.1). */
#define RANGE_BOUNDARY_MAX 70

/* Room for a value of Content-Range with its NUL: "bytes ", three numbers of 20 digits, "-/". */
#define RANGE_TEXT_MAX 72

struct range {
    uint64_t first; /* offset in the representation */
    uint64_t len;   /* ≥ 1; first + len ≤ the representation's length */
};

/* No two overlap or touch: the field's ranges that did are one here. */
struct range_set {
    uint32_t n; /* 1 … RANGE_MAX */
    struct range ranges[RANGE_MAX];
};

enum range_outcome {
    RANGE_NONE,          /* answer as if there were no Range field */
    RANGE_OK,            /* 206: range_answer_file(), range_answer_bytes() */
    RANGE_UNSATISFIABLE, /* 416: range_refuse() */
};

/* Reads a Range field. Whether it is to be looked at at all (only for GET, If-Range) says
 * conditional_judge().
 *
 * value    of the field; p NULL: absent. Several lines: joined by ", "
 * len      of the representation, in octets
 * Returns  RANGE_OK and the ranges of which at least the first octet exists, cut at the end, in the
 *          order of the field; ranges that overlap or touch become one, in the place of the first
 *          of them (§15.3.7.2). A gap, however small, keeps them apart.
 *          RANGE_UNSATISFIABLE: well-formed, but no such range.
 *          RANGE_NONE: absent; another unit than bytes; malformed, even if in one range only; last
 *          position before the first; more than RANGE_MAX ranges, whether they exist or not
 *          (§14.2, §17.15); len is 0 (§14.2: no range of nothing could be told in Content-Range).
 *          Numbers of any length are read; beyond 2^64 - 1 they count as that.
 *          *out_set is untouched unless RANGE_OK */
enum range_outcome range_parse(struct str value, uint64_t len, struct range_set *out_set);

/* Writes "bytes 0-499/1234" and a NUL. Returns the length without NUL. */
size_t range_render(char out[RANGE_TEXT_MAX], const struct range *range, uint64_t len);

/* Writes what 416 says in Content-Range, with a NUL: "bytes" and then "*" "/1234".
 * Returns the length without NUL. */
size_t range_render_unsatisfied(char out[RANGE_TEXT_MAX], uint64_t len);

/* A boundary for one answer: random, so that no content has it, by chance or by intention.
 * Returns  0; -errno of getrandom(2) */
#define RANGE_BOUNDARY_LEN 32
int range_make_boundary(char out[RANGE_BOUNDARY_LEN + 1]) __attribute__((warn_unused_result));

/* Makes res the 206 answer with ranges of a file: status, body, and for one range Content-Range,
 * for several the type multipart/byteranges, each part with its own Content-Range and the type that
 * res had (none when it had none). Other fields stay; an earlier body is dropped.
 * fd       open for reading; the response owns it from now on, also on failure. Must not be the one
 *          that res holds already
 * len      of the representation, which begins at the file's; ≤ INT64_MAX, as of any file
 * set      from range_parse() with the same len
 * boundary 1 … RANGE_BOUNDARY_MAX characters A-Z a-z 0-9 _ -, as of range_make_boundary(); only
 *          for several ranges, may be NULL for one; copied
 * Returns  0; -ENOMEM (res has no body, fd is closed; status, type and fields are open) */
int range_answer_file(struct rmd_response *res, struct arena *arena, int fd, uint64_t len,
                      const struct range_set *set, const char *boundary)
    __attribute__((warn_unused_result));

/* The same for an answer that lies in memory: res is RESPONSE_BYTES, of body_len ≥ 1 octets. None
 * of them is copied; what is owed for the body (done) stays owed until the answer has been sent.
 * set      from range_parse() with res->body_len
 * Returns  0; -ENOMEM (res has no body, done has been called) */
int range_answer_bytes(struct rmd_response *res, struct arena *arena, const struct range_set *set,
                       const char *boundary) __attribute__((warn_unused_result));

/* Makes res the server's own page of 416 with the Content-Range that belongs to it (§15.5.17). An
 * earlier body is dropped, fields stay.
 * Returns  0; -ENOMEM (no Content-Range) */
int range_refuse(struct rmd_response *res, struct arena *arena, uint64_t len)
    __attribute__((warn_unused_result));

#endif
