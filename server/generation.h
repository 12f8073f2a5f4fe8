/* A generation: one configuration, one app, and the posts that must be filled to serve it. A post
 * is one process that should be there; it outlives the processes that fill it, so the count of its
 * failures lives here and not in the seats. */
#ifndef REMUDA_SERVER_GENERATION_H
#define REMUDA_SERVER_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "ipc/heritage.h"
#include "server/slots.h"

struct err;

struct post {
    enum role role;
    int slot;          /* web workers: 0 … n_workers - 1; else -1 */
    struct seat *seat; /* who fills it; NULL: nobody */
    unsigned failures; /* in a row; see decide_replace() */
    uint64_t due_us;   /* nobody fills it: not to be filled before; SEAT_NEVER: no more */
    bool is_degraded;  /* it was told that this doesn't heal by itself */
};

struct generation {
    int number;                      /* 1 … */
    const struct settings *settings; /* borrowed from the master */
    int app_fd;                      /* sealed copy of the app; -1: loaded from its path */
    struct post loader;
    struct post *workers; /* n_workers, index is the slot */
    uint32_t n_workers;
    bool has_been_ready; /* all workers were ready at the same time once */
    uint64_t started_us;
};

/* What is needed to fill a post. */
struct generation_means {
    struct slots *slots;
    const struct heritage *heritage; /* what all processes inherit alike */
    uint32_t logs;                   /* number of the reopening whose log files that has */
    int board_fd;
    uint64_t now_us;
};

/* Copies the app and sets up the posts, all due at once. Logs when the app can't be copied and is
 * loaded from its path.
 * Returns  0; -errno, *err: the app can't be read, or no memory */
int generation_open(struct generation *g, int number, const struct settings *settings,
                    uint64_t now_us, struct err *err) __attribute__((warn_unused_result));
void generation_close(struct generation *g);

/* Forks the loader into a seat and sends it the shared table and the app.
 * Returns  0; -errno, *err: nobody was forked */
int generation_hire_loader(struct generation *g, const struct generation_means *means,
                           struct err *err) __attribute__((warn_unused_result));

/* Asks the loader for a worker and puts the shared table into its channel.
 * Returns  0; -EAGAIN the loader has too much to do, ask later; -errno, *err */
int generation_hire_worker(struct generation *g, struct post *post,
                           const struct generation_means *means, struct err *err)
    __attribute__((warn_unused_result));

/* The post that a seat fills; NULL: none, it has been relieved. */
struct post *generation_find_post(struct generation *g, const struct seat *seat);

/* Workers in READY. */
uint32_t generation_count_ready(const struct generation *g);

#endif
