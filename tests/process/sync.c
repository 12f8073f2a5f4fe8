/* Workers of class sync: one connection at a time, whoever is idle takes the next, and nothing that
 * a handler or a client does holds one up for ever. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"
#define HELLO "GET /loop HTTP/1.1\r\nHost: a\r\n\r\n"

static struct reply r;

static struct server *start(const char *workers, const char *setting)
{
    return server_start_app(LANES_SO, "--set", "worker_class=sync", "--workers", workers, "--set",
                            setting, NULL);
}

static struct client *send_waiting(struct server *s, const char *path, const char *go)
{
    char request[512];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s?file=%s HTTP/1.1\r\nHost: a\r\n\r\n", path,
                   server_path(s, go));
    client_send_text(c, request);
    (void)server_wait_log(s, "lanes waits");
    return c;
}

static void expect(struct client *c, int status, const char *body)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, status);
    if (body)
        CHECK_TEXT(r.body.data, body);
}

/* ---- one at a time ---- */

static void handlers_of_lanes_io_and_auto_run_in_the_worker_itself(void **state)
{
    (void)state;
    static const char *const paths[] = {"/loop", "/io", "/auto"};
    struct server *s = start("1", "strict=no");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char *body = client_get(s, paths[i], 200);
        CHECK_TEXT(body, "loop loop\n");
        free(body);
    }
    CHECK_EQ(procs_thread_count(server_worker_pid(s, 0)), 1);
    CHECK_HAS(lines_text(&s->log), "workers of class sync have no threads");
}

static void a_second_connection_waits_for_the_end_of_the_first(void **state)
{
    (void)state;
    struct server *s = start("1", "strict=no");
    struct client *first = send_waiting(s, "/wait", "go");
    struct client *second = client_to(s);
    client_send_text(second, HELLO);
    CHECK(client_is_quiet(second));
    (void)server_write_file(s, "go", "");
    expect(first, 200, "it came, in time\n");
    CHECK(r.is_closing); /* somebody waits */
    expect(second, 200, "loop loop\n");
    CHECK(!r.is_closing); /* nobody does any more */
}

/* Wherever the kernel has queued it: sockets of busy workers' slots too. */
static void an_idle_worker_takes_whoever_comes(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct server *s = start("3", "strict=no");
    struct client *busy[2] = {send_waiting(s, "/wait", "go"), send_waiting(s, "/wait", "go")};
    for (int i = 0; i < COUNT; i++) {
        struct client *c = client_to(s);
        client_exchange(c, &r, HELLO);
        CHECK_EQ(r.status, 200);
        client_close(c);
    }
    CHECK(client_is_quiet(busy[0]) && client_is_quiet(busy[1]));
    (void)server_write_file(s, "go", "");
    expect(busy[0], 200, NULL);
    expect(busy[1], 200, NULL);
}

/* Those that come at the same time wake several workers, each for one of them; who takes another's
 * must not leave its own behind while there are idle ones. */
static void nobody_waits_while_workers_are_idle(void **state)
{
    (void)state;
    enum { ROUNDS = 30, COUNT = 4 };
    struct server *s = start("6", "strict=no");
    for (int round = 0; round < ROUNDS; round++) {
        char request[512], go[16];
        struct client *c[COUNT];
        (void)snprintf(go, sizeof go, "go%d", round);
        (void)snprintf(request, sizeof request,
                       "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                       server_path(s, go));
        for (int i = 0; i < COUNT; i++) {
            c[i] = client_to(s);
            client_send_text(c[i], request);
        }
        for (int i = 0; i < COUNT; i++)
            (void)server_wait_log(s, "lanes waits");
        (void)server_write_file(s, go, "");
        for (int i = 0; i < COUNT; i++) {
            expect(c[i], 200, "it came, in time\n");
            client_close(c[i]);
        }
    }
}

static void keep_alive_lasts_while_nobody_waits(void **state)
{
    (void)state;
    struct server *s = start("1", "strict=no");
    struct client *c = client_to(s);
    for (int i = 0; i < 20; i++) {
        client_exchange(c, &r, HELLO);
        CHECK_EQ(r.status, 200);
        CHECK(!r.is_closing);
    }
    struct client *other = client_to(s);
    client_exchange(other, &r, HELLO); /* the idle one gives way */
    CHECK_EQ(r.status, 200);
    client_expect_close(c);
}

/* Two at once wake an idle worker, which takes one: the other may be known to nobody else. One
 * whose client is idle finds it all the same. */
static void an_idle_client_gives_way_to_who_was_meant_for_another_worker(void **state)
{
    (void)state;
    enum { ROUNDS = 60 };
    struct server *s = start("2", "keepalive=1h");
    for (int round = 0; round < ROUNDS; round++) {
        char request[512], first[16], go[16];
        struct client *c[2];
        (void)snprintf(first, sizeof first, "first%d", round);
        (void)snprintf(go, sizeof go, "go%d", round);
        (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                       server_path(s, go));
        struct client *busy = send_waiting(s, "/wait", first); /* so that it is the other's */
        struct client *idle = client_to(s);
        client_exchange(idle, &r, HELLO);
        (void)server_write_file(s, first, "");
        expect(busy, 200, NULL);
        client_close(busy);
        uint64_t end = clock_now_us() + CLOCK_US_PER_S / 100;
        while (patience_turn(end)) /* only one that waits already can be woken too early */
            continue;
        for (int i = 0; i < 2; i++)
            c[i] = client_to(s);
        for (int i = 0; i < 2; i++)
            client_send_text(c[i], request);
        for (int i = 0; i < 2; i++)
            (void)server_wait_log(s, "lanes waits");
        (void)server_write_file(s, go, "");
        for (int i = 0; i < 2; i++) {
            expect(c[i], 200, "it came, in time\n");
            client_close(c[i]);
        }
        client_close(idle);
    }
}

/* Requests that came together are all answered, also when somebody waits. */
static void pipelined_requests_are_answered_although_somebody_waits(void **state)
{
    (void)state;
    struct server *s = start("1", "strict=no");
    struct client *busy = send_waiting(s, "/wait", "go");
    struct client *c = client_to(s), *other = client_to(s);
    for (int i = 0; i < 10; i++)
        client_send_text(c, HELLO);
    client_send_text(other, HELLO);
    (void)server_write_file(s, "go", "");
    expect(busy, 200, NULL);
    for (int i = 0; i < 10; i++) {
        expect(c, 200, "loop loop\n");
        CHECK(i == 9 || !r.is_closing);
    }
    expect(other, 200, "loop loop\n");
}

/* More than are answered in one go, and behind them what comes in the same moment as the answer
 * that they wait for. */
static void what_comes_with_a_late_answer_waits_its_turn(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct buf requests = {0};
    struct server *s = start("1", "strict=no");
    struct client *c = client_to(s);
    CHECK(buf_printf(&requests, "GET /soon?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                     server_path(s, "go")) == 0);
    for (int i = 0; i < COUNT; i++)
        CHECK(buf_printf(&requests, "%s", HELLO) == 0);
    client_send_text(c, requests.data);
    buf_fini(&requests);
    (void)server_wait_log(s, "lanes waits");
    client_send_text(c, "GET /owed HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_write_file(s, "go", "");
    expect(c, 200, "later, loop\n");
    for (int i = 0; i < COUNT; i++)
        expect(c, 200, "loop loop\n");
    expect(c, 200, "0\n");
}

static void many_clients_at_once_are_all_served(void **state)
{
    (void)state;
    struct server *s = start("3", "strict=no");
    struct load *load = load_start(server_address(s, 0), 24, "/loop", "loop loop\n");
    load_wait_answers(load, 1000 / patience_factor());
    struct load_result result = load_stop(load);
    CHECK_EQ(result.wrong + result.refused, 0);
    CHECK(result.answered >= 1000 / patience_factor());
}

/* ---- slow clients ---- */

/* The queues of both are never empty, and there is one worker. */
static void no_address_starves_behind_another(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_TEST_APPS_DIR "/churn.so", "--worker-class", "sync", "--workers",
                         "1", "--bind", "127.0.0.1:0,127.0.0.1:0", NULL);
    struct load *loads[2];
    for (size_t i = 0; i < 2; i++)
        loads[i] = load_start_closing(server_address(s, i), 8, "/sleep?ms=20", NULL);
    for (size_t i = 0; i < 2; i++)
        load_wait_answers(loads[i], 20);
    for (size_t i = 0; i < 2; i++) {
        struct load_result result = load_finish(loads[i]);
        load_check(&result, 0);
    }
}

static void client_without_a_request_is_in_the_way_for_header_timeout_only(void **state)
{
    (void)state;
    struct server *s = start("1", "header_timeout=1s");
    struct client *c = client_to(s), *other = client_to(s);
    client_send_text(c, "GET /loop HT");
    client_send_text(other, HELLO);
    expect(c, 408, NULL);
    client_close(c);
    expect(other, 200, NULL);
}

static void client_that_reads_nothing_is_cut_off(void **state)
{
    (void)state;
    struct server *s = start("1", "write_timeout=1s");
    struct client *c = client_to(s);
    client_shrink(c);
    client_send_text(c, "GET /reference?n=50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    struct client *other = client_to(s);
    client_exchange(other, &r, "GET /owed HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "0\n");
}

static void client_that_leaves_frees_its_worker(void **state)
{
    (void)state;
    struct server *s = start("1", "strict=no");
    for (int i = 0; i < 4; i++) {
        struct client *c = client_to(s);
        client_send_text(c, i < 2 ? "GET /later?file=/nonexistent HTTP/1.1\r\nHost: a\r\n\r\n"
                                  : "GET /stream?n=1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
        if (i < 2)
            (void)server_wait_log(s, "lanes defers");
        else
            client_read_head(c, &r);
        if (i % 2)
            client_abort(c);
        else
            client_close(c);
        char *owed = client_get(s, "/owed", 200);
        CHECK_TEXT(owed, "0\n");
        free(owed);
    }
    uint64_t deadline = patience_until(PATIENCE_MS); /* the tickets may come in later */
    while (lines_count(&s->log, "lanes errand for nobody") < 2) {
        CHECK(patience_turn(deadline));
        (void)lines_take(&s->log);
    }
}

/* ---- answers that take their time ---- */

static void answers_that_come_later_are_waited_for(void **state)
{
    (void)state;
    char request[512];
    struct server *s = start("1", "request_timeout=1s");
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "later, loop\n");
    (void)snprintf(request, sizeof request, "GET /later?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "never"));
    client_exchange(c, &r, request);
    CHECK_EQ(r.status, 504);
    client_exchange(c, &r, HELLO);
    CHECK_EQ(r.status, 200);
    client_exchange(c, &r, "GET /stream?n=200 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(r.is_chunked);
    CHECK_HAS(r.body.data, "199 loop\n");
}

/* ---- handlers that take too long ---- */

static void check_farewell(struct server *s, struct client *c, const char *method)
{
    client_read(c, &r, strcmp(method, "HEAD") == 0);
    CHECK_EQ(r.status, 504);
    CHECK(r.is_closing);
    CHECK_TEXT(reply_field(&r, "X-Request-ID"), "that-one");
    CHECK(reply_field(&r, "Date") != NULL);
    client_expect_close(c);
    (void)server_wait_log(s, "worker ready");
    free(client_get(s, "/loop", 200));
}

static void handler_that_takes_too_long_is_504_and_costs_its_worker(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "HEAD"};
    server_let_crash();
    struct server *s = start("1", "timeout=1h");
    s->is_violent = true;
    for (size_t i = 0; i < 2; i++) {
        char request[256];
        pid_t pid = server_worker_pid(s, 0);
        struct client *c = client_to(s);
        server_skip_log(s);
        (void)snprintf(request, sizeof request,
                       "%s /wait-briefly?file=/nonexistent HTTP/1.1\r\nHost: a\r\n"
                       "X-Request-ID: that-one\r\n\r\n",
                       methods[i]);
        client_send_text(c, HELLO); /* whose answer is out before */
        client_send_text(c, request);
        expect(c, 200, "loop loop\n");
        check_farewell(s, c, methods[i]);
        CHECK(!procs_is_alive(pid));
    }
    CHECK_HAS(lines_text(&s->log), "signal=ABRT");
    CHECK_HAS(lines_text(&s->log), "trace=that-one");
}

static void hanging_handler_is_504_by_the_watchdog_too(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = start("1", "timeout=1s");
    s->is_violent = true;
    struct client *c = client_to(s);
    server_skip_log(s);
    client_send_text(c, "GET /wait?file=/nonexistent HTTP/1.1\r\nHost: a\r\n"
                        "X-Request-ID: that-one\r\n\r\n");
    check_farewell(s, c, "GET");
}

/* ---- stopping ---- */

static void stop_serves_who_is_there_and_who_waits(void **state)
{
    (void)state;
    struct server *s = start("1", "graceful_timeout=1h");
    struct client *busy = send_waiting(s, "/wait", "go");
    struct client *queued[5];
    for (int i = 0; i < 5; i++) {
        queued[i] = client_to(s);
        client_send_text(queued[i], HELLO);
    }
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    (void)server_write_file(s, "go", "");
    expect(busy, 200, NULL);
    CHECK(r.is_closing); /* since somebody waits, if not for the stop */
    for (int i = 0; i < 5; i++) {
        expect(queued[i], 200, "loop loop\n");
        CHECK(r.is_closing || i == 4);
    }
    while (!r.is_closing) { /* nobody waits; the worker hears of the stop in its own time */
        client_exchange(queued[4], &r, HELLO);
        CHECK_EQ(r.status, 200);
    }
    CHECK_EQ(server_wait_exit(s), 0);
}

static void idle_connection_has_its_last_chance_at_a_stop(void **state)
{
    (void)state;
    struct server *s = start("1", "graceful_timeout=1h");
    struct client *c = client_to(s);
    client_exchange(c, &r, HELLO);
    CHECK(!r.is_closing);
    server_signal(s, SIGTERM);
    do { /* the worker hears of it in its own time */
        client_exchange(c, &r, HELLO);
        CHECK_EQ(r.status, 200);
    } while (!r.is_closing);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void stop_does_not_wait_longer_than_graceful_timeout(void **state)
{
    (void)state;
    struct server *s = start("1", "graceful_timeout=2s");
    s->is_violent = true;
    struct client *c = client_to(s);
    client_send_text(c, "GET /later?file=/nonexistent HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "lanes defers");
    server_signal(s, SIGTERM);
    client_expect_close(c);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "request cut");
}

static void worker_that_gets_term_is_replaced_and_finishes(void **state)
{
    (void)state;
    struct server *s = start("1", "graceful_timeout=1h");
    pid_t pid = server_worker_pid(s, 0);
    struct client *c = send_waiting(s, "/wait", "go");
    CHECK(kill(pid, SIGTERM) == 0);
    (void)server_write_file(s, "go", "");
    expect(c, 200, NULL);
    (void)server_wait_log(s, "worker ready");
    free(client_get(s, "/loop", 200));
    CHECK(procs_wait_gone(pid, PATIENCE_MS));
}

/* From one class to the other and back: nobody is lost on the way, and everybody is on the new one
 * afterwards. */
static void reload_changes_the_class(void **state)
{
    (void)state;
    static const char *const classes[] = {"event", "sync", "event", "sync"};
    struct server *s = server_new();
    char yaml[512];
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(yaml, sizeof yaml,
                       "app: %s\nbind: 127.0.0.1:0\nworkers: 2\nworker_class: %s\n", LANES_SO,
                       classes[i]);
        const char *args[] = {"run", "--config", server_write_file(s, "remuda.yaml", yaml), NULL};
        if (i == 0) {
            server_launch(s, &(struct server_options){.args = args});
            server_wait_ready(s);
        } else {
            struct load *load = load_start(server_address(s, 0), 2, "/owed", "0\n");
            load_wait_settled(load);
            server_signal(s, SIGHUP);
            (void)server_wait_log(s, "generation gone");
            load_wait_settled(load);
            struct load_result result = load_stop(load);
            load_check(&result, 0);
        }
        char *where = client_get(s, "/io", 200);
        CHECK_TEXT(where, strcmp(classes[i], "sync") == 0 ? "loop loop\n" : "thread thread\n");
        free(where);
    }
}

static void health_check_decides_here_too(void **state)
{
    (void)state;
    struct server *good = start("2", "health_check=/later");
    free(client_get(good, "/loop", 200));
    CHECK_EQ(lines_count(&good->log, "lanes defers"), 2);
    const char *const args[] = {"run",       LANES_SO,      "--set", "worker_class=sync",
                                "--bind",    "127.0.0.1:0", "--set", "health_check=/nowhere",
                                "--workers", "1",           NULL};
    struct server *bad = server_start(&(struct server_options){.args = args});
    bad->is_violent = true;
    CHECK_EQ(server_wait_exit(bad), 4);
    CHECK_HAS(lines_text(&bad->log), "health check GET /nowhere answered 404");
}

static void idle_server_sleeps(void **state)
{
    (void)state;
    struct server *s = start("2", "strict=no");
    struct client *idle = client_to(s);
    client_exchange(idle, &r, HELLO);
    unsigned long before =
        procs_cpu_ticks(server_worker_pid(s, 0)) + procs_cpu_ticks(server_worker_pid(s, 1));
    uint64_t end = patience_until(1500);
    while (patience_turn(end))
        continue;
    unsigned long after =
        procs_cpu_ticks(server_worker_pid(s, 0)) + procs_cpu_ticks(server_worker_pid(s, 1));
    CHECK(after - before < 20 * patience_factor()); /* of 300 for two that spin */
}

SERVER_MAIN(SERVER_TEST(handlers_of_lanes_io_and_auto_run_in_the_worker_itself),
            SERVER_TEST(a_second_connection_waits_for_the_end_of_the_first),
            SERVER_TEST(an_idle_worker_takes_whoever_comes),
            SERVER_TEST(nobody_waits_while_workers_are_idle),
            SERVER_TEST(keep_alive_lasts_while_nobody_waits),
            SERVER_TEST(an_idle_client_gives_way_to_who_was_meant_for_another_worker),
            SERVER_TEST(pipelined_requests_are_answered_although_somebody_waits),
            SERVER_TEST(what_comes_with_a_late_answer_waits_its_turn),
            SERVER_TEST(many_clients_at_once_are_all_served),
            SERVER_TEST(no_address_starves_behind_another),
            SERVER_TEST(client_without_a_request_is_in_the_way_for_header_timeout_only),
            SERVER_TEST(client_that_reads_nothing_is_cut_off),
            SERVER_TEST(client_that_leaves_frees_its_worker),
            SERVER_TEST(answers_that_come_later_are_waited_for),
            SERVER_TEST(handler_that_takes_too_long_is_504_and_costs_its_worker),
            SERVER_TEST(hanging_handler_is_504_by_the_watchdog_too),
            SERVER_TEST(stop_serves_who_is_there_and_who_waits),
            SERVER_TEST(idle_connection_has_its_last_chance_at_a_stop),
            SERVER_TEST(stop_does_not_wait_longer_than_graceful_timeout),
            SERVER_TEST(worker_that_gets_term_is_replaced_and_finishes),
            SERVER_TEST(reload_changes_the_class), SERVER_TEST(health_check_decides_here_too),
            SERVER_TEST(idle_server_sleeps))
