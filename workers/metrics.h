/* What there is to tell of the server, gathered from the shared table and the ledger, and written
 * as metrics. Process: admin. Nothing here waits for anybody: a process that is stopped is read
 * like any other.
 *
 * Names and labels are bounded: routes, pools, roles and states, never paths or clients. */
#ifndef REMUDA_WORKERS_METRICS_H
#define REMUDA_WORKERS_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/usage.h"
#include "ipc/ledger.h"
#include "ipc/role.h"
#include "ipc/scoreboard.h"
#include "ipc/totals.h"
#include "workers/readiness.h"

struct err;

/* How a process is told: as the master sees it, but for those that it can't see yet. */
enum metrics_state {
    METRICS_BOOTING,
    METRICS_IDLE, /* ready, with nothing in hand */
    METRICS_BUSY,
    METRICS_HUNG, /* ready, and its heart does not beat */
    METRICS_DRAINING,
    METRICS_ENDING,
    METRICS_STATES
};
extern const char *const metrics_state_names[METRICS_STATES];

/* What the living processes of a role use. */
struct metrics_used {
    uint64_t rss_bytes;
    uint64_t pss_bytes; /* as last read; those that were not yet count as the others do */
    uint32_t n;         /* processes, */
    uint32_t n_read;    /* and those of which it was */
    uint64_t cpu_us;
    uint64_t minor_faults;
    uint64_t major_faults;
};

/* A slow request of late; trace_len 0: none. */
struct metrics_exemplar {
    uint8_t trace_len;
    char trace[SCOREBOARD_TRACE_MAX];
    uint64_t latency_us;
    int64_t wall_us;
};

struct metrics {
    const struct scoreboard *board;
    const struct ledger *ledger;
    uint32_t own_seat; /* of the admin process: in no seat of the master's */
    struct ledger_copy copy;
    struct totals sums;       /* of the living and the dead; at first, each at its index, */
    uint32_t n_named;         /* the routes of the generation that serves, */
    int32_t named_generation; /* which is this one */
    uint64_t now_us;
    uint64_t silent_us; /* since the master's last turn */
    uint64_t connections[SCOREBOARD_CONNECTIONS];
    uint64_t io_threads;
    uint64_t io_queued;
    uint32_t workers[ROLE_COUNT][METRICS_STATES];
    uint32_t inflight[ENTRY_PHASES];
    struct metrics_exemplar *exemplars; /* of sums.routes, as many */
    uint32_t hung;                      /* web workers of the generation that serves, */
    uint32_t ready;                     /* and those that are well */
    struct metrics_used used[ROLE_COUNT];
    struct {
        uint32_t epoch;
        uint64_t bytes;
    } * pss;             /* by seat, and behind them the master's: as last read; bytes 0: never */
    uint32_t next_pss;   /* whose turn it is */
    uint64_t pss_due_us; /* and when */
};

/* Borrows board and ledger for good. Returns 0; -ENOMEM */
int metrics_open(struct metrics *m, const struct scoreboard *board, const struct ledger *ledger,
                 uint32_t own_seat) __attribute__((warn_unused_result));
void metrics_close(struct metrics *m);

/* Reads all of it. A millisecond for a hundred workers or so. */
void metrics_gather(struct metrics *m, uint64_t now_us);

/* Reads only what health is judged by. */
void metrics_look(struct metrics *m, uint64_t now_us, struct readiness_view *out);

/* Now and then: reads the share of memory of one process, so seldom that it takes no more than a
 * hundredth of the time. */
void metrics_on_tick(struct metrics *m, uint64_t now_us);

/* Writes what was gathered.
 * is_open   in OpenMetrics
 * Returns   0; -ENOMEM */
int metrics_render(struct metrics *m, bool is_open, struct buf *out)
    __attribute__((warn_unused_result));

#endif
