/* The lane auto: a route goes where its handler belongs, in every worker, and stays there over a
 * reload. Nothing here depends on how long anything takes: a handler that computes does so by its
 * own CPU clock, and requests come until the server has seen enough. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define LANES_SO REMUDA_TEST_APPS_DIR "/lanes.so"
#define COMPUTES "/mixed?burn=15"
#define WAITS "/mixed?wait=40"

static struct server *start(const char *setting)
{
    return server_start_app(LANES_SO, "--workers", "2", "--set", "compute.workers=1", "--set",
                            setting, NULL);
}

static void check_role(struct server *s, const char *path, const char *role)
{
    char *body = client_get(s, path, 200);
    CHECK_TEXT(body, role);
    free(body);
}

/* Asks until the log says it; and workers have been told when it does, or will be in a moment. */
static void ask_until(struct server *s, const char *path, const char *text)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        free(client_get(s, path, 200));
        (void)lines_take(&s->log);
        if (strstr(lines_text(&s->log), text))
            return;
        CHECK_SAYING(patience_turn(deadline), "no \"%s\" in the log", text);
    }
}

static void ask_until_role(struct server *s, const char *path, const char *role)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (bool is_there = false; !is_there;) {
        char *body = client_get(s, path, 200);
        is_there = strcmp(body, role) == 0;
        free(body);
        CHECK_SAYING(is_there || patience_turn(deadline), "%s is never run by %s", path, role);
    }
}

static void a_route_goes_where_its_handler_belongs_and_back(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    check_role(s, COMPUTES, "web\n"); /* nothing is known yet */
    ask_until(s, COMPUTES, "route moves route=\"GET /mixed\" from=io to=compute");
    ask_until_role(s, COMPUTES, "compute\n");
    char *status = control_ask(s, "{\"request\":\"status\"}");
    CHECK(strstr(status, "\"auto_lane\":\"compute\""));
    free(status);
    ask_until(s, WAITS, "route moves route=\"GET /mixed\" from=compute to=io");
    ask_until_role(s, WAITS, "web\n");
}

/* They have waited behind each other in the pool's queue, where one at a time would run. */
static void what_waits_in_the_queue_of_the_lane_that_a_route_leaves_comes_along(void **state)
{
    (void)state;
    enum { CLIENTS = 30 };
    static struct reply r;
    struct client *clients[CLIENTS];
    unsigned n_at_home = 0;
    struct server *s = start("strict=no");
    ask_until(s, COMPUTES, "route moves");
    ask_until_role(s, COMPUTES, "compute\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET /mixed?wait=500 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    (void)server_wait_log_text(s, "from=compute to=io");
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        n_at_home += strcmp(r.body.data, "web\n") == 0;
    }
    CHECK(n_at_home > 0);
}

static void who_comes_later_begins_with_what_is_known(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    ask_until(s, COMPUTES, "route moves");
    ask_until_role(s, COMPUTES, "compute\n");
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    server_skip_log(s);
    (void)kill(pid, SIGKILL);
    (void)kill(server_worker_pid(s, 1), SIGKILL);
    (void)server_wait_log(s, "worker ready");
    for (int i = 0; i < 10; i++) /* whoever of the two is there, or both */
        check_role(s, COMPUTES, "compute\n");
    server_skip_log(s);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    ask_until_role(s, COMPUTES, "compute\n"); /* though nothing was measured in it */
    CHECK(!strstr(lines_text(&s->log), "from=compute"));
}

static void a_route_that_takes_its_body_in_pieces_stays(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    ask_until(s, COMPUTES, "route moves"); /* so there was a look at both */
    for (int i = 0; i < 10; i++)
        check_role(s, "/mixed/pieces?burn=15", "web\n");
}

static void short_work_is_not_worth_a_hand_over(void **state)
{
    (void)state;
    struct server *s = start("auto_compute=1m");
    struct server *other = start("strict=no");
    ask_until(other, COMPUTES, "route moves"); /* meanwhile the first one has had as many calls */
    for (int i = 0; i < 30; i++)
        check_role(s, COMPUTES, "web\n");
    CHECK(!strstr(lines_text(&s->log), "route moves"));
}

static void a_sync_worker_runs_it_itself_or_hands_it_over(void **state)
{
    (void)state;
    struct server *s = server_start_app(LANES_SO, "--workers", "1", "--worker-class", "sync",
                                        "--set", "compute.workers=1", NULL);
    check_role(s, COMPUTES, "web\n");
    ask_until(s, COMPUTES, "route moves route=\"GET /mixed\" from=inline to=compute");
    ask_until_role(s, COMPUTES, "compute\n");
    ask_until(s, WAITS, "route moves route=\"GET /mixed\" from=compute to=inline");
    ask_until_role(s, WAITS, "web\n");
}

static void off_pins_it(void **state)
{
    (void)state;
    struct server *s = start("adaptive=off");
    struct server *other = start("strict=no");
    ask_until(other, COMPUTES, "route moves");
    for (int i = 0; i < 30; i++)
        check_role(s, COMPUTES, "web\n");
    CHECK(!strstr(lines_text(&s->log), "route moves"));
}

SERVER_MAIN(SERVER_TEST(a_route_goes_where_its_handler_belongs_and_back),
            SERVER_TEST(what_waits_in_the_queue_of_the_lane_that_a_route_leaves_comes_along),
            SERVER_TEST(who_comes_later_begins_with_what_is_known),
            SERVER_TEST(a_route_that_takes_its_body_in_pieces_stays), SERVER_TEST(off_pins_it),
            SERVER_TEST(short_work_is_not_worth_a_hand_over),
            SERVER_TEST(a_sync_worker_runs_it_itself_or_hands_it_over))
