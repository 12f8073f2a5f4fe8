/* fork(2) is refused: injected in debug builds, and for real by a limit on the processes of a user.
 * It is tried again with growing delays, others serve meanwhile, and nobody gives up. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

#undef fork /* a helper of the test's own; the ban is for the server's code */

static pid_t loader_pid(struct server *s)
{
    const char *line = lines_find_last(&s->log, "loader ready");
    CHECK(line != NULL);
    return (pid_t)lines_number(line, "pid");
}

/* Another user's limit is only that user's to change (prlimit(2)), where root is not almighty. */
static void set_process_limit(pid_t pid, rlim_t soft)
{
    struct stat owner;
    char path[64];
    int status;
    (void)snprintf(path, sizeof path, "/proc/%d", (int)pid);
    CHECK(stat(path, &owner) == 0);
    pid_t helper = fork();
    CHECK(helper >= 0);
    if (helper == 0) {
        struct rlimit limit;
        bool is_done =
            geteuid() != 0 || (setresgid(owner.st_gid, owner.st_gid, owner.st_gid) == 0 &&
                               setresuid(owner.st_uid, owner.st_uid, owner.st_uid) == 0);
        is_done = is_done && prlimit(pid, RLIMIT_NPROC, NULL, &limit) == 0;
        limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
        _exit(is_done && prlimit(pid, RLIMIT_NPROC, &limit, NULL) == 0 ? 0 : 1);
    }
    CHECK(waitpid(helper, &status, 0) == helper && status == 0);
}

static void refused_by_the_kernel_while_another_worker_serves(void **state)
{
    (void)state;
    char user[32], group[32], uid[16];
    /* Root has no such limit: then loader and workers run as a user of whom there is nobody
     * else. */
    (void)snprintf(uid, sizeof uid, "%d", 100000 + (int)getpid() % 100000);
    (void)snprintf(user, sizeof user, "user=%s", uid);
    (void)snprintf(group, sizeof group, "group=%s", uid);
    bool is_root = geteuid() == 0;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, is_root ? "--set" : NULL, user, "--set", group, NULL);
    s->is_violent = true;
    pid_t loader = loader_pid(s), victim = server_worker_pid(s, 0);
    set_process_limit(loader, 1);
    server_skip_log(s);
    CHECK(kill(victim, SIGKILL) == 0);
    long first = lines_number(server_wait_log(s, "fork refused"), "respawn_ms");
    long second = lines_number(server_wait_log(s, "fork refused"), "respawn_ms");
    CHECK(first > 0 && second > first);
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/", 200)); /* slot 0 is covered by its neighbour */
    set_process_limit(loader, RLIM_INFINITY);
    (void)server_wait_log(s, "worker ready slot=0");
    CHECK(server_worker_pid(s, 0) != victim);
}

#ifdef REMUDA_DEBUG
/* Points are counted in each process and inherited: the master's one fork makes the loader, whose
 * fork makes an intermediate, whose fork makes the worker. */
static struct server *start_with_fault(const char *fault, const char *workers)
{
    const char *args[] = {"run",       REMUDA_DEMO_SO, "--bind", "127.0.0.1:0",
                          "--workers", workers,        NULL};
    const char *env[] = {fault, NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    s->is_violent = true;
    return s;
}

static void refused_for_the_loader_at_the_start(void **state)
{
    (void)state;
    struct server *s = start_with_fault("REMUDA_FAULT=spawn.fork:EAGAIN:0:2", "1");
    (void)server_wait_log(s, "fork refused");
    (void)server_wait_log(s, "fork refused");
    server_wait_ready(s);
    free(client_get(s, "/", 200));
}

static void refused_for_a_worker_at_the_start(void **state)
{
    (void)state;
    struct server *s = start_with_fault("REMUDA_FAULT=spawn.fork:EAGAIN:1:2", "1");
    (void)server_wait_log(s, "fork refused");
    server_wait_ready(s);
    free(client_get(s, "/", 200));
}

static void refused_for_ever_at_the_start_is_exit_4(void **state)
{
    (void)state;
    struct server *s = start_with_fault("REMUDA_FAULT=spawn.fork:ENOMEM:1", "1");
    CHECK_EQ(server_run(s), 4);
    CHECK_HAS(lines_text(&s->log), "fork refused");
    server_check_gone(s, true);
}
#else
static void refused_for_the_loader_at_the_start(void **state)
{
    (void)state;
    skip(); /* fault points are compiled in with REMUDA_DEBUG only */
}
#define refused_for_a_worker_at_the_start refused_for_the_loader_at_the_start
#define refused_for_ever_at_the_start_is_exit_4 refused_for_the_loader_at_the_start
#endif

SERVER_MAIN(SERVER_TEST(refused_by_the_kernel_while_another_worker_serves),
            SERVER_TEST(refused_for_the_loader_at_the_start),
            SERVER_TEST(refused_for_a_worker_at_the_start),
            SERVER_TEST(refused_for_ever_at_the_start_is_exit_4))
