/* Answers that take long: streams, events, large bodies, and clients that are slow or leave. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct reply r;

/* Waits until the probe app has no stream and no reference open, in the worker that is asked. */
static void wait_all_given_back(struct server *s)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        char *counts = client_get(s, "/counts", 200);
        bool is_done = strncmp(counts, "streams=0 refs=0 ", 17) == 0;
        CHECK_SAYING(is_done || patience_turn(deadline), "still open: %s", counts);
        free(counts);
        if (is_done)
            return;
    }
}

static void events_come_one_after_the_other(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    char line[256];
    unsigned events = 0, data_lines = 0;
    client_send_text(c, "GET /events HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n");
    client_read_head(c, &r);
    CHECK_EQ(r.status, 200);
    CHECK_HAS(reply_field(&r, "Content-Type"), "text/event-stream");
    while (events < 2) {
        client_read_line(c, line, sizeof line);
        data_lines += strncmp(line, "data:", 5) == 0;
        if (strcmp(line, "\n") == 0) {
            events++;
            CHECK_EQ(data_lines, events);  /* an event without data is none */
            free(client_get(s, "/", 200)); /* the worker is free between two events */
        }
    }
}

static void slow_reader_gets_everything_while_others_are_served(void **state)
{
    (void)state;
    const size_t len = 50U << 20;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    client_shrink(c);
    client_send_text(c, "GET /bytes?n=52428800 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET /hello/next HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    CHECK_TEXT(reply_field(&r, "Content-Length"), "52428800");
    for (int i = 0; i < 50; i++)
        free(client_get(s, "/", 200));
    size_t taken = 0;
    while (taken < len) {
        client_read_raw(c, 1);
        size_t n = c->in.len < len - taken ? c->in.len : len - taken;
        taken += n;
        buf_consume(&c->in, n);
        c->in.data[c->in.len] = '\0';
    }
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "hello, next\n");
}

static void referenced_bytes_are_sent_whole_and_given_back(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    client_exchange(c, &r, "GET /reference?n=3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.body.len, 3000000);
    for (size_t i = 0; i < r.body.len; i++)
        CHECK(r.body.data[i] == (char)('a' + i % 26));
    wait_all_given_back(s);
}

static void client_that_leaves_within_an_answer_harms_nobody(void **state)
{
    (void)state;
    static const char *const targets[] = {"/forever", "/reference?n=20000000", "/never"};
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    pid_t pid = server_worker_pid(s, 0);
    for (int i = 0; i < 12; i++) {
        char request[128];
        struct client *c = client_to(s);
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                       targets[i % 3]);
        client_send_text(c, request);
        client_read_head(c, &r);
        CHECK_EQ(r.status, 200);
        if (i % 3 == 0)
            client_read_raw(c, 100000);
        if (i % 2)
            client_abort(c);
        else
            client_close(c);
    }
    wait_all_given_back(s);
    CHECK_EQ(server_worker_pid(s, 0), pid);
}

/* What was promised can't be kept: the only honest end is to cut the connection, so that the client
 * knows that something is missing. */
static void broken_stream_is_cut_not_ended(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    char line[64];
    client_send_text(c, "GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read_head(c, &r);
    CHECK(r.is_chunked);
    client_read_line(c, line, sizeof line);
    CHECK_TEXT(line, "4\r\n");
    client_read_line(c, line, sizeof line);
    CHECK_TEXT(line, "half\r\n");
    client_expect_close(c); /* no "0\r\n\r\n" */
    wait_all_given_back(s);
}

static void handler_without_an_answer_gives_500(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    free(client_get(s, "/silent", 500));
    free(client_get(s, "/counts", 200));
}

static void many_streams_at_once(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET /stream?n=20&ms=5 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        unsigned lines = 0;
        for (const char *at = strchr(r.body.data, '\n'); at; at = strchr(at + 1, '\n'))
            lines++;
        CHECK_EQ(lines, 20);
    }
}

SERVER_MAIN(SERVER_TEST(events_come_one_after_the_other),
            SERVER_TEST(slow_reader_gets_everything_while_others_are_served),
            SERVER_TEST(referenced_bytes_are_sent_whole_and_given_back),
            SERVER_TEST(client_that_leaves_within_an_answer_harms_nobody),
            SERVER_TEST(broken_stream_is_cut_not_ended),
            SERVER_TEST(handler_without_an_answer_gives_500), SERVER_TEST(many_streams_at_once))
