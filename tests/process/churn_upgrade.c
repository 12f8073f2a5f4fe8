/* Upgrade after upgrade under load: no request fails, no answer is torn or given twice. */
#include <signal.h>

#include "tests/harness/churn.h"
#include "tests/harness/patience.h"

static struct churn c;

/* The new master serves beside the old one for a while, then the old one is told to go. */
static void upgrade_by_hand(void)
{
    server_signal(c.s, SIGUSR2);
    (void)server_wait_log(c.s, "new master ready");
    load_wait_generation(c.loads[0], (int)c.times + 2);
    server_signal(c.s, SIGTERM);
}

static void upgrade_by_command(void)
{
    struct server *command =
        server_start_args("upgrade", "--control-socket", server_path(c.s, "control"), NULL);
    CHECK_EQ(server_run(command), 0);
}

static void upgrade_many_times(const char *what, const char *worker_class, void (*upgrade)(void))
{
    churn_begin(&c, what, worker_class, "workers: 2\n");
    for (unsigned n = patience_times(3, 20); c.times < n; c.times++) {
        upgrade();
        CHECK_EQ(server_wait_succession(c.s), 0);
        (void)server_wait_log(c.s, "old master gone");
        churn_wait_answers(&c, 30);
    }
    churn_end(&c);
}

static void upgrades_lose_nothing_event(void **state)
{
    (void)state;
    upgrade_many_times("USR2", "event", upgrade_by_hand);
}

static void upgrades_lose_nothing_sync(void **state)
{
    (void)state;
    upgrade_many_times("USR2", "sync", upgrade_by_hand);
}

static void upgrades_by_the_command_lose_nothing_event(void **state)
{
    (void)state;
    upgrade_many_times("remuda upgrade", "event", upgrade_by_command);
}

static void upgrades_by_the_command_lose_nothing_sync(void **state)
{
    (void)state;
    upgrade_many_times("remuda upgrade", "sync", upgrade_by_command);
}

SERVER_MAIN(SERVER_TEST(upgrades_lose_nothing_event), SERVER_TEST(upgrades_lose_nothing_sync),
            SERVER_TEST(upgrades_by_the_command_lose_nothing_event),
            SERVER_TEST(upgrades_by_the_command_lose_nothing_sync))
