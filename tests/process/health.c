/* health_check: a worker is ready when it has answered, whatever way its handler takes, and until
 * then nobody is sent to it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define HEALTH_SO REMUDA_TEST_APPS_DIR "/health.so"

/* A test that is run for each class of workers. */
#define OF_CLASS(function, class)                                                                  \
    {                                                                                              \
#function " " class, function, NULL, server_teardown, "worker_class=" class                \
    }
#define BOTH(function) OF_CLASS(function, "event"), OF_CLASS(function, "sync")

static const char *worker_class; /* of the present test */

static struct server *start(const char *check, const char *setting)
{
    char health[80];
    (void)snprintf(health, sizeof health, "health_check=%s", check);
    return server_start_args("run", HEALTH_SO, "--bind", "127.0.0.1:0", "--workers", "1", "--set",
                             health, "--set", worker_class, "--set", setting, "--accesslog", "-",
                             NULL);
}

static void every_way_to_answer_will_do(void **state)
{
    worker_class = *state;
    static const char *const checks[] = {"/good",     "/good?deep=yes", "/empty",      "/large",
                                         "/streamed", "/later",         "/on-a-thread"};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        check_context("%s", checks[i]);
        struct server *s = start(checks[i], "strict=no");
        server_wait_ready(s);
        char *count = client_get(s, "/count", 200);
        CHECK_TEXT(count, "checks=1\n");
        free(count);
        server_signal(s, SIGTERM);
        CHECK_EQ(server_wait_exit(s), 0);
    }
}

/* It is no client's request: only that of the test is counted and logged. */
static void check_is_in_no_statistics_and_no_access_log(void **state)
{
    worker_class = *state;
    struct server *s = start("/large", "strict=no");
    server_wait_ready(s);
    free(client_get(s, "/count", 200));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_number(lines_find_last(&s->log, "stopped"), "requests"), 1);
    CHECK(lines_finish(&s->out, patience_until(PATIENCE_MS)));
    CHECK_HAS(lines_text(&s->out), "GET /count");
    CHECK_HAS_NOT(lines_text(&s->out), "/large");
}

/* The check's client sends no such header, and is no proxy. */
static void proxy_protocol_is_not_asked_of_the_check(void **state)
{
    worker_class = *state;
    struct server *s = start("/good", "proxy_protocol=v1");
    server_wait_ready(s);
    struct client *c = client_to(s);
    struct reply r;
    reply_init(&r);
    client_exchange(c, &r,
                    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
                    "GET /count HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "checks=1\n");
    reply_fini(&r);
}

static void bad_answer_ends_the_first_start_with_its_reason(void **state)
{
    worker_class = *state;
    static const struct {
        const char *check, *why;
    } rows[] = {
        {"/unwell", "health check GET /unwell answered 503: the database is not there"},
        {"/away", "health check GET /away answered 302: elsewhere"},
        {"/nowhere", "health check GET /nowhere answered 404"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].check);
        struct server *s = start(rows[i].check, "strict=no");
        s->is_violent = true;
        CHECK_EQ(server_wait_exit(s), 4);
        CHECK_HAS(lines_find_last(&s->log, "cannot start"), rows[i].why);
        CHECK_EQ(lines_count(&s->log, "worker ready"), 0);
    }
}

static void answer_that_does_not_come_ends_the_first_start(void **state)
{
    worker_class = *state;
    char boot_timeout[32]; /* of which more is left for the check than the start takes */
    (void)snprintf(boot_timeout, sizeof boot_timeout, "boot_timeout=%us", patience_factor());
    struct server *s = start("/never", boot_timeout);
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 4);
    const char *line = lines_find_last(&s->log, "cannot start");
    CHECK_HAS(line, "health check GET /never was not answered within ");
    CHECK_EQ(lines_count(&s->log, "worker killed"), 0); /* it said so itself */
}

/* Two workers that are well as long as the file "well" exists. */
static struct server *start_by_file(void)
{
    struct server *s = server_new();
    char yaml[400];
    const char *mark = server_write_file(s, "well", "");
    (void)snprintf(yaml, sizeof yaml,
                   "app: %s\nbind: 127.0.0.1:0\nworkers: 2\nhealth_check: /by-file\n"
                   "app_config:\n  file: %s\n",
                   HEALTH_SO, mark);
    const char *args[] = {"run", "--config", server_write_file(s, "remuda.yaml", yaml), NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

/* While one slot stays empty the other serves, and when all is well again it is filled. */
static void replacement_must_pass_too(void **state)
{
    (void)state;
    struct server *s = start_by_file();
    s->is_violent = true;
    pid_t pid = server_worker_pid(s, 1);
    struct load *load = load_start(server_address(s, 0), 4, "/count", NULL);
    load_wait_answers(load, 100);
    CHECK(unlink(server_path(s, "well")) == 0);
    server_skip_log(s);
    CHECK(kill(pid, SIGKILL) == 0);
    (void)server_wait_log_text(s, "health check GET /by-file answered 503: no file ");
    load_wait_settled(load);
    load_wait_answers(load, 100);
    (void)server_write_file(s, "well", "");
    (void)server_wait_log(s, "worker ready slot=1");
    load_wait_answers(load, 100);
    struct load_result result = load_stop(load);
    CHECK_EQ(result.wrong, 0);
    CHECK_EQ(result.refused, 0);
}

static void reload_is_refused_when_it_fails(void **state)
{
    (void)state;
    struct server *s = start_by_file();
    s->is_violent = true; /* the workers that fail are logged */
    struct load *load = load_start(server_address(s, 0), 4, "/count", NULL);
    load_wait_answers(load, 100);
    CHECK(unlink(server_path(s, "well")) == 0);
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"),
              "health check GET /by-file answered 503: no file ");
    load_wait_answers(load, 100);
    (void)server_write_file(s, "well", "");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    load_wait_answers(load, 100);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
}

static void single_mode_checks_itself(void **state)
{
    (void)state;
    struct server *good =
        server_start_args("run", "--single", HEALTH_SO, "--bind", "127.0.0.1:0", "--set",
                          "health_check=/later", "--set", "admin.bind=127.0.0.1:0", NULL);
    (void)server_wait_log(good, "admin has no effect with --single");
    server_wait_ready(good);
    char *count = client_get(good, "/count", 200);
    CHECK_TEXT(count, "checks=1\n");
    free(count);
    struct server *bad = server_start_args("run", "--single", HEALTH_SO, "--bind", "127.0.0.1:0",
                                           "--set", "health_check=/unwell", NULL);
    CHECK(server_wait_exit(bad) > 0);
    CHECK_HAS(lines_text(&bad->log), "health check GET /unwell answered 503: the database");
}

static void path_is_checked_with_the_configuration(void **state)
{
    worker_class = *state;
    struct server *s = start("health", "strict=no");
    CHECK_EQ(server_wait_exit(s), 1);
    CHECK_HAS(lines_text(&s->log), "health_check: ");
    CHECK_HAS(lines_text(&s->log), "begins with /");
}

SERVER_MAIN(BOTH(every_way_to_answer_will_do), BOTH(check_is_in_no_statistics_and_no_access_log),
            BOTH(proxy_protocol_is_not_asked_of_the_check),
            BOTH(bad_answer_ends_the_first_start_with_its_reason),
            BOTH(answer_that_does_not_come_ends_the_first_start),
            SERVER_TEST(replacement_must_pass_too), SERVER_TEST(reload_is_refused_when_it_fails),
            SERVER_TEST(single_mode_checks_itself), BOTH(path_is_checked_with_the_configuration))
