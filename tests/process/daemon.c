/* `daemon`: who waits for what, and what becomes of terminal, streams, folder and exit code. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define APPS REMUDA_TEST_APPS_DIR "/"

/* Runs `remuda run --daemon APP …` to its end. Returns the exit code of who has started it */
static int start(struct server *s, const char *app, const char *more, const char *value)
{
    const char *const args[] = {"run", app,  "--daemon",   "-b",  "127.0.0.1:0",
                                "-w",  "1",  "--errorlog", "log", "--pidfile",
                                "pid", more, value,        NULL};
    s->is_violent = true; /* its log is a file, and is looked at here */
    server_launch(s, &(struct server_options){.args = args});
    return server_run(s);
}

static void read_log(struct server *s, char **out_text)
{
    size_t len;
    CHECK(fd_read_file(server_path(s, "log"), 1 << 20, out_text, &len) == 0);
}

static pid_t daemon_pid(struct server *s)
{
    char *text;
    size_t len;
    CHECK(fd_read_file(server_path(s, "pid"), 64, &text, &len) == 0);
    pid_t pid = (pid_t)atoi(text);
    free(text);
    CHECK(pid > 1);
    return pid;
}

/* Field of /proc/PID/stat, counted from 1 as in proc(5), of those behind the name. */
static long stat_field(pid_t pid, int number)
{
    char path[64];
    char *text;
    size_t len;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    CHECK(fd_read_file(path, 4096, &text, &len) == 0);
    char *at = strrchr(text, ')');
    for (int i = 2; at && i < number; i++)
        at = strchr(at + 1, ' ');
    CHECK(at != NULL);
    long value = atol(at + 1);
    free(text);
    return value;
}

static void check_link(pid_t pid, const char *what, const char *expected)
{
    char path[64];
    char target[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    CHECK(readlink(path, target, sizeof target - 1) > 0);
    CHECK_TEXT(target, expected);
}

static void end_daemon(pid_t pid)
{
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(procs_wait_gone(pid, PATIENCE_MS));
}

static void comes_back_when_workers_are_ready(void **state)
{
    (void)state;
    struct server *s = server_new();
    CHECK_EQ(start(s, REMUDA_DEMO_SO, NULL, NULL), 0);
    char *log;
    read_log(s, &log);
    CHECK_HAS(log, ": ready workers=1");
    pid_t pid = daemon_pid(s);
    char *address = strstr(log, "address=");
    CHECK(address != NULL);
    address += strlen("address=");
    address[strcspn(address, "\n")] = '\0';
    CHECK_EQ(client_try(address), 0);
    free(log);
    end_daemon(pid);
    read_log(s, &log);
    CHECK_HAS(log, ": stopped exit=0");
    free(log);
}

static void has_no_terminal_and_no_streams(void **state)
{
    (void)state;
    struct server *s = server_new();
    CHECK_EQ(start(s, REMUDA_DEMO_SO, NULL, NULL), 0);
    pid_t pid = daemon_pid(s);
    pid_t below[PROCS_MAX];
    size_t n = procs_below(pid, below);
    CHECK(n >= 2);
    below[n++] = pid;
    for (size_t i = 0; i < n; i++) {
        check_link(below[i], "fd/0", "/dev/null");
        check_link(below[i], "fd/1", "/dev/null");
        check_link(below[i], "fd/2", "/dev/null");
        check_link(below[i], "cwd", s->folder);
        CHECK_EQ(stat_field(below[i], 7), 0); /* tty_nr */
        long session = stat_field(below[i], 6);
        CHECK(session != pid && session != getsid(0)); /* a new one, that it does not lead */
    }
    end_daemon(pid);
}

/* Each way not to start: its exit code, and its reason on the starter's standard error. */
static void comes_back_with_the_reason_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *app, *more, *value, *why;
        int code;
    } cases[] = {
        {APPS "init_fails.so", NULL, NULL, "init returned", 1},
        {APPS "init_crashes.so", NULL, NULL, "init crashed", 1},
        {APPS "unresolved.so", NULL, NULL, "undefined symbol", 1},
        {APPS "worker_init_fails.so", NULL, NULL, "worker_init returned", 4},
        {REMUDA_DEMO_SO, "-b", "127.0.0.1:70000", "70000", 1},
        {REMUDA_DEMO_SO, "--accesslog", "none/access", "no folder", 1},
        {REMUDA_DEMO_SO, "--accesslog", ".", "cannot open the log", 1},
        {REMUDA_DEMO_SO, "-b", "unix:.", "unix:.", 3},
    };
    server_let_crash();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_context("%s %s", cases[i].app, cases[i].value ? cases[i].value : "");
        struct server *s = server_new();
        CHECK_EQ(start(s, cases[i].app, cases[i].more, cases[i].value), cases[i].code);
        CHECK_HAS(lines_text(&s->log), cases[i].why);
        CHECK_TEXT(lines_text(&s->out), "");
        server_check_gone(s, false);
    }
}

/* The starter waits as long as it takes, and says so when it was in vain. */
static void a_server_killed_before_it_is_ready_is_told(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *const args[] = {
        "run", APPS "init_hangs.so", "--daemon", "-b", "127.0.0.1:0", "--errorlog",
        "log", "--pidfile",          "pid",      NULL};
    s->is_violent = true;
    server_launch(s, &(struct server_options){.args = args});
    struct stat st;
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (stat(server_path(s, "pid"), &st) != 0 || st.st_size == 0)
        CHECK_SAYING(patience_turn(deadline), "no pid file");
    CHECK(procs_is_alive(s->pid));
    CHECK(kill(daemon_pid(s), SIGKILL) == 0);
    CHECK_EQ(server_run(s), 4);
    CHECK_HAS(lines_text(&s->log), "was killed before it was ready");
}

static void a_server_stopped_before_it_is_ready_is_told(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *const args[] = {
        "run", APPS "init_hangs.so", "--daemon", "-b", "127.0.0.1:0", "--errorlog",
        "log", "--pidfile",          "pid",      NULL};
    s->is_violent = true;
    server_launch(s, &(struct server_options){.args = args});
    uint64_t deadline = patience_until(PATIENCE_MS);
    char *text;
    size_t len;
    bool is_started = false;
    while (!is_started) {
        if (fd_read_file(server_path(s, "log"), 1 << 20, &text, &len) == 0) {
            is_started = strstr(text, "listening") != NULL;
            free(text);
        }
        CHECK_SAYING(is_started || patience_turn(deadline), "not started");
    }
    CHECK(kill(daemon_pid(s), SIGTERM) == 0);
    CHECK_EQ(server_run(s), 0);
    CHECK_HAS(lines_text(&s->log), "stopped before it was ready");
}

static void needs_files_to_log_to(void **state)
{
    (void)state;
    struct server *s = server_start_args("run", REMUDA_DEMO_SO, "--daemon", NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "command line: --daemon: is on, but errorlog is \"-\", standard "
                                   "error, which a daemon does not have; set errorlog to a file");
    s = server_start_args("run", REMUDA_DEMO_SO, "--daemon", "--errorlog", "log", "--accesslog",
                          "-", NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "accesslog is \"-\", standard output");
    s = server_start_args("run", "--single", REMUDA_DEMO_SO, "--daemon", "--errorlog", "log", NULL);
    CHECK_EQ(server_run(s), 2);
    CHECK_HAS(lines_text(&s->log), "--single serves in the foreground");
}

SERVER_MAIN(SERVER_TEST(comes_back_when_workers_are_ready),
            SERVER_TEST(has_no_terminal_and_no_streams),
            SERVER_TEST(comes_back_with_the_reason_otherwise),
            SERVER_TEST(a_server_killed_before_it_is_ready_is_told),
            SERVER_TEST(a_server_stopped_before_it_is_ready_is_told),
            SERVER_TEST(needs_files_to_log_to))
