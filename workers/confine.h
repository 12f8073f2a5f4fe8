/* What holds a compute worker in: limits on memory, CPU time, descriptors and processes, set before
 * any code of the app runs in it, and read back. Its children, where it may have some, inherit
 * them. */
#ifndef REMUDA_WORKERS_CONFINE_H
#define REMUDA_WORKERS_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct setting_pool;

/* Puts this process into a group of its own (never a session: the scheduler groups sessions, and
 * `nice` would mean nothing beyond it), makes it nice, and sets the pool's limits. Called when all
 * is mapped that a worker maps: memory_limit counts from there.
 * Returns  0; -errno, *err: what could not be set, and what to do */
int confine_worker(const struct setting_pool *pool, struct err *err)
    __attribute__((warn_unused_result));

/* Before each task: it may use cpu_limit from here on, and up to a second more, since the kernel
 * counts in seconds. The one who uses more gets SIGXCPU. */
void confine_task(const struct setting_pool *pool);

/* Behind it: what is used between two tasks, and for the next one before its handler, counts for
 * none. */
void confine_rest(const struct setting_pool *pool);

/* No process may be made by this one any more, threads may: a filter of system calls, which no
 * process gets rid of, and which holds for root, too.
 * Returns  0; -ENOTSUP not on this machine or kernel */
int confine_forbid_fork(void) __attribute__((warn_unused_result));

/* Is memory_limit in effect in this build? Sanitizers map terabytes, and are not held in. */
bool confine_has_memory_limit(void);

#endif
