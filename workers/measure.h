/* What a task uses, measured by the compute worker that runs it: for its last reply, and for the
 * shared table, where it also stays for the master, should the worker not come to its end. */
#ifndef REMUDA_WORKERS_MEASURE_H
#define REMUDA_WORKERS_MEASURE_H

#include "ipc/scoreboard.h"
#include "ipc/task.h"

/* What the process had used when it took its task. */
struct measure {
    uint64_t taken_us;
    uint64_t cpu_us;
    uint64_t faults;
};

/* A task was taken, and is about to begin. Its peak of memory begins anew where the kernel lets it:
 * 3 µs. place: the mark in it is set */
void measure_begin(struct measure *m, struct task_seat *place, const struct task *task);

/* It is done: fills what its last reply says of that. */
void measure_end(const struct measure *m, const struct task *task, struct task_reply *reply);

/* Adds it to what its worker has used, and its route.
 * route  in the worker's part; NULL: it is none's */
void measure_note(const struct scoreboard_part *part, struct route_stats *route,
                  const struct task_reply *reply);

#endif
