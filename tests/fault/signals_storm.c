/* Signals in plenty, and signals to everybody: no process dies of them, and no meaning is lost. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

/* As a terminal or a supervisor sends them: to the whole process group. */
static void each_to_the_whole_group_harms_nobody(void **state)
{
    (void)state;
    static const int signals[] = {SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU, SIGPIPE};
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
    static const int signals[] = {SIGHUP, SIGUSR1, SIGCHLD, SIGTTIN, SIGTTOU, SIGPIPE};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    struct load *load = load_start(server_address(s, 0), 8, "/info", NULL);
    load_wait_settled(load);
    for (int i = 0; i < 3000; i++)
        CHECK(kill(s->pid, signals[i % 6]) == 0);
    load_wait_answers(load, 50);
    struct load_result result = load_finish(load);
    load_check(&result, 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
}

SERVER_MAIN(SERVER_TEST(each_to_the_whole_group_harms_nobody), SERVER_TEST(storm_of_signals))
