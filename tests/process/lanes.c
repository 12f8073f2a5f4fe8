/* The lanes inline and io: where handlers run, that the loop goes on while they wait, and what
 * becomes of those that wait too long, or for nobody. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"

/* The thread sanitizer has a thread of its own, for which a loader refuses every app: there all is
 * one process. */
#ifdef __SANITIZE_THREAD__
#define ONE_WORKER "--single"
#else
#define ONE_WORKER "--workers", "1"
#endif

static struct reply r;

static struct server *start(const char *setting)
{
    return server_start_app(LANES_SO, ONE_WORKER, "--set", setting, NULL);
}

/* A request that waits for the file `go`. Returns when its handler runs */
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

/* The same of a route with little time, which may be over before a thread comes to it where all is
 * slow: then it is tried again. */
static struct client *send_waiting_briefly(struct server *s, const char *path, const char *go)
{
    char request[512];
    (void)snprintf(request, sizeof request, "GET %s?file=%s HTTP/1.1\r\nHost: a\r\n\r\n", path,
                   server_path(s, go));
    unsigned before = lines_count(&s->log, "lanes waits");
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        struct client *c = client_to(s);
        client_send_text(c, request);
        for (bool is_over = false; !is_over;) {
            is_over = !client_is_quiet(c);
            (void)lines_take(&s->log);
            if (lines_count(&s->log, "lanes waits") > before)
                return c;
            CHECK_SAYING(patience_turn(deadline), "the handler of %s is never run", path);
        }
        client_close(c);
    }
}

static void open_gate(struct server *s, const char *go)
{
    (void)server_write_file(s, go, "");
}

static void expect(struct client *c, int status, const char *body)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, status);
    if (body)
        CHECK_TEXT(r.body.data, body);
}

/* ---- where ---- */

static void check_lane(struct server *s, const char *path, const char *where)
{
    char request[128], expected[64];
    struct client *c = client_to(s);
    check_context("%s", path);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    (void)snprintf(expected, sizeof expected, "%s %s\n", where, where);
    client_exchange(c, &r, request);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, expected); /* of the filter in front, and of the handler */
    CHECK_TEXT(reply_field(&r, "X-Began"), where);
    CHECK_TEXT(reply_field(&r, "X-Ended"), where);
    client_close(c);
}

static void filters_and_handler_run_in_the_lane_of_the_route(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    check_lane(s, "/loop", "loop");
    check_lane(s, "/io", "thread");
#ifdef __SANITIZE_THREAD__
    check_lane(s, "/compute", "thread"); /* there is no other process */
#else
    check_lane(s, "/compute", "loop"); /* the main thread, of a compute worker */
#endif
    check_lane(s, "/auto", "thread"); /* at first */
}

static void settings_choose_another_lane(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, ONE_WORKER, "--set", "routes.GET /loop.lane=io",
                                        "--set", "routes.GET /io.lane=inline", NULL);
    check_lane(s, "/loop", "thread");
    check_lane(s, "/io", "loop");
}

static void everything_runs_on_threads_in_single_mode_too(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *const args[] = {"run", LANES_SO, "--single", "--bind", "127.0.0.1:0", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    check_lane(s, "/loop", "loop");
    check_lane(s, "/io", "thread");
}

/* ---- the loop goes on ---- */

static void loop_serves_others_while_handlers_wait(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    struct client *waiting[10];
    for (int i = 0; i < 10; i++)
        waiting[i] = send_waiting(s, "/wait", "go");
    struct load *load = load_start(server_address(s, 0), 4, "/loop", "loop loop\n");
    load_wait_answers(load, 500);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
    for (int i = 0; i < 10; i++)
        CHECK(client_is_quiet(waiting[i]));
    open_gate(s, "go");
    for (int i = 0; i < 10; i++)
        expect(waiting[i], 200, "it came, in time\n");
}

static void threads_come_with_the_work_and_no_more_than_allowed(void **state)
{
    (void)state;
    struct server *s = start("threads=3");
    pid_t worker = server_worker_pid(s, 0), pid = worker ? worker : s->pid;
#ifndef __SANITIZE_THREAD__ /* it has its own as soon as there is a first one */
    CHECK_EQ(procs_thread_count(pid), 1);
#endif
    free(client_get(s, "/io", 200));
    unsigned before = procs_thread_count(pid) - 1;
    struct client *waiting[3];
    for (int i = 0; i < 3; i++)
        waiting[i] = send_waiting(s, "/wait", "go");
    CHECK_EQ(procs_thread_count(pid), before + 3);
    struct client *queued = client_to(s);
    client_send_text(queued, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    free(client_get(s, "/loop", 200)); /* behind it, so the loop has seen it */
    CHECK(client_is_quiet(queued));
    CHECK_EQ(procs_thread_count(pid), before + 3);
    open_gate(s, "go");
    for (int i = 0; i < 3; i++)
        expect(waiting[i], 200, NULL);
    expect(queued, 200, "thread thread\n");
}

static void full_queue_is_503_at_once(void **state)
{
    (void)state;
    enum { INFLIGHT = 16 };
    struct server *s = server_start_app(LANES_SO, ONE_WORKER, "--set", "inflight=16", "--set",
                                        "threads=1", "--set", "health_check=/later", NULL);
    struct client *waiting[INFLIGHT] = {send_waiting(s, "/wait", "go")};
    for (int i = 1; i < INFLIGHT; i++) {
        waiting[i] = client_to(s);
        client_send_text(waiting[i], "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    free(client_get(s, "/loop", 200));
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 503);
    CHECK_TEXT(reply_field(&r, "Retry-After"), "1");
    CHECK(!r.is_closing);
    client_exchange(c, &r, "GET /loop HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    (void)server_wait_log(s, "io queue full");
    struct client *health = client_to(s); /* is not told that there is too much to do: it waits */
    client_send_text(health, "GET /later?please HTTP/1.1\r\nHost: a\r\n\r\n");
    free(client_get(s, "/loop", 200));
    CHECK(client_is_quiet(health));
    open_gate(s, "go");
    for (int i = 0; i < INFLIGHT; i++)
        expect(waiting[i], 200, NULL);
    expect(health, 200, "later, thread\n");
    client_exchange(c, &r, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

static void pipelined_requests_of_both_lanes_are_answered_in_order(void **state)
{
    (void)state;
    enum { ROUNDS = 30 };
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    for (int i = 0; i < ROUNDS; i++)
        client_send_text(c, "GET /loop HTTP/1.1\r\nHost: a\r\n\r\nGET /io HTTP/1.1\r\nHost: a\r\n"
                            "\r\nGET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
                            "POST /back HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
                            "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < ROUNDS; i++) {
        expect(c, 200, "loop loop\n");
        expect(c, 200, "thread thread\n");
        expect(c, 200, "0 thread\n1 thread\n2 thread\n");
        expect(c, 200, "body");
        expect(c, 200, "later, thread\n");
    }
}

static void many_clients_use_the_lane_at_once(void **state)
{
    (void)state;
    struct server *s = start("threads=8");
    struct load *io = load_start(server_address(s, 0), 32, "/io", "thread thread\n");
    struct load *large = load_start(server_address(s, 0), 8, "/reference?n=2000", NULL);
    struct load *later = load_start(server_address(s, 0), 8, "/later", "later, thread\n");
    load_wait_answers(io, 2000 / patience_factor());
    load_wait_answers(large, 200 / patience_factor());
    load_wait_answers(later, 200 / patience_factor());
    struct load_result result = load_stop(io);
    load_check(&result, 0);
    result = load_stop(large);
    load_check(&result, 0);
    result = load_stop(later);
    load_check(&result, 0);
    free(client_get(s, "/owed", 200));
}

/* ---- all that an inline handler may do ---- */

static void bodies_in_memory_and_in_files_are_the_handlers(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 30000, 1 << 20, 3 << 20};
    struct server *s =
        server_start_app(LANES_SO, ONE_WORKER, "--set", "body_buffer_size=1MiB", NULL);
    struct client *c = client_to(s);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *body = post_make(sizes[i]);
        check_context("%zu octets", sizes[i]);
        CHECK(post_send(c, "/back", "", body, sizes[i]));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_BYTES(r.body.data, r.body.len, body, sizes[i]);
        CHECK_TEXT(reply_field(&r, "X-Spooled"), sizes[i] > 1 << 20 ? "yes" : "no");
        CHECK(post_send_chunked(c, "/back", body, sizes[i], 7000));
        client_read(c, &r, false);
        CHECK_BYTES(r.body.data, r.body.len, body, sizes[i]);
        free(body);
    }
}

static void forms_and_files_work_on_threads(void **state)
{
    (void)state;
    static const char form[] = "--x\r\nContent-Disposition: form-data; name=\"file\"; "
                               "filename=\"a\"\r\nContent-Type: text/x-a\r\n\r\npart\r\n--x--\r\n";
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    CHECK(post_send(c, "/part", "Content-Type: multipart/form-data; boundary=x\r\n", form,
                    sizeof form - 1));
    expect(c, 200, "part");
    char request[512];
    (void)server_write_file(s, "served.txt", "a file\n");
    (void)snprintf(request, sizeof request,
                   "GET /file?folder=%s&name=served.txt HTTP/1.1\r\nHost: a\r\n\r\n", s->folder);
    client_exchange(c, &r, request);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "a file\n");
    CHECK(reply_field(&r, "ETag") != NULL);
    client_exchange(c, &r, "GET /reference?n=3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.body.len, 3000000);
    client_exchange(c, &r, "GET /owed HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "0\n");
}

static void producers_may_block(void **state)
{
    (void)state;
    char request[512];
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /stream?n=4&file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    client_read_head(c, &r);
    free(client_get(s, "/loop", 200));
    open_gate(s, "go");
    client_read_raw(c, 4 * strlen("9\r\n0 thread\n\r\n") + strlen("0\r\n\r\n"));
    CHECK_HAS(c->in.data, "0 thread\n");
    CHECK_HAS(c->in.data, "3 thread\n\r\n0\r\n\r\n");
}

static void consumers_may_block(void **state)
{
    (void)state;
    enum { LEN = 2000000 };
    char target[300], expected[64];
    struct server *s = start("strict=no");
    char *body = post_make(LEN);
    (void)snprintf(expected, sizeof expected, "counted %d, thread\n", LEN);
    struct client *c = client_to(s);
    for (int round = 0; round < 4; round++) {
        const char *path = round % 2 ? "/count-whole" : "/count";
        if (round < 2)
            open_gate(s, "open");
        (void)snprintf(target, sizeof target, "%s?file=%s", path, server_path(s, "open"));
        CHECK(round < 2 ? post_send(c, target, "", body, LEN)
                        : post_send_chunked(c, target, body, LEN, 5000));
        expect(c, 200, expected);
    }
    free(body);
    (void)snprintf(target, sizeof target, "/count?file=%s", server_path(s, "go"));
    CHECK(post_send(c, target, "", "short", 5));
    free(client_get(s, "/loop", 200));
    CHECK(client_is_quiet(c));
    open_gate(s, "go");
    expect(c, 200, "counted 5, thread\n");
}

static void answers_may_be_put_off_from_threads(void **state)
{
    (void)state;
    char request[512];
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /later?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "lanes defers");
    free(client_get(s, "/io", 200));
    CHECK(client_is_quiet(c));
    open_gate(s, "go");
    expect(c, 200, "later, thread\n");
    client_send_text(c, "GET /later?file=/nonexistent HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log(s, "lanes defers");
    client_close(c);
    (void)server_wait_log(s, "lanes errand for nobody");
}

/* ---- too long, or for nobody ---- */

static void handler_that_takes_too_long_is_answered_504_by_the_loop(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, ONE_WORKER, "--set", "threads=1", "--set",
                                        "accesslog=access", NULL);
    struct client *c = send_waiting_briefly(s, "/wait-briefly", "go");
    expect(c, 504, NULL);
    CHECK(!r.is_closing);
    const char *line = server_wait_log(s, "io thread left behind");
    CHECK_HAS(line, "route=\"/wait-briefly\"");
    CHECK_HAS(line, "trace=");
    /* the same connection, and another thread in the place of the one that is left behind */
    client_exchange(c, &r, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    open_gate(s, "go");
    (void)server_wait_log(s, "lanes has waited");
    client_exchange(c, &r, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

static void request_that_waits_for_a_thread_too_long_is_504_and_never_run(void **state)
{
    (void)state;
    struct server *s = start("threads=1");
    struct client *c = send_waiting(s, "/wait", "go");
    struct client *queued = client_to(s);
    client_exchange(queued, &r, "GET /wanted-briefly HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 504);
    open_gate(s, "go");
    expect(c, 200, NULL);
    free(client_get(s, "/io", 200));
    CHECK_EQ(lines_count(&s->log, "lanes is cancelled"), 0);
    CHECK_EQ(lines_count(&s->log, "io thread left behind"), 0);
}

static void handler_learns_that_nobody_waits(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    struct client *c = client_to(s);
    do { /* where everything is slow its time may be over before a thread comes to it */
        client_exchange(c, &r, "GET /wanted-briefly HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(r.status, 504);
    } while (lines_count(&s->log, "lanes waits") == 0);
    (void)server_wait_log(s, "lanes is cancelled");
    for (int i = 0; i < 10; i++) {
        client_send_text(c, "GET /wanted HTTP/1.1\r\nHost: a\r\n\r\n");
        (void)server_wait_log(s, "lanes waits");
        if (i % 2)
            client_abort(c);
        else
            client_close(c);
        (void)server_wait_log(s, "lanes is cancelled");
        c = client_to(s);
    }
    client_exchange(c, &r, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

/* Otherwise impatient clients of handlers that hang would take one thread after the other. */
static void handler_without_a_client_does_not_keep_its_thread_from_others(void **state)
{
    (void)state;
    struct server *s = start("threads=1");
    struct client *c = send_waiting_briefly(s, "/wait-briefly", "go");
    client_close(c);
    const char *line = server_wait_log(s, "io thread left behind");
    CHECK_HAS(line, "route=\"/wait-briefly\"");
    free(client_get(s, "/io", 200));
    open_gate(s, "go"); /* for whom it is open: its worker may have been replaced by now */
    free(client_get(s, "/io", 200));
}

static void stream_that_takes_too_long_is_cut(void **state)
{
    (void)state;
    char request[512];
    struct server *s = start("strict=no");
    struct client *c = NULL;
    (void)snprintf(request, sizeof request,
                   "GET /stream-briefly?file=%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                   server_path(s, "go"));
    do { /* where everything is slow its first thread may be late, which is another story */
        c = client_to(s);
        client_send_text(c, request);
        client_read_all(c);
    } while (strstr(c->in.data, "HTTP/1.1 504"));
    CHECK_HAS(c->in.data, "HTTP/1.1 200 OK");
    CHECK_HAS(c->in.data, "0 thread");
    CHECK_HAS_NOT(c->in.data, "\r\n0\r\n\r\n");
    open_gate(s, "go");
    (void)server_wait_log(s, "io thread left behind");
    char *owed;
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (strcmp(owed = client_get(s, "/owed", 200), "0\n") != 0) {
        free(owed);
        CHECK(patience_turn(deadline));
    }
    free(owed);
}

static void slow_handler_on_the_loop_is_told(void **state)
{
    (void)state;
    struct server *s = start("slow_callback=500ms");
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /slow?ms=600 HTTP/1.1\r\nHost: a\r\nX-Request-ID: dawdler\r\n\r\n");
    const char *line = server_wait_log(s, "handler held the loop");
    CHECK_HAS(line, "route=\"/slow\"");
    CHECK_HAS(line, "trace=dawdler");
    CHECK(lines_number(line, "held_ms") >= 500);
    client_exchange(c, &r, "GET /slow?ms=0 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(lines_count(&s->log, "handler held the loop"), 1);
}

static void slow_producer_on_the_loop_is_told_too(void **state)
{
    (void)state;
    struct server *s = start("slow_callback=20ms");
    struct client *c = client_to(s);
    client_exchange(c, &r,
                    "GET /slow-stream?ms=100 HTTP/1.1\r\nHost: a\r\nX-Request-ID: dawdler\r\n\r\n");
    CHECK_TEXT(r.body.data, "slow\n");
    const char *line = server_wait_log(s, "handler held the loop");
    CHECK_HAS(line, "route=\"/slow-stream\"");
    CHECK_HAS(line, "trace=dawdler");
    CHECK(lines_number(line, "held_ms") >= 90);
}

/* Nobody would see a worker that turns in a circle but its CPUs. */
static void producer_that_never_waits_is_made_to_and_told(void **state)
{
    (void)state;
    static const char *const paths[] = {"/idle-stream", "/idle-stream-io"};
    for (size_t i = 0; i < 2; i++) {
        char request[128], route[64];
        struct server *s = start("strict=no");
        struct client *c = client_to(s);
        check_context("%s", paths[i]);
        (void)snprintf(request, sizeof request, "GET %s?n=50 HTTP/1.1\r\nHost: a\r\n\r\n",
                       paths[i]);
        (void)snprintf(route, sizeof route, "route=\"%s\"", paths[i]);
        client_exchange(c, &r, request);
        CHECK_TEXT(r.body.data, "at last\n");
        CHECK_HAS(server_wait_log(s, "producer returns 0 again and again"), route);
        client_exchange(c, &r, request);
        CHECK_EQ(lines_count(&s->log, "producer returns 0 again and again"), 1);
    }
}

/* ---- stopping ---- */

static void stop_waits_for_handlers_on_threads(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, ONE_WORKER, "--set", "threads=1", "--set",
                                        "graceful_timeout=1h", NULL);
    struct client *running = send_waiting(s, "/wait", "go");
    struct client *queued = client_to(s);
    client_send_text(queued, "GET /io HTTP/1.1\r\nHost: a\r\n\r\n");
    struct client *left = client_to(s);
    free(client_get(s, "/loop", 200));
    client_close(left);
    server_signal(s, SIGTERM);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_try(server_address(s, 0)) == 0)
        CHECK(patience_turn(deadline));
    CHECK(client_is_quiet(running) && client_is_quiet(queued));
    open_gate(s, "go");
    expect(running, 200, "it came, in time\n");
    expect(queued, 200, "thread thread\n");
    client_expect_close(running);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* What it does may be worth finishing: an order that is being written, say. */
static void stop_waits_for_a_handler_whose_client_has_left(void **state)
{
    (void)state;
    struct server *s = start("graceful_timeout=1h");
    struct client *c = send_waiting(s, "/wait", "go");
    client_close(c);
    free(client_get(s, "/loop", 200));
    server_signal(s, SIGTERM);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (client_try(server_address(s, 0)) == 0)
        CHECK(patience_turn(deadline));
    open_gate(s, "go");
    CHECK_EQ(server_wait_exit(s), 0);
    (void)server_wait_log(s, "lanes has waited");
}

static void stop_does_not_wait_for_what_took_too_long(void **state)
{
    (void)state;
    struct server *s = start("graceful_timeout=1h");
    struct client *c = send_waiting_briefly(s, "/wait-briefly", "never");
    expect(c, 504, NULL);
    client_close(c);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "handlers of the io lane are cut off");
}

static void stop_does_not_wait_longer_than_graceful_timeout(void **state)
{
    (void)state;
    struct server *s = start("graceful_timeout=1s");
    s->is_violent = true;
    struct client *c = send_waiting(s, "/wait", "never");
    server_signal(s, SIGTERM);
    client_expect_close(c);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "/wait?file="); /* it is named */
}

static unsigned count_in(const char *text, const char *wanted)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
        n++;
    return n;
}

/* Its client may have left long ago: the handler is named all the same, and its request has the
 * line in the access log that others get when they end. */
static void handlers_cut_off_in_the_end_have_their_lines(void **state)
{
    (void)state;
    static const char *const modes[][3] = {{ONE_WORKER}, {"--single"}};
    for (size_t i = 0; i < 2; i++) {
        check_context("%s", modes[i][0]);
        struct server *s = server_new();
        const char *args[16] = {"run",   LANES_SO,           "--bind", "127.0.0.1:0",
                                "--set", "accesslog=-",      "--set",  "graceful_timeout=1s",
                                "--set", "request_timeout=0"};
        for (size_t n = 10, j = 0; j < 3 && modes[i][j]; j++)
            args[n++] = modes[i][j];
        server_launch(s, &(struct server_options){.args = args});
        server_wait_ready(s);
        s->is_violent = true;
        struct client *left = send_waiting(s, "/wait", "never");
        struct client *stays = send_waiting(s, "/wanted", "never");
        client_close(left);
        free(client_get(s, "/loop", 200));
        server_signal(s, SIGTERM);
        client_expect_close(stays);
        CHECK_EQ(server_wait_exit(s), 0);
        CHECK_EQ(count_in(lines_text(&s->out), "\"GET /wait?file="), 1);
        CHECK_EQ(count_in(lines_text(&s->out), "\"GET /wanted?file="), 1);
        CHECK_HAS(lines_text(&s->log), "handler cut off");
    }
}

static void single_process_that_cuts_handlers_leaves_no_socket(void **state)
{
    (void)state;
    struct server *s = server_new();
    char bind[300];
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "socket"));
    const char *const args[] = {"run", LANES_SO, "--single", "--bind", bind, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    struct client *c = send_waiting_briefly(s, "/wait-briefly", "never");
    expect(c, 504, NULL);
    CHECK(access(server_path(s, "socket"), F_OK) == 0);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "handlers of the io lane are cut off");
    CHECK(access(server_path(s, "socket"), F_OK) != 0);
}

SERVER_MAIN(SERVER_TEST(filters_and_handler_run_in_the_lane_of_the_route),
            SERVER_TEST(settings_choose_another_lane),
            SERVER_TEST(everything_runs_on_threads_in_single_mode_too),
            SERVER_TEST(loop_serves_others_while_handlers_wait),
            SERVER_TEST(threads_come_with_the_work_and_no_more_than_allowed),
            SERVER_TEST(full_queue_is_503_at_once),
            SERVER_TEST(pipelined_requests_of_both_lanes_are_answered_in_order),
            SERVER_TEST(many_clients_use_the_lane_at_once),
            SERVER_TEST(bodies_in_memory_and_in_files_are_the_handlers),
            SERVER_TEST(forms_and_files_work_on_threads), SERVER_TEST(producers_may_block),
            SERVER_TEST(consumers_may_block), SERVER_TEST(answers_may_be_put_off_from_threads),
            SERVER_TEST(handler_that_takes_too_long_is_answered_504_by_the_loop),
            SERVER_TEST(request_that_waits_for_a_thread_too_long_is_504_and_never_run),
            SERVER_TEST(handler_learns_that_nobody_waits),
            SERVER_TEST(handler_without_a_client_does_not_keep_its_thread_from_others),
            SERVER_TEST(stream_that_takes_too_long_is_cut),
            SERVER_TEST(slow_handler_on_the_loop_is_told),
            SERVER_TEST(slow_producer_on_the_loop_is_told_too),
            SERVER_TEST(producer_that_never_waits_is_made_to_and_told),
            SERVER_TEST(stop_waits_for_handlers_on_threads),
            SERVER_TEST(stop_waits_for_a_handler_whose_client_has_left),
            SERVER_TEST(stop_does_not_wait_for_what_took_too_long),
            SERVER_TEST(stop_does_not_wait_longer_than_graceful_timeout),
            SERVER_TEST(handlers_cut_off_in_the_end_have_their_lines),
            SERVER_TEST(single_process_that_cuts_handlers_leaves_no_socket))
