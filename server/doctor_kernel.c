/* What the kernel is, and what it lets us measure. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/settings.h"
#include "server/doctor.h"

#define CAP_SYS_PTRACE_BIT 19 /* capabilities(7); its header is the kernel's */
#define CLOCK_ROUNDS 20000
#define CLOCK_SLOW_NS 250 /* a reading without a system call takes some 25 to 60 */
#define NOBODY 0x3fffffff /* above every pid_max */

/* close_range(2) came with 5.9; MADV_POPULATE_WRITE, by which the segment gets memory as an error
 * code rather than a signal, with 5.14. */
static void look_release(const struct doctor *d, struct doctor_row *row)
{
    char release[128];
    unsigned major = 0, minor = 0;
    if (!doctor_read(d->proc, "sys/kernel/osrelease", release, sizeof release)) {
        struct utsname name;
        (void)snprintf(release, sizeof release, "%.64s",
                       uname(&name) == 0 ? name.release : "unknown");
    }
    doctor_found(row, "Linux %s", release);
    if (sscanf(release, "%u.%u", &major, &minor) == 2 && (major < 5 || (major == 5 && minor < 14)))
        doctor_advise(
            row, DOCTOR_BAD,
            "older than 5.14: memory for payloads of the compute lane can't be had in a "
            "way that fails with an error code (MADV_POPULATE_WRITE); use a newer kernel");
}

static void look_features(const struct doctor *d, struct doctor_row *row)
{
    (void)d;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = memfd_create("remuda-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool has_range = close_range(~0U, ~0U, 0) == 0;
    bool has_populate = page != MAP_FAILED && madvise(page, 4096, MADV_POPULATE_WRITE) == 0;
    bool has_memfd = fd >= 0;
    if (page != MAP_FAILED)
        (void)munmap(page, 4096);
    fd_close(&fd);
    if (has_memfd && has_range && has_populate) {
        doctor_found(row, "memfd_create, close_range, MADV_POPULATE_WRITE are there");
        return;
    }
    doctor_found(row, "missing or refused:%s%s%s", has_memfd ? "" : " memfd_create",
                 has_range ? "" : " close_range", has_populate ? "" : " MADV_POPULATE_WRITE");
    doctor_advise(row, DOCTOR_BAD,
                  "the server needs them: a newer kernel, or a seccomp profile of the container "
                  "that lets them through");
}

/* Without the vDSO each reading of a clock is a system call, and there are several a request. */
static void look_clock(const struct doctor *d, struct doctor_row *row)
{
    char source[64] = "unknown", available[256] = "";
    struct timespec from, to, now;
    (void)doctor_read(d->sys, "devices/system/clocksource/clocksource0/current_clocksource", source,
                      sizeof source);
    (void)doctor_read(d->sys, "devices/system/clocksource/clocksource0/available_clocksource",
                      available, sizeof available);
    uint64_t best_ns = UINT64_MAX;
    for (unsigned round = 0; round < 5; round++) {
        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        for (unsigned i = 0; i < CLOCK_ROUNDS / 5; i++)
            (void)clock_gettime(CLOCK_MONOTONIC, &now);
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        int64_t took_ns =
            (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + (to.tv_nsec - from.tv_nsec);
        uint64_t ns = (uint64_t)took_ns / (CLOCK_ROUNDS / 5);
        best_ns = ns < best_ns ? ns : best_ns;
    }
    doctor_found(row, "%s, %" PRIu64 " ns a reading", source, best_ns);
    if (best_ns < CLOCK_SLOW_NS)
        return;
    doctor_advise(row, DOCTOR_WARN,
                  "each reading of a clock is a system call, and a request takes several; there "
                  "are: %s",
                  available);
    if (strstr(available, "tsc"))
        doctor_command(row, "echo tsc > /sys/devices/system/clocksource/clocksource0/"
                            "current_clocksource");
}

static void look_hugepages(const struct doctor *d, struct doctor_row *row)
{
    char text[128];
    if (!doctor_read(d->sys, "kernel/mm/transparent_hugepage/enabled", text, sizeof text)) {
        doctor_found(row, "not in this kernel");
        return;
    }
    doctor_found(row, "%s", text);
    if (!strstr(text, "[always]"))
        return;
    doctor_advise(
        row, DOCTOR_WARN,
        "a worker that writes to one octet of what it shares with its loader copies 2 MiB "
        "of it, so workers take more memory; madvise leaves it to those who ask");
    doctor_command(row, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

static void look_overcommit(const struct doctor *d, struct doctor_row *row)
{
    uint64_t mode = 0;
    if (!doctor_number(d->proc, "sys/vm/overcommit_memory", &mode)) {
        doctor_found(row, "unknown: vm.overcommit_memory can't be read");
        return;
    }
    doctor_found(row, "vm.overcommit_memory is %" PRIu64, mode);
    if (mode != 2)
        return;
    doctor_advise(row, DOCTOR_WARN,
                  "a fork counts as if it copied all memory of its parent, so workers are refused "
                  "while there is plenty; 0 counts what is used");
    doctor_command(row, "sysctl -w vm.overcommit_memory=0");
}

static void look_pressure(const struct doctor *d, struct doctor_row *row)
{
    char text[160];
    if (!doctor_read(d->proc, "pressure/cpu", text, sizeof text)) {
        doctor_found(row, "/proc/pressure can't be read");
        doctor_advise(row, DOCTOR_WARN,
                      "adaptive pools go by room in memory alone: boot the kernel with psi=1 "
                      "(CONFIG_PSI), and show /proc/pressure to the container");
        return;
    }
    doctor_found(row, "readable; cpu: %s", text);
}

/* Time that a thread was ready and had no CPU: what tells waiting from an overloaded machine. */
static void look_schedstat(const struct doctor *d, struct doctor_row *row)
{
    char text[128];
    unsigned long long ran = 0, delayed = 0, slices = 0;
    if (doctor_read(d->proc, "thread-self/schedstat", text, sizeof text) &&
        sscanf(text, "%llu %llu %llu", &ran, &delayed, &slices) == 3 && ran > 0) {
        doctor_found(row, "readable");
        return;
    }
    doctor_found(row, "/proc/thread-self/schedstat says nothing");
    doctor_advise(
        row, DOCTOR_WARN,
        "time without a CPU counts as waiting, so on a busy machine auto chooses too many "
        "threads: a kernel with CONFIG_SCHED_INFO");
}

static bool has_ptrace_capability(const struct doctor *d)
{
    char line[256], name[256];
    unsigned long long effective = 0;
    (void)snprintf(name, sizeof name, "%s/self/status", d->proc);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    if (file)
        (void)fclose(file);
    return effective >> CAP_SYS_PTRACE_BIT & 1U;
}

/* Whether one process may look at the stack of another of the same user: slowlog, dump. */
static void look_ptrace(const struct doctor *d, struct doctor_row *row)
{
    uint64_t scope = 0;
    bool has_yama = doctor_number(d->proc, "sys/kernel/yama/ptrace_scope", &scope);
    bool has_capability = has_ptrace_capability(d);
    /* Nobody has that number: EPERM is a filter's word, ESRCH the kernel's. */
    bool is_filtered = !d->is_fake && ptrace(PTRACE_SEIZE, NOBODY, NULL, NULL) < 0 &&
                       (errno == EPERM || errno == ENOSYS);
    if (has_yama)
        doctor_found(row, "kernel.yama.ptrace_scope is %" PRIu64 ", CAP_SYS_PTRACE %s%s", scope,
                     has_capability ? "held" : "not held",
                     is_filtered ? ", ptrace(2) is filtered" : "");
    else
        doctor_found(row, "not restricted by yama%s",
                     is_filtered ? ", but ptrace(2) is filtered" : "");
    if (is_filtered) {
        doctor_advise(row, DOCTOR_WARN,
                      "slowlog and dump have no stacks: a seccomp profile that allows ptrace "
                      "(docker run --cap-add SYS_PTRACE)");
    } else if (has_yama && (scope == 3 || (scope > 0 && !has_capability))) {
        doctor_advise(row, DOCTOR_WARN, "slowlog and dump may have no stacks%s",
                      scope == 3 ? "; 3 can't be taken back before the next boot" : "");
        if (scope < 3)
            doctor_command(row, "sysctl -w kernel.yama.ptrace_scope=0");
    }
}

static void look_seccomp(const struct doctor *d, struct doctor_row *row)
{
    char line[256], name[256];
    unsigned mode = 0;
    (void)snprintf(name, sizeof name, "%s/self/status", d->proc);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Seccomp: %u", &mode) == 1)
            break;
    if (file)
        (void)fclose(file);
    uint64_t dummy;
    bool is_there = doctor_read(d->proc, "sys/kernel/seccomp/actions_avail", line, sizeof line) ||
                    doctor_number(d->proc, "sys/kernel/seccomp/actions_logged", &dummy);
    doctor_found(row, "%s; %s",
                 mode == 2 ? "a filter of the container or service holds here"
                           : "no filter holds here",
                 is_there ? "the kernel knows filters"
                          : "whether the kernel knows filters is not "
                            "told");
}

static void look_core(const struct doctor *d, struct doctor_row *row)
{
    char pattern[200];
    if (!doctor_read(d->proc, "sys/kernel/core_pattern", pattern, sizeof pattern)) {
        doctor_found(row, "kernel.core_pattern can't be read");
        return;
    }
    doctor_found(row, "kernel.core_pattern is %s%s", pattern[0] ? pattern : "empty",
                 d->settings->crash_dir ? "; crash_dir keeps bundles besides" : "");
}

const struct doctor_check doctor_kernel_checks[] = {
    {"release", look_release, false},
    {"features", look_features, true},
    {"clock", look_clock, true},
    {"transparent_hugepages", look_hugepages, false},
    {"overcommit", look_overcommit, false},
    {"pressure", look_pressure, false},
    {"schedstat", look_schedstat, false},
    {"ptrace", look_ptrace, false},
    {"seccomp", look_seccomp, false},
    {"core_pattern", look_core, false},
};
const size_t doctor_kernel_n = sizeof doctor_kernel_checks / sizeof doctor_kernel_checks[0];
