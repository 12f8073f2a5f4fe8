/* Event workers of a machine that others use as well. */
#include <sched.h>
#include <signal.h>
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

/* One fewer than CPUs at least, while all loops have something to do and wait for a CPU. */
static void loops_make_room_for_others(void **state)
{
    (void)state;
    static struct reply r;
    struct client *c[CLIENTS];
    size_t n = 0;
    if (count_cpus() < 2)
        skip(); /* with one CPU there is one loop, the least that there can be */
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
    CHECK_HAS(lines_find_last(&s->log, "web workers shrink"), "why=\"others have the CPUs\" min=1");
    for (int i = 0; i < CLIENTS; i++)
        client_close(c[i]);
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

#define HOG_TEST(name) cmocka_unit_test_teardown(name, stop_hogs)
SERVER_MAIN(HOG_TEST(loops_make_room_for_others), SERVER_TEST(a_number_stays_whatever_others_do))
