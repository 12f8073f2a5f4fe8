/* The ledger: what only the master knows, for whoever tells it to the world. A memfd that the
 * master alone can write: its mapping does not go to its children, and the seal forbids all later
 * ones for writing. The admin process maps it read-only, and so answers also when the master does
 * not.
 *
 * The master writes it at the end of a turn, between two steps of a counter; who reads copies it,
 * and copies again when the counter was odd or has moved on. What workers have counted stands in
 * their parts of the shared table and is not copied here; only what those counted who are dead.
 * While the counts of one that has died move from there to here, n_burials is ahead of what the
 * ledger says. */
#ifndef REMUDA_IPC_LEDGER_H
#define REMUDA_IPC_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/role.h"
#include "ipc/totals.h"

struct err;

#define LEDGER_LAYOUT 2U
#define LEDGER_POOLS 16U
#define LEDGER_BREAKERS 1024U /* routes and tasks whose breakers are told */
#define LEDGER_SETTINGS_BYTES 65536U

/* How the master sees a process. */
enum ledger_state {
    LEDGER_FREE,
    LEDGER_BOOTING,
    LEDGER_READY,
    LEDGER_DRAINING, /* finishes what it has */
    LEDGER_ENDING,   /* was told to end, or killed, or closed its channel */
    LEDGER_BURIED,   /* dead; it is in the totals */
    LEDGER_STATES
};
extern const char *const ledger_state_names[LEDGER_STATES];

struct ledger_seat {
    uint8_t role;  /* enum role */
    uint8_t state; /* enum ledger_state */
    int16_t slot;
    bool is_full;
    int32_t pid; /* 0: not known yet */
    int32_t generation;
    uint32_t epoch;
    char pool[32]; /* of a compute worker, as its generation calls it; else "" */
};

/* Why a process had to be replaced. */
enum ledger_reason {
    LEDGER_CRASH,   /* a fault, abort(3), a mistake of ours */
    LEDGER_MEMORY,  /* out of memory, or refused it */
    LEDGER_HUNG,    /* the watchdog ended it */
    LEDGER_TASK,    /* a compute worker that was killed for the task that it had */
    LEDGER_LIMIT,   /* a resource limit */
    LEDGER_EXIT,    /* it ended itself */
    LEDGER_OUTSIDE, /* somebody else killed it, or told it to drain */
    LEDGER_BOOT,    /* it did not become ready */
    LEDGER_WORN,    /* max_requests and its like */
    LEDGER_REASONS
};
extern const char *const ledger_reason_names[LEDGER_REASONS];

struct ledger_pool {
    char name[32];
    uint32_t n_workers; /* that there should be */
    uint32_t n_min, n_max;
    uint32_t n_queued; /* tasks that wait */
    uint32_t queue;    /* and that may */
    uint64_t memory_limit_bytes;
};

/* What dead processes of a role have used, as the kernel says. */
struct ledger_used {
    uint64_t cpu_us;
    uint64_t minor_faults;
    uint64_t major_faults;
};

enum ledger_outcome { LEDGER_DONE, LEDGER_REFUSED, LEDGER_OUTCOMES };
extern const char *const ledger_outcome_names[LEDGER_OUTCOMES];

/* What is written and copied whole, but for seats and routes, of which there may be few. */
struct ledger_page {
    uint64_t n_burials;      /* all that had begun are in here */
    uint64_t told_us;        /* when it was written, by base/clock.h */
    int64_t started_wall_us; /* the server's start, since 1970 */
    int32_t generation;      /* that serves */
    int32_t leaving;         /* that is on its way out; 0: none */
    uint32_t n_web;          /* web workers that there should be */
    uint32_t n_seats;        /* that may be taken: those in `seats` */
    uint32_t n_pools;
    uint32_t n_breakers;
    uint32_t settings_len;    /* of settings */
    uint64_t settings_number; /* counts its changes */
    uint64_t restarts[ROLE_COUNT][LEDGER_REASONS];
    uint64_t reloads[LEDGER_OUTCOMES];
    int64_t reloaded_wall_us; /* the last that was done; 0: none */
    bool is_last_reload_good;
    uint64_t upgrades[LEDGER_OUTCOMES];
    uint64_t decisions; /* of the controller */
    struct ledger_used used[ROLE_COUNT];
    struct ledger_pool pools[LEDGER_POOLS];
    struct totals totals; /* of the dead; its routes are behind */
};

struct ledger {
    uint32_t layout;
    uint32_t n_seats;           /* room for */
    uint32_t n_routes;          /* room of totals.routes */
    _Atomic uint32_t version;   /* odd: it is being written */
    _Atomic uint64_t n_burials; /* that have begun */
    _Atomic uint64_t beat_us;   /* the master's last turn */
    struct ledger_page page;
    uint64_t breakers[LEDGER_BREAKERS];   /* words, as of ipc/breaker.h */
    char settings[LEDGER_SETTINGS_BYTES]; /* name, value and source of each, all ended by NUL */
    /* then n_seats of struct ledger_seat, then n_routes of struct totals_route, which change only
     * while somebody is being buried */
};

/* ---- the master */

/* Makes it and maps it; children have neither the mapping nor a way to it.
 * n_seats   1 …; n_routes as totals_init() takes it
 * Returns   0; -errno, *err */
int ledger_create(uint32_t n_seats, uint32_t n_routes, int *out_fd, struct ledger **out,
                  struct err *err) __attribute__((warn_unused_result));
void ledger_close(struct ledger *ledger, int *fd);

/* A child of the master's: it has not inherited the mapping, and knows so. */
void ledger_forget(void);

/* Where the totals' routes are kept from now on, for totals_init_in(). */
struct totals_route *ledger_routes(struct ledger *ledger);
struct ledger_seat *ledger_seats(struct ledger *ledger);

/* Between these two it is written; with end() all that was begun to be buried is in it. */
void ledger_begin(struct ledger *ledger);
void ledger_end(struct ledger *ledger, uint64_t now_us);

/* Somebody who died is going to be reaped, or what it counted added to the totals. */
void ledger_bury(struct ledger *ledger);

/* ---- who tells it */

/* A copy of one's own. */
struct ledger_copy {
    struct ledger_page page;
    struct ledger_seat *seats;   /* room for all */
    struct totals_route *routes; /* likewise; page.totals.routes leads here */
    uint64_t breakers[LEDGER_BREAKERS];
    char settings[LEDGER_SETTINGS_BYTES];
    uint64_t beat_us;
    uint64_t settings_number; /* of what was copied */
};

/* Maps the ledger for reading. fd may be closed afterwards. Returns 0; -errno, *err */
int ledger_map(int fd, const struct ledger **out, struct err *err)
    __attribute__((warn_unused_result));

/* Room for copies. Returns 0; -ENOMEM */
int ledger_copy_init(struct ledger_copy *copy, const struct ledger *ledger)
    __attribute__((warn_unused_result));
void ledger_copy_fini(struct ledger_copy *copy);

/* Copies it. Returns false: it was being written all the time, which takes microseconds, or
 * somebody is being buried; then the copy is from before, or of both */
bool ledger_read(struct ledger_copy *copy, const struct ledger *ledger);

/* Whether nobody has died since: then what was read in the shared table meanwhile and the copy are
 * of the same living and dead. */
bool ledger_is_current(const struct ledger_copy *copy, const struct ledger *ledger);

#endif
