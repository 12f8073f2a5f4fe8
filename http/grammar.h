/* The grammar of a request's head (RFC 9112 §3, §5), octet by octet, with the limits that hold for
 * it: says what is wrong first. The answer to a bad head must depend neither on how it was cut nor
 * on the llhttp that is installed, so every refusal asks here; a head that came whole and is good
 * never does. */
#ifndef REMUDA_HTTP_GRAMMAR_H
#define REMUDA_HTTP_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/limits.h"

#define GRAMMAR_BAD_LINE "malformed request line (RFC 9112 3)"
#define GRAMMAR_BAD_TARGET "request target of no allowed form (RFC 9112 3.2)"
#define GRAMMAR_BAD_VERSION "HTTP version not supported"
#define GRAMMAR_BAD_METHOD "method not implemented (RFC 9110 9.1)"
#define GRAMMAR_BAD_FIELD "malformed header field (RFC 9112 5)"

struct grammar {
    uint32_t at;         /* octets of the head that were judged */
    uint32_t line_at;    /* where the line begins that `at` is in */
    uint32_t method_len; /* known behind the method */
    uint32_t n_fields;
    int status;         /* of the refusal: 400, 414, 431, 501 or 505; 0: none so far */
    const char *reason; /* static text */
    uint8_t state;      /* what stands before the next octet; grammar.c */
    uint8_t version_at; /* octets of the version that were judged */
    uint8_t major;
};

void grammar_begin(struct grammar *g);

/* Goes on with a head.
 * base        first octet of the request line
 * len         octets there are from it, those judged before included
 * max_fields  how many field lines it may have
 * Returns     false when it is refused: status and reason are set, and `at` is the octet that did
 *             it. Stops behind the head's last line; nothing behind it is looked at */
bool grammar_judge(struct grammar *g, const char *base, size_t len,
                   const struct http_limits *limits, uint32_t max_fields);

/* Is the request line complete, is the whole head, and not refused? */
bool grammar_has_line(const struct grammar *g);
bool grammar_is_complete(const struct grammar *g);

/* Methods that can be served, RFC 9110 §9.1; all others are answered 501. The same whatever llhttp
 * is installed, so it is what the oldest of them knows. Names are case-sensitive. */
bool grammar_knows_method(struct str method);

#endif
