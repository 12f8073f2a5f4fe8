/* The admin process as the master keeps it: its listening sockets, its life, and the ledger that it
 * reads. It is in no seat of the table, since it belongs to no generation; there is one at most. */
#ifndef REMUDA_SERVER_ADMINS_H
#define REMUDA_SERVER_ADMINS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "ipc/ledger.h"
#include "server/herd.h"
#include "server/listen.h"
#include "server/reload.h"
#include "server/upgrade.h"

struct err;
struct settings;

#define ADMINS_FILES 8 /* that the master has open for it: its channel, sockets of its address */

struct admins {
    struct herd *herd;
    const struct reload *reload;
    const struct upgrade *upgrade;
    bool is_on; /* the settings name an address */
    struct listen_set listeners;
    pid_t pid;            /* 0: there is none */
    int channel_fd;       /* the master's end; -1: cut */
    uint32_t epoch;       /* counts them */
    uint64_t born_us;     /* of the present one */
    uint64_t ready_us;    /* when it said so; 0: not yet */
    uint64_t due_us;      /* there is none: not to be tried before */
    uint64_t killed_us;   /* when it is killed, having been told to end; SEAT_NEVER: it was not */
    unsigned failures;    /* in a row; see decide_replace() */
    bool is_leaving;      /* it was told to end */
    const char *doom;     /* why it was ended, for the log; NULL: it was not */
    uint32_t logs;        /* number of the reopening whose files it has */
    int log_generation;   /* whose log it writes to */
    uint64_t told_us;     /* when the ledger was last written */
    uint64_t reload_seen; /* the last one of which the ledger tells, likewise: */
    uint64_t upgrade_seen;
    int settings_told; /* generation whose settings the ledger has */
};

/* Binds what the settings name, and listens; nothing when they name nothing.
 * inherited  sockets of the master whose successor this one is, taken over; may be empty
 * Returns    0; -errno, *err */
int admins_open(struct admins *admins, const struct settings *settings, struct herd *herd,
                const struct reload *reload, const struct upgrade *upgrade,
                struct listen_set *inherited, struct err *err) __attribute__((warn_unused_result));
void admins_close(struct admins *admins);

/* Its channel, for poll(2). */
void admins_watch(const struct admins *admins, struct pollfd *out_poll);

/* Once a turn: hears it, judges it, has another made, writes the ledger.
 * may_serve  this master is the one who should answer; else its process is sent away */
void admins_turn(struct admins *admins, bool may_serve);

/* A child was reaped. Returns false: it is not the admin process */
bool admins_reap(struct admins *admins, pid_t pid, int status);

/* None is left, and none will be. */
bool admins_have_ended(const struct admins *admins);

uint64_t admins_next_us(const struct admins *admins);

#endif
