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
    RESPONSE_NONE,   /* no answer yet */
    RESPONSE_EMPTY,  /* status and fields only */
    RESPONSE_BYTES,  /* body, body_len */
    RESPONSE_FILE,   /* parts of fd, and of memory between them; body_len is their sum */
    RESPONSE_STREAM, /* produce */
    RESPONSE_LENT    /* as BYTES, in memory that another process has, too: only the kernel looks at
                        it, for which there is an error where a page is missing. Never made by an
                        application */
};

/* A stretch of a body that lies in a file. */
struct response_part {
    const char
        *data; /* NULL: octets of the response's file; else of memory, as long as the answer */
    uint64_t offset; /* in the file, where data is NULL */
    uint64_t len;    /* ≥ 1 */
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
    int fd;                            /* FILE only: owned; -1: all parts are of memory */
    const struct response_part *parts; /* FILE only: n_parts, in the request's arena */
    uint32_t n_parts;
    void (*done)(void *arg); /* of BYTES, STREAM, LENT, FILE without fd: owed exactly once */
    void *done_arg;
    rmd_producer produce;
    struct response_field *fields; /* in the order in which they are sent */
    struct response_field *last;
    bool is_error_page; /* the app's error page is being made: no second one inside it */
    bool is_pace_told;  /* hooks.paced */
    uint8_t n_empty;    /* STREAM only: calls in a row that wrote nothing, and did not wait */
    uint64_t body_sent; /* octets of body given to the client, for the log */
};

/* What the connection decides about a head. */
struct response_frame {
    struct str common; /* Server and Date lines; */
    const char
        *made_id; /* behind them a field whose value is to be these TRACE_ID_LEN octets; NULL:
                           * there is none */
    struct str id_header; /* name and value of a trace id's field that is not there; empty: none */
    struct str id;
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

/* Gives a body that is sent from a file, and the status; type and fields stay as they are.
 * fd       open for reading; the response owns it from now on, also on failure. -1: all parts are
 *          of memory
 * parts    copied into the arena; each within the file
 * Returns  0; -ENOMEM (fd is closed, the response has no body) */
int response_give_file(struct rmd_response *res, struct arena *arena, int status, int fd,
                       const struct response_part *parts, uint32_t n_parts)
    __attribute__((warn_unused_result));

/* Adds or replaces a field. See rmd_set_header(). */
int response_set(struct rmd_response *res, struct arena *arena, struct str name, struct str value,
                 bool is_replacing) __attribute__((warn_unused_result));

const struct response_field *response_find(const struct rmd_response *res, struct str name);

/* The server's own page of a status; the body is static or in the arena.
 * why  what it says behind the status; NULL: nothing */
void response_error_page(struct rmd_response *res, struct arena *arena, int status);
void response_error_page_why(struct rmd_response *res, struct arena *arena, int status,
                             const char *why);

/* Has an answer with this status no body (RFC 9110 §6.4.1)? */
bool response_is_bodiless(int status);

/* Appends the head. Returns 0; -ENOMEM (nothing appended) */
int response_render_head(const struct rmd_response *res, const struct response_frame *frame,
                         struct buf *out) __attribute__((warn_unused_result));

/* "Not Found"; "Unknown" for a status without a name. Static text. */
struct str response_reason(int status);

#endif
