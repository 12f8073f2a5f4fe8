/* kill -9 of whatever process comes to hand, in whatever state it is, under a load that checks
 * every octet: each time only the connections of the killed one break, all posts are filled again,
 * and the master has neither a descriptor nor memory more than before.
 *
 * What is killed and when follows from a seed, which is in the messages of a failure;
 * REMUDA_TEST_SEED=N repeats it (as far as the machine's own timing lets it), and
 * REMUDA_TEST_KILLS=N says how many; tests/soak/chaos has 500. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "tests/harness/census.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define VICTIMS_MAX 4096

static struct {
    struct server *s;
    struct load *load;
    uint64_t dice;
    struct load_victim victims[VICTIMS_MAX];
    size_t n_victims;
} world;

static unsigned long setting(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static uint64_t roll(uint64_t sides)
{
    return ask_random(&world.dice) % sides;
}

/* Lets the server get on by a random little, so that the kill meets it anywhere in what it does. */
static void let_run(void)
{
    for (uint64_t n = roll(4) * roll(4); n > 0; n--)
        (void)patience_turn(UINT64_MAX);
}

/* Kills one process below the master, and waits until it is gone. */
static void kill_process(pid_t pid)
{
    CHECK(world.n_victims < VICTIMS_MAX);
    struct load_victim *v = &world.victims[world.n_victims++];
    *v = (struct load_victim){.pid = pid, .from_us = clock_now_us()};
    (void)kill(pid, SIGKILL); /* it may have ended of its own accord meanwhile */
    CHECK(procs_wait_gone(pid, PATIENCE_MS));
    v->until_us = clock_now_us();
}

static void kill_anyone(void)
{
    pid_t below[PROCS_MAX];
    size_t n = procs_below(world.s->pid, below);
    if (n > 0)
        kill_process(below[roll(n)]);
}

/* ---- What the server is doing when it happens ---------------------------------------------- */

static void nothing(void)
{
}

/* The successor of a dead one is starting. */
static void somebody_starts(void)
{
    kill_anyone();
    let_run();
}

/* TERM to one worker makes it drain; the loader gets it at times, too. */
static void somebody_drains(void)
{
    pid_t below[PROCS_MAX];
    size_t n = procs_below(world.s->pid, below);
    if (n == 0)
        return;
    pid_t pid = below[roll(n)];
    (void)kill(pid, SIGTERM);
    let_run();
    if (roll(2) == 0)
        kill_process(pid);
}

/* A reload comes through or not, depending on who is killed: the loader of the new generation, one
 * of its workers, or one of those that leave. */
static void reload_is_under_way(void)
{
    server_signal(world.s, SIGHUP);
    let_run();
}

static const struct {
    const char *name;
    void (*act)(void);
} scenes[] = {
    {"idle or busy", nothing},
    {"starting", somebody_starts},
    {"draining", somebody_drains},
    {"during a reload", reload_is_under_way},
};

#define SCENES (sizeof scenes / sizeof scenes[0])

/* ---- The tests ----------------------------------------------------------------------------- */

/* Pages of the heap are touched one by one until all that is ever used at the same time has been,
 * and it grows in steps of 132 KiB (mallopt(3), M_TOP_PAD); what counts is that this ends. Not
 * under sanitizers and valgrind, which keep what was freed for a while, to see who uses it. */
static void check_memory(const struct census *before, const struct census *after,
                         unsigned long kills)
{
    unsigned long anon_kib = kills < 100 ? 128 : 32;
    if (patience_factor() > 1)
        return;
    CHECK_SAYING(after->anon_kib <= before->anon_kib + anon_kib &&
                     after->data_kib <= before->data_kib + 2 * 132,
                 "in the second half of %lu kills the master's memory grew from %lu to %lu KiB "
                 "(of %lu and %lu asked for), allowed are %lu more",
                 kills, before->anon_kib, after->anon_kib, before->data_kib, after->data_kib,
                 anon_kib);
}

static void start_world(const char *worker_class, unsigned clients)
{
    world.s = server_start_app(REMUDA_TEST_APPS_DIR "/churn.so", "--workers", "4", "--worker-class",
                               worker_class, NULL);
    world.s->is_violent = true;
    world.n_victims = 0;
    uint64_t seed = 0;
    CHECK(getrandom(&seed, 4, 0) == 4);
    seed = setting("REMUDA_TEST_SEED", seed);
    world.dice = seed;
    check_context("REMUDA_TEST_SEED=%llu", (unsigned long long)seed);
    world.load = load_start_mixed(server_address(world.s, 0), clients, seed, 1000);
    load_wait_answers(world.load, 200);
}

/* One scene after the other, then by chance. */
static void one_round(const struct census *whole, size_t scene)
{
    let_run();
    scenes[scene % SCENES].act();
    kill_anyone();
    (void)lines_take(&world.s->log);
    census_wait_same(world.s->pid, whole);
    load_wait_answers(world.load, 20);
}

/* A row of the table of tests/soak, and what the master had. */
static void print_row(const char *worker_class, const struct load_result *r,
                      const struct census *half, const struct census *after)
{
    char was[256], is[256];
    (void)printf("| kill -9 | %s | %zu | %lu | %lu | 0, and %lu of the killed | %lu of the "
                 "killed | %lu | %lu | %lu | %lu | %lu | – | – |\n> half: %s\n> after: %s\n",
                 worker_class, world.n_victims, r->answered, r->opened, r->broken, r->truncated,
                 r->unasked, r->wrong, r->raced, r->parted, r->put_back,
                 census_text(half, was, sizeof was), census_text(after, is, sizeof is));
}

static void kill_many(const char *worker_class, unsigned clients)
{
    unsigned long kills = setting("REMUDA_TEST_KILLS", patience_times(16, 500));
    size_t scene = 0;
    start_world(worker_class, clients);
    struct census whole = census_take(world.s->pid);
    for (; world.n_victims < kills / 2; scene++)
        one_round(&whole, scene);
    struct census half = census_take(world.s->pid);
    for (; world.n_victims < kills; scene++)
        one_round(&whole, (size_t)roll(SCENES));
    struct census after = census_take(world.s->pid);
    struct load_result result = load_finish(world.load);
    load_check_victims(&result, world.victims, world.n_victims);
    check_memory(&half, &after, kills);
    print_row(worker_class, &result, &half, &after);
}

static void whoever_is_killed_the_server_recovers_event(void **state)
{
    (void)state;
    kill_many("event", 30);
}

static void whoever_is_killed_the_server_recovers_sync(void **state)
{
    (void)state;
    kill_many("sync", 10);
}

/* Whoever kills the master kills everybody, and what comes next finds the port, the socket's file
 * and the pid file as the dead one left them. */
static void master_that_is_killed_can_be_started_again(void **state)
{
    (void)state;
    char bind[32], pidfile[256];
    start_world("event", 30);
    unsigned times = patience_times(3, 50);
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(world.s, 0));
    (void)snprintf(pidfile, sizeof pidfile, "%s", server_path(world.s, "pid"));
    for (unsigned i = 0; i < times; i++) {
        let_run();
        if (roll(2) == 0)
            server_signal(world.s, SIGHUP);
        let_run();
        server_signal(world.s, SIGKILL);
        CHECK_EQ(server_wait_exit(world.s), -SIGKILL);
        server_check_gone(world.s, false); /* the kernel kills them a moment later */
        server_relaunch(world.s, "run", REMUDA_TEST_APPS_DIR "/churn.so", "--bind", bind,
                        "--workers", "4", "--pidfile", pidfile, NULL);
        load_wait_answers(world.load, 50);
    }
    struct load_result result = load_finish(world.load);
    CHECK_SAYING(result.wrong == 0, "%s", result.first_wrong);
    CHECK_EQ(result.unasked, 0);
}

SERVER_MAIN(SERVER_TEST(master_that_is_killed_can_be_started_again),
            SERVER_TEST(whoever_is_killed_the_server_recovers_event),
            SERVER_TEST(whoever_is_killed_the_server_recovers_sync))
