/* kill -9 of web workers under load: only connections that the dead one held may break, and it is
 * replaced. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

/* Kills the worker of a slot and waits for the next one. Returns the dead one's pid */
static pid_t kill_worker(struct server *s, int slot)
{
    char event[64];
    pid_t victim = server_worker_pid(s, slot);
    CHECK(victim > 0);
    server_skip_log(s);
    CHECK(kill(victim, SIGKILL) == 0);
    const char *died = server_wait_log(s, "worker died");
    CHECK_EQ(lines_number(died, "pid"), victim);
    CHECK_EQ(lines_number(died, "slot"), slot);
    CHECK_HAS(died, "signal=KILL");
    (void)snprintf(event, sizeof event, "worker ready slot=%d", slot);
    (void)server_wait_log(s, event);
    CHECK(server_worker_pid(s, slot) != victim);
    return victim;
}

static struct server *start(const char *workers)
{
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", workers, NULL);
    s->is_violent = true;
    return s;
}

static void only_connections_of_the_dead_worker_break(void **state)
{
    (void)state;
    struct server *s = start("2");
    struct load *load = load_start(server_address(s, 0), 32, "/info", NULL);
    load_wait_settled(load);
    pid_t victim = kill_worker(s, 0);
    load_wait_settled(load);
    load_wait_answers(load, 500);
    struct load_result result = load_stop(load);
    load_check(&result, victim);
    CHECK(result.broken <= 32);
    CHECK(lines_count(&s->log, "worker died") == 1);
}

static void first_death_is_replaced_without_delay(void **state)
{
    (void)state;
    struct server *s = start("2");
    (void)kill_worker(s, 1);
    CHECK_EQ(lines_number(lines_find_last(&s->log, "worker died"), "respawn_ms"), 0);
}

static void every_slot_in_turn(void **state)
{
    (void)state;
    struct server *s = start("3");
    for (int slot = 0; slot < 3; slot++) {
        struct load *load = load_start(server_address(s, 0), 24, "/info", NULL);
        load_wait_settled(load);
        pid_t victim = kill_worker(s, slot);
        load_wait_settled(load);
        load_wait_answers(load, 100);
        struct load_result result = load_stop(load);
        load_check(&result, victim);
    }
}

/* Nobody serves for a moment; the master's sockets keep what comes until somebody does. */
static void connections_wait_while_no_worker_lives(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    struct server *s = start("1");
    struct client *clients[COUNT];
    struct reply r;
    reply_init(&r);
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(procs_wait_gone(pid, 10000));
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    reply_fini(&r);
}

static void request_of_a_killed_worker_is_named_in_the_log(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/probe.so", "--workers", "1", NULL);
    s->is_violent = true;
    struct client *c = client_to(s);
    client_send_text(c, "GET /wait?file=/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "probe waits");
    CHECK(kill(server_worker_pid(s, 0), SIGKILL) == 0);
    client_expect_close(c);
    const char *lost = server_wait_log(s, "request lost");
    CHECK_HAS(lost, "/wait?file=/nonexistent/never");
    CHECK_HAS(lost, "GET");
    CHECK_HAS(lost, "127.0.0.1");
}

/* The master must not lose descriptors or memory with each death. */
static void many_deaths_leave_no_descriptors_behind(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/probe.so", "--workers", "4", NULL);
    s->is_violent = true;
    for (int slot = 0; slot < 4; slot++)
        (void)kill_worker(s, slot);
    size_t before = procs_fd_count_at_rest(s->pid);
    for (int slot = 0; slot < 4; slot++)
        (void)kill_worker(s, slot);
    procs_wait_fds(s->pid, before);
    server_wait_processes(s, 5);
}

SERVER_MAIN(SERVER_TEST(only_connections_of_the_dead_worker_break),
            SERVER_TEST(first_death_is_replaced_without_delay), SERVER_TEST(every_slot_in_turn),
            SERVER_TEST(connections_wait_while_no_worker_lives),
            SERVER_TEST(request_of_a_killed_worker_is_named_in_the_log),
            SERVER_TEST(many_deaths_leave_no_descriptors_behind))
