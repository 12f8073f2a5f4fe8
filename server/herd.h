/* The herd: everything that lives under the master, and the carrying out of what is decided about
 * it. Between the master's loop (which hears that something happened) and decide() (which says what
 * follows). */
#ifndef REMUDA_SERVER_HERD_H
#define REMUDA_SERVER_HERD_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/heritage.h"
#include "ipc/ledger.h"
#include "ipc/scoreboard.h"
#include "ipc/totals.h"
#include "server/coroners.h"
#include "server/decide.h"
#include "server/decisions.h"
#include "server/gauge.h"
#include "server/generation.h"
#include "server/graves.h"
#include "server/oom.h"
#include "server/poison.h"
#include "server/slow.h"
#include "server/slots.h"

struct err;
struct settings;

/* Room for the most workers that there may be: an old and a new one for each slot, web and compute,
 * loaders, strays, and as many again of compute workers that are dead and not yet let go of.
 * The table is that large from the start, since it can't grow once children have mapped it; only
 * seats that are taken cost memory. */
#define HERD_SEATS (2 * GENERATION_WORKERS_MAX + 3 * POOLS_WORKERS_MAX + 8)

struct herd {
    struct generation *current;   /* serves; always there */
    struct generation *candidate; /* comes up beside it, accepts nothing yet; NULL: none */
    struct generation *leaving;   /* drains, or was thrown away; NULL: none */
    int n_generations;            /* numbers given out */
    struct slots slots;
    struct totals totals;  /* of the dead; its routes lie in the ledger */
    struct ledger *ledger; /* what the admin process is told; NULL: not made */
    int ledger_fd;
    pid_t admin_pid;         /* server/admins.h; 0: there is none */
    struct totals *sums;     /* room for status: of living and dead */
    struct scoreboard board; /* mapped read-only; base NULL: none */
    int board_fd;
    uint32_t logs;            /* how often log files were reopened */
    struct coroners coroners; /* who look into deaths */
    struct slow slow;         /* requests that take long */
    struct poison poison;     /* requests that killed */
    struct graves graves;     /* dead ones that still have their seats */
    struct oom oom;           /* kills by the kernel that deaths account for */
    struct gauge gauge;       /* of the machine, for decisions */
    struct decisions decisions;
    uint64_t leaves_us; /* when a stop that was put off begins; 0: none was */
    uint64_t excuse_us; /* heartbeats are not judged before this time: the master was away */
    enum decide_stage stage;
    bool leaves_sockets; /* others go on with the sockets when this server stops */
    int exit_code;       /* what the master will exit with */
    uint64_t now_us;     /* of this turn, set by the loop */
    uint64_t due_us;     /* something could not be sent: try again then; SEAT_NEVER: all was */
    char reason[256];    /* of the latest death or refusal, for a start that fails */
    bool has_strangers;  /* what a handler has forked may live on: to be killed */
    bool is_changed;     /* seats changed since sockets were lent; cleared by who lends */
};

/* Allocates the tables: the last allocation before the first fork.
 * settings     for `inflight` and `limit_routes`, which shape the shared table
 * n_listeners  listening sockets that there will be at first
 * Returns  0; -errno, *err; then herd_fini() is due all the same */
int herd_init(struct herd *herd, const struct settings *settings, uint32_t n_seats,
              uint32_t n_listeners, struct err *err) __attribute__((warn_unused_result));
void herd_fini(struct herd *herd);

/* The generation of a seat that is taken. */
struct generation *herd_generation(const struct herd *herd, const struct seat *seat);

/* Seats of a generation that are taken. */
uint32_t herd_count(const struct herd *herd, const struct generation *g);

/* By what rules a seat that is taken is judged. */
struct decide_rules herd_rules(const struct herd *herd, const struct seat *seat);

/* A loader says, with its READY, which compute pools its app uses.
 * Returns  false: they can't be had, and it was told to end */
bool herd_use_pools(struct herd *herd, struct seat *loader, uint32_t used);

/* Web workers of a generation that live, or may. */
uint32_t herd_count_web(const struct herd *herd, const struct generation *g);

/* Compute workers, and a loader that can replace them, leave behind the web workers that may ask
 * them for something: server/relief.h. */
bool herd_is_rear(const struct herd *herd, const struct seat *seat);

/* Something happened to a seat: decides and carries it out. The seat may be free afterwards only
 * for DECIDE_TIME and DECIDE_LATE. */
void herd_happen(struct herd *herd, struct seat *seat, enum decide_event event);

/* Somebody said which pid sits in a seat.
 * Returns  false: that can't be, the one who said it broke the protocol */
bool herd_name(struct herd *herd, struct seat *seat, pid_t pid);

/* The loader could not make a process for a seat: the seat is free afterwards. */
void herd_refuse(struct herd *herd, struct seat *seat, int code);

/* A seat's occupant has been reaped and its channel read to the end: writes what it could not, has
 * it replaced, frees the seat, or leaves that to server/graves.h. */
void herd_bury(struct herd *herd, struct seat *seat);

/* Empties a seat's part of the shared table and gives it to the next. */
void herd_release(struct herd *herd, struct seat *seat);

/* A web worker is to get the queues of its generation's compute pools once more, not before at_us.
 * is_all  and the segment */
void herd_owe_pools(struct herd *herd, struct seat *web, bool is_all, uint64_t at_us);

/* All web workers of a generation are to: its queues, or the numbers of their workers, are new. */
void herd_owe_queues(struct herd *herd, const struct generation *g);

/* A web worker is to be told where routes of the lane auto run. */
void herd_owe_lanes(struct herd *herd, struct seat *web);

/* Tells a worker to give up a socket whose address is given up (MSG_RETIRE): at once, or when its
 * channel has room, before whatever it is told next. */
void herd_retire(struct herd *herd, struct seat *seat, uint32_t listener);

/* A seat's occupant leaves its post, to be drained when its slot is looked after by another; see
 * server/relief.h. Its post is vacant, and not due.
 * why      for the log, static text */
void herd_dismiss(struct herd *herd, struct seat *seat, const char *why);

/* Has every post filled that is due, and orders sent that a full channel held up. */
void herd_fill(struct herd *herd);

/* Puts a graceful stop off for so long, so that balancers notice: all goes on, but that nothing new
 * is begun and the shared table says so. */
void herd_leave(struct herd *herd, uint64_t delay_us, const char *why);

/* Is it on its way out, be it now or by and by? */
bool herd_is_leaving(const struct herd *herd);

/* Stops, or stops faster. A stage that is not beyond the present one does nothing, except that
 * DECIDE_AT_ONCE kills again. */
void herd_stop(struct herd *herd, enum decide_stage stage, const char *why);

/* When herd_happen(…, DECIDE_TIME) or herd_fill() may next have something to do. */
uint64_t herd_next_us(const struct herd *herd);

#endif
