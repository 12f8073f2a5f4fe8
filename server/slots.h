/* The seats: a fixed table with one entry for each living process, in the master's private memory
 * and allocated before the first fork. What the master signals by (pids, epochs, phases) stands
 * here and nowhere else; a seat's number is also its part of the shared table. */
#ifndef REMUDA_SERVER_SLOTS_H
#define REMUDA_SERVER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/msg.h"
#include "ipc/role.h"
#include "ipc/task.h"

#define SLOTS_UNCLAIMED_MAX 1024 /* dead pids kept until somebody says whose they were */

enum seat_phase {
    SEAT_FREE,     /* nobody sits here */
    SEAT_FORKING,  /* asked for; its pid is not known yet */
    SEAT_BOOTING,  /* lives, is not ready */
    SEAT_READY,    /* does its work */
    SEAT_DRAINING, /* was asked to drain, still accepts what waits */
    SEAT_DRAINED,  /* accepts nothing, finishes what it has */
    SEAT_ENDING,   /* was told to end, or said that it will */
    SEAT_MUTE,     /* its channel has ended, the process has not */
    SEAT_ABORTED,  /* was sent SIGABRT */
    SEAT_KILLED,   /* was sent SIGKILL */
    SEAT_LOST,     /* its channel is cut and nobody ever said its pid */
    SEAT_BURIED,   /* it is dead and buried; others may still hold what lies in its slice of the
                      payload segment: server/graves.h */
    SEAT_PHASES
};
extern const char *const slots_phase_names[SEAT_PHASES];

#define SEAT_NEVER UINT64_MAX

struct seat {
    uint32_t number;       /* its index, constant */
    uint32_t epoch;        /* counts its occupants; 0: there was none */
    enum seat_phase phase; /* changed by what decide() says */
    enum role role;
    int slot;       /* web workers: listening slot; compute workers: place in their pool; else -1 */
    int pool;       /* compute workers: which one; else -1 */
    int generation; /* of its occupant */
    pid_t pid;      /* 0: not known */
    int channel_fd; /* the master's end; -1: cut */

    uint64_t born_us;      /* when it was asked for */
    uint64_t ready_us;     /* when it said READY; 0: never */
    uint64_t deadline_us;  /* when its phase has lasted too long; SEAT_NEVER: no limit */
    uint64_t heartbeat_us; /* as last read from the shared table, never in the future */

    uint32_t logs;      /* number of the reopening whose log files it has; see server/reopen.h */
    uint32_t logs_sent; /* of the one on its way to it; 0: none */
    uint64_t logs_again_us; /* it could not take the last ones: none before */

    uint64_t worn_us;      /* when it said that it wants to be replaced; 0: it did not */
    uint64_t dismissed_us; /* when its post was given to another; 0: it was not. Then it drains as
                              soon as its slot is looked after: server/relief.h */
    uint64_t drains_us;    /* when it was asked to drain; 0: it was not */

    uint64_t renew_again_us; /* worn: its replacement is not tried before; server/renew.h */
    unsigned renew_failures; /* of replacements, in a row */

    uint8_t owes_pools; /* web workers: queues of compute pools are to be sent again, 2: and the
                           segment; 0: nothing is */
    uint64_t pools_again_us; /* not before */
    bool owes_lanes;         /* likewise: where routes of the lane auto run */

    enum msg_type owed_order; /* its channel was full: to be sent when there is room; 0: none */

    bool is_full;             /* at worker_connections, or is_short, as it says */
    bool is_short;            /* may open no more descriptors: it gets no listening socket */
    bool is_hung;             /* its heartbeat is old enough for a neighbour to cover it */
    bool is_started;          /* MSG_START is on its way or was received */
    bool is_leaving;          /* was told to go, or goes of its own accord: exit 0 is in order */
    bool was_aborted;         /* it was sent SIGABRT */
    bool has_task;            /* a compute worker that died: it had a task in hand, known or not */
    bool is_dead;             /* was reaped in this turn, to be buried at its end */
    int status;               /* with is_dead: of wait4(2), */
    struct account_used life; /* and what it had used in all; of wait and wall nothing */
    enum task_loss condemned; /* it was killed for the task that it had in hand; 0: it was not */
    uint64_t owed_id;         /* a task that it is to be condemned for, which failed; 0: none */
    enum task_loss owed_loss;
    const char *doom;          /* why it was killed, for the log; NULL: it was not. Static text */
    char reason[MSG_TEXT_MAX]; /* text of its MSG_FAILED, or "" */

    uint32_t n_retires; /* bits of the second: to be sent when its channel has room */
    uint64_t *holds;    /* bit n: it was given listening socket n; slots->n_words words */
    uint64_t *retires;  /* bit n: MSG_RETIRE for socket n is owed to it; as many */
    uint64_t *wants;    /* bit n: it should hold socket n, by the last plan (steer.h); as many */
};

struct slots {
    struct seat *seats; /* n_seats */
    uint32_t n_seats;
    uint32_t n_used;  /* all that are taken are below; who looks at all of them ends here */
    uint32_t n_words; /* of each seat's holds, of its retires and its wants */
    uint64_t *bits;   /* memory of them, of all seats */
    uint32_t n_unclaimed;
    struct {
        pid_t pid;
        int status;                   /* of waitpid(2) */
    } unclaimed[SLOTS_UNCLAIMED_MAX]; /* oldest first */
};

/* Makes the table, all seats free.
 * n_listeners  listening sockets that a seat may hold, ids 0 … n_listeners - 1
 * Returns      0; -ENOMEM */
int slots_init(struct slots *slots, uint32_t n_seats, uint32_t n_listeners)
    __attribute__((warn_unused_result));
void slots_fini(struct slots *slots);

/* Makes room for ids up to n_listeners - 1; what is held stays held. Fewer than before: nothing.
 * Returns  0; -ENOMEM, then all is as it was */
int slots_grow(struct slots *slots, uint32_t n_listeners) __attribute__((warn_unused_result));

/* Takes a free seat for a new occupant: phase FORKING, next epoch, all else as for nobody.
 * Returns  the seat; NULL when all are taken */
struct seat *slots_take(struct slots *slots, enum role role, int slot, uint64_t now_us)
    __attribute__((warn_unused_result));

/* Frees a seat; closes its channel. */
void slots_release(struct slots *slots, struct seat *seat);

/* NULL: none of ours that is not buried yet. pid > 0 */
struct seat *slots_find_by_pid(struct slots *slots, pid_t pid);

/* The seat with that number, while that occupant sits there; else NULL. */
struct seat *slots_find_occupant(struct slots *slots, uint32_t number, uint32_t epoch);

/* Seats that are taken. */
uint32_t slots_count(const struct slots *slots);

/* Keeps the status of a dead child that is in no seat (yet); the oldest is forgotten when there is
 * no room. Returns the pid forgotten, 0: none */
pid_t slots_keep_unclaimed(struct slots *slots, pid_t pid, int status);

/* Takes the status of a dead child out again. Returns false: no such pid was kept */
bool slots_take_unclaimed(struct slots *slots, pid_t pid, int *out_status);

/* Which listening sockets a seat holds. */
bool slots_holds(const struct seat *seat, uint32_t listener);
void slots_set_held(struct seat *seat, uint32_t listener, bool is_held);

/* Which it should hold. */
void slots_want_none(const struct slots *slots, struct seat *seat);
void slots_set_wanted(struct seat *seat, uint32_t listener);

/* The first from that id on which it holds and should not, or should and does not.
 * Returns  the id; SLOTS_NO_LISTENER: there is none */
uint32_t slots_find_unlike(const struct slots *slots, const struct seat *seat, uint32_t from);
#define SLOTS_NO_LISTENER UINT32_MAX

/* Which of them it has yet to be told to give up. The lowest; n_retires > 0 */
uint32_t slots_peek_retire(const struct seat *seat);
void slots_set_retire(struct seat *seat, uint32_t listener, bool is_owed);

#endif
