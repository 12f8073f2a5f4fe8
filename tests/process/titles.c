/* What ps(1) shows of each process, in each of the ways of proc_title. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static void wait_title(pid_t pid, const char *expected)
{
    char seen[512];
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (strcmp(procs_command(pid, seen, sizeof seen), expected) != 0)
        CHECK_SAYING(patience_turn(deadline), "pid %d shows \"%s\", not \"%s\"", (int)pid, seen,
                     expected);
}

static void check_comm(pid_t pid, const char *expected)
{
    char name[32];
    CHECK_TEXT(procs_name(pid, name, sizeof name), expected);
}

static pid_t loader_pid(struct server *s)
{
    return (pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid");
}

/* A request whose handler waits until `file` is there. */
static struct client *ask_waiting(struct server *s, const char *file, const char *more)
{
    char request[400];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /wait?file=%s%s HTTP/1.1\r\nHost: a\r\n\r\n", file,
                   more);
    client_send_text(c, request);
    server_wait_log(s, "probe waits");
    return c;
}

static void finish(struct server *s, struct client *c, const char *name)
{
    struct reply r;
    reply_init(&r);
    (void)server_write_file(s, name, "");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    reply_fini(&r);
    client_close(c);
}

static void each_process_says_what_it_is(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "2", NULL);
    wait_title(s->pid, "remuda: master");
    wait_title(loader_pid(s), "remuda: loader gen 1");
    wait_title(server_worker_pid(s, 0), "remuda: web worker 0 gen 1 (idle)");
    wait_title(server_worker_pid(s, 1), "remuda: web worker 1 gen 1 (idle)");
    check_comm(s->pid, "remuda");
    check_comm(loader_pid(s), "remuda-loader");
    check_comm(server_worker_pid(s, 0), "remuda-web");
}

static void a_name_tells_servers_apart(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", "--proc-name", "shop", NULL);
    wait_title(s->pid, "remuda: master [shop]");
    wait_title(loader_pid(s), "remuda: loader gen 1 [shop]");
    wait_title(server_worker_pid(s, 0), "remuda: web worker 0 gen 1 [shop] (idle)");
}

static void a_worker_shows_that_it_is_busy_and_that_it_drains(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    pid_t pid = server_worker_pid(s, 0);
    struct client *c = ask_waiting(s, server_path(s, "a"), "");
    wait_title(pid, "remuda: web worker 0 gen 1 (busy)");
    finish(s, c, "a");
    wait_title(pid, "remuda: web worker 0 gen 1 (idle)");
    c = client_to(s); /* an answer that never ends keeps it busy, and draining */
    client_send_text(c, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_title(pid, "remuda: web worker 0 gen 1 (busy)");
    server_signal(s, SIGTERM);
    wait_title(pid, "remuda: web worker 0 gen 1 (draining)");
    client_close(c);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void the_path_is_shown_when_asked_for_and_the_query_never(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "proc_title=path", NULL);
    pid_t pid = server_worker_pid(s, 0);
    struct client *c = ask_waiting(s, server_path(s, "a"), "&password=hunter2");
    wait_title(pid, "remuda: web worker 0 gen 1 (busy GET /wait)");
    finish(s, c, "a");
    wait_title(pid, "remuda: web worker 0 gen 1 (idle)");
}

static void nothing_but_the_name_where_that_is_wanted(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", "--proc-title", "name", NULL);
    pid_t pid = server_worker_pid(s, 0);
    struct client *c = ask_waiting(s, server_path(s, "a"), "");
    wait_title(pid, "remuda: web worker 0 gen 1");
    finish(s, c, "a");
}

static void the_one_process_has_a_title_too(void **state)
{
    (void)state;
    struct server *s =
        server_start_args("run", "--single", PROBE_SO, "--bind", "127.0.0.1:0", NULL);
    server_wait_ready(s);
    wait_title(s->pid, "remuda: single process (idle)");
}

SERVER_MAIN(SERVER_TEST(each_process_says_what_it_is), SERVER_TEST(a_name_tells_servers_apart),
            SERVER_TEST(a_worker_shows_that_it_is_busy_and_that_it_drains),
            SERVER_TEST(the_path_is_shown_when_asked_for_and_the_query_never),
            SERVER_TEST(nothing_but_the_name_where_that_is_wanted),
            SERVER_TEST(the_one_process_has_a_title_too))
