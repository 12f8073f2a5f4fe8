/* One request as its handler sees it: octets plus offsets, and what was found in them. */
#ifndef REMUDA_HTTP_REQUEST_H
#define REMUDA_HTTP_REQUEST_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/parse.h"
#include "http/router.h"
#include "http/trace.h"

#define REQUEST_MAGIC 0x52455155U
#define REQUEST_METHOD_MAX 24

/* Who is at the other end. */
struct peer {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address; /* sa_family AF_UNIX: no more is known */
};

struct conn_env;

struct rmd_request {
    struct head head;    /* head.bytes 0: could not be parsed */
    const char *base;    /* octets of the head; stable until the answer is sent */
    struct str raw_path; /* of the target, as received */
    struct str query;    /* without "?" */
    enum router_outcome outcome;
    struct str body;
    bool is_body_complete; /* nothing of it is still to come */
    bool is_answered;      /* the application can't put the answer off any more */
    bool is_static;        /* a mount of the settings answers, and no route */
    bool is_fallback;      /* its route's fallback answers: the breaker is open */
    bool is_consumed;      /* the consumer has had it all, or wants no more */
    rmd_consumer consume;  /* NULL: nobody takes the body as it comes */
    void *consume_state;
    void (*consume_done)(void *state); /* owed exactly once; NULL: nothing is */
    struct rmd_part *parts;            /* of a form, in the arena, once asked for */
    int n_parts;                       /* or a negative errno */
    bool has_read_parts;
    struct rmd_deferred *deferred; /* the ticket that its answer hangs on; NULL: none */
    void *user_data;
    struct str trace_id;  /* once asked for: request_trace_id() */
    bool is_https;        /* as a trusted proxy says */
    uint64_t deadline_us; /* when nobody waits for its answer any more; 0, UINT64_MAX: not known */
    void *stats;          /* for workers: where it counts, once that was looked up */
    /* What is behind its first members is not zeroed for a new request, but set where it is needed;
     * so are the parameters. */
    struct router_match match; /* match.route NULL: none */
    uint32_t magic;
    uint32_t board_entry; /* of the shared table, for workers; UINT32_MAX none */
    char method[REQUEST_METHOD_MAX];
    struct conn_env *env; /* of its loop: only what does not change is read by threads */
    struct arena *arena;  /* lives as long as the request */
    struct rmd_response *res;
    struct peer peer;
    uint64_t started_us;            /* first octet */
    uint64_t trace[2];              /* random number of the process, and a count */
    char made_id[TRACE_ID_LEN + 1]; /* its identity, unless the client gave one; NUL-terminated */
};

/* Reads path and query out of the target and finds the route.
 * Returns  0; -ENOMEM. req->outcome says what was found */
int request_route(struct rmd_request *req, const struct router *router)
    __attribute__((warn_unused_result));

/* Has the application put off the answer: until it has the body, or until it turns its ticket
 * in? */
bool request_is_put_off(const struct rmd_request *req);

/* Its identity in logs and answers, NUL-terminated: see http/trace.h. Empty when memory is
 * refused. */
struct str request_trace_id(struct rmd_request *req);

/* First field of a name, any case; NULL. *from (may be NULL) is where to search, and where to go
 * on. */
const struct field *request_find(const struct rmd_request *req, struct str name, uint32_t *from);

/* Value of a field, its lines joined by ", " where there are several (RFC 9110 §5.3).
 * Returns  0, *out_value's p is NULL when there is none; -ENOMEM. In the octets, or the arena */
int request_join(const struct rmd_request *req, struct str name, struct str *out_value)
    __attribute__((warn_unused_result));

struct str request_name(const struct rmd_request *req, const struct field *field);
struct str request_value(const struct rmd_request *req, const struct field *field);
struct str request_target(const struct rmd_request *req);

/* "192.0.2.1:54321", "[2001:db8::1]:54321", "unix:"; with_port false: the address alone, "" for
 * unix.
 * Returns the length; out is NUL-terminated */
#define PEER_TEXT_MAX 64
size_t request_format_peer(const struct peer *peer, bool with_port, char out[PEER_TEXT_MAX]);

#endif
