/* What handlers of the compute lane leave behind without a crash costs no request. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"

static struct reply r;

static void ask(struct client *c, const char *target)
{
    char request[128];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    check_context("%s", target);
    client_exchange(c, &r, request);
}

static struct server *start(const char *more)
{
    return server_start_app(HEAVY_SO, "--workers", "1", "--set", "compute.workers=1", "--set", more,
                            "--set", "pools.other.workers=1", NULL);
}

/* Four times as many as a worker may have. */
static void descriptors_that_are_left_open_cost_no_request(void **state)
{
    (void)state;
    struct server *s = start("compute.nofile=64");
    struct client *c = client_to(s);
    int pid = 0;
    int workers = 0;
    for (int i = 0; i < 256; i++) {
        ask(c, "/leave-open");
        CHECK_EQ(r.status, 200);
        workers += atoi(r.body.data) != pid;
        pid = atoi(r.body.data);
    }
    CHECK(workers > 3);
    CHECK_HAS(server_wait_log_text(s, "leave descriptors open"), "compute");
    client_close(c);
}

static void an_answer_of_fields_alone_costs_no_worker(void **state)
{
    (void)state;
    struct server *s = start("compute.nofile=64");
    struct client *c = client_to(s);
    ask(c, "/who");
    char before[64];
    (void)snprintf(before, sizeof before, "%s", r.body.data);
    for (int i = 0; i < 5; i++) {
        ask(c, "/redirect");
        CHECK_EQ(r.status, 302);
        CHECK_EQ(strlen(reply_field(&r, "Location")), 6000);
    }
    ask(c, "/who");
    CHECK_TEXT(r.body.data, before);
    client_close(c);
}

SERVER_MAIN(SERVER_TEST(descriptors_that_are_left_open_cost_no_request),
            SERVER_TEST(an_answer_of_fields_alone_costs_no_worker))
