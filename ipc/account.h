/* What tasks of the compute pool use, one by one and added up. Who ran a task to its end notes it
 * in its own part of the shared table; of one whose worker died the master finds it out, from what
 * the kernel says of the dead process and what that had used before (struct account_mark). */
#ifndef REMUDA_IPC_ACCOUNT_H
#define REMUDA_IPC_ACCOUNT_H

#include <stdatomic.h>
#include <stdint.h>

/* What one task has used. */
struct account_used {
    uint64_t wait_us;    /* from queued to taken */
    uint64_t wall_us;    /* from taken to its end */
    uint64_t cpu_us;     /* of its process, user and system */
    uint64_t faults;     /* pages that were touched for the first time */
    uint64_t peak_bytes; /* resident at most, with shared pages; where the kernel can't begin anew
                            for each task, of the worker's life */
};

/* What is added up: tasks by how they ended, then what all of them used. */
enum account_number {
    ACCOUNT_ANSWERED,
    ACCOUNT_FAILED,  /* could not be run, could not be answered, or broke its stream off */
    ACCOUNT_DROPPED, /* not run: nobody waited for it any more, or its time was over */
    ACCOUNT_SHED,    /* likewise: all in its queue had waited for too long */
    ACCOUNT_CRASH,   /* from here on its worker died: as enum task_loss, in its order */
    ACCOUNT_MEMORY,
    ACCOUNT_TIMEOUT,
    ACCOUNT_CPU_LIMIT,
    ACCOUNT_CANCELLED,
    ACCOUNT_KILLED,
    ACCOUNT_STARVED,
    ACCOUNT_STOPPED,
    ACCOUNT_ENDS,
    ACCOUNT_WAIT_US = ACCOUNT_ENDS,
    ACCOUNT_WALL_US,
    ACCOUNT_CPU_US,
    ACCOUNT_FAULTS,
    ACCOUNT_PEAK_BYTES, /* not a sum: the most that one of them had */
    ACCOUNT_NUMBERS
};

/* As logs and status call them: "answered" … "killed", "wait_us" … "peak_bytes". */
extern const char *const account_names[ACCOUNT_NUMBERS];

/* In the shared table, written by one process. */
struct account {
    _Atomic uint64_t numbers[ACCOUNT_NUMBERS];
};

/* In private memory. */
struct account_sums {
    uint64_t numbers[ACCOUNT_NUMBERS];
};

/* What a compute worker had used before its task, in the shared table. */
struct account_mark {
    _Atomic uint64_t id; /* of the task; 0: none. Written last */
    _Atomic uint64_t taken_us;
    _Atomic uint64_t cpu_us;
    _Atomic uint64_t faults;
    _Atomic uint64_t
        block; /* of statistics in its part, in which it counts: index + 1; 0: in none */
};

/* The occupant: a task has ended so, below ACCOUNT_ENDS. */
void account_note(struct account *account, enum account_number end,
                  const struct account_used *used);

/* The same in private memory. */
void account_count(struct account_sums *sums, enum account_number end,
                   const struct account_used *used);

#define ACCOUNT_BELIEVABLE_MAX (UINT64_C(1) << 48) /* of one worker's life: 8 years in µs */

/* Adds what another process noted, where that can be, and what was added up elsewhere. */
void account_add(struct account_sums *sums, const struct account *account);
void account_merge(struct account_sums *sums, const struct account_sums *others);

/* Tasks that have ended, however. */
uint64_t account_tasks(const struct account_sums *sums);

/* The occupant: it begins with a task at taken_us, and has used so much before.
 * block  as in the mark */
void account_begin(struct account_mark *mark, uint64_t id, uint64_t taken_us,
                   const struct account_used *before, uint64_t block);

/* The master: the block of a dead worker's task, below n. Returns -1: none, or nonsense */
int64_t account_block(const struct account_mark *mark, uint64_t id, uint32_t n);

/* The master: what a dead worker's task has used. The mark is not believed beyond what can be: one
 * of another task, or of the future, says that this one was not begun.
 * queued_us  of the task
 * life       cpu_us, faults and peak_bytes of the worker's whole life, as the kernel says */
struct account_used account_of_dead(const struct account_mark *mark, uint64_t id,
                                    uint64_t queued_us, uint64_t now_us,
                                    const struct account_used *life);

#endif
