/* How a compute worker answers: frames into the asker's inbox, and octets that the asker reads
 * where they lie, in this worker's slice of the segment. What is read there stays until the asker's
 * record says that it is done with (ipc/task.h), so a slow client keeps its answer and nothing
 * else. */
#ifndef REMUDA_WORKERS_COMPUTE_REPLY_H
#define REMUDA_WORKERS_COMPUTE_REPLY_H

#include "base/arena.h"
#include "base/list.h"
#include "base/str.h"
#include "http/exchange.h"
#include "ipc/segment.h"
#include "ipc/task.h"

struct compute_held; /* an answer that is being read */

struct compute_reply {
    struct segment *segment;
    struct exchange_pool *pool;
    struct arena_source source; /* of the arenas of requests: the slice, the heap when it is full */
    struct list held;           /* answers that are being read, oldest first */
    uint32_t n_held;
    struct segment_run reserve; /* for fields of an answer when there is no other room; empty: it is
                                   in use */
    uint64_t copied;            /* octets of bodies that did not lie in the slice, ever */
};

/* Who waits for what is made. */
struct compute_asker {
    const struct task *task;
    const struct task_record *record;
    int inbox_fd;
};

/* A final reply, made and not sent. */
struct compute_answer {
    struct task_frame frame;
    struct segment_run run; /* taken for it; empty: none */
    int file_fd;            /* to go with it; -1: none */
    bool is_file_ours;      /* to be closed behind it; else it is the exchange's */
    bool is_read_here;      /* the asker reads what belongs to the exchange */
};

/* pool     of exchanges, from now on with arenas in the slice
 * segment  outlives it, as does pool */
void compute_reply_init(struct compute_reply *r, struct segment *segment,
                        struct exchange_pool *pool);

/* Makes the reply for what a handler has left in ex->res; anything but a stream.
 * Returns  0; -errno, then *out is a TASK_FAILED that says so */
int compute_reply_make(struct compute_reply *r, const struct compute_asker *asker,
                       struct exchange *ex, struct compute_answer *out);

/* Likewise, for what a task has given. error: its own, 1 …; 0: none, and there is a result */
int compute_reply_result(struct compute_reply *r, const struct compute_asker *asker, int error,
                         struct str result, struct compute_answer *out);

/* Likewise, of an error: positive errno. */
void compute_reply_fail(const struct compute_reply *r, uint64_t id, enum task_reply_kind kind,
                        int error, struct compute_answer *out);

/* Sends head and body of a stream, at the pace at which the asker takes it, until its producer
 * ends, nobody wants it any more, or its time is over; of one that was asked for by HEAD the head
 * alone. What is left to be sent is *out. */
void compute_reply_stream(struct compute_reply *r, const struct compute_asker *asker,
                          struct exchange *ex, struct compute_answer *out);

/* Sends a frame, and waits for the inbox to take it.
 * Returns  0; -EPIPE nobody reads it any more; -ETOOMANYREFS with a file: too many are on their
 *          way; another -errno */
int compute_reply_send(int inbox_fd, const struct task_frame *frame, int file_fd)
    __attribute__((warn_unused_result));

/* A place for an answer to wait in until it has been read, in the request's arena: before there is
 * an answer, since afterwards it must not be refused. NULL when memory is refused. */
struct compute_held *compute_reply_reserve(struct exchange *ex);

/* The final reply was sent: the exchange goes back to the pool, or waits until it has been read.
 * held     what was reserved; NULL: nothing of the exchange was sent */
void compute_reply_keep(struct compute_reply *r, const struct task_record *record,
                        struct exchange *ex, struct compute_held *held,
                        struct compute_answer *answer);

/* Gives back what has been read, and calls whom the app wants called for it. To be called now and
 * then, between two tasks. */
void compute_reply_reap(struct compute_reply *r);

#endif
