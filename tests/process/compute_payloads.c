/* Bodies and answers of the compute lane, of all sizes: they are right, and nobody copies those
 * over 4 KiB in user space. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define MIB (1024UL * 1024)

static const size_t sizes[] = {0,    1,     100,   4000, 4095,    4096,    4097,
                               5000, 32768, 70000, MIB,  3 * MIB, 64 * MIB};
#define N_SIZES (sizeof sizes / sizeof sizes[0])

static struct reply r;

static struct server *start(const char *class, const char *setting)
{
    return server_start_app(HEAVY_SO, "--workers", "1", "--worker-class", class, "--set",
                            "compute.workers=1", "--set", "pools.other.workers=1", "--set", setting,
                            NULL);
}

/* Octets that were copied by the web worker and the compute worker. */
static void check_copied(const struct server *s, uint64_t web, uint64_t compute)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_EQ(control_number(answer, "workers.0.copied_bytes"), web);
    CHECK_EQ(control_number(answer, "compute_workers.0.copied_bytes"), compute);
    free(answer);
}

/* Likewise; but what came with the head of one that is larger than a place for uploads may have had
 * to move to where there is room for all of it: the loop's buffer, at most. */
static void check_moved(const struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK(control_number(answer, "workers.0.copied_bytes") <= 32768);
    CHECK_EQ(control_number(answer, "compute_workers.0.copied_bytes"), 0);
    free(answer);
}

static char octet(size_t i)
{
    return (char)('a' + i % 23);
}

static void check_bodies(const char *class)
{
    struct server *s = start(class, "strict=no");
    struct client *c = client_to(s);
    char *body = malloc(64 * MIB);
    CHECK(body != NULL);
    for (size_t i = 0; i < 64 * MIB; i++)
        body[i] = octet(i);
    for (size_t i = 0; i < N_SIZES; i++) {
        char text[200];
        check_context("%zu octets", sizes[i]);
        (void)snprintf(text, sizeof text,
                       "POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        client_send_text(c, text);
        CHECK(client_send(c, body, sizes[i]));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        (void)snprintf(text, sizeof text, "%zu of %zu\n", sizes[i], sizes[i]);
        CHECK_TEXT(r.body.data, text);
        check_moved(s);
    }
    check_context("%s", "");
    free(body);
}

static void bodies_arrive_uncopied_event(void **state)
{
    (void)state;
    check_bodies("event");
}

static void bodies_arrive_uncopied_sync(void **state)
{
    (void)state;
    check_bodies("sync");
}

static void check_answers(const char *class)
{
    struct server *s = start(class, "strict=no");
    struct client *c = client_to(s);
    for (size_t i = 0; i < N_SIZES; i++) {
        char text[100];
        check_context("%zu octets", sizes[i]);
        (void)snprintf(text, sizeof text, "GET /make?n=%zu HTTP/1.1\r\nHost: a\r\n\r\n", sizes[i]);
        client_exchange(c, &r, text);
        CHECK_EQ(r.status, 200);
        CHECK_EQ(r.body.len, sizes[i]);
        for (size_t at = 0; at < r.body.len; at++)
            if (r.body.data[at] != octet(at))
                CHECK_FAIL("octet %zu is wrong", at);
        check_copied(s, 0, 0);
    }
    check_context("%s", "");
}

/* It does not wear a worker out that others' memory passes through it. */
static void payloads_are_no_part_of_max_rss(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "compute.max_rss=24MiB", "--set", "compute.timeout=5m", NULL);
    struct client *c = client_to(s);
    size_t len = 48 * MIB;
    char *body = calloc(1, len);
    char text[128];
    CHECK(body != NULL);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(text, sizeof text,
                       "POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", len);
        client_send_text(c, text);
        CHECK(client_send(c, body, len));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
    }
    free(body);
    client_close(c);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(lines_finish(&s->log, patience_until(PATIENCE_MS)));
    CHECK(!strstr(lines_text(&s->log), "worn"));
}

static void answers_leave_uncopied_event(void **state)
{
    (void)state;
    check_answers("event");
}

static void answers_leave_uncopied_sync(void **state)
{
    (void)state;
    check_answers("sync");
}

/* Chunks lie between other octets: their body is put together, then beside the request. */
static void what_is_copied_is_counted(void **state)
{
    (void)state;
    struct server *s = start("event", "strict=no");
    struct client *c = client_to(s);
    char body[30000];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = octet(i);
    client_send_text(
        c, "POST /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n");
    CHECK(client_send(c, body, sizeof body));
    client_send_text(c, "\r\n0\r\n\r\n");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "30000 of 30000\n");
    check_copied(s, 2 * sizeof body, 0);
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    CHECK_EQ(control_number(answer, "copied_bytes"), 2 * sizeof body);
    free(answer);
}

/* 64 MiB of zeros to the demo: what it makes of them is known elsewhere. */
static void a_digest_is_made_of_what_nobody_has_copied(void **state)
{
    (void)state;
    static const char *const classes[] = {"event", "sync"};
    char *body = calloc(1, 64 * MIB);
    CHECK(body != NULL);
    for (size_t i = 0; i < 2; i++) {
        check_context("%s", classes[i]);
        struct server *s =
            server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--worker-class", classes[i],
                             "--set", "compute.workers=1", "--set", "compute.timeout=5m", NULL);
        struct client *c = client_to(s);
        client_send_text(c, "POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n");
        CHECK(client_send(c, body, 64 * MIB));
        client_read(c, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351 "
                                "67108864\n");
        check_moved(s);
        client_close(c);
    }
    check_context("%s", "");
    free(body);
}

/* 4 MiB for each process: what does not fit goes by files. */
static void a_small_segment_is_enough(void **state)
{
    (void)state;
    struct server *s = start("event", "compute.segment=4MiB");
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /make?n=20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    CHECK_EQ(r.body.len, 20000000);
    for (size_t at = 0; at < r.body.len; at++)
        if (r.body.data[at] != octet(at))
            CHECK_FAIL("octet %zu is wrong", at);
}

SERVER_MAIN(SERVER_TEST(bodies_arrive_uncopied_event), SERVER_TEST(bodies_arrive_uncopied_sync),
            SERVER_TEST(answers_leave_uncopied_event), SERVER_TEST(answers_leave_uncopied_sync),
            SERVER_TEST(payloads_are_no_part_of_max_rss), SERVER_TEST(what_is_copied_is_counted),
            SERVER_TEST(a_digest_is_made_of_what_nobody_has_copied),
            SERVER_TEST(a_small_segment_is_enough))
