/* Tasks of the compute pool while the processes around them come and go: a reload, a stop, the
 * death of who asked, of who runs it, of the loader. Clients get whole answers or are told, and
 * nothing is left over. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/census.h"
#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define ASKERS 4

static struct client *clients[ASKERS];
static struct reply r;

static struct server *start(const char *setting)
{
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "compute.workers=1", "--set",
                                        setting, "--timeout", "2s", NULL);
    s->is_violent = true;
    return s;
}

static struct client *send_burn(struct server *s, unsigned ms)
{
    char request[96];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /burn?ms=%u HTTP/1.1\r\nHost: a\r\n\r\n", ms);
    client_send_text(c, request);
    return c;
}

/* One runs, the others wait in the queue: sent all at once, as many may wait before the first one
 * runs. */
static void send_burns(struct server *s, unsigned ms)
{
    char waiting[16];
    clients[0] = send_burn(s, ms);
    control_wait_member(s, "compute_workers.0.state", "busy");
    for (int i = 1; i < ASKERS; i++)
        clients[i] = send_burn(s, ms);
    (void)snprintf(waiting, sizeof waiting, "%d", ASKERS - 1);
    control_wait_member(s, "pools.0.queued", waiting);
}

static void expect(struct client *c, int status)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, status);
    client_close(c);
}

static pid_t compute_pid(struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    pid_t pid = (pid_t)control_number(answer, "compute_workers.0.pid");
    free(answer);
    CHECK(pid > 0);
    return pid;
}

static void ask_again(struct server *s)
{
    free(client_get(s, "/burn?ms=1", 200));
    free(client_get(s, "/", 200));
}

static void tasks_that_wait_are_finished_by_their_own_generation(void **state)
{
    (void)state;
    struct server *s = start("compute.queue=50");
    pid_t old = compute_pid(s);
    send_burns(s, 300);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    CHECK(procs_is_alive(old));
    for (int i = 0; i < ASKERS; i++)
        expect(clients[i], 200);
    (void)server_wait_log(s, "generation gone");
    CHECK(!procs_is_alive(old));
    ask_again(s);
    s->is_violent = false;
}

static void worker_of_a_generation_that_leaves_is_replaced_while_it_is_needed(void **state)
{
    (void)state;
    struct server *s = start("compute.queue=50");
    pid_t old = compute_pid(s);
    send_burns(s, 300);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    CHECK_EQ(kill(old, SIGKILL), 0);
    int n_lost = 0;
    for (int i = 0; i < ASKERS; i++) {
        client_read(clients[i], &r, false);
        CHECK(r.status == 200 || r.status == 500);
        n_lost += r.status == 500;
        client_close(clients[i]);
    }
    CHECK(n_lost <= 1);
    (void)server_wait_log(s, "generation gone");
    ask_again(s);
}

static void stop_waits_for_tasks(void **state)
{
    (void)state;
    struct server *s = start("compute.queue=50");
    send_burns(s, 200);
    server_signal(s, SIGTERM);
    for (int i = 0; i < ASKERS; i++)
        expect(clients[i], 200);
    CHECK_EQ(server_wait_exit(s), 0);
    s->is_violent = false;
}

/* The web worker that has a task out, by what it has in hand. */
static pid_t asker_pid(struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    pid_t pid = 0;
    for (int i = 0; i < 2; i++) {
        char path[48];
        (void)snprintf(path, sizeof path, "workers.%d.inflight", i);
        if (control_number(answer, path) == 0)
            continue;
        (void)snprintf(path, sizeof path, "workers.%d.pid", i);
        pid = (pid_t)control_number(answer, path);
    }
    free(answer);
    CHECK(pid > 0);
    return pid;
}

static void kill_the_asker(struct server *s, const char *killed)
{
    ask_again(s);
    struct census before = census_take(s);
    pid_t worker = compute_pid(s);
    struct client *c = send_burn(s, 1000);
    control_wait_member(s, "compute_workers.0.state", "busy");
    CHECK_EQ(kill(asker_pid(s), SIGKILL), 0);
    client_expect_close(c);
    client_close(c);
    (void)server_wait_log(s, "worker died");
    if (killed)
        CHECK_HAS(server_wait_log(s, "compute worker died"), killed);
    census_wait_same(s, &before);
    CHECK_EQ(compute_pid(s) != worker, killed != NULL);
    ask_again(s);
}

static void tasks_of_a_web_worker_that_is_killed_end_with_it(void **state)
{
    (void)state;
    kill_the_asker(start("compute.on_disconnect=cancel"), "nobody waits for its task any more");
}

/* Run one after the other they would take minutes. One in another pool is finished, so all that
 * belongs to the dead one stays where it is. */
static void or_wait_for_a_worker_and_nobody_waits_for_them(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "compute.timeout=10m", "--set", "pools.other.on_disconnect=finish",
                         "--set", "pools.other.workers=1", "--set", "routes.GET /auto.lane=compute",
                         "--set", "routes.GET /auto.pool=other", "--graceful-timeout", "1s", NULL);
    s->is_violent = true;
    pid_t worker = compute_pid(s);
    struct client *c = client_to(s);
    client_send_text(c, "GET /auto?wait=100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "compute_workers.1.state", "busy");
    send_burns(s, 60000);
    pid_t asker = (pid_t)lines_number(lines_find_last(&s->log, "worker ready"), "pid");
    CHECK_EQ(kill(asker, SIGKILL), 0);
    (void)server_wait_log(s, "compute worker died");
    ask_again(s);
    CHECK(compute_pid(s) != worker);
}

static void or_are_finished_where_the_pool_says_so(void **state)
{
    (void)state;
    kill_the_asker(start("compute.on_disconnect=finish"), NULL);
}

static struct server *start_crashing(void)
{
    server_let_crash();
    struct server *s = server_start_app(
        REMUDA_DEMO_SO, "--set", "compute.workers=1", "--set", "compute.breaker.failures=0",
        "--set", "pools.other.workers=1", "--set", "routes.GET /auto.lane=compute", "--set",
        "routes.GET /auto.pool=other", "--set", "pools.other.timeout=10m", NULL);
    s->is_violent = true;
    return s;
}

static void crash_ten_times(struct server *s)
{
    char path[32];
    for (int i = 0; i < 8 + 2; i++) {
        (void)snprintf(path, sizeof path, "/crash?n=%d", i);
        free(client_get(s, path, 500));
    }
}

/* Each may have left an answer that a web worker still sends; who is stopped lets go of none. */
static void dead_that_nobody_lets_go_of_have_a_bound(void **state)
{
    (void)state;
    struct server *s = start_crashing();
    struct client *held = client_to(s);
    client_send_text(held, "GET /auto?wait=100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "compute_workers.1.state", "busy");
    pid_t holder = asker_pid(s);
    CHECK_EQ(kill(holder, SIGSTOP), 0);
    crash_ten_times(s);
    CHECK_EQ(lines_number(server_wait_log(s, "compute worker not hired"), "one_of_them"), holder);
    struct client *c = send_burn(s, 1);
    free(client_get(s, "/", 200));
    CHECK_EQ(kill(holder, SIGCONT), 0);
    expect(c, 200);
    client_close(held);
}

/* So no web worker that is in a handler for long keeps a pool waiting that it has nothing of. */
static void who_is_stopped_and_holds_nothing_is_not_waited_for(void **state)
{
    (void)state;
    struct server *s = start_crashing();
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    pid_t idle = (pid_t)control_number(answer, "workers.1.pid");
    free(answer);
    CHECK(idle > 0);
    CHECK_EQ(kill(idle, SIGSTOP), 0);
    crash_ten_times(s);
    ask_again(s);
    CHECK_EQ(kill(idle, SIGCONT), 0);
    CHECK_EQ(lines_count(&s->log, "compute worker not hired"), 0);
}

static void one_that_is_stopped_while_idle_is_found(void **state)
{
    (void)state;
    struct server *s = start("compute.queue=50");
    pid_t pid = compute_pid(s);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    (void)server_wait_log(s, "compute worker hangs");
    CHECK_EQ(lines_number(server_wait_log(s, "compute worker died"), "pid"), pid);
    ask_again(s);
}

/* Its first chunk is there, nine are to come. */
static struct client *begin_stream(struct server *s)
{
    struct client *c = client_to(s);
    client_send_text(c, "GET /stream?n=10&ms=100 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    CHECK_EQ(r.status, 200);
    CHECK(client_wait(c));
    return c;
}

static void stream_of_a_generation_that_leaves_is_whole(void **state)
{
    (void)state;
    struct server *s = start("routes.GET /stream.lane=compute");
    struct client *c = client_to(s);
    client_send_text(c, "GET /stream?n=5&ms=100 HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "compute_workers.0.state", "busy");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK(r.is_chunked);
    CHECK_HAS(r.body.data, "chunk 5 of 5");
    client_close(c);
    (void)server_wait_log(s, "generation gone");
    s->is_violent = false;
}

static void stream_whose_worker_dies_never_looks_whole(void **state)
{
    (void)state;
    struct server *s = start("routes.GET /stream.lane=compute");
    struct client *c = begin_stream(s);
    CHECK_EQ(kill(compute_pid(s), SIGKILL), 0);
    client_read_all(c);
    CHECK_HAS_NOT(c->in.data, "\r\n0\r\n");
    client_close(c);
    (void)server_wait_log(s, "compute worker died");
    ask_again(s);
}

/* Whoever replaces the worker is forked by the next loader. */
static void loader_and_worker_that_are_killed_are_replaced(void **state)
{
    (void)state;
    struct server *s = start("compute.queue=50");
    pid_t loader = (pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid");
    struct census before = census_take(s);
    for (int i = 0; i < 3; i++)
        ask_again(s);
    control_wait_member(s, "tasks", "3");
    CHECK_EQ(kill(loader, SIGKILL), 0);
    CHECK_EQ(kill(compute_pid(s), SIGKILL), 0);
    (void)server_wait_log(s, "loader ready");
    ask_again(s);
    control_wait_member(s, "tasks", "4"); /* no counter falls with who has counted */
    census_wait_same(s, &before);
}

static void upgrade_finishes_tasks(void **state)
{
    (void)state;
    struct server *s = start("compute.queue=50");
    send_burns(s, 300);
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master ready");
    server_signal(s, SIGTERM);
    for (int i = 0; i < ASKERS; i++)
        expect(clients[i], 200);
    CHECK_EQ(server_wait_succession(s), 0);
    ask_again(s);
    s->is_violent = false;
}

/* Between two tasks, and with another one there first. */
static void worn_workers_are_replaced_and_lose_nothing(void **state)
{
    (void)state;
    struct server *s = start("compute.max_tasks=3");
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++)
            free(client_get(s, "/burn?ms=1", 200));
        (void)server_wait_log(s, "compute worker worn");
        (void)server_wait_log(s, "compute worker ended");
    }
    s->is_violent = false;
}

static void app_without_heavy_routes_has_no_pool(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/probe.so", NULL);
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_HAS(answer, "\"pools\":[]");
    CHECK_HAS(answer, "\"compute_workers\":[]");
    CHECK_EQ(procs_fd_count_like(s->pid, "/memfd:remuda-segment"), 0);
    free(answer);
}

SERVER_MAIN(SERVER_TEST(tasks_that_wait_are_finished_by_their_own_generation),
            SERVER_TEST(worker_of_a_generation_that_leaves_is_replaced_while_it_is_needed),
            SERVER_TEST(stop_waits_for_tasks),
            SERVER_TEST(tasks_of_a_web_worker_that_is_killed_end_with_it),
            SERVER_TEST(or_wait_for_a_worker_and_nobody_waits_for_them),
            SERVER_TEST(or_are_finished_where_the_pool_says_so),
            SERVER_TEST(dead_that_nobody_lets_go_of_have_a_bound),
            SERVER_TEST(who_is_stopped_and_holds_nothing_is_not_waited_for),
            SERVER_TEST(one_that_is_stopped_while_idle_is_found),
            SERVER_TEST(stream_of_a_generation_that_leaves_is_whole),
            SERVER_TEST(stream_whose_worker_dies_never_looks_whole),
            SERVER_TEST(loader_and_worker_that_are_killed_are_replaced),
            SERVER_TEST(upgrade_finishes_tasks),
            SERVER_TEST(worn_workers_are_replaced_and_lose_nothing),
            SERVER_TEST(app_without_heavy_routes_has_no_pool))
