/* How long a thread was ready to run while others had the CPUs: /proc/thread-self/schedstat. */
#ifndef REMUDA_BASE_SCHEDSTAT_H
#define REMUDA_BASE_SCHEDSTAT_H

#include <stdint.h>

/* For the calling thread, whoever reads it later.
 * Returns  a descriptor, for close(2); -errno: there is no /proc, or the kernel does not count */
int schedstat_open(void) __attribute__((warn_unused_result));

/* What it has waited for a CPU so far, in ns. A system call. 0 of a descriptor that is not what it
 * was, since the app has closed it, say.
 * fd       -1: 0
 * Safe     threads: any · may block: no */
uint64_t schedstat_delay_ns(int fd);

#endif
