/* A health check whose handler takes its worker with it, or keeps it: the start fails as it would
 * for a worker_init of that kind, and the log names the request. */
#include <signal.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

#define HEALTH_SO REMUDA_TEST_APPS_DIR "/health.so"

static struct server *start(const char *check, const char *limit)
{
    return server_start_args("run", HEALTH_SO, "--bind", "127.0.0.1:0", "--workers", "1", "--set",
                             check, "--set", limit, NULL);
}

static void handler_that_crashes(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = start("health_check=/crash", "boot_timeout=1h");
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 4);
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "SEGV");
    CHECK_HAS(lines_text(&s->log), "target=\"/crash\"");
    server_check_gone(s, true);
}

/* The loop stands still, so it is the master's clock that ends it. */
static void handler_that_hangs(void **state)
{
    (void)state;
    struct server *s = start("health_check=/hang", "boot_timeout=2s");
    s->is_violent = true;
    CHECK_EQ(server_wait_exit(s), 4);
    CHECK_HAS(lines_find_last(&s->log, "cannot start"), "boot_timeout");
    CHECK_HAS(lines_text(&s->log), "target=\"/hang\"");
    server_check_gone(s, true);
}

SERVER_MAIN(SERVER_TEST(handler_that_crashes), SERVER_TEST(handler_that_hangs))
