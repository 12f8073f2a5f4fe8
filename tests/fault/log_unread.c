/* Nobody reads the server's standard error: a full pipe must hold up neither workers nor master,
 * and what could not be written is counted and told when there is room again. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"

static struct server *start_unread(const char *setting)
{
    const char *args[] = {"run", PROBE_SO, "--bind", "127.0.0.1:0", "--workers",
                          "2",   "--set",  setting,  NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .is_unread = true});
    server_wait_ready(s); /* from here on the test does not look */
    return s;
}

static void full_pipe_holds_up_nobody(void **state)
{
    (void)state;
    struct server *s = start_unread("loglevel=debug");
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/log?n=500", 200));
    free(client_get(s, "/counts", 200));
    /* The harness reads again: what is told is that something is missing. */
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (lines_take(&s->log) && patience_turn(deadline))
        continue;
    unsigned taken = lines_count(&s->log, "probe line");
    CHECK(taken > 0 && taken < 10000);
    free(client_get(s, "/log?n=1", 200));
    free(client_get(s, "/log?n=1", 200));
    (void)server_wait_log(s, "log lines lost, the log was full");
}

static void master_goes_on_while_its_log_is_full(void **state)
{
    (void)state;
    struct server *s = start_unread("loglevel=debug");
    s->is_violent = true;
    pid_t pids[2] = {server_worker_pid(s, 0), server_worker_pid(s, 1)};
    for (int i = 0; i < 10; i++)
        free(client_get(s, "/log?n=500", 200));
    for (int i = 0; i < 2; i++)
        CHECK(kill(pids[i], SIGKILL) == 0);
    char *counts = client_get(s, "/counts", 200); /* from a new worker: both old ones are dead */
    const char *pid = strstr(counts, "pid=");
    CHECK(pid && atoi(pid + 4) != pids[0] && atoi(pid + 4) != pids[1]);
    free(counts);
}

static void access_log_nobody_reads(void **state)
{
    (void)state;
    struct server *s = start_unread("accesslog=/dev/stderr");
    for (int i = 0; i < 300; i++)
        free(client_get(s, "/counts", 200));
}

/* The reader is gone for good: EPIPE, and no SIGPIPE. */
static void closed_pipe_kills_nobody(void **state)
{
    (void)state;
    struct server *s = start_unread("loglevel=debug");
    pid_t pid = server_worker_pid(s, 0);
    struct lines unread = s->log;
    lines_init(&s->log, open("/dev/null", O_RDONLY | O_CLOEXEC));
    lines_fini(&unread);
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/log?n=10", 200));
    CHECK(kill(pid, 0) == 0);
    CHECK(kill(s->pid, SIGHUP) == 0); /* the master has something to say, too */
    free(client_get(s, "/counts", 200));
}

SERVER_MAIN(SERVER_TEST(full_pipe_holds_up_nobody),
            SERVER_TEST(master_goes_on_while_its_log_is_full), SERVER_TEST(access_log_nobody_reads),
            SERVER_TEST(closed_pipe_kills_nobody))
