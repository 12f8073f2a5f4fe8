/* How long a task would wait in a pool's queue, by how long those before it took: so that one which
 * would wait past its time is refused at once, with a word when it is worth another try. A guess
 * that errs towards letting in: it takes all tasks of a pool for alike, and all workers that the
 * pool is to have at the moment for there; it knows nothing before enough tasks were measured, nor
 * when none was for a while. */
#ifndef REMUDA_WORKERS_ADMISSION_H
#define REMUDA_WORKERS_ADMISSION_H

#include <stdint.h>

/* Of one pool, or of one route, as one web worker sees it. Zero: nothing is known. */
struct admission {
    uint64_t average_us;  /* of a task's time in a worker, a moving one */
    uint64_t measured_us; /* when the last was */
    uint32_t n;           /* measured, up to what is enough */
};

/* A task was run. wall_us  as a compute worker says; what can't be is cut to an hour */
void admission_note(struct admission *a, uint64_t wall_us, uint64_t now_us);

/* One was killed at its deadline: it would have taken longer than it ran, nobody knows by how much.
 * It counts as twice that, up to what it was allowed, and makes the average no smaller.
 * ran_us      as the master says
 * allowed_us  from when it was sent to its deadline */
void admission_note_killed(struct admission *a, uint64_t ran_us, uint64_t allowed_us,
                           uint64_t now_us);

/* Returns µs that a task takes; 0: nothing is known */
uint64_t admission_usual_us(const struct admission *a, uint64_t now_us);

/* Expected wait behind so many that wait, with so many workers (≥ 1).
 * Returns  µs; 0: none, or nothing is known */
uint64_t admission_wait_us(const struct admission *a, uint32_t n_ahead, uint32_t n_workers,
                           uint64_t now_us);

#endif
