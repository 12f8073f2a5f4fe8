/* kill -9 of a process of the old or the new generation in the middle of a reload: it ends in one
 * of the two ways that a reload may end, nobody but the victim's clients notices, and nothing is
 * left over. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define APPS REMUDA_TEST_APPS_DIR
#define GOOD "bind: 127.0.0.1:0\nworkers: 2\nboot_timeout: 3s\napp: " APPS "/churn.so\n"
#define HANGS "bind: 127.0.0.1:0\nworkers: 2\nboot_timeout: 3s\napp: " APPS "/%s.so\n"

static struct server *start(void)
{
    struct server *s = server_new();
    const char *args[] = {"run", "-c", server_write_file(s, "remuda.yaml", GOOD), NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    s->is_violent = true;
    return s;
}

static void wait_processes(struct server *s, size_t n)
{
    pid_t below[PROCS_MAX];
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_below(s->pid, below) != n)
        CHECK_SAYING(patience_turn(deadline), "%zu processes, expected %zu",
                     procs_below(s->pid, below), n);
}

/* Begins a reload that does not come to its end by itself, since the app hangs. */
static void begin_reload(struct server *s, const char *app)
{
    char yaml[300];
    (void)snprintf(yaml, sizeof yaml, HANGS, app);
    (void)server_write_file(s, "remuda.yaml", yaml);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloading");
}

/* Those of the candidate are not among these. */
static pid_t find_new_child(struct server *s, const pid_t *old, size_t n_old, size_t n_expected)
{
    pid_t below[PROCS_MAX];
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_below(s->pid, below) < n_expected)
        CHECK(patience_turn(deadline));
    size_t n = procs_below(s->pid, below);
    for (size_t i = n; i-- > 0;) {
        bool is_old = false;
        for (size_t k = 0; k < n_old; k++)
            is_old |= below[i] == old[k];
        if (!is_old)
            return below[i];
    }
    CHECK_FAIL("no new process");
}

static void finish_well(struct server *s, long generation)
{
    (void)server_write_file(s, "remuda.yaml", GOOD);
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), generation);
    wait_processes(s, 3);
}

static void new_loader(void **state)
{
    (void)state;
    pid_t old[PROCS_MAX];
    struct server *s = start();
    size_t n_old = procs_below(s->pid, old);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    begin_reload(s, "init_hangs");
    CHECK(kill(find_new_child(s, old, n_old, n_old + 1), SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "reload refused"), "crashed with signal KILL");
    wait_processes(s, 3);
    finish_well(s, 3);
    load_wait_generation(l, 3);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

static void new_worker(void **state)
{
    (void)state;
    pid_t old[PROCS_MAX];
    struct server *s = start();
    size_t n_old = procs_below(s->pid, old);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    begin_reload(s, "worker_init_hangs");
    (void)server_wait_log(s, "loader ready");
    pid_t loader = (pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid");
    old[n_old++] = loader;
    CHECK(kill(find_new_child(s, old, n_old, n_old + 1), SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "reload refused"), "crashed with signal KILL");
    wait_processes(s, 3);
    finish_well(s, 3);
    load_wait_generation(l, 3);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

static void old_loader(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t loader = (pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid");
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    begin_reload(s, "init_hangs");
    CHECK(kill(loader, SIGKILL) == 0);
    (void)server_wait_log(s, "loader died");
    (void)server_wait_log(s, "loader ready"); /* of the old generation: the new one hangs */
    CHECK_EQ(load_peek(l).generation, 1);
    server_signal(s, SIGHUP); /* begins when the first one has failed */
    (void)server_write_file(s, "remuda.yaml", GOOD);
    (void)server_wait_log(s, "reload refused");
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 3);
    wait_processes(s, 3);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

static void old_worker(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t victim = server_worker_pid(s, 1);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    begin_reload(s, "worker_init_hangs");
    (void)server_wait_log(s, "loader ready");
    struct load_victim v = {.pid = victim, .from_us = clock_now_us()};
    CHECK(kill(victim, SIGKILL) == 0);
    (void)server_wait_log(s, "worker died");
    v.until_us = clock_now_us();
    (void)server_wait_log(s, "worker ready slot=1"); /* replaced, in the old generation */
    server_signal(s, SIGHUP);
    (void)server_write_file(s, "remuda.yaml", GOOD);
    (void)server_wait_log(s, "reload refused");
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 3);
    wait_processes(s, 3);
    struct load_result result = load_finish(l);
    load_check_victims(&result, &v, 1);
}

static void old_worker_that_drains(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t victim = server_worker_pid(s, 0);
    struct load_victim v = {.pid = victim, .from_us = clock_now_us()};
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    (void)kill(victim, SIGKILL); /* it may have ended by now */
    (void)server_wait_log(s, "generation gone");
    v.until_us = clock_now_us();
    wait_processes(s, 3);
    load_wait_generation(l, 2);
    struct load_result result = load_finish(l);
    load_check_victims(&result, &v, 1);
}

SERVER_MAIN(SERVER_TEST(new_loader), SERVER_TEST(new_worker), SERVER_TEST(old_loader),
            SERVER_TEST(old_worker), SERVER_TEST(old_worker_that_drains))
