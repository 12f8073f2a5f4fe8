/* The command line: what each sub-command prints and how it exits. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/server.h"

#define CHECK_RUN(code, ...) check_run(code, (const char *const[]){__VA_ARGS__, NULL})

/* Runs remuda with arguments to its end; the output is in the server's lines. */
static struct server *check_run(int code, const char *const *args)
{
    struct server *s = server_start(&(struct server_options){.args = args});
    int seen = server_run(s);
    CHECK_SAYING(seen == code, "remuda %s … exits %d, expected %d", args[0] ? args[0] : "", seen,
                 code);
    return s;
}

static const char *out(struct server *s)
{
    return lines_text(&s->out);
}

static const char *err(struct server *s)
{
    return lines_text(&s->log);
}

static void call_gives_the_body_of_one_request(void **state)
{
    (void)state;
    CHECK_TEXT(out(CHECK_RUN(0, "call", REMUDA_DEMO_SO, "GET", "/")), "hello\n");
    CHECK_TEXT(out(CHECK_RUN(0, "call", REMUDA_HELLO_SO, "GET", "/hello/ann")), "hello, ann\n");
    CHECK_TEXT(out(CHECK_RUN(0, "call", REMUDA_DEMO_SO, "POST", "/echo", "-d", "a body")),
               "a body");
}

static void call_takes_a_body_from_a_file(void **state)
{
    (void)state;
    struct server *s = server_new();
    char body[256];
    (void)snprintf(body, sizeof body, "@%s", server_write_file(s, "body", "from\na file"));
    CHECK_TEXT(out(CHECK_RUN(0, "call", REMUDA_DEMO_SO, "PUT", "/echo", "-d", body)),
               "from\na file");
}

static void call_shows_the_head_and_sends_fields(void **state)
{
    (void)state;
    struct server *s =
        CHECK_RUN(0, "call", REMUDA_DEMO_SO, "GET", "/headers", "-i", "-H", "X-One: 1");
    CHECK(strncmp(out(s), "HTTP/1.1 200 OK\r\n", 17) == 0);
    CHECK_HAS(out(s), "X-One: 1\n");
}

static void call_runs_a_stream_to_its_end(void **state)
{
    (void)state;
    struct server *s = CHECK_RUN(0, "call", REMUDA_DEMO_SO, "GET", "/stream?n=3&ms=1");
    unsigned lines = 0;
    for (const char *at = strchr(out(s), '\n'); at; at = strchr(at + 1, '\n'))
        lines++;
    CHECK_EQ(lines, 3);
}

static void call_of_an_error_exits_1(void **state)
{
    (void)state;
    struct server *s = CHECK_RUN(1, "call", REMUDA_DEMO_SO, "GET", "/nowhere");
    CHECK_HAS(out(s), "404");
    (void)CHECK_RUN(1, "call", REMUDA_DEMO_SO, "DELETE", "/");
    (void)CHECK_RUN(1, "call", REMUDA_TEST_APPS_DIR "/no_entry.so", "GET", "/");
}

static void call_without_target_is_usage(void **state)
{
    (void)state;
    (void)CHECK_RUN(2, "call");
    (void)CHECK_RUN(2, "call", REMUDA_DEMO_SO, "GET");
}

static void call_takes_the_app_from_the_configuration(void **state)
{
    (void)state;
    struct server *s = server_new();
    char yaml[600];
    (void)snprintf(yaml, sizeof yaml, "app: %s\napp_config:\n  greeting: good day\n",
                   REMUDA_DEMO_SO);
    const char *path = server_write_file(s, "my.yaml", yaml);
    CHECK_TEXT(out(CHECK_RUN(0, "call", "-c", path, "GET", "/hello/ann")), "good day, ann\n");
    const char *args[] = {"call", "GET", "/", NULL};
    (void)server_write_file(s, "remuda.yaml", yaml);
    server_launch(s, &(struct server_options){.args = args}); /* remuda.yaml of its folder */
    CHECK_EQ(server_run(s), 0);
    CHECK_TEXT(out(s), "hello\n");
}

static void routes_are_listed_with_their_lanes(void **state)
{
    (void)state;
    static const char *const rows[] = {"/",      "/json",  "/hello/:name", "/echo",
                                       "/info",  "/bytes", "/stream",      "/events",
                                       "/sleep", "/block", "/headers",     "/inline-crash",
                                       "inline", "io",     "GET"};
    struct server *s = CHECK_RUN(0, "routes", REMUDA_DEMO_SO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_HAS(out(s), rows[i]);
}

static void what_only_a_running_server_tells_needs_live(void **state)
{
    (void)state;
    CHECK_HAS(err(CHECK_RUN(2, "routes", "--json")), "--json needs --live");
    CHECK_HAS(err(CHECK_RUN(2, "routes", "--interval", "1s")), "--interval needs --live");
}

static void version_names_what_is_in_use(void **state)
{
    (void)state;
    struct server *s = CHECK_RUN(0, "version");
    CHECK_HAS(out(s), "remuda " REMUDA_VERSION);
    CHECK_HAS(out(s), "llhttp ");
    CHECK_HAS(out(s), "libev ");
    CHECK_HAS(out(s), "libyaml ");
    CHECK_HAS(out(CHECK_RUN(0, "--version")), "remuda " REMUDA_VERSION);
}

static void nothing_at_all_tells_how_to_start(void **state)
{
    (void)state;
    struct server *s = server_new();
    server_launch(s, &(struct server_options){0});
    CHECK_EQ(server_run(s), 2);
    unsigned lines = 0;
    const char *text = s->out.text.len > s->log.text.len ? out(s) : err(s);
    CHECK_HAS(text, "remuda run");
    for (const char *at = strchr(text, '\n'); at; at = strchr(at + 1, '\n'))
        lines++;
    CHECK(lines >= 2 && lines <= 15);
}

static void unknown_command_names_the_nearest(void **state)
{
    (void)state;
    CHECK_HAS(err(CHECK_RUN(2, "routs")), "routes");
    CHECK_HAS(err(CHECK_RUN(2, "chekc")), "check");
    (void)CHECK_RUN(2, "run", "--no-such-flag", REMUDA_DEMO_SO);
    (void)CHECK_RUN(2, "run", "--bind");
}

static void help_is_everywhere(void **state)
{
    (void)state;
    static const char *const commands[] = {"run", "check", "routes", "config", "call", "version"};
    struct server *s = CHECK_RUN(0, "--help");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        CHECK_HAS(out(s), commands[i]);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct server *help = CHECK_RUN(0, commands[i], "--help");
        CHECK_HAS(out(help), commands[i]);
    }
}

static void check_says_whether_a_configuration_is_good(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *good = server_write_file(s, "good.yaml", "workers: 2\nbind: 127.0.0.1:0\n");
    const char *bad = server_write_file(s, "bad.yaml", "wrokers: 2\nkeepalive: many\nbacklog: 0\n");
    (void)CHECK_RUN(0, "check", "-c", good);
    struct server *refused = CHECK_RUN(1, "check", "-c", bad);
    CHECK_HAS(err(refused), "bad.yaml:1:1: wrokers: ");
    CHECK_HAS(err(refused), "workers"); /* the nearest known one */
    CHECK_HAS(err(refused), "bad.yaml:2:");
    CHECK_HAS(err(refused), "bad.yaml:3:");
}

static void run_with_a_bad_configuration_is_exit_1_and_starts_nothing(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *bad = server_write_file(s, "bad.yaml", "bind: nonsense:nonsense\nworkers: -1\n");
    struct server *refused = CHECK_RUN(1, "run", "-c", bad, REMUDA_DEMO_SO);
    CHECK_HAS(err(refused), "bad.yaml:1:");
    CHECK_HAS(err(refused), "bad.yaml:2:");
    CHECK_EQ(lines_count(&refused->log, "listening"), 0);
    (void)CHECK_RUN(1, "run", "-c", "/nonexistent/remuda.yaml");
    (void)CHECK_RUN(1, "run", "--set", "workers=banana", REMUDA_DEMO_SO);
    (void)CHECK_RUN(2, "run", "--set", "no_such_setting=1", REMUDA_DEMO_SO);
}

static void config_shows_effective_values(void **state)
{
    (void)state;
    struct server *s = CHECK_RUN(0, "config", "--set", "keepalive=5s", "--workers", "3");
    CHECK_HAS(out(s), "keepalive: 5s");
    CHECK_HAS(out(s), "workers: 3");
    CHECK_HAS(out(s), "backlog: 2048");
}

SERVER_MAIN(SERVER_TEST(call_gives_the_body_of_one_request),
            SERVER_TEST(call_takes_a_body_from_a_file),
            SERVER_TEST(call_shows_the_head_and_sends_fields),
            SERVER_TEST(call_runs_a_stream_to_its_end), SERVER_TEST(call_of_an_error_exits_1),
            SERVER_TEST(call_without_target_is_usage),
            SERVER_TEST(call_takes_the_app_from_the_configuration),
            SERVER_TEST(routes_are_listed_with_their_lanes),
            SERVER_TEST(what_only_a_running_server_tells_needs_live),
            SERVER_TEST(version_names_what_is_in_use),
            SERVER_TEST(nothing_at_all_tells_how_to_start),
            SERVER_TEST(unknown_command_names_the_nearest), SERVER_TEST(help_is_everywhere),
            SERVER_TEST(check_says_whether_a_configuration_is_good),
            SERVER_TEST(run_with_a_bad_configuration_is_exit_1_and_starts_nothing),
            SERVER_TEST(config_shows_effective_values))
