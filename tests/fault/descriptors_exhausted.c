/* No descriptor is left in a worker: it neither crashes nor spins, goes on serving what it has, and
 * accepts again when there is room. */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"
#define SHORT "worker may open no more descriptors: it accepts again when some are closed"

static struct reply r;

static void ask(struct client *c)
{
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
}

static void set_descriptor_limit(pid_t pid, rlim_t soft)
{
    struct rlimit limit;
    CHECK(prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0);
    limit.rlim_cur = soft;
    CHECK(prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

static void worker_goes_on_and_recovers(void **state)
{
    (void)state;
    enum { HELD = 10 };
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *held[HELD], *late[HELD];
    pid_t pid = server_worker_pid(s, 0);
    struct rlimit before;
    CHECK(prlimit(pid, RLIMIT_NOFILE, NULL, &before) == 0);
    for (int i = 0; i < HELD; i++) {
        held[i] = client_to(s);
        ask(held[i]);
    }
    set_descriptor_limit(pid, 4); /* below all that are open: the next accept gets EMFILE */
    for (int i = 0; i < HELD; i++) {
        late[i] = client_to(s);
        client_send_text(late[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < HELD; i++)
            ask(held[i]);
    /* A window to look through, not a wait for anything. A loop that spins uses all of it; one that
     * waits next to nothing, however slow the machine is. */
    unsigned long ticks = procs_cpu_ticks(pid);
    uint64_t end = clock_now_us() + CLOCK_US_PER_S;
    while (patience_turn(end))
        continue;
    ticks = procs_cpu_ticks(pid) - ticks;
    CHECK_SAYING(ticks < 40, "it used %lu of 100 ticks of CPU", ticks);
    set_descriptor_limit(pid, before.rlim_cur);
    for (int i = 0; i < HELD; i++) {
        client_read(late[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    CHECK_EQ(server_worker_pid(s, 0), pid);
}

/* A stop, and nobody can be accepted for want of descriptors: who is in the queues is not forgotten
 * for that, and one line says it, however many sockets there are. */
static void check_queues_at_a_stop(const char *worker_class)
{
    enum { BINDS = 4, COUNT = 3 * BINDS };
    char request[400];
    struct client *queued[COUNT];
    struct server *s = server_start_app(PROBE_SO, "--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0",
                                        "--bind", "127.0.0.1:0", "--workers", "1", "--set",
                                        worker_class, "--set", "graceful_timeout=1h", NULL);
    CHECK_EQ(s->n_addresses, BINDS);
    pid_t pid = server_worker_pid(s, 0);
    struct rlimit before;
    CHECK(prlimit(pid, RLIMIT_NOFILE, NULL, &before) == 0);
    struct client *busy = client_to(s);
    (void)snprintf(request, sizeof request,
                   "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(busy, request);
    (void)server_wait_log(s, "probe waits");
    for (int i = 0; i < COUNT; i++) {
        queued[i] = client_open(server_address(s, (size_t)i % BINDS));
        client_send_text(queued[i], "GET /counts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    set_descriptor_limit(pid, 4);
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    (void)server_write_file(s, "go", "");
    client_read(busy, &r, false);
    CHECK_EQ(r.status, 200);
    (void)server_wait_log(s, SHORT);
    uint64_t end = clock_now_us() + CLOCK_US_PER_S / 2;
    while (patience_turn(end)) /* a window in which the sockets would be closed */
        continue;
    set_descriptor_limit(pid, before.rlim_cur);
    for (int i = 0; i < COUNT; i++) {
        client_read(queued[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, SHORT), 1);
}

static void queues_are_answered_at_a_stop_event(void **state)
{
    (void)state;
    check_queues_at_a_stop("worker_class=event");
}

static void queues_are_answered_at_a_stop_sync(void **state)
{
    (void)state;
    check_queues_at_a_stop("worker_class=sync");
}

/* A hard limit that is too low for worker_connections: the server says so, with both numbers, and
 * does what is possible; strict makes it an error. */
static void limit_descriptors(void *arg)
{
    struct rlimit limit = {.rlim_cur = *(rlim_t *)arg, .rlim_max = *(rlim_t *)arg};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        _Exit(125);
    (void)prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE); /* with it a hard limit is none */
}

static void low_limit_is_told_and_served_with(void **state)
{
    (void)state;
    rlim_t limit = 200;
    const char *args[] = {"run",       REMUDA_DEMO_SO,
                          "--bind",    "127.0.0.1:0",
                          "--workers", "1",
                          "--set",     "worker_connections=100000",
                          NULL};
    struct server *s = server_start(&(struct server_options){
        .args = args, .prepare = limit_descriptors, .prepare_arg = &limit});
    const char *line = server_wait_log_text(s, "limit_nofile=200");
    CHECK_HAS(line, " warn ");
    CHECK_HAS(line, "configured=100000");
    server_wait_ready(s);
    free(client_get(s, "/", 200));
}

static void low_limit_is_an_error_under_strict(void **state)
{
    (void)state;
    rlim_t limit = 200;
    const char *args[] = {"run",         REMUDA_DEMO_SO, "--bind",
                          "127.0.0.1:0", "--set",        "worker_connections=100000",
                          "--set",       "strict=yes",   NULL};
    struct server *s = server_start(&(struct server_options){
        .args = args, .prepare = limit_descriptors, .prepare_arg = &limit});
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "200");
    CHECK_EQ(lines_count(&s->log, "ready"), 0);
}

SERVER_MAIN(SERVER_TEST(worker_goes_on_and_recovers),
            SERVER_TEST(queues_are_answered_at_a_stop_event),
            SERVER_TEST(queues_are_answered_at_a_stop_sync),
            SERVER_TEST(low_limit_is_told_and_served_with),
            SERVER_TEST(low_limit_is_an_error_under_strict))
