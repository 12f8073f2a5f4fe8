/* A handler that crashes, aborts or exits takes its worker with it: who asked is cut off, the log
 * says who did what, others are served, and a worker that keeps dying is replaced ever more slowly. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

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
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    send_fatal(s, "/inline-crash?why=test");
    const char *lost = server_wait_log_text(s, "/inline-crash?why=test");
    CHECK_EQ(lines_number(lost, "pid"), pid);
    CHECK(lines_find_last(&s->log, "worker died") || server_wait_log(s, "worker died"));
    const char *died = lines_find_last(&s->log, "worker died");
    CHECK_EQ(lines_number(died, "pid"), pid);
    CHECK_HAS(died, "signal=SEGV");
    (void)server_wait_log(s, "worker ready slot=0");
    free(client_get(s, "/", 200));
}

static void abort_and_exit_are_told_apart(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    s->is_violent = true;
    send_fatal(s, "/abort");
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=ABRT");
    (void)server_wait_log(s, "worker ready");
    send_fatal(s, "/leave?code=7");
    CHECK_HAS(server_wait_log(s, "worker died"), "exit=7");
    (void)server_wait_log(s, "worker ready");
    send_fatal(s, "/leave?code=0");
    CHECK_HAS(server_wait_log(s, "worker died"), "exit=0");
    (void)server_wait_log(s, "worker ready");
    free(client_get(s, "/counts", 200));
}

static void others_are_served_meanwhile(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "3", NULL);
    s->is_violent = true;
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
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    s->is_violent = true;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        send_fatal(s, "/inline-crash");
        CHECK_EQ(lines_number(server_wait_log(s, "worker died"), "respawn_ms"), expected[i]);
        (void)server_wait_log(s, "worker ready");
    }
    free(client_get(s, "/", 200));
}

SERVER_MAIN(SERVER_TEST(crash_is_logged_with_signal_and_request),
            SERVER_TEST(abort_and_exit_are_told_apart), SERVER_TEST(others_are_served_meanwhile),
            SERVER_TEST(crash_loop_backs_off))
