/* kill -9 of the master, at every stage of its life: nobody outlives it and its port is free. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct server *start(const char *app)
{
    struct server *s =
        server_start_args("run", app, "--bind", "127.0.0.1:0", "--workers", "3", NULL);
    s->is_violent = true;
    return s;
}

static void kill_master(struct server *s)
{
    server_signal(s, SIGKILL);
    CHECK_EQ(server_wait_exit(s), -SIGKILL);
    server_check_gone(s, false);
}

static void while_serving(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO);
    server_wait_ready(s);
    free(client_get(s, "/", 200));
    kill_master(s);
    CHECK(client_try(server_address(s, 0)) < 0);
}

static void under_load(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO);
    server_wait_ready(s);
    struct load *load = load_start(server_address(s, 0), 16, "/", "hello\n");
    load_wait_answers(load, 200);
    kill_master(s);
    (void)load_stop(load);
}

static void at_each_line_of_its_start(void **state)
{
    (void)state;
    static const char *const moments[] = {"starting", "listening", "loader ready", "worker ready",
                                          "ready"};
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        check_context("killed at \"%s\"", moments[i]);
        struct server *s = start(REMUDA_DEMO_SO);
        (void)server_wait_log(s, moments[i]);
        kill_master(s);
    }
}

/* At moments that no line marks: the turns of a loop are a clock that differs on every machine. */
static void at_any_moment_of_its_start(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 24; turns++) {
        check_context("killed after %u turns", turns);
        struct server *s = start(REMUDA_DEMO_SO);
        uint64_t deadline = patience_until(PATIENCE_MS);
        for (unsigned i = 0; i < turns; i++)
            (void)patience_turn(deadline);
        kill_master(s);
    }
}

static void while_init_hangs(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/init_hangs.so");
    (void)server_wait_log(s, "listening");
    kill_master(s);
}

static void while_worker_init_hangs(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/worker_init_hangs.so");
    (void)server_wait_log(s, "loader ready");
    kill_master(s);
}

static void while_a_handler_is_busy(void **state)
{
    (void)state;
    struct server *s = start(PROBE_SO);
    server_wait_ready(s);
    struct client *c = client_to(s);
    client_send_text(c, "GET /wait?file=/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "probe waits");
    kill_master(s);
    client_expect_close(c);
}

static void while_it_stops(void **state)
{
    (void)state;
    struct server *s = start(PROBE_SO);
    server_wait_ready(s);
    struct client *c = client_to(s);
    client_send_text(c, "GET /wait?file=/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "probe waits");
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    kill_master(s);
}

/* Its workers are stopped and can't notice anything: the kernel must see to it. */
static void while_a_worker_is_stopped(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO);
    server_wait_ready(s);
    CHECK(kill(server_worker_pid(s, 0), SIGSTOP) == 0);
    kill_master(s);
}

static void the_port_can_be_bound_again(void **state)
{
    (void)state;
    char bind[64];
    struct server *s = start(REMUDA_DEMO_SO);
    server_wait_ready(s);
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(s, 0));
    kill_master(s);
    struct server *again = server_start_args("run", REMUDA_DEMO_SO, "--bind", bind, NULL);
    server_wait_ready(again);
    free(client_get(again, "/", 200));
}

SERVER_MAIN(SERVER_TEST(while_serving), SERVER_TEST(under_load),
            SERVER_TEST(at_each_line_of_its_start), SERVER_TEST(at_any_moment_of_its_start),
            SERVER_TEST(while_init_hangs), SERVER_TEST(while_worker_init_hangs),
            SERVER_TEST(while_a_handler_is_busy), SERVER_TEST(while_it_stops),
            SERVER_TEST(while_a_worker_is_stopped), SERVER_TEST(the_port_can_be_bound_again))
