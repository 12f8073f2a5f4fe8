/* Whatever an app's code dies of: the log says where it was, by the names of its functions, and
 * with which request; the process still dies by the signal that it got. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define CRASHES_SO REMUDA_TEST_APPS_DIR "/crashes.so"
#define APP(name) REMUDA_TEST_APPS_DIR "/" name ".so"

static struct server *start(void)
{
    server_let_crash();
    struct server *s = server_start_app(CRASHES_SO, "--workers", "1", "--set", "timeout=2s", NULL);
    s->is_violent = true;
    return s;
}

/* Sends a request that its worker does not survive. */
static void send_fatal(struct server *s, const char *target)
{
    char request[256];
    struct client *c = client_to(s);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    client_send_text(c, request);
    if (strncmp(target, "/stream", 7) == 0)
        client_read_all(c); /* it had begun */
    else
        client_expect_close(c);
    client_close(c);
}

/* Waits until the backtrace of a pid is in the log and checks that a frame of it shows a function
 * (where names can be found at all). */
static void check_backtrace(struct server *s, long pid, const char *function)
{
    char name[160];
    const char *head = server_wait_log(s, "backtrace");
    CHECK_EQ(lines_number(head, "pid"), pid);
    CHECK(lines_number(head, "frames") >= 1);
    bool has_names = !strstr(head, "names=no");
    for (long shown = lines_number(head, "shown"); shown > 0; shown--)
        CHECK_EQ(lines_number(server_wait_log(s, "frame"), "pid"), pid);
    if (has_names && function) {
        (void)snprintf(name, sizeof name, "function=\"%s+0x", function);
        CHECK_HAS(lines_text(&s->log), name);
    }
}

static void wait_replaced(struct server *s, long pid)
{
    s->log.seen = 0; /* it may have been ready before the backtrace was there */
    while (server_worker_pid(s, 0) == pid)
        (void)server_wait_log(s, "worker ready");
    server_skip_log(s);
}

static const struct {
    const char *target;
    const char *function; /* that must be named */
    const char *signal;
    const char *more; /* in the line of the crash */
} crashes[] = {
    {"/null", "dereference_nothing", "SEGV", "code=MAPERR address=0x0 thread=main"},
    {"/overflow", "recurse_for_ever", "SEGV", "thread=main"},
    {"/call", "call_nothing", "SEGV", "address=0x0"},
    {"/divide", "divide_by_zero", "FPE", "code=INTDIV"},
    {"/abort", "give_up", "ABRT", "code=TKILL"},
    {"/stream", "produce_nothing", "SEGV", "thread=main"},
    {"/deferred", "answer_nothing", "SEGV", "thread=main"},
    {"/io-null", "dereference_nothing", "SEGV", "address=0x0 thread=\""},
    {"/io-overflow", "recurse_for_ever", "SEGV", "thread=\""},
    {"/thread", "crash_in_thread", "SEGV", "thread=\""},
};

static void each_crash_names_function_request_and_cause(void **state)
{
    (void)state;
    struct server *s = start();
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        char target[64];
        check_context("%s", crashes[i].target);
        long pid = server_worker_pid(s, 0);
        server_skip_log(s);
        (void)snprintf(target, sizeof target, "%s?n=%zu", crashes[i].target, i);
        send_fatal(s, target);
        const char *line = server_wait_log(s, "worker crashed");
        CHECK_EQ(lines_number(line, "pid"), pid);
        CHECK_HAS(line, crashes[i].signal);
        CHECK_HAS(line, crashes[i].more);
        if (!strstr(crashes[i].more,
                    "thread=\"")) { /* no request is known of a thread of the app */
            CHECK_HAS(line, target);
            CHECK_HAS(line, "route=\"GET /");
            CHECK_HAS(line, " trace=");
        }
        CHECK_HAS(server_wait_log(s, "worker died"), crashes[i].signal);
        CHECK_HAS(server_wait_log(s, "request lost"), target);
        check_backtrace(s, pid, crashes[i].function);
        CHECK_EQ(lines_count(&s->log, "request lost"), i + 1); /* once, wherever the table has it */
        wait_replaced(s, pid);
    }
    char *body = client_get(s, "/fork", 200); /* its replacement serves */
    free(body);
}

static void endless_loop_is_named_by_the_watchdog(void **state)
{
    (void)state;
    struct server *s = start();
    long pid = server_worker_pid(s, 0);
    send_fatal(s, "/spin?why=test");
    const char *hangs = server_wait_log(s, "worker hangs");
    CHECK_EQ(lines_number(hangs, "pid"), pid);
    CHECK_HAS(hangs, "why=\"timeout\"");
    CHECK_HAS(hangs, "target=\"/spin?why=test\"");
    CHECK_HAS(hangs, "route=\"GET /spin\"");
    CHECK(lines_number(hangs, "silent_ms") >= 2000);
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=ABRT why=\"timeout\"");
    check_backtrace(s, pid, "spin_for_ever");
    CHECK_EQ(lines_count(&s->log, "worker crashed"), 0);
    wait_replaced(s, pid);
}

/* It has blocked SIGABRT: killed, without a backtrace, and the log says so. */
static void worker_that_is_deaf_to_abort_is_killed(void **state)
{
    (void)state;
    struct server *s = start();
    long pid = server_worker_pid(s, 0);
    send_fatal(s, "/spin-deaf");
    (void)server_wait_log(s, "worker hangs");
    const char *killed = server_wait_log(s, "worker killed");
    CHECK_EQ(lines_number(killed, "pid"), pid);
    CHECK_HAS(killed, "signal=KILL");
    CHECK_HAS(killed, "backtrace=\"none");
    CHECK_HAS(killed, "state=R");
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=KILL why=\"timeout\"");
    (void)server_wait_log(s, "worker ready");
}

static void stopped_worker_is_killed_and_its_state_told(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK_HAS(server_wait_log(s, "worker hangs"), "state=T");
    CHECK_HAS(server_wait_log(s, "worker killed"), "state=T");
    (void)server_wait_log(s, "worker ready");
}

static void exit_by_the_app_is_told_with_its_caller(void **state)
{
    (void)state;
    struct server *s = start();
    long pid = server_worker_pid(s, 0);
    send_fatal(s, "/exit?code=3");
    CHECK_HAS(server_wait_log(s, "worker died"), "exit=3 why=\"the app called exit(3)\"");
    check_backtrace(s, pid, "leave_early");
    wait_replaced(s, pid);
    send_fatal(s, "/quick-exit");
    CHECK_HAS(server_wait_log(s, "worker died"), "called _exit(9)");
}

/* Of those that it can handle a process knows who sent them; no backtrace is told. */
static void signal_from_outside_is_told_with_its_sender(void **state)
{
    (void)state;
    char sender[64];
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGSEGV) == 0);
    (void)snprintf(sender, sizeof sender, "killed from outside, by process %d of user %u",
                   (int)getpid(), (unsigned)getuid());
    const char *died = server_wait_log(s, "worker died");
    CHECK_HAS(died, "signal=SEGV");
    CHECK_HAS(died, sender);
    (void)server_wait_log(s, "worker ready");
    CHECK_EQ(lines_count(&s->log, "worker crashed"), 0);
    CHECK_EQ(lines_count(&s->log, "backtrace"), 0);
}

/* The request and the frames are destroyed: what can be told is, and nobody hangs. */
static void handler_survives_what_the_app_destroyed(void **state)
{
    (void)state;
    struct server *s = start();
    long pid = server_worker_pid(s, 0);
    send_fatal(s, "/scribble");
    const char *line = server_wait_log(s, "worker crashed");
    CHECK_HAS(line, "target=\"/scribble\"");
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=");
    check_backtrace(s, pid, "scribbles");
    wait_replaced(s, pid);
}

static void handler_of_the_apps_own_wins(void **state)
{
    (void)state;
    struct server *s = start();
    send_fatal(s, "/own-handler");
    CHECK_HAS(server_wait_log(s, "worker died"), "exit=101");
    CHECK_HAS(lines_text(&s->log), "the app's own handler");
    CHECK_EQ(lines_count(&s->log, "worker crashed"), 0);
}

/* So does a sanitizer's, which is there before anybody else: it reports, and ends the process. */
static void handler_of_a_sanitizer_wins(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    (void)unsetenv("ASAN_OPTIONS");
    struct server *s = server_start_app(CRASHES_SO, "--workers", "1", "--set", "app_copy=no", NULL);
    s->is_violent = true;
    send_fatal(s, "/null");
    CHECK_HAS(server_wait_log(s, "worker died"), "called _exit(1)");
    CHECK_HAS(lines_text(&s->log), "AddressSanitizer");
    CHECK_HAS(lines_text(&s->log), "dereference_nothing");
    CHECK_EQ(lines_count(&s->log, "worker crashed"), 0);
#else
    skip(); /* elsewhere no sanitizer's handler is there to win */
#endif
}

static void child_of_the_app_that_crashes_is_no_worker(void **state)
{
    (void)state;
    struct server *s = start();
    char *body = client_get(s, "/fork", 200);
    pid_t child = (pid_t)atoi(body);
    free(body);
    uint64_t end = clock_now_us() + 10 * CLOCK_US_PER_S;
    while (procs_state(child) != 'Z' && procs_state(child) != 0 && patience_turn(end))
        continue;
    pid_t pid = server_worker_pid(s, 0);
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "worker died"), "signal=KILL why=\"killed from outside\"");
    CHECK_EQ(lines_count(&s->log, "worker crashed"), 0);
    CHECK_EQ(lines_count(&s->log, "backtrace"), 0);
}

static void crash_in_init_is_told_by_the_loader(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = server_start_args("run", "--bind", "127.0.0.1:0", APP("init_crashes"), NULL);
    s->is_violent = true;
    CHECK_HAS(server_wait_log(s, "loader crashed"), "signal=SEGV");
    CHECK_EQ(server_wait_exit(s), 1);
    const char *text = lines_text(&s->log);
    CHECK_HAS(text, ": backtrace pid=");
    if (!strstr(text, "names=no"))
        CHECK_HAS(text, "function=\"init+0x");
}

static void crash_in_worker_init_is_told(void **state)
{
    (void)state;
    server_let_crash();
    struct server *s = server_start_args("run", "--bind", "127.0.0.1:0", "-w", "1",
                                         APP("worker_init_crashes"), NULL);
    s->is_violent = true;
    CHECK_HAS(server_wait_log(s, "worker crashed"), "signal=SEGV");
    CHECK_EQ(server_wait_exit(s), 4);
    const char *text = lines_text(&s->log);
    CHECK_HAS(text, ": backtrace pid=");
    if (!strstr(text, "names=no"))
        CHECK_HAS(text, "function=\"worker_init+0x");
}

SERVER_MAIN(SERVER_TEST(each_crash_names_function_request_and_cause),
            SERVER_TEST(endless_loop_is_named_by_the_watchdog),
            SERVER_TEST(worker_that_is_deaf_to_abort_is_killed),
            SERVER_TEST(stopped_worker_is_killed_and_its_state_told),
            SERVER_TEST(exit_by_the_app_is_told_with_its_caller),
            SERVER_TEST(signal_from_outside_is_told_with_its_sender),
            SERVER_TEST(handler_survives_what_the_app_destroyed),
            SERVER_TEST(handler_of_the_apps_own_wins), SERVER_TEST(handler_of_a_sanitizer_wins),
            SERVER_TEST(child_of_the_app_that_crashes_is_no_worker),
            SERVER_TEST(crash_in_init_is_told_by_the_loader),
            SERVER_TEST(crash_in_worker_init_is_told))
