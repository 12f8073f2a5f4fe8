/* Signals become bytes in a pipe and bits in a word: the loop sees them between two events, a storm
 * of one signal is one bit, and no handler does more than write(2). */
#ifndef REMUDA_IPC_SIGNALS_H
#define REMUDA_IPC_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* Installs the handler for each of the signals and opens the pipe; what signals_hold() held comes.
 * Returns  the end to poll for reading; -errno
 * Safe     once per process; a forked child calls it anew for its own pipe */
int signals_open(const int *numbers, unsigned count) __attribute__((warn_unused_result));

/* Makes signals wait that ask a server for something, until signals_open() has handlers for them.
 * For pid 1 of a container: the kernel drops what pid 1 has no handler for (pid_namespaces(7)), so
 * a TERM in the first moments of a start would be lost. And for a start that takes its time, and
 * would leave its files behind. Twice is fine. */
void signals_hold(void);

/* Whether one of those that end a server (TERM, INT, QUIT) waits since signals_hold(). */
bool signals_is_stop_held(void);

/* Empties the pipe and takes the signals that came since the last call.
 * Returns  bit n set: signal n came at least once (n < 64) */
uint64_t signals_take(void);

/* How often a signal came since this was last asked, for those that count: each is one worker more,
 * say. The kernel may still make one of several that it holds back at the same time (signal(7)). */
unsigned signals_count(int number);

static inline bool signals_has(uint64_t taken, int number)
{
    return (taken >> number) & 1U;
}

/* Back to default actions and an empty mask, pipe closed: the first thing a forked child does.
 * Handlers of faults (SEGV, ABRT …) stay: they are a sanitizer's, the app's or workers/crash.h's.
 * INT, QUIT, HUP, USR1, USR2, TTIN, TTOU, WINCH and PIPE are ignored: they often go to the whole
 * process group, mean the master, and would kill or stop a child that is being born. */
void signals_reset(void);

/* "SIGKILL" … without "SIG" ("KILL"); "?" for unknown numbers. Static text. */
const char *signals_name(int number);

#endif
