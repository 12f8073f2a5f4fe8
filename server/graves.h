/* Dead processes whose slice of the payload segment others may still read: web workers the answers
 * of a compute worker, a compute worker the request of a web worker. Until nobody does, the seat
 * stays taken; then its slice is emptied, and only then it is the next one's. */
#ifndef REMUDA_SERVER_GRAVES_H
#define REMUDA_SERVER_GRAVES_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/msg.h"

struct generation;
struct herd;
struct seat;

struct grave {
    struct msg lost;   /* MSG_TASK_LOST that is owed to who asked; type 0: none is */
    uint32_t asker;    /* seat of that, */
    uint32_t epoch;    /* and its occupant */
    uint64_t wait_us;  /* until it is looked again whether a task of its is in hand */
    bool is_sought;    /* it may have had a task in hand of which nobody knows: those who ask look
                          for theirs */
    bool is_forgotten; /* a web worker's: its records are gone */
    bool is_cleared;   /* and all else */
};

struct graves {
    struct grave *items; /* n_seats, by seat */
    uint64_t *awaits;    /* bit w of row s: web worker in seat w has not let go of seat s, … */
    uint64_t *told;      /* … and it knows that s is dead */
    uint32_t n_seats;
    uint32_t n_words;   /* of a row */
    uint32_t n_open;    /* seats in SEAT_BURIED */
    uint64_t due_us;    /* look at them again then; SEAT_NEVER: only when something happens */
    uint32_t told_full; /* bits of pools of which the log says that they have too many */
    bool has_cleared;   /* memory was given back in this turn */
};

/* Returns 0; -ENOMEM */
int graves_init(struct graves *graves, uint32_t n_seats) __attribute__((warn_unused_result));
void graves_fini(struct graves *graves);

/* The last step of a burial: the seat stays taken where others may hold something of it.
 * lost     what is to be told to who asked for the task that it had in hand; NULL: it had none
 * Returns  false: nobody holds anything, the seat may be given to the next */
bool graves_open(struct herd *herd, struct seat *seat, const struct msg *lost);

/* A web worker has let go of a dead one. Returns false: it may not say that */
bool graves_hear(struct herd *herd, const struct seat *web, const struct msg *msg);

/* A web worker is gone, however it went: it holds nothing. */
void graves_forget(struct herd *herd, const struct seat *web);

/* Are so many of a pool's dead not let go of that it gets no more workers for the time being? Each
 * holds a seat, and up to a slice of memory. Says so in the log, once. pool is in use */
bool graves_are_full(struct herd *herd, const struct generation *g, int pool);

/* Tells what is owed, empties slices, frees seats. */
void graves_turn(struct herd *herd);

#endif
