/* The one struct that a child gets from its parent. Everything else comes over its channel. */
#ifndef REMUDA_IPC_HERITAGE_H
#define REMUDA_IPC_HERITAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "ipc/role.h"
#include "ipc/scoreboard.h"

struct inquiry;  /* ipc/inquiry.h; here only carried */
struct inquest;  /* ipc/inquest.h; here only carried */
struct settings; /* config/settings.h; here only carried */

struct heritage {
    enum role role;          /* everyone */
    uint32_t seat;           /* everyone: its part of the shared table */
    uint32_t epoch;          /* everyone: which occupant of that seat it is, 1 … */
    int slot;                /* web workers: 0 … workers - 1; compute workers: likewise, in
                                        their pool; else -1 */
    int pool;                /* compute workers: index in settings->compute_pools; else -1 */
    int generation;          /* everyone: 1 … */
    pid_t master_pid;        /* everyone: the parent that must be alive */
    int channel_fd;          /* everyone: SOCK_SEQPACKET to the master; -1 in single mode */
    int log_fd;              /* everyone: inherited, used through base/log.h */
    int access_fd;           /* everyone, web workers write to it: access log; -1 off */
    struct scoreboard board; /* everyone: mapped read-only before the fork */
    const struct settings *settings; /* everyone: read-only, inherited by fork */
    const struct inquest *inquest;   /* coroner: the death to look into; else NULL */
    const struct inquiry *inquiry;   /* tracer: the request to look into; else NULL */
    int app_fd;                      /* coroner, tracer: sealed copy of the app; 0: none */
};

#define HERITAGE_LOGS_MAX 2

/* Numbers of the descriptors that are log files, in the order of a MSG_LOGS: the log's own, the
 * access log's. Standard streams are not reopened, and a number never changes: a reopened file
 * takes the place of the one before it (dup3(2)), so nobody has to be told, threads neither.
 * Returns  how many */
static inline size_t heritage_log_files(const struct heritage *heritage, int out[HERITAGE_LOGS_MAX])
{
    size_t n = 0;
    if (heritage->log_fd > STDERR_FILENO)
        out[n++] = heritage->log_fd;
    if (heritage->access_fd > STDERR_FILENO)
        out[n++] = heritage->access_fd;
    return n;
}

#endif
