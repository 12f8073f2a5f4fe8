/* HUP: a new generation takes the old one's place, and no client notices. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define QUEUED 100 /* more than a worker accepts in a turn */
#define CLIENTS 8

/* Serves `app` by the file remuda.yaml in the server's folder. */
static struct server *start(const char *app, const char *yaml)
{
    struct server *s = server_new();
    const char *args[] = {"run", "-c", server_write_file(s, "remuda.yaml", yaml), app, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static void configure(struct server *s, const char *yaml)
{
    (void)server_write_file(s, "remuda.yaml", yaml);
}

/* Reloads, and waits until the old generation is gone. Returns the new one's number */
static long reload(struct server *s)
{
    server_signal(s, SIGHUP);
    long generation = lines_number(server_wait_log(s, "reloaded"), "generation");
    (void)server_wait_log(s, "generation gone");
    return generation;
}

static struct load *load_on(struct server *s, size_t address)
{
    struct load *l = load_start(server_address(s, address), CLIENTS, "/", "hello\n");
    load_wait_settled(l);
    return l;
}

static void end_load(struct load *l)
{
    load_wait_settled(l);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

static void copy_file(const char *from, const char *to)
{
    static char block[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700); /* in place */
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n = read(in, block, sizeof block); n > 0; n = read(in, block, sizeof block))
        CHECK(write(out, block, (size_t)n) == n);
    (void)close(in);
    (void)close(out);
}

static void reloads_under_load_lose_nothing(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/churn.so", "bind: 127.0.0.1:0\nworkers: 2\n");
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 100);
    size_t fds = 0;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(reload(s), i + 2);
        load_wait_generation(l, i + 2);
        if (i == 0)
            fds = procs_fd_count_at_rest(s->pid);
    }
    struct load_result result = load_finish(l);
    load_check(&result, 0);
    procs_wait_fds(s->pid, fds);
    server_wait_processes(s, 3);
}

static void new_settings_hold_for_new_requests(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 1\nserver_header: old\n");
    configure(s, "bind: 127.0.0.1:0\nworkers: 1\nserver_header: new\n");
    CHECK_EQ(reload(s), 2);
    struct reply r;
    reply_init(&r);
    client_exchange(client_to(s), &r, "GET /info HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(reply_field(&r, "Server"), "new");
    CHECK_EQ(json_number(r.body.data, "generation"), 2);
    reply_fini(&r);
}

static void app_replaced_in_place_is_taken(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *path = server_path(s, "app.so");
    copy_file(REMUDA_DEMO_SO, path);
    const char *args[] = {"run", path, "--bind", "127.0.0.1:0", "--workers", "2", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    free(client_get(s, "/json", 200));
    copy_file(REMUDA_HELLO_SO, path);
    free(client_get(s, "/json", 200)); /* nothing changes before the reload */
    CHECK_EQ(reload(s), 2);
    free(client_get(s, "/json", 404));
}

static void more_and_fewer_workers(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        int workers;
    } steps[] = {{"bind: 127.0.0.1:0\nworkers: 4\n", 4},
                 {"bind: 127.0.0.1:0\nworkers: 1\n", 1},
                 {"bind: 127.0.0.1:0\nworkers: 3\n", 3}};
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 2\n");
    struct load *l = load_on(s, 0);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        configure(s, steps[i].yaml);
        (void)reload(s);
        load_wait_answers(l, 100);
        server_wait_processes(s, (size_t)steps[i].workers + 1);
        for (int k = 0; k < 20; k++) /* wherever the kernel puts them */
            free(client_get(s, "/", 200));
    }
    end_load(l);
}

static void binds_are_added_and_removed(void **state)
{
    (void)state;
    char both[200], path[100];
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 2\n");
    struct load *stays = load_on(s, 0);
    (void)snprintf(path, sizeof path, "unix:%s", server_path(s, "socket"));
    (void)snprintf(both, sizeof both, "bind: [\"127.0.0.1:0\", \"%s\"]\nworkers: 2\n", path);
    configure(s, both);
    (void)reload(s);
    struct load *comes = load_start(path, CLIENTS, "/", "hello\n");
    load_wait_settled(comes);
    (void)reload(s);
    load_wait_answers(comes, 50);
    end_load(comes);
    configure(s, "bind: 127.0.0.1:0\nworkers: 2\n");
    (void)reload(s);
    CHECK(client_try(path) < 0);
    CHECK(access(server_path(s, "socket"), F_OK) != 0);
    end_load(stays);
}

/* A TCP bind goes while clients connect to it: each request that began is answered in full, and a
 * connect is refused at most. */
static void bind_that_goes_under_load_cuts_nobody(void **state)
{
    (void)state;
    char yaml[200];
    struct server *s =
        start(REMUDA_TEST_APPS_DIR "/churn.so", "bind: [127.0.0.1:0, localhost:0]\nworkers: 2\n");
    struct load *stays = load_start_mixed(server_address(s, 0), LOAD_MANNERS, 1, 500);
    (void)snprintf(yaml, sizeof yaml, "bind: 127.0.0.1:0\nworkers: 2\n");
    for (size_t i = 1; i < s->n_addresses; i++) {
        if (!strstr(server_address(s, i), "127.0.0.1"))
            continue; /* the load speaks IPv4 */
        struct load *goes = load_start_mixed(server_address(s, i), LOAD_MANNERS, 2, 500);
        load_wait_answers(goes, 50);
        configure(s, yaml);
        (void)reload(s);
        CHECK(client_try(server_address(s, i)) < 0);
        struct load_result result = load_finish(goes);
        CHECK_EQ(result.wrong, 0);
        CHECK_EQ(result.truncated, 0);
        for (size_t k = 0; k < result.broken && k < LOAD_BREAKS_MAX; k++)
            CHECK_EQ(result.breaks[k].answers, 0); /* reset before it was accepted */
    }
    load_wait_generation(stays, 2);
    struct load_result result = load_finish(stays);
    load_check(&result, 0);
}

/* Who is in the queue of a bind that goes is answered by the worker that has it, also when that was
 * busy and heard of it together with its own end. */
static void check_queue_of_a_bind_that_goes(const char *worker_class)
{
    char yaml[200], request[400];
    struct client *waiting[QUEUED];
    (void)snprintf(yaml, sizeof yaml,
                   "bind: [\"127.0.0.1:0\", \"127.0.0.2:0\"]\nworkers: 1\nworker_class: %s\n",
                   worker_class);
    struct server *s = start(REMUDA_TEST_APPS_DIR "/probe.so", yaml);
    struct client *busy = client_to(s);
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: x\r\n\r\n",
                   server_path(s, "gate"));
    client_send_text(busy, request);
    (void)server_wait_log(s, "probe waits");
    for (int i = 0; i < QUEUED; i++) {
        waiting[i] = client_open(server_address(s, 1));
        client_send_text(waiting[i], "GET /counts HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    (void)snprintf(yaml, sizeof yaml, "bind: \"127.0.0.1:0\"\nworkers: 1\nworker_class: %s\n",
                   worker_class);
    configure(s, yaml);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "no longer listening");
    (void)server_write_file(s, "gate", "");
    struct reply r;
    reply_init(&r);
    client_read(busy, &r, false);
    CHECK_EQ(r.status, 200);
    for (int i = 0; i < QUEUED; i++) {
        client_read(waiting[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    reply_fini(&r);
    (void)server_wait_log(s, "generation gone");
}

static void queue_of_a_bind_that_goes_is_answered_event(void **state)
{
    (void)state;
    check_queue_of_a_bind_that_goes("event");
}

static void queue_of_a_bind_that_goes_is_answered_sync(void **state)
{
    (void)state;
    check_queue_of_a_bind_that_goes("sync");
}

static void reload_asked_for_before_the_start_is_over_comes_after_it(void **state)
{
    (void)state;
    struct server *s = server_new();
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers", "2", NULL};
    server_launch(s, &(struct server_options){.args = args});
    (void)server_wait_log(s, "starting");
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 2);
    (void)server_wait_log(s, "generation gone");
}

/* Relative paths of the command line and of settings begin where they did at the start, whatever
 * `chdir` says and has said. */
static void relative_paths_mean_the_same_again(void **state)
{
    (void)state;
    struct server *s = server_new();
    char yaml[300];
    CHECK(mkdir(server_path(s, "one"), 0700) == 0 && mkdir(server_path(s, "two"), 0700) == 0);
    copy_file(REMUDA_DEMO_SO, server_path(s, "one/app.so"));
    copy_file(REMUDA_HELLO_SO, server_path(s, "two/app.so"));
    (void)snprintf(yaml, sizeof yaml, "bind: 127.0.0.1:0\nworkers: 1\nchdir: one\n");
    (void)server_write_file(s, "remuda.yaml", yaml);
    const char *args[] = {"run", "-c", "remuda.yaml", "app.so", NULL};
    server_launch(s, &(struct server_options){.args = args, .folder = s->folder});
    server_wait_ready(s);
    free(client_get(s, "/json", 200));
    CHECK_EQ(reload(s), 2);
    free(client_get(s, "/json", 200));
    configure(s, "bind: 127.0.0.1:0\nworkers: 1\nchdir: two\n");
    CHECK_EQ(reload(s), 3);
    free(client_get(s, "/json", 404));
    configure(s, "bind: 127.0.0.1:0\nworkers: 1\nchdir: three\n");
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"), "chdir");
    configure(s, "bind: 127.0.0.1:0\nworkers: 1\nchdir: one\n");
    CHECK_EQ(reload(s), 5);
    free(client_get(s, "/json", 200));
}

/* However many come while one is under way: exactly one more. */
static void storm_makes_one_more(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 2\n");
    struct load *l = load_on(s, 0);
    struct client *c = client_to(s); /* holds its worker in the drain */
    client_send_text(c, "GET /stream?n=20&ms=50 HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_wait(c);
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    for (int i = 0; i < 50; i++)
        server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 3);
    struct reply r;
    reply_init(&r);
    client_read(c, &r, false);
    CHECK_EQ(r.chunks, 20);
    reply_fini(&r);
    (void)server_wait_log(s, "generation gone");
    load_wait_answers(l, 200);
    (void)lines_take(&s->log);
    CHECK_EQ(lines_count(&s->log, "reloading"), 2);
    end_load(l);
}

static void stop_during_a_reload_wins(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 2\n");
    configure(s, "bind: 127.0.0.1:0\nworkers: 2\napp: " REMUDA_TEST_APPS_DIR "/init_hangs.so\n");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloading");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    server_check_gone(s, true);
}

static void log_files_change_with_a_reload(void **state)
{
    (void)state;
    char yaml[300];
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 1\n");
    (void)snprintf(yaml, sizeof yaml, "bind: 127.0.0.1:0\nworkers: 1\naccesslog: %s\n",
                   server_path(s, "access"));
    configure(s, yaml);
    (void)reload(s);
    size_t fds = procs_fd_count_at_rest(s->pid);
    free(client_get(s, "/hello/ann", 200));
    (void)snprintf(yaml, sizeof yaml, "bind: 127.0.0.1:0\nworkers: 1\naccesslog: %s\n",
                   server_path(s, "other"));
    configure(s, yaml);
    (void)reload(s);
    procs_wait_fds(s->pid, fds); /* the old one is closed */
    free(client_get(s, "/hello/ben", 200));
    configure(s, "bind: 127.0.0.1:0\nworkers: 1\n");
    (void)reload(s);
    procs_wait_fds(s->pid, fds - 1);
    char text[2000] = "";
    FILE *f = fopen(server_path(s, "access"), "re");
    CHECK(f && fread(text, 1, sizeof text - 1, f) > 0);
    (void)fclose(f);
    CHECK_HAS(text, "/hello/ann");
    CHECK_HAS_NOT(text, "/hello/ben");
}

static void settings_that_take_a_restart_are_named(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "bind: 127.0.0.1:0\nworkers: 1\n");
    configure(s, "bind: 127.0.0.1:0\nworkers: 1\nbacklog: 7\ninflight: 100\n");
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "settings that take a restart stay as they were"),
              "\"backlog, inflight\"");
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "generation"), 2);
}

SERVER_MAIN(SERVER_TEST(reloads_under_load_lose_nothing),
            SERVER_TEST(new_settings_hold_for_new_requests),
            SERVER_TEST(app_replaced_in_place_is_taken), SERVER_TEST(more_and_fewer_workers),
            SERVER_TEST(binds_are_added_and_removed),
            SERVER_TEST(queue_of_a_bind_that_goes_is_answered_event),
            SERVER_TEST(queue_of_a_bind_that_goes_is_answered_sync),
            SERVER_TEST(bind_that_goes_under_load_cuts_nobody),
            SERVER_TEST(reload_asked_for_before_the_start_is_over_comes_after_it),
            SERVER_TEST(relative_paths_mean_the_same_again), SERVER_TEST(storm_makes_one_more),
            SERVER_TEST(stop_during_a_reload_wins), SERVER_TEST(log_files_change_with_a_reload),
            SERVER_TEST(settings_that_take_a_restart_are_named))
