/* Processes: how many there are, who they are, what they hold, and the mode with one process. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

/* Connects anew until a worker of that slot has answered: which one gets a connection is the
 * kernel's choice. */
static pid_t wait_answer_of_slot(struct server *s, int slot)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        char *info = client_get(s, "/info", 200);
        long seen = json_number(info, "slot");
        pid_t pid = (pid_t)json_number(info, "pid");
        free(info);
        if (seen == slot)
            return pid;
        CHECK_SAYING(patience_turn(deadline), "no answer from slot %d", slot);
    }
}

static void as_many_workers_as_asked_for_each_with_its_slot(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "3", NULL);
    const char *line = lines_find_last(&s->log, "ready");
    CHECK_EQ(lines_number(line, "workers"), 3);
    CHECK_EQ(lines_number(line, "generation"), 1);
    CHECK_EQ(lines_count(&s->log, "worker ready"), 3);
    for (int slot = 0; slot < 3; slot++) {
        pid_t pid = wait_answer_of_slot(s, slot);
        CHECK_EQ(pid, server_worker_pid(s, slot));
    }
    server_wait_processes(s, 4); /* three workers and the loader, no leftovers */
}

static void one_cpu_makes_one_worker(void **state)
{
    (void)state;
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", NULL};
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
            break;
        }
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    struct server *s = server_start(&(struct server_options){.args = args});
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    CHECK_EQ(lines_number(server_wait_log(s, "ready"), "workers"), 1);
}

static void init_runs_once_and_worker_init_once_in_each_worker(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    char *counts = client_get(s, "/counts", 200);
    CHECK_HAS(counts, "inits=1 ");
    CHECK_HAS(counts, "shared=made in the loader");
    free(counts);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_HAS(lines_text(&s->log), "probe worker exits");
}

/* Standard streams, the log, the channel, the table's mapping gone, and sockets: nothing else, and
 * nothing that an exec would inherit. */
static void worker_holds_nothing_that_it_does_not_need(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--workers", "1", NULL);
    char *list = client_get(s, "/descriptors", 200);
    CHECK_HAS_NOT(list, "memfd:");
    CHECK_HAS_NOT(list, "/dev/shm");
    unsigned others = 0;
    for (const char *at = list; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        char what[256];
        int fd;
        if (sscanf(at, "%d %255[^\n]", &fd, what) != 2 || fd <= 2)
            continue;
        CHECK_SAYING(strstr(what, " cloexec"), "inherited by exec: %d %s", fd, what);
        others++;
    }
    CHECK(others >= 3);  /* channel, listening socket, this connection */
    CHECK(others <= 12); /* those, and what the loop needs */
    free(list);
}

static void workers_die_with_their_signal_not_with_those_of_the_group(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    pid_t pid = server_worker_pid(s, 0);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        check_context("signal %d", signals[i]);
        CHECK(kill(pid, signals[i]) == 0);
        free(client_get(s, "/", 200));
    }
    CHECK_EQ(wait_answer_of_slot(s, 0), pid);
    CHECK(procs_is_alive(pid));
}

static void term_drains_one_worker_which_is_replaced(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    pid_t pid = server_worker_pid(s, 1);
    CHECK(kill(pid, SIGTERM) == 0);
    s->is_violent = true; /* its end is logged */
    CHECK(procs_wait_gone(pid, PATIENCE_MS));
    server_wait_log(s, "worker ready slot=1");
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/", 200));
    CHECK(server_worker_pid(s, 1) != pid);
}

/* As an app does that sends it to itself. */
static void term_again_and_again_is_a_loop_that_is_slowed_down(void **state)
{
    (void)state;
    static const long waits_ms[] = {0, 100, 200, 400};
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        CHECK(kill(server_worker_pid(s, 0), SIGTERM) == 0);
        CHECK_EQ(lines_number(server_wait_log(s, "worker leaves"), "respawn_ms"), waits_ms[i]);
        (void)server_wait_log(s, "worker ready slot=0");
    }
    CHECK_HAS(lines_text(&s->log), "generation degraded");
    CHECK_HAS(lines_text(&s->log), "worker recovered slot=0");
    free(client_get(s, "/", 200));
}

static void single_mode_serves_in_one_process(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        struct server *s =
            server_start_args("run", "--single", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", NULL);
        server_wait_ready(s);
        char *info = client_get(s, "/info", 200);
        CHECK_EQ(json_number(info, "pid"), s->pid);
        CHECK_HAS(info, "\"role\":\"single\"");
        free(info);
        CHECK_EQ(server_count_processes(s->pid), 0);
        CHECK_EQ(procs_thread_count(s->pid), 1);
        server_signal(s, signals[i]);
        CHECK_EQ(server_wait_exit(s), 0);
        server_check_gone(s, true);
    }
}

/* Nothing to do means next to no work: a loop that spins would use up the whole time. */
static void idle_server_does_not_spin(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    struct client *idle = client_to(s); /* an idle keep-alive connection is part of it */
    struct reply r;
    reply_init(&r);
    client_exchange(idle, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    reply_fini(&r);
    pid_t pids[PROCS_MAX];
    unsigned long before[PROCS_MAX];
    size_t n = procs_below(s->pid, pids);
    pids[n++] = s->pid;
    for (size_t i = 0; i < n; i++)
        before[i] = procs_cpu_ticks(pids[i]);
    /* A window to look through, not a wait for anything: a second of the clock. */
    uint64_t end = clock_now_us() + CLOCK_US_PER_S;
    while (clock_now_us() < end)
        (void)patience_turn(end);
    for (size_t i = 0; i < n; i++) {
        unsigned long ticks = procs_cpu_ticks(pids[i]) - before[i];
        CHECK_SAYING(ticks < 30, "pid %d used %lu of 100 ticks while idle", (int)pids[i], ticks);
    }
}

SERVER_MAIN(SERVER_TEST(as_many_workers_as_asked_for_each_with_its_slot),
            SERVER_TEST(one_cpu_makes_one_worker),
            SERVER_TEST(init_runs_once_and_worker_init_once_in_each_worker),
            SERVER_TEST(worker_holds_nothing_that_it_does_not_need),
            SERVER_TEST(workers_die_with_their_signal_not_with_those_of_the_group),
            SERVER_TEST(term_drains_one_worker_which_is_replaced),
            SERVER_TEST(term_again_and_again_is_a_loop_that_is_slowed_down),
            SERVER_TEST(single_mode_serves_in_one_process), SERVER_TEST(idle_server_does_not_spin))
