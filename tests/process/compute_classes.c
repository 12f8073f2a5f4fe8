/* The compute lane as clients of either worker class see it: answers, streams, files, and what
 * becomes of those that take too long or are waited for by nobody. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

static const char *const class_names[] = {"event", "sync"};
#define N_CLASSES (sizeof class_names / sizeof class_names[0])

static struct reply r;

/* The demo with more of its routes in the compute lane than it has by itself. */
static struct server *start(const char *class)
{
    char yaml[600];
    server_let_crash();
    struct server *s = server_new();
    s->is_violent = true; /* compute workers die here, as they should */
    (void)snprintf(yaml, sizeof yaml,
                   "worker_class: %s\n"
                   "workers: 1\n"
                   "compute: {workers: 1, timeout: 20s}\n"
                   "routes:\n"
                   "  GET /stream: {lane: compute}\n"
                   "  GET /bytes: {lane: compute}\n"
                   "  GET /burn: {lane: compute, request_timeout: 1s}\n",
                   class);
    const char *path = server_write_file(s, "compute.yaml", yaml);
    const char *const args[] = {"run",    REMUDA_DEMO_SO, "--config", path,
                                "--bind", "127.0.0.1:0",  NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static void ask(struct client *c, const char *target)
{
    char request[200];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    check_context("%s", target);
    client_exchange(c, &r, request);
}

static void answers_and_streams_come_on_one_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLASSES; i++) {
        struct server *s = start(class_names[i]);
        struct client *c = client_to(s);
        for (int round = 0; round < 3; round++) {
            ask(c, "/compute/info");
            CHECK_EQ(r.status, 200);
            CHECK_HAS(r.body.data, "\"role\":\"compute\"");
            ask(c, "/stream?n=3&ms=1");
            CHECK_EQ(r.status, 200);
            CHECK_TEXT(r.body.data, "chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n");
            client_send_text(c, "HEAD /stream?n=1000000&ms=1 HTTP/1.1\r\nHost: a\r\n\r\n");
            client_read(c, &r, true); /* at once, and the next as well: it is not made */
            CHECK_EQ(r.status, 200);
            ask(c, "/bytes?n=3000000");
            CHECK_EQ(r.status, 200);
            CHECK_EQ(r.body.len, 3000000);
            ask(c, "/crash");
            CHECK_EQ(r.status, 500);
            ask(c, "/");
            CHECK_TEXT(r.body.data, "hello\n");
        }
        client_close(c);
    }
}

static void late_ones_are_504_and_the_connection_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLASSES; i++) {
        struct server *s = start(class_names[i]);
        struct client *c = client_to(s);
        ask(c, "/burn?ms=60000");
        CHECK_EQ(r.status, 504);
        ask(c, "/burn?ms=1");
        CHECK_EQ(r.status, 200);
        client_close(c);
    }
}

/* The one worker is free again long before the task would have ended. */
static void nobody_waits_for_who_has_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLASSES; i++) {
        struct server *s = start(class_names[i]);
        struct client *gone = client_to(s);
        client_send_text(gone, "GET /stream?n=100000&ms=10 HTTP/1.1\r\nHost: a\r\n\r\n");
        client_read_head(gone, &r);
        CHECK_EQ(r.status, 200);
        client_close(gone);
        struct client *c = client_to(s);
        ask(c, "/compute/info");
        CHECK_EQ(r.status, 200);
        client_close(c);
    }
}

/* A worker that has one connection at a time does not keep it for an idle client. */
static void sync_worker_says_close_while_somebody_waits(void **state)
{
    (void)state;
    struct server *s = start("sync");
    struct client *c = client_to(s), *other = client_to(s);
    client_send_text(c, "GET /compute/info HTTP/1.1\r\n"); /* so it is the first that is accepted */
    client_send_text(other, "GET /compute/info HTTP/1.1\r\nHost: a\r\n\r\n");
    client_send_text(c, "Host: a\r\n\r\n");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK(r.is_closing);
    client_read(other, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK(!r.is_closing);
    client_close(c);
    client_close(other);
}

SERVER_MAIN(SERVER_TEST(answers_and_streams_come_on_one_connection),
            SERVER_TEST(sync_worker_says_close_while_somebody_waits),
            SERVER_TEST(late_ones_are_504_and_the_connection_goes_on),
            SERVER_TEST(nobody_waits_for_who_has_left))
