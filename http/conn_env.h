/* What the connections of one loop share: limits, hooks, the pool, and the buffers of the turn. */
#ifndef REMUDA_HTTP_CONN_ENV_H
#define REMUDA_HTTP_CONN_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/network.h"
#include "base/str.h"
#include "http/block.h"
#include "http/deferred.h"
#include "http/exchange.h"
#include "http/forwarded.h"
#include "http/limits.h"
#include "http/proxy.h"
#include "http/router.h"
#include "http/trace.h"

#define CONN_SERVER_MAX 100       /* bytes of a Server field; longer ones are cut */
#define CONN_ENV_OUT_BYTES 65536U /* answers gathered before a write; the buffer begins so large */

/* Where the application's code for a request runs. */
enum conn_lane {
    CONN_LANE_LOOP, /* here */
    CONN_LANE_AWAY, /* elsewhere: by send() */
    CONN_LANE_FULL, /* elsewhere, but there is no room: the client gets a 503 */
    CONN_LANE_LATE  /* nowhere, since its time is over: the client gets a 504 */
};

struct conn_hooks {
    /* Runs filters and handler, fills res, unless the application puts the answer off
     * (request_is_put_off()). req->outcome says what the router found. */
    void (*handle)(void *owner, struct rmd_request *req, struct rmd_response *res);
    /* Gives the application a piece of the body it asked for; empty: that was all. May fill res. */
    void (*consume)(void *owner, struct rmd_request *req, struct rmd_response *res,
                    struct str piece);
    /* Asks it for the answer that it put off. Fills res, unless it is put off again. */
    void (*answer)(void *owner, struct rmd_request *req, struct rmd_response *res,
                   const struct rmd_deferred *ticket);
    /* Fills the page of an error that the machine answers by itself to a well-formed request. */
    void (*error)(void *owner, struct rmd_request *req, struct rmd_response *res, int status);
    /* A body could not be kept: error is a negative errno. The client gets a 503 or 507. */
    void (*spool_failed)(void *owner, struct rmd_request *req, int error);
    /* Memory was refused even for an error: the connection is closed without an answer. */
    void (*given_up)(void *owner, const struct peer *peer);
    /* A connection of a peer in `proxies` did not begin with the header it owes; it is closed. */
    void (*proxy_refused)(void *owner, const struct peer *peer, const char *reason);
    /* An answer (or the lack of one, status 0) is complete: count it, log it. */
    void (*finished)(void *owner, struct rmd_request *req, struct rmd_response *res);
    /* The answer goes on after this turn, or a request that is sent away comes and goes. */
    void (*parked)(void *owner, struct rmd_request *req);

    /* What the application is owed in the end is about to be paid (`done` of a body or a consumer,
     * a ticket that nobody waits for), or has been. req NULL: of a request that has ended long ago.
     * NULL: nobody asks. */
    void (*settling)(void *owner, struct rmd_request *req, bool is_about_to);

    /* A producer of a stream is about to be called here, or has come back. NULL: nobody asks. */
    void (*producing)(void *owner, struct rmd_request *req, bool is_about_to);

    /* A producer has asked so often for the next call, without writing anything, that it is made to
     * wait from now on (STREAM_EMPTY_MAX); once a stream. NULL: nobody asks. */
    void (*paced)(void *owner, struct rmd_request *req);

    /* For routes of another lane than inline; NULL: all of them run here, and the others are not
     * called. Says where. */
    enum conn_lane (*choose)(void *owner, struct rmd_request *req);
    /* An errand is due: the exchange is somebody else's from now on, until its token is turned in
     * (away_turn_in()). */
    void (*send)(void *owner, struct exchange *ex);
    /* One that was sent has come back, whether or not anybody waits for it. NULL: nobody asks. */
    void (*back)(void *owner, struct exchange *ex);
    /* Nobody waits for it any more. Returns whether it had not begun: then it is ours again. */
    bool (*recall)(void *owner, struct exchange *ex);
    /* It took longer than its request may, and goes on without anybody who waits. */
    void (*overdue)(void *owner, struct exchange *ex);
};

/* What the connections of one loop share. */
struct conn_env {
    struct http_limits limits;
    const struct router *router;
    struct conn_hooks hooks;
    void *owner;                       /* for the hooks */
    struct buf in;                     /* input of the turn; cap is fixed */
    struct block *in_block;            /* whose memory `in` is; NULL: it is the heap's */
    const struct block_source *blocks; /* for input that another process may want; NULL: none */
    struct buf out;                    /* output of the turn */
    size_t out_sent;                   /* of out */
    char *view;                        /* input not yet consumed; in `in`, or NULL */
    size_t view_len;
    struct exchange_pool pool;
    struct list orphans; /* exchanges that run for nobody, of which nothing was said yet */
    const struct forwarded_rules *forwarded; /* NULL: nobody is believed */
    const struct network_list *proxies;      /* who sends PROXY protocol headers; NULL: nobody */
    enum proxy_version proxy_version;        /* of which version */
    struct str id_header; /* name of the field that answers carry their trace id in; empty: none */
    struct deferred_box *box; /* of tickets; the driver's, who looks into it when it is woken; NULL:
                               * no answer can be put off */
    uint64_t now_us;          /* set by the driver before each turn */
    uint64_t trace_seed;      /* first half of every trace id made here; conn_env_set_seed() */
    uint64_t trace_count;     /* second half of the last one */
    uint64_t
        moved; /* octets of bodies for another process that did not stay where they were received,
                     * ever; small ones do not count: they go with the head */
    char trace_text[TRACE_ID_LEN + 1]; /* the last one */
    bool is_keep_alive_off;            /* every answer says Connection: close */
    bool is_draining;      /* so does each behind which no further request is here already */
    struct str common;     /* "Server: …\r\nDate: …\r\n" in common_text, */
    struct str identified; /* and with the field of a trace id behind it, that of nobody; empty:
                             * there is no such field, or its name is too long */
    char common_text[320];
    int64_t common_second; /* for which it was made */
};

/* in_bytes  size of the input buffer, 4096 …
 * Returns   0; -ENOMEM */
int conn_env_init(struct conn_env *env, const struct http_limits *limits,
                  const struct router *router, const struct conn_hooks *hooks, void *owner,
                  size_t in_bytes) __attribute__((warn_unused_result));
void conn_env_fini(struct conn_env *env);

/* Between two turns: from now on input is received into blocks, where there is room for them, which
 * is to be asked for again now and then; source NULL: no more. It outlives the environment, or is
 * taken away before. */
void conn_env_use_blocks(struct conn_env *env, const struct block_source *source);

/* Pays what the application is owed for this request (exchange_settle()), with the hook around. */
void conn_env_settle_owed(struct conn_env *env, struct exchange *ex);
static inline void conn_env_settle(struct conn_env *env, struct exchange *ex)
{
    if (exchange_is_owed(ex))
        conn_env_settle_owed(env, ex);
}

/* A request keeps what is in `in`, which becomes another buffer of the same size.
 * out_block  held; NULL: what it was lies in *out_heap instead
 * Returns    0; -ENOMEM */
int conn_env_part_with_input(struct conn_env *env, struct block **out_block, struct buf *out_heap)
    __attribute__((warn_unused_result));

/* Begins to count trace ids anew.
 * seed  random, one a process, so that no two processes make the same; 0 at first */
void conn_env_set_seed(struct conn_env *env, uint64_t seed);

/* Makes the lines that all answers have anew when the second has changed. server: value of the
 * Server field, at most CONN_SERVER_MAX bytes; empty: none. wall_seconds since 1970 */
void conn_env_set_time(struct conn_env *env, int64_t wall_seconds, struct str server);

#endif
