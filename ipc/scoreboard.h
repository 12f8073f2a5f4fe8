/* The shared table. A memfd of fixed size: one head page, then a page-aligned part for each seat.
 * Every process maps all of it read-only and its own part read-write, so a wild write hurts only
 * its writer. No pointers, no locks; one writer per field: the seat's occupant, or where stated the
 * master. Numbers that others read while they change are atomics with relaxed order: each stands
 * for itself, and nobody concludes from one to another. */
#ifndef REMUDA_IPC_SCOREBOARD_H
#define REMUDA_IPC_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/meter.h"
#include "ipc/account.h"
#include "ipc/profile.h"

struct err;
struct remains;   /* ipc/remains.h */
struct task_seat; /* ipc/task.h */

#define SCOREBOARD_LAYOUT 13U
#define SCOREBOARD_TARGET_MAX 200
#define SCOREBOARD_TRACE_MAX 128
#define SCOREBOARD_BATCH_BYTES (64U * 1024U)
#define SCOREBOARD_TASK_BYTES 4096U
#define SCOREBOARD_POISONS 64U
#define SCOREBOARD_MORE_ROUTES 2U /* blocks beside limit_routes: "static" and "none" */

/* A request that has killed compute workers: web workers refuse it. */
struct scoreboard_poison {
    _Atomic uint64_t print;    /* workers/fingerprint.h; 0: none */
    _Atomic uint64_t until_us; /* by base/clock.h */
    _Atomic uint64_t loss;     /* enum task_loss: of what they died */
};

/* Written only by the master, before the first fork and at each change of what it tells. */
struct scoreboard_head {
    uint32_t layout; /* SCOREBOARD_LAYOUT */
    uint32_t n_seats;
    uint32_t n_inflight; /* entries in each part */
    uint32_t n_routes;   /* statistics blocks in each part */
    uint64_t started_us;
    int32_t master_pid;
    _Atomic uint32_t stage;  /* enum board_stage */
    _Atomic uint32_t n_used; /* all seats that are taken are below */
    uint64_t key[2];         /* random, for hashes that clients shall not find collisions of */
    struct scoreboard_poison poisons[SCOREBOARD_POISONS];
};

/* How the server stands, for whoever is asked whether it takes requests. */
enum board_stage {
    BOARD_SERVING,
    BOARD_LEAVING, /* still serves, until drain_delay is over: balancers should go elsewhere */
    BOARD_STOPPING
};

enum entry_phase {
    ENTRY_FREE,
    ENTRY_HANDLER,  /* its handler runs */
    ENTRY_STREAM,   /* its answer is being produced or sent */
    ENTRY_DEFERRED, /* the app has put its answer off */
    ENTRY_QUEUED,   /* it waits for a thread */
    ENTRY_IO,       /* its handler runs on a thread */
    ENTRY_COMPUTE,  /* it is a task of a compute pool: waits in its queue, or runs */
    ENTRY_PHASES
};
extern const char *const scoreboard_phase_names[ENTRY_PHASES];

/* One request: `current`, or one that waits. phase is written last and cleared first. */
struct request_entry {
    _Atomic uint32_t phase;           /* enum entry_phase; FREE: the rest means nothing */
    uint16_t route;                   /* index; UINT16_MAX: none matched */
    uint16_t target_len;              /* of target; longer ones are cut */
    uint64_t started_us;              /* first byte of the request */
    uint8_t trace_len;                /* of trace */
    char trace[SCOREBOARD_TRACE_MAX]; /* A–Z a–z 0–9 . _ - = */
    char method[20];                  /* NUL-terminated */
    uint16_t peer_family;             /* AF_INET, AF_INET6, else no address is known */
    uint8_t peer_address[16];         /* network order; AF_INET: the first 4 */
    char target[SCOREBOARD_TARGET_MAX];
    /* Of the phases IO and, in compute workers, HANDLER; written behind the phase, 0 before. */
    _Atomic uint64_t began_us; /* when its handler began, by base/clock.h */
    _Atomic int32_t tid;       /* of the thread that runs it */
};

/* A slow request of late, as an example. Whoever copies it looks at `version` before and behind: it
 * is odd while this is written, and another when it was. */
struct route_exemplar {
    _Atomic uint32_t version;         /* 0: there is none yet */
    uint8_t trace_len;                /* of trace */
    char trace[SCOREBOARD_TRACE_MAX]; /* A–Z a–z 0–9 . _ - = */
    uint64_t latency_us;              /* first byte to answer, nearly as in `latency` */
    int64_t wall_us;                  /* when it was answered, since 1970 */
};

/* One route in one worker; behind those of routes and tasks, "static" for requests that a mount of
 * the settings answers, and "none" for those that no route was found for. */
struct route_stats {
    char name[96]; /* "GET /hello/:name"; one that was cut ends in "~" and a hash of all of it */
    _Atomic uint64_t requests;
    _Atomic uint64_t errors; /* answers 5xx */
    struct account account;  /* of compute workers: its tasks */
    /* Of web workers, from here on. */
    _Atomic uint32_t lane; /* enum profile_lane: where it runs now */
    /* 1 + the compute pool into which it may be moved, since its lane is auto; 0: it may not. */
    _Atomic uint32_t auto_pool;
    _Atomic uint64_t answers[PROFILE_LANES][PROFILE_METHODS][PROFILE_CLASSES];
    _Atomic uint64_t latency[METER_BUCKETS]; /* answers, as in struct seat_head, */
    _Atomic uint64_t latency_us;             /* and their sum */
    struct route_exemplar exemplar;
    struct profile lanes[PROFILE_LANES];
};

/* What an open connection waits for; told by event workers, twice a second. */
enum scoreboard_connection {
    SCOREBOARD_CONNECTION_IDLE, /* another request */
    SCOREBOARD_CONNECTION_HEAD, /* the rest of a head, or its first request */
    SCOREBOARD_CONNECTION_BODY,
    SCOREBOARD_CONNECTION_WRITE,  /* the client, to take more of an answer */
    SCOREBOARD_CONNECTION_LINGER, /* the client, to close its side */
    SCOREBOARD_CONNECTION_APP, /* the application: a thread, a task, a stream, a deferred answer */
    SCOREBOARD_CONNECTIONS
};
extern const char *const scoreboard_connection_names[SCOREBOARD_CONNECTIONS];

enum seat_state { SEAT_STATE_BOOTING, SEAT_STATE_READY, SEAT_STATE_DRAINING, SEAT_STATES };
extern const char *const scoreboard_state_names[SEAT_STATES];

/* What of the app's code had the loop. */
enum loop_call_kind {
    LOOP_CALL_HANDLER, /* filters included */
    LOOP_CALL_CONSUMER,
    LOOP_CALL_PRODUCER,
    LOOP_CALL_ANSWER, /* of a ticket */
    LOOP_CALL_DONE, /* a callback that releases something, or a ticket's for which it is too late */
    LOOP_CALL_ERROR_PAGE,
    LOOP_CALL_KINDS
};
extern const char *const scoreboard_call_names[LOOP_CALL_KINDS]; /* "handler" … "error_page" */

/* The longest of many. */
struct loop_call {
    _Atomic uint64_t us; /* that it took; 0: there was none */
    _Atomic uint64_t at_us;
    _Atomic uint32_t route; /* index; UINT16_MAX: of none */
    _Atomic uint32_t kind;  /* enum loop_call_kind */
};

/* The first page of a part. */
struct seat_head {
    uint32_t layout;
    uint32_t epoch;
    int32_t role;
    int32_t slot;
    int32_t generation;
    int32_t pid; /* for readers; the master never signals by it */
    _Atomic uint32_t state;
    _Atomic uint32_t is_full;      /* at worker_connections, or out of descriptors */
    _Atomic uint64_t heartbeat_us; /* last turn of its loop */
    _Atomic uint64_t connections;  /* open now */
    _Atomic uint32_t n_inflight;   /* entries in use of those for requests that wait */
    _Atomic uint32_t lag_us;       /* longest turn of its loop in the last second */
    _Atomic uint32_t drift_us;     /* by how much its timer was late, at most, in the last second */
    _Atomic uint32_t io_threads;   /* of the io lane, living, but for those left behind */
    _Atomic uint32_t io_queued;    /* requests that wait for one of them */
    _Atomic uint32_t io_limit;     /* threads that there may be */
    _Atomic uint64_t io_sent;      /* errands that were given to them, */
    _Atomic uint64_t io_done;  /* and that came back, were taken back, or were left behind (once) */
    _Atomic uint64_t accepted; /* counters from here on, never falling in one life */
    _Atomic uint64_t requests; /* answered */
    _Atomic uint64_t responses[6]; /* by class: [0] cut off without an answer, [1] … [5] */
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t log_dropped; /* access-log bytes that did not fit */
    _Atomic uint64_t slow;        /* handlers that held the loop for slow_callback */
    _Atomic uint64_t refused;     /* requests answered 503 since the io queue was full */
    _Atomic uint64_t shed;        /* requests answered 503 since all waited for too long */
    _Atomic uint64_t overdue;     /* handlers and tasks that were not waited for to their end */
    /* Of web workers: tasks that are out, and answers that lie in slices of others. Raised before a
     * task is sent, so who finds 0 when a compute worker is dead knows that nothing of it is held
     * here, then and ever. Sequentially consistent. */
    _Atomic uint64_t held;
    _Atomic uint64_t tasks;            /* of compute workers: run */
    struct account account;            /* likewise: what they used */
    _Atomic uint32_t n_account_routes; /* likewise: no route from here on has any */
    _Atomic uint64_t copied;           /* octets of tasks' payloads copied in user space */
    /* Answers by the time from their request's first byte to the end of the loop's turn. */
    _Atomic uint64_t latency[METER_BUCKETS];
    /* Of web workers: hand-overs of tasks by their time, which is from a task's being sent to its
     * reply's being taken, but for what it waited and ran. */
    _Atomic uint64_t handoff[METER_BUCKETS];
    _Atomic uint64_t handoff_us;                     /* their sum */
    _Atomic uint32_t clocks[SCOREBOARD_CONNECTIONS]; /* open connections by what they wait for */
    _Atomic uint64_t entered_ticks; /* by clock_ticks(): when the handler of `current` began */
    /* Ticks of its loop's timer, two a second, by how late each was. */
    _Atomic uint64_t drift[METER_BUCKETS];
    _Atomic uint64_t drift_sum_us; /* all of that */
    struct loop_call longest;      /* of the last second */
    struct loop_call longest_ever;
    char last_words[256];         /* of a failed assertion, NUL-terminated */
    struct request_entry current; /* the request whose handler runs */
    _Atomic uint32_t batch_len;   /* access-log bytes not yet written */
};

struct scoreboard {
    const char *base; /* whole table, read-only */
    size_t bytes;
    size_t part_bytes;
    uint32_t n_seats;
    uint32_t n_inflight;
    uint32_t n_routes;
};

/* One seat's part as its occupant (writable) or a reader sees it. */
struct scoreboard_part {
    struct seat_head *head;
    struct task_seat *task;         /* what a compute worker has in hand; a page of its own */
    struct request_entry *inflight; /* n_inflight */
    struct route_stats *routes;     /* n_routes */
    char *batch;                    /* SCOREBOARD_BATCH_BYTES */
    struct remains *remains;        /* where it was when it crashed; its last log lines */
};

#define SCOREBOARD_PEER_MAX 48

/* "192.0.2.1", "2001:db8::1", or "" when no address is known. Trusts nothing in the entry. */
void scoreboard_peer(const struct request_entry *entry, char out[SCOREBOARD_PEER_MAX]);

/* Copies an entry of another process: text ends and lengths are within their fields, whatever that
 * process has written; a phase that there is not becomes ENTRY_PHASES.
 * Returns  false: nobody uses it, *out means nothing */
bool scoreboard_read_entry(const struct request_entry *shared, struct request_entry *out);

/* The occupant: another example. trace is cut */
void scoreboard_set_exemplar(struct route_exemplar *exemplar, const char *trace, size_t trace_len,
                             uint64_t latency_us, int64_t wall_us);

/* Copies an exemplar of another process, whatever that has written.
 * Returns  false: there is none, or it changes right now; *out means nothing */
bool scoreboard_read_exemplar(const struct route_exemplar *shared, struct route_exemplar *out);

/* Its name, "?" for nonsense. */
const char *scoreboard_phase(const struct request_entry *entry);

/* Makes the table; the master keeps *out_fd to hand it on and maps everything read-only.
 * n_seats 1 …, n_inflight 1 …, n_routes 1 …
 * Returns 0; -errno, *err says which step */
int scoreboard_create(uint32_t n_seats, uint32_t n_inflight, uint32_t n_routes, int *out_fd,
                      struct scoreboard *out_board, struct err *err)
    __attribute__((warn_unused_result));

/* Maps one's own part for writing.
 * fd       the table; may be closed afterwards
 * Returns  0; -errno */
int scoreboard_map_part(const struct scoreboard *board, int fd, uint32_t seat,
                        struct scoreboard_part *out_part, struct err *err)
    __attribute__((warn_unused_result));

/* Master: maps the page of a seat's task for writing, to condemn it; until munmap(2) of
 * SCOREBOARD_TASK_BYTES. Returns as scoreboard_map_part() */
int scoreboard_map_task(const struct scoreboard *board, int fd, uint32_t seat,
                        struct task_seat **out_task, struct err *err)
    __attribute__((warn_unused_result));

/* A part for reading only: writing through it is a fault. */
struct scoreboard_part scoreboard_peek(const struct scoreboard *board, uint32_t seat);

/* Master: changes the stage that all others read. fd: the table. Returns 0; -errno */
int scoreboard_tell_stage(int fd, enum board_stage stage) __attribute__((warn_unused_result));

enum board_stage scoreboard_stage(const struct scoreboard *board);

/* Master: all seats that are taken are below this; told before anybody is born into one. fd: the
 * table. Returns 0; -errno */
int scoreboard_tell_used(int fd, uint32_t n_seats) __attribute__((warn_unused_result));

/* Where who looks for somebody in all seats may end: those behind have no memory yet, and would get
 * it by being looked at. Returns 0 … n_seats */
uint32_t scoreboard_used(const struct scoreboard *board);

/* Master: changes one of the poisons. index below SCOREBOARD_POISONS. Returns 0; -errno */
int scoreboard_tell_poison(int fd, uint32_t index, const struct scoreboard_poison *poison)
    __attribute__((warn_unused_result));

/* The first of a part's entries of requests in flight, from that on, that may be in use. Those of
 * pages that nobody has written to are passed over, since a look would make memory of them.
 * from     0 … n_inflight
 * Returns  its index; n_inflight: there is none */
uint32_t scoreboard_find_inflight(const struct scoreboard *board, int fd, uint32_t seat,
                                  uint32_t from);

/* Master, when a seat is freed: zeroes its part and gives its pages back. Returns 0; -errno */
int scoreboard_clear(const struct scoreboard *board, int fd, uint32_t seat)
    __attribute__((warn_unused_result));

#endif
