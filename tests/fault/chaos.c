/* kill -9 of whatever process comes to hand, in whatever state it is, under a load that checks
 * every octet: each time only the connections of the killed one break, all posts are filled again,
 * and nothing is kept: no process, seat, descriptor or socket more than before, and no memory of
 * the master.
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
#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"
#include "tests/harness/wrk.h"

#define VICTIMS_MAX 8192
#define LOADS 2 /* on TCP, on a unix socket */

enum part { MASTER, LOADER, WORKER, CORONER, NEWBORN, PARTS };
static const char *const part_names[PARTS] = {[MASTER] = "master",
                                              [LOADER] = "loader",
                                              [WORKER] = "web worker",
                                              [CORONER] = "coroner",
                                              [NEWBORN] =
                                                  "nobody as yet"}; /* forked a moment ago */

enum moment { STARTING, IDLE, BUSY, DRAINING, CRASH, RELOAD, UPGRADE, MOMENTS };
static const char *const moment_names[MOMENTS] = {
    [STARTING] = "starting", [IDLE] = "idle",     [BUSY] = "busy",      [DRAINING] = "draining",
    [CRASH] = "a crash",     [RELOAD] = "reload", [UPGRADE] = "upgrade"};

static struct {
    struct server *s;
    const char *worker_class;
    char bind[32], unix_bind[256], pidfile[256];
    struct load *loads[LOADS];
    struct wrk wrk;
    uint64_t dice;
    unsigned long kills[PARTS][MOMENTS];
    unsigned long n_kills; /* of these all */
    struct load_victim victims[VICTIMS_MAX];
    size_t n_victims; /* more than kills: a master takes its own along */
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

/* ---- Who is who ---------------------------------------------------------------------------- */

/* Whether the log tells this event of a process. */
static bool is_told(const char *event, pid_t pid)
{
    char number[32];
    (void)snprintf(number, sizeof number, "pid=%d", (int)pid);
    size_t len = strlen(number);
    for (const char *at = strstr(lines_text(&world.s->log), event); at;
         at = strstr(at + 1, event)) {
        const char *end = strchr(at, '\n');
        const char *found = strstr(at, number);
        if (found && (!end || found < end) && (found[len] == ' ' || found[len] == '\n'))
            return true;
    }
    return false;
}

/* By its title, which is its parent's until it has one of its own. */
static enum part part_of(pid_t pid)
{
    char title[256];
    (void)procs_command(pid, title, sizeof title);
    if (is_told("new master started", pid))
        return MASTER;
    return strstr(title, "remuda: web")       ? WORKER
           : strstr(title, "remuda: coroner") ? CORONER
           : is_told("loader ready", pid)     ? LOADER
                                              : NEWBORN;
}

static enum moment moment_of(pid_t pid, enum part part)
{
    char title[256];
    (void)procs_command(pid, title, sizeof title);
    if (part != WORKER)
        return part == NEWBORN ? STARTING : IDLE;
    return strstr(title, "(busy)")       ? BUSY
           : strstr(title, "(draining)") ? DRAINING
           : strstr(title, "(idle)")     ? IDLE
                                         : STARTING;
}

/* Any process of a part, in some moment of its life (MOMENTS: whichever). Returns 0: nobody */
static pid_t find(enum part part, enum moment moment)
{
    pid_t below[PROCS_MAX];
    size_t n = procs_below(world.s->pid, below);
    size_t from = n > 0 ? (size_t)roll(n) : 0;
    (void)lines_take(&world.s->log);
    for (size_t i = 0; i < n; i++) {
        pid_t pid = below[(from + i) % n];
        if (part_of(pid) == part && (moment == MOMENTS || moment_of(pid, part) == moment))
            return pid;
    }
    return 0;
}

/* Any part with the same chance, however many have it; then any of these. Returns 0: nobody */
static pid_t choose(enum part *out_part)
{
    pid_t below[PROCS_MAX];
    enum part parts[PROCS_MAX];
    size_t n_of[PARTS] = {0};
    (void)lines_take(&world.s->log);
    size_t n = procs_below(world.s->pid, below);
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        n_of[parts[i] = part_of(below[i])]++;
    enum part part = (enum part)roll(PARTS);
    while (n_of[part] == 0)
        part = (enum part)roll(PARTS);
    uint64_t nth = roll(n_of[part]);
    size_t i = 0;
    while (parts[i] != part || nth-- > 0)
        i++;
    *out_part = part;
    return below[i];
}

/* ---- Killing ------------------------------------------------------------------------------- */

static size_t begin_victim(pid_t pid)
{
    CHECK(world.n_victims < VICTIMS_MAX);
    world.victims[world.n_victims] = (struct load_victim){.pid = pid, .from_us = clock_now_us()};
    return world.n_victims++;
}

/* It may have ended of its own accord meanwhile. */
static void hurt(pid_t pid, int signal)
{
    size_t victim = begin_victim(pid);
    (void)kill(pid, signal);
    CHECK(procs_wait_gone(pid, PATIENCE_MS));
    world.victims[victim].until_us = clock_now_us();
}

/* All below a master die with it. It stands still before they are counted, so that it makes no
 * further ones. */
static void kill_master_below(pid_t pid)
{
    pid_t below[PROCS_MAX];
    uint64_t deadline = patience_until(PATIENCE_MS);
    (void)kill(pid, SIGSTOP);
    while (procs_is_alive(pid) && procs_state(pid) != 'T')
        CHECK(patience_turn(deadline));
    size_t first = world.n_victims, n = procs_below(pid, below);
    for (size_t i = 0; i < n; i++)
        (void)begin_victim(below[i]);
    hurt(pid, SIGKILL);
    for (size_t i = 0; i < n; i++) {
        CHECK(procs_wait_gone(below[i], PATIENCE_MS));
        world.victims[first + i].until_us = clock_now_us();
    }
}

/* moment  what the server is at, or the process */
static void strike(pid_t pid, enum part part, enum moment moment)
{
    world.kills[part][moment]++;
    world.n_kills++;
    if (part == MASTER || part == NEWBORN)
        kill_master_below(pid); /* who has no title may be a new master */
    else
        hurt(pid, SIGKILL);
}

static void kill_anyone(enum moment scene)
{
    enum part part;
    pid_t pid = choose(&part);
    if (pid != 0)
        strike(pid, part, scene >= CRASH ? scene : moment_of(pid, part));
}

/* ---- What the server is doing when it happens ---------------------------------------------- */

static void nothing(void)
{
}

/* Under load that is a short moment. */
static void somebody_rests(void)
{
    pid_t pid = 0;
    for (int looks = 50; looks > 0 && pid == 0; looks--)
        pid = find(WORKER, IDLE);
    if (pid != 0)
        strike(pid, WORKER, IDLE);
}

static pid_t find_newcomer(const pid_t *old, size_t n_old)
{
    pid_t below[PROCS_MAX];
    for (size_t n = procs_below(world.s->pid, below); n > 0; n--) {
        bool is_old = false;
        for (size_t i = 0; i < n_old; i++)
            is_old = is_old || old[i] == below[n - 1];
        if (!is_old)
            return below[n - 1];
    }
    return 0;
}

/* The successor of a dead one is starting, and dies. */
static void somebody_starts(void)
{
    pid_t old[PROCS_MAX], newcomer = 0;
    enum part part = roll(2) ? WORKER : LOADER;
    uint64_t deadline = patience_until(2 * PATIENCE_MS); /* as census_wait_same() */
    pid_t pid = find(part, MOMENTS);
    if (pid == 0)
        return;
    size_t n = procs_below(world.s->pid, old);
    hurt(pid, SIGKILL);
    while ((newcomer = find_newcomer(old, n)) == 0)
        CHECK_SAYING(patience_turn(deadline), "nobody comes for pid %d", (int)pid);
    for (uint64_t looks = roll(4); looks > 0; looks--)
        (void)procs_is_alive(newcomer);
    strike(newcomer, part, STARTING);
}

/* TERM to one worker makes it drain. */
static void somebody_drains(void)
{
    pid_t pid = find(WORKER, MOMENTS);
    if (pid == 0)
        return;
    (void)kill(pid, SIGTERM);
    let_run();
    if (roll(2) == 0)
        strike(pid, WORKER, DRAINING);
}

/* A worker crashes, and somebody looks into it. */
static void coroner_works(void)
{
    uint64_t from_us = clock_now_us();
    struct client *c = client_to(world.s);
    server_skip_log(world.s);
    client_send_text(c, "GET /crash HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *line = server_wait_log_text(world.s, "signal=ABRT");
    size_t victim = begin_victim((pid_t)lines_number(line, "pid"));
    world.victims[victim].from_us = from_us;
    world.victims[victim].until_us = clock_now_us();
    client_close(c);
    for (int turns = 50; turns > 0 && find(CORONER, MOMENTS) == 0; turns--)
        (void)patience_turn(UINT64_MAX);
}

/* A reload comes through or not, depending on who is killed: the loader of the new generation, one
 * of its workers, or one of those that leave. */
static void reload_is_under_way(void)
{
    server_signal(world.s, SIGHUP);
    let_run();
}

static unsigned n_told(const char *event)
{
    return lines_count(&world.s->log, event);
}

static unsigned n_ready, n_over; /* upgrades, before the one that is under way */

/* Anybody may be killed but the old master: the new one, and who is below either. */
static void upgrade_is_under_way(void)
{
    n_ready = n_told("new master ready");
    n_over = n_told("upgrade refused") + n_told("new master gone");
    server_signal(world.s, SIGUSR2);
    let_run();
}

/* It fails, or the new master is told to go again, so that one master lives through all. */
static void end_upgrade(void)
{
    uint64_t deadline = patience_until(2 * PATIENCE_MS);
    for (bool was_asked = false; n_told("upgrade refused") + n_told("new master gone") == n_over;) {
        CHECK_SAYING(patience_turn(deadline), "%s", "the upgrade has no end");
        if (!was_asked && n_told("new master ready") > n_ready) {
            (void)kill(server_new_master(world.s), SIGTERM); /* unless it has been killed */
            was_asked = true;
        }
    }
}

static const struct {
    void (*act)(void);
    enum moment moment;
    void (*end)(void);
} scenes[] = {
    {nothing, BUSY, nothing},
    {somebody_rests, IDLE, nothing},
    {somebody_starts, STARTING, nothing},
    {somebody_drains, DRAINING, nothing},
    {coroner_works, CRASH, nothing},
    {reload_is_under_way, RELOAD, nothing},
    {upgrade_is_under_way, UPGRADE, end_upgrade},
};

#define SCENES (sizeof scenes / sizeof scenes[0])

/* ---- The tests ----------------------------------------------------------------------------- */

static void launch(void)
{
    const char *args[] = {"run",
                          REMUDA_TEST_APPS_DIR "/churn.so",
                          "--bind",
                          world.bind,
                          "--bind",
                          world.unix_bind,
                          "--pidfile",
                          world.pidfile,
                          "--workers",
                          "4",
                          "--worker-class",
                          world.worker_class,
                          NULL};
    world.s->n_addresses = world.s->n_inodes = 0;
    server_launch(world.s, &(struct server_options){.args = args});
}

/* Returns what the server has at rest, before the load. */
static struct census start_world(const char *worker_class, unsigned clients)
{
    uint64_t seed = 0;
    server_let_crash();
    memset(&world, 0, sizeof world);
    world.s = server_new();
    world.s->is_violent = true;
    world.worker_class = worker_class;
    (void)snprintf(world.bind, sizeof world.bind, "127.0.0.1:0");
    (void)snprintf(world.unix_bind, sizeof world.unix_bind, "unix:%s",
                   server_path(world.s, "socket"));
    (void)snprintf(world.pidfile, sizeof world.pidfile, "%s", server_path(world.s, "pid"));
    launch();
    server_wait_ready(world.s);
    CHECK(getrandom(&seed, 4, 0) == 4);
    seed = setting("REMUDA_TEST_SEED", seed);
    world.dice = seed;
    check_context("REMUDA_TEST_SEED=%llu", (unsigned long long)seed);
    struct census before = census_take(world.s);
    for (size_t i = 0; i < LOADS; i++)
        world.loads[i] =
            load_start_mixed(server_address(world.s, i), clients / LOADS, seed + i, 1000);
    for (size_t i = 0; i < LOADS; i++)
        load_wait_answers(world.loads[i], 100);
    return before;
}

static void wait_answers(unsigned long more)
{
    for (size_t i = 0; i < LOADS; i++)
        load_wait_answers(world.loads[i], more);
}

/* One scene after the other, then by chance. */
static void one_round(const struct census *whole, size_t scene)
{
    let_run();
    scenes[scene].act();
    kill_anyone(scenes[scene].moment);
    scenes[scene].end();
    census_wait_same(world.s, whole);
    wait_answers(10);
}

/* Who came by chance in so many kills; a few would not do. */
static void check_moments(void)
{
    static const bool must[PARTS][MOMENTS] = {
        [MASTER] = {[UPGRADE] = true},
        [LOADER] = {[STARTING] = true, [IDLE] = true, [RELOAD] = true, [UPGRADE] = true},
        [WORKER] = {[STARTING] = true,
                    [IDLE] = true,
                    [BUSY] = true,
                    [DRAINING] = true,
                    [RELOAD] = true,
                    [UPGRADE] = true},
        [CORONER] = {[CRASH] = true}};
    for (size_t i = 0; i < PARTS; i++)
        for (size_t k = 0; k < MOMENTS; k++)
            CHECK_SAYING(!must[i][k] || world.kills[i][k] > 0, "no %s was killed: %s",
                         part_names[i], moment_names[k]);
}

/* A row of the table of tests/soak; who was killed, and when. */
static void print_rows(const char *what, const struct load_result *r)
{
    struct wrk_result wrk = wrk_stop(&world.wrk);
    char of_wrk[64] = "–";
    if (wrk.has_run)
        (void)snprintf(of_wrk, sizeof of_wrk, "%lu, %lu of the killed", wrk.requests, wrk.errors);
    (void)printf("| %s | %s | %lu | %lu | %lu | 0, and %lu of the killed | %lu of the killed | %lu "
                 "| %lu | %lu | %lu | %lu | %s | – |\n> %-28s",
                 what, world.worker_class, world.n_kills, r->answered, r->opened, r->broken,
                 r->truncated, r->unasked, r->wrong, r->raced, r->parted, r->put_back, of_wrk,
                 "killed");
    for (size_t k = 0; k < MOMENTS; k++)
        (void)printf("%10s", moment_names[k]);
    for (size_t i = 0; i < PARTS; i++) {
        (void)printf("\n> %-28s", part_names[i]);
        for (size_t k = 0; k < MOMENTS; k++)
            (void)printf("%10lu", world.kills[i][k]);
    }
    (void)printf("\n");
}

/* Ends the loads. may_lose: nobody asks who was to blame. Returns what all have counted. */
static struct load_result *finish(bool may_lose)
{
    static struct load_result results[LOADS], sum;
    memset(&sum, 0, sizeof sum);
    for (size_t i = 0; i < LOADS; i++) {
        results[i] = load_finish(world.loads[i]);
        load_add(&sum, &results[i]);
    }
    for (size_t i = 0; i < LOADS; i++) {
        if (!may_lose)
            load_check_victims(&results[i], world.victims, world.n_victims);
        CHECK_SAYING(results[i].wrong == 0, "%s", results[i].first_wrong);
        CHECK_EQ(results[i].unasked, 0);
    }
    return &sum;
}

static void kill_many(const char *worker_class, unsigned clients)
{
    static const char *const names[] = {"before", "half", "after"};
    unsigned long kills = setting("REMUDA_TEST_KILLS", patience_times(24, 500));
    struct census census[3];
    size_t scene = 0;
    census[0] = start_world(worker_class, clients);
    if (patience_is_long())
        wrk_start(&world.wrk, server_address(world.s, 0), "/hello/wrk");
    for (; world.n_kills < kills / 2; scene++)
        one_round(&census[0], scene % SCENES);
    census[1] = census_take(world.s);
    for (; world.n_kills < kills; scene++)
        one_round(&census[0], (size_t)roll(SCENES));
    struct load_result *result = finish(false);
    print_rows("kill -9", result);
    census_wait_same_at_rest(world.s, &census[0]);
    census[2] = census_take(world.s);
    census_print(names, census, 3);
    census_check_memory(&census[1], &census[2], kills < 100 ? 128 : 32);
    if (kills >= 500)
        check_moments();
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

/* Kills the master in some state. Returns whether there is a new one of an upgrade. */
static bool kill_master(enum moment moment)
{
    static const int signals[MOMENTS] = {
        [DRAINING] = SIGTERM, [RELOAD] = SIGHUP, [UPGRADE] = SIGUSR2};
    if (signals[moment])
        server_signal(world.s, signals[moment]);
    if (moment == UPGRADE) /* from here on it is known who the other one is */
        (void)server_wait_log(world.s, "new master started");
    let_run();
    server_signal(world.s, SIGKILL);
    world.kills[MASTER][moment]++;
    world.n_kills++;
    int code = moment == UPGRADE ? server_wait_succession(world.s) : server_wait_exit(world.s);
    CHECK(code == -SIGKILL || (moment == DRAINING && code == 0));
    return moment == UPGRADE;
}

/* Whoever kills the master kills everybody below it, and what comes next finds the port, the
 * sockets' files and the pid file as the dead one left them; or a new master is there already, and
 * takes over. */
static void master_that_is_killed_can_be_started_again(void **state)
{
    (void)state;
    static const enum moment moments[] = {IDLE, RELOAD, UPGRADE, STARTING, DRAINING};
    static const char *const names[] = {"before", "after"};
    struct census census[2] = {start_world("event", 30)};
    (void)snprintf(world.bind, sizeof world.bind, "127.0.0.1:%u", server_port(world.s, 0));
    unsigned long kills = patience_times(10, 100);
    for (size_t i = 0; world.n_kills < kills; i++) {
        enum moment moment = moments[i % 5];
        unsigned n_before = n_told("ready"), n_gone = n_told("old master gone");
        if (kill_master(moment)) {
            uint64_t deadline = patience_until(PATIENCE_MS);
            while (n_told("ready") == n_before || n_told("old master gone") == n_gone)
                CHECK_SAYING(patience_turn(deadline), "%s", "the new master does not take over");
        } else {
            server_check_gone(world.s, false); /* the kernel kills them a moment later */
            launch();
            if (moment == STARTING) { /* the next one, too */
                (void)kill_master(STARTING);
                server_check_gone(world.s, false);
                launch();
            }
            server_wait_ready(world.s);
        }
        wait_answers(25);
        census_wait_same(world.s, &census[0]);
    }
    struct load_result *result = finish(true);
    print_rows("kill -9 of the master", result);
    census_wait_same_at_rest(world.s, &census[0]);
    census[1] = census_take(world.s);
    census_print(names, census, 2);
}

SERVER_MAIN(SERVER_TEST(master_that_is_killed_can_be_started_again),
            SERVER_TEST(whoever_is_killed_the_server_recovers_event),
            SERVER_TEST(whoever_is_killed_the_server_recovers_sync))
