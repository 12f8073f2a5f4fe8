/* What a connection needs only while a request is in it, and the pool of a loop that keeps some for
 * the next: a steady load allocates nothing, an idle connection has none. */
#ifndef REMUDA_HTTP_EXCHANGE_H
#define REMUDA_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/body.h"
#include "http/chunked.h"
#include "http/parse.h"
#include "http/request.h"
#include "http/response.h"

/* Where the octets of a body go. */
enum sink {
    SINK_STORE,   /* to req.body, complete before the handler runs */
    SINK_CONSUME, /* to the application, as they come */
    SINK_DISCARD  /* nowhere: the answer did not wait for them */
};

/* One request in the machine. */
struct exchange {
    struct exchange *next; /* in the pool */
    struct rmd_request req;
    struct rmd_response res;
    struct parse parse;
    struct arena arena;
    struct buf store; /* octets of a request that did not arrive in one read */
    struct body body; /* one that did not arrive in one read, or was chunked */
    struct chunked chunked;
    uint64_t body_left;          /* of known length: octets still to come */
    uint64_t body_octets;        /* of the body received, as on the wire, */
    uint64_t body_started_us;    /* since then: since it was asked for */
    struct rmd_deferred *ticket; /* that came in and is to be asked for the answer */
    uint8_t sink;                /* enum sink */
    bool is_in_env;              /* req.base points into the loop's input buffer */
    bool is_body_in_env;
    bool is_continued;     /* 100 was sent, or is not waited for */
    bool is_handled;       /* the application has it, and its end is owed to hooks.finished */
    bool is_over;          /* answered; only the rest of its body is still to be read */
    struct field fields[]; /* limits.fields */
};

struct exchange_pool {
    struct exchange *first;
    uint32_t n;
    uint32_t n_fields; /* header fields that each exchange has room for */
};

/* Pays whatever the application is owed for this request: its body, its consumer, its ticket.
 * Mostly nothing is, which is seen without a call. */
void exchange_settle_owed(struct exchange *ex);
static inline void exchange_settle(struct exchange *ex)
{
    const struct rmd_request *req = &ex->req;
    if (ex->res.done || ex->res.kind == RESPONSE_FILE || req->consume || req->deferred ||
        ex->ticket)
        exchange_settle_owed(ex);
}

/* n_fields  limits.fields */
void exchange_init_pool(struct exchange_pool *pool, uint32_t n_fields);
void exchange_fini_pool(struct exchange_pool *pool);

/* One without request, arena and buffers empty. NULL when memory is refused. */
struct exchange *exchange_take(struct exchange_pool *pool);

/* Gives it back; large buffers and more than a few exchanges are freed. */
void exchange_give_back(struct exchange_pool *pool, struct exchange *ex);

#endif
