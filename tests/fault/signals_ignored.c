/* Signals that this version does not obey: each leaves the master and everybody else alive, with a
 * line that says so. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

static void each_is_told_and_harms_nobody(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *name;
    } rows[] = {{SIGUSR2, "USR2"}, {SIGTTIN, "TTIN"}, {SIGTTOU, "TTOU"}, {SIGWINCH, "WINCH"}};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    pid_t pids[2] = {server_worker_pid(s, 0), server_worker_pid(s, 1)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "signal %s ignored", rows[i].name);
        server_signal(s, rows[i].number);
        CHECK_HAS(server_wait_log_text(s, text), " warn ");
        free(client_get(s, "/", 200));
    }
    for (int slot = 0; slot < 2; slot++)
        CHECK_EQ(server_worker_pid(s, slot), pids[slot]);
}

/* As a terminal or a supervisor sends them: to the whole process group. */
static void each_to_the_whole_group_harms_nobody(void **state)
{
    (void)state;
    static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH, SIGPIPE};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    struct load *load = load_start(server_address(s, 0), 8, "/info", NULL);
    load_wait_settled(load);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        check_context("signal %d", signals[i]);
        CHECK(kill(-s->pid, signals[i]) == 0);
        load_wait_answers(load, 50);
    }
    struct load_result result = load_stop(load);
    load_check(&result, 0);
}

static void storm_of_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGHUP, SIGUSR1, SIGCHLD, SIGUSR2, SIGTTIN, SIGPIPE};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    for (int i = 0; i < 3000; i++)
        CHECK(kill(s->pid, signals[i % 6]) == 0);
    free(client_get(s, "/", 200));
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
}

SERVER_MAIN(SERVER_TEST(each_is_told_and_harms_nobody),
            SERVER_TEST(each_to_the_whole_group_harms_nobody), SERVER_TEST(storm_of_signals))
