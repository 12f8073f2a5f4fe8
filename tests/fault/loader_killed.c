/* kill -9 of the loader: web workers go on, it is started again, and it can make workers. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

static pid_t loader_pid(struct server *s)
{
    const char *line = lines_find_last(&s->log, "loader ready");
    CHECK(line != NULL);
    return (pid_t)lines_number(line, "pid");
}

static void kill_loader(struct server *s)
{
    pid_t victim = loader_pid(s);
    server_skip_log(s);
    CHECK(kill(victim, SIGKILL) == 0);
    CHECK_EQ(lines_number(server_wait_log(s, "loader died"), "pid"), victim);
    (void)server_wait_log(s, "loader ready");
    CHECK(loader_pid(s) != victim);
}

static void kill_worker(struct server *s, int slot)
{
    pid_t victim = server_worker_pid(s, slot);
    server_skip_log(s);
    CHECK(kill(victim, SIGKILL) == 0);
    CHECK_EQ(lines_number(server_wait_log(s, "worker died"), "pid"), victim);
    (void)server_wait_log(s, "worker ready");
    CHECK(server_worker_pid(s, slot) != victim);
}

static void nobody_is_disturbed_and_later_deaths_are_replaced(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    s->is_violent = true;
    struct load *load = load_start(server_address(s, 0), 16, "/info", NULL);
    load_wait_settled(load);
    kill_loader(s);
    load_wait_answers(load, 200);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
    kill_worker(s, 0);
    kill_worker(s, 1);
    free(client_get(s, "/", 200));
}

/* Nobody is there to fork: the worker's post must not be forgotten meanwhile. */
static void loader_and_worker_at_once(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    s->is_violent = true;
    pid_t loader = loader_pid(s), worker = server_worker_pid(s, 0);
    server_skip_log(s);
    CHECK(kill(loader, SIGKILL) == 0);
    CHECK(kill(worker, SIGKILL) == 0);
    free(client_get(s, "/", 200));            /* waits in the socket until somebody accepts */
    (void)server_wait_log(s, "worker ready"); /* the answer may come before the line */
    CHECK(server_worker_pid(s, 0) != worker);
    CHECK(loader_pid(s) != loader);
}

static void again_and_again(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    s->is_violent = true;
    for (int i = 0; i < 4; i++)
        kill_loader(s);
    kill_worker(s, 0);
    server_wait_processes(s, 2);
}

static void stop_while_there_is_no_loader(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    s->is_violent = true;
    CHECK(kill(loader_pid(s), SIGKILL) == 0);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    server_check_gone(s, true);
}

/* An order that was taken back is still one that it leaves unanswered. */
static void one_that_stands_still_is_found_though_its_order_was_taken_back(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--timeout", "1s", NULL);
    s->is_violent = true;
    pid_t stopped = loader_pid(s);
    server_skip_log(s);
    CHECK(kill(stopped, SIGSTOP) == 0);
    server_signal(s, SIGTTIN);
    (void)server_wait_log(s, "scaling");
    server_signal(s, SIGTTOU);
    (void)server_wait_log(s, "scaling");
    CHECK_EQ(lines_number(server_wait_log(s, "loader died"), "pid"), stopped);
    (void)server_wait_log(s, "loader ready");
    kill_worker(s, 0);
}

/* Each fork takes 0.3 s, all of them longer than `timeout`. */
static void one_that_works_through_a_long_queue_is_not_killed(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/slow_fork.so", "--workers", "9",
                                        "--timeout", "2s", NULL);
    CHECK_EQ(lines_count(&s->log, "loader ready"), 1);
}

SERVER_MAIN(SERVER_TEST(nobody_is_disturbed_and_later_deaths_are_replaced),
            SERVER_TEST(loader_and_worker_at_once), SERVER_TEST(again_and_again),
            SERVER_TEST(stop_while_there_is_no_loader),
            SERVER_TEST(one_that_stands_still_is_found_though_its_order_was_taken_back),
            SERVER_TEST(one_that_works_through_a_long_queue_is_not_killed))
