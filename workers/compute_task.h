/* One task in a compute worker, from the descriptor to the last reply. */
#ifndef REMUDA_WORKERS_COMPUTE_TASK_H
#define REMUDA_WORKERS_COMPUTE_TASK_H

#include "http/conn_env.h"
#include "http/deferred.h"
#include "ipc/heritage.h"
#include "ipc/scoreboard.h"
#include "ipc/segment.h"
#include "ipc/task.h"
#include "workers/chain.h"
#include "workers/codel.h"
#include "workers/compute_reply.h"
#include "workers/compute_spool.h"

struct err;
struct setting_pool;

/* What a compute worker runs tasks with. */
struct compute {
    const struct settings *settings;
    const struct setting_pool *pool;
    const struct app *app;
    int queue_fd;                /* that tasks come from */
    struct codel codel;          /* those that it took */
    struct scoreboard_part part; /* its own, writable */
    struct segment segment;
    struct conn_env env;     /* for requests made of images; nothing is read or written with it */
    struct deferred_box box; /* of answers that the app has put off */
    struct compute_reply reply;
    struct compute_spool spool;
    int schedstat_fd;   /* of the room's thread; negative: there is none */
    int lowest_free_fd; /* when the last task was done, and its own were still open */
    bool is_path_shown; /* in the title: proc_title says path */
};

/* Fills everything from env on; what is above it is set, and the segment is mapped.
 * Returns  0; -errno, *err */
int compute_task_open(struct compute *c, struct err *err) __attribute__((warn_unused_result));

/* Runs a task that has just been received, and replies. Never returns where the master has
 * condemned this worker for it.
 * fds      of task_receive(); closed in here
 * Returns  0; -ENOMEM the worker has no memory left even to begin with: others should go on */
int compute_task_run(struct compute *c, const struct task *task, int fds[2]);

/* Tickets that came in too late for their requests. */
void compute_task_drop_late(struct compute *c);

#endif
