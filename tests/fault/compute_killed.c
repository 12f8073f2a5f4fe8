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
#define DOOMED_MS 20 /* that /loop-at-once has */

static struct reply r;

static struct {
    unsigned long tasks, answered, lost, overdue, kills;
    unsigned long refused; /* since they would have waited past their time */
    unsigned long limited; /* that had a deadline of their own */
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

struct asked {
    bool is_doomed;    /* it never ends by itself */
    unsigned limit_ms; /* it has so long; 0: much longer */
};

/* One of fifty never ends, one of four says for how long its client waits. */
static struct asked send_one(struct client *c)
{
    char request[128], limit[48] = "";
    struct asked asked = {.is_doomed = dice() % 50 == 0};
    if (asked.is_doomed)
        asked.limit_ms = DOOMED_MS;
    else if (dice() % 4 == 0)
        asked.limit_ms = 1 + (unsigned)(dice() % DOOMED_MS);
    if (!asked.is_doomed && asked.limit_ms > 0)
        (void)snprintf(limit, sizeof limit, "X-Deadline-Ms: %u\r\n", asked.limit_ms);
    (void)snprintf(request, sizeof request, "GET %s?n=%u HTTP/1.1\r\nHost: a\r\n%s\r\n",
                   asked.is_doomed ? "/loop-at-once" : "/work", (unsigned)(dice() % 1000), limit);
    client_send_text(c, request);
    counts.tasks++;
    counts.limited += asked.limit_ms > 0;
    return asked;
}

/* Only what has a deadline of its own may miss it. */
static void take_one(struct client *c, const struct asked *asked)
{
    client_read(c, &r, false);
    if (r.status == 200) {
        CHECK_HAS(r.body.data, "worked");
        CHECK_SAYING(!asked->is_doomed, "a task that never ends has ended");
        counts.answered++;
    } else if (r.status == 500) {
        counts.lost++;
    } else if (r.status == 503 && reply_field(&r, "Retry-After")) {
        counts.refused++;
    } else {
        CHECK_EQ(r.status, 504);
        CHECK_SAYING(asked->limit_ms > 0, "the deadline of another has hit a task");
        counts.overdue++;
    }
}

static void no_task_vanishes_and_no_kill_goes_astray(void **state)
{
    (void)state;
    const char *wanted = getenv("REMUDA_TEST_TASKS");
    unsigned long n = wanted ? strtoul(wanted, NULL, 10) : patience_times(2000, 100000);
    struct client *clients[CLIENTS];
    struct asked asked[CLIENTS];
    server_let_crash();
    struct server *s =
        server_start_app(HEAVY_SO, "--workers", "2", "--set", "compute.workers=3", "--set",
                         "compute.breaker.failures=0", "--set", "deadline_header=X-Deadline-Ms",
                         "--set", "pools.other.workers=1", NULL);
    s->is_violent = true;
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_to(s);
    while (counts.tasks < n) {
        for (int i = 0; i < CLIENTS; i++)
            asked[i] = send_one(clients[i]);
        if (dice() % 2 == 0) {
            /* Somewhere in the middle of them, each time elsewhere. */
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)(dice() % 1000000)}, NULL);
            kill_someone(s);
        }
        for (int i = 0; i < CLIENTS; i++)
            take_one(clients[i], &asked[i]);
        (void)lines_take(&s->log); /* it is long */
    }
    (void)printf("> tasks %lu, answered %lu, overdue %lu of %lu with a deadline, refused %lu, lost "
                 "%lu to %lu kills\n",
                 counts.tasks, counts.answered, counts.overdue, counts.limited, counts.refused,
                 counts.lost, counts.kills);
    CHECK_EQ(counts.answered + counts.overdue + counts.refused + counts.lost, counts.tasks);
    CHECK(counts.lost <= counts.kills); /* each takes one at most */
    CHECK(counts.lost > 0 && counts.overdue > 0);
}

SERVER_MAIN(SERVER_TEST(no_task_vanishes_and_no_kill_goes_astray))
