/* A handler that crashes, aborts or exits takes its worker with it: who asked is cut off, the log
 * says who did what, others are served, and a worker that keeps dying is replaced ever more
 * slowly. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct server *start(const char *app, const char *workers)
{
    server_let_crash();
    struct server *s = server_start_app(app, "--workers", workers, NULL);
    s->is_violent = true;
    return s;
}

/* Sends a request that its worker does not survive. */
static void send_fatal(struct server *s, const char *target)
{
    char request[256];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_send_text(c, request);
    client_expect_close(c);
    client_close(c);
}

static void crash_is_logged_with_signal_and_request(void **state)
{
    (void)state;
    struct server *s = start(PROBE_SO, "1");
    pid_t pid = server_worker_pid(s, 0);
    send_fatal(s, "/crash?why=test");
    const char *died = server_wait_log(s, "worker died");
    CHECK_EQ(lines_number(died, "pid"), pid);
    CHECK_HAS(died, "signal=SEGV");
    const char *lost = server_wait_log(s, "request lost");
    CHECK_EQ(lines_number(lost, "pid"), pid);
    CHECK_HAS(lost, "/crash?why=test");
    (void)server_wait_log(s, "worker ready slot=0");
    free(client_get(s, "/counts", 200));
}

static void demo_crashes_on_demand(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "1");
    send_fatal(s, "/inline-crash");
    (void)server_wait_log(s, "worker died");
    CHECK_HAS(server_wait_log(s, "request lost"), "/inline-crash");
    (void)server_wait_log(s, "worker ready slot=0");
    free(client_get(s, "/", 200));
}

static void abort_and_exit_are_told_apart(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"/abort", "signal=ABRT"}, {"/leave?code=7", "exit=7"}, {"/leave?code=0", "exit=0"}};
    struct server *s = start(PROBE_SO, "1");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        send_fatal(s, rows[i][0]);
        CHECK_HAS(server_wait_log(s, "worker died"), rows[i][1]);
        (void)server_wait_log(s, "worker ready");
    }
    free(client_get(s, "/counts", 200));
}

static void others_are_served_meanwhile(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "3");
    struct load *load = load_start(server_address(s, 0), 24, "/info", NULL);
    load_wait_settled(load);
    server_skip_log(s);
    send_fatal(s, "/inline-crash");
    pid_t victim = (pid_t)lines_number(server_wait_log(s, "worker died"), "pid");
    (void)server_wait_log(s, "worker ready");
    load_wait_settled(load);
    struct load_result result = load_stop(load);
    load_check(&result, victim);
}

/* What counts is the delay that the master decides on, not the clock of this machine: 0 at first,
 * then 100 ms, and twice as much each time. */
static void crash_loop_backs_off(void **state)
{
    (void)state;
    static const long expected[] = {0, 100, 200, 400};
    struct server *s = start(PROBE_SO, "1");
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        send_fatal(s, "/crash");
        CHECK_EQ(lines_number(server_wait_log(s, "worker died"), "respawn_ms"), expected[i]);
        (void)server_wait_log(s, "worker ready");
    }
    free(client_get(s, "/counts", 200));
}

SERVER_MAIN(SERVER_TEST(crash_is_logged_with_signal_and_request),
            SERVER_TEST(demo_crashes_on_demand), SERVER_TEST(abort_and_exit_are_told_apart),
            SERVER_TEST(others_are_served_meanwhile), SERVER_TEST(crash_loop_backs_off))
