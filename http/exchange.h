/* What a connection needs only while a request is in it, and the pool of a loop that keeps some for
 * the next: a steady load allocates nothing, an idle connection has none. */
#ifndef REMUDA_HTTP_EXCHANGE_H
#define REMUDA_HTTP_EXCHANGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "http/access.h"
#include "http/block.h"
#include "http/body.h"
#include "http/chunked.h"
#include "http/deferred.h"
#include "http/parse.h"
#include "http/request.h"
#include "http/response.h"

/* Where the octets of a body go. */
enum sink {
    SINK_STORE,   /* to req.body, complete before the handler runs */
    SINK_CONSUME, /* to the application, as they come */
    SINK_DISCARD  /* nowhere: the answer did not wait for them */
};

/* What of the application's code an exchange is sent away for: http/away.h. */
enum errand {
    ERRAND_HANDLE,  /* filters and handler */
    ERRAND_CONSUME, /* its consumer, with `piece` */
    ERRAND_ANSWER,  /* the callback of the ticket `answering` */
    ERRAND_PRODUCE  /* its producer, into `made` */
};

/* What an errand took, for whoever runs errands: the machine only carries it. */
struct errand_cost {
    uint64_t queued_ns; /* when it was sent */
    uint64_t wait_ns;   /* from then to its begin */
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t delay_ns;
    bool is_due;      /* its CPU time is to be measured, */
    bool is_measured; /* and was */
    bool is_known;    /* it has been run, and nobody has noted yet what it took */
};

/* One request in the machine. While it is away it belongs to whoever runs the errand; the loop
 * touches only what says so here. */
struct exchange {
    struct exchange *next; /* in the pool */
    struct conn *conn;     /* the loop's: whose request it is; NULL: that has ended without it */
    struct rmd_request req;
    struct rmd_response res;
    struct parse parse;
    struct arena arena;
    struct buf store;         /* octets of a request that did not arrive in one read */
    struct body body;         /* one that did not arrive in one read, or was chunked */
    struct block *block;      /* held: what was the loop's input, with head or body; or NULL */
    struct block *body_block; /* held: in which the body is received; or NULL */
    struct chunked chunked;
    uint64_t body_left;             /* of known length: octets still to come */
    uint64_t body_octets;           /* of the body received, as on the wire, */
    uint64_t body_started_us;       /* since then: since it was asked for */
    struct rmd_deferred *ticket;    /* the loop's: that came in and is to be asked for the answer */
    struct rmd_deferred *answering; /* that is being asked */
    struct rmd_deferred token;      /* comes into the box when an errand is done */
    struct list away_link;          /* for whoever runs errands */
    struct list orphan_link;        /* the loop's: in conn_env.orphans */
    uint64_t overdue_us;            /* the loop's, of an orphan: when it takes too long; never,
                                     * CONN_NEVER_US, also when that has been said */
    uint64_t sent_before;           /* the loop's: res.body_sent when it was sent away */
    struct errand_cost cost;        /* of the last errand that was sent */
    struct str piece;
    void *task;           /* whoever runs errands: what it is to him; NULL: nothing yet */
    uint64_t deadline_us; /* the client's; of a task, set by hooks.choose(), the least of all there
                           * are: when its time is over. 0: as the route says, for each errand */
    uint64_t queued_us;   /* of the io lane: when it was sent there, */
    uint64_t queue_target_us; /* and for how long it should wait; 0: it is not to be shed */
    uint32_t retry_s;         /* of an answer that there is no room: try again then; 0: soon */
    const char *why;          /* for the server's own error page, in the arena or static; or NULL */
    const struct access_task *used; /* by its task, in the arena; NULL: nothing was said of that */
    struct buf made;                /* what a producer wrote; or the place of a piece */
    int wait_ms;                    /* what that producer returned */
    atomic_bool is_cancelled;       /* nobody waits for the answer any more: written by the loop */
    const _Atomic uint32_t *cancel_word; /* likewise, where not 0, by another process; NULL: none */
    const _Atomic uint64_t *wanted_word; /* or where it is not */
    uint64_t wanted;                     /* this. Where there is a cancel_word */
    uint8_t sink;                        /* enum sink */
    uint8_t errand;                      /* enum errand */
    uint8_t lane;     /* for hooks.choose(): of several elsewhere, in which it runs, or was to; 0 */
    uint16_t failure; /* away_fail(); 0: the errand has been done */
    bool is_io;       /* its application's code runs elsewhere, not on the loop */
    bool is_task;     /* and in another process, which can't touch it: hooks.recall() has it
                               * back at any time */
    bool is_second;   /* and its first worker died */
    bool is_away;     /* the loop's: it was sent and has not come back */
    bool is_left_behind; /* the loop's: it took too long, and its thread is not counted on */
    bool is_back;        /* it has, which is not looked at yet */
    bool is_made;        /* the producer's part has come back */
    bool has_more;       /* something of what only some have is to be cleared in the end */
    bool is_placed;      /* req.body grows where it is received, in a block */
    bool is_long;        /* and body_block has room for all of it */
    bool is_stream_chunked;
    bool is_in_env; /* req.base points into the loop's input buffer */
    bool is_body_in_env;
    bool is_continued;     /* 100 was sent, or is not waited for */
    bool is_handled;       /* the application has it, and its end is owed to hooks.finished */
    bool is_over;          /* answered; only the rest of its body is still to be read */
    struct field fields[]; /* limits.fields */
};

struct exchange_pool {
    struct exchange *first;
    uint32_t n;
    uint32_t n_fields;                 /* header fields that each exchange has room for */
    const struct arena_source *source; /* of blocks for arenas; NULL: the heap */
    struct buf spare;     /* of the last large body, for the next; cap 0: there is none */
    bool is_spare_wanted; /* somebody has, since exchange_shed() */
};

/* Pays whatever the application is owed for this request: its body, its consumer, its ticket.
 * Mostly nothing is, which is seen without a call. */
void exchange_settle_owed(struct exchange *ex);
static inline bool exchange_is_owed(const struct exchange *ex)
{
    const struct rmd_request *req = &ex->req;
    return ex->res.done || ex->res.kind == RESPONSE_FILE || req->consume || req->deferred ||
           ex->ticket || ex->answering;
}
static inline void exchange_settle(struct exchange *ex)
{
    if (exchange_is_owed(ex))
        exchange_settle_owed(ex);
}

/* The exchange that a request is part of. */
static inline struct exchange *exchange_of(const struct rmd_request *req)
{
    return (struct exchange *)(uintptr_t)((const char *)req - offsetof(struct exchange, req));
}

/* n_fields  limits.fields */
void exchange_init_pool(struct exchange_pool *pool, uint32_t n_fields);
void exchange_fini_pool(struct exchange_pool *pool);

/* One without request, arena and buffers empty. NULL when memory is refused. */
struct exchange *exchange_take(struct exchange_pool *pool);

/* Gives it back; large buffers but one, and more than a few exchanges are freed. */
void exchange_give_back(struct exchange_pool *pool, struct exchange *ex);

/* The body gets the memory of an earlier one if that has room for `want` octets more, and not much
 * too much: else whoever sends little, and slowly, would keep what others have filled. Fresh memory
 * comes from the kernel page by page, and each costs more than the octets that are read into it. */
void exchange_use_spare(struct exchange_pool *pool, struct exchange *ex, size_t want);

/* To be called now and then: memory that no body has wanted since the last time is freed. */
void exchange_shed(struct exchange_pool *pool);

#endif
