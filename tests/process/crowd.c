/* Event workers of a machine that others use as well. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/server.h"

#undef fork /* helpers of the test's own; the ban is for the server's code */

#define CLIENTS 8
#define HOGS_MAX 64

static struct {
    pid_t pids[HOGS_MAX];
    int n;
} hogs;

static int count_cpus(void)
{
    cpu_set_t allowed;
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return CPU_COUNT(&allowed);
}

/* Somebody who computes for as long as he is let, on each CPU. */
static void start_hogs(void)
{
    const pid_t parent = getpid();
    for (hogs.n = 0; hogs.n < count_cpus() && hogs.n < HOGS_MAX; hogs.n++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getppid() == parent)
                continue;
            _exit(0);
        }
        hogs.pids[hogs.n] = pid;
    }
}

static int stop_hogs(void **state)
{
    for (; hogs.n > 0; hogs.n--) {
        (void)kill(hogs.pids[hogs.n - 1], SIGKILL);
        (void)waitpid(hogs.pids[hogs.n - 1], NULL, 0);
    }
    return server_teardown(state);
}

/* With one CPU there is one loop, the least that there can be. */
static void skip_on_one_cpu(void)
{
    if (count_cpus() < 2)
        skip(); /* `auto` is one loop there, the least that there can be */
}

static struct server *start(void)
{
    struct server *s = server_new();
    const char *args[] = {"run", "-c",
                          server_write_file(s, "remuda.yaml",
                                            "bind: 127.0.0.1:0\nworkers: auto\n"
                                            "routes: {\"GET /burn\": {lane: inline}}\n"
                                            "app: " REMUDA_DEMO_SO "\n"),
                          NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    control_wait_member(s, "workers_min", "1");
    return s;
}

/* All loops have something to do and wait for a CPU, until there are fewer. Returns how many; the
 * others go on computing, so that it stays at that */
static long crowd_out(struct server *s)
{
    static struct reply r;
    struct client *c[CLIENTS];
    size_t n = 0;
    start_hogs();
    for (int i = 0; i < CLIENTS; i++)
        c[i] = client_to(s);
    while (!lines_find_last(&s->log, "web workers shrink")) {
        for (int i = 0; i < CLIENTS; i++)
            client_send_text(c[i], "GET /burn?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n");
        for (int i = 0; i < CLIENTS; i++) {
            client_read(c[i], &r, false);
            CHECK_EQ(r.status, 200);
        }
        CHECK(n++ < 1000);
    }
    for (int i = 0; i < CLIENTS; i++)
        client_close(c[i]);
    return lines_number(lines_find_last(&s->log, "web workers shrink"), "to");
}

static void wait_number(const struct server *s, const char *member, long n)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%ld", n);
    control_wait_member(s, member, text);
}

/* What `auto` begins with: CPUs, or fewer where a group of processes is granted fewer. */
static int count_loops(const struct server *s)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    int n = (int)control_number(answer, "workers_wanted");
    free(answer);
    return n;
}

static void check_workers(const struct server *s, long n, long min, long max)
{
    wait_number(s, "workers_ready", n);
    wait_number(s, "workers_wanted", n);
    wait_number(s, "workers_min", min);
    wait_number(s, "workers_max", max);
}

/* One fewer than CPUs at least, while all loops have something to do and wait for a CPU. */
static void loops_make_room_for_others(void **state)
{
    (void)state;
    skip_on_one_cpu();
    struct server *s = start();
    CHECK(crowd_out(s) < count_cpus());
    CHECK_HAS(lines_find_last(&s->log, "web workers shrink"), "why=\"others have the CPUs\" min=1");
}

/* Others compute still when a new generation comes: it begins with as many as there is room for. */
static void a_reload_begins_with_what_others_leave(void **state)
{
    (void)state;
    skip_on_one_cpu();
    struct server *s = start();
    const int loops = count_loops(s);
    long n = crowd_out(s);
    server_signal(s, SIGHUP);
    CHECK_EQ(lines_number(server_wait_log(s, "reloaded"), "workers"), n);
    check_workers(s, n, 1, loops);
}

/* The old master has sent its workers home by then; one still has a request. */
static void an_upgrade_that_fails_brings_back_what_others_leave(void **state)
{
    (void)state;
    skip_on_one_cpu();
    struct server *s = start();
    struct client *held = client_to(s);
    client_send_text(held, "GET /stream?n=100000&ms=100 HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_wait(held);
    const int loops = count_loops(s);
    long n = crowd_out(s);
    s->is_violent = true;
    struct server *command =
        server_start_args("upgrade", "--control-socket", control_socket(s), NULL);
    (void)server_wait_log(s, "new master ready");
    CHECK_EQ(lines_number(server_wait_log(s, "scaling workers=0"), "from"), n);
    CHECK(kill(server_new_master(s), SIGKILL) == 0);
    CHECK_EQ(server_run(command), 1);
    check_workers(s, n, 1, loops);
    client_abort(held);
}

/* Who asks for a number means it. */
static void a_number_stays_whatever_others_do(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "auto", NULL);
    control_wait_member(s, "workers_min", "1");
    free(control_ask(s, "{\"request\":\"scale\",\"workers\":2}"));
    control_wait_member(s, "workers_min", "2");
    control_wait_member(s, "workers_max", "2");
}

/* Also when it is what the generation that comes begins with. */
static void a_number_asked_for_during_a_reload_holds_behind_it(void **state)
{
    (void)state;
    char env[300], request[64];
    struct server *s = server_new();
    (void)snprintf(env, sizeof env, "PROBE_GATE=%s", server_write_file(s, "gate", ""));
    const char *args[] = {
        "run", REMUDA_TEST_APPS_DIR "/probe.so", "--bind", "127.0.0.1:0", "--workers", "auto",
        NULL};
    server_launch(s, &(struct server_options){.args = args, .env = (const char *[]){env, NULL}});
    server_wait_ready(s);
    const int loops = count_loops(s);
    const struct {
        int signal; /* 0: by number */
        int n;
    } rows[] = {
        {0, loops}, {0, loops + 2}, {SIGTTIN, loops + 1}, {SIGTTOU, loops > 1 ? loops - 1 : 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("row %zu", i);
        CHECK_EQ(unlink(server_path(s, "gate")), 0); /* no generation comes up without it */
        server_signal(s, SIGHUP);
        (void)server_wait_log(s, "reloading");
        (void)snprintf(request, sizeof request, "{\"request\":\"scale\",\"workers\":%d}",
                       rows[i].n);
        if (rows[i].signal != 0)
            server_signal(s, rows[i].signal);
        else
            free(control_ask(s, request));
        check_workers(s, rows[i].n, rows[i].n, rows[i].n);
        (void)server_write_file(s, "gate", "");
        (void)server_wait_log(s, "reloaded");
        check_workers(s, rows[i].n, rows[i].n, rows[i].n);
        server_signal(s, SIGHUP); /* by the settings again */
        (void)server_wait_log(s, "reloaded");
        check_workers(s, loops, 1, loops);
    }
}

#define HOG_TEST(name) cmocka_unit_test_teardown(name, stop_hogs)
SERVER_MAIN(HOG_TEST(loops_make_room_for_others), HOG_TEST(a_reload_begins_with_what_others_leave),
            HOG_TEST(an_upgrade_that_fails_brings_back_what_others_leave),
            SERVER_TEST(a_number_stays_whatever_others_do),
            SERVER_TEST(a_number_asked_for_during_a_reload_holds_behind_it))
