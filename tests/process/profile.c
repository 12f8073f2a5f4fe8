/* What calls take, by route and lane, as the status tells it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"
#include "tests/harness/site.h"

#define SLEEP_MS 30
#define BURN_MS 20

/* A number of a route, by the path of a member behind it; 0 when nothing was counted for it. */
static uint64_t number_of(const char *status, const char *route, const char *path)
{
    char wanted[160], at[160];
    (void)snprintf(wanted, sizeof wanted, "\"route\":\"%s\"", route);
    const char *routes = strstr(status, "\"routes\":["), *found = strstr(routes, wanted);
    unsigned index = 0;
    if (!found)
        return 0;
    for (const char *p = routes; (p = strstr(p, "{\"route\":")) && p + 1 < found; p++)
        index++;
    (void)snprintf(at, sizeof at, "routes.%u.%s", index, path);
    return control_number(status, at);
}

static char *look(struct server *s)
{
    return control_ask(s, "{\"request\":\"status\"}");
}

static void get(struct server *s, const char *target, int status)
{
    free(client_get(s, target, status));
}

static void waiting_and_computing_are_told_apart(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    for (int i = 0; i < 3; i++)
        get(s, "/", 200);
    for (int i = 0; i < 2; i++) {
        get(s, "/sleep?ms=30", 200);
        get(s, "/burn?ms=20", 200);
    }
    get(s, "/nowhere", 404);
    char *now = look(s);
    CHECK_EQ(number_of(now, "GET /", "lanes.inline.calls"), 3);
    CHECK_EQ(number_of(now, "GET /", "lanes.inline.measured"), 3);
    CHECK_EQ(number_of(now, "GET /sleep", "lanes.io.calls"), 2);
    CHECK_EQ(number_of(now, "GET /sleep", "lanes.io.measured"), 2);
    CHECK(number_of(now, "GET /sleep", "lanes.io.wall_us") >= 2 * SLEEP_MS * 1000);
    CHECK(number_of(now, "GET /sleep", "lanes.io.waited_us") >= 2 * SLEEP_MS * 1000);
    CHECK(number_of(now, "GET /sleep", "lanes.io.cpu_us") < 2 * SLEEP_MS * 1000);
    CHECK_EQ(number_of(now, "GET /burn", "lanes.compute.calls"), 2);
    CHECK_EQ(number_of(now, "GET /burn", "lanes.compute.measured"), 2);
    CHECK(number_of(now, "GET /burn", "lanes.compute.cpu_us") >= 2 * BURN_MS * 1000);
    CHECK(number_of(now, "GET /burn", "lanes.compute.wall_us") >= 2 * BURN_MS * 1000);
    CHECK_EQ(number_of(now, "none", "requests"), 1);
    CHECK_EQ(number_of(now, "none", "lanes.inline.calls"), 1);
    free(now);
}

/* Many handlers that compute at once on the CPUs that there are: who is ready does not wait. */
static void who_has_no_cpu_is_not_taken_for_waiting(void **state)
{
    (void)state;
    enum { N = 64 };
    struct client *clients[N];
    struct reply r;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--threads", "64",
                                        "--set", "routes.GET /burn.lane=io", NULL);
    memset(&r, 0, sizeof r);
    for (int i = 0; i < N; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET /burn?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < N; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_close(clients[i]);
    }
    char *now = look(s);
    uint64_t wall_us = number_of(now, "GET /burn", "lanes.io.measured_wall_us");
    uint64_t delay_us = number_of(now, "GET /burn", "lanes.io.delay_us");
    CHECK_EQ(number_of(now, "GET /burn", "lanes.io.measured"), N);
    if (delay_us > 0) /* the kernel counts it */
        CHECK_SAYING(number_of(now, "GET /burn", "lanes.io.waited_us") < wall_us / 4, "%s", now);
    free(now);
    reply_fini(&r);
}

static void what_a_dead_worker_has_noted_stays(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    for (int i = 0; i < 3; i++)
        get(s, "/sleep?ms=1", 200);
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGKILL) == 0);
    (void)server_wait_log(s, "worker died");
    get(s, "/sleep?ms=1", 200);
    uint64_t until_us = patience_until(PATIENCE_MS);
    for (bool is_there = false; !is_there;) {
        char *now = look(s);
        is_there = number_of(now, "GET /sleep", "lanes.io.calls") == 4;
        CHECK_SAYING(is_there || patience_turn(until_us), "%s", now);
        free(now);
    }
}

/* A command about a server, that ends by itself. */
static struct server *run_routes(const struct server *s, const char *option, int code)
{
    const char *const args[] = {"routes",           "--live",          option,
                                "--control-socket", control_socket(s), NULL};
    struct server *command =
        server_start(&(struct server_options){.args = args, .folder = s->folder});
    CHECK_EQ(server_run(command), code);
    return command;
}

static void routes_are_told_with_what_to_do(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    for (int i = 0; i < 20; i++)
        get(s, "/block?ms=5", 200);
    struct server *command = run_routes(s, "--once", 0);
    const char *line = strstr(lines_text(&command->out), "GET /block ");
    CHECK(line != NULL);
    CHECK_HAS(line, " inline ");
    CHECK_HAS(line, "of its time on the event loop: move it to io");
    free(control_ask(s, "{\"request\":\"routes\"}"));
    (void)run_routes(s, "--interval=0s", 2);
}

/* Of each route the trace id of a slow request is kept, with what it took. */
static void a_slow_request_is_kept_as_an_example(void **state)
{
    (void)state;
    struct reply r;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    memset(&r, 0, sizeof r);
    get(s, "/", 200);
    client_exchange(c, &r,
                    "GET /sleep?ms=30 HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow-one\r\n\r\n");
    CHECK_EQ(r.status, 200);
    const char *trace = reply_field(&r, "X-Request-Id");
    char *now = control_ask(s, "{\"request\":\"routes\"}");
    char wanted[200];
    (void)snprintf(wanted, sizeof wanted, "\"exemplar\":{\"trace\":\"%s\"", trace);
    CHECK_HAS(now, wanted);
    CHECK(number_of(now, "GET /sleep", "exemplar.latency_us") >= SLEEP_MS * 1000);
    free(now);
    reply_fini(&r);
}

static void files_of_mounts_have_a_block_of_their_own(void **state)
{
    (void)state;
    struct server *s = site_new();
    site_launch(s, REMUDA_DEMO_SO, "static:\n  - {path: /hello/, folder: $/public}\n");
    get(s, "/hello/hello.txt", 200);
    get(s, "/hello/none.txt", 404);
    get(s, "/", 200);
    char *now = look(s);
    CHECK_EQ(number_of(now, "static", "requests"), 2);
    CHECK_EQ(number_of(now, "static", "lanes.inline.calls"), 2);
    CHECK_EQ(number_of(now, "GET /hello/:name", "requests"), 0);
    CHECK_EQ(number_of(now, "none", "requests"), 0);
    free(now);
}

SERVER_MAIN(SERVER_TEST(waiting_and_computing_are_told_apart),
            SERVER_TEST(who_has_no_cpu_is_not_taken_for_waiting),
            SERVER_TEST(what_a_dead_worker_has_noted_stays),
            SERVER_TEST(routes_are_told_with_what_to_do),
            SERVER_TEST(a_slow_request_is_kept_as_an_example),
            SERVER_TEST(files_of_mounts_have_a_block_of_their_own))
