/* What a process uses, as the kernel counts it. */
#ifndef REMUDA_SERVER_USAGE_H
#define REMUDA_SERVER_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t rss_bytes; /* resident memory, shared pages included */
    uint64_t cpu_ms;    /* user and system time so far */
};

/* Reads it from /proc/PID/stat (proc(5)). pid must be a child that was not reaped, or oneself.
 * Returns  0; -errno; -EINVAL: the kernel writes something unknown */
int usage_read(pid_t pid, struct usage *out) __attribute__((warn_unused_result));

#endif
