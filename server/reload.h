/* Reload: a new generation is built beside the running one, and takes its place only when every
 * worker of it is ready. Whatever fails before that costs the candidate, and nobody else. */
#ifndef REMUDA_SERVER_RELOAD_H
#define REMUDA_SERVER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "server/herd.h"
#include "server/listen.h"
#include "server/origin.h"

enum reload_outcome { RELOAD_NONE, RELOAD_DONE, RELOAD_REFUSED, RELOAD_OUTCOMES };
extern const char *const reload_outcome_names[RELOAD_OUTCOMES];

/* How a reload ended. */
struct reload_result {
    unsigned number; /* of reload_ask(); 0: none has ended yet */
    enum reload_outcome outcome;
    int generation;         /* that serves since, or that was thrown away */
    char why[ERR_TEXT_MAX]; /* REFUSED: a sentence, the first mistake of several; else "" */
    int64_t ended_wall_us;  /* since 1970 */
    uint64_t took_us;
};

struct reload {
    const struct origin *origin;
    const struct settings *start; /* of the first start: what no reload changes stands there */
    bool is_asked;                /* one is to begin */
    bool is_held;                 /* not yet: a new master takes its sockets from this one */
    char asked_by[32];            /* "HUP" … */
    unsigned n_begun;
    uint64_t begun_us;
    uint64_t left_us;            /* when the generation that leaves was told to */
    struct listen_change change; /* sockets of the candidate */
    struct reload_result last;
};

/* origin, start  stay as long as the server */
void reload_init(struct reload *reload, const struct origin *origin, const struct settings *start);

/* Wants a reload. One that is under way goes on, and exactly one more begins behind it (and behind
 * the drain that follows from it), however often it is asked for.
 * who      for the log: a signal's name, "control"; cut to 31 bytes
 * Returns  its number: it has ended when reload_last()->number is not below */
unsigned reload_ask(struct reload *reload, const char *who);

/* How the last one ended. Never NULL */
const struct reload_result *reload_last(const struct reload *reload);

/* Whether one is under way: its workers boot, nothing has changed yet. */
bool reload_is_building(const struct herd *herd);

/* Does what is due: begins, commits, throws away, forgets. At most one of these a turn; after a
 * commit the sockets are to be lent in the same turn (steer_workers(), relief_workers()).
 * Returns  whether a new generation serves since */
bool reload_turn(struct reload *reload, struct herd *herd, struct listen_set *listeners);

/* 0: reload_turn() has something to do without waiting; else SEAT_NEVER. */
uint64_t reload_next_us(const struct reload *reload, const struct herd *herd);

/* Closes what a candidate has of sockets and logs; for the end of the server. */
void reload_fini(struct reload *reload, struct herd *herd);

#endif
