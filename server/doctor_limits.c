/* Limits of this user and shell, and room for files. A service has those of its unit: there
 * `systemctl show -p LimitNOFILE` and its kin say more. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "config/settings.h"
#include "ipc/segment.h"
#include "server/doctor.h"
#include "server/herd.h"
#include "server/nofile.h"

#define GIB ((double)(1 << 30))
#define SPOOL_BYTES (UINT64_C(1) << 30) /* less than that free is little, a guess */

static const char *plain_limit(char out[32], rlim_t limit)
{
    if (limit == RLIM_INFINITY)
        return "unlimited";
    (void)snprintf(out, 32, "%" PRIu64, (uint64_t)limit);
    return out;
}

static void look_nofile(const struct doctor *d, struct doctor_row *row)
{
    struct rlimit limit;
    char soft[32], hard[32];
    uint64_t needed, wanted;
    nofile_count(d->settings, &needed, &wanted);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    doctor_found(
        row,
        "%s, at most %s; a worker needs %" PRIu64 ", %" PRIu64 " are wanted with files and tasks",
        plain_limit(soft, limit.rlim_cur), plain_limit(hard, limit.rlim_max), needed, wanted);
    if (geteuid() == 0 || limit.rlim_max >= wanted)
        return; /* the server raises it itself */
    doctor_advise(row, limit.rlim_max < needed ? DOCTOR_BAD : DOCTOR_WARN,
                  "%s: LimitNOFILE= of a systemd unit, --ulimit nofile= of a container, "
                  "/etc/security/limits.conf, or lower worker_connections",
                  limit.rlim_max < needed ? "worker_connections is lowered to what fits"
                                          : "large bodies and files fail when it is reached");
    doctor_command(row, "ulimit -Hn %" PRIu64 " && ulimit -n %" PRIu64, wanted, wanted);
}

static void look_nproc(const struct doctor *d, struct doctor_row *row)
{
    struct rlimit limit;
    char soft[32];
    uint64_t need = doctor_machine_count(d->settings);
    if (getrlimit(RLIMIT_NPROC, &limit) < 0)
        return;
    doctor_found(row, "%s processes and threads of this user; up to %" PRIu64 " are wanted",
                 plain_limit(soft, limit.rlim_cur), need);
    if (geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= need)
        return;
    doctor_advise(row, DOCTOR_WARN,
                  "threads of the io lane and workers are refused when it is reached: LimitNPROC= "
                  "of a systemd unit, or lower threads");
    doctor_command(row, "ulimit -u %" PRIu64, need);
}

static void look_address_space(const struct doctor *d, struct doctor_row *row)
{
    struct rlimit limit;
    struct err err;
    char text[32];
    uint64_t wanted = d->settings->compute_pools.items[0].segment_bytes;
    uint64_t fits = 0;
    const uint32_t n_seats = HERD_SEATS;
    if (getrlimit(RLIMIT_AS, &limit) < 0)
        return;
    int rc = segment_fit(n_seats, wanted, &fits, &err);
    doctor_found(row, "%s; slices of the segment: %" PRIu64 " MiB of %" PRIu64 " MiB each",
                 plain_limit(text, limit.rlim_cur), rc < 0 ? 0 : fits >> 20, wanted >> 20);
    if (rc < 0)
        doctor_advise(row, DOCTOR_BAD, "%.400s", err.text);
    else if (fits < wanted)
        doctor_advise(row, DOCTOR_WARN,
                      "larger bodies of the compute lane go by files, larger payloads are refused: "
                      "no limit on addresses, or a smaller compute.segment");
    if (row->verdict != DOCTOR_OK && limit.rlim_cur != RLIM_INFINITY)
        doctor_command(row, "ulimit -v unlimited");
}

/* Where large bodies go: a folder, or the memory that everything else is in. */
static void look_spool(const struct doctor *d, struct doctor_row *row)
{
    struct statvfs fs;
    const char *folder = d->settings->spool_dir;
    if (!folder || !folder[0]) {
        doctor_found(row, "in memory; spool_dir would put large bodies on a disk");
        return;
    }
    if (statvfs(folder, &fs) < 0 || access(folder, W_OK | X_OK) < 0) {
        doctor_found(row, "%s: %s", folder, strerror(errno));
        doctor_advise(row, DOCTOR_BAD,
                      "large bodies are refused: make the folder, for the user "
                      "that workers run as");
        doctor_command(row, "install -d -m 0700 -o %s '%s'",
                       d->settings->user ? d->settings->user : "root", folder);
        return;
    }
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    doctor_found(row, "%.2f GiB free in %s", (double)room / GIB, folder);
    if (room < SPOOL_BYTES)
        doctor_advise(row, DOCTOR_WARN, "bodies that do not fit are answered 507");
}

static void look_shm(const struct doctor *d, struct doctor_row *row)
{
    struct statvfs fs;
    (void)d;
    if (statvfs("/dev/shm", &fs) < 0)
        doctor_found(row, "not there, and not needed: payloads lie in memfds, which are counted "
                          "as memory");
    else
        doctor_found(row,
                     "%.2f GiB, of no account here: payloads lie in memfds, which are counted as "
                     "memory (--shm-size of a container does not limit them)",
                     (double)fs.f_blocks * (double)fs.f_frsize / GIB);
}

const struct doctor_check doctor_limits_checks[] = {
    {"open_files", look_nofile, true},           {"user_processes", look_nproc, true},
    {"address_space", look_address_space, true}, {"spool", look_spool, true},
    {"shared_memory", look_shm, true},
};
const size_t doctor_limits_n = sizeof doctor_limits_checks / sizeof doctor_limits_checks[0];
