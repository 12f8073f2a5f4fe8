/* The herd: everything that lives under the master, and the carrying out of what is decided about
 * it. Between the master's loop (which hears that something happened) and decide() (which says what
 * follows). */
#ifndef REMUDA_SERVER_HERD_H
#define REMUDA_SERVER_HERD_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/heritage.h"
#include "ipc/scoreboard.h"
#include "server/coroners.h"
#include "server/decide.h"
#include "server/generation.h"
#include "server/oom.h"
#include "server/slots.h"
#include "server/totals.h"

struct access_format; /* http/access.h; here only carried */
struct err;
struct settings;

struct herd {
    struct generation generation;
    struct slots slots;
    struct totals totals;
    struct scoreboard board; /* mapped read-only; base NULL: none */
    int board_fd;
    struct heritage heritage;     /* what every child inherits alike */
    uint32_t logs;                /* how often its log files were reopened */
    struct access_format *access; /* how lines of the access log look; NULL: there is none */
    struct coroners coroners;     /* who look into deaths */
    struct oom oom;               /* kills by the kernel that deaths account for */
    struct decide_rules rules;
    enum decide_stage stage;
    int exit_code;    /* what the master will exit with */
    uint64_t now_us;  /* of this turn, set by the loop */
    uint64_t due_us;  /* something could not be sent: try again then; SEAT_NEVER: all was */
    char reason[256]; /* of the latest death or refusal, for a start that fails */
    bool is_changed;  /* seats changed since sockets were lent; cleared by who lends */
};

/* Allocates the tables: the last allocation before the first fork.
 * settings, log_fd, access_fd  for the children; must stay
 * Returns  0; -errno, *err; then herd_fini() is due all the same */
int herd_init(struct herd *herd, const struct settings *settings, uint32_t n_seats,
              uint32_t n_listeners, struct err *err) __attribute__((warn_unused_result));
void herd_fini(struct herd *herd);

/* Something happened to a seat: decides and carries it out. The seat may be free afterwards only
 * for DECIDE_TIME and DECIDE_LATE. */
void herd_happen(struct herd *herd, struct seat *seat, enum decide_event event);

/* Somebody said which pid sits in a seat.
 * Returns  false: that can't be, the one who said it broke the protocol */
bool herd_name(struct herd *herd, struct seat *seat, pid_t pid);

/* The loader could not make a process for a seat: the seat is free afterwards. */
void herd_refuse(struct herd *herd, struct seat *seat, int code);

/* A seat's occupant has been reaped and its channel read to the end: writes what it could not,
 * frees the seat, has it replaced. */
void herd_bury(struct herd *herd, struct seat *seat);

/* Has every post filled that is due. */
void herd_fill(struct herd *herd);

/* Stops, or stops faster. A stage that is not beyond the present one does nothing, except that
 * DECIDE_AT_ONCE kills again. */
void herd_stop(struct herd *herd, enum decide_stage stage, const char *why);

/* When herd_happen(…, DECIDE_TIME) or herd_fill() may next have something to do. */
uint64_t herd_next_us(const struct herd *herd);

#endif
