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
#define GOOD "bind: 127.0.0.1:0\nworkers: 2\nboot_timeout: 10m\napp: " APPS "/churn.so\n"
#define HANGS "bind: 127.0.0.1:0\nworkers: 2\nboot_timeout: 10m\napp: " APPS "/%s.so\n"

static struct server *start(void)
{
    struct server *s = server_new();
    const char *args[] = {"run", "-c", server_write_file(s, "remuda.yaml", GOOD), NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    s->is_violent = true;
    return s;
}

static struct load *load_on(struct server *s)
{
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    return l;
}

/* Nobody's connection broke but those of a killed worker. v: NULL: none was killed */
static void end_load(struct load *l, const struct load_victim *v)
{
    struct load_result result = load_finish(l);
    load_check_victims(&result, v, v != NULL);
}

static pid_t loader_pid(struct server *s)
{
    return (pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid");
}

/* By the name that it gives itself: workers have an intermediate parent for a moment. */
static pid_t find_new_process(struct server *s, const pid_t *old, size_t n_old, const char *name)
{
    char its[32];
    pid_t below[PROCS_MAX];
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        for (size_t n = procs_below(s->pid, below); n > 0; n--) {
            bool is_new = strcmp(procs_name(below[n - 1], its, sizeof its), name) == 0;
            for (size_t i = 0; i < n_old; i++)
                is_new = is_new && below[n - 1] != old[i];
            if (is_new)
                return below[n - 1];
        }
        CHECK_SAYING(patience_turn(deadline), "no new %s", name);
    }
}

/* Begins a reload that does not come to its end by itself, since the app hangs: in the new loader,
 * or in its workers. Returns who hangs, or will in a moment. */
static pid_t begin_reload(struct server *s, const char *app)
{
    char yaml[300];
    pid_t old[PROCS_MAX];
    size_t n_old = procs_below(s->pid, old);
    (void)snprintf(yaml, sizeof yaml, HANGS, app);
    (void)server_write_file(s, "remuda.yaml", yaml);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloading");
    bool is_worker = strcmp(app, "worker_init_hangs") == 0;
    return find_new_process(s, old, n_old, is_worker ? "remuda-web" : "remuda-loader");
}

/* Ends that reload; another one has been asked for meanwhile, and comes through. */
static void end_reload(struct server *s, pid_t hung, struct load *l, const struct load_victim *v)
{
    server_signal(s, SIGHUP); /* begins when the first one has failed */
    (void)server_write_file(s, "remuda.yaml", GOOD);
    CHECK(kill(hung, SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "reload refused"), "crashed with signal KILL");
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 3);
    server_wait_processes(s, 3);
    load_wait_generation(l, 3);
    end_load(l, v);
}

static void kill_new(const char *app)
{
    struct server *s = start();
    struct load *l = load_on(s);
    CHECK(kill(begin_reload(s, app), SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "reload refused"), "crashed with signal KILL");
    server_wait_processes(s, 3);
    (void)server_write_file(s, "remuda.yaml", GOOD);
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 3);
    server_wait_processes(s, 3);
    load_wait_generation(l, 3);
    end_load(l, NULL);
}

static void new_loader(void **state)
{
    (void)state;
    kill_new("init_hangs");
}

static void new_worker(void **state)
{
    (void)state;
    kill_new("worker_init_hangs");
}

static void old_loader(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t loader = loader_pid(s);
    struct load *l = load_on(s);
    pid_t hung = begin_reload(s, "init_hangs");
    CHECK(kill(loader, SIGKILL) == 0);
    (void)server_wait_log(s, "loader died");
    (void)server_wait_log(s, "loader ready"); /* of the old generation: the new one hangs */
    CHECK_EQ(load_peek(l).generation, 1);
    end_reload(s, hung, l, NULL);
}

static void old_worker(void **state)
{
    (void)state;
    struct server *s = start();
    struct load_victim v = {.pid = server_worker_pid(s, 1)};
    struct load *l = load_on(s);
    pid_t hung = begin_reload(s, "worker_init_hangs");
    v.from_us = clock_now_us();
    CHECK(kill(v.pid, SIGKILL) == 0);
    (void)server_wait_log(s, "worker died");
    v.until_us = clock_now_us();
    (void)server_wait_log(s, "worker ready slot=1"); /* replaced, in the old generation */
    end_reload(s, hung, l, &v);
}

static void old_worker_that_drains(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t victim = server_worker_pid(s, 0);
    struct load_victim v = {.pid = victim, .from_us = clock_now_us()};
    struct load *l = load_on(s);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    (void)kill(victim, SIGKILL); /* it may have ended by now */
    (void)server_wait_log(s, "generation gone");
    v.until_us = clock_now_us();
    server_wait_processes(s, 3);
    load_wait_generation(l, 2);
    end_load(l, &v);
}

SERVER_MAIN(SERVER_TEST(new_loader), SERVER_TEST(new_worker), SERVER_TEST(old_loader),
            SERVER_TEST(old_worker), SERVER_TEST(old_worker_that_drains))
