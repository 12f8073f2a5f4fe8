/* CPUs and memory that a process may really use. A container sees all CPUs and all RAM of its host
 * in /proc; what holds is its cgroup, and each of the cgroups above: the tightest counts.
 *
 * /proc/self/cgroup names our cgroup, but below which folder that is depends on mounts and
 * namespaces. Instead of reading mountinfo we look at the named folder and every one above, up to
 * the root of the hierarchy as we see it: without a cgroup namespace the named folders do not
 * exist in a container, and the root is the container's own cgroup. */
#include "config/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/str.h"
#include "config/pool.h"
#include "config/bounds.h"
#include "config/schema.h"

#define FILE_MAX (1U << 16) /* more than any file that is read here has */
#define AFFINITY_CPUS_MAX (1U << 16)

static uint32_t count_affinity(void)
{
    /* The kernel refuses a mask shorter than its own (sched_getaffinity(2)), so grow until it
     * fits. */
    for (size_t n = CPU_SETSIZE; n <= AFFINITY_CPUS_MAX; n *= 2) {
        cpu_set_t *set = CPU_ALLOC(n);
        if (!set)
            break;
        size_t bytes = CPU_ALLOC_SIZE(n);
        int rc = sched_getaffinity(0, bytes, set);
        int count = rc == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return (uint32_t)count;
        if (rc == 0 || errno != EINVAL)
            break;
    }
    return 1;
}

/* The first word of a file as a number. Returns 0; -errno; -EINVAL it is no number ("max", -1) */
static int read_number(const char *path, uint64_t *out_number, uint64_t *out_second)
{
    char *text = NULL;
    size_t len = 0;
    int rc = fd_read_file(path, FILE_MAX, &text, &len);
    if (rc < 0)
        return rc;
    size_t first = strcspn(text, " \n");
    const char *second = text + first + strspn(text + first, " ");
    rc = str_parse_u64(str_make(text, first), UINT64_MAX, out_number);
    if (rc == 0 && out_second)
        rc = str_parse_u64(str_make(second, strcspn(second, " \n")), UINT64_MAX, out_second);
    free(text);
    return rc;
}

/* A hierarchy of cgroups: where it is mounted, what its files are called. */
struct hierarchy {
    const char *controller; /* of version 1 in /proc/self/cgroup; "" is version 2 */
    const char *mounts[4];  /* below cgroup_root, the first that exists; ended by NULL */
    void (*look)(struct machine *m, const char *folder);
};

static void take_quota(struct machine *m, uint64_t quota_us, uint64_t period_us, const char *path)
{
    if (quota_us == 0 || period_us == 0)
        return;
    /* quota/period < the one known, without losing what a division would round away */
    bool is_tighter = m->quota_us == 0 ||
                      (__uint128_t)quota_us * m->period_us < (__uint128_t)m->quota_us * period_us;
    if (!is_tighter)
        return;
    m->quota_us = quota_us;
    m->period_us = period_us;
    (void)snprintf(m->quota_path, sizeof m->quota_path, "%s", path);
}

static void take_memory(struct machine *m, uint64_t bytes, const char *path)
{
    /* Version 1 says "none" with a number near 2^63, so a limit above RAM is none. */
    if (bytes == 0 || (m->ram_bytes > 0 && bytes >= m->ram_bytes) || bytes > INT64_MAX / 2)
        return;
    /* The others are kept, for what is left below each (config/headroom.h). */
    if (m->n_limits < MACHINE_LIMITS_MAX) {
        struct machine_limit *limit = &m->limits[m->n_limits++];
        limit->bytes = bytes;
        (void)snprintf(limit->path, sizeof limit->path, "%s", path);
    }
    if (m->cgroup_bytes > 0 && bytes >= m->cgroup_bytes)
        return;
    m->cgroup_bytes = bytes;
    (void)snprintf(m->cgroup_path, sizeof m->cgroup_path, "%s", path);
}

static void look_v2(struct machine *m, const char *folder)
{
    char path[PATH_MAX];
    uint64_t number;
    uint64_t period_us;
    (void)snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (read_number(path, &number, &period_us) == 0)
        take_quota(m, number, period_us, path);
    /* Above memory.high nobody is killed, but slowed down until next to nothing is done: whoever
     * plans with more plans for that. */
    static const char *const limits[] = {"memory.max", "memory.high"};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, limits[i]);
        if (read_number(path, &number, NULL) == 0)
            take_memory(m, number, path);
    }
}

static void look_v1_cpu(struct machine *m, const char *folder)
{
    char path[PATH_MAX];
    uint64_t quota_us;
    uint64_t period_us;
    (void)snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (read_number(path, &period_us, NULL) < 0)
        return;
    (void)snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (read_number(path, &quota_us, NULL) == 0)
        take_quota(m, quota_us, period_us, path);
}

static void look_v1_memory(struct machine *m, const char *folder)
{
    char path[PATH_MAX];
    uint64_t bytes;
    (void)snprintf(path, sizeof path, "%s/memory.limit_in_bytes", folder);
    if (read_number(path, &bytes, NULL) == 0)
        take_memory(m, bytes, path);
}

static const struct hierarchy hierarchies[] = {
    {"", {"", NULL}, look_v2},
    {"", {"/unified", NULL}, look_v2}, /* version 2 beside version 1, as systemd's hybrid has it */
    {"cpu", {"/cpu", "/cpu,cpuacct", "/cpuacct,cpu", NULL}, look_v1_cpu},
    {"memory", {"/memory", NULL}, look_v1_memory},
};

/* Looks at the cgroup `path` of a hierarchy and at all above it. */
static void look_upwards(struct machine *m, const struct hierarchy *h, const char *cgroup_root,
                         struct str path)
{
    char root[PATH_MAX];
    for (size_t i = 0; h->mounts[i]; i++) {
        (void)snprintf(root, sizeof root, "%s%s", cgroup_root, h->mounts[i]);
        if (access(root, F_OK) == 0)
            break;
    }
    /* Outside of our namespace the path begins with /..: of those only the root can be seen. */
    if (str_has_prefix(path, STR("/..")) && (path.len == 3 || path.p[3] == '/'))
        path.len = 0;
    while (path.len > 0) {
        char folder[PATH_MAX];
        if (path.len > 1 &&
            snprintf(folder, sizeof folder, "%s%.*s", root, STR_ARG(path)) < (int)sizeof folder)
            h->look(m, folder);
        while (path.len > 0 && path.p[path.len - 1] != '/')
            path.len--;
        if (path.len > 0)
            path.len--;
    }
    h->look(m, root);
}

/* One line of /proc/self/cgroup: "4:cpu,cpuacct:/path" or "0::/path" (cgroups(7)). */
static void read_cgroup_line(struct machine *m, const char *cgroup_root, struct str line)
{
    const char *first = memchr(line.p, ':', line.len);
    const char *second =
        first ? memchr(first + 1, ':', line.len - (size_t)(first + 1 - line.p)) : NULL;
    if (!second)
        return;
    struct str controllers = str_make(first + 1, (size_t)(second - first - 1));
    struct str path = str_make(second + 1, line.len - (size_t)(second + 1 - line.p));
    for (size_t i = 0; i < sizeof hierarchies / sizeof hierarchies[0]; i++) {
        struct str name = str_of(hierarchies[i].controller);
        if (name.len == 0 ? controllers.len == 0 : str_list_has(controllers, name))
            look_upwards(m, &hierarchies[i], cgroup_root, path);
    }
}

static void read_cgroups(struct machine *m, const char *proc_root, const char *cgroup_root)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/self/cgroup", proc_root);
    if (fd_read_file(path, FILE_MAX, &text, &len) < 0)
        return;
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        read_cgroup_line(m, cgroup_root, str_make(line, n));
        line += n + (line[n] == '\n');
    }
    free(text);
}

/* "MemTotal:       2097152 kB" (proc(5)). Returns bytes; 0 unknown */
static uint64_t read_ram(const char *proc_root)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    uint64_t kib = 0;
    (void)snprintf(path, sizeof path, "%s/meminfo", proc_root);
    if (fd_read_file(path, FILE_MAX, &text, &len) < 0)
        return 0;
    const char *at = strstr(text, "MemTotal:");
    if (at) {
        at += strlen("MemTotal:");
        at += strspn(at, " \t");
        if (str_parse_u64(str_make(at, strspn(at, "0123456789")), UINT64_MAX / 1024, &kib) < 0)
            kib = 0;
    }
    free(text);
    return kib * 1024;
}

void machine_read(struct machine *m, const char *proc_root, const char *cgroup_root)
{
    *m = (struct machine){.affinity_cpus = count_affinity(), .ram_bytes = read_ram(proc_root)};
    read_cgroups(m, proc_root, cgroup_root);
    machine_decide(m);
}

/* Quota in whole CPUs, rounded up: 1.5 CPUs keep two processes busy most of the time. 0: none */
static uint64_t quota_cpus(const struct machine *m)
{
    if (m->quota_us == 0 || m->period_us == 0)
        return 0;
    return m->quota_us / m->period_us + (m->quota_us % m->period_us > 0);
}

void machine_decide(struct machine *m)
{
    uint64_t quota = quota_cpus(m);
    m->cpus = m->affinity_cpus > 0 ? m->affinity_cpus : 1;
    if (quota > 0 && quota < m->cpus)
        m->cpus = (uint32_t)quota;
    m->memory_bytes = m->ram_bytes;
    if (m->cgroup_bytes > 0 && (m->ram_bytes == 0 || m->cgroup_bytes < m->ram_bytes))
        m->memory_bytes = m->cgroup_bytes;
}

uint32_t machine_workers_auto(const struct machine *m, enum worker_class class)
{
    const struct setting_spec *spec = &schema_specs[SETTING_ID_workers];
    uint64_t n = class == WORKER_CLASS_SYNC ? (uint64_t)m->cpus * 2 + 1 : m->cpus;
    if (n > spec->max)
        return (uint32_t)spec->max;
    return n < spec->min ? (uint32_t)spec->min : (uint32_t)n;
}

const char *machine_why_cpus(const struct machine *m, struct arena *arena)
{
    if (m->quota_us == 0)
        return arena_printf(arena, NULL,
                            "%" PRIu32 " by CPU affinity (sched_getaffinity(2)), no cgroup quota; "
                            "taskset(1), a cpuset or a cgroup quota would change it",
                            m->affinity_cpus);
    /* 1.5 of 2 CPUs are less, although both come to 2. */
    bool is_quota = m->quota_us < (__uint128_t)m->affinity_cpus * m->period_us;
    return arena_printf(
        arena, NULL,
        "%" PRIu32 " by %s: quota of %.2f CPUs in %s (%" PRIu64 " of %" PRIu64 " us, rounded up), "
        "affinity allows %" PRIu32 "; %s would change it",
        m->cpus, is_quota ? "cgroup quota" : "CPU affinity",
        (double)m->quota_us / (double)m->period_us, m->quota_path, m->quota_us, m->period_us,
        m->affinity_cpus, is_quota ? "another quota" : "taskset(1) or a cpuset");
}

const char *machine_why_memory(const struct machine *m, struct arena *arena)
{
    const double gib = 1 << 30;
    if (m->cgroup_bytes > 0)
        return arena_printf(arena, NULL,
                            "%.2f GiB by the cgroup limit in %s (%" PRIu64 " bytes), RAM is "
                            "%.2f GiB; another limit would change it",
                            (double)m->memory_bytes / gib, m->cgroup_path, m->cgroup_bytes,
                            (double)m->ram_bytes / gib);
    if (m->ram_bytes > 0)
        return arena_printf(arena, NULL,
                            "%.2f GiB of RAM (MemTotal), no lower cgroup limit; a cgroup limit "
                            "would change it",
                            (double)m->ram_bytes / gib);
    return "unknown: neither MemTotal nor a cgroup limit can be read";
}

/* What a range begins with, and what follows. */
static int resolve_range(struct settings *s, enum setting_id id, const struct setting_range *range)
{
    s->sources[id].derived = arena_printf(
        &s->arena, NULL,
        "%" PRIu32 " to begin with, then %s %" PRIu32 " to %" PRIu32 "%s. CPUs: %s", range->n,
        s->adaptive ? "as measured, from" : "fixed by adaptive: off; else from", range->min,
        range->max, range->is_max_auto ? ", where auto ends" : "", s->cpus_why);
    return s->sources[id].derived ? 0 : -ENOMEM;
}

static int resolve_workers(const struct machine *m, struct settings *s)
{
    uint32_t n = machine_workers_auto(m, s->worker_class);
    bool is_fixed = !s->workers.is_auto && !s->workers.is_max_auto && s->workers.n > 0;
    bounds_resolve(&s->workers, n, n, n);
    if (is_fixed)
        return 0;
    if (!s->workers.is_auto)
        return resolve_range(s, SETTING_ID_workers, &s->workers);
    const char *why =
        s->worker_class == WORKER_CLASS_SYNC
            ? arena_printf(&s->arena, NULL,
                           "%" PRIu32 ", two for each CPU and one more, since workers of class "
                           "sync wait with their requests%s. CPUs: %s",
                           n, n <= m->cpus * 2 ? "; up to the most that is allowed" : "",
                           s->cpus_why)
            : arena_printf(&s->arena, NULL, "%" PRIu32 ", one for each CPU%s%s. CPUs: %s", n,
                           n < m->cpus ? " up to the most that is allowed" : "",
                           s->adaptive && n > 1 ? ", fewer while others compute on them" : "",
                           s->cpus_why);
    if (!why)
        return -ENOMEM;
    s->sources[SETTING_ID_workers].derived = why;
    return 0;
}

/* What it becomes is up to each worker's measurements: here is how far. */
static int resolve_threads(struct settings *s)
{
    bool is_fixed = !s->threads.is_auto && !s->threads.is_max_auto && s->threads.n > 0;
    bounds_resolve(&s->threads, SETTINGS_THREADS_AUTO_BEGIN, SETTINGS_THREADS_AUTO_MIN,
                   SETTINGS_THREADS_AUTO_MAX);
    if (is_fixed)
        return 0;
    if (!s->threads.is_auto || !s->adaptive)
        return resolve_range(s, SETTING_ID_threads, &s->threads);
    const char *why = arena_printf(
        &s->arena, NULL,
        "%u at most; it is measured how long handlers of the io lane wait and how long they "
        "compute, and a worker has as many threads as they need, up to CPUs x (1 + 1.5 x wait / "
        "CPU time) / workers, here %" PRIu32 " x (1 + 1.5 x W/C) / %" PRIu32
        ", from %u to %u. CPUs: %s",
        s->threads.max, s->cpus, s->workers.n, s->threads.min, s->threads.max, s->cpus_why);
    if (!why)
        return -ENOMEM;
    s->sources[SETTING_ID_threads].derived = why;
    return 0;
}

int machine_resolve(const struct machine *m, struct settings *s)
{
    s->cpus = m->cpus;
    s->memory_bytes = m->memory_bytes;
    s->cpus_why = machine_why_cpus(m, &s->arena);
    s->memory_why = machine_why_memory(m, &s->arena);
    if (!s->cpus_why || !s->memory_why)
        return -ENOMEM;
    int rc = resolve_workers(m, s);
    if (rc == 0)
        rc = resolve_threads(s);
    return rc == 0 ? pool_resolve(m, s) : rc;
}
