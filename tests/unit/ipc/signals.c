/* ipc/signals.c: signals become bits, none is lost in a storm, and nothing waits in the handler. */
#include "ipc/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/check.h"
#include "tests/harness/patience.h"

#undef fork

static const int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD};
static int wake_fd;

static int setup(void **state)
{
    (void)state;
    wake_fd = signals_open(numbers, sizeof numbers / sizeof numbers[0]);
    return wake_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    signals_reset();
    return 0;
}

/* Is there something to take, now or before a deadline? */
static bool is_awake(unsigned within_ms)
{
    struct pollfd poll_fd = {.fd = wake_fd, .events = POLLIN};
    uint64_t deadline_us = patience_until(within_ms);
    int n;
    do
        n = poll(&poll_fd, 1, within_ms > 0 ? patience_left_ms(deadline_us) : 0);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

static void a_signal_wakes_the_loop_and_is_taken_once(void **state)
{
    (void)state;
    CHECK(!is_awake(0));
    CHECK_EQ(signals_take(), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(is_awake(0));
    uint64_t taken = signals_take();
    CHECK(signals_has(taken, SIGUSR1));
    CHECK_EQ(taken, UINT64_C(1) << SIGUSR1);
    CHECK(!signals_has(taken, SIGUSR2));
    CHECK(!is_awake(0));
    CHECK_EQ(signals_take(), 0);
}

static void several_signals_are_taken_together(void **state)
{
    (void)state;
    CHECK_EQ(raise(SIGUSR2), 0);
    CHECK_EQ(raise(SIGTERM), 0);
    CHECK_EQ(raise(SIGUSR2), 0);
    CHECK_EQ(signals_take(), UINT64_C(1) << SIGUSR2 | UINT64_C(1) << SIGTERM);
}

/* More signals than a pipe has room for: the handler does not wait, and the last is not lost. */
static void a_storm_fills_the_pipe_and_loses_nothing(void **state)
{
    (void)state;
    errno = 4711;
    for (int i = 0; i < 70000; i++)
        (void)raise(SIGUSR1);
    CHECK_EQ(errno, 4711); /* the handler leaves errno alone, also when its write fails */
    (void)raise(SIGUSR2);
    CHECK(is_awake(0));
    CHECK_EQ(signals_take(), UINT64_C(1) << SIGUSR1 | UINT64_C(1) << SIGUSR2);
    CHECK(!is_awake(0));
    (void)raise(SIGTERM); /* and goes on */
    CHECK(is_awake(0));
    CHECK_EQ(signals_take(), UINT64_C(1) << SIGTERM);
}

/* Signals that come while the loop takes others: the last of a storm is always seen. */
static void the_last_signal_of_another_process_is_seen(void **state)
{
    (void)state;
    pid_t parent = getpid();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 20000; i++)
            if (kill(parent, i % 2 ? SIGUSR1 : SIGTERM) < 0)
                _exit(1);
        _exit(kill(parent, SIGUSR2) < 0);
    }
    uint64_t seen = 0;
    while (!signals_has(seen, SIGUSR2) || !signals_has(seen, SIGCHLD)) {
        CHECK_SAYING(is_awake(PATIENCE_MS), "seen so far: %llx", (unsigned long long)seen);
        seen |= signals_take();
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK(signals_has(seen, SIGUSR1) && signals_has(seen, SIGTERM));
}

static void the_pipe_is_not_inherited_and_never_blocks(void **state)
{
    (void)state;
    CHECK(fcntl(wake_fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(wake_fd, F_GETFL) & O_NONBLOCK);
    int again = signals_open(numbers, 1); /* a forked child does so: the old pipe is closed */
    CHECK_EQ(again, wake_fd);
}

static void numbers_that_can_not_be_handled_are_refused(void **state)
{
    (void)state;
    static const int bad[] = {0, -1, 64, 65, SIGKILL, SIGSTOP};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQ(signals_open(&bad[i], 1), -EINVAL);
}

/* What a forked child does first: it dies of a signal that its parent would have noted. */
static void after_a_reset_signals_do_what_they_always_did(void **state)
{
    (void)state;
    sigset_t all;
    (void)sigfillset(&all);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        (void)signal(SIGALRM, SIG_IGN);
        signals_reset();
        sigset_t now;
        struct sigaction action;
        (void)sigprocmask(SIG_SETMASK, NULL, &now);
        for (int number = 1; number < 32; number++)
            if (sigismember(&now, number))
                _exit(2);
        if (sigaction(SIGALRM, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
            _exit(3);
        if (fcntl(wake_fd, F_GETFD) >= 0)
            _exit(4);
        static const int spared[] = {SIGINT,  SIGQUIT, SIGHUP,   SIGUSR1, SIGUSR2,
                                     SIGTTIN, SIGTTOU, SIGWINCH, SIGPIPE};
        for (size_t i = 0; i < sizeof spared / sizeof spared[0]; i++)
            (void)raise(spared[i]); /* the exceptions: they may reach a child that is being born */
        (void)raise(SIGTERM);
        _exit(5);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        CHECK_EQ(errno, EINTR);
    CHECK_SAYING(WIFSIGNALED(status), "exit status %d", WEXITSTATUS(status));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
    CHECK(is_awake(PATIENCE_MS)); /* of the child's death alone */
    CHECK_EQ(signals_take(), UINT64_C(1) << SIGCHLD);
}

static void signals_have_names(void **state)
{
    (void)state;
    CHECK_TEXT(signals_name(SIGKILL), "KILL");
    CHECK_TEXT(signals_name(SIGSEGV), "SEGV");
    CHECK_TEXT(signals_name(SIGUSR2), "USR2");
    CHECK_TEXT(signals_name(0), "?");
    CHECK_TEXT(signals_name(-1), "?");
    CHECK_TEXT(signals_name(4711), "?");
}

/* Would end the process otherwise, or, as pid 1, be dropped. */
static void what_is_held_comes_once_there_are_handlers(void **state)
{
    (void)state;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        signals_hold();
        (void)raise(SIGTERM);
        (void)raise(SIGUSR2);
        wake_fd = signals_open(numbers, sizeof numbers / sizeof numbers[0]);
        uint64_t expected = UINT64_C(1) << SIGTERM | UINT64_C(1) << SIGUSR2;
        _exit(is_awake(0) && signals_take() == expected ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_signal_wakes_the_loop_and_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(several_signals_are_taken_together, setup, teardown),
        cmocka_unit_test_setup_teardown(a_storm_fills_the_pipe_and_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_signal_of_another_process_is_seen, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_pipe_is_not_inherited_and_never_blocks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(numbers_that_can_not_be_handled_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(after_a_reset_signals_do_what_they_always_did, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_held_comes_once_there_are_handlers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(signals_have_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
