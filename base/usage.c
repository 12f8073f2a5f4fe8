/* Memory and CPU time of a process. Of all files in /proc/PID this one is taken
 * that is read without waiting for locks which the process itself may hold for long. */
#include "base/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

int usage_read(pid_t pid, struct usage *out)
{
    char path[40];
    char text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int rc = n < 0 ? -errno : 0;
    fd_close(&fd);
    if (rc < 0)
        return rc;
    text[n] = '\0';
    uint64_t user, system, pages, minor, major;
    const char *behind_name = strrchr(text, ')'); /* the name may hold anything, brackets too */
    if (!behind_name ||
        sscanf(behind_name,
               ") %*c %*d %*d %*d %*d %*d %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %" SCNu64
               " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
               &minor, &major, &user, &system, &pages) != 5)
        return -EINVAL;
    uint64_t ticks_a_second = (uint64_t)sysconf(_SC_CLK_TCK);
    *out = (struct usage){.rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE),
                          .cpu_ms = (user + system) * 1000 / ticks_a_second,
                          .minor_faults = minor,
                          .major_faults = major};
    return 0;
}

int usage_read_pss(pid_t pid, uint64_t *out_bytes)
{
    char path[48];
    char text[2048];
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int rc = n < 0 ? -errno : 0;
    fd_close(&fd);
    if (rc < 0)
        return rc;
    text[n] = '\0';
    const char *line = strstr(text, "\nPss:");
    uint64_t kib;
    if (!line || sscanf(line + strlen("\nPss:"), " %" SCNu64 " kB", &kib) != 1)
        return -EINVAL;
    *out_bytes = kib * 1024;
    return 0;
}
