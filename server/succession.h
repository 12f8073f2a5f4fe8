/* Who is the master: this process alone, this one and a new one that it started (upgrade.h), or
 * this one and the old one whose successor it is (successor.h). What hangs on that is kept in step
 * here: whose the sockets are, the names of pid files, and who speaks to the service manager. */
#ifndef REMUDA_SERVER_SUCCESSION_H
#define REMUDA_SERVER_SUCCESSION_H

#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/control.h"
#include "server/decide.h"
#include "server/notify.h"
#include "server/pidfile.h"
#include "server/successor.h"
#include "server/upgrade.h"

struct err;
struct herd;
struct inherit;
struct listen_set;
struct origin;
struct scale;
struct settings;

#define SUCCESSION_POLLS 2

struct succession {
    const struct settings *settings; /* of the first start */
    struct herd *herd;
    struct listen_set *listeners;
    struct listen_set *admin; /* sockets of the admin process */
    struct scale *scale;
    struct upgrade upgrade;
    struct successor successor;
    struct notify notify;
    struct pidfile pidfile;
    struct control *control; /* NULL: there is none */
    char base_control[CONTROL_PATH_MAX];
    char base_pidfile[PATH_MAX]; /* absolute, of `pidfile`; "": there is none */
    char next_pidfile[PATH_MAX]; /* the same with .2 */
    uint32_t n_resting;          /* workers that were sent home for the new master's; 0: none */
    unsigned n_reloads_told;     /* to the service manager */
    bool has_more_to_tell;       /* at once */
    bool is_stop_due;            /* as soon as it is known what becomes of the new master */
};

/* Borrows everything but the end of the old master's talk, which is its own from now on. */
void succession_init(struct succession *s, const struct settings *settings, struct herd *herd,
                     struct listen_set *listeners, struct listen_set *admin, struct scale *scale,
                     const struct origin *origin, const struct inherit *inherit);

/* Takes up with the service manager, where one that can't be told is a warning, and writes the pid
 * file.
 * Returns  0; -EEXIST another one is running; -errno, *err */
int succession_open(struct succession *s, struct err *err) __attribute__((warn_unused_result));

/* Opens the control socket, under another name where there is an old master.
 * Returns  0; -errno, *err: there is none */
int succession_open_control(struct succession *s, struct control *control, const char *path,
                            struct err *err) __attribute__((warn_unused_result));

/* Everything is set up but the processes: leaves to the old master what it passed in vain. */
void succession_begin(struct succession *s);

/* The start fails, or this master ends, for this reason. "" where none is known. */
void succession_fail(const struct succession *s, const char *why);
void succession_close(struct succession *s);

/* Fills SUCCESSION_POLLS entries for poll(2). */
void succession_watch(const struct succession *s, struct pollfd polls[SUCCESSION_POLLS]);

/* Hears both, and does what follows.
 * Returns  why this master is to stop gracefully now, static text; NULL: it goes on */
const char *succession_turn(struct succession *s);

/* Whether no socket may be lent to anybody yet: the old master serves, and what fails now must cost
 * nobody a request. */
bool succession_is_waiting(const struct succession *s);

/* Whether it is this master's to tell how the server does: its workers serve, or nobody's do. */
bool succession_is_answering(const struct succession *s);

/* Whether a reload has to wait: a new master boots, which would want addresses that are added now
 * for itself, or this one leaves. */
bool succession_is_passing(const struct succession *s);

/* Whether there is no other master. While there is, no sockets are opened for further slots: they
 * would get their share of connections at once, and the other one would know nothing of them. */
bool succession_is_alone(const struct succession *s);

/* A child was reaped. Returns false: it is not the new master */
bool succession_bury(struct succession *s, pid_t pid, int status);

/* A stop of that stage is asked for: leaves sockets to those who go on, has nobody new get in where
 * nobody does.
 * Returns  false: not yet, it comes back from succession_turn() */
bool succession_stop(struct succession *s, enum decide_stage stage);

/* Carries out a stop of that stage, or puts a graceful one off for drain_delay, once. */
void succession_leave(struct succession *s, enum decide_stage stage, const char *why);

/* Begins the stop that was put off, when its time has come. */
void succession_leave_when_due(struct succession *s);

/* Wants an upgrade; see upgrade_ask(). */
int succession_ask(struct succession *s, const char *who, bool is_whole, uint64_t *out_number,
                   struct err *err) __attribute__((warn_unused_result));

/* What became of it: the new master serves and this one has no workers any more, or it was refused.
 * Returns  false while that is open */
bool succession_outcome(const struct succession *s, uint64_t number, struct control_outcome *out);

/* Tells the service manager how things are. At the end of a turn.
 * n_reloads  that have begun until now */
void succession_report(struct succession *s, unsigned n_reloads);

/* When a turn is due though nothing was heard; UINT64_MAX: no need. */
uint64_t succession_next_us(const struct succession *s);

#endif
