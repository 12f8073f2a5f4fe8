/* Short tasks with short deadlines while compute workers get kill -9 at random: every task has an
 * answer, no kill costs more than one, and nobody is killed for a task that was not overdue.
 * REMUDA_CHAOS_TASKS in the environment: how many tasks, 1,600 without it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/ask.h"
#include "tests/harness/census.h"
#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

#define AT_A_TIME 8
#define LONGEST_MS 8
#define SEED 20

static struct reply r;

struct counts {
    unsigned tasks, kills;
    unsigned answered, lost, overdue, refused; /* 200, 500, 504, 503 */
};

/* A compute worker, whatever it is at. */
static void kill_one(struct server *s, struct counts *counts)
{
    char *answer = control_ask(s, "{\"request\":\"status\"}");
    pid_t pid = control_number(answer, "pools.0.workers_ready") > 0
                    ? (pid_t)control_number(answer, "compute_workers.0.pid")
                    : 0;
    if (pid > 0 && kill(pid, SIGKILL) == 0) /* 0: it is not born yet */
        counts->kills++;
    free(answer);
}

static void count_answer(struct counts *counts)
{
    counts->answered += r.status == 200;
    counts->lost += r.status == 500;
    counts->overdue += r.status == 504;
    counts->refused += r.status == 503;
}

static void run_round(struct server *s, struct client *clients[AT_A_TIME], uint64_t *seed,
                      struct counts *counts)
{
    char request[96];
    for (int i = 0; i < AT_A_TIME; i++) {
        (void)snprintf(request, sizeof request, "GET /burn?ms=%u HTTP/1.1\r\nHost: a\r\n\r\n",
                       (unsigned)(ask_random(seed) % LONGEST_MS));
        client_send_text(clients[i], request);
    }
    if (ask_random(seed) % 4 == 0)
        kill_one(s, counts);
    for (int i = 0; i < AT_A_TIME; i++) {
        client_read(clients[i], &r, false);
        count_answer(counts);
        counts->tasks++;
    }
}

static void no_task_vanishes_and_no_kill_hits_another(void **state)
{
    (void)state;
    const char *wanted = getenv("REMUDA_CHAOS_TASKS");
    unsigned n_tasks = wanted ? (unsigned)atoi(wanted) : 1600;
    struct counts counts = {0};
    struct client *clients[AT_A_TIME];
    uint64_t seed = SEED;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "compute.workers=2", "--set",
                                        "compute.timeout=30ms", NULL);
    s->is_violent = true;
    struct load *load = load_start(server_address(s, 0), 2, "/", NULL);
    load_wait_settled(load);
    struct census before = census_take(s);
    for (int i = 0; i < AT_A_TIME; i++)
        clients[i] = client_to(s);
    while (counts.tasks < n_tasks)
        run_round(s, clients, &seed, &counts);
    for (int i = 0; i < AT_A_TIME; i++)
        client_close(clients[i]);
    census_wait_same(s, &before);
    struct load_result result = load_finish(load);
    load_check(&result, 0);
    unsigned condemned = lines_count(&s->log, "compute worker killed");
    printf("# %u tasks, %u kills: %u answered, %u overdue (%u workers killed for it), %u lost, %u "
           "refused\n",
           counts.tasks, counts.kills, counts.answered, counts.overdue, condemned, counts.lost,
           counts.refused);
    CHECK_EQ(counts.answered + counts.overdue + counts.lost + counts.refused, counts.tasks);
    CHECK(counts.answered > 0);
    CHECK(counts.lost <= counts.kills);
    CHECK(condemned <= counts.overdue);
}

SERVER_MAIN(SERVER_TEST(no_task_vanishes_and_no_kill_hits_another))
