/* Handlers hand work to tasks of the app's table, from the lanes inline and io and in every
 * class. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define BODY_BYTES 3000000UL

static struct reply r;

static void post(struct server *s, const char *target, const char *body, size_t len)
{
    char head[200];
    struct client *c = client_to(s);
    (void)snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                   target, len);
    client_send_text(c, head);
    (void)client_send(c, body, len);
    client_read(c, &r, false);
    client_close(c);
}

static void check_answer(struct server *s, const char *target, int status, const char *body)
{
    check_context("%s", target);
    post(s, target, "abc", 3);
    CHECK_EQ(r.status, status);
    CHECK_TEXT(r.body.data, body);
    check_context("%s", "");
}

static void check_reversed(struct server *s, const char *target, size_t n)
{
    char *body = malloc(n);
    CHECK(body != NULL);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    post(s, target, body, n);
    CHECK_EQ(r.status, 200);
    CHECK_EQ(r.body.len, n);
    for (size_t i = 0; i < n; i++)
        if (r.body.data[i] != body[n - 1 - i])
            CHECK_FAIL("octet %zu is wrong", i);
    free(body);
}

static void check_large(struct server *s, const char *target)
{
    check_reversed(s, target, BODY_BYTES);
}

static void check_all(struct server *s, const char *prefix)
{
    static const struct {
        const char *task;
        int status;
        const char *body;
    } rows[] = {{"reverse", 200, "cba"},         {"role", 200, "compute"},
                {"fail", 500, "error 42\n"},     {"crash", 500, "error -5\n"},
                {"loop", 500, "error -110\n"},   {"reverse", 200, "cba"},
                {"nothing", 500, "refused -2\n"}};
    char target[100];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(target, sizeof target, "%s/%s", prefix, rows[i].task);
        check_answer(s, target, rows[i].status, rows[i].body);
    }
    (void)snprintf(target, sizeof target, "%s/reverse", prefix);
    check_large(s, target);
    CHECK_TEXT(reply_field(&r, "X-Arg"), "arg");
}

/* Two hundred payloads for one worker with a queue of 100: none is refused. */
static void check_map(struct server *s, const char *target)
{
    char body[1000], expected[1001];
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (char)('a' + i % 23);
        expected[i - i % 5 + 4 - i % 5] = body[i]; /* each five of them backwards */
    }
    expected[sizeof body] = '\0';
    check_context("%s", target);
    post(s, target, body, sizeof body);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, expected);
    check_context("%s", "");
}

static void many_payloads_come_back_in_order(void **state)
{
    (void)state;
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1",
                                        "--set", "pools.other.workers=1", NULL);
    check_map(s, "/map/reverse?n=5");
    check_map(s, "/map-io/reverse?n=5");
    post(s, "/map/fail?n=1", "abc", 3);
    CHECK_TEXT(r.body.data, "(42)(42)(42)");
    post(s, "/map/reverse", "", 0);
    CHECK_TEXT(r.body.data, "refused -22\n");
    s = server_start_app(HEAVY_SO, "--single", "--set", "pools.other.workers=1", NULL);
    check_map(s, "/map/reverse?n=5");
}

/* Six at a time, for a queue of four: each of them gets its turn, and none is refused. A payload
 * that no slice could hold is refused at once. */
static void many_payloads_share_a_queue_that_is_full(void **state)
{
    (void)state;
    enum { CLIENTS = 6 };
    static char body[BODY_BYTES];
    struct client *clients[CLIENTS];
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "compute.queue=4", "--set", "compute.segment=1MiB", "--set",
                         "pools.other.workers=1", "--set", "pools.other.segment=1MiB", NULL);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "POST /map/reverse?n=1 HTTP/1.1\r\nHost: a\r\n"
                                     "Content-Length: 40\r\n\r\n"
                                     "abcdefghijabcdefghijabcdefghijabcdefghij");
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        client_read(clients[i], &r, false);
        CHECK_TEXT(r.body.data, "abcdefghijabcdefghijabcdefghijabcdefghij");
        client_close(clients[i]);
    }
    post(s, "/map/reverse?n=2000000", body, sizeof body);
    CHECK_TEXT(r.body.data, "refused -90\n");
}

/* Its client gets no more than 500: who wrote it is to know why. */
static void mistakes_of_the_app_are_told(void **state)
{
    (void)state;
    static char body[BODY_BYTES];
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.segment=1MiB", "--set",
                         "pools.other.workers=1", "--set", "pools.other.segment=1MiB", NULL);
    static const char line[] = "mistake of the app: its work can't be handed on";
    post(s, "/offload-or-error/nothing", "abc", 3);
    CHECK_EQ(r.status, 500);
    CHECK_HAS(server_wait_log(s, line), "no task of the app's table has that name");
    CHECK_HAS(lines_find_last(&s->log, line), "route=\"POST /offload-or-error/:task\" trace=");
    post(s, "/offload-or-error/reverse", body, sizeof body);
    CHECK_EQ(r.status, 500);
    CHECK_HAS(server_wait_log(s, line), "payload or result is larger");
    post(s, "/offload-or-error/reverse", "abc", 3);
    CHECK_EQ(r.status, 200);
    CHECK_EQ(lines_count(&s->log, line), 2);
}

/* More of them than may go, and come, by files. */
static void check_large_pieces(struct server *s, const char *target)
{
    enum { PIECE = 66000, PIECES = 75 };
    char *body = malloc((size_t)PIECE * PIECES), text[100];
    CHECK(body != NULL);
    for (size_t i = 0; i < (size_t)PIECE * PIECES; i++)
        body[i] = (char)('a' + i % 23);
    (void)snprintf(text, sizeof text, "%s?n=%d", target, PIECE);
    post(s, text, body, (size_t)PIECE * PIECES);
    CHECK_EQ(r.status, 200);
    CHECK_EQ(r.body.len, (size_t)PIECE * PIECES);
    for (size_t i = 0; i < r.body.len; i++)
        if (r.body.data[i] != body[i - i % PIECE + PIECE - 1 - i % PIECE])
            CHECK_FAIL("octet %zu is wrong", i);
    free(body);
}

static void large_payloads_come_back_in_order(void **state)
{
    (void)state;
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1",
                                        "--set", "pools.other.workers=1", NULL);
    check_large_pieces(s, "/map/reverse");
    check_large_pieces(s, "/map-io/reverse");
}

static struct server *start(const char *class)
{
    server_let_crash();
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--worker-class", class, "--set",
                         "compute.workers=1", "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    return s;
}

static void from_the_loop_and_from_threads(void **state)
{
    (void)state;
    struct server *s = start("event");
    check_all(s, "/offload");
    check_all(s, "/offload-io");
    check_answer(s, "/offload-compute/reverse", 500, "refused -95\n");
}

static void from_sync_workers(void **state)
{
    (void)state;
    check_all(start("sync"), "/offload");
}

/* On a thread, and in a worker whose handlers may block; not on a loop that others need. */
static void handlers_that_may_block_wait(void **state)
{
    (void)state;
    struct server *s = start("event");
    check_all(s, "/wait-io");
    check_answer(s, "/wait/reverse", 500, "refused -35\n");
    check_all(start("sync"), "/wait");
}

/* A payload in memory, not in a file; a result that no slice could hold, and a payload. */
static void large_ones_arrive_by_whatever_way(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"/offload", "/offload-io", "/wait-io"};
    static char body[9000];
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "pools.other.workers=1", "--set", "body_buffer_size=64MiB", NULL);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        char target[100];
        (void)snprintf(target, sizeof target, "%s/reverse", prefixes[i]);
        check_large(s, target);
    }
    s = server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "pools.other.workers=1", "--set", "compute.segment=1MiB", "--set",
                         "pools.other.segment=1MiB", NULL);
    memset(body, 'x', sizeof body);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        char target[100];
        (void)snprintf(target, sizeof target, "%s/grow", prefixes[i]);
        post(s, target, body, sizeof body);
        CHECK_EQ(r.status, 200);
        CHECK_EQ(r.body.len, 100 * sizeof body);
        CHECK(strspn(r.body.data, "x") == r.body.len);
        char *large = calloc(1, BODY_BYTES);
        CHECK(large != NULL);
        post(s, target, large, BODY_BYTES);
        free(large);
        CHECK_TEXT(r.body.data, "refused -90\n");
    }
}

/* Its only worker is busy for longer than anybody waits. */
static void check_late(const char *class, const char *prefix)
{
    char target[100];
    struct client *c;
    struct server *s = server_start_app(
        HEAVY_SO, "--workers", "1", "--worker-class", class, "--set", "compute.workers=1", "--set",
        "pools.other.workers=1", "--set", "request_timeout=8s", NULL);
    s->is_violent = true;
    check_context("%s", class);
    (void)snprintf(target, sizeof target, "%s/time", prefix);
    post(s, target, "", 0);
    CHECK(atoi(r.body.data) > 0 && atoi(r.body.data) < 8000); /* the pool would give 30 s */
    if (strcmp(class, "sync") == 0)                           /* it has one client at a time */
        return;
    c = client_to(s);
    client_send_text(c, "GET /loop HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log_text(s, "heavy loops");
    (void)snprintf(target, sizeof target, "%s/role?ms=700", prefix);
    check_answer(s, target, 500, "error -110\n"); /* not 504, by the server */
    post(s, "/map/role?n=1&ms=200", "abc", 3);    /* each of them */
    CHECK_TEXT(r.body.data, "(-110)(-110)(-110)");
    client_close(c);
    (void)server_wait_log_text(s, "compute worker died");
    check_context("%s", "");
}

static void nobody_waits_past_the_time_of_a_call(void **state)
{
    (void)state;
    check_late("event", "/offload");
    check_late("event", "/offload-io");
    check_late("event", "/wait-io");
    check_late("sync", "/offload");
    check_late("sync", "/wait");
}

/* A body in a spool file goes to the task as it is, and its handler goes on reading it. */
static void tasks_cannot_spoil_the_body_of_their_handler(void **state)
{
    (void)state;
    struct server *s = start("event");
    char *body = malloc(BODY_BYTES);
    CHECK(body != NULL);
    for (size_t i = 0; i < BODY_BYTES; i++)
        body[i] = (char)('a' + i % 23);
    post(s, "/wait-io/scribble", body, BODY_BYTES);
    CHECK_EQ(r.status, 200);
    CHECK_EQ(atoi(reply_field(&r, "X-Good")), BODY_BYTES);
    free(body);
}

/* What waits in the queue of a pool whose worker dies in the stop, nobody is going to read. */
static void stop_waits_for_nothing_that_nobody_reads(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "pools.other.workers=1", "--set", "graceful_timeout=1h", NULL);
    s->is_violent = true;
    struct client *c = client_to(s);
    client_send_text(c, "GET /loop HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log_text(s, "heavy loops");
    check_answer(s, "/offload/role?ms=200", 500, "error -110\n");
    client_close(c);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* The only thread, or a worker that has one client at a time, has a task that does not end, and is
 * free again when nobody wants that. */
static void nobody_waits_for_a_client_that_has_left(void **state)
{
    (void)state;
    for (int is_sync = 0; is_sync < 2; is_sync++) {
        const char *prefix = is_sync ? "/wait" : "/wait-io";
        char text[100];
        struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--worker-class",
                                            is_sync ? "sync" : "event", "--threads", "1", "--set",
                                            "compute.workers=1", "--set", "compute.timeout=50s",
                                            "--set", "pools.other.workers=1", NULL);
        s->is_violent = true;
        struct client *c = client_to(s);
        (void)snprintf(text, sizeof text,
                       "POST %s/hang HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", prefix);
        client_send_text(c, text);
        (void)server_wait_log_text(s, "heavy loops");
        client_close(c);
        (void)snprintf(text, sizeof text, "%s/reverse", prefix);
        check_answer(s, text, 200, "cba");
    }
}

static void task_that_fails_again_and_again_is_left_alone(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = server_start_app(
        HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set", "pools.other.workers=1",
        "--set", "compute.breaker.failures=2", "--set", "compute.breaker.reset_timeout=1h", NULL);
    s->is_violent = true;
    check_answer(s, "/offload/crash", 500, "error -5\n");
    check_answer(s, "/offload-io/crash", 500, "error -5\n");
    check_answer(s, "/offload/crash", 500, "error -111\n");
    check_answer(s, "/offload/fail", 500, "error 42\n"); /* an answer, and another task */
    const char *line = server_wait_log_text(s, "circuit breaker opened");
    CHECK_HAS(line, "route=\"TASK crash\"");
}

/* Payload and result go by files then. */
static void what_no_slice_has_room_for_comes_all_the_same(void **state)
{
    (void)state;
    static char body[BODY_BYTES];
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "compute.segment=1MiB", "--set", "pools.other.segment=1MiB", NULL);
    check_reversed(s, "/offload/reverse", 1000000);
    check_reversed(s, "/offload-io/reverse", 1000000);
    post(s, "/offload/reverse", body,
         sizeof body); /* it, and its result, no slice has room for, ever */
    CHECK_TEXT(r.body.data, "refused -90\n");
    check_answer(s, "/offload/reverse", 200, "cba");
}

static void where_there_is_one_process_it_runs_there(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(HEAVY_SO, "--single", "--set", "pools.other.workers=1", NULL);
    check_answer(s, "/offload/reverse", 200, "cba");
    check_answer(s, "/offload/role", 200, "single");
    check_answer(s, "/offload-io/fail", 500, "error 42\n");
    check_answer(s, "/wait/reverse", 200, "cba");
    check_answer(s, "/wait-io/fail", 500, "error 42\n");
    check_large(s, "/offload/reverse");
    check_large(s, "/wait/reverse");
}

SERVER_MAIN(SERVER_TEST(from_the_loop_and_from_threads), SERVER_TEST(from_sync_workers),
            SERVER_TEST(handlers_that_may_block_wait),
            SERVER_TEST(large_ones_arrive_by_whatever_way),
            SERVER_TEST(many_payloads_come_back_in_order),
            SERVER_TEST(large_payloads_come_back_in_order),
            SERVER_TEST(many_payloads_share_a_queue_that_is_full),
            SERVER_TEST(mistakes_of_the_app_are_told),
            SERVER_TEST(nobody_waits_past_the_time_of_a_call),
            SERVER_TEST(tasks_cannot_spoil_the_body_of_their_handler),
            SERVER_TEST(stop_waits_for_nothing_that_nobody_reads),
            SERVER_TEST(nobody_waits_for_a_client_that_has_left),
            SERVER_TEST(task_that_fails_again_and_again_is_left_alone),
            SERVER_TEST(what_no_slice_has_room_for_comes_all_the_same),
            SERVER_TEST(where_there_is_one_process_it_runs_there))
