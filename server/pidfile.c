/* The pid file. Process: master; readers: any.
 *
 * Not kill(pid, 0): after a reboot or enough forks the number in a stale file is another process's.
 * Not flock(2), since to ask about it is to take it. Not fcntl(2)'s older locks: any close(2) of
 * the file in the process drops them. Locks of the open file description (F_OFD_SETLK) live as long
 * as the descriptor, are no forked child's once that has closed its copy, and can be asked about by
 * anybody who may read the file.
 *
 * A new file gets its lock and its text under another name and then its own, by link(2) where there
 * is none and by rename(2) over a stale one, whose lock is held meanwhile. So nobody ever sees half
 * a file, and of two that start at the same moment one wins. */
#include "server/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"

#define PIDFILE_TEXT_MAX 32 /* a pid, a line feed, and room to see that it is something else */
#define PIDFILE_TRIES 16 /* a file that changes hands so often while we look is somebody's joke */

static int lock(int fd, int command, struct flock *out)
{
    *out = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, command, out) < 0 ? -errno : 0;
}

/* A pid and nothing else: 0 where the file is empty, as a full disk leaves it. */
static int parse(int fd, pid_t *out_pid)
{
    char text[PIDFILE_TEXT_MAX];
    struct stat st;
    uint64_t pid = 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    ssize_t n = pread(fd, text, sizeof text, 0);
    if (n < 0)
        return -errno;
    size_t len = (size_t)n;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    if (len == sizeof text || (len > 0 && str_parse_u64(str_make(text, len), INT_MAX, &pid) < 0))
        return -EINVAL;
    *out_pid = (pid_t)pid;
    return 0;
}

static int refuse(struct err *err, int code, const char *path)
{
    const char *why = strerror(code);
    if (code == EINVAL || code == ELOOP)
        why = "there is a file that is no pid file, and it is left alone; allowed: the path of a "
              "pid file, or of none yet";
    return err_set(err, code, "pidfile: %s: %s", path, why);
}

static int refuse_live(struct err *err, const char *path, int fd)
{
    pid_t pid = 0;
    char who[32] = "";
    if (parse(fd, &pid) == 0 && pid > 0)
        (void)snprintf(who, sizeof who, " as pid %d", (int)pid);
    return err_set(err, EEXIST,
                   "already running%s, says the pid file %s: reload it (`remuda reload`), upgrade "
                   "it (`remuda upgrade`) or stop it (`remuda stop`), or give this one another "
                   "pidfile",
                   who, path);
}

/* ---- Making it */

/* The file under its first name: locked, with the pid in it. */
static int prepare(const char *path, char temporary[PATH_MAX], int *out_fd, struct err *err)
{
    char text[PIDFILE_TEXT_MAX];
    struct flock held;
    if (snprintf(temporary, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX)
        return refuse(err, ENAMETOOLONG, path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return refuse(err, errno, path);
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int rc = fchmod(fd, 0644) < 0 ? -errno : lock(fd, F_OFD_SETLK, &held);
    if (rc == 0)
        rc = fd_write_all(fd, text, (size_t)len);
    if (rc < 0) {
        (void)unlink(temporary);
        fd_close(&fd);
        return refuse(err, -rc, path);
    }
    *out_fd = fd;
    return 0;
}

/* Whether the file at that path is still the one that was opened. */
static bool is_at(int fd, const char *path)
{
    struct stat ours;
    struct stat there;
    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

/* Puts the prepared file in the place of a stale one.
 * Returns 0; -EAGAIN look again; -errno, *err */
static int take_over(const char *temporary, const char *path, struct err *err)
{
    struct flock held;
    pid_t pid;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : refuse(err, errno, path);
    int rc = lock(fd, F_OFD_SETLK, &held);
    if (rc == -EAGAIN || rc == -EACCES)
        rc = refuse_live(err, path, fd);
    else if (rc < 0)
        rc = refuse(err, -rc, path);
    else if (!is_at(fd, path))
        rc = -EAGAIN;
    else if ((rc = parse(fd, &pid)) < 0 || (rc = rename(temporary, path) < 0 ? -errno : 0) < 0)
        rc = refuse(err, -rc, path);
    fd_close(&fd);
    return rc;
}

static int place(const char *temporary, const char *path, struct err *err)
{
    for (int i = 0; i < PIDFILE_TRIES; i++) {
        if (link(temporary, path) == 0) {
            (void)unlink(temporary); /* a second name of ours that stays harms nobody */
            return 0;
        }
        if (errno != EEXIST)
            return refuse(err, errno, path);
        int rc = take_over(temporary, path, err);
        if (rc != -EAGAIN)
            return rc;
    }
    return refuse(err, EBUSY, path);
}

/* The working folder may change with the next configuration. */
static int make_absolute(char out[PATH_MAX], const char *path, struct err *err)
{
    char folder[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(folder, sizeof folder))
        return refuse(err, errno, path);
    if (snprintf(out, PATH_MAX, "%s%s%s", folder, path[0] == '/' ? "" : "/", path) >= PATH_MAX)
        return refuse(err, ENAMETOOLONG, path);
    return 0;
}

int pidfile_open(struct pidfile *file, const char *path, struct err *err)
{
    char temporary[PATH_MAX];
    file->fd = -1;
    int rc = make_absolute(file->path, path, err);
    if (rc == 0)
        rc = prepare(file->path, temporary, &file->fd, err);
    if (rc < 0)
        return rc;
    rc = place(temporary, file->path, err);
    if (rc < 0) {
        (void)unlink(temporary);
        fd_close(&file->fd);
    }
    return rc;
}

/* ---- Afterwards */

int pidfile_rename(struct pidfile *file, const char *path, struct err *err)
{
    char target[PATH_MAX];
    int rc = make_absolute(target, path, err);
    if (rc < 0 || file->fd < 0)
        return rc;
    if (!is_at(file->fd, file->path))
        return err_set(err, ESTALE, "pidfile: %s: somebody else has replaced or removed it",
                       file->path);
    if (rename(file->path, target) < 0)
        return refuse(err, errno, target);
    memcpy(file->path, target, sizeof target);
    return 0;
}

void pidfile_close(struct pidfile *file)
{
    if (file->fd >= 0 && is_at(file->fd, file->path))
        (void)unlink(file->path); /* one that stays is stale as soon as the lock is gone */
    fd_close(&file->fd);
}

int pidfile_read(const char *path, pid_t *out_pid, struct err *err)
{
    struct flock held;
    pid_t pid = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(err, errno, path);
    int rc = parse(fd, &pid);
    if (rc == 0)
        rc = lock(fd, F_OFD_GETLK, &held);
    if (rc < 0)
        rc = err_set(err, -rc, "pidfile: %s: %s", path,
                     rc == -EINVAL ? "this is no pid file" : strerror(-rc));
    else if (held.l_type == F_UNLCK || pid == 0)
        rc = err_set(err, ESRCH, "pidfile: %s: stale, its process (pid %d) has ended", path,
                     (int)pid);
    else
        *out_pid = pid;
    fd_close(&fd);
    return rc;
}

void pidfile_sweep(const char *path, pid_t dead)
{
    struct flock held;
    pid_t pid;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    if (parse(fd, &pid) == 0 && ((dead > 0 && pid == dead) || lock(fd, F_OFD_SETLK, &held) == 0) &&
        is_at(fd, path))
        (void)unlink(path);
    fd_close(&fd);
}
