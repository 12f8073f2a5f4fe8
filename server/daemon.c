/* Process: the starter, which forks and waits, and the master, which tells it one thing through a
 * pipe. Standard streams lead to /dev/null from the start, not only once the server is ready:
 * loader and workers inherit them, and would hold the starter's terminal open for as long as they
 * live. What the starter's user must know comes through the pipe instead. */
#include "server/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ipc/spawn.h"
#include "server/cli.h"

/* Smaller than PIPE_BUF: written and read as a whole. */
struct verdict {
    int32_t code;
    char why[1024]; /* NUL-terminated; "" when it is ready */
};

static int told_fd = -1; /* where the starter listens; -1: nobody does (any more) */

/* Returns what the starter exits with */
static int hear_verdict(int fd)
{
    struct verdict verdict;
    ssize_t n;
    do
        n = read(fd, &verdict, sizeof verdict);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof verdict) {
        (void)fprintf(stderr, "remuda run: the server was killed before it was ready\n");
        return CLI_NO_BOOT;
    }
    if (verdict.why[0])
        (void)fprintf(stderr, "remuda run: %s\n", verdict.why);
    return verdict.code;
}

static int leave_streams(struct err *err)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno, "/dev/null: %s", strerror(errno));
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (dup2(fd, stream) < 0)
            return err_set(err, errno, "dup2: %s", strerror(errno));
    if (fd > STDERR_FILENO)
        fd_close(&fd);
    return 0;
}

int daemon_start(int *out_code, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(err, errno, "pipe: %s", strerror(errno));
    int rc = spawn_detached(err);
    if (rc != 0) {
        fd_close(&ends[1]);
        if (rc > 0)
            *out_code = hear_verdict(ends[0]);
        fd_close(&ends[0]);
        return rc;
    }
    fd_close(&ends[0]);
    told_fd = ends[1];
    if (leave_streams(err) < 0) {
        daemon_fail(CLI_CONFIG, err->text);
        _exit(CLI_CONFIG);
    }
    return 0;
}

static void tell(int code, const char *why)
{
    struct verdict verdict = {.code = code};
    if (told_fd < 0)
        return;
    (void)snprintf(verdict.why, sizeof verdict.why, "%s", why);
    /* A starter that was interrupted hears nothing; SIGPIPE is ignored by now, or we end anyway. */
    (void)!write(told_fd, &verdict, sizeof verdict);
    fd_close(&told_fd);
}

void daemon_ready(void)
{
    tell(CLI_OK, "");
}

void daemon_fail(int code, const char *why)
{
    tell(code, why);
}
