/* Log files. Process: master, which opens them before it forks, with its own rights; children
 * inherit the descriptor. O_APPEND makes each write a whole line behind all others (open(2)). */
#include "server/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

int logfile_open(const char *path, int standard, int *out_fd, struct err *err)
{
    if (!path || strcmp(path, "-") == 0) {
        *out_fd = path ? standard : -1;
        return 0;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return err_set(err, errno, "cannot open the log %s: %s", path, strerror(errno));
    *out_fd = fd;
    return 0;
}

void logfile_close(int *fd)
{
    if (*fd > STDERR_FILENO)
        fd_close(fd);
    *fd = -1;
}
