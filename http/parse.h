/* llhttp glue: octets to the head of a request as offsets. Feeding may stop and go on at any octet;
 * the outcome is the same. What llhttp leaves to us is judged in http/guard.h. */
#ifndef REMUDA_HTTP_PARSE_H
#define REMUDA_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/grammar.h"
#include "http/limits.h"

#define PARSE_STATE_BYTES 128 /* ≥ sizeof(llhttp_t), asserted in parse.c */

/* One header field, as offsets from the first octet of the request line. Offsets, since the octets
 * may move to a larger buffer between two reads. */
struct field {
    uint32_t name_at;
    uint32_t name_len;
    uint32_t value_at; /* trimmed of OWS by guard_judge() */
    uint32_t value_len;
};

struct head {
    uint32_t bytes;      /* of the whole head, with the empty line; 0 while incomplete */
    uint32_t method_len; /* the method begins at offset 0 */
    uint32_t target_at;
    uint32_t target_len;
    uint32_t n_fields;
    uint32_t max_fields; /* room in fields */
    struct field *fields;
    uint8_t minor;    /* HTTP/1.minor as received, 0 … 9 */
    bool is_folded;   /* a value came in pieces with a line end between */
    bool is_nameless; /* a value came without a name */
    bool is_refused;  /* llhttp does not like it; why is for guard_judge() to say */
    /* Filled by guard_judge(): */
    bool is_sound;         /* every field is name ":" value, so that they may be looked at */
    uint32_t path_len;     /* octets of the target before its "?"; of all when it has none */
    uint64_t name_lengths; /* bit number length % 64 for each field's name: what can't be there */
    bool is_chunked;
    bool has_length;
    bool is_keep_alive;      /* the client would like to go on */
    bool wants_continue;     /* Expect: 100-continue */
    bool has_other_expect;   /* an expectation that we can't meet */
    uint64_t content_length; /* UINT64_MAX when larger than fits */
    struct str host;         /* authority that the request is for; into the octets */
};

enum parse_result {
    PARSE_MORE, /* everything consumed, nothing complete */
    PARSE_DONE, /* the head is complete */
    PARSE_BAD   /* refused: status and reason are set */
};

struct parse {
    _Alignas(8) unsigned char state[PARSE_STATE_BYTES]; /* llhttp_t */
    const struct http_limits *limits;
    const char *base; /* first octet of the request line, for this call */
    size_t fed;       /* octets from base that the parser has seen */
    struct grammar grammar;
    struct head *head;
    uint8_t at;         /* which span came last; parse.c */
    bool is_failed;     /* llhttp refuses the head: the grammar goes on without it */
    int status;         /* PARSE_BAD: 4xx or 5xx */
    const char *reason; /* PARSE_BAD: static text */
    uint8_t n_smoothed; /* how often a head was begun anew for a HTAB */
};

/* Starts a request. head->fields and max_fields are the caller's; the rest is zero. */
void parse_begin(struct parse *p, struct head *head, const struct http_limits *limits);

/* Goes on with the head. base points to the first octet of the request line, len counts all octets
 * there are from it (those seen before included). May change an octet of the version, and HTABs
 * behind a Content-Length or Transfer-Encoding to SP.
 * Returns  PARSE_DONE: head->bytes is set; octets behind it were not looked at */
enum parse_result parse_head(struct parse *p, char *base, size_t len);

/* "8.1.0 strict" or "9.2.1": what is linked, found by asking the parser itself. Static text. */
const char *parse_version(void);

/* Is the strict automaton linked? Feeds it a request that only the loose one takes. */
bool parse_is_strict(void);

#endif
