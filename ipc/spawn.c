/* The only fork(2) of the tree. A child starts with default signals, an empty mask and only the
 * descriptors of its heritage, and dies with its parent (prctl(2), PR_SET_PDEATHSIG), which it
 * checks after asking for that, since the parent may have died in between.
 *
 * Workers are the loader's grandchildren by fork and the master's children by adoption: the
 * intermediate exits, the subreaper gets the orphan. So the master can wait for them, and they can
 * name the master as the parent whose death kills them. */
#include "ipc/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "ipc/ledger.h"
#include "ipc/signals.h"

#undef fork

#define SPAWN_EXIT_ORPHAN 70      /* the parent was gone before the child could bind itself to it */
#define SPAWN_EXIT_NO_PROGRAM 127 /* as shells have it */

int spawn_adopt_orphans(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

int spawn_count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return -errno;
    int count = 0;
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks))
        count += entry->d_name[0] != '.';
    (void)closedir(tasks);
    return count;
}

static pid_t fork_checked(void)
{
    int injected = FAULT("spawn.fork");
    if (injected) {
        errno = injected;
        return -1;
    }
    return fork();
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a;
    int y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Closes everything that the child does not keep, in the gaps between kept numbers. */
static void close_others(const struct heritage *h, int extra_fd)
{
    int kept[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, h->log_fd,
                  h->access_fd, h->channel_fd, h->app_fd,     extra_fd};
    size_t n = sizeof kept / sizeof kept[0];
    qsort(kept, n, sizeof kept[0], compare_ints);
    unsigned from = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept[i] < 0 || (unsigned)kept[i] < from)
            continue;
        if ((unsigned)kept[i] > from)
            (void)close_range(from, (unsigned)kept[i] - 1, 0);
        from = (unsigned)kept[i] + 1;
    }
    (void)close_range(from, ~0U, 0);
}

void spawn_bind_life(pid_t master)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != master)
        _exit(SPAWN_EXIT_ORPHAN);
}

int spawn_child(const struct heritage *heritage, spawn_main main, pid_t *out_pid, struct err *err)
{
    pid_t pid = fork_checked();
    if (pid < 0)
        return err_set(err, errno, "fork: %s", strerror(errno));
    if (pid == 0) {
        spawn_bind_life(heritage->master_pid);
        ledger_forget();
        signals_reset();
        close_others(heritage, -1);
        main(heritage);
        _exit(EXIT_FAILURE);
    }
    *out_pid = pid;
    return 0;
}

/* In the child, which is a copy of one thread: no lock can be held, so memory may be allocated. */
_Noreturn static void execute(const struct spawn_program *program)
{
    signals_reset();
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    for (size_t i = 0; i < program->n_kept; i++)
        (void)fcntl(program->kept_fds[i], F_SETFD, 0);
    const char *verb = "enter";
    const char *what = program->folder;
    if (chdir(program->folder) == 0) {
        verb = "run";
        what = program->path;
        (void)execve(program->path, program->argv, program->environment);
    }
    char text[512];
    int n = snprintf(text, sizeof text, "failed cannot %s %.300s: %s", verb, what, strerror(errno));
    if (write(program->report_fd, text, (size_t)n) < 0)
        _exit(EXIT_FAILURE);
    _exit(SPAWN_EXIT_NO_PROGRAM);
}

int spawn_program(const struct spawn_program *program, pid_t *out_pid, struct err *err)
{
    pid_t pid = fork_checked();
    if (pid < 0)
        return err_set(err, errno, "fork: %s", strerror(errno));
    if (pid == 0)
        execute(program);
    *out_pid = pid;
    return 0;
}

/* The grandchild waits for one byte: it comes when the intermediate is gone and the master is the
 * parent. End of file instead means that the loader died; nobody wants this child then. */
static void run_grandchild(const struct heritage *heritage, spawn_main main, int go_fd)
{
    signals_reset();
    close_others(heritage, go_fd);
    char go;
    ssize_t n;
    do
        n = read(go_fd, &go, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(SPAWN_EXIT_ORPHAN);
    fd_close(&go_fd);
    spawn_bind_life(heritage->master_pid);
    main(heritage);
    _exit(EXIT_FAILURE);
}

/* In the intermediate: forks the grandchild and reports its pid, or the negative errno. */
static void run_intermediate(const struct heritage *heritage, spawn_main main, int go_fds[2],
                             int report_fd)
{
    pid_t pid = fork_checked();
    if (pid == 0) {
        fd_close(&go_fds[1]);
        run_grandchild(heritage, main, go_fds[0]);
    }
    int report = pid < 0 ? -errno : pid;
    _exit(fd_write_all(report_fd, &report, sizeof report) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int spawn_grandchild(const struct heritage *heritage, spawn_main main, pid_t *out_pid,
                     struct err *err)
{
    int go[2] = {-1, -1};
    int report[2] = {-1, -1};
    int rc = 0;
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0) {
        rc = err_set(err, errno, "pipe: %s", strerror(errno));
        goto out;
    }
    pid_t between = fork_checked();
    if (between < 0) {
        rc = err_set(err, errno, "fork: %s", strerror(errno));
        goto out;
    }
    if (between == 0)
        run_intermediate(heritage, main, go, report[1]);
    fd_close(&report[1]);
    int told = -ECHILD;
    ssize_t n;
    do
        n = read(report[0], &told, sizeof told);
    while (n < 0 && errno == EINTR);
    (void)wait_for(between); /* whatever became of it, it is gone */
    if (n != (ssize_t)sizeof told || told <= 0) {
        rc = err_set(err, told < 0 ? -told : EIO, "fork: %s", strerror(told < 0 ? -told : EIO));
        goto out;
    }
    *out_pid = told;
    if (fd_write_all(go[1], "g", 1) < 0)
        rc = 0; /* the child is dead already: the master sees that by itself */
out:
    fd_close(&go[0]);
    fd_close(&go[1]);
    fd_close(&report[0]);
    fd_close(&report[1]);
    return rc;
}

int spawn_detached(struct err *err)
{
    pid_t between = fork_checked();
    if (between < 0)
        return err_set(err, errno, "fork: %s", strerror(errno));
    if (between > 0) {
        int status;
        while (waitpid(between, &status, 0) < 0)
            if (errno != EINTR)
                return err_set(err, errno, "waitpid: %s", strerror(errno));
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
        return code == 0 ? 1 : err_set(err, code, "fork: %s", strerror(code));
    }
    (void)setsid(); /* can't fail: the pid is new, so no group has it */
    pid_t pid = fork_checked();
    if (pid != 0)
        _exit(pid < 0 ? errno : EXIT_SUCCESS);
    return 0;
}
