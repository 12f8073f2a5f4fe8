/* The master as pid 1, as in a container without an init: in a pid namespace of its own, for real.
 * Skipped where namespaces can't be made (neither root nor unprivileged ones). */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#undef fork

#define SELF_SO REMUDA_TEST_APPS_DIR "/self.so"
#define CANNOT 125

/* Stays outside, waits for pid 1 and ends as it did. */
_Noreturn static void stay_outside(pid_t inside)
{
    int status = 0;
    while (waitpid(inside, &status, 0) < 0)
        continue;
    if (WIFSIGNALED(status))
        (void)raise(WTERMSIG(status));
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : CANNOT);
}

static void become_pid_one(void *unused)
{
    (void)unused;
    int flags = CLONE_NEWPID | CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (unshare(flags) < 0)
        _exit(CANNOT);
    pid_t pid = fork();
    if (pid < 0)
        _exit(CANNOT);
    if (pid > 0)
        stay_outside(pid);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", 0, NULL) < 0)
        _exit(CANNOT);
}

/* The one child of the one outside: pid 1, as seen from here. */
static pid_t master_of(const struct server *s)
{
    char path[64];
    char *text;
    size_t len;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
    CHECK(fd_read_file(path, 4096, &text, &len) == 0);
    pid_t pid = (pid_t)atoi(text);
    free(text);
    CHECK_SAYING(pid > 1, "no master below pid %d", (int)s->pid);
    return pid;
}

static struct server *start(void)
{
    const char *const args[] = {"run", SELF_SO, "-b", "127.0.0.1:0", "-w", "1", NULL};
    struct server *s =
        server_start(&(struct server_options){.args = args, .prepare = become_pid_one});
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!lines_find_last(&s->log, "ready") && s->log.fd >= 0 && patience_turn(deadline))
        (void)lines_take(&s->log);
    if (s->log.fd < 0 && s->log.text.len == 0) {
        CHECK_EQ(server_wait_exit(s), CANNOT);
        s->is_violent = true;
        print_message("skipped: no pid namespace can be made here\n");
        skip();
    }
    server_wait_ready(s);
    CHECK_HAS(lines_find_last(&s->log, "ready"), "workers=1");
    CHECK_HAS(lines_text(&s->log), "master[1]");
    return s;
}

static void serves_and_stops_at_term(void **state)
{
    (void)state;
    struct server *s = start();
    free(client_get(s, "/status", 200));
    CHECK(kill(master_of(s), SIGTERM) == 0);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "stopping how=\"graceful\" why=TERM");
}

/* What pid 1 has no handler for the kernel drops; none of those that mean something here. */
static void obeys_the_other_signals(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t master = master_of(s);
    CHECK(kill(master, SIGUSR1) == 0);
    server_wait_log(s, "no log is a file, nothing to reopen");
    CHECK(kill(master, SIGUSR2) == 0);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "pid 1");
    CHECK(kill(master, SIGINT) == 0);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "stopping how=\"quick\" why=INT");
}

/* What the app leaves behind becomes pid 1's child: reaped, and taken for nobody of ours. */
static void orphans_are_reaped_and_not_mistaken(void **state)
{
    (void)state;
    enum { ORPHANS = 100 };
    struct server *s = start();
    pid_t master = master_of(s);
    pid_t worker = server_worker_pid(s, 0);
    pid_t below[PROCS_MAX];
    size_t before = procs_below(master, below);
    char target[300];
    (void)snprintf(target, sizeof target, "/orphan?file=%s", server_path(s, "end"));
    for (int i = 0; i < ORPHANS; i++)
        free(client_get(s, target, 200));
    CHECK_EQ(procs_below(master, below), before + ORPHANS);
    (void)server_write_file(s, "end", "");
    uint64_t deadline = patience_until(PATIENCE_MS);
    char path[64];
    char children[4096];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)master, (int)master);
    for (size_t n = ORPHANS; n > before;) { /* zombies are listed there too */
        FILE *file = fopen(path, "re");
        CHECK(file != NULL);
        size_t len = fread(children, 1, sizeof children - 1, file);
        (void)fclose(file);
        n = 0;
        for (size_t i = 0; i < len; i++)
            n += children[i] == ' ';
        CHECK_SAYING(n <= before || patience_turn(deadline), "%zu children, not %zu: %s", n, before,
                     children);
    }
    free(client_get(s, "/status", 200));
    CHECK_EQ(server_worker_pid(s, 0), worker);
    CHECK_HAS_NOT(lines_text(&s->log), " died");
    CHECK(kill(master, SIGTERM) == 0);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* As in a container that is killed: nobody is left. */
static void its_death_is_everybodys(void **state)
{
    (void)state;
    struct server *s = start();
    s->is_violent = true;
    CHECK(kill(master_of(s), SIGKILL) == 0);
    CHECK_EQ(server_wait_exit(s), -SIGKILL);
    server_check_gone(s, false);
}

SERVER_MAIN(SERVER_TEST(serves_and_stops_at_term), SERVER_TEST(obeys_the_other_signals),
            SERVER_TEST(orphans_are_reaped_and_not_mistaken), SERVER_TEST(its_death_is_everybodys))
