/* See disk.h. */
#include "tests/harness/disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/check.h"

#undef fork /* as in server.c */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return is_done;
}

/* A user namespace in which this user is root (user_namespaces(7)). */
static bool become_root(void)
{
    char users[64], groups[64];
    (void)snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
    (void)snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

void disk_mount_small(void *folder)
{
    char options[32];
    (void)snprintf(options, sizeof options, "size=%d", DISK_BYTES);
    if ((geteuid() != 0 && !become_root()) || unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, options) != 0)
        _Exit(99);
}

void disk_must_be_possible(void)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        disk_mount_small("/tmp");
        _Exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    const char *ci = getenv("CI");
    CHECK_SAYING(!ci || strcmp(ci, "true") != 0, "no mount namespace in CI");
    skip();
}

const char *disk_path_of(pid_t pid, const char *path, char *out, size_t cap)
{
    (void)snprintf(out, cap, "/proc/%d/root%s", (int)pid, path); /* proc(5) */
    return out;
}
