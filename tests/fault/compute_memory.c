/* Heavy handlers that want more memory than memory_limit: their clients are told which limit it
 * was, the log which worker, task and request, nobody else notices, and at no moment have all
 * compute workers together more private memory than they may. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define WILD_SO REMUDA_TEST_APPS_DIR "/wild.so"
#define WORKERS 3
#define LIMIT_KIB (64UL * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_MEMORY_LIMIT false
#else
#define HAS_MEMORY_LIMIT true
#endif

static struct reply r;

static struct server *start(const char *app, const char *workers)
{
    if (!HAS_MEMORY_LIMIT)
        skip(); /* sanitizers map terabytes: confine_has_memory_limit() */
    server_let_crash();
    struct server *s =
        server_start_app(app, "--workers", "1", "--set", workers, "--set",
                         "compute.memory_limit=64MiB", "--set", "compute.breaker.failures=0", NULL);
    s->is_violent = true;
    return s;
}

static void ask(struct server *s, const char *target)
{
    char request[128];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: greedy\r\n\r\n", target);
    client_exchange(c, &r, request);
    client_close(c);
}

/* Who answers now, which somebody does at once. */
static pid_t who(struct server *s)
{
    ask(s, "/compute/info");
    CHECK_EQ(r.status, 200);
    return (pid_t)control_number(r.body.data, "pid");
}

static void too_much_is_503_and_a_fresh_worker_answers_the_next(void **state)
{
    (void)state;
    char target[64], task[64];
    struct server *s = start(REMUDA_DEMO_SO, "compute.workers=1");
    struct load *load = load_start(server_address(s, 0), 4, "/", NULL);
    load_wait_settled(load);
    for (unsigned i = 0; i < patience_times(5, 50); i++) {
        pid_t before = who(s);
        server_skip_log(s);
        (void)snprintf(target, sizeof target, "/alloc?mb=100&%u", i);
        ask(s, target);
        CHECK_EQ(r.status, 503);
        CHECK_HAS(r.body.data, "memory_limit (64 MiB)");
        const char *died = server_wait_log(s, "compute worker died");
        CHECK_EQ(lines_number(died, "pid"), before);
        CHECK_EQ(lines_number(died, "memory_limit_bytes"), LIMIT_KIB * 1024);
        CHECK(lines_pair(died, "task", task, sizeof task) && strlen(task) == 16);
        CHECK_HAS(died, "route=\"GET /alloc\"");
        CHECK_HAS(died, "trace=greedy");
        CHECK(who(s) != before);
    }
    struct load_result result = load_finish(load);
    load_check(&result, 0);
}

/* Up to the limit, or nearly: something is lost to what malloc keeps. */
static void as_much_as_the_limit_is_given(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, "compute.workers=1");
    pid_t before = who(s);
    for (int i = 0; i < 3; i++) {
        ask(s, "/alloc?mb=60");
        CHECK_EQ(r.status, 200);
    }
    CHECK_EQ(who(s), before);
    s->is_violent = false;
}

/* Of all compute workers, at this moment. */
static unsigned long sum_kib(const struct server *s)
{
    pid_t pids[PROCS_MAX];
    char name[32];
    unsigned long sum = 0;
    for (size_t n = procs_below(s->pid, pids); n > 0; n--)
        if (strcmp(procs_name(pids[n - 1], name, sizeof name), "remuda-compute") == 0)
            sum += procs_private_kib(pids[n - 1]);
    return sum;
}

/* All of them at once, with threads and without. They hold what they have until it was seen. */
static void hoard(struct server *s, unsigned threads)
{
    struct client *clients[WORKERS];
    char request[400], gate[32];
    unsigned long most = 0, now;
    unsigned before = lines_count(&s->log, "wild has all");
    uint64_t deadline = patience_until(PATIENCE_MS);
    (void)snprintf(gate, sizeof gate, "go%u", threads);
    for (unsigned i = 0; i < WORKERS; i++) {
        clients[i] = client_to(s);
        (void)snprintf(request, sizeof request,
                       "GET /hoard?threads=%u&worker=%u&file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                       threads, i, server_path(s, gate));
        client_send_text(clients[i], request);
    }
    do {
        now = sum_kib(s);
        most = now > most ? now : most;
        (void)lines_take(&s->log);
        CHECK_SAYING(patience_turn(deadline), "only %lu KiB were taken", most);
    } while (lines_count(&s->log, "wild has all") < before + WORKERS);
    now = sum_kib(s);
    most = now > most ? now : most;
    (void)server_write_file(s, gate, "");
    for (unsigned i = 0; i < WORKERS; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 503);
        CHECK_HAS(r.body.data, "memory_limit (64 MiB)");
        client_close(clients[i]);
        (void)server_wait_log(s, "compute worker died");
        now = sum_kib(s);
        most = now > most ? now : most;
    }
    (void)printf("> %u workers that take all they can, with %u threads each: %lu of %lu KiB\n",
                 WORKERS, threads, most, WORKERS * LIMIT_KIB);
    CHECK_SAYING(most <= WORKERS * LIMIT_KIB, "%lu KiB, allowed are %lu", most,
                 WORKERS * LIMIT_KIB);
    CHECK_SAYING(most > WORKERS * LIMIT_KIB * 3 / 4, "only %lu KiB", most); /* it was watched */
}

static void private_memory_of_all_never_exceeds_their_limits(void **state)
{
    (void)state;
    struct server *s = start(WILD_SO, "compute.workers=3");
    struct load *load = load_start(server_address(s, 0), 4, "/", "hello\n");
    load_wait_settled(load);
    hoard(s, 0);
    hoard(s, 4);
    struct load_result result = load_finish(load);
    load_check(&result, 0);
}

SERVER_MAIN(SERVER_TEST(too_much_is_503_and_a_fresh_worker_answers_the_next),
            SERVER_TEST(as_much_as_the_limit_is_given),
            SERVER_TEST(private_memory_of_all_never_exceeds_their_limits))
