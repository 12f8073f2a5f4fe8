/* The pid file: who is the master, for scripts and for those who would start a second one.
 *
 * What makes it valid is the lock on it (fcntl(2), F_OFD_SETLK), which the kernel drops with the
 * process, and not the number in it, which may be anybody's by now. */
#ifndef REMUDA_SERVER_PIDFILE_H
#define REMUDA_SERVER_PIDFILE_H

#include <limits.h>
#include <sys/types.h>

struct err;

struct pidfile {
    int fd;              /* open and locked; -1: there is none */
    char path[PATH_MAX]; /* absolute */
};

/* Writes the file with this process's pid, mode 0644, whole from its first moment. One that nobody
 * has locked is stale and replaced.
 * path     relative ones are taken from the working folder of this moment
 * Returns  0; -EEXIST another process holds it, *err names it; -errno, *err: it can't be written,
 *          or what is there is no pid file. file->fd is -1 then
 * Safe     may block: on the file system */
int pidfile_open(struct pidfile *file, const char *path, struct err *err)
    __attribute__((warn_unused_result));

/* Moves it to another path of the same folder; what was there is replaced.
 * Returns  0; -errno, *err: it stays where it is */
int pidfile_rename(struct pidfile *file, const char *path, struct err *err)
    __attribute__((warn_unused_result));

/* Removes the file, if it still is this process's, and unlocks it. Twice is fine. */
void pidfile_close(struct pidfile *file);

/* Whose it is, for those who look for a running master.
 * Returns  0; -ENOENT no such file; -ESRCH it is stale; -EINVAL it is no pid file; -errno. *err
 *          says so in a sentence
 * Safe     anybody who may read the file */
int pidfile_read(const char *path, pid_t *out_pid, struct err *err)
    __attribute__((warn_unused_result));

/* Removes a file that a process left behind that was killed; one that somebody holds, and what is
 * no pid file, stay.
 * dead  a child that was just reaped: its file goes, though a child of its own may hold it for the
 *       moment that it lives on; 0: none */
void pidfile_sweep(const char *path, pid_t dead);

#endif
