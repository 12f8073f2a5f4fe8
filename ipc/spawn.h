/* The only fork(2). A child never returns through its parent's frames: it calls its role's main. */
#ifndef REMUDA_IPC_SPAWN_H
#define REMUDA_IPC_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "ipc/heritage.h"

struct err;

typedef void (*spawn_main)(const struct heritage *heritage); /* must not return */

/* Makes this process the one to which orphans below it are handed (PR_SET_CHILD_SUBREAPER), so that
 * a loader's double-forked children become ours. Returns 0; -errno */
int spawn_adopt_orphans(void) __attribute__((warn_unused_result));

/* Forks a direct child (the loader): default signals, empty mask, only standard streams, log and
 * channel open, SIGKILL when the parent dies; then main(heritage).
 * Returns  0 and its pid; -errno, *err says why */
int spawn_child(const struct heritage *heritage, spawn_main main, pid_t *out_pid, struct err *err)
    __attribute__((warn_unused_result));

/* Forks a grandchild that the master adopts. Waits until the intermediate is gone, then tells the
 * child to go; the child sets its parent-death signal and checks that heritage->master_pid is its
 * parent now, else ends.
 * Returns  0 and its pid; -errno, *err says why
 * Safe     process: loader, single-threaded */
int spawn_grandchild(const struct heritage *heritage, spawn_main main, pid_t *out_pid,
                     struct err *err) __attribute__((warn_unused_result));

/* Goes on in a new process that has no controlling terminal and never gets one (setsid(2), and a
 * fork behind it), nobody's child but init's or a subreaper's. The one exception to the rule above:
 * the new process returns through its parent's frames, since it takes its parent's place.
 * Returns  0 in the new process; 1 in the one that called; -errno, *err: there is no new one
 * Safe     single-threaded, before there are children */
int spawn_detached(struct err *err) __attribute__((warn_unused_result));

/* What spawn_program() starts. */
struct spawn_program {
    const char *path;
    char *const *argv;        /* ended by NULL */
    char *const *environment; /* ended by NULL */
    const char *folder;       /* its working folder */
    const int *kept_fds;      /* stay open under their numbers, beside the standard streams */
    size_t n_kept;
    int report_fd; /* one of those, a socket or pipe: gets "failed WHY" when it can't be started */
};

/* Forks and executes another program, which outlives this process: default signals, empty mask.
 * Returns  0 and its pid, also when the program can't be started; -errno, *err says why */
int spawn_program(const struct spawn_program *program, pid_t *out_pid, struct err *err)
    __attribute__((warn_unused_result));

/* Asks to be killed when the parent dies, and ends this process when that is not `master` (any
 * more). Every child does it when it starts; again after a change of credentials, which makes the
 * kernel forget it (prctl(2), PR_SET_PDEATHSIG). */
void spawn_bind_life(pid_t master);

/* Threads of this process, from /proc/self/task; -errno when that can't be read. */
int spawn_count_threads(void);

#endif
