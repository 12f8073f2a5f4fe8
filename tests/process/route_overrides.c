/* The setting `routes`: limits of single routes below and above what the app and the other settings
 * say, and names that are no route of the app. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"

static struct reply r;

static struct server *start(const char *app, const char *yaml)
{
    struct server *s = server_new();
    const char *path = server_write_file(s, "routes.yaml", yaml);
    const char *const args[] = {"run",         app,  "--config", path, "--bind",
                                "127.0.0.1:0", "-w", "1",        NULL};
    server_launch(s, &(struct server_options){.args = args});
    return s;
}

/* Runs a command, to its end, with a file in the folder that it runs in. */
static struct server *run(const char *command, const char *yaml, int code)
{
    struct server *s = server_new();
    (void)server_write_file(s, "routes.yaml", yaml);
    const char *const args[] = {command,  REMUDA_DEMO_SO, "--config", "routes.yaml",
                                "--bind", "127.0.0.1:0",  NULL};
    s->is_violent = true;
    server_launch(s, &(struct server_options){.args = args});
    CHECK_EQ(server_run(s), code);
    return s;
}

/* Posts a body of `len` octets on a connection of its own. */
static void check_post(struct server *s, const char *path, size_t len, int status)
{
    struct buf request = {0};
    check_context("%zu octets to %s", len, path);
    CHECK(buf_printf(&request, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", path,
                     len) == 0);
    for (size_t i = 0; i < len; i++)
        CHECK(buf_append(&request, "x", 1) == 0);
    struct client *c = client_to(s);
    (void)client_send(c, request.data, request.len); /* a server that refuses reads not all of it */
    client_read(c, &r, false);
    CHECK_EQ(r.status, status);
    client_close(c);
    buf_fini(&request);
}

static void body_limits_below_and_above_the_global_one(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "limit_request_body: 1000\n"
                                             "routes:\n"
                                             "  \"* /echo\": {limit_request_body: 100}\n"
                                             "  \"* /count\": {limit_request_body: 10KiB}\n");
    server_wait_ready(s);
    check_post(s, "/echo", 100, 200);
    check_post(s, "/echo", 101, 413);
    check_post(s, "/count", 10240, 200);
    check_post(s, "/count", 10241, 413);
    check_post(s, "/upload", 1000, 400); /* its handler's own */
    check_post(s, "/upload", 1001, 413); /* named nowhere: the global one */
}

static void a_limit_that_the_app_declares_is_overridden(void **state)
{
    (void)state;
    struct server *s = start(
        BODIES_SO, "routes: {POST /small: {limit_request_body: 2000, request_timeout: 5s}}\n");
    server_wait_ready(s);
    check_post(s, "/small", 2000, 200); /* declared: 1000 */
    check_post(s, "/small", 2001, 413);
}

static void a_timeout_of_a_route_answers_504(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "routes: {GET /later: {request_timeout: 50ms}}\n");
    server_wait_ready(s);
    free(client_get(s, "/later?ms=60000", 504));
}

/* Waits longer than the global limit, which no longer holds for it. */
static void a_route_may_take_longer_than_others(void **state)
{
    (void)state;
    struct server *s =
        start(REMUDA_DEMO_SO, "request_timeout: 1s\nroutes: {GET /later: {request_timeout: 1h}}\n");
    server_wait_ready(s);
    free(client_get(s, "/later?ms=1500", 200));
}

static void names_of_no_route_refuse_the_start(void **state)
{
    (void)state;
    struct server *s = run("run",
                           "routes:\n"
                           "  \"* /echo\": {limit_request_body: 100}\n"
                           "  \"POST /uplod\": {limit_request_body: 100}\n",
                           1);
    CHECK_HAS(lines_text(&s->log),
              "routes.yaml:3:3: routes: the app has no route \\\"POST /uplod\\\"");
    CHECK_HAS(lines_text(&s->log), "the nearest is \\\"POST /upload\\\"");
    CHECK_EQ(lines_count(&s->log, "ready"), 0);
    server_check_gone(s, true);
}

/* The method is a part of the name: a row for "*" is no row for POST. */
static void a_route_is_named_by_its_own_method(void **state)
{
    (void)state;
    struct server *s = run("run", "routes: {POST /echo: {limit_request_body: 100}}\n", 1);
    CHECK_HAS(lines_text(&s->log), "the nearest is \\\"* /echo\\\"");
    server_check_gone(s, true);
}

static void routes_are_listed_with_the_limits_that_hold(void **state)
{
    (void)state;
    static const char yaml[] = "routes:\n"
                               "  \"* /echo\": {limit_request_body: 64KiB, request_timeout: 2s}\n";
    struct server *s = run("routes", yaml, 0);
    CHECK_HAS(lines_text(&s->out), " limit_request_body=65536 request_timeout=2000ms\n");
    s = run("routes", "routes: {GET /ech: {}}\n", 1);
    CHECK_HAS(lines_text(&s->out), "/echo");
    CHECK_HAS(lines_text(&s->log), "routes.yaml:1:10: routes: the app has no route \"GET /ech\"");
}

SERVER_MAIN(SERVER_TEST(body_limits_below_and_above_the_global_one),
            SERVER_TEST(a_limit_that_the_app_declares_is_overridden),
            SERVER_TEST(a_timeout_of_a_route_answers_504),
            SERVER_TEST(a_route_may_take_longer_than_others),
            SERVER_TEST(names_of_no_route_refuse_the_start),
            SERVER_TEST(a_route_is_named_by_its_own_method),
            SERVER_TEST(routes_are_listed_with_the_limits_that_hold))
