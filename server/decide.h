/* What the master does about its processes, as pure functions: no system calls, no clock, no state.
 * Three questions: what becomes of a seat (states × events), when is a lost process replaced, and
 * how far has the stop come. */
#ifndef REMUDA_SERVER_DECIDE_H
#define REMUDA_SERVER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/slots.h"

/* ---- One seat */

enum decide_event {
    DECIDE_NAMED,     /* its pid became known */
    DECIDE_READY,     /* it said READY */
    DECIDE_FAILED,    /* it said FAILED and ends by itself */
    DECIDE_DRAINED,   /* it said DRAINED */
    DECIDE_BROKE,     /* it sent a frame that it may not send */
    DECIDE_CLOSED,    /* its channel has ended */
    DECIDE_DIED,      /* it was reaped */
    DECIDE_TIME,      /* nothing happened; look at the clock */
    DECIDE_LATE,      /* (made from TIME) its deadline has passed */
    DECIDE_HUNG,      /* (made from TIME) no heartbeat for longer than allowed */
    DECIDE_DRAIN,     /* the master wants it to drain */
    DECIDE_STOP,      /* the master wants it to end */
    DECIDE_KILL,      /* the master wants it gone */
    DECIDE_CONDEMNED, /* the master wants it gone for the task that it has in hand, and has seen to
                         it that no other is hit */
    DECIDE_EVENTS
};

enum decide_act {
    DECIDE_NOTHING,
    DECIDE_WELCOME,   /* it is ready: say so, count on it */
    DECIDE_RELIEVE,   /* it drains of its own accord: have its work done by another */
    DECIDE_ASK_DRAIN, /* send MSG_DRAIN */
    DECIDE_ASK_STOP,  /* send MSG_STOP */
    DECIDE_ASK_LEAVE, /* … but MSG_DRAIN to a web worker: its READY may be on the way, and from then
                         on it serves */
    DECIDE_ABORT,     /* SIGABRT: it tells where it was, then ends */
    DECIDE_MURDER,    /* SIGKILL */
    DECIDE_CUT,       /* close its channel: its pid is not known, so that is all one can do */
    DECIDE_FORGET,    /* free the seat: it never lived, as far as anyone can tell */
    DECIDE_BURY,      /* free the seat: it was reaped */
    DECIDE_ACTS
};
extern const char *const decide_act_names[DECIDE_ACTS];

struct decide_rules {
    uint64_t graceful_us; /* from DRAIN to death */
    uint64_t timeout_us;  /* age of a heartbeat that is too old; 0: never judged */
    uint64_t excuse_us;   /* heartbeats are not judged before this time (the master was away) */
};

struct decide_verdict {
    enum decide_act act;
    enum seat_phase phase; /* what the seat is in from now on */
    uint64_t deadline_us;  /* and how long at most */
    const char *doom;      /* ABORT, MURDER, CUT: why, static text; else NULL */
};

#define DECIDE_STOP_US (2 * UINT64_C(1000000)) /* from STOP or ABORT, or birth, to KILL */
#define DECIDE_MUTE_US (1 * UINT64_C(1000000)) /* from the channel's end to KILL */

/* Any phase takes any event. FREE stays free and nothing is done. */
struct decide_verdict decide(const struct seat *seat, enum decide_event event, uint64_t now_us,
                             const struct decide_rules *rules);

/* When decide(…, DECIDE_TIME, …) may next say something new; SEAT_NEVER: only after an event. */
uint64_t decide_next_us(const struct seat *seat, const struct decide_rules *rules);

/* ---- A process that is gone */

#define DECIDE_STEADY_US (10 * UINT64_C(1000000))      /* ready for so long: its death is news */
#define DECIDE_BACKOFF_US (100 * UINT64_C(1000))       /* first wait; doubled from then on … */
#define DECIDE_BACKOFF_MAX_US (30 * UINT64_C(1000000)) /* … up to this, … */
#define DECIDE_BACKOFF_READY_MAX_US UINT64_C(1000000)  /* … or to this, if it had become ready */
#define DECIDE_TASK_DEATHS 20 /* so many that died of their first task, in a row, … */
#define DECIDE_TASK_BACKOFF_US (20 * UINT64_C(1000)) /* … and it is 50 processes a second */
#define DECIDE_TRIES 3                               /* failures in a row that mean something */

struct decide_loss {
    enum role role;
    unsigned failures;      /* in a row, before this one */
    uint64_t ready_us;      /* how long it had been ready; only with was_ready */
    bool was_ready;         /* it had become ready */
    bool was_refused;       /* it was never made: fork or another system call failed */
    bool is_first_start;    /* the generation has never been ready as a whole */
    bool is_anyone_serving; /* another worker of its kind is ready: web, or of its pool */
    bool is_candidate;      /* its generation does not serve yet: a reload is on its way */
    bool had_task;          /* a compute worker that had a task in hand, */
    bool has_done;          /* and had been done with others, as it says */
    unsigned task_deaths;   /* of those that had not, in a row, before this one */
};

enum decide_fate {
    DECIDE_REPLACE,  /* as usual */
    DECIDE_DEGRADED, /* keep trying, but tell that this doesn't heal by itself */
    DECIDE_NO_APP,   /* first start: the app can't be served; stop */
    DECIDE_NO_BOOT,  /* first start: workers can't boot; stop */
    DECIDE_REFUSED,  /* a candidate: one failure is enough, the running generation goes on */
};

struct decide_replacement {
    unsigned failures;    /* in a row, this one included */
    unsigned task_deaths; /* likewise */
    uint64_t delay_us;    /* from now until the next try */
    enum decide_fate fate;
};

struct decide_replacement decide_replace(const struct decide_loss *loss);

/* How long to wait before try number `step`, 1 …: 100 ms, 200 ms … 30 s. 0: not at all. */
uint64_t decide_backoff_us(unsigned step);

/* ---- Generations */

enum decide_step {
    DECIDE_STAY,
    DECIDE_BEGIN,   /* build a candidate */
    DECIDE_COMMIT,  /* the candidate serves from now on, the current one leaves */
    DECIDE_DISCARD, /* the candidate leaves, the current one goes on */
    DECIDE_SWEEP    /* nobody of the leaving one is left: forget it */
};

/* How things stand between generations. */
struct decide_turnover {
    bool is_stopping;        /* the server: nothing new is begun */
    bool is_asked;           /* somebody wants a reload */
    bool is_current_up;      /* the current one has got so far that workers serve, or once did */
    bool has_candidate;      /* one is being built up beside it */
    bool is_candidate_ready; /* all its workers are */
    bool has_failed;         /* the candidate: something of it failed */
    bool has_leaving;        /* one is on its way out: drains, or was thrown away */
    bool is_leaving_gone;    /* its last process has been buried */
};

/* At most one generation comes and at most one leaves, never both: a reload that is asked for
 * meanwhile begins when that is over. */
enum decide_step decide_turnover(const struct decide_turnover *t);

/* ---- The stop */

enum decide_stage {
    DECIDE_RUNNING,
    DECIDE_GRACEFUL, /* drain, finish, end */
    DECIDE_QUICK,    /* end now */
    DECIDE_AT_ONCE,  /* kill */
};

/* TERM asks for a graceful stop, INT and QUIT for a quick one; each further INT or QUIT is one step
 * more impatient. No signal ever leads back. */
enum decide_stage decide_stage(enum decide_stage stage, int signal_number);

#endif
