/* What a connection needs only while a request is in it, and the pool of a loop that keeps some for
 * the next: a steady load allocates nothing, an idle connection has none. */
#ifndef REMUDA_HTTP_EXCHANGE_H
#define REMUDA_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/parse.h"
#include "http/request.h"
#include "http/response.h"

/* One request in the machine. */
struct exchange {
    struct exchange *next; /* in the pool */
    struct rmd_request req;
    struct rmd_response res;
    struct parse parse;
    struct arena arena;
    struct buf store; /* octets of a request that did not arrive in one read */
    struct buf body;  /* a body that did not arrive in one read, or was chunked */
    bool is_in_env;   /* req.base points into the loop's input buffer */
    bool is_body_in_env;
    struct field fields[]; /* limits.fields */
};

struct exchange_pool {
    struct exchange *first;
    uint32_t n;
    uint32_t n_fields; /* header fields that each exchange has room for */
};

/* n_fields  limits.fields */
void exchange_init_pool(struct exchange_pool *pool, uint32_t n_fields);
void exchange_fini_pool(struct exchange_pool *pool);

/* One without request, arena and buffers empty. NULL when memory is refused. */
struct exchange *exchange_take(struct exchange_pool *pool);

/* Gives it back; large buffers and more than a few exchanges are freed. */
void exchange_give_back(struct exchange_pool *pool, struct exchange *ex);

#endif
