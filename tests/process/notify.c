/* What the service manager is told, by a socket in its place. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/manager.h"
#include "tests/harness/server.h"

#define ENVIRONMENT_SO REMUDA_TEST_APPS_DIR "/environment.so"

static struct manager manager;

/* more: a further variable for its environment; NULL: none. */
static struct server *start(const char *app, const char *more)
{
    struct server *s = server_new();
    manager_open(&manager, s);
    const char *args[] = {"run", app,     "--bind",         "127.0.0.1:0", "--workers",
                          "2",   "--set", "compute.nice=0", NULL};
    const char *env[] = {manager.variable, more, NULL};
    server_launch(s, &(struct server_options){.args = args, .env = env});
    return s;
}

static int tear_down(void **state)
{
    int rc = server_teardown(state);
    manager_close(&manager);
    return rc;
}

static void ready_and_stopping_are_told_by_the_master(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, NULL);
    const char *text = manager_wait(&manager, "READY=1");
    CHECK_EQ(manager.from, s->pid);
    CHECK_HAS(text, "STATUS=serving, 2 of 2 workers ready, generation 1");
    server_wait_ready(s);
    server_signal(s, SIGTERM);
    (void)manager_wait(&manager, "STOPPING=1");
    CHECK_EQ(manager.from, s->pid);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void ready_is_not_told_before_it_is_so(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/init_hangs.so", NULL);
    CHECK_HAS(manager_wait(&manager, "EXTEND_TIMEOUT_USEC=30000000"), "STATUS=starting");
    (void)server_wait_log(s, "listening");
    CHECK_EQ(manager_count(&manager, "READY=1"), 0);
}

static void start_that_fails_is_never_ready(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/init_fails.so", NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_EQ(manager_count(&manager, "READY=1"), 0);
}

static void watchdog_is_fed(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "WATCHDOG_USEC=400000");
    for (int i = 0; i < 4; i++) {
        (void)manager_wait(&manager, "WATCHDOG=1");
        CHECK_EQ(manager.from, s->pid);
    }
}

static void worker_that_dies_shows_in_the_status(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, NULL);
    (void)manager_wait(&manager, "READY=1");
    server_wait_ready(s);
    s->is_violent = true;
    CHECK(kill(server_worker_pid(s, 0), SIGKILL) == 0);
    (void)manager_wait(&manager, "STATUS=serving, 1 of 2 workers ready, generation 1");
    (void)manager_wait(&manager, "STATUS=serving, 2 of 2 workers ready, generation 1");
}

/* A manager that asked for a reload waits for its end, also where it is refused at once. */
static void reloads_are_told_however_they_end(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_write_file(s, "remuda.yaml", "workers: 1\n");
    const char *args[] = {"run", "-c", path, REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", NULL};
    manager_open(&manager, s);
    const char *env[] = {manager.variable, NULL};
    server_launch(s, &(struct server_options){.args = args, .env = env});
    (void)manager_wait(&manager, "READY=1");
    server_signal(s, SIGHUP);
    (void)manager_wait(&manager, "RELOADING=1");
    (void)manager_wait(&manager, "READY=1");
    (void)server_wait_log(s, "generation gone");
    (void)server_write_file(s, "remuda.yaml", "workers: none\n");
    server_signal(s, SIGHUP);
    (void)manager_wait(&manager, "RELOADING=1");
    (void)manager_wait(&manager, "READY=1");
    (void)server_wait_log(s, "reload refused");
}

/* NotifyAccess=main: only the main process is listened to, so the old one says who is that now. */
static void upgrade_hands_the_service_over(void **state)
{
    (void)state;
    char line[32];
    struct server *s = start(REMUDA_DEMO_SO, "WATCHDOG_USEC=400000");
    server_wait_ready(s);
    for (int i = 0; i < 2; i++) {
        pid_t old = s->pid;
        (void)manager_wait(&manager, "WATCHDOG=1");
        server_signal(s, SIGUSR2);
        (void)server_wait_log(s, "new master ready");
        pid_t new = server_new_master(s);
        server_signal(s, SIGTERM);
        (void)snprintf(line, sizeof line, "MAINPID=%d", (int)new);
        const char *text = manager_wait(&manager, line);
        CHECK_EQ(manager.from, old);
        CHECK_HAS_NOT(text, "STOPPING");
        CHECK_EQ(server_wait_succession(s), 0);
        (void)manager_wait(&manager, "WATCHDOG=1");
        CHECK_EQ(manager.from, new);
    }
    server_signal(s, SIGTERM);
    (void)manager_wait(&manager, "STOPPING=1");
    CHECK_EQ(manager.from, s->pid);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* Nobody can say MAINPID= any more; the new one speaks for itself. */
static void successor_of_a_killed_master_speaks(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, NULL);
    server_wait_ready(s);
    s->is_violent = true;
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    (void)manager_count(&manager, "READY=1");
    server_signal(s, SIGKILL);
    CHECK_EQ(server_wait_succession(s), -SIGKILL);
    (void)manager_wait(&manager, "READY=1");
    CHECK_EQ(manager.from, s->pid);
}

static void new_master_is_silent_beside_the_old_one(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "WATCHDOG_USEC=200000");
    server_wait_ready(s);
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    for (int i = 0; i < 6; i++) {
        (void)manager_wait(&manager, "WATCHDOG=1");
        CHECK_EQ(manager.from, s->pid);
    }
    CHECK(kill(server_new_master(s), SIGTERM) == 0);
    (void)server_wait_log(s, "new master gone");
}

static void app_cannot_speak_in_our_name(void **state)
{
    (void)state;
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};
    struct server *s = start(ENVIRONMENT_SO, "WATCHDOG_USEC=10000000");
    server_wait_ready(s);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/env/%s", names[i]);
        char *text = client_get(s, target, 200);
        CHECK_TEXT(text, "(not set)\n");
        free(text);
    }
}

static void address_that_is_none_is_a_warning(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", NULL};
    const char *env[] = {"NOTIFY_SOCKET=nowhere", NULL};
    manager_open(&manager, s);
    server_launch(s, &(struct server_options){.args = args, .env = env});
    (void)server_wait_log(s, "service manager not told");
    server_wait_ready(s);
}

#define MANAGER_TEST(function) cmocka_unit_test_teardown(function, tear_down)

SERVER_MAIN(MANAGER_TEST(ready_and_stopping_are_told_by_the_master),
            MANAGER_TEST(ready_is_not_told_before_it_is_so),
            MANAGER_TEST(start_that_fails_is_never_ready), MANAGER_TEST(watchdog_is_fed),
            MANAGER_TEST(worker_that_dies_shows_in_the_status),
            MANAGER_TEST(reloads_are_told_however_they_end),
            MANAGER_TEST(upgrade_hands_the_service_over),
            MANAGER_TEST(successor_of_a_killed_master_speaks),
            MANAGER_TEST(new_master_is_silent_beside_the_old_one),
            MANAGER_TEST(app_cannot_speak_in_our_name),
            MANAGER_TEST(address_that_is_none_is_a_warning))
