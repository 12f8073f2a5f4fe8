/* Short tasks while compute workers are killed at random, from outside and by their deadlines: no
 * task vanishes without an answer, and no kill hits a task that was not its target.
 * REMUDA_TEST_TASKS=N in the environment makes it so many; REMUDA_TEST_LONG=1: 100,000. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/harness/ask.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define HEAVY_SO REMUDA_TEST_APPS_DIR "/heavy.so"
#define CLIENTS 8

static struct reply r;

static struct {
    unsigned long tasks, answered, lost, overdue, kills;
    unsigned long doomed; /* that were never to end by themselves */
} counts;

static uint64_t dice(void)
{
    static uint64_t state = 42;
    return ask_random(&state);
}

/* One of the compute workers that there are at this moment. */
static void kill_someone(const struct server *s)
{
    pid_t pids[PROCS_MAX];
    char name[16];
    size_t n = procs_below(s->pid, pids);
    size_t first = n > 0 ? dice() % n : 0;
    for (size_t i = 0; i < n; i++) {
        pid_t pid = pids[(first + i) % n];
        if (strcmp(procs_name(pid, name, sizeof name), "remuda-compute") != 0)
            continue;
        if (kill(pid, SIGKILL) == 0)
            counts.kills++;
        return;
    }
}

static void send_one(struct client *c, bool *out_is_doomed)
{
    char request[100];
    *out_is_doomed = dice() % 50 == 0;
    if (*out_is_doomed)
        (void)snprintf(request, sizeof request, "GET /loop-at-once HTTP/1.1\r\nHost: a\r\n\r\n");
    else
        (void)snprintf(request, sizeof request, "GET /work?n=%u HTTP/1.1\r\nHost: a\r\n\r\n",
                       (unsigned)(dice() % 1000));
    client_send_text(c, request);
    counts.tasks++;
    counts.doomed += *out_is_doomed;
}

static void take_one(struct client *c, bool is_doomed)
{
    client_read(c, &r, false);
    if (r.status == 200)
        CHECK_HAS(r.body.data, "worked");
    else if (r.status == 500)
        counts.lost++;
    else
        CHECK_EQ(r.status, 504);
    CHECK_SAYING(r.status != 504 || is_doomed, "the deadline of another has hit a task");
    CHECK_SAYING(r.status != 200 || !is_doomed, "a task that never ends has ended");
    counts.answered += r.status == 200;
    counts.overdue += r.status == 504;
}

static void no_task_vanishes_and_no_kill_goes_astray(void **state)
{
    (void)state;
    const char *wanted = getenv("REMUDA_TEST_TASKS");
    unsigned long n = wanted ? strtoul(wanted, NULL, 10) : patience_times(2000, 100000);
    struct client *clients[CLIENTS];
    bool is_doomed[CLIENTS];
    server_let_crash();
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "2", "--set", "compute.workers=3", "--set",
                         "compute.breaker.failures=0", "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_to(s);
    while (counts.tasks < n) {
        for (int i = 0; i < CLIENTS; i++)
            send_one(clients[i], &is_doomed[i]);
        if (dice() % 2 == 0) {
            /* Somewhere in the middle of them, each time elsewhere. */
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)(dice() % 1000000)}, NULL);
            kill_someone(s);
        }
        for (int i = 0; i < CLIENTS; i++)
            take_one(clients[i], is_doomed[i]);
    }
    (void)printf("> tasks %lu, answered %lu, overdue %lu of %lu, lost %lu to %lu kills\n",
                 counts.tasks, counts.answered, counts.overdue, counts.doomed, counts.lost,
                 counts.kills);
    CHECK_EQ(counts.answered + counts.overdue + counts.lost, counts.tasks);
    CHECK(counts.lost <= counts.kills); /* each takes one at most */
    CHECK(counts.lost > 0 && counts.overdue > 0);
}

SERVER_MAIN(SERVER_TEST(no_task_vanishes_and_no_kill_goes_astray))
