/* A task of the compute pool on its way: from a web worker through the pool's queue to one compute
 * worker, and its replies back into the web worker's inbox.
 *
 *     web worker                                  compute worker
 *     image in its slice, a record for it
 *     task_send() ────────── queue ─────────────→ task_receive() straight into its seat
 *                                                 task_claim(), task_is_wanted(), runs it
 *                                                 task_yield()
 *     task_receive_reply() ←───── inbox ───────── task_reply(), task_rest()
 *     reads the answer from the other's slice
 *     task_end(): record free ··················→ task_is_held() no more: room given back
 *
 * Everyone here has run app code, so nobody is believed: what is received is copied and checked, a
 * reply says for which task it is and the kernel says from whom. What no check can see is whether
 * numbers within bounds are the right ones; they can only spoil the answer of their own task.
 *
 * A task gets exactly one final reply, also one that is dropped unrun, or its worker's death is
 * told by the master. Until then its record and what it refers to stay. */
#ifndef REMUDA_IPC_TASK_H
#define REMUDA_IPC_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/account.h"
#include "ipc/segment.h"

struct err;

/* ---- identity ----
 *
 * One bit that is 0, eleven of the asker's seat, sixteen of the record, and a count. So who reads
 * an identity knows whom to tell and where it is looked up; that another occupant of the seat comes
 * upon the same one is left to the count's beginning, which is random. */

#define TASK_SEATS_MAX 2048U
#define TASK_RECORDS_MAX 65536U
#define TASK_COUNT_BITS 36U
#define TASK_NEVER_US UINT64_MAX

/* seat below TASK_SEATS_MAX, record below TASK_RECORDS_MAX; of count the lower bits. Never 0 where
 * these bits of count are not. */
uint64_t task_make_id(uint32_t seat, uint32_t record, uint64_t count);
uint32_t task_seat_of(uint64_t id);
uint32_t task_record_of(uint64_t id);

/* ---- the descriptor ---- */

#define TASK_TRACE_MAX 128U

enum task_kind {
    TASK_REQUEST = 1, /* a request image; route is the router's index */
    TASK_CALL,        /* a function of the app's task table; route is its index, body its payload */
    TASK_KINDS
};

/* Where the body (of a call: the payload) is. */
enum task_body {
    TASK_BODY_NONE, /* there is none, or it is in the image */
    TASK_BODY_SLICE,
    TASK_BODY_SPOOL, /* in the file that comes with the descriptor, from its beginning */
    TASK_BODIES
};

/* What a queue carries. References are into the slice of task_seat_of(id). */
struct task {
    uint32_t magic;
    uint16_t version;
    uint8_t kind;         /* enum task_kind */
    uint8_t body;         /* enum task_body */
    uint64_t id;          /* cleared first, where others look */
    uint64_t started_us;  /* first octet of the request */
    uint64_t queued_us;   /* when it was sent */
    uint64_t deadline_us; /* TASK_NEVER_US: none */
    uint64_t fingerprint; /* keyed hash of what was asked, for poison; 0: none */
    uint64_t image_at;    /* TASK_REQUEST: http/image.h */
    uint64_t body_at;     /* TASK_BODY_SLICE */
    uint64_t body_len;
    uint64_t usual_us; /* that tasks of its route take, as far as the asker has measured; 0: it has
                          not */
    uint64_t queue_target_us; /* how long it should wait at most; 0: it is not to be shed */
    uint32_t image_len;
    uint16_t route;
    uint8_t trace_len;
    uint8_t by_file;      /* TASK_CALL: 1: a result that is large comes in a file */
    uint8_t reserved[32]; /* zero */
    char trace[TASK_TRACE_MAX];
};

/* A task of a kind with everything else zero, and no deadline. */
struct task task_make(enum task_kind kind, uint64_t id);

/* Notes the trace id: A–Z a–z 0–9 . _ - =; one that is longer or has others in it is left out. */
void task_set_trace(struct task *task, const char *text, size_t len);

/* Has it waited for so long that what is left of its time is not enough, as far as is known? Such a
 * task is dropped: begun, it would only be killed, with the worker that others wait for. One that
 * has not had the time from the beginning is run, since then it is what is known that may be
 * wrong. */
bool task_is_hopeless(const struct task *task, uint64_t now_us);

/* ---- the queue of a pool ---- */

/* For those who write to it; fd, and the numbers that come with it. */
struct task_queue {
    int fd;
    uint32_t charge; /* what the kernel counts for one task, bytes */
    uint32_t limit;  /* tasks that may wait */
};

/* Makes a queue, which runs one way. Both ends close-on-exec; nobody needs to change their flags.
 * limit    1 …
 * Returns  0; -ENOBUFS the kernel does not let a socket hold so many, *err says how many it does
 *          and what to do; another -errno */
int task_open_queue(uint32_t limit, int *out_read_fd, struct task_queue *out_queue, struct err *err)
    __attribute__((warn_unused_result));

/* Tasks that wait, whoever sent them, as the kernel counts. Returns ≥ 0; -errno
 * Safe     threads: any · may block: no. A tenth of a microsecond */
int task_count_queued(const struct task_queue *queue);

/* Puts a task into the queue, or does not.
 * inbox_fd  to reply to; the caller keeps its own copy of this and the next
 * spool_fd  TASK_BODY_SPOOL: the file; else -1
 * Returns   0; -EAGAIN it is full; -EPIPE nobody can read it any more; another -errno
 * Safe      threads: any · may block: no */
int task_send(const struct task_queue *queue, const struct task *task, int inbox_fd, int spool_fd)
    __attribute__((warn_unused_result));

/* Moves what waits in a queue that was shut to another, unread.
 * read_fd   of the first; nobody writes to it any more
 * Returns   how many went over; *out_lost: how many did not
 * Safe      may block: no. Some microseconds a task */
uint32_t task_move_all(int read_fd, const struct task_queue *to, uint32_t *out_lost);

/* ---- the seat of a compute worker, in its part of the shared table ----
 *
 * claim has two writers, so it changes by compare-and-swap only: to an id by the worker that begins
 * with it; to the id with TASK_DONE by the worker that is done; to TASK_CONDEMNED by the master,
 * before it kills. Who comes too late leaves the task to the other, so no kill hits the next one,
 * and none goes astray between task_receive() and task_claim(). */

#define TASK_DONE (UINT64_C(1) << 63)
#define TASK_CONDEMNED UINT64_MAX

struct task_seat {
    struct task task; /* written by the kernel, for the worker */
    _Atomic uint64_t claim;
    struct account_mark mark; /* what the worker had used before this task */
};

/* Takes a task, straight into the seat, so that whoever dies has it on record before the first
 * instruction is executed.
 * place     in the shared table
 * out_task  a private copy, checked: magic, version, kind, id, trace, and that the descriptors are
 *           those it needs. References are not: segment_at()
 * out_fds   inbox and spool file, -1 where there is none; the caller's
 * Returns   1; 0 nobody can write any more; -EAGAIN there is none; -EPROTO, or another -errno: what
 *           was taken can't be run or answered. The worker exits, and the master tells who asked */
int task_receive(int queue_fd, struct task_seat *place, struct task *out_task, int out_fds[2])
    __attribute__((warn_unused_result));

/* The worker begins with a task. Returns false: condemned, it is about to be killed */
bool task_claim(struct task_seat *place, uint64_t id) __attribute__((warn_unused_result));

/* It is done, before it replies. Returns false: condemned; somebody else has answered */
bool task_yield(struct task_seat *place, uint64_t id) __attribute__((warn_unused_result));

/* It has replied. */
void task_rest(struct task_seat *place);

enum task_state {
    TASK_NONE,
    TASK_TAKEN,   /* not begun. It may still be on its way in: only its id is certain */
    TASK_RUNNING, /* or its worker is condemned */
    TASK_REPLYING /* done; whether the reply went out nobody knows but who gets it */
};

/* The master: what a worker has in hand. Of a dead one it is told to who asked, whatever its state:
 * a reply that went out is in the inbox by then.
 * out_task  a copy, checked as by task_receive(); set unless TASK_NONE
 * Returns   its state; TASK_NONE also when what is there is none */
enum task_state task_peek(const struct task_seat *place, struct task *out_task);

/* The master, before it kills a worker for a task. Returns false: it is not this task that it would
 * hit, leave it */
bool task_condemn(struct task_seat *place, uint64_t id) __attribute__((warn_unused_result));

/* Why a task has no answer, as the master tells who asked. */
enum task_loss {
    TASK_LOSS_CRASH = 1, /* its worker crashed, or exited */
    TASK_LOSS_MEMORY,    /* its worker was refused memory */
    TASK_LOSS_TIMEOUT,   /* its time was over */
    TASK_LOSS_CPU,       /* it used more CPU time than it may */
    TASK_LOSS_CANCELLED, /* nobody waited for it any more */
    TASK_LOSS_KILLED,    /* its worker was killed from outside */
    TASK_LOSS_STARVED,   /* the kernel had no memory left, and killed its worker */
    TASK_LOSS_STOPPED,   /* its worker had to end: a stop, or graceful_timeout */
    TASK_LOSSES
};

/* ---- replies ---- */

#define TASK_WINDOW_BYTES                                                                          \
    (1U << 18)                  /* of parts of one stream that may be on their way: what was sent
                                        and is not done with. Who sends more is cut off */
#define TASK_AT_FILE UINT64_MAX /* data_at of a result that is in the file which comes with it */
#define TASK_LARGE_BYTES 65536U /* more is not copied on a loop, which takes 10 µs for so much */
#define TASK_INLINE_MAX 4096U   /* octets that go with a frame; what is larger stays in the slice */

enum task_reply_kind {
    TASK_ANSWER = 1, /* final: an answer image; perhaps a file to send from */
    TASK_BEGIN,      /* the image of a head; parts of its body follow */
    TASK_PART,       /* of a body */
    TASK_END,        /* final: of parts. error: broken off */
    TASK_RESULT,     /* final: what a call gave; error is the function's */
    TASK_DROPPED,    /* final: not run, since nobody waits for it or its time was over */
    TASK_FAILED,     /* final: could not be run or answered. error: why */
    TASK_SHED,       /* final: not run, since all in the queue wait for too long */
    TASK_REPLY_KINDS
};

/* References are into the slice of seat. */
struct task_reply {
    uint32_t magic;
    uint16_t version;
    uint16_t kind; /* enum task_reply_kind */
    uint64_t id;
    uint32_t seat;     /* of the sender */
    int32_t error;     /* positive errno; 0 */
    uint64_t image_at; /* the image; where image_len is 0 it is in the frame */
    uint64_t data_at; /* body of an answer, part, result; where data_len is 0 it is in the image, or
                          in the frame; TASK_AT_FILE */
    uint64_t data_len;
    uint32_t image_len;
    uint32_t inline_len; /* octets in the frame, at most TASK_INLINE_MAX */
    uint64_t wait_us;    /* the last six: of final replies. From queued to taken */
    uint64_t wall_us;    /* from taken to done */
    uint64_t cpu_us;
    uint64_t peak_bytes; /* resident, at most */
    uint64_t faults;     /* pages it touched for the first time */
    uint64_t delay_us;   /* of wall_us: ready to run, while others had the CPUs; 0: or not known */
};

struct task_frame {
    struct task_reply reply;
    char octets[TASK_INLINE_MAX];
};

struct task_reply task_make_reply(enum task_reply_kind kind, uint64_t id, uint32_t seat);

/* Is it the last word on its task? */
bool task_is_final(const struct task_reply *reply);

/* Of a final reply: how its task ended, and what it has used. */
enum account_number task_end_of(const struct task_reply *reply);
struct account_used task_used(const struct task_reply *reply);

/* Makes an inbox. write_fd goes with each task, and is kept open here, so that it never ends but by
 * somebody's shutdown(2).
 * Returns  0; -errno */
int task_open_inbox(int *out_read_fd, int *out_write_fd) __attribute__((warn_unused_result));

/* Is there much in an inbox that waits to be read? Then frames should be small, so that more of
 * them fit before it is full. Safe: threads: any. A tenth of a microsecond */
bool task_is_crowded(int inbox_fd);

/* Replies.
 * frame    octets are set as far as reply.inline_len says
 * file_fd  TASK_ANSWER: to send from; TASK_RESULT: the result, data_len octets of it; else -1. The
 *          caller keeps its own copy
 * Returns  0; -EAGAIN the inbox is full: wait until it is writable; -EPIPE nobody reads it;
 *          -ETOOMANYREFS with a file: more descriptors of this user are on their way than it may
 *          have open, unix(7); another -errno */
int task_reply(int inbox_fd, const struct task_frame *frame, int file_fd)
    __attribute__((warn_unused_result));

/* Takes a reply.
 * out_frame  checked: size, magic, version, kind. Not the references; and whether the task is one's
 *            own, and of whom it was awaited, is the caller's to look up
 * out_fd     TASK_ANSWER, TASK_RESULT: a file, or -1. What it is must be looked at before it is
 *            read
 * out_pid    who sent it, as the kernel says; also with -EPROTO; 0 unknown
 * Returns    1; -EAGAIN there is none; -EPROTO a frame that nobody may send; -EMFILE the frame is
 *            there, the file that came with it could not be had; 0 somebody has shut it: nothing
 *            comes any more, open another; another -errno */
int task_receive_reply(int inbox_fd, struct task_frame *out_frame, int *out_fd, pid_t *out_pid)
    __attribute__((warn_unused_result));

/* ---- records: what the asker says of its task while it is out ----
 *
 * A table at the beginning of the asker's slice, the first that is taken of it; written by the
 * asker alone, read by who has the task. */

struct task_record {
    _Atomic uint64_t id;           /* of the task whose data is in use; 0: none */
    _Atomic uint64_t consumed;     /* octets of parts that are done with, ever */
    _Atomic uint32_t bell;         /* changes with every change; what is waited on */
    _Atomic uint32_t is_cancelled; /* nobody waits for the answer */
    _Atomic uint32_t
        is_withdrawn;  /* it is to be dropped unless it has begun: its asker would rather
                                      run it itself */
    char reserved[36]; /* a line of the cache for each */
};

/* The asker: a record is in use for a task; n more octets are done with, whose room may be used
 * again; nobody waits for it any more; it is not to be begun; all is done with.
 * Safe     threads: one at a time */
void task_begin(struct task_record *record, uint64_t id);
void task_consume(struct task_record *record, uint64_t n);
void task_cancel(struct task_record *record);
void task_withdraw(struct task_record *record);
void task_end(struct task_record *record);

/* The record of a task. Returns NULL when its identity names none that can be */
const struct task_record *task_record(const struct segment *segment, uint64_t id);

/* Does anybody wait for it? Safe: threads: any */
static inline bool task_is_wanted(const struct task_record *record, uint64_t id)
{
    return atomic_load_explicit(&record->id, memory_order_relaxed) == id &&
           !atomic_load_explicit(&record->is_cancelled, memory_order_relaxed);
}

/* Is it not to be begun? */
static inline bool task_is_withdrawn(const struct task_record *record)
{
    return atomic_load_explicit(&record->is_withdrawn, memory_order_relaxed) != 0;
}

/* Is what was replied still being read? */
static inline bool task_is_held(const struct task_record *record, uint64_t id)
{
    return atomic_load_explicit(&record->id, memory_order_acquire) == id;
}

/* Octets of parts that are done with. */
static inline uint64_t task_consumed(const struct task_record *record)
{
    return atomic_load_explicit(&record->consumed, memory_order_acquire);
}

/* Waits until at most `most` octets of those that were sent are not done with.
 * sent         octets, ever
 * deadline_us  TASK_NEVER_US: none
 * Returns      0; -ECANCELED nobody wants it; -ETIMEDOUT
 * Safe         threads: any · may block: yes */
int task_await_credit(const struct task_record *record, uint64_t id, uint64_t sent, uint64_t most,
                      uint64_t deadline_us) __attribute__((warn_unused_result));

/* Waits for a time to come.
 * Returns      0 it has; -ECANCELED nobody wants the task
 * Safe         threads: any · may block: yes */
int task_sleep(const struct task_record *record, uint64_t id, uint64_t until_us)
    __attribute__((warn_unused_result));

#endif
