/* Requests whose worker dies. Those that may run twice get an answer; those that kill one worker
 * after the other are not let near a third. */
#include <signal.h>
#include <stdio.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"

enum { SPOOLED_BYTES = 20 * 1000 };

static struct reply r;

static struct server *start(void)
{
    server_let_crash();
    struct server *s = server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1",
                                        "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    return s;
}

static int ask(struct server *s, const char *target)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_exchange(c, &r, request);
    client_close(c);
    return r.status;
}

static void idempotent_request_survives_its_worker(void **state)
{
    (void)state;
    struct server *s = start();
    CHECK_EQ(ask(s, "/crash-often-idempotent?n=1"), 200);
    CHECK_TEXT(r.body.data, "fine\n");
    (void)server_wait_log(s, "compute worker died");
    (void)server_wait_log(s, "task goes to another worker");
}

/* In a spool file, since it is chunked and not small. */
static void second_worker_gets_the_body_as_it_was_sent(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set",
                         "pools.other.workers=1", "--set", "body_buffer_size=8KiB", NULL);
    s->is_violent = true;
    struct client *c = client_to(s);
    client_send_text(c, "PUT /scribble-once HTTP/1.1\r\nHost: a\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < SPOOLED_BYTES / 10; i++) {
        char chunk[32];
        (void)snprintf(chunk, sizeof chunk, "a\r\n%010d\r\n", i);
        client_send_text(c, chunk);
    }
    client_send_text(c, "0\r\n\r\n");
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_EQ(r.body.len, SPOOLED_BYTES);
    for (int i = 0; i < SPOOLED_BYTES / 10; i++) {
        char expected[16];
        (void)snprintf(expected, sizeof expected, "%010d", i);
        CHECK_BYTES(r.body.data + (ptrdiff_t)i * 10, 10, expected, 10);
    }
    client_close(c);
    (void)server_wait_log(s, "task goes to another worker");
}

static void it_does_not_take_three_with_it(void **state)
{
    (void)state;
    struct server *s = start();
    CHECK_EQ(ask(s, "/crash-often-idempotent?n=3"), 500);
    CHECK_EQ(ask(s, "/crash-often?n=2"), 200); /* it has been there twice */
}

static void others_are_not_tried_again(void **state)
{
    (void)state;
    struct server *s = start();
    CHECK_EQ(ask(s, "/crash-often?n=1"), 500);
}

static void request_that_killed_two_is_refused(void **state)
{
    (void)state;
    struct server *s = start();
    for (int i = 0; i < 2; i++)
        CHECK_EQ(ask(s, "/moody?bad=1&n=2"), 500);
    (void)server_wait_log(s, "request is poison");
    server_skip_log(s);
    CHECK_EQ(ask(s, "/moody?bad=1&n=2"), 500);
    (void)server_wait_log(s, "request refused: it is poison");
    CHECK_EQ(ask(s, "/moody"), 200);
    server_signal(s, SIGHUP); /* another app may be a better one */
    (void)server_wait_log(s, "reloaded");
    server_skip_log(s);
    CHECK_EQ(ask(s, "/moody?bad=1&n=2"), 500);
    (void)server_wait_log(s, "compute worker died");
}

SERVER_MAIN(SERVER_TEST(idempotent_request_survives_its_worker),
            SERVER_TEST(second_worker_gets_the_body_as_it_was_sent),
            SERVER_TEST(it_does_not_take_three_with_it), SERVER_TEST(others_are_not_tried_again),
            SERVER_TEST(request_that_killed_two_is_refused))
