/* Reloads that must be refused, each under load of which nothing may fail, with the reason in the
 * log, and with a good reload afterwards. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define APPS REMUDA_TEST_APPS_DIR
#define GOOD "bind: 127.0.0.1:0\nworkers: 2\napp: " APPS "/churn.so\n"

static const char *yaml_of(const char *text)
{
    static char yaml[600];
    (void)snprintf(yaml, sizeof yaml, "bind: 127.0.0.1:0\nworkers: 2\n%s", text);
    return yaml;
}

static struct server *start(void)
{
    struct server *s = server_new();
    const char *args[] = {"run", "-c", server_write_file(s, "remuda.yaml", GOOD), NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    s->is_violent = true; /* processes of the candidate die */
    return s;
}

/* One refusal, between two good reloads, all under load. */
static void check_refused(const char *yaml, const char *why)
{
    struct server *s = start();
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 50);
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 2);
    (void)server_wait_log(s, "generation gone");
    size_t fds = procs_fd_count_at_rest(s->pid);
    (void)server_write_file(s, "remuda.yaml", yaml);
    server_signal(s, SIGHUP);
    const char *line = server_wait_log(s, "reload refused");
    CHECK_EQ(lines_number(line, "generation"), 3);
    CHECK_HAS(line, why);
    load_wait_answers(l, 50);
    server_wait_processes(s, 3); /* nothing is left of what was thrown away */
    CHECK_EQ(load_peek(l).generation, 2);
    (void)server_write_file(s, "remuda.yaml", GOOD);
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 4);
    load_wait_generation(l, 4);
    server_wait_processes(s, 3);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
    procs_wait_fds(s->pid, fds);
}

static void yaml_with_an_error(void **state)
{
    (void)state;
    check_refused("bind: 127.0.0.1:0\nworkers: many\n", "remuda.yaml:2:10: workers: ");
}

static void yaml_that_is_none(void **state)
{
    (void)state;
    check_refused("bind: [\n", "remuda.yaml:");
}

static void app_that_is_missing(void **state)
{
    (void)state;
    check_refused(yaml_of("app: /nowhere/missing.so\n"), "/nowhere/missing.so");
}

static void app_with_an_unresolved_symbol(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/unresolved.so\n"), "undefined symbol");
}

static void init_that_returns_an_error(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/init_fails.so\n"), "the app's init returned");
}

static void init_that_crashes(void **state)
{
    (void)state;
    server_let_crash();
    check_refused(yaml_of("app: " APPS "/init_crashes.so\n"), "the app's init crashed with signal");
}

static void init_that_ends_the_process(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/init_exits.so\n"), "ended the process with exit code");
}

static void init_that_hangs(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/init_hangs.so\nboot_timeout: 1s\n"), "boot_timeout");
}

static void worker_init_that_returns_an_error(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/worker_init_fails.so\n"), "worker_init returned");
}

static void worker_init_that_crashes(void **state)
{
    (void)state;
    server_let_crash();
    check_refused(yaml_of("app: " APPS "/worker_init_crashes.so\n"),
                  "a worker's start crashed with signal");
}

static void worker_init_that_hangs(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/worker_init_hangs.so\nboot_timeout: 1s\n"),
                  "boot_timeout");
}

static void bind_that_is_taken(void **state)
{
    (void)state;
    char yaml[300];
    struct server *other = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)snprintf(yaml, sizeof yaml,
                   "bind: [127.0.0.1:0, \"127.0.0.1:%u\"]\napp: " APPS "/churn.so\n",
                   server_port(other, 0));
    check_refused(yaml, "the port is in use");
}

/* Waiting for somebody who writes into it would hold up the master for ever. */
static void file_that_became_a_pipe(void **state)
{
    (void)state;
    struct server *s = start();
    const char *path = server_path(s, "remuda.yaml");
    CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"),
              "remuda.yaml: cannot be read: it is no regular");
    CHECK(unlink(path) == 0);
    (void)server_write_file(s, "remuda.yaml", GOOD);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
}

/* `-c <(…)` will do for a start, and for nothing behind it. */
static void file_that_was_a_pipe_at_the_start(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_path(s, "remuda.yaml");
    CHECK(mkfifo(path, 0600) == 0);
    const char *args[] = {"run", "-c", path, NULL};
    server_launch(s, &(struct server_options){.args = args});
    (void)server_write_file(s, "remuda.yaml", GOOD); /* when the server has opened it */
    server_wait_ready(s);
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"), "it is no regular file");
    server_signal(s, SIGUSR2);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "it is no regular file");
    free(client_get(s, "/bytes?n=1", 200));
}

static void secret_that_became_a_pipe(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *secret = server_write_file(s, "secret", "s3cret\n");
    (void)server_write_file(s, "remuda.yaml",
                            yaml_of("app: " APPS "/churn.so\n"
                                    "app_config: {db_password_file: secret}\n"));
    const char *args[] = {"run", "-c", "remuda.yaml", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    CHECK(unlink(secret) == 0 && mkfifo(secret, 0600) == 0);
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"), "db_password_file: cannot read");
    free(client_get(s, "/bytes?n=1", 200));
}

/* What a deployment leaves behind that was interrupted: all defaults would be another server. */
static void file_that_became_empty(void **state)
{
    (void)state;
    check_refused("", "remuda.yaml: the file is empty: is it half written?");
}

static void file_that_became_a_comment(void **state)
{
    (void)state;
    check_refused("# to be continued\n", "remuda.yaml: the file is empty: is it half written?");
}

/* Who never had a setting in it may go on so. */
static void file_that_was_a_comment_may_be_one(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_write_file(s, "remuda.yaml", "# nothing yet\n");
    const char *args[] = {"run", "-c", path, "-b", "127.0.0.1:0", APPS "/churn.so", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    (void)server_write_file(s, "remuda.yaml", "");
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"),
              "remuda.yaml: the file is empty: is it half written?");
}

/* What the command line overrules is a setting all the same: such a file is not empty. */
static void file_with_only_what_is_overruled_is_read(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_write_file(s, "remuda.yaml", "bind: 127.0.0.1:1\nworkers: 2\n");
    const char *args[] = {"run", "-c", path, "-b", "127.0.0.1:0", APPS "/churn.so", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    (void)server_write_file(s, "remuda.yaml", "bind: 127.0.0.1:1\n");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    CHECK_EQ(lines_count(&s->log, "reload refused"), 0);
}

static void log_that_can_not_be_opened(void **state)
{
    (void)state;
    check_refused(yaml_of("app: " APPS "/churn.so\naccesslog: /nowhere/access.log\n"), "/nowhere");
}

SERVER_MAIN(SERVER_TEST(yaml_with_an_error), SERVER_TEST(yaml_that_is_none),
            SERVER_TEST(app_that_is_missing), SERVER_TEST(app_with_an_unresolved_symbol),
            SERVER_TEST(init_that_returns_an_error), SERVER_TEST(init_that_crashes),
            SERVER_TEST(init_that_ends_the_process), SERVER_TEST(init_that_hangs),
            SERVER_TEST(worker_init_that_returns_an_error), SERVER_TEST(worker_init_that_crashes),
            SERVER_TEST(worker_init_that_hangs), SERVER_TEST(bind_that_is_taken),
            SERVER_TEST(log_that_can_not_be_opened), SERVER_TEST(file_that_became_a_pipe),
            SERVER_TEST(secret_that_became_a_pipe), SERVER_TEST(file_that_was_a_pipe_at_the_start),
            SERVER_TEST(file_that_became_empty), SERVER_TEST(file_that_became_a_comment),
            SERVER_TEST(file_that_was_a_comment_may_be_one),
            SERVER_TEST(file_with_only_what_is_overruled_is_read))
