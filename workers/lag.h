/* What holds a worker's loop up, and for how long: the longest call of the app with its route, told
 * when it is longer than slow_callback; the longest turn; by how much the loop's timer was late. */
#ifndef REMUDA_WORKERS_LAG_H
#define REMUDA_WORKERS_LAG_H

#include <stdint.h>

#include "ipc/scoreboard.h"

struct rmd_request;
struct web;

/* In struct web. */
struct lag {
    double ticks_per_us;     /* by all that has passed since the start; 0: not measured yet */
    uint64_t slow_ticks;     /* slow_callback, as near as that was measured; UINT64_MAX: never */
    uint64_t longest_ticks;  /* that the app had the loop, since the last tick; UINT64_MAX: there is
                              * no loop */
    uint64_t settling_ticks; /* when a ticket of no request was given back */
    uint64_t turn_us;        /* longest turn since the last tick, */
    uint64_t turn_before_us; /* and between the two ticks before */
    uint64_t drift_us;       /* of the loop's timer, by its last tick, */
    uint64_t drift_before_us;
};

/* The app had the loop for longer than ever since the last tick; for longer than slow_callback, if
 * a real clock says so too.
 * req  NULL: for a ticket whose request has ended */
void lag_note_longest(struct web *web, const struct rmd_request *req, enum loop_call_kind kind,
                      uint64_t held_ticks);
void lag_judge_slow(struct web *web, struct rmd_request *req, enum loop_call_kind kind,
                    uint64_t held_ticks);

/* The loop's timer has come so late; before the tick. */
void lag_note_drift(struct web *web, uint64_t late_us);

/* What a tick of clock_ticks() is, and slow_callback in those, by all that has passed since the
 * start. */
void lag_measure_ticks(struct web *web, uint64_t now_us);

/* Now and then (half a second): measures anew, and tells of the last second. */
void lag_on_tick(struct web *web, uint64_t now_us);

#endif
