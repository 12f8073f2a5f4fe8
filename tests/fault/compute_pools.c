/* Compute pools in need: workers that can't start, that are worn while they have much to do, or
 * where memory has no room for two. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define SHUTS_SO REMUDA_TEST_APPS_DIR "/shuts_queue.so"
#define WILD_SO REMUDA_TEST_APPS_DIR "/wild.so"
#define INIT_SO REMUDA_TEST_APPS_DIR "/compute_init_fails.so"

static struct reply r;

static struct client *ask(struct server *s, const char *target)
{
    char request[160];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_send_text(c, request);
    return c;
}

/* Its handler runs until the file is written. */
static struct client *ask_until(struct server *s, const char *path, const char *file)
{
    char target[128];
    (void)snprintf(target, sizeof target, "%s?file=%s", path, server_path(s, file));
    return ask(s, target);
}

static void expect(struct client *c, int status)
{
    client_read(c, &r, false);
    CHECK_EQ(r.status, status);
    client_close(c);
}

/* Fault points are compiled in with REMUDA_DEBUG only. */
static void skip_without_faults(void)
{
#ifndef REMUDA_DEBUG
    skip(); /* a release has no fault points */
#endif
}

/* ---- workers that can't start ---- */

static void init_that_fails_ends_the_first_start(void **state)
{
    (void)state;
    struct server *s = server_new();
    s->is_violent = true;
    (void)server_write_file(s, "no_model", "");
    const char *args[] = {"run", INIT_SO, "--bind", "127.0.0.1:0", NULL};
    server_launch(s, &(struct server_options){.args = args});
    CHECK_EQ(server_wait_exit(s), 4);
    CHECK_HAS(lines_text(&s->log), "no model for default");
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "compute_init returned 3");
    CHECK_EQ(lines_count(&s->log, "ready"), 0);
    server_check_gone(s, true);
}

static void init_that_fails_at_a_reload_leaves_all_as_it_is(void **state)
{
    (void)state;
    struct server *s = server_start_app(INIT_SO, NULL);
    s->is_violent = true;
    (void)server_write_file(s, "no_model", "");
    server_signal(s, SIGHUP);
    CHECK_HAS(server_wait_log(s, "reload refused"), "compute_init returned 3");
    (void)server_wait_log(s, "generation gone");
    free(client_get(s, "/heavy", 200));
}

static void what_nobody_uses_is_told(void **state)
{
    (void)state;
    struct server *s = server_start_app(INIT_SO, "--set", "pools.idle.workers=1", "--set",
                                        "routes.GET /.pool=idle", NULL);
    CHECK_HAS(lines_find_last(&s->log, "pool of a route has no effect"), "route=\"GET /\"");
    CHECK_HAS(lines_find_last(&s->log, "compute pool is not used"), "pool=idle");
    CHECK_EQ(lines_count(&s->log, "field of a route has no effect"), 0);
    s = server_start_app(HEAVY_SO, "--set", "pools.other.workers=1", "--set",
                         "routes.GET /crash-often-idempotent.lane=io", "--set",
                         "routes.GET /moody-with-fallback.lane=inline", NULL);
    CHECK_EQ(lines_count(&s->log, "field of a route has no effect"), 2);
    CHECK_HAS(lines_text(&s->log), "route=\"GET /moody-with-fallback\" field=fallback");
    CHECK_HAS(lines_text(&s->log), "route=\"GET /crash-often-idempotent\" field=idempotent");
}

/* ---- addresses ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true /* that maps terabytes */
#else
#define IS_SANITIZED false
#endif

static void limit_addresses(void *bytes)
{
    const struct rlimit limit = {*(const rlim_t *)bytes, *(const rlim_t *)bytes};
    if (setrlimit(RLIMIT_AS, &limit) < 0)
        _exit(99);
}

static struct server *start_within(rlim_t *bytes)
{
    const char *args[] = {"run", INIT_SO, "--bind", "127.0.0.1:0", NULL};
    return server_start(
        &(struct server_options){.args = args, .prepare = limit_addresses, .prepare_arg = bytes});
}

static void a_segment_is_as_large_as_addresses_allow(void **state)
{
    (void)state;
    rlim_t bytes = (rlim_t)8 << 30;
    if (IS_SANITIZED)
        skip(); /* its own maps don't fit into so few addresses */
    struct server *s = start_within(&bytes);
    server_wait_ready(s);
    CHECK_HAS(lines_find_last(&s->log, "segment smaller than configured"), "segment_bytes=");
    char *body = client_get(s, "/heavy", 200);
    CHECK_TEXT(body, "compute\n");
    free(body);
}

static void without_room_for_any_segment_nothing_is_served(void **state)
{
    (void)state;
    rlim_t bytes = (rlim_t)5 << 30; /* enough for the shared table */
    if (IS_SANITIZED)
        skip(); /* its own maps don't fit into so few addresses */
    struct server *s = start_within(&bytes);
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 1);
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "raise the limit on it (ulimit -v)");
    server_check_gone(s, true);
}

static void limit_files(void *bytes)
{
    const struct rlimit limit = {*(const rlim_t *)bytes, *(const rlim_t *)bytes};
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        _exit(99);
}

/* What every server needs, whatever its app: it is told which limit is in its way. */
static void without_room_for_the_table_the_limit_is_named(void **state)
{
    (void)state;
    rlim_t bytes = (rlim_t)1 << 30;
    const char *args[] = {"run", INIT_SO, "--bind", "127.0.0.1:0", NULL};
    struct server *s = server_start(
        &(struct server_options){.args = args, .prepare = limit_files, .prepare_arg = &bytes});
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 4);
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "raise the limit on it (ulimit -f)");
    if (IS_SANITIZED)
        return;
    s = start_within(&bytes);
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 4);
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "raise the limit on it (ulimit -v)");
}

/* Once in each process: whatever becomes of it, no heavy handler runs in a web worker. */
static void who_can_not_map_the_segment_does_not_start(void **state)
{
    (void)state;
    skip_without_faults();
    const char *args[] = {"run", INIT_SO, "--bind", "127.0.0.1:0", NULL};
    const char *env[] = {"REMUDA_FAULT=segment_map:ENOMEM", NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 4);
    CHECK_HAS(lines_text(&s->log), "worker can't start reason=\"payload segment");
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "no address space for");
    server_check_gone(s, true);
}

/* ---- queues that are shut ---- */

#define N_WAITING 5

/* What waits is answered, though the other worker of the pool has its hands full all the time. */
static void shut_while_others_wait(const char *target, bool is_answered)
{
    struct client *waiting[N_WAITING];
    struct server *s = server_start_app(SHUTS_SO, "--set", "compute.workers=2", NULL);
    s->is_violent = true;
    struct client *held = ask(s, "/hold");
    struct client *shut = ask(s, target);
    control_wait_member(s, "compute_workers.0.state", "busy");
    control_wait_member(s, "compute_workers.1.state", "busy");
    for (int i = 0; i < N_WAITING; i++)
        waiting[i] = ask(s, "/quick");
    control_wait_member(s, "pools.0.queued", "5");
    (void)server_write_file(s, "shut", "");
    client_read(shut, &r, false);
    CHECK_EQ(r.status == 200, is_answered);
    client_close(shut);
    for (int i = 0; i < N_WAITING; i++)
        expect(waiting[i], 200);
    CHECK_HAS(server_wait_log(s, "queue shut"), "lost=0");
    (void)server_write_file(s, "release", "");
    expect(held, 200);
    control_wait_member(s, "pools.0.workers_ready", "2");
    free(client_get(s, "/quick", 200));
    CHECK_EQ(lines_count(&s->log, "compute worker killed"), 0);
}

static void queue_shut_by_one_who_leaves_loses_nothing(void **state)
{
    (void)state;
    shut_while_others_wait("/shut?exit=1", false);
}

static void queue_shut_by_one_who_goes_on_loses_nothing(void **state)
{
    (void)state;
    shut_while_others_wait("/shut", true);
}

/* ---- workers that are worn ---- */

/* How long the only request that is in hand has been there. */
static uint64_t age_ms(struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    const char *at = strstr(answer, "\"elapsed_ms\":");
    CHECK_SAYING(at, "no request in %s", answer);
    uint64_t ms = strtoull(at + strlen("\"elapsed_ms\":"), NULL, 10);
    free(answer);
    return ms;
}

static pid_t expect_pid(struct client *c)
{
    int pid = 0;
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_EQ(sscanf(r.body.data, "compute %d", &pid), 1);
    client_close(c);
    return pid;
}

/* How long a drain may take: what looks for leaks needs a part of it when a process ends. */
static unsigned drain_ms(void)
{
    return 1000 * patience_factor();
}

/* The second task waits while the worker has its last one in hand, and is held for longer than a
 * drain may take. Returns whether the worn one had it, and not the one that replaces it */
static bool replace_with_a_task_in_hand(struct server *s, int round)
{
    char files[2][24];
    for (int i = 0; i < 2; i++)
        (void)snprintf(files[i], sizeof files[i], "go-%d-%d", round, i);
    server_skip_log(s);
    struct client *first = ask_until(s, "/who", files[0]);
    control_wait_member(s, "compute_workers.0.state", "busy");
    struct client *second = ask_until(s, "/who", files[1]);
    control_wait_member(s, "pools.0.queued", "1");
    (void)server_write_file(s, files[0], "");
    pid_t worn = expect_pid(first);
    const char *leaves = server_wait_log(s, "compute worker leaves");
    while (lines_number(leaves, "pid") != worn) /* the one that the round before was about */
        leaves = server_wait_log(s, "compute worker leaves");
    CHECK_HAS(leaves, "why=\"worn, and replaced\"");
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (uint64_t since_ms = age_ms(s); age_ms(s) < since_ms + drain_ms() + 200;)
        CHECK(patience_turn(deadline));
    (void)server_write_file(s, files[1], "");
    return expect_pid(second) == worn;
}

static void one_that_is_replaced_finishes_its_task(void **state)
{
    (void)state;
    char limit[40];
    (void)snprintf(limit, sizeof limit, "graceful_timeout=%ums", drain_ms());
    struct server *s = server_start_app(WILD_SO, "--workers", "1", "--set", "compute.workers=1",
                                        "--set", "compute.max_tasks=1", "--set", limit, NULL);
    int round = 0;
    while (!replace_with_a_task_in_hand(s, round)) /* the next one was there before it could */
        CHECK(++round < 10);
    (void)server_wait_log(s, "compute worker ended");
    CHECK_EQ(lines_count(&s->log, "compute worker killed"), 0);
}

static void where_memory_has_no_room_for_two_the_worn_one_goes_first(void **state)
{
    (void)state;
    skip_without_faults();
    const char *args[] = {"run",    HEAVY_SO,
                          "--bind", "127.0.0.1:0",
                          "--set",  "compute.workers=1",
                          "--set",  "compute.max_tasks=2",
                          "--set",  "pools.other.workers=1",
                          NULL};
    const char *env[] = {"REMUDA_FAULT=renew.room:ENOMEM", NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 3; n++) /* the third by the next one, or by the worn one yet */
            free(client_get(s, "/who", 200));
        CHECK_HAS(server_wait_log(s, "compute worker leaves"), "no room for another beside it");
        (void)server_wait_log(s, "compute worker ended");
        (void)server_wait_log(s, "compute worker ready");
    }
    CHECK_EQ(lines_count(&s->log, "compute worker died"), 0);
}

/* ---- all of it at once ---- */

static void scale(struct server *s, const char *workers)
{
    char request[96];
    (void)snprintf(request, sizeof request,
                   "{\"request\":\"scale\",\"pool\":\"default\",\"workers\":\"%s\"}", workers);
    char *answer = control_ask(s, request);
    CHECK_HAS(answer, "\"outcome\":\"done\"");
    free(answer);
}

/* More workers and fewer, worn ones, reloads: no task is lost or refused. */
static void a_pool_that_changes_all_the_time_loses_nothing(void **state)
{
    (void)state;
    static const char *const wishes[] = {"4", "1", "+2", "-1", "5", "1"};
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--set", "compute.workers=2", "--set",
                         "compute.max_tasks=15", "--set", "routes.GET /sleep.lane=compute", NULL);
    struct load *l = load_start(server_address(s, 0), 8, "/sleep?ms=2", "slept 2\n");
    load_wait_answers(l, 50);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
            scale(s, wishes[i]);
            load_wait_answers(l, 60);
        }
        server_signal(s, SIGHUP);
        (void)server_wait_log(s, "reloaded");
        load_wait_answers(l, 60);
    }
    struct load_result result = load_finish(l);
    load_check(&result, 0);
    CHECK_EQ(lines_count(&s->log, "compute worker died"), 0);
    CHECK_EQ(lines_count(&s->log, "compute worker killed"), 0);
}

/* ---- pools that grow ---- */

static struct server *start_growing(const char *fault)
{
    const char *args[] = {"run", WILD_SO, "--bind", "127.0.0.1:0", "--set", "compute.workers.max=2",
                          NULL};
    const char *env[] = {fault, NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    return s;
}

static void where_memory_has_no_room_a_pool_does_not_grow(void **state)
{
    (void)state;
    skip_without_faults();
    struct server *s = start_growing("REMUDA_FAULT=growth.room:ENOMEM");
    struct client *first = ask_until(s, "/who", "go");
    struct client *second = ask_until(s, "/who", "go");
    CHECK_HAS(server_wait_log(s, "compute pool does not grow"), "memory has no room");
    (void)server_write_file(s, "go", "");
    expect(first, 200);
    expect(second, 200);
    CHECK_EQ(lines_count(&s->log, "compute pool grows"), 0);
}

static void a_reload_does_not_make_a_busy_pool_small_again(void **state)
{
    (void)state;
    struct server *s = start_growing("REMUDA_FAULT=");
    struct client *first = ask_until(s, "/who", "go");
    struct client *second = ask_until(s, "/who", "go");
    (void)server_wait_log(s, "compute pool grows");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    control_wait_member(s, "pools.0.workers_wanted", "2");
    (void)server_write_file(s, "go", "");
    expect(first, 200);
    expect(second, 200);
}

SERVER_MAIN(SERVER_TEST(init_that_fails_ends_the_first_start),
            SERVER_TEST(init_that_fails_at_a_reload_leaves_all_as_it_is),
            SERVER_TEST(what_nobody_uses_is_told),
            SERVER_TEST(a_segment_is_as_large_as_addresses_allow),
            SERVER_TEST(without_room_for_any_segment_nothing_is_served),
            SERVER_TEST(without_room_for_the_table_the_limit_is_named),
            SERVER_TEST(who_can_not_map_the_segment_does_not_start),
            SERVER_TEST(queue_shut_by_one_who_leaves_loses_nothing),
            SERVER_TEST(queue_shut_by_one_who_goes_on_loses_nothing),
            SERVER_TEST(one_that_is_replaced_finishes_its_task),
            SERVER_TEST(where_memory_has_no_room_for_two_the_worn_one_goes_first),
            SERVER_TEST(a_pool_that_changes_all_the_time_loses_nothing),
            SERVER_TEST(where_memory_has_no_room_a_pool_does_not_grow),
            SERVER_TEST(a_reload_does_not_make_a_busy_pool_small_again))
