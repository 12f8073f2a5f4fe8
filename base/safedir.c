/* All names are looked up from the folder's descriptor, none is followed if it is a link, and every
 * file is made anew (O_EXCL). Who holds the folder's lock (flock(2)) is its only writer, so every
 * half-done folder that it finds is somebody's who died. */
#include "base/safedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

#define HALF_DONE ".half-done-"

int safedir_open(const char *path, int *out_fd, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno, "folder \"%s\": %s", path, strerror(errno));
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = err_set(err, errno, "folder \"%s\": %s", path, strerror(errno));
    else if (st.st_uid != geteuid() && st.st_uid != 0)
        rc = err_set(err, EPERM, "folder \"%s\" belongs to user %u, neither us nor root", path,
                     (unsigned)st.st_uid);
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        rc = err_set(err, EPERM, "folder \"%s\" can be written to by others: chmod go-w", path);
    else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        rc = err_set(err, errno, "folder \"%s\" can't be written to: %s", path, strerror(errno));
    if (rc < 0)
        fd_close(&fd);
    else
        *out_fd = fd;
    return rc;
}

/* ---- removing ---- */

static DIR *open_list(int fd, const char *name)
{
    int list_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = list_fd >= 0 ? fdopendir(list_fd) : NULL;
    if (!list)
        fd_close(&list_fd);
    return list;
}

/* Removes a folder with the files in it; not one that holds folders itself. */
static int remove_folder(int fd, const char *name)
{
    DIR *list = open_list(fd, name);
    if (!list)
        return -errno;
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(list), entry->d_name, 0);
    (void)closedir(list);
    return unlinkat(fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void remove_half_done(int fd)
{
    DIR *list = open_list(fd, ".");
    if (!list)
        return;
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list))
        if (begins_with(entry->d_name, HALF_DONE))
            (void)remove_folder(fd, entry->d_name);
    (void)closedir(list);
}

/* How many begin with the prefix; the first by name that is behind `after` goes to out. */
static size_t find_oldest(int fd, const char *prefix, const char *after, char out[NAME_MAX + 1])
{
    size_t n = 0;
    DIR *list = open_list(fd, ".");
    out[0] = '\0';
    if (!list)
        return 0;
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        if (!begins_with(entry->d_name, prefix))
            continue;
        n++;
        if (strcmp(entry->d_name, after) > 0 && (!out[0] || strcmp(entry->d_name, out) < 0))
            (void)snprintf(out, NAME_MAX + 1, "%s", entry->d_name);
    }
    (void)closedir(list);
    return n;
}

/* Makes room for one more. What can't be removed (a file, a folder with folders in it, which are
 * not ours) is passed over. */
static void remove_oldest(int fd, const char *prefix, size_t max)
{
    char after[NAME_MAX + 1] = "";
    char oldest[NAME_MAX + 1];
    while (find_oldest(fd, prefix, after, oldest) >= max && oldest[0]) {
        (void)remove_folder(fd, oldest);
        memcpy(after, oldest, sizeof after);
    }
}

/* ---- writing ---- */

static int write_file(int folder_fd, const struct safedir_file *file, struct err *err)
{
    int fd =
        openat(folder_fd, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, errno, "%s: %s", file->name, strerror(errno));
    int rc = fd_write_all(fd, file->data, file->len);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    fd_close(&fd);
    return rc < 0 ? err_set(err, -rc, "%s: %s", file->name, strerror(-rc)) : 0;
}

static int write_folder(int fd, const char *name, const struct safedir_file *files, size_t n_files,
                        struct err *err)
{
    if (mkdirat(fd, name, 0700) < 0)
        return err_set(err, errno, "%s: %s", name, strerror(errno));
    int folder_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = folder_fd < 0 ? err_set(err, errno, "%s: %s", name, strerror(errno)) : 0;
    for (size_t i = 0; rc == 0 && i < n_files; i++)
        rc = write_file(folder_fd, &files[i], err);
    fd_close(&folder_fd);
    return rc;
}

int safedir_write(int fd, const char *prefix, const char *name, const struct safedir_file *files,
                  size_t n_files, size_t max, struct err *err)
{
    char half_done[NAME_MAX + 1];
    (void)snprintf(half_done, sizeof half_done, HALF_DONE "%s", name);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_set(err, errno, "lock: %s", strerror(errno));
    remove_half_done(fd);
    int rc = write_folder(fd, half_done, files, n_files, err);
    if (rc == 0) {
        remove_oldest(fd, prefix, max);
        if (renameat(fd, half_done, fd, name) < 0) /* commit */
            rc = err_set(err, errno, "%s: %s", name, strerror(errno));
    }
    if (rc < 0)
        (void)remove_folder(fd, half_done);
    (void)flock(fd, LOCK_UN);
    return rc;
}
