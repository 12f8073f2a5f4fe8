/* A folder for files that nobody else may have a hand in: what is written there is complete or not
 * there, and how much of it there is has a bound. */
#ifndef REMUDA_BASE_SAFEDIR_H
#define REMUDA_BASE_SAFEDIR_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/* Opens a folder that belongs to this user or to root, that others can't write to, and this process
 * can.
 * Returns  0, *out_fd is the caller's; -errno, *err says what is wrong with it */
int safedir_open(const char *path, int *out_fd, struct err *err)
    __attribute__((warn_unused_result));

struct safedir_file {
    const char *name;
    const void *data;
    size_t len;
};

/* Writes files, mode 0600, into a new folder `name`, mode 0700, below fd: under another name first,
 * so that who sees it sees all of it. Before it appears, the oldest folders (by name) of those that
 * begin with `prefix` are removed, so that there are at most `max`. What a writer that died left
 * half-done goes, too. Waits for others that write here.
 * name     begins with prefix
 * max      1 …
 * Returns  0; -errno, *err: nothing of it is there */
int safedir_write(int fd, const char *prefix, const char *name, const struct safedir_file *files,
                  size_t n_files, size_t max, struct err *err) __attribute__((warn_unused_result));

#endif
