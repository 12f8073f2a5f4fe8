/* Workers that don't answer: stopped by a signal or busy in a handler. Their slot is covered, so
 * new connections are served, and the watchdog ends them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct reply r;

/* Connections that the kernel spreads over all slots, the one of the hanging worker included: every
 * single one must be answered. */
static void check_everybody_is_served(struct server *s)
{
    enum { COUNT = 40 };
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i],
                         "GET /counts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_close(clients[i]);
    }
}

static void slot_of_a_stopped_worker_is_covered(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, NULL);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGSTOP) == 0);
    check_everybody_is_served(s);
    CHECK_EQ(procs_state(pid), 'T'); /* it was not simply replaced */
    CHECK(kill(pid, SIGCONT) == 0);
    check_everybody_is_served(s);
    CHECK_EQ(server_worker_pid(s, 0), pid);
}

static void stopped_worker_is_killed_by_the_watchdog(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--set", "timeout=2s", NULL);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 1);
    server_skip_log(s);
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK_EQ(lines_number(server_wait_log(s, "worker died"), "pid"), pid);
    (void)server_wait_log(s, "worker ready slot=1");
    check_everybody_is_served(s);
}

static void slot_of_a_busy_worker_is_covered(void **state)
{
    (void)state;
    char request[512];
    struct server *s = server_start_app(PROBE_SO, NULL);
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "probe waits");
    check_everybody_is_served(s);
    CHECK(client_is_quiet(c)); /* it is still busy: the others did not just wait for it */
    (void)server_write_file(s, "go", "");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "it came\n");
    check_everybody_is_served(s);
}

static void busy_worker_is_killed_by_the_watchdog_with_its_request_named(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--set", "timeout=1s", NULL);
    s->is_violent = true;
    struct client *c = client_to(s);
    client_send_text(c, "GET /wait?file=/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "probe waits");
    client_expect_close(c);
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=ABRT"); /* it got the chance to say why */
    (void)server_wait_log(s, "worker ready");
    CHECK_HAS(lines_text(&s->log), "/wait?file=/nonexistent/never");
    CHECK_EQ(lines_count(&s->log, "worker died"), 1);
    check_everybody_is_served(s);
}

/* All of them at once: nobody can cover, the watchdog must. */
static void all_workers_stopped_are_all_replaced(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--set", "timeout=2s", NULL);
    s->is_violent = true;
    for (int slot = 0; slot < 2; slot++)
        CHECK(kill(server_worker_pid(s, slot), SIGSTOP) == 0);
    check_everybody_is_served(s);
}

/* As after a suspend: nobody ran, and whoever wakes first must not blame the others. */
static void everybody_stopped_together_goes_on_together(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--set", "timeout=1s", NULL);
    pid_t pids[2] = {server_worker_pid(s, 0), server_worker_pid(s, 1)};
    CHECK(kill(-s->pid, SIGSTOP) == 0);
    uint64_t end = clock_now_us() + 3 * CLOCK_US_PER_S;
    while (patience_turn(end))
        continue;
    CHECK(kill(-s->pid, SIGCONT) == 0);
    check_everybody_is_served(s);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
    for (int slot = 0; slot < 2; slot++)
        CHECK_EQ(server_worker_pid(s, slot), pids[slot]);
}

/* A master that was stopped itself must not take its own absence for theirs. */
static void stopped_master_kills_nobody_when_it_goes_on(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--set", "timeout=1s", NULL);
    pid_t pids[2] = {server_worker_pid(s, 0), server_worker_pid(s, 1)};
    server_skip_log(s);
    CHECK(kill(s->pid, SIGSTOP) == 0);
    /* Away for longer than `timeout`, seen on the clock that the server uses. */
    uint64_t end = clock_now_us() + 3 * CLOCK_US_PER_S;
    while (patience_turn(end))
        continue;
    CHECK(kill(s->pid, SIGCONT) == 0);
    check_everybody_is_served(s);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
    CHECK_EQ(server_worker_pid(s, 0), pids[0]);
    CHECK_EQ(server_worker_pid(s, 1), pids[1]);
}

SERVER_MAIN(SERVER_TEST(slot_of_a_stopped_worker_is_covered),
            SERVER_TEST(stopped_worker_is_killed_by_the_watchdog),
            SERVER_TEST(slot_of_a_busy_worker_is_covered),
            SERVER_TEST(busy_worker_is_killed_by_the_watchdog_with_its_request_named),
            SERVER_TEST(all_workers_stopped_are_all_replaced),
            SERVER_TEST(everybody_stopped_together_goes_on_together),
            SERVER_TEST(stopped_master_kills_nobody_when_it_goes_on))
