/* The compute pools of a generation as the master keeps them: who should work in each, the queues
 * through which tasks come to them, the segment in which payloads lie, and the page of breakers.
 * None of it is there, but for the posts, before the loader has said which pools the app's routes
 * use: a server without such routes has no compute workers, no queue and no segment. */
#ifndef REMUDA_SERVER_POOLS_H
#define REMUDA_SERVER_POOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "ipc/role.h"
#include "ipc/task.h"
#include "server/adapt.h"
#include "server/gauge.h"

struct err;
struct mistakes;
struct post; /* server/generation.h */
struct seat;

#define POOLS_WORKERS_MAX SETTINGS_POOL_WORKERS_MAX /* of all that are in use, together */

struct pool {
    const struct setting_pool *settings;
    struct post *workers;    /* room for POOLS_WORKERS_MAX; index is the slot */
    uint32_t n_workers;      /* that there should be */
    uint32_t n_min, n_max;   /* of these: as its settings say, or as somebody has scaled it */
    bool is_short_told;      /* it was logged that memory has no room for more */
    int read_fd;             /* its queue, for those who work in it; -1: it is not in use */
    struct task_queue queue; /* likewise, for web workers; fd -1 */
    uint64_t mend_us;        /* server/mend.h: when it is looked at next; 0: it is watched */
    uint64_t look_us;        /* server/growth.h: when it is looked at next, */
    uint64_t calls_us;       /* when its calls were, */
    struct gauge_calls seen; /* what had been called until then, */
    uint32_t in_hand;        /* tasks that waited or ran at the last look, */
    uint64_t peak_bytes;     /* the most that a task had of those who worked here and are dead */
    struct adapt_state adapt;
};

struct pools {
    struct pool items[SETTINGS_POOLS_MAX];
    uint32_t n;
    int segment_fd;        /* -1: no pool is in use */
    int breaker_fd;        /* ipc/breaker.h; likewise */
    uint64_t slice_bytes;  /* of each slice of the segment; less than is wanted where the address */
    uint64_t wanted_bytes; /* space has no room for so many: then payloads go by files earlier */
    uint32_t n_seats;      /* slices of the segment */
};

/* What became of tasks that waited in a queue that was shut. */
struct pools_mended {
    uint32_t moved; /* they wait in the new one */
    uint32_t lost;
};

/* Sets up the posts, all due at once.
 * s        outlives the pools
 * Returns  0; -ENOMEM. In either case pools_fini() is due */
int pools_init(struct pools *pools, const struct settings *s, uint64_t now_us)
    __attribute__((warn_unused_result));
void pools_fini(struct pools *pools);

/* Makes queues, and the segment, for pools that are used; those that have theirs keep them.
 * used     bits; the caller has checked nothing
 * Returns  0; -errno, *err: then none is in use that was not before */
int pools_open(struct pools *pools, uint32_t used, uint32_t n_seats, struct err *err)
    __attribute__((warn_unused_result));

/* Whether any is in use; whether that one is. */
bool pools_are_used(const struct pools *pools);
bool pools_is_used(const struct pools *pools, int pool);

/* Puts into the channel of a new process what it needs of them: a web worker all queues that are in
 * use, to write to, and the breakers, a compute worker that of its pool. Returns as msg_send() */
int pools_send(const struct pools *pools, int channel_fd, enum role role, int pool)
    __attribute__((warn_unused_result));

/* The same to a web worker that has had it before: what it could not take, or what is new.
 * is_all   the segment as well; without it the queues, which take the place of those it has */
int pools_send_again(const struct pools *pools, int channel_fd, bool is_all)
    __attribute__((warn_unused_result));

/* A queue is shared by all who have an end of it, so each of them can shut it for all, by mistake
 * or in malice (shutdown(2)): then another takes its place, with what waits in it.
 * Returns  1 it was shut, there is another, *out; 0 it was not; -errno it was, and there is none */
int pools_mend(struct pools *pools, int pool, struct pools_mended *out, struct err *err)
    __attribute__((warn_unused_result));

/* The post that a compute worker's seat fills, or will fill next; NULL: none. */
struct post *pools_find_post(const struct pools *pools, const struct seat *seat);

/* Of those in use: workers that there should be, that are ready, and of one pool. */
uint32_t pools_count_wanted(const struct pools *pools);
uint32_t pools_count_ready(const struct pools *pools);
uint32_t pools_count_ready_of(const struct pool *pool);

/* Does a task wait in any queue for a worker that there is, as far as the kernel tells? */
bool pools_has_work(const struct pools *pools);

/* When a post of those in use is to be filled; SEAT_NEVER: all are, or none is to be. */
uint64_t pools_next_us(const struct pools *pools);

/* Descriptors that the master needs for all pools at most. */
uint32_t pools_count_files(const struct settings *s);

/* What RLIMIT_NOFILE should be for the sake of tasks that wait: each carries one or two descriptors
 * that count for the user as long as nobody has taken it (unix(7), ETOOMANYREFS), and the master
 * must be able to send some all the same, or it could make nobody who takes them. */
uint64_t pools_count_in_flight(const struct settings *s);

/* Tells which `queue` the kernel would not let this process have. */
void pools_check_queues(const struct settings *s, struct mistakes *warnings);

/* NULL: there is no such pool. */
const char *pools_name(const struct pools *pools, int pool);

#endif
