/* kill -9 of the old or the new master, at each stage of an upgrade and under load: the other one
 * serves on, and only connections of workers that die with their master break. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define CLIENTS 8
#define WORKERS 2U /* of a master; they die with it, one after the other */

static struct server *start(void)
{
    struct server *s = server_new();
    char env[300];
    (void)snprintf(env, sizeof env, "PROBE_GATE=%s", server_write_file(s, "gate", ""));
    const char *args[] = {"run",       REMUDA_TEST_APPS_DIR "/probe.so",
                          "--bind",    "127.0.0.1:0",
                          "--workers", "2",
                          "--pidfile", "run.pid",
                          NULL};
    const char *envs[] = {env, NULL};
    server_launch(s, &(struct server_options){.args = args, .env = envs});
    server_wait_ready(s);
    s->is_violent = true;
    return s;
}

static void open_gate(struct server *s)
{
    (void)server_write_file(s, "gate", "");
}

/* The app of a new master does not come up before the gate is opened. */
static void close_gate(struct server *s)
{
    CHECK(unlink(server_path(s, "gate")) == 0);
}

static struct load *load_on(struct server *s)
{
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/counts", NULL);
    load_wait_answers(l, CLIENTS);
    return l;
}

/* Nobody was refused, and nobody's answer was wrong; lossless: nobody was cut either. */
static void end_load(struct load *l, bool is_lossless)
{
    load_wait_answers(l, 4 * CLIENTS);
    struct load_result result = load_finish(l);
    CHECK_EQ(result.refused, 0);
    CHECK_EQ(result.wrong, 0);
    if (is_lossless)
        CHECK_EQ(result.broken, 0);
    else
        CHECK(result.broken <= WORKERS * CLIENTS); /* whoever comes back may meet the other one */
}

static void check_old_is_as_before(struct server *s)
{
    CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
    CHECK(access(server_path(s, "run.pid.2"), F_OK) != 0);
    server_wait_processes(s, 3); /* a loader and two workers */
    server_signal(s, SIGUSR2);   /* and it can be done again */
    (void)server_wait_log(s, "new master ready");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_succession(s), 0);
    (void)server_wait_log(s, "old master gone");
    CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
}

/* Starts a new master and waits until it is at this line of its start. Lines of two masters may
 * come in any order. */
static void start_new(struct server *s, const char *moment)
{
    unsigned before = lines_count(&s->log, moment);
    uint64_t deadline = patience_until(PATIENCE_MS);
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master started");
    while (lines_count(&s->log, moment) == before)
        CHECK_SAYING(patience_turn(deadline), "the new master never logs \"%s\"", moment);
}

static void new_one_at_each_line_of_its_start(void **state)
{
    (void)state;
    static const char *const moments[] = {"new master started", "starting",     "listening",
                                          "loader ready",       "worker ready", "ready"};
    struct server *s = start();
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        check_context("killed at \"%s\"", moments[i]);
        struct load *l = load_on(s);
        start_new(s, moments[i]);
        CHECK(kill(server_new_master(s), SIGKILL) == 0);
        const char *line = server_wait_log_text(s, "SIGKILL");
        bool was_up = strstr(line, "new master gone") != NULL;
        end_load(l, !was_up); /* once it serves, its connections die with it */
        check_old_is_as_before(s);
    }
}

static void new_one_while_its_app_starts(void **state)
{
    (void)state;
    struct server *s = start();
    struct load *l = load_on(s);
    close_gate(s);
    start_new(s, "listening");
    CHECK_EQ(server_read_pid(server_path(s, "run.pid.2")), server_new_master(s));
    CHECK(kill(server_new_master(s), SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "SIGKILL");
    open_gate(s);
    end_load(l, true);
    check_old_is_as_before(s);
}

static void kill_old(struct server *s)
{
    server_signal(s, SIGKILL);
    CHECK_EQ(server_wait_succession(s), -SIGKILL);
    (void)server_wait_log(s, "old master gone");
    CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
    CHECK(access(server_path(s, "run.pid.2"), F_OK) != 0);
}

static void old_one_while_both_serve(void **state)
{
    (void)state;
    struct server *s = start();
    struct load *l = load_on(s);
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    kill_old(s);
    end_load(l, false);
}

/* Who connects meanwhile waits in the queues, which the new master holds. */
static void old_one_while_the_new_one_boots(void **state)
{
    (void)state;
    struct server *s = start();
    struct load *l = load_on(s);
    close_gate(s);
    start_new(s, "listening");
    kill_old(s);
    open_gate(s);
    (void)server_wait_log(s, "ready");
    end_load(l, false);
}

static void old_one_while_it_drains(void **state)
{
    (void)state;
    struct server *s = start();
    struct client *c = client_to(s);
    client_send_text(c, "GET /wait?file=/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "probe waits");
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    struct load *l = load_on(s);
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    load_wait_answers(l, 4 * CLIENTS);
    kill_old(s);
    end_load(l, false);
}

/* At moments that no line marks: the turns of a loop are a clock that differs on every machine. */
static void either_at_any_moment(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 16; turns++) {
        check_context("the %s one killed after %u turns", turns % 2 ? "old" : "new", turns);
        struct server *s = start();
        uint64_t deadline = patience_until(PATIENCE_MS);
        start_new(s, "new master started");
        pid_t pid = server_new_master(s);
        for (unsigned i = 0; i < turns; i++)
            (void)patience_turn(deadline);
        if (turns % 2) {
            server_signal(s, SIGKILL);
            CHECK_EQ(server_wait_succession(s), -SIGKILL);
            (void)server_wait_log(s, "old master gone");
        } else {
            CHECK(kill(pid, SIGKILL) == 0);
            (void)server_wait_log_text(s, "SIGKILL");
        }
        free(client_get(s, "/counts", 200));
        CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
        CHECK(access(server_path(s, "run.pid.2"), F_OK) != 0);
        server_signal(s, SIGTERM);
        CHECK_EQ(server_wait_exit(s), 0);
    }
}

SERVER_MAIN(SERVER_TEST(new_one_at_each_line_of_its_start),
            SERVER_TEST(new_one_while_its_app_starts), SERVER_TEST(old_one_while_both_serve),
            SERVER_TEST(old_one_while_the_new_one_boots), SERVER_TEST(old_one_while_it_drains),
            SERVER_TEST(either_at_any_moment))
