/* What a task uses, measured by the compute worker that runs it: for its last reply, and for the
 * shared table, where it also stays for the master, should the worker not come to its end. */
#ifndef REMUDA_WORKERS_MEASURE_H
#define REMUDA_WORKERS_MEASURE_H

#include "ipc/scoreboard.h"
#include "ipc/task.h"

struct measure {
    uint64_t taken_us;
    uint64_t delay_ns;          /* of this thread, when it took its task */
    int schedstat_fd;           /* of this thread: base/schedstat.h */
    struct account_used before; /* cpu_us and faults of the process, when it took its task */
    struct route_stats *stats;  /* in which it counts; NULL: in none */
};

/* A task was taken, and is about to begin. Its peak of memory begins anew where the kernel lets it:
 * 3 µs.
 * part   of the worker: the mark beside its task is set
 * schedstat_fd  of this thread; -1: its delay is not known
 * stats  a block of it; NULL */
void measure_begin(struct measure *m, const struct scoreboard_part *part, const struct task *task,
                   int schedstat_fd, struct route_stats *stats);

/* It is done: fills what its last reply says of that. */
void measure_end(const struct measure *m, const struct task *task, struct task_reply *reply);

/* Adds it to what its worker has used, and to its block. */
void measure_note(const struct measure *m, const struct scoreboard_part *part,
                  const struct task_reply *reply);

#endif
