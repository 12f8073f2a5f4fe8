/* Self-pipe plus a bit set. The bits carry the meaning, the pipe only wakes the loop, so a full
 * pipe loses nothing. signal-safety(7): the handler uses an atomic and write(2) alone. */
#include "ipc/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"

static int pipe_fds[2] = {-1, -1};
static atomic_ullong pending;
static atomic_uint counts[64]; /* by number */

static void on_signal(int number)
{
    int saved_errno = errno;
    atomic_fetch_add(&counts[number], 1);
    atomic_fetch_or(&pending, 1ULL << number);
    if (write(pipe_fds[1], "", 1) < 0)
        errno = saved_errno; /* full: the loop is awake already */
    errno = saved_errno;
}

void signals_hold(void)
{
    static const int held[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,  SIGUSR1,
                               SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
        (void)sigaddset(&set, held[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

bool signals_is_stop_held(void)
{
    sigset_t set;
    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1 ||
            sigismember(&set, SIGQUIT) == 1);
}

int signals_open(const int *numbers, unsigned count)
{
    fd_close(&pipe_fds[0]);
    fd_close(&pipe_fds[1]);
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    atomic_store(&pending, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < count; i++)
        if (numbers[i] <= 0 || numbers[i] >= 64 || sigaction(numbers[i], &action, NULL) < 0)
            return -EINVAL;
    sigset_t set;
    (void)sigemptyset(&set);
    for (unsigned i = 0; i < count; i++)
        (void)sigaddset(&set, numbers[i]);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    return pipe_fds[0];
}

uint64_t signals_take(void)
{
    char bytes[64];
    while (read(pipe_fds[0], bytes, sizeof bytes) > 0)
        ; /* until EAGAIN */
    return atomic_exchange(&pending, 0);
}

/* What tells of a crash: the app's, a sanitizer's or our own handler goes on in a forked child. */
static bool is_fault(int number)
{
    static const int faults[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (faults[i] == number)
            return true;
    return false;
}

unsigned signals_count(int number)
{
    return number > 0 && number < 64 ? atomic_exchange(&counts[number], 0) : 0;
}

/* What a terminal or an operator sends to a whole process group, meaning the master; and what a log
 * that nobody reads any more would kill a process with. */
static bool is_spared(int number)
{
    static const int numbers[] = {SIGINT,  SIGQUIT, SIGHUP,   SIGUSR1, SIGUSR2,
                                  SIGTTIN, SIGTTOU, SIGWINCH, SIGPIPE};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

void signals_reset(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (int number = 1; number < NSIG; number++) /* fails for KILL, STOP and libc's own */
        if (!is_fault(number))
            (void)sigaction(number, is_spared(number) ? &ignore : &action, NULL);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    fd_close(&pipe_fds[0]);
    fd_close(&pipe_fds[1]);
}

const char *signals_name(int number)
{
    const char *name = sigabbrev_np(number);
    return name ? name : "?";
}
