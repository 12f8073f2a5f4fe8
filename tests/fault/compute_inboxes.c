/* The inboxes of web workers, into which compute workers reply: one that is flooded by who has kept
 * it, and one that nobody reads. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define WILD_SO REMUDA_TEST_APPS_DIR "/wild.so"

static struct reply r;

static void get(struct client *c, const char *target)
{
    char request[128];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_exchange(c, &r, request);
}

/* A connection to the web worker of a slot, whichever the kernel gives first. */
static struct client *client_of(struct server *s, int slot)
{
    int pid = 0;
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        struct client *c = client_to(s);
        get(c, "/here");
        CHECK_EQ(sscanf(r.body.data, "web %d", &pid), 1);
        if (pid == server_worker_pid(s, slot))
            return c;
        client_close(c);
        CHECK_SAYING(patience_turn(deadline), "no connection comes to slot %d", slot);
    }
}

/* The first asks once, and has nothing more to do with it; for the second it then floods the inbox
 * of the first. */
static void who_floods_an_inbox_that_it_has_kept_hurts_nobody(void **state)
{
    (void)state;
    char target[64];
    struct server *s =
        server_start_app(WILD_SO, "--workers", "2", "--set", "compute.workers=1", NULL);
    s->is_violent = true;
    struct client *first = client_of(s, 0), *second = client_of(s, 1);
    get(first, "/keep-inbox");
    CHECK_TEXT(r.body.data, "kept\n");
    struct load *load = load_start(server_address(s, 0), 8, "/", "hello\n");
    load_wait_settled(load);
    (void)snprintf(target, sizeof target, "/flood?n=%u", patience_times(20000, 1000000));
    get(second, target);
    (void)printf("> garbage in an inbox: %d, %s\n", r.status,
                 lines_count(&s->log, "wild has flooded") ? "all of it was written"
                                                          : "its writer was killed");
    CHECK(r.status == 200 || r.status == 500); /* it may have been killed for it */
    (void)server_wait_log(s, "reply refused");
    load_wait_answers(load, 100);
    get(first, "/who");
    CHECK_EQ(r.status, 200);
    get(second, "/who");
    CHECK_EQ(r.status, 200);
    struct load_result result = load_finish(load);
    load_check(&result, 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
}

/* Answers for a web worker that stands still: who gives them waits for nobody. */
static void web_worker_that_stands_still_does_not_hold_up_the_pool(void **state)
{
    (void)state;
    enum { TASKS = 90 };
    struct client *clients[TASKS];
    char request[300];
    struct server *s = server_start_app(WILD_SO, "--workers", "2", "--set", "compute.workers=1",
                                        "--set", "timeout=1h", NULL);
    s->is_violent = true;
    pid_t still = server_worker_pid(s, 0);
    struct client *other = client_of(s, 1);
    for (int i = 0; i < TASKS; i++) {
        clients[i] = client_of(s, 0);
        (void)snprintf(request, sizeof request,
                       "GET /wait?n=4000&file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                       server_path(s, "go"));
        client_send_text(clients[i], request);
    }
    control_wait_member(s, "pools.0.queued", "89");
    CHECK_EQ(kill(still, SIGSTOP), 0);
    (void)server_write_file(s, "go", "");
    get(other, "/who");
    CHECK_EQ(r.status, 200);
    CHECK_EQ(kill(still, SIGCONT), 0);
    for (int i = 0; i < TASKS; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
}

SERVER_MAIN(SERVER_TEST(who_floods_an_inbox_that_it_has_kept_hurts_nobody),
            SERVER_TEST(web_worker_that_stands_still_does_not_hold_up_the_pool))
