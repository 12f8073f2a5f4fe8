/* The pid file of the real binary: written, kept, removed, and what a second start says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

static struct server *start(const char *pidfile)
{
    return server_start_app(REMUDA_DEMO_SO, "--pidfile", pidfile, NULL);
}

static void it_is_there_while_the_master_runs(void **state)
{
    (void)state;
    struct server *s = start("run.pid");
    CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(server_path(s, "run.pid"), F_OK) != 0);
}

static void second_start_is_told_who_runs(void **state)
{
    (void)state;
    char pid[32];
    struct server *first = start("run.pid");
    (void)snprintf(pid, sizeof pid, "pid %d", (int)first->pid);
    const char *args[] = {"run",       REMUDA_DEMO_SO, "--bind", "127.0.0.1:0",
                          "--pidfile", "run.pid",      NULL};
    struct server *second =
        server_start(&(struct server_options){.args = args, .folder = first->folder});
    CHECK_EQ(server_run(second), 3);
    CHECK_HAS(lines_text(&second->log), "already running");
    CHECK_HAS(lines_text(&second->log), pid);
    CHECK_HAS(lines_text(&second->log), "run.pid");
    CHECK_EQ(lines_count(&second->log, "listening"), 0);
    CHECK_EQ(server_read_pid(server_path(first, "run.pid")), first->pid);
    free(client_get(first, "/", 200));
}

/* Not even of a killed master, nor with the number of a process that lives. */
static void stale_file_is_no_obstacle(void **state)
{
    (void)state;
    struct server *first = start("run.pid");
    first->is_violent = true;
    server_signal(first, SIGKILL);
    CHECK_EQ(server_wait_exit(first), -SIGKILL);
    CHECK(access(server_path(first, "run.pid"), F_OK) == 0);
    struct server *second = server_new();
    for (int i = 0; i < 2; i++) {
        const char *path =
            i == 0 ? server_path(first, "run.pid") : server_write_file(second, "other.pid", "1\n");
        struct server *s = start(path);
        CHECK_EQ(server_read_pid(path), s->pid);
    }
}

static void start_that_fails_leaves_none(void **state)
{
    (void)state;
    struct server *s = server_start_args("run", REMUDA_DEMO_SO, "--bind", "192.0.2.1:0",
                                         "--pidfile", "run.pid", NULL);
    CHECK_EQ(server_run(s), 3);
    CHECK(access(server_path(s, "run.pid"), F_OK) != 0);
}

static void another_file_is_not_overwritten(void **state)
{
    (void)state;
    struct stat st;
    struct server *s = server_new();
    const char *path = server_write_file(s, "remuda.yaml", "workers: 1\n");
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--pidfile", path, NULL};
    server_launch(s, &(struct server_options){.args = args});
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "no pid file");
    CHECK(stat(path, &st) == 0);
    CHECK_EQ(st.st_size, 11);
}

static void folder_is_checked_by_check(void **state)
{
    (void)state;
    struct server *s =
        server_start_args("check", REMUDA_DEMO_SO, "--pidfile", "/nonexistent/run.pid", NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "--pidfile");
    CHECK_HAS(lines_text(&s->log), "/nonexistent");
}

static void folder_without_permission_is_checked_by_check(void **state)
{
    (void)state;
    if (geteuid() == 0)
        skip(); /* root may write everywhere */
    struct server *s = server_start_args("check", REMUDA_DEMO_SO, "--pidfile", "/run.pid", NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "written to");
}

SERVER_MAIN(SERVER_TEST(it_is_there_while_the_master_runs),
            SERVER_TEST(second_start_is_told_who_runs), SERVER_TEST(stale_file_is_no_obstacle),
            SERVER_TEST(start_that_fails_leaves_none), SERVER_TEST(another_file_is_not_overwritten),
            SERVER_TEST(folder_is_checked_by_check),
            SERVER_TEST(folder_without_permission_is_checked_by_check))
