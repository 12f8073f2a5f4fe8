/* What every web room shares: limits from the settings, the app's chain as hooks of the connection
 * machine, the worker's part of the shared table, and the access log. */
#ifndef REMUDA_WORKERS_WEB_H
#define REMUDA_WORKERS_WEB_H

#define WEB_NO_ENTRY UINT32_MAX /* of the table: req->board_entry */

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "http/access.h"
#include "http/conn.h"
#include "ipc/heritage.h"
#include "ipc/scoreboard.h"
#include "workers/chain.h"
#include "workers/codel.h"
#include "workers/iopool.h"
#include "workers/lag.h"
#include "workers/mounts.h"
#include "workers/overload.h"
#include "workers/profiling.h"
#include "workers/recycle.h"

struct err;

#define WEB_ANSWERED_MAX 64 /* that are counted together, so that the clock is read once for them */

struct web {
    const struct settings *settings;
    const struct app *app;
    struct conn_env env;
    struct deferred_box box;          /* of answers that the app had put off */
    struct forwarded_rules forwarded; /* what proxies are believed */
    struct mounts mounts;             /* folders that are served */
    bool has_warned_proxy;            /* of a PROXY protocol header that did not come */
    bool has_warned_pace;             /* of a producer that has nothing to say, and does not wait */
    struct forwarded_scheme *schemes; /* of the YAML; NULL: the usual ones */
    struct iopool *pool;  /* of the io lane; NULL: no route is in it, or all run on the loop */
    bool is_io_full;      /* told in the log */
    struct desk *compute; /* the compute lane; NULL: there is none, or not yet */
    bool has_pools;       /* there is to be one: the master has compute workers */
    struct scoreboard_part part; /* this worker's, writable */
    uint32_t n_inflight;         /* entries in part */
    uint32_t n_routes;           /* blocks in part */
    uint32_t *free_entries;      /* stack of free inflight entries */
    uint32_t n_free_entries;
    struct access_format *access; /* NULL: off */
    int access_fd;                /* -1: off */
    uint32_t access_line_bytes;   /* longer lines are cut */
    int64_t wall_offset_us;       /* wall clock - monotonic clock */
    bool is_path_shown;           /* in the title: proc_title says path */
    bool (*await)(void); /* for handlers that wait for a task where replies are taken: takes what
                          * comes, for half a second at most. Returns whether the worker goes on.
                          * NULL: there nobody may wait */
    bool has_loop;       /* that a slow handler would hold: slow_callback */
    uint64_t began_ticks, began_us;                 /* to measure what a tick is */
    uint32_t n_answered;                            /* in this turn */
    uint64_t answered_us[WEB_ANSWERED_MAX];         /* when their requests began, */
    struct route_stats *answered[WEB_ANSWERED_MAX]; /* and where they count */
    struct profiling profiling;                     /* what calls take */
    struct recycle recycle;                         /* when it wants to be replaced */
    bool is_rehearsing; /* the health check is on: not counted, not in the access log */

    struct lag lag;         /* what holds the loop up */
    struct str health_path; /* of health_check, without its query; empty: there is none */
    struct str server_header;
    struct codel io_codel; /* the threads', under the lock of their pool */
    struct overload io_overload;
};

void web_fill_limits(struct http_limits *limits, const struct settings *settings);

/* Fills everything; conn_env too.
 * part, n_inflight, n_routes  the worker's part of the shared table
 * access_fd  -1: no access log
 * Returns    0; -errno, *err */
int web_init(struct web *web, const struct settings *settings, const struct app *app,
             const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
             int access_fd, struct err *err) __attribute__((warn_unused_result));
void web_fini(struct web *web);

/* The title of this process: who it is, and what it is at as proc_title says.
 * heritage  NULL: the one process of --single
 * state     TITLE_IDLE: idle or busy, from request to request; else a word such as "draining" */
void web_show_state(const struct settings *settings, const struct heritage *heritage,
                    const char *state);

/* Once per turn of the loop, before any connection: the clock, the Date line, the heartbeat. */
void web_on_turn(struct web *web, uint64_t now_us);

/* At the end of each turn: how long it took, and with it the answers that it gave. */
void web_on_turn_ended(struct web *web, uint64_t now_us);

/* Now and then (half a second): the wall clock may have been set. */
void web_on_tick(struct web *web);

/* Who wants to be replaced says so once, and serves on until it is told to drain.
 * heritage   NULL: there is nobody to tell but the log
 * rss_bytes  recycle_read_rss(); 0: not looked at */
void web_tell_if_worn(struct web *web, const struct heritage *heritage, uint64_t rss_bytes);

/* access_fd leads elsewhere from now on. A line for a pipe, a socket or a terminal must fit
 * PIPE_BUF: what is longer is not written as a whole there (pipe(7)). */
void web_on_access_opened(struct web *web);

/* The health check is over: nothing of it stays in the counters. */
void web_end_rehearsal(struct web *web);

/* Once it is about to serve: is max_rss a limit for it at all? */
void web_check_memory(struct web *web);

/* Writes what the access log has gathered; at the end of a turn, and before access_fd changes. */
void web_flush_access(struct web *web);

/* Adds to a counter of one's own part: one writer, so no locked instruction is needed. */
static inline void web_count(_Atomic uint64_t *counter, uint64_t n)
{
    meter_add(counter, n);
}

/* Requests answered so far. */
static inline uint64_t web_count_requests(const struct web *web)
{
    return atomic_load_explicit(&web->part.head->requests, memory_order_relaxed);
}

#endif
