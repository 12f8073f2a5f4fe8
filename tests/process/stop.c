/* The ways to stop: TERM lets requests finish, INT and QUIT don't wait, and nobody is forgotten. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct reply r;

static struct server *start_probe(const char *setting)
{
    return server_start_app(PROBE_SO, "--workers", "1", setting ? "--set" : NULL, setting, NULL);
}

/* A request whose handler runs until the file "go" appears. Returns when it runs. */
static struct client *send_waiting_request(struct server *s)
{
    char request[512];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "probe waits");
    return c;
}

static void wait_refused(struct server *s)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_try(server_address(s, 0)) == 0)
        CHECK_SAYING(patience_turn(deadline), "connections are still taken");
}

static void term_stops_an_idle_server(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    server_check_gone(s, true);
}

static void int_and_quit_stop_an_idle_server(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGQUIT};
    for (int i = 0; i < 2; i++) {
        struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
        server_signal(s, signals[i]);
        CHECK_EQ(server_wait_exit(s), 0);
        server_check_gone(s, true);
    }
}

static void term_lets_a_running_request_finish(void **state)
{
    (void)state;
    struct server *s = start_probe(NULL);
    struct client *c = send_waiting_request(s);
    server_signal(s, SIGTERM);
    (void)server_write_file(s, "go", "");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "it came\n");
    client_expect_close(c);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void term_lets_a_running_stream_finish_and_takes_no_connections(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    struct client *c = client_to(s);
    client_send_text(c, "GET /stream?n=40&ms=50 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    server_signal(s, SIGTERM);
    wait_refused(s);
    unsigned lines = 0;
    for (char line[256] = ""; strcmp(line, "0\r\n") != 0; lines += strchr(line, '\r') == NULL)
        client_read_line(c, line, sizeof line);
    CHECK_EQ(lines, 40);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void term_finishes_a_large_answer_of_a_slow_reader(void **state)
{
    (void)state;
    struct server *s = start_probe(NULL);
    struct client *c = client_to(s);
    client_shrink(c);
    client_send_text(c, "GET /reference?n=20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_raw(c, 1000);
    server_signal(s, SIGTERM);
    wait_refused(s);
    client_read(c, &r, false);
    CHECK_EQ(r.body.len, 20000000);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void idle_keep_alive_connections_do_not_hold_up_a_stop(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    struct client *clients[20];
    for (int i = 0; i < 20; i++) {
        clients[i] = client_to(s);
        client_exchange(clients[i], &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    server_signal(s, SIGTERM);
    for (int i = 0; i < 20; i++)
        client_expect_close(clients[i]);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* The request is never done; after graceful_timeout its worker is killed, and the log says what it
 * was busy with. */
static void request_that_never_ends_is_cut_after_graceful_timeout(void **state)
{
    (void)state;
    struct server *s = start_probe("graceful_timeout=1s");
    struct client *c = send_waiting_request(s);
    s->is_violent = true;
    server_signal(s, SIGTERM);
    client_expect_close(c);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "/wait");
    server_check_gone(s, true);
}

static void int_does_not_wait_for_requests(void **state)
{
    (void)state;
    struct server *s = start_probe(NULL);
    struct client *c = send_waiting_request(s);
    s->is_violent = true;
    server_signal(s, SIGINT);
    CHECK_EQ(server_wait_exit(s), 0);
    client_expect_close(c);
    server_check_gone(s, true);
}

static void int_after_term_is_quick(void **state)
{
    (void)state;
    struct server *s = start_probe("graceful_timeout=1h");
    struct client *c = send_waiting_request(s);
    s->is_violent = true;
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    server_signal(s, SIGINT);
    CHECK_EQ(server_wait_exit(s), 0);
    client_expect_close(c);
}

static void ints_in_a_row_end_everything(void **state)
{
    (void)state;
    struct server *s = start_probe("graceful_timeout=1h");
    (void)send_waiting_request(s);
    s->is_violent = true;
    uint64_t deadline = patience_until(PATIENCE_MS);
    server_signal(s, SIGTERM);
    while (kill(s->pid, SIGINT) == 0 && procs_is_alive(s->pid))
        CHECK(patience_turn(deadline));
    CHECK_EQ(server_wait_exit(s), 0);
    server_check_gone(s, true);
}

/* What Ctrl-C does: the terminal sends INT to the whole group at once. */
static void ctrl_c_stops_master_and_workers_together(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    CHECK(kill(-s->pid, SIGINT) == 0);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
    server_check_gone(s, true);
}

/* A stop may come at any moment of a start. */
static void term_while_starting_is_obeyed(void **state)
{
    (void)state;
    static const char *const moments[] = {"listening", "worker ready slot=0"};
    for (int i = 0; i < 2; i++) {
        struct server *s = server_start_args("run", REMUDA_DEMO_SO, "--workers", "4", "--bind",
                                             "127.0.0.1:0", NULL);
        (void)server_wait_log(s, moments[i]);
        server_signal(s, SIGTERM);
        CHECK_EQ(server_wait_exit(s), 0);
        server_check_gone(s, false);
    }
}

SERVER_MAIN(SERVER_TEST(term_stops_an_idle_server), SERVER_TEST(int_and_quit_stop_an_idle_server),
            SERVER_TEST(term_lets_a_running_request_finish),
            SERVER_TEST(term_lets_a_running_stream_finish_and_takes_no_connections),
            SERVER_TEST(term_finishes_a_large_answer_of_a_slow_reader),
            SERVER_TEST(idle_keep_alive_connections_do_not_hold_up_a_stop),
            SERVER_TEST(request_that_never_ends_is_cut_after_graceful_timeout),
            SERVER_TEST(int_does_not_wait_for_requests), SERVER_TEST(int_after_term_is_quick),
            SERVER_TEST(ints_in_a_row_end_everything),
            SERVER_TEST(ctrl_c_stops_master_and_workers_together),
            SERVER_TEST(term_while_starting_is_obeyed))
