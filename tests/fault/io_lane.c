/* The io lane when things go wrong: a handler that hangs for ever, threads that the kernel refuses,
 * a worker that dies with requests in its queue. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"

static struct reply r;

static struct client *send_waiting(struct server *s, const char *path)
{
    char request[256];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request,
                   "GET %s?file=/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n", path);
    client_send_text(c, request);
    (void)server_wait_log(s, "lanes waits");
    return c;
}

static void check_served(struct server *s, const char *path, int status)
{
    char request[256];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    client_exchange(c, &r, request);
    CHECK_EQ(r.status, status);
    client_close(c);
}

/* Each takes a thread with it, and none of the others. */
static void handlers_that_hang_for_ever_cost_a_thread_each(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", "1", "--set", "threads=2", NULL);
    for (int i = 0; i < 5; i++) {
        struct client *c = send_waiting(s, "/wait-briefly");
        client_read(c, &r, false);
        CHECK_EQ(r.status, 504);
        (void)server_wait_log(s, "io thread left behind");
        check_served(s, "/io", 200);
        check_served(s, "/loop", 200);
    }
}

/* One that hangs without a limit of its own is watched by nobody, and holds up nobody either. */
static void handler_that_hangs_without_a_limit_holds_up_nobody(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", "1", "--set", "timeout=1s", "--set",
                                        "request_timeout=0", "--set", "graceful_timeout=1s", NULL);
    s->is_violent = true; /* it is still there at the end */
    struct client *c = send_waiting(s, "/wait");
    uint64_t end = patience_until(1500);
    while (patience_turn(end)) /* longer than the watchdog waits for a loop that hangs */
        check_served(s, "/io", 200);
    CHECK(client_is_quiet(c));
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
}

#ifdef REMUDA_DEBUG
/* REMUDA_FAULT counts for each process: so many calls fail, then they work again. */
static void refused_threads_are_503_until_there_are_some(void **state)
{
    (void)state;
    const char *const args[] = {"run", LANES_SO, "--workers", "1", "--bind", "127.0.0.1:0", NULL};
    const char *const env[] = {"REMUDA_FAULT=iopool.thread:11:0:3", NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    for (int i = 0; i < 3; i++) {
        check_served(s, "/io", 503);
        CHECK(reply_field(&r, "Retry-After") != NULL);
        check_served(s, "/loop", 200);
    }
    (void)server_wait_log(s, "io thread refused");
    check_served(s, "/io", 200);
    CHECK_EQ(lines_count(&s->log, "io thread refused"), 1); /* told once in a row */
}

static void with_one_thread_the_others_are_not_missed(void **state)
{
    (void)state;
    const char *const args[] = {"run", LANES_SO, "--workers", "1", "--bind", "127.0.0.1:0", NULL};
    const char *const env[] = {"REMUDA_FAULT=iopool.thread:11:1", NULL}; /* all but the first */
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    struct client *clients[20];
    for (int i = 0; i < 20; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < 20; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
}
#endif

/* Whoever waits for a thread, or has one, is named with its phase. */
static void requests_of_a_killed_worker_are_all_named(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", "1", "--set", "threads=2", NULL);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    struct client *clients[5];
    for (int i = 0; i < 2; i++)
        clients[i] = send_waiting(s, "/wait");
    for (int i = 2; i < 5; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET /io?queued HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    check_served(s, "/loop", 200); /* behind them, so the loop has seen them */
    CHECK(kill(pid, SIGKILL) == 0);
    unsigned n_io = 0, n_queued = 0;
    for (int i = 0; i < 5; i++) {
        const char *lost = server_wait_log(s, "request lost");
        CHECK_EQ(lines_number(lost, "pid"), pid);
        bool is_queued = strstr(lost, "phase=queued") != NULL;
        CHECK_HAS(lost, is_queued ? "/io?queued" : "/wait?file=");
        CHECK_HAS(lost, is_queued ? "phase=queued" : "phase=io");
        n_queued += is_queued;
        n_io += !is_queued;
    }
    CHECK_EQ(n_io, 2);
    CHECK_EQ(n_queued, 3);
    for (int i = 0; i < 5; i++)
        client_expect_close(clients[i]);
    (void)server_wait_log(s, "worker ready");
    check_served(s, "/io", 200);
}

static void handler_that_aborts_on_a_thread_is_named(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = server_start_app(LANES_SO, "--workers", "1", NULL);
    s->is_violent = true;
    struct client *other = send_waiting(s, "/wait");
    struct client *c = client_to(s);
    client_send_text(c, "GET /crash?why=test HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_close(c);
    client_expect_close(other);
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=ABRT");
    (void)server_wait_log(s, "worker ready");
    CHECK_HAS(lines_text(&s->log), "/crash?why=test");
    CHECK_EQ(lines_count(&s->log, "request lost"), 2);
    check_served(s, "/io", 200);
}

SERVER_MAIN(SERVER_TEST(handlers_that_hang_for_ever_cost_a_thread_each),
            SERVER_TEST(handler_that_hangs_without_a_limit_holds_up_nobody),
#ifdef REMUDA_DEBUG
            SERVER_TEST(refused_threads_are_503_until_there_are_some),
            SERVER_TEST(with_one_thread_the_others_are_not_missed),
#endif
            SERVER_TEST(requests_of_a_killed_worker_are_all_named),
            SERVER_TEST(handler_that_aborts_on_a_thread_is_named))
