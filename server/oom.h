/* How often the kernel killed a process of our cgroup because memory ran out. */
#ifndef REMUDA_SERVER_OOM_H
#define REMUDA_SERVER_OOM_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct oom {
    char path[PATH_MAX]; /* of the counter; "": there is none that can be read */
    uint64_t accounted;  /* kills that are accounted for */
};

/* Finds the counter of this process's own cgroup, version 2 or 1, and takes what it says now for
 * accounted for.
 * proc_root    "/proc", or a tree that a test made: self/cgroup is read
 * cgroup_root  "/sys/fs/cgroup", likewise */
void oom_open(struct oom *oom, const char *proc_root, const char *cgroup_root);

/* Whether it counted a kill that is not accounted for; that one is from now on. */
bool oom_take(struct oom *oom);

#endif
