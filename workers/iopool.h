/* The threads of the io lane: a pool that takes jobs off a queue, oldest first, and runs each to
 * its end. Knows nothing of requests: a job is a node in a list, and what it means is the owner's.
 *
 * Threads are started when a job finds none idle, as long as there are fewer than the limit, and
 * end when they had nothing to do for a while. Each blocks all signals but those that a fault
 * raises in it, so that the others reach the loop's thread. A job that never ends keeps its thread
 * for ever: iopool_give_up() lets another take its place.
 *
 * All functions are the loop's, but for iopool_limit(), which is pure. */
#ifndef REMUDA_WORKERS_IOPOOL_H
#define REMUDA_WORKERS_IOPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct iopool; /* opaque, so that pthread stays in iopool.c */

struct iopool_rules {
    uint32_t threads_min; /* the limit of threads is found by measurement, between these two; */
    uint32_t threads_max; /* 1 …, those given up apart. The same number twice: just that */
    uint32_t cpus;        /* of the machine, ≥ 1 */
    uint32_t workers;     /* that share them, ≥ 1 */
    uint64_t idle_us;     /* a thread without a job ends after so long */
    void (*begin)(void);  /* on a new thread, before its first job; NULL: nothing */
    void (*end)(void);    /* and when it ends */
    void (*run)(void *owner, struct list *job); /* on a thread; afterwards the job is the owner's */
    void *owner;
};

/* Threads there are and what they do, for status and tests. */
struct iopool_state {
    uint32_t n_threads; /* all of them */
    uint32_t n_running; /* with a job, those given up apart */
    uint32_t n_given_up;
    uint32_t n_queued; /* jobs */
    uint32_t limit;    /* of threads, now */
};

/* Makes a pool without threads.
 * Returns  0, and *out_pool, for iopool_close(); -errno */
int iopool_open(const struct iopool_rules *rules, struct iopool **out_pool)
    __attribute__((warn_unused_result));

/* Ends idle threads and waits for them; jobs in the queue are dropped. When threads still run jobs,
 * nothing is freed, since they will look at it: then the process must end without further ado.
 * Returns  how many do. NULL: 0 */
uint32_t iopool_close(struct iopool *pool);

/* Is there anybody who could run another job, soon or later? Starts a first thread if need be.
 * Returns  0; -EAGAIN and the like: there is no thread, and the kernel gives none */
int iopool_prepare(struct iopool *pool) __attribute__((warn_unused_result));

/* Puts a job into the queue, and starts a thread for it where that helps. A thread that the kernel
 * refuses is asked for again by iopool_on_tick(). */
void iopool_post(struct iopool *pool, struct list *job);

/* Takes a job out of the queue. Returns false when it is not there: it runs, or has run */
bool iopool_take_back(struct iopool *pool, struct list *job);

/* The job's thread is not counted any more, until it comes back.
 * Returns  whether the job was running */
bool iopool_give_up(struct iopool *pool, const struct list *job);

/* Jobs posted that have not ended, those given up included. */
uint32_t iopool_count(struct iopool *pool);

/* Now and then (half a second): measures, and starts threads that are still missing. */
void iopool_on_tick(struct iopool *pool);

void iopool_peek(struct iopool *pool, struct iopool_state *out_state);

/* How many threads keep the CPUs busy: cpus × (1 + wait ÷ CPU time) ÷ workers, rounded up, within
 * the two bounds.
 * wall_us, cpu_us  of jobs, so far; both 0: not known */
uint32_t iopool_limit(const struct iopool_rules *rules, double wall_us, double cpu_us);

#endif
