/* One answer: what the handler gave, and how it looks on the wire. */
#ifndef REMUDA_HTTP_RESPONSE_H
#define REMUDA_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "include/remuda.h"

struct arena;

enum response_kind {
    RESPONSE_NONE,  /* no answer yet */
    RESPONSE_EMPTY, /* status and fields only */
    RESPONSE_BYTES, /* body, body_len */
    RESPONSE_STREAM /* produce */
};

struct response_field {
    struct response_field *next;
    struct str name;
    struct str value;
};

struct rmd_response {
    struct rmd_request *req;
    enum response_kind kind;
    int status;
    struct str type; /* Content-Type; empty: none */
    const char *body;
    size_t body_len;
    void (*done)(void *arg); /* of BYTES or STREAM: owed exactly once */
    void *done_arg;
    rmd_producer produce;
    struct response_field *fields; /* in the order in which they are sent */
    struct response_field *last;
    bool is_error_page; /* the app's error page is being made: no second one inside it */
    uint64_t body_sent; /* octets of body given to the client, for the log */
};

/* What the connection decides about a head. */
struct response_frame {
    struct str common;      /* Server and Date lines */
    bool is_closing;        /* Connection: close */
    bool is_keep_alive_1_0; /* Connection: keep-alive, for HTTP/1.0 clients */
    bool is_chunked;
    bool has_length;
    uint64_t length;
};

/* Starts an answer; earlier ones must be finished. */
void response_begin(struct rmd_response *res, struct rmd_request *req);

/* Pays what is owed for the body (done) and forgets body and kind; status and fields stay. */
void response_drop_body(struct rmd_response *res);

/* Adds or replaces a field. See rmd_set_header(). */
int response_set(struct rmd_response *res, struct arena *arena, struct str name, struct str value,
                 bool is_replacing) __attribute__((warn_unused_result));

const struct response_field *response_find(const struct rmd_response *res, struct str name);

/* The server's own page of a status; the body is static or in the arena. */
void response_error_page(struct rmd_response *res, struct arena *arena, int status);

/* Has an answer with this status no body (RFC 9110 §6.4.1)? */
bool response_is_bodiless(int status);

/* Appends the head. Returns 0; -ENOMEM (nothing appended) */
int response_render_head(const struct rmd_response *res, const struct response_frame *frame,
                         struct buf *out) __attribute__((warn_unused_result));

/* "Not Found"; "Unknown" for a status without a name. Static text. */
struct str response_reason(int status);

#endif
