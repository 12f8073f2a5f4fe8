/* The desk of the compute lane: the tasks of one web worker, where they are, and who waits for
 * them. For the files of that lane: workers/web_compute.c, which hands over, and
 * workers/desk_reply.c, which takes what comes back. All of it runs on the worker's own thread.
 *
 * A slot is a task in private memory; its record is what the compute worker sees of it. It is free
 * again when the task has had its last word, nothing of its answer is being sent, and nobody waits
 * for it, in whatever order that comes. */
#ifndef REMUDA_WORKERS_DESK_H
#define REMUDA_WORKERS_DESK_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/task.h"
#include "workers/admission.h"
#include "workers/handover.h"
#include "workers/web.h"

#define DESK_NO_SEAT UINT32_MAX

struct account_used;
struct offload;

/* A task of this worker's. */
struct desk_slot {
    struct desk *desk;
    uint64_t id;              /* 0: free */
    struct exchange *ex;      /* that waits for what comes next; NULL: nobody waits */
    struct exchange *streams; /* whose stream it is, while that is lent; NULL */
    struct offload *call; /* of a handler's (workers/offload.h), while it is out; NULL: a request */
    struct handover put;
    uint64_t sent_us; /* when its task was made */
    uint64_t deadline_us;
    uint64_t cancelled_us; /* when its client left; 0: it has not */
    struct buf parts;      /* of a stream: came, and not yet taken for the client */
    uint32_t seat;         /* whose slice the answer lies in, while it is lent; DESK_NO_SEAT */
    uint16_t subject;      /* whose breaker and times it counts for: index of its
                            * route; of a call n_routes and that of its task */
    uint8_t pool;
    bool is_probe;     /* its route's breaker lets it in to try, and waits for what becomes of it */
    bool is_out;       /* its last word is to come */
    bool is_lent;      /* its answer is with the connection machine, until res.done; or its result
                     * with a thread that copies it */
    bool is_stream;    /* of parts */
    bool is_broken;    /* that stream: it does not get to its end */
    bool is_told;      /* the master knows that it is to end */
    bool is_left;      /* its replies come to the inbox that was left */
    bool is_cut;       /* it can't reply any more */
    bool is_sought;    /* it may be lost: workers/desk_seek.h */
    bool is_withdrawn; /* if it is dropped, a thread of this worker's is to run it */
};

struct desk_pool {
    struct task_queue queue; /* fd -1: not handed over */
    uint32_t n_workers;      /* that it has, or gets at once */
    bool is_full;            /* told in the log */
    struct admission admission;
    struct overload overload;
};

struct desk_seat {
    uint32_t n_held;     /* answers that lie in its slice */
    uint32_t gone_epoch; /* its occupant is dead, and this is owed a LET_GO; 0: not so */
};

struct desk {
    struct web *web;
    const struct heritage *heritage;
    struct segment segment;
    struct block_source blocks; /* in which the worker receives */
    struct segment_run table;   /* the records */
    struct task_record *records;
    struct desk_slot *slots; /* n_slots, one a record */
    uint32_t *free;          /* stack of free ones */
    uint32_t n_slots;
    uint32_t n_free;
    uint32_t n_out;
    uint64_t count;     /* lower bits of the last id */
    int watch_fd;       /* epoll of the inboxes (workers/desk_inbox.h) */
    int inbox_fd;       /* -1: there is none, for want of descriptors */
    int reply_fd;       /* its other end, which goes with each task; -1: likewise */
    int left_fd;        /* the one that was left; -1: there is none */
    int left_reply_fd;  /* kept, so that it never ends but by somebody's shutdown(2) */
    uint32_t n_left;    /* tasks that are out and reply there */
    uint32_t n_strays;  /* replies to tasks that are not out, since the last tick */
    pid_t liar_pid;     /* told in the log */
    uint32_t liar_seat; /* where it was found */
    pid_t nowhere_pid;  /* was found nowhere since the last tick; 0 */
    struct desk_pool pools[SETTINGS_POOLS_MAX];
    uint16_t n_routes; /* of the app; its subjects are these, and behind them its tasks */
    uint16_t n_subjects;
    int8_t *pool_of;            /* of each subject, */
    struct admission *times;    /* and how long it takes */
    struct desk_seat *seats;    /* n_seats of the segment */
    uint64_t turned_us;         /* the slice's last period began */
    bool is_seeking;            /* some of the slots are sought */
    uint64_t due_us;            /* for when due_fd is set; TASK_NEVER_US: it is not */
    int due_fd;                 /* a timer; -1: nothing has its time looked at but by the tick */
    _Atomic uint64_t *breakers; /* a word for each subject, shared; NULL: there are none */
    uint32_t n_breakers;
    uint64_t told_copied; /* of what desk_count_copied() counts */
    struct task_frame frame;
};

/* What the asker says of the task. */
struct task_record *desk_record(const struct desk_slot *slot);

/* One that is free, with another identity than all before. NULL: there is none */
struct desk_slot *desk_take_slot(struct desk *d);

/* Frees it, where nothing holds it any more. */
void desk_free_slot(struct desk_slot *slot);

/* The task with this identity, whose last word is to come. NULL: there is none */
struct desk_slot *desk_find(struct desk *d, uint64_t id);

/* It is about to be sent: its record is in use, its last word is to come. */
void desk_begin_task(struct desk_slot *slot);

/* Its last word has come, or none will: what it was given is not read any more. */
void desk_end_task(struct desk_slot *slot);

/* What the task answered lies in the slice of this seat, and is to stay there. */
void desk_lend(struct desk_slot *slot, uint32_t seat);

/* It is not needed there any more. Afterwards the slot may be free. */
void desk_take_back(struct desk_slot *slot);

/* The exchange that waits goes back: with an answer; with an error page (away_fail()); with what
 * there is of a stream. */
void desk_turn_in(struct desk_slot *slot);
void desk_fail(struct desk_slot *slot, int status, const char *why);
void desk_produce(struct desk_slot *slot);

/* No last word will come: ends it, and with it whoever waits: by an error page, or by breaking its
 * stream off. Afterwards the slot may be free. */
void desk_give_up(struct desk_slot *slot, int status, const char *why);

/* Who runs it is to be killed; the master is told once. */
void desk_tell_overdue(struct desk_slot *slot, enum task_loss loss);

/* Nobody waits for a task that is out. One whose time is over is killed at once; one whose client
 * has left gets a moment to find that out, where the pool does not say that it is finished. */
void desk_abandon(struct desk_slot *slot);

/* The occupant of a seat is dead and nothing of his is held any more: the master is told. */
void desk_let_go(struct desk *d, uint32_t seat);

/* Time is looked at then, and not only at the next tick. at_us: may be TASK_NEVER_US */
void desk_expect(struct desk *d, uint64_t at_us);

/* Is another task let in? Says in the log when a pool begins to take none.
 * n            that wait in its queue; -errno: that can't be told
 * deadline_us  of the task
 * out_wait_us  how long it would wait, as far as is known */
bool desk_admit(struct desk *d, int pool, int n, uint64_t deadline_us, uint64_t *out_wait_us);

/* Likewise, for one that comes again where there is none: nothing is said, or counted. */
bool desk_has_room(const struct desk *d, int pool, int n, uint64_t deadline_us);

/* One was not let in after all. why: for the log */
void desk_tell_full(struct desk *d, int pool, const char *why);

/* The client is told when another try may get somewhere: of an answer 503. */
void desk_set_retry(struct exchange *ex, uint64_t wait_us);

/* How long a task would wait in a pool behind n others, as far as is known. */
uint64_t desk_wait_us(const struct desk *d, int pool, int n);

/* Counts what was copied since the last call: by segment_copy(), and while bodies were received. */
void desk_count_copied(struct desk *d);

/* For the access log: how the task of an exchange ended, and what it has used; NULL: that is not
 * known. end: static text */
void desk_account(struct exchange *ex, const char *end, const struct account_used *used);

/* A line of the log about a task. */
void desk_log(const char *event, const struct desk_slot *slot, const char *reason);

#endif
