/* The one struct that a child gets from its parent. Everything else comes over its channel. */
#ifndef REMUDA_IPC_HERITAGE_H
#define REMUDA_IPC_HERITAGE_H

#include <stdint.h>
#include <sys/types.h>

#include "ipc/role.h"
#include "ipc/scoreboard.h"

struct settings; /* config/settings.h; here only carried */

struct heritage {
    enum role role;                  /* everyone */
    uint32_t seat;                   /* everyone: its part of the shared table */
    uint32_t epoch;                  /* everyone: which occupant of that seat it is, 1 … */
    int slot;                        /* web workers: 0 … workers - 1; else -1 */
    int generation;                  /* everyone: 1 … */
    pid_t master_pid;                /* everyone: the parent that must be alive */
    int channel_fd;                  /* everyone: SOCK_SEQPACKET to the master; -1 in single mode */
    int log_fd;                      /* everyone: inherited, used through base/log.h */
    int access_fd;                   /* web workers: access log; -1 off */
    struct scoreboard board;         /* everyone: mapped read-only before the fork */
    const struct settings *settings; /* everyone: read-only, inherited by fork */
};

#endif
