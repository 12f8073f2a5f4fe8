/* What this process may really use of the machine: CPUs by affinity and cgroup quota, memory by RAM
 * and cgroup limit, each with the source that decided; and what `auto` makes of it. */
#ifndef REMUDA_CONFIG_MACHINE_H
#define REMUDA_CONFIG_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"

#define MACHINE_PATH_MAX 512
#define MACHINE_LIMITS_MAX 16

/* A limit of memory that holds for us, of our cgroup or one above it. */
struct machine_limit {
    uint64_t bytes;
    char path[MACHINE_PATH_MAX]; /* the file that says so */
};

struct machine {
    /* Facts. */
    uint32_t affinity_cpus;             /* sched_getaffinity(2), ≥ 1 */
    uint64_t quota_us;                  /* of CPU time in period_us, the tightest; 0: no quota */
    uint64_t period_us;                 /* > 0 when quota_us is */
    char quota_path[MACHINE_PATH_MAX];  /* the file that says so, "" when none does */
    uint64_t ram_bytes;                 /* MemTotal; 0: unknown */
    uint64_t cgroup_bytes;              /* the tightest cgroup limit; 0: none */
    char cgroup_path[MACHINE_PATH_MAX]; /* the file that says so, "" when none does */
    struct machine_limit limits[MACHINE_LIMITS_MAX]; /* all below RAM, the tightest among them */
    uint32_t n_limits;
    /* What follows from them. */
    uint32_t cpus;         /* ≥ 1 */
    uint64_t memory_bytes; /* 0: unknown */
};

/* Reads the facts and decides. What cannot be read sets no limit.
 * proc_root    "/proc", or a tree that a test made: self/cgroup and meminfo are read
 * cgroup_root  "/sys/fs/cgroup", likewise; version 1, 2 and both at once
 * Safe         may block: on these file systems only */
void machine_read(struct machine *m, const char *proc_root, const char *cgroup_root);

/* The second half of machine_read(): cpus and memory_bytes from the facts. Pure. */
void machine_decide(struct machine *m);

/* Web workers: one for each CPU, of class sync two and one more, within what the setting allows.
 * Pure. */
uint32_t machine_workers_auto(const struct machine *m, enum worker_class class);

/* Puts numbers where settings say auto, with the reason in sources[].derived, and fills in cpus,
 * memory_bytes and their reasons.
 * Returns  0; -ENOMEM */
int machine_resolve(const struct machine *m, struct settings *s)
    __attribute__((warn_unused_result));

/* Why there are so many CPUs, and so much memory, in words, in the arena. NULL: out of memory */
const char *machine_why_cpus(const struct machine *m, struct arena *arena);
const char *machine_why_memory(const struct machine *m, struct arena *arena);

#endif
