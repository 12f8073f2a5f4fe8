/* Binary upgrade, the side of the old master: it starts the program's file anew with its listening
 * sockets, serves on beside it, leaves when it is told to, and is the only one again when the new
 * master fails. The other side is server/successor.h. */
#ifndef REMUDA_SERVER_UPGRADE_H
#define REMUDA_SERVER_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct listen_set;
struct origin;

enum upgrade_stage {
    UPGRADE_NONE,    /* there is no new master */
    UPGRADE_BOOTING, /* it has been started, and does not serve yet */
    UPGRADE_UP,      /* it serves, beside this one */
    UPGRADE_FAILING, /* it was given up and has not ended yet */
};

enum upgrade_outcome { UPGRADE_UNDECIDED, UPGRADE_DONE, UPGRADE_REFUSED, UPGRADE_OUTCOMES };
extern const char *const upgrade_outcome_names[UPGRADE_OUTCOMES];

/* How an upgrade came out: DONE when the new master was ready. */
struct upgrade_result {
    uint64_t number; /* of upgrade_ask(); 0: none has come out yet */
    enum upgrade_outcome outcome;
    char why[ERR_TEXT_MAX]; /* REFUSED: a sentence; else "" */
    pid_t pid;              /* of the new master; 0: none was started */
    uint64_t took_us;
};

/* What the master's loop has to know and to do about it. */
enum upgrade_news {
    UPGRADE_QUIET,
    UPGRADE_READY, /* the new master serves */
    UPGRADE_ALONE, /* it failed, stops, or is gone: all is this one's again */
};

struct upgrade {
    const struct origin *origin;
    struct listen_set *listeners;
    struct listen_set *admin; /* sockets of the admin process */
    const char *pidfile;      /* of a new master, to be swept when it was killed; "": none */
    enum upgrade_stage stage;
    pid_t pid;                  /* the child that was started; 0: none, or reaped */
    pid_t main_pid;             /* the new master as it says; the same, but for scripts between */
    int talk_fd;                /* to it; -1: it has closed its end */
    uint64_t n_asked;           /* numbers given out */
    bool is_asked;              /* one is to begin */
    bool is_whole;              /* this master leaves by itself when the new one is ready */
    char asked_by[32];          /* "USR2" … */
    char failure[ERR_TEXT_MAX]; /* in its own words; "": it said none */
    uint64_t begun_us;
    uint64_t patience_us;   /* what it has for each step of its start */
    uint64_t deadline_us;   /* when that is over; UINT64_MAX: no limit */
    enum upgrade_news news; /* for the next turn */
    struct upgrade_result last;
};

/* Borrows everything. */
void upgrade_init(struct upgrade *u, const struct origin *origin, struct listen_set *listeners,
                  struct listen_set *admin, const char *pidfile);

/* Wants an upgrade; it begins with a later upgrade_turn().
 * who       for the log: a signal's name, "control"; cut to 31 bytes
 * is_whole  this master leaves when the new one is ready; else only when it is told to
 * Returns   0, *out_number: it has come out when u->last.number is not below; -EBUSY, -EPERM, *err
 *           says what stands against it */
int upgrade_ask(struct upgrade *u, const char *who, bool is_whole, uint64_t *out_number,
                struct err *err) __attribute__((warn_unused_result));

/* The server stops: one that was asked for and has not begun is refused. */
void upgrade_withdraw(struct upgrade *u, uint64_t now_us);

struct upgrade_view {
    uint64_t now_us;
    uint64_t patience_us; /* boot_timeout */
    int generation;       /* the last number given out */
    bool is_busy;         /* nothing can begin now: a reload is being built */
};

/* Begins what is due, hears what the new master says, ends its patience. */
enum upgrade_news upgrade_turn(struct upgrade *u, const struct upgrade_view *view);

/* A child was reaped. Returns false: it is not the new master */
bool upgrade_bury(struct upgrade *u, pid_t pid, int status, uint64_t now_us);

/* The child that is no stranger; 0: none. */
pid_t upgrade_pid(const struct upgrade *u);

/* When upgrade_turn() must be called though nothing was heard; UINT64_MAX: no need. */
uint64_t upgrade_next_us(const struct upgrade *u);

/* Says a word to the new master: "main" it is the service manager's main process from now on,
 * "stopping" this one leaves, so that the sockets are its alone. */
void upgrade_tell(const struct upgrade *u, const char *word);

/* Forgets the new master, which goes on. */
void upgrade_fini(struct upgrade *u);

#endif
