/* A worker that the kernel kills because its cgroup has no memory left is told apart from one that
 * somebody kills by hand. Needs the right to make a cgroup, so mostly root; else skipped. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define CRASHES_SO REMUDA_TEST_APPS_DIR "/crashes.so"
#define LIMIT "100663296" /* 96 MiB: the server takes a tenth of it, the handler more than all */

/* Where memory can be limited, by version of cgroups (cgroups(7)). */
static const struct {
    const char *root;
    const char *limit;
    const char *swap; /* as much of both: nothing can be swapped out instead */
    const char *no_swap;
} versions[] = {
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", LIMIT},
    {"/sys/fs/cgroup", "memory.max", "memory.swap.max", "0"},
};

static char cgroup[128];

static bool write_text(const char *name, const char *text)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", cgroup, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return is_done;
}

/* Returns false when this machine doesn't let us. */
static bool make_cgroup(void)
{
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        (void)snprintf(cgroup, sizeof cgroup, "%s/remuda-test-%d", versions[i].root, (int)getpid());
        if (mkdir(cgroup, 0700) < 0)
            continue;
        if (write_text(versions[i].limit, LIMIT)) {
            (void)write_text(versions[i].swap, versions[i].no_swap); /* where swap is counted */
            return true;
        }
        (void)rmdir(cgroup);
    }
    return false;
}

static void join_cgroup(void *arg)
{
    (void)arg;
    char pid[16];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (!write_text("cgroup.procs", pid))
        _Exit(97);
}

static int teardown(void **state)
{
    int rc = server_teardown(state);
    if (cgroup[0])
        (void)rmdir(cgroup);
    return rc;
}

static void kill_for_memory_is_told_apart(void **state)
{
    (void)state;
    if (!make_cgroup())
        skip(); /* no cgroup with a limit can be made here */
    static const char *const args[] = {"run", CRASHES_SO, "--bind", "127.0.0.1:0", "-w", "1", NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .prepare = join_cgroup});
    server_wait_ready(s);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    struct client *c = client_to(s);
    client_send_text(c, "GET /eat HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_close(c);
    const char *died = server_wait_log(s, "worker died");
    CHECK_EQ(lines_number(died, "pid"), pid);
    CHECK_HAS(died, "signal=KILL why=\"killed by the kernel: out of memory\"");
    CHECK_HAS(server_wait_log(s, "request lost"), "target=\"/eat\"");
    s->log.seen = 0;
    while (server_worker_pid(s, 0) == pid)
        (void)server_wait_log(s, "worker ready");
    server_skip_log(s);
    CHECK(kill(server_worker_pid(s, 0), SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=KILL why=\"killed from outside\"");
}

SERVER_MAIN(cmocka_unit_test_teardown(kill_for_memory_is_told_apart, teardown))
