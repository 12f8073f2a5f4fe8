/* How much memory is left, and how much of it a process has for itself: as of now, where
 * config/machine.h says what there is at all. */
#ifndef REMUDA_CONFIG_HEADROOM_H
#define REMUDA_CONFIG_HEADROOM_H

#include <stdint.h>
#include <sys/types.h>

#include "config/machine.h"

#define HEADROOM_UNKNOWN UINT64_MAX

/* What can still be used before something is swapped out or killed: the smaller of MemAvailable
 * and what is left below a cgroup limit, ours or one above, where pages of files that nobody has
 * used for long count as free.
 * machine    says which limits there are; of machine_read() with the same proc_root
 * Returns    bytes; HEADROOM_UNKNOWN: nothing says
 * Safe       may block: on these file systems only */
uint64_t headroom_bytes(const struct machine *machine, const char *proc_root);

/* What a process has in memory beside pages of files: those that it shares with its loader since
 * the fork included. Returns bytes; HEADROOM_UNKNOWN: it is gone, or nothing says */
uint64_t headroom_of_process(const char *proc_root, pid_t pid);

#endif
