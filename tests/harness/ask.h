/* One request of a load and the answer that it must have, octet for octet. No sockets: it writes a
 * request, then is fed what comes. What it asks for, tests/apps/churn.c answers. */
#ifndef REMUDA_TESTS_HARNESS_ASK_H
#define REMUDA_TESTS_HARNESS_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum ask_kind {
    ASK_PLAIN,   /* GET of a target that the caller names; any app */
    ASK_HELLO,   /* a line with its identity */
    ASK_BYTES,   /* some octets to very many */
    ASK_ECHO,    /* a body up and down, with Content-Length */
    ASK_CHUNKED, /* the same, sent in chunks */
    ASK_STREAM,  /* an answer that comes line by line */
    ASK_LATER,   /* a deferred one, from a thread of the app */
    ASK_SLEEP,   /* one of the io lane */
    ASK_KINDS
};

enum ask_state {
    ASK_OWED,  /* nothing of the answer came */
    ASK_COMES, /* a part of it */
    ASK_RIGHT, /* all of it, as it must be */
    ASK_WRONG  /* something else; `why` says what */
};

struct ask {
    enum ask_kind kind;
    enum ask_state state;
    uint64_t id;
    bool is_closing; /* the answer says that the connection ends behind it */
    pid_t pid;       /* of who answered, by the answer; 0: it doesn't say */
    int generation;  /* the same; 0: it doesn't say */
    const char *why;

    /* private */
    bool has_want; /* the body must be `want`; else it is kept in `body` */
    bool is_chunked;
    int at;        /* where in the answer: enum place of ask.c */
    uint64_t left; /* octets of the body, or of the chunk, that are to come */
    size_t seen;   /* of the body */
    struct buf want;
    struct buf body;
    struct buf line; /* the head, or a line of the framing, as far as it came */
    struct buf head; /* kept for messages */
};

/* The name of a kind, for messages. */
const char *ask_name(enum ask_kind kind);

/* Octet `at` of the body that belongs to an identity. */
unsigned char ask_octet(uint64_t id, uint64_t at);

/* The next of a row of random numbers (splitmix64). */
uint64_t ask_random(uint64_t *state);

/* Writes a GET of a target.
 * body     that the answer must have; NULL: any
 * closes   the request says `Connection: close`
 * out      gets the request appended
 * Returns  0; -ENOMEM */
int ask_plain(struct ask *a, const char *target, const char *body, bool closes, struct buf *out)
    __attribute__((warn_unused_result));

/* Writes a request of another kind than ASK_PLAIN, of a size that `dice` chooses. Reuses the memory
 * of what was asked with the same struct before; a zeroed struct is a good first one.
 * id       its identity, unlike all others
 * Returns  0; -ENOMEM */
int ask_begin(struct ask *a, enum ask_kind kind, uint64_t id, uint64_t dice, bool closes,
              struct buf *out) __attribute__((warn_unused_result));

/* Takes octets of the answer.
 * Returns  how many were of this answer: fewer than len only when it is over: ASK_RIGHT,
 *          ASK_WRONG */
size_t ask_feed(struct ask *a, const char *data, size_t len);

/* The answer's head as far as it was kept, as a string, for messages; "" when there is none. */
const char *ask_head(const struct ask *a);

/* Gives the memory back; the struct is zeroed. */
void ask_fini(struct ask *a);

#endif
