/* See schedstat.h. Kernel: Documentation/scheduler/sched-stats.rst, the three numbers of
 * /proc/PID/schedstat: time on a CPU, time ready for one, time slices. */
#include "base/schedstat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

int schedstat_open(void)
{
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* One of the numbers, and the character that must be behind it. Returns false: that is none */
static bool read_number(char **at, char end, uint64_t *out)
{
    char *behind;
    if (**at < '0' || **at > '9')
        return false;
    *out = strtoull(*at, &behind, 10);
    if (*behind != end)
        return false;
    *at = behind + 1;
    return true;
}

uint64_t schedstat_delay_ns(int fd)
{
    char text[80]; /* three numbers of at most 20 digits */
    char *at = text;
    uint64_t ran_ns, delay_ns, slices;
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, 0) : -1;
    if (n <= 0)
        return 0;
    text[n] = '\0';
    bool is_one = read_number(&at, ' ', &ran_ns) && read_number(&at, ' ', &delay_ns) &&
                  read_number(&at, '\n', &slices) && *at == '\0';
    return is_one ? delay_ns : 0;
}
