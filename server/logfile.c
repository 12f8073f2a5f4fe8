/* Log files. Process: master, which opens them before it forks, with its own rights; children
 * inherit the descriptor. O_APPEND makes each write a whole line behind all others (open(2)). */
#include "server/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

/* Never waits: a FIFO that nobody reads is refused (ENXIO), and one whose reader is slow takes what
 * fits, since of two writers that poll(2) found room for only one may find it. */
static int open_file(const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd >= 0)
        return fd;
    const char *why = errno == ENXIO ? "a FIFO that nobody reads, or a socket" : strerror(errno);
    return err_set(err, errno, "cannot open the log %s: %s", path, why);
}

int logfile_open(const char *path, int standard, int *out_fd, struct err *err)
{
    if (!path || strcmp(path, "-") == 0) {
        *out_fd = path ? standard : -1;
        return 0;
    }
    int fd = open_file(path, err);
    if (fd < 0)
        return fd;
    *out_fd = fd;
    return 0;
}

int logfile_reopen(const char *path, int fd, struct err *err)
{
    if (!path || fd <= STDERR_FILENO)
        return 0;
    int new_fd = open_file(path, err);
    if (new_fd < 0)
        return new_fd;
    int rc = dup3(new_fd, fd, O_CLOEXEC) < 0
                 ? err_set(err, errno, "cannot switch to the log %s: %s", path, strerror(errno))
                 : 1;
    fd_close(&new_fd);
    return rc;
}

void logfile_close(int *fd)
{
    if (*fd > STDERR_FILENO)
        fd_close(fd);
    *fd = -1;
}
