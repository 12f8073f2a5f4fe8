/* Streams of the compute pool whose end is a death: of the compute worker that makes it, of the web
 * worker that sends it. Whatever its client speaks, what has come of it never looks whole. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

static const char *const class_names[] = {"event", "sync"};
#define N_CLASSES (sizeof class_names / sizeof class_names[0])

static struct reply r;

static struct server *start(const char *class)
{
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--worker-class", class, "--set",
                         "compute.workers=1", "--set", "routes.GET /stream.lane=compute", NULL);
    s->is_violent = true;
    return s;
}

/* Some of a stream is there that would go on for half an hour. */
static struct client *begin_stream(struct server *s, const char *version)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET /stream?n=100000&ms=20 %s\r\nHost: a\r\n\r\n",
                   version);
    client_send_text(c, request);
    client_read_head(c, &r);
    CHECK_EQ(r.status, 200);
    client_read_raw(c, 30);
    return c;
}

static pid_t pid_of(struct server *s, const char *path)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    pid_t pid = (pid_t)control_number(answer, path);
    free(answer);
    CHECK(pid > 0);
    return pid;
}

/* Reads on. Returns how the connection ends: errno; 0 in an orderly way */
static int read_end(struct client *c)
{
    char data[4096];
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        CHECK_SAYING(patience_poll(c->fd, POLLIN, deadline), "the connection does not end");
        ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
        if (n > 0)
            CHECK(buf_append(&c->in, data, (size_t)n) == 0);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return n == 0 ? 0 : errno;
    }
}

/* In chunks, its end says so by its last one. */
static void check_cut(struct client *c)
{
    (void)read_end(c);
    CHECK(buf_append(&c->in, "", 1) == 0);
    CHECK_HAS_NOT(c->in.data, "chunk 100000 of");
    CHECK_HAS_NOT(c->in.data, "\r\n0\r\n");
    client_close(c);
}

static void chunks_end_without_the_last_one_when_the_compute_worker_dies(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLASSES; i++) {
        check_context("%s", class_names[i]);
        struct server *s = start(class_names[i]);
        struct client *c = begin_stream(s, "HTTP/1.1");
        CHECK_EQ(kill(pid_of(s, "compute_workers.0.pid"), SIGKILL), 0);
        check_cut(c);
        (void)server_wait_log(s, "compute worker died");
        free(client_get(s, "/stream?n=1&ms=1", 200));
    }
}

/* There the end of the connection is the end of the answer: a reset can't be taken for that. */
static void a_stream_without_chunks_ends_with_a_reset(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLASSES; i++) {
        check_context("%s", class_names[i]);
        struct server *s = start(class_names[i]);
        struct client *c = begin_stream(s, "HTTP/1.0");
        CHECK(!r.is_chunked);
        CHECK_EQ(kill(pid_of(s, "compute_workers.0.pid"), SIGKILL), 0);
        CHECK_EQ(read_end(c), ECONNRESET);
        client_close(c);
    }
}

static void chunks_end_without_the_last_one_when_the_web_worker_dies(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CLASSES; i++) {
        check_context("%s", class_names[i]);
        struct server *s = start(class_names[i]);
        struct client *c = begin_stream(s, "HTTP/1.1");
        CHECK_EQ(kill(pid_of(s, "workers.0.pid"), SIGKILL), 0);
        check_cut(c);
        /* Who makes it is killed, or finds out itself that nobody reads it; and then is free. */
        free(client_get(s, "/stream?n=1&ms=1", 200));
    }
}

SERVER_MAIN(SERVER_TEST(chunks_end_without_the_last_one_when_the_compute_worker_dies),
            SERVER_TEST(a_stream_without_chunks_ends_with_a_reset),
            SERVER_TEST(chunks_end_without_the_last_one_when_the_web_worker_dies))
