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

static const struct {
    const char *name;
    void (*act)(void);
} scenes[] = {
    {"idle or busy", nothing},
    {"starting", somebody_starts},
    {"draining", somebody_drains},
};

/* ---- The tests ----------------------------------------------------------------------------- */

static void check_memory(const struct census *before, const struct census *after,
                         unsigned long kills)
{
    unsigned long allowed_kib = 16 + kills / 100 * 8;
    CHECK_SAYING(after->anon_kib <= before->anon_kib + allowed_kib,
                 "the master has %lu KiB more after %lu kills, allowed are %lu",
                 after->anon_kib - before->anon_kib, kills, allowed_kib);
}

static void start_world(void)
{
    world.s = server_start_app(REMUDA_TEST_APPS_DIR "/churn.so", "--workers", "4", NULL);
    world.s->is_violent = true;
    world.n_victims = 0;
    uint64_t seed = 0;
    CHECK(getrandom(&seed, 4, 0) == 4);
    seed = setting("REMUDA_TEST_SEED", seed);
    world.dice = seed;
    check_context("REMUDA_TEST_SEED=%llu", (unsigned long long)seed);
    world.load = load_start_mixed(server_address(world.s, 0), 30, seed, 1000);
    load_wait_answers(world.load, 200);
}

static void one_round(const struct census *whole)
{
    size_t scene = (size_t)roll(sizeof scenes / sizeof scenes[0]);
    let_run();
    scenes[scene].act();
    kill_anyone();
    (void)lines_take(&world.s->log);
    census_wait_same(world.s->pid, whole);
    load_wait_answers(world.load, 20);
}

/* The first rounds fill whatever is filled once: tables, the kernel's buffers, the C library's. */
static void whoever_is_killed_the_server_recovers(void **state)
{
    (void)state;
    unsigned long kills = setting("REMUDA_TEST_KILLS", 16);
    char was[256], is[256];
    start_world();
    struct census whole = census_take(world.s->pid), warm = whole, after;
    while (world.n_victims < 8)
        one_round(&whole);
    warm = census_take(world.s->pid);
    while (world.n_victims < kills)
        one_round(&whole);
    after = census_take(world.s->pid);
    struct load_result result = load_finish(world.load);
    load_check_victims(&result, world.victims, world.n_victims);
    check_memory(&warm, &after, kills);
    (void)printf("%zu kills, %lu answers, %lu broken, %lu raced\n  before: %s\n  after:  %s\n",
                 world.n_victims, result.answered, result.broken, result.raced,
                 census_text(&warm, was, sizeof was), census_text(&after, is, sizeof is));
}

SERVER_MAIN(SERVER_TEST(whoever_is_killed_the_server_recovers))
