/* CPUs, memory, and what limits them. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/str.h"
#include "config/headroom.h"
#include "config/settings.h"
#include "server/doctor.h"

#define GIB ((double)(1 << 30))
#define STAT_MAX (1U << 14)
#define THROTTLED_PERCENT 5 /* of all periods, a guess: one answer of twenty comes late */
#define ROOM_PERCENT 10     /* of memory that should be free, likewise */

static void look_cpus(const struct doctor *d, struct doctor_row *row)
{
    doctor_found(row, "%s", d->settings->cpus_why);
}

static void look_memory(const struct doctor *d, struct doctor_row *row)
{
    uint64_t room = headroom_bytes(d->machine, d->proc);
    uint64_t all = d->machine->memory_bytes;
    if (room == HEADROOM_UNKNOWN || all == 0) {
        doctor_found(row, "%s", d->settings->memory_why);
        return;
    }
    doctor_found(row, "%.2f GiB are free now; %s", (double)room / GIB, d->settings->memory_why);
    if (room < all / 100 * ROOM_PERCENT)
        doctor_advise(row, DOCTOR_WARN,
                      "less than %d %% is free: adaptive pools do not grow, worn workers are "
                      "replaced without a second beside them",
                      ROOM_PERCENT);
}

/* Of the workers that are always there: for more of them room is looked for (server/growth.h). */
static void look_compute_memory(const struct doctor *d, struct doctor_row *row)
{
    uint64_t need = 0;
    uint64_t all = d->machine->memory_bytes;
    for (size_t i = 0; i < d->settings->compute_pools.n; i++) {
        const struct setting_pool *pool = &d->settings->compute_pools.items[i];
        need += pool->workers_min * pool->memory_limit_bytes; /* below 2^63, config/pool.c */
        if (pool->memory_limit_bytes > 0)
            continue;
        doctor_found(row, "pool %s has no memory_limit", pool->name);
        doctor_advise(row, DOCTOR_WARN,
                      "one task can take all memory there is, and the kernel then kills whom it "
                      "likes: set memory_limit");
        return;
    }
    doctor_found(row, "compute workers x memory_limit is %.2f GiB of %.2f GiB", (double)need / GIB,
                 (double)all / GIB);
    if (all > 0 && need > all)
        doctor_advise(row, d->settings->strict ? DOCTOR_BAD : DOCTOR_WARN,
                      "does not fit, when the app computes and all tasks take what they may: lower "
                      "compute.workers or compute.memory_limit");
}

/* nr_periods and nr_throttled of the cgroup whose quota counts. */
static void look_quota(const struct doctor *d, struct doctor_row *row)
{
    char path[MACHINE_PATH_MAX + 16];
    char *text = NULL;
    size_t len = 0;
    const char *slash = strrchr(d->machine->quota_path, '/');
    if (!slash) {
        doctor_found(row, "no CPU quota");
        return;
    }
    (void)snprintf(path, sizeof path, "%.*s/cpu.stat", (int)(slash - d->machine->quota_path),
                   d->machine->quota_path);
    uint64_t periods = 0, throttled = 0;
    if (fd_read_file(path, STAT_MAX, &text, &len) == 0) {
        const char *at = strstr(text, "nr_periods ");
        periods = at ? strtoull(at + strlen("nr_periods "), NULL, 10) : 0;
        at = strstr(text, "nr_throttled ");
        throttled = at ? strtoull(at + strlen("nr_throttled "), NULL, 10) : 0;
        free(text);
    }
    doctor_found(
        row, "%.2f CPUs by %s, held back in %" PRIu64 " of %" PRIu64 " periods of %" PRIu64 " us",
        (double)d->machine->quota_us / (double)d->machine->period_us, d->machine->quota_path,
        throttled, periods, d->machine->period_us);
    if (periods > 0 && throttled * 100 > periods * THROTTLED_PERCENT) {
        doctor_advise(row, DOCTOR_WARN,
                      "whoever is held back answers up to a period later, which is the p99 then: "
                      "a larger quota, or fewer compute workers");
        doctor_command(row, "grep . %s", path);
    }
}

static void look_cgroup(const struct doctor *d, struct doctor_row *row)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/self/cgroup", d->proc);
    if (fd_read_file(path, STAT_MAX, &text, &len) < 0) {
        doctor_found(row, "%s can't be read", path);
        doctor_advise(row, DOCTOR_WARN, "limits of a container are not seen: mount /proc");
        return;
    }
    bool has_v2 = strncmp(text, "0::", 3) == 0 || strstr(text, "\n0::");
    bool has_v1 = strstr(text, "memory:/") || strstr(text, "cpu:/") || strstr(text, "cpu,cpuacct");
    doctor_found(row, "version %s; %" PRIu32 " limit%s of memory, %s of CPU time",
                 has_v1 && has_v2 ? "1 with 2 beside it"
                 : has_v1         ? "1"
                 : has_v2         ? "2"
                                  : "unknown",
                 d->machine->n_limits, d->machine->n_limits == 1 ? "" : "s",
                 d->machine->quota_us > 0 ? "one" : "none");
    free(text);
}

/* The least of a file in our cgroup and all above it. */
static uint64_t least_pids(const struct doctor *d)
{
    char line[PATH_MAX], name[PATH_MAX + 64];
    uint64_t least = UINT64_MAX, n;
    (void)snprintf(name, sizeof name, "%s/self/cgroup", d->proc);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *path = strchr(line, '/');
        if (!path || (!strstr(line, ":pids:") && strncmp(line, "0::", 3) != 0))
            continue;
        path[strcspn(path, "\n")] = '\0';
        const char *mount = strstr(line, ":pids:") ? "fs/cgroup/pids" : "fs/cgroup";
        for (;;) {
            (void)snprintf(name, sizeof name, "%s%s/pids.max", mount, path);
            if (doctor_number(d->sys, name, &n) && n < least)
                least = n;
            char *slash = strrchr(path, '/');
            if (!slash)
                break;
            *slash = '\0';
        }
    }
    if (file)
        (void)fclose(file);
    return least;
}

static uint64_t count_range(const struct settings *s, const struct setting_range *range)
{
    return s->adaptive && range->max > range->n ? range->max : range->n;
}

uint64_t doctor_machine_count(const struct settings *settings)
{
    uint64_t compute = 0;
    for (size_t i = 0; i < settings->compute_pools.n; i++)
        compute += settings->compute_pools.items[i].workers_max;
    /* Master, loader, admin process, coroners; each worker has its loop, and one to spare. */
    return 8 + 2 * (count_range(settings, &settings->workers) *
                        (2 + count_range(settings, &settings->threads)) +
                    compute);
}

/* Threads count as well. */
static void look_processes(const struct doctor *d, struct doctor_row *row)
{
    uint64_t need = doctor_machine_count(d->settings);
    uint64_t most = least_pids(d);
    uint64_t pid_max;
    const char *where = "pids.max of a cgroup";
    if (doctor_number(d->proc, "sys/kernel/pid_max", &pid_max) && pid_max < most) {
        most = pid_max;
        where = "kernel.pid_max";
    }
    if (most == UINT64_MAX) {
        doctor_found(row, "%" PRIu64 " processes and threads at most, in a reload; no limit found",
                     need);
        return;
    }
    doctor_found(row, "%" PRIu64 " processes and threads at most, in a reload; %s allows %" PRIu64,
                 need, where, most);
    if (need > most)
        doctor_advise(row, DOCTOR_WARN,
                      "threads and workers are refused when that is reached: raise it (TasksMax= "
                      "of a systemd unit, --pids-limit of a container), or lower threads");
}

const struct doctor_check doctor_machine_checks[] = {
    {"cpus", look_cpus, false},     {"cpu_quota", look_quota, false},
    {"memory", look_memory, false}, {"compute_memory", look_compute_memory, false},
    {"cgroup", look_cgroup, false}, {"processes", look_processes, false},
};
const size_t doctor_machine_n = sizeof doctor_machine_checks / sizeof doctor_machine_checks[0];
