/* Lends listening sockets to workers: what cover_plan() wants, minus what they hold already. */
#ifndef REMUDA_SERVER_STEER_H
#define REMUDA_SERVER_STEER_H

#include "server/cover.h"
#include "server/herd.h"
#include "server/listen.h"

struct steer {
    struct cover_worker *workers; /* a slot each: what its worker can do, filled every turn */
    struct cover_duty *duties;    /* a slot each: who watches what */
    struct cover_duty *before;    /* a slot each: who did */
    struct seat **seats; /* a slot each: its worker; NULL: none that can be sent anything */
    uint32_t n_slots;    /* in use, ≤ cap */
    uint32_t cap;
    uint64_t retry_us; /* a channel was full: try again then; SEAT_NEVER: none was */
};

/* max_slots: as many as there may ever be. Returns 0; -ENOMEM */
int steer_init(struct steer *steer, uint32_t max_slots) __attribute__((warn_unused_result));
void steer_fini(struct steer *steer);

/* Plans anew for the workers of the current generation, and lends and takes back what the plan
 * changed. */
void steer_workers(struct steer *steer, struct herd *herd, const struct listen_set *listeners);

/* When steer_workers() must look again though nothing was heard: a heartbeat may be too old by
 * then, a channel may have room. SEAT_NEVER: no need. */
uint64_t steer_next_us(const struct steer *steer, const struct herd *herd);

/* Whether a ready worker's heartbeat is so old that its slot is covered. */
bool steer_is_hung(const struct herd *herd, const struct seat *seat);

/* Whether somebody of the current generation accepts from a slot's sockets: its own worker, or who
 * covers it. As of the last steer_workers(). */
bool steer_is_looked_after(const struct steer *steer, const struct herd *herd, uint32_t slot);

/* Notes in the seats which sockets each should hold, by the plan.
 * seats, duties  one for each slot; NULL: nobody there
 * n_slots        all sockets' slots are below */
void steer_want(const struct slots *slots, struct seat *const *seats,
                const struct cover_duty *duties, uint32_t n_slots,
                const struct listen_set *listeners);

/* Sends a web worker the sockets it should hold and does not, takes back those it should not hold
 * any more, and tells a new one to start when it has its own.
 * Returns  0 it has what it should; -EAGAIN its channel is full, call again later; -errno its
 *          channel is broken (its end will be seen) */
int steer_seat(const struct slots *slots, struct seat *seat, const struct listen_set *listeners)
    __attribute__((warn_unused_result));

#endif
