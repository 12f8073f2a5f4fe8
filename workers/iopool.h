/* The threads of the io lane: a pool that takes jobs off a queue, oldest first, and runs each to
 * its end. Knows nothing of requests: a job is a node in a list, and what it means is the owner's.
 *
 * Threads are started when a job finds none idle, as long as there are fewer than the limit, and
 * end when they had nothing to do for a while. Each blocks all signals but those that a fault
 * raises in it, so that the others reach the loop's thread. A job that never ends keeps its thread
 * for ever: iopool_give_up() lets another take its place.
 *
 * All functions are the loop's, but for iopool_limit(), which is pure, and iopool_end_call(). */
#ifndef REMUDA_WORKERS_IOPOOL_H
#define REMUDA_WORKERS_IOPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "ipc/profile.h"

struct iopool; /* opaque, so that pthread stays in iopool.c */

struct iopool_rules {
    uint32_t threads_min; /* the limit of threads is found by measurement, between these two; */
    uint32_t threads_max; /* 1 …, those given up apart. The same number twice: just that */
    uint32_t cpus;        /* of the machine, ≥ 1 */
    uint32_t workers;     /* that share them, ≥ 1 */
    uint64_t idle_us;     /* a thread without a job ends after so long */
    void (*begin)(void);  /* on a new thread, before its first job; NULL: nothing */
    void (*end)(void);    /* and when it ends */
    /* On a thread, for a job that it has just taken, the pool locked: is it not to be run, after
     * all? Then it is the owner's again when this returns. is_last: no other waits. NULL: all of
     * them are run */
    bool (*shed)(void *owner, struct list *job, bool is_last);
    void (*run)(void *owner, struct list *job); /* on a thread; afterwards the job is the owner's */
    /* On a thread, before: is its CPU time to be measured? NULL: each job's is */
    bool (*is_due)(void *owner, const struct list *job);
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
 * refuses is asked for again by iopool_on_tick().
 * Returns  how many threads there are, those given up apart */
uint32_t iopool_post(struct iopool *pool, struct list *job);

/* Takes a job out of the queue. Returns false when it is not there: it runs, or has run */
bool iopool_take_back(struct iopool *pool, struct list *job);

/* The job's thread is not counted any more, until it comes back.
 * Returns  whether the job was running */
bool iopool_give_up(struct iopool *pool, const struct list *job);

/* Jobs posted that have not ended, those given up included. */
uint32_t iopool_count(struct iopool *pool);

/* Now and then (half a second): measures, and starts threads that are still missing. */
void iopool_on_tick(struct iopool *pool);

/* From now on there may be so many threads, within the two bounds: somebody else measures. */
void iopool_set_limit(struct iopool *pool, uint32_t limit);

void iopool_peek(struct iopool *pool, struct iopool_state *out_state);

/* What jobs take: their time, and of it computing and being ready to. */
struct iopool_times {
    double wall_us;
    double cpu_us;
    double delay_us;
};

/* How many threads keep the CPUs busy: cpus × (1 + wait ÷ CPU time) ÷ workers, rounded up, within
 * the two bounds. Who is ready to run and has no CPU does not wait: more threads would not help.
 * times  of jobs, so far; all 0: not known */
uint32_t iopool_limit(const struct iopool_rules *rules, const struct iopool_times *times);

/* Within run(), once, before the job is the owner's: what it has taken. wait_ns is the caller's.
 * Returns  when it began, by clock_now_ns() */
uint64_t iopool_end_call(struct profile_call *out_call);

#endif
