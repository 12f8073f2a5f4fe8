/* `threads` as a range: the master has a worker make as many as its requests need. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"
#define CLIENTS 40U
#define BEGINS_WITH 16 /* what a range begins with that has room for it */

static struct client *clients[CLIENTS];
static struct reply r;

static struct server *start(const char *adaptive)
{
    return server_start_app(LANES_SO, "--workers", "1", "--threads", "2..48", "--set", adaptive,
                            NULL);
}

/* Requests that all wait for the file `go`: none ends, so nothing is known but that they are there.
 */
static void send_all(struct server *s)
{
    char request[512];
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], request);
    }
}

static void end_all(struct server *s)
{
    (void)server_write_file(s, "go", "");
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
}

static void wait_for_handlers(struct server *s, unsigned n)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    do {
        (void)lines_take(&s->log);
        CHECK_SAYING(patience_turn(deadline), "only %u handlers run",
                     lines_count(&s->log, "lanes waits"));
    } while (lines_count(&s->log, "lanes waits") < n);
}

static void a_worker_gets_the_threads_that_its_requests_need(void **state)
{
    (void)state;
    struct server *s = start("adaptive=on");
    send_all(s);
    wait_for_handlers(s, CLIENTS);
    (void)server_wait_log_text(s, "io threads grow slot=0 from=16 to=");
    control_wait_member(s, "workers.0.io_queued", "0");
    end_all(s);
}

static void off_pins_the_number_that_it_begins_with(void **state)
{
    (void)state;
    char queued[16];
    struct server *s = start("adaptive=off");
    send_all(s);
    (void)snprintf(queued, sizeof queued, "%u", CLIENTS - BEGINS_WITH);
    control_wait_member(s, "workers.0.io_queued", queued);
    wait_for_handlers(s, BEGINS_WITH);
    CHECK(!strstr(lines_text(&s->log), "io threads"));
    end_all(s);
}

SERVER_MAIN(SERVER_TEST(a_worker_gets_the_threads_that_its_requests_need),
            SERVER_TEST(off_pins_the_number_that_it_begins_with))
