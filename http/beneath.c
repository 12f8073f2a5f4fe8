/* Opening beneath a folder. openat2(2) decides in the kernel, in one call and without a race: a
 * check in front of an open could be overtaken by a rename(2). Magic links (/proc/self/fd/3) lead
 * anywhere and are never followed.
 *
 * O_NONBLOCK, since opening a FIFO waits for a writer otherwise, and the caller is a loop; of a
 * regular file it changes nothing. A device is opened before anyone sees that it is one: do not
 * serve a folder in which others may make devices.
 *
 * C libraries had no openat2() before 2.42 of glibc, hence syscall(2). */
#include "http/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "base/fd.h"

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* "..", also inside a link, makes the kernel look twice; when something beneath the root was moved
 * meanwhile it says EAGAIN (openat2(2)). That many times in a row is a guess, and plenty. */
#define TRIES_MAX 8

int beneath_walk(int root_fd, const char *path, int *out_fd)
{
    int folder_fd = -1; /* the last one opened; -1: the root, which is not ours to close */
    for (;;) {
        char name[NAME_MAX + 1];
        const char *slash = strchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : strlen(path);
        int flags = slash ? O_PATH | O_DIRECTORY | O_CLOEXEC : OPEN_FLAGS;
        int fd = -1;
        int rc = len > NAME_MAX                                 ? -ENAMETOOLONG
                 : len == 2 && path[0] == '.' && path[1] == '.' ? -EXDEV
                                                                : 0;
        if (rc == 0) {
            memcpy(name, path, len);
            name[len] = '\0';
            fd = openat(folder_fd < 0 ? root_fd : folder_fd, name, flags | O_NOFOLLOW);
            rc = fd < 0 ? -errno : 0;
        }
        fd_close(&folder_fd);
        if (rc < 0)
            return rc;
        if (!slash) {
            *out_fd = fd;
            return 0;
        }
        folder_fd = fd;
        path = slash + 1;
    }
}

int beneath_open(int root_fd, const char *path, bool is_following, int *out_fd)
{
    struct open_how how = {
        .flags = OPEN_FLAGS,
        .resolve = RESOLVE_BENEATH | (is_following ? RESOLVE_NO_MAGICLINKS : RESOLVE_NO_SYMLINKS),
    };
    long fd;
    int tries = 0;
    do {
        fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < TRIES_MAX)));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* old seccomp filters say EPERM */
        return beneath_walk(root_fd, path, out_fd);
    if (fd < 0)
        return -errno;
    *out_fd = (int)fd;
    return 0;
}
