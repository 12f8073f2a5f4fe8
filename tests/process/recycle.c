/* Workers that have done enough: they say so, once, and nobody who is served notices. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"
#define CHURN_SO REMUDA_TEST_APPS_DIR "/churn.so"

/* One process has nobody to replace it: it is logged, and served on. */
static void single_mode_says_it_once_and_serves_on(void **state)
{
    (void)state;
    struct server *s = server_start_args("run", "--single", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0",
                                         "--set", "max_requests=3", NULL);
    server_wait_ready(s);
    for (int i = 0; i < 3; i++)
        free(client_get(s, "/", 200));
    const char *line = server_wait_log(s, "worker is worn");
    CHECK_HAS(line, "max_requests with its jitter is 3");
    CHECK_HAS(line, "nothing: there is no other process");
    for (int i = 0; i < 10; i++)
        free(client_get(s, "/", 200));
    CHECK_EQ(lines_count(&s->log, "worker is worn"), 1);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* Over and over again, and nobody is cut, refused or served twice. */
static void workers_are_replaced_under_load(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--set", "max_requests=50", "--set",
                                        "max_requests_jitter=20", NULL);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    for (int i = 0; i < 10; i++)
        (void)server_wait_log_text(s, "why=\"worn, and replaced\"");
    load_wait_answers(l, 50);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
}

/* The replacement comes first: there is never less than one worker. */
static void only_worker_is_replaced_without_a_gap(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "max_requests=5", NULL);
    for (int round = 0; round < 5; round++) {
        pid_t pid = server_worker_pid(s, 0);
        for (int i = 0; i < 5; i++)
            free(client_get(s, "/", 200));
        (void)server_wait_log(s, "worker worn");
        (void)server_wait_log(s, "worker ready slot=0");
        (void)server_wait_log(s, "worker ended");
        CHECK(server_worker_pid(s, 0) != pid);
    }
    server_wait_processes(s, 2);
}

/* All are worn at about the same time: one after the other goes, each when its successor is
 * there. */
static void never_two_at_once(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "4", "--set", "max_requests=1", NULL);
    struct load *l = load_start(server_address(s, 0), 8, "/", "hello\n");
    for (int i = 0; i < 12; i++)
        (void)server_wait_log_text(s, "why=\"worn, and replaced\"");
    struct load_result result = load_finish(l);
    load_check(&result, 0);
    /* A line "ready" of a successor, then one "leaves" of whom it relieves: never two of either. */
    int ahead = 0;
    const char *text = strstr(lines_text(&s->log), " ready workers=4");
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t len = strcspn(line, "\n");
        if (memmem(line, len, ": worker ready slot=", 20))
            ahead++;
        else if (memmem(line, len, "worn, and replaced", 18))
            ahead--;
        CHECK(ahead == 0 || ahead == 1);
    }
}

static void replacement_that_fails_leaves_the_worn_one(void **state)
{
    (void)state;
#ifdef REMUDA_DEBUG
    struct server *s = server_new();
    const char *args[] = {"run", REMUDA_HELLO_SO, "--bind",         "127.0.0.1:0", "--workers",
                          "1",   "--set",         "max_requests=3", NULL};
    /* Those of master, loader and its intermediate for the first worker pass; then one fails in
     * each process. */
    const char *env[] = {"REMUDA_FAULT=spawn.fork:11:3:1", NULL};
    server_launch(s, &(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    pid_t pid = server_worker_pid(s, 0);
    for (int i = 0; i < 3; i++)
        free(client_get(s, "/hello/a", 200));
    (void)server_wait_log(s, "worker worn");
    (void)server_wait_log(s, "fork refused");
    CHECK(procs_is_alive(pid));
    free(client_get(s, "/hello/a", 200));
    (void)server_wait_log(s, "worker ready slot=0");
    (void)server_wait_log(s, "worker ended");
    CHECK(server_worker_pid(s, 0) != pid);
    free(client_get(s, "/hello/a", 200));
#else
    skip(); /* fault points exist only in debug builds */
#endif
}

static void reload_replaces_worn_ones_as_well(void **state)
{
    (void)state;
    struct server *s = server_start_app(CHURN_SO, "--set", "max_requests=40", NULL);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    for (int generation = 2; generation < 8; generation++) {
        load_wait_answers(l, 60);
        server_signal(s, SIGHUP);
        (void)server_wait_log(s, "reloaded");
        load_wait_generation(l, generation);
    }
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

/* Mixed load, each octet checked; returns when so many workers have been replaced and gone. */
static void check_replaced_under_load(const char *setting, const char *jitter, unsigned times,
                                      const char *why)
{
    struct server *s = server_start_app(CHURN_SO, "--set", setting, "--set", jitter, NULL);
    struct load *load = load_start_mixed(server_address(s, 0), 16, 7, 3000);
    for (unsigned i = 0; i < times; i++)
        CHECK_HAS(server_wait_log(s, "worker worn"), why);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (lines_count(&s->log, "worker ended") < times)
        CHECK_SAYING(patience_turn(deadline), "%u workers have ended, not %u",
                     lines_count(&s->log, "worker ended"), times);
    struct load_result result = load_finish(load);
    load_check(&result, 0);
    CHECK_EQ(result.unasked, 0);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
    CHECK_EQ(lines_count(&s->log, "request cut"), 0);
}

static void lifetimes_that_end_under_load_lose_nothing(void **state)
{
    (void)state;
    check_replaced_under_load("worker_lifetime=1s", "max_requests=0", 4, "worker_lifetime");
}

static void worker_that_grows_is_replaced(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "max_rss=400MiB", NULL);
    pid_t pid = server_worker_pid(s, 0);
    free(client_get(s, "/leak?mb=500", 200));
    CHECK_HAS(server_wait_log(s, "worker worn"), "max_rss is 409600 KiB");
    CHECK(procs_wait_gone(pid, PATIENCE_MS));
    free(client_get(s, "/counts", 200));
}

/* Else it would be replaced by others like it for ever. */
static void limit_below_what_a_worker_begins_with_is_told_and_ignored(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "max_rss=1MiB", NULL);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!strstr(lines_text(&s->log), "max_rss has no effect")) {
        (void)lines_take(&s->log);
        CHECK(patience_turn(deadline));
    }
    pid_t pid = server_worker_pid(s, 0);
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/", 200));
    CHECK_EQ(lines_count(&s->log, "worker worn"), 0);
    CHECK(procs_is_alive(pid));
}

SERVER_MAIN(SERVER_TEST(single_mode_says_it_once_and_serves_on),
            SERVER_TEST(workers_are_replaced_under_load),
            SERVER_TEST(only_worker_is_replaced_without_a_gap), SERVER_TEST(never_two_at_once),
            SERVER_TEST(replacement_that_fails_leaves_the_worn_one),
            SERVER_TEST(reload_replaces_worn_ones_as_well),
            SERVER_TEST(lifetimes_that_end_under_load_lose_nothing),
            SERVER_TEST(worker_that_grows_is_replaced),
            SERVER_TEST(limit_below_what_a_worker_begins_with_is_told_and_ignored))
