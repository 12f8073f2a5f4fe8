/* What a handler of the compute lane does at its worst: its own client gets an answer, nobody else
 * notices, the log says what it was, and a fresh worker takes the next task. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_MEMORY_LIMIT false
#else
#define HAS_MEMORY_LIMIT true
#endif

static struct reply r;

/* more  a further setting */
static struct server *start(const char *workers, const char *more)
{
    server_let_crash();
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", workers, "--set", more,
                                        "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    return s;
}

static void ask(struct server *s, const char *target)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_exchange(c, &r, request);
    client_close(c);
}

/* Pid of the worker that answers now, which answers. */
static pid_t who(struct server *s)
{
    int pid = 0;
    ask(s, "/who");
    CHECK_EQ(r.status, 200);
    CHECK_EQ(sscanf(r.body.data, "compute %d", &pid), 1);
    return pid;
}

static void each_end_is_told_to_its_own_client(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int status;
        const char *body; /* a part of it */
        const char *died; /* in the log; NULL: it lives */
        bool is_memory;
    } rows[] = {
        {"/crash", 500, "500", "why=\"crashed\"", false},
        {"/leave", 500, "500", "why=\"the app called exit(0)\"", false},
        {"/close-all", 500, "500", "why=\"it could not go on, and ended itself\"", false},
        {"/loop-briefly", 504, "504", "why=\"its task's time is over\"", false},
        {"/stop-briefly", 504, "504", "why=\"its task's time is over\"", false},
        {"/ignore-refusal", 503, "memory_limit (64 MiB)", "why=\"it was refused memory\"", true},
        {"/threads-take-memory", 503, "memory_limit", "memory_limit_bytes=67108864", true},
    };
    struct server *s = start("compute.workers=1", "compute.memory_limit=64MiB");
    struct load *load = load_start(server_address(s, 0), 4, "/", "hello\n");
    load_wait_settled(load);
    pid_t before = who(s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].is_memory && !HAS_MEMORY_LIMIT)
            continue;
        check_context("%s", rows[i].target);
        server_skip_log(s);
        ask(s, rows[i].target);
        CHECK_EQ(r.status, rows[i].status);
        CHECK_HAS(r.body.data, rows[i].body);
        const char *died = server_wait_log(s, "compute worker died");
        CHECK_EQ(lines_number(died, "pid"), before);
        CHECK_HAS(died, rows[i].died);
        CHECK_HAS(died, "trace=");
        pid_t after = who(s);
        CHECK(after != before);
        before = after;
    }
    check_context("%s", "");
    struct load_result result = load_finish(load);
    load_check(&result, 0);
}

static void a_crash_is_logged_with_its_route(void **state)
{
    (void)state;
    struct server *s = start("compute.workers=1", "strict=no");
    ask(s, "/crash");
    const char *crashed = server_wait_log(s, "compute worker crashed");
    CHECK_HAS(crashed, "route=\"GET /crash\"");
    CHECK_HAS(crashed, "signal=SEGV");
}

static void garbage_in_every_socket_hurts_only_its_writer(void **state)
{
    (void)state;
    static const char *const targets[] = {"/write-garbage", "/write-garbage?n=96",
                                          "/write-garbage?n=272", "/write-garbage?n=256",
                                          "/write-garbage?n=0"};
    struct server *s = start("compute.workers=1", "strict=no");
    struct load *load = load_start(server_address(s, 0), 4, "/", "hello\n");
    load_wait_settled(load);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        check_context("%s", targets[i]);
        ask(s, targets[i]);
        CHECK(r.status == 200 || r.status == 500 || r.status == 504);
        ask(s, "/who"); /* of a worker that may be about to die for it */
        CHECK(r.status == 200 || r.status == 500);
    }
    check_context("%s", "");
    struct load_result result = load_finish(load);
    load_check(&result, 0);
    (void)who(s);
}

/* So that nobody can tell which task it had in hand. What stands there is believed by no sum. */
static void a_seat_that_was_written_over_hides_no_task(void **state)
{
    (void)state;
    static const char *const targets[] = {"/write-seat", "/write-seat?from=0",
                                          "/write-seat?octet=0", "/write-seat?octet=0&from=0"};
    const int n = sizeof targets / sizeof targets[0];
    struct server *s = start("compute.workers=1", "strict=no");
    for (int i = 0; i < n; i++) {
        check_context("%s", targets[i]);
        (void)who(s);
        server_skip_log(s);
        ask(s, targets[i]);
        CHECK_TEXT(r.body.data, "500 Internal Server Error\n"); /* not 504 when its time is over */
        const char *died = server_wait_log(s, "compute worker died");
        CHECK_HAS(died, "task=\"unknown");
        CHECK_HAS(died, " respawn_ms=0");
    }
    check_context("%s", "");
    (void)who(s);
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_EQ(control_number(answer, "pools.0.tasks.crash"), n);
    CHECK(!strstr(answer, "\xff") && !strstr(answer, "ufffd"));
    CHECK(!strstr(answer, "184467440737"));
    free(answer);
}

static struct client *wait_until(struct server *s, const char *name)
{
    char request[512];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /until?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, name));
    client_send_text(c, request);
    return c;
}

/* It is run by who was hired after that death, perhaps into a seat that nobody had before. */
static void task_that_waits_behind_it_is_not_taken_for_lost(void **state)
{
    (void)state;
    struct server *s = start("compute.workers=1", "loglevel=debug");
    struct client *first = wait_until(s, "first");
    (void)server_wait_log(s, "heavy waits");
    struct client *writer = client_to(s);
    client_send_text(writer, "GET /write-seat HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "pools.0.queued", "1");
    struct client *last = wait_until(s, "last");
    control_wait_member(s, "pools.0.queued", "2");
    (void)server_write_file(s, "first", "");
    client_read(first, &r, false);
    CHECK_EQ(r.status, 200);
    client_read(writer, &r, false);
    CHECK_EQ(r.status, 500);
    (void)server_wait_log(s, "task that was sought is in hand");
    (void)server_write_file(s, "last", "");
    client_read(last, &r, false);
    CHECK_TEXT(r.body.data, "it came\n");
    CHECK_EQ(lines_count(&s->log, "task lost: its worker had written over what it had in hand"), 1);
    client_close(first);
    client_close(writer);
    client_close(last);
}

/* Who waits hears of it although others wait in the queue as that worker dies. */
static void sync_worker_that_waits_misses_its_task(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "3", "--set", "worker_class=sync", "--set",
                         "compute.workers=1", "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    struct client *first = wait_until(s, "first");
    (void)server_wait_log(s, "heavy waits");
    struct client *writer = client_to(s);
    client_send_text(writer, "POST /wait/write-seat HTTP/1.1\r\nHost: a\r\n"
                             "Content-Length: 0\r\n\r\n");
    control_wait_member(s, "pools.0.queued", "1");
    struct client *last = wait_until(s, "last");
    control_wait_member(s, "pools.0.queued", "2");
    (void)server_write_file(s, "first", "");
    client_read(first, &r, false);
    CHECK_EQ(r.status, 200);
    client_read(writer, &r, false);
    CHECK_TEXT(r.body.data, "error -5\n"); /* EIO, and not ETIMEDOUT at the end of its time */
    CHECK_HAS(server_wait_log(s, "compute worker died"), "task=\"unknown");
    CHECK(client_is_quiet(last));
    (void)server_write_file(s, "last", "");
    client_read(last, &r, false);
    CHECK_TEXT(r.body.data, "it came\n");
    client_close(first);
    client_close(writer);
    client_close(last);
}

/* Also where the kernel's limit on processes holds nobody back: as root, with all that root may. */
static void no_process_is_made(void **state)
{
    (void)state;
    static const char *const rows[] = {"strict=no", "capabilities=keep", "user=nobody"};
    for (size_t i = 0; i < (geteuid() == 0 ? sizeof rows / sizeof rows[0] : 1); i++) {
        check_context("%s", rows[i]);
        struct server *s = start("compute.workers=1", rows[i]);
        pid_t pid = who(s);
        ask(s, "/fork-bomb");
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "forked 0, Operation not permitted\n");
        CHECK_EQ(who(s), pid);
        s->is_violent = false;
    }
    check_context("%s", "");
}

/* Also of a server that has given up being root: what is in /proc then belongs to root still. */
static void kernel_that_is_out_of_memory_takes_it_first(void **state)
{
    (void)state;
    static const char *const rows[] = {"strict=no", "user=nobody"};
    for (size_t i = 0; i < (geteuid() == 0 ? sizeof rows / sizeof rows[0] : 1); i++) {
        check_context("%s", rows[i]);
        struct server *s = start("compute.workers=1", rows[i]);
        char path[64];
        char *text = NULL;
        size_t len;
        (void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)who(s));
        CHECK_EQ(fd_read_file(path, 64, &text, &len), 0);
        CHECK(atoi(text) >= 500);
        free(text);
        s->is_violent = false;
    }
    check_context("%s", "");
}

/* They are the worker's, not the handler's, and the next one would need some. */
static void leaked_descriptors_cost_nobody_a_request(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/wild.so", "--workers", "1", "--set",
                                        "compute.workers=1", "--set", "compute.nofile=100", NULL);
    for (int i = 0; i < 5; i++) {
        pid_t pid = who(s);
        ask(s, "/leak");
        CHECK_EQ(r.status, 200);
        CHECK_EQ(lines_number(server_wait_log(s, "compute worker leaves"), "pid"), pid);
        CHECK_EQ(lines_number(server_wait_log(s, "compute worker ended"), "pid"), pid);
        CHECK(who(s) != pid);
    }
}

static void children_of_a_handler_end_with_its_worker(void **state)
{
    (void)state;
    int children[2] = {0};
    struct server *s = start("compute.workers=1", "compute.fork=yes");
    ask(s, "/leave-children");
    CHECK_EQ(sscanf(r.body.data, "%d %d", &children[0], &children[1]), 2);
    CHECK(procs_is_alive(children[0]) && procs_is_alive(children[1]));
    ask(s, "/crash");
    CHECK_EQ(r.status, 500);
    for (int i = 0; i < 2; i++) /* of its group, and of a session of its own */
        CHECK_SAYING(procs_wait_gone(children[i], 10000), "child %d lives", i);
    (void)who(s);
}

static void cpu_time_is_limited(void **state)
{
    (void)state;
    struct server *s = start("compute.workers=1", "compute.cpu_limit=1s");
    ask(s, "/loop");
    CHECK_EQ(r.status, 503);
    CHECK_HAS(r.body.data, "cpu_limit (1 s)");
    CHECK_HAS(server_wait_log(s, "compute worker died"), "signal=XCPU");
    (void)who(s);
}

static void hooks_are_called_where_they_belong(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"/hooks", "init, pool_init default, pool_init other, worker_init\n"},
        {"/hooks/default",
         "init, pool_init default, pool_init other, worker_init, compute_init default\n"},
        {"/hooks/other",
         "init, pool_init default, pool_init other, worker_init, compute_init other\n"},
    };
    struct server *s = start("compute.workers=1", "strict=no");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(s, rows[i][0]);
        CHECK_TEXT(r.body.data, rows[i][1]);
    }
    s->is_violent = false;
}

SERVER_MAIN(SERVER_TEST(each_end_is_told_to_its_own_client),
            SERVER_TEST(a_crash_is_logged_with_its_route),
            SERVER_TEST(garbage_in_every_socket_hurts_only_its_writer),
            SERVER_TEST(a_seat_that_was_written_over_hides_no_task),
            SERVER_TEST(task_that_waits_behind_it_is_not_taken_for_lost),
            SERVER_TEST(sync_worker_that_waits_misses_its_task), SERVER_TEST(no_process_is_made),
            SERVER_TEST(kernel_that_is_out_of_memory_takes_it_first),
            SERVER_TEST(leaked_descriptors_cost_nobody_a_request), SERVER_TEST(cpu_time_is_limited),
            SERVER_TEST(hooks_are_called_where_they_belong),
            SERVER_TEST(children_of_a_handler_end_with_its_worker))
