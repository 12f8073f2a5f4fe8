/* A generation: one configuration, one app, and the posts that must be filled to serve it. A post
 * is one process that should be there; it outlives the processes that fill it, so the count of its
 * failures lives here and not in the seats. */
#ifndef REMUDA_SERVER_GENERATION_H
#define REMUDA_SERVER_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/settings.h"
#include "ipc/heritage.h"
#include "server/crowd.h"
#include "server/decide.h"
#include "server/lane_table.h"
#include "server/pools.h"
#include "server/slots.h"
#include "server/threads.h"

struct access_format; /* http/access.h; here only carried */

/* What somebody had counted when it was last looked at (server/growth.h). */
struct post_seen {
    uint32_t seat, epoch; /* who it was; epoch 0: nobody */
    uint64_t jobs;
    uint64_t wall; /* these three in the unit of who looks */
    uint64_t cpu;
    uint64_t delay;
    uint64_t owed; /* delay that was not told yet */
    uint64_t switches;
};

struct post {
    enum role role;
    int slot; /* web workers: 0 … n_workers - 1; compute workers: likewise, in their pool;
                          else -1 */
    int pool; /* compute workers: index in pools; else -1 */
    struct seat *seat;    /* who fills it; NULL: nobody */
    struct seat *next;    /* who boots to take over from it, since it is worn; NULL: nobody */
    unsigned failures;    /* in a row; see decide_replace() */
    unsigned task_deaths; /* likewise */
    uint64_t due_us;      /* nobody fills it: not to be filled before; SEAT_NEVER: no more */
    bool was_missed;      /* who was to fill it last was refused, or died while it came up */
    bool is_degraded;     /* it was told that this doesn't heal by itself */
    struct post_seen seen;
};

/* Web workers where their number is left to the server: server/growth_web.h. */
struct generation_web {
    uint32_t n_min, n_max; /* as the settings say, or as somebody has scaled it */
    bool is_by_cpus;       /* of those, as many as others leave CPUs for: server/crowd.h */
    struct crowd_state crowd;
    uint32_t in_hand;   /* at the last look */
    uint64_t looked_us; /* when that was; 0: never */
    uint64_t look_us;   /* the next one */
    uint64_t latency[METER_BUCKETS];
    struct adapt_state adapt;
};

struct generation {
    int number;                      /* 1 … */
    const struct settings *settings; /* what it runs by */
    struct settings *owned;          /* the same, where they go with it; NULL: the caller's */
    struct heritage heritage;        /* what all its processes inherit alike */
    struct access_format *access;    /* lines of its access log; NULL: it has none */
    struct decide_rules rules;       /* for its processes; excuse_us is the herd's */
    int folder_fd;                   /* where its processes are born (`chdir`); -1: anywhere */
    int app_fd;                      /* sealed copy of the app; -1: loaded from its path */
    struct post loader;
    struct post *workers; /* room for GENERATION_WORKERS_MAX; index is the slot */
    uint32_t n_workers;   /* that there should be; 0: none, on somebody's word */
    struct generation_web web;
    struct pools pools;
    struct lane_table lanes; /* of routes whose lane is auto */
    struct threads threads;  /* of its web workers' io lanes */
    uint64_t asks_us;        /* the loader had too much to do: it is asked for workers then */
    bool has_been_ready;     /* all workers were ready at the same time once */
    uint64_t started_us;
    uint64_t leaves_us; /* since when it is on its way out; 0: it is not */
    struct err failure; /* a candidate's first one, which costs it its chance; code 0: none */
};

#define GENERATION_WORKERS_MAX 512 /* as the schema allows */

/* What a generation is made from. */
struct generation_plan {
    int number;
    const struct settings *settings;
    struct settings *owned; /* NULL, or settings: freed with it, or at once when it can't be made */
    int log_fd, access_fd;  /* borrowed; access_fd -1: no access log */
    const struct scoreboard *board;
    uint64_t now_us;
};

/* What is needed to fill a post. */
struct generation_means {
    struct slots *slots;
    uint32_t logs; /* number of the reopening whose log files there are */
    int board_fd;
    uint64_t now_us;
};

/* Copies the app and sets up the posts, all due at once; remembers the present working folder.
 * Logs when the app can't be copied and is loaded from its path.
 * Returns  0, to be given to generation_free(); -errno, *err: the app can't be read, its access log
 *          can't be written in that format, or no memory */
int generation_new(const struct generation_plan *plan, struct generation **out, struct err *err)
    __attribute__((warn_unused_result));
void generation_free(struct generation *g);

/* Web workers that there may be, as the settings say, whatever was asked for before. How many there
 * are to be stays. */
void generation_set_range(struct generation *g);

/* Forks the loader into a seat and sends it the shared table and the app.
 * Returns  0; -errno, *err: nobody was forked */
int generation_hire_loader(struct generation *g, const struct generation_means *means,
                           struct err *err) __attribute__((warn_unused_result));

/* Asks the loader for a worker and puts the shared table into its channel, and what it needs of the
 * compute pools. For a post that is filled it will be the next one.
 * Returns  0; -EAGAIN the loader has too much to do, ask later; -errno, *err */
int generation_hire_worker(struct generation *g, struct post *post,
                           const struct generation_means *means, struct err *err)
    __attribute__((warn_unused_result));

/* The post that a seat fills, or will fill next; NULL: none, it has been relieved. */
struct post *generation_find_post(struct generation *g, const struct seat *seat);

/* Who works in a slot; NULL: nobody, or there is no such post. */
struct seat *generation_worker(const struct generation *g, uint32_t slot);

/* Web workers in READY. */
uint32_t generation_count_ready(const struct generation *g);

/* Web workers at least, where their number may change by itself. */
static inline uint32_t generation_workers_min(const struct generation *g)
{
    return g->web.is_by_cpus ? 1 : g->web.n_min;
}

/* Whether all workers that there should be are ready, those of compute pools included. */
bool generation_is_complete(const struct generation *g);

/* Makes its `chdir` the working folder of this process, where its relative paths begin. */
void generation_enter_folder(const struct generation *g);

#endif
