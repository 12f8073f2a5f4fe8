/* Who looks into a slow request is killed, refused, or comes upon a worker that stands still:
 * nobody stays stopped for it, every request gets its answer, and the log says what is missing.
 * Injected in part, so in debug builds only. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/client.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

static struct server *start(const char *fault)
{
#ifndef REMUDA_DEBUG
    skip(); /* fault points exist only in debug builds */
#endif
    char variable[64];
    (void)snprintf(variable, sizeof variable, "REMUDA_FAULT=%s", fault);
    const char *args[] = {"run",   REMUDA_DEMO_SO,       "--bind", "127.0.0.1:0",     "-w", "1",
                          "--set", "slow_request=100ms", "--set",  "slow_callback=0", NULL};
    const char *env[] = {variable, NULL};
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    return s;
}

/* The one that holds a thread ends in the middle of it, as by kill -9. */
static void thread_goes_on_when_its_holder_is_killed(void **state)
{
    (void)state;
    static const char *const targets[] = {"/sleep?ms=2500", "/block?ms=2500"};
    struct server *s = start("stacks.stopped:1");
    for (size_t i = 0; i < 2; i++) {
        check_context("%s", targets[i]);
        free(client_get(s, targets[i], 200));
        const char *line = server_wait_log(s, "slow request");
        CHECK_HAS(line, "frames=0 shown=0 why=\"who stopped it has died\"");
    }
    CHECK(procs_state(server_worker_pid(s, 0)) != 't');
    free(client_get(s, "/", 200));
}

/* Told once for a master; each request is still told. */
static void refusal_is_told_once_with_a_remedy(void **state)
{
    (void)state;
    struct server *s = start("stacks.seize:1");
    for (unsigned i = 0; i < 2; i++) {
        free(client_get(s, "/sleep?ms=2500", 200));
        CHECK_HAS(server_wait_log(s, "slow request"), "frames=0 shown=0 why=\"not allowed\"");
    }
    CHECK_EQ(lines_count(&s->log, "processes can't be looked into"), 1);
    CHECK_HAS(lines_find_last(&s->log, "processes can't be looked into"), "remedy=\"");
}

static void library_is_not_there(void **state)
{
    (void)state;
    struct server *s = start("symbols.open:2");
    free(client_get(s, "/sleep?ms=2500", 200));
    const char *line = server_wait_log(s, "slow request");
    CHECK_HAS(line, "frames=0 shown=0");
    CHECK_HAS(line, "libdw");
}

static void fork_is_refused(void **state)
{
    (void)state;
    struct server *s = start("spawn.fork:11:1:1"); /* in the master the second one */
    free(client_get(s, "/sleep?ms=2500", 200));
    CHECK_HAS(server_wait_log(s, "slow request"), "frames=0 why=\"fork: ");
}

/* One that somebody has stopped is told, stays stopped, and goes on when it is let. */
static void stopped_worker_stays_stopped(void **state)
{
    (void)state;
    char request[256];
    struct reply r;
    struct server *s = server_start_app(REMUDA_TEST_APPS_DIR "/lanes.so", "--workers", "1", "--set",
                                        "slow_request=2s", NULL);
    pid_t pid = server_worker_pid(s, 0);
    struct client *c = client_to(s);
    reply_init(&r);
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "lanes waits");
    (void)kill(pid, SIGSTOP);
    const char *line = server_wait_log(s, "slow request");
    CHECK_HAS(line, "state=T");
    CHECK(lines_number(line, "shown") > 0 || strstr(line, "libdw"));
    CHECK_EQ(procs_state(pid), 'T');
    (void)server_write_file(s, "go", "");
    (void)kill(pid, SIGCONT);
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "it came, in time\n");
    reply_fini(&r);
}

SERVER_MAIN(SERVER_TEST(thread_goes_on_when_its_holder_is_killed),
            SERVER_TEST(refusal_is_told_once_with_a_remedy), SERVER_TEST(library_is_not_there),
            SERVER_TEST(fork_is_refused), SERVER_TEST(stopped_worker_stays_stopped))
