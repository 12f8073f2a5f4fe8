/* What a process uses, as the kernel counts it. */
#ifndef REMUDA_BASE_USAGE_H
#define REMUDA_BASE_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t rss_bytes; /* resident memory, shared pages included */
    uint64_t cpu_ms;    /* user and system time so far */
    uint64_t minor_faults;
    uint64_t major_faults; /* that had to wait for a disk */
};

/* Reads it from /proc/PID/stat (proc(5)). pid must be a child that was not reaped, or
 * oneself; of another it may be that another has the number by now.
 * Returns  0; -errno; -EINVAL: the kernel writes something unknown */
int usage_read(pid_t pid, struct usage *out) __attribute__((warn_unused_result));

/* Its share of the memory that it maps: a page that n processes share counts as 1/n of one, so that
 * all of them add up to what they really take. Takes a millisecond for each GiB or so, and the
 * right to trace the process.
 * Returns  0; -errno */
int usage_read_pss(pid_t pid, uint64_t *out_bytes) __attribute__((warn_unused_result));

#endif
