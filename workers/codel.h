/* When the requests that wait for their turn are too many, and which of them are shed: after CoDel
 * (RFC 8289). What counts is time spent in the queue, not length, and of that the least: a burst
 * makes some wait, a standing queue makes all of them wait, for nothing. So requests are shed once
 * for a whole interval nobody waited for less than the target; first one, then more and more often,
 * at the pace of CoDel's law.
 *
 * Clients of a server differ from TCP's senders, for whom that law was made: they don't slow down
 * by being shed, so the law alone would take seconds until it sheds as much as there is too much,
 * and all the while the queue would grow. Hence two rules of our own. While requests are being
 * shed, whoever waited for twice the target is shed whatever the law says; so who is served has not
 * waited for longer. And it goes on until nobody has waited for the target for a whole interval:
 * else the queue would fill anew, time and again, for an interval each.
 *
 * Requests of one queue may have targets of their own. The queue stands by the least of them, of
 * those that have been missed; a longer one is only a longer patience of who has it, and says
 * nothing against that. Else one that can wait for a minute would have all others wait for as long.
 *
 * Pure: time comes from outside, and nothing is asked for. One of these for each who takes from a
 * queue, or for all of them together under a lock. */
#ifndef REMUDA_WORKERS_CODEL_H
#define REMUDA_WORKERS_CODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Zero: nothing has waited yet. */
struct codel {
    uint64_t above_us;  /* since then nobody waited for less than target_us; 0: somebody has */
    uint64_t target_us; /* the least that was missed since above_us; while shedding, at all */
    uint64_t worst_us;  /* when somebody last waited for the target or longer */
    uint64_t next_us;   /* when the law sheds again, */
    uint32_t count;     /* for it has shed so many */
    bool is_shedding;
};

/* One that is taken from the queue. */
struct codel_turn {
    uint64_t target_us; /* its own, or that of its queue; 0: it is not shed */
    uint64_t wait_us;   /* that it spent there */
    uint64_t now_us;
    bool is_last; /* nobody waits behind it: then it is served, or there would be nothing to do */
};

/* How long a burst may last before anybody is shed: ten times the target, as RFC 8289 §4.3 advises,
 * and 100 ms at least, so that a slice of time that others had on the CPU is no overload. */
uint64_t codel_interval_us(uint64_t target_us);

/* Returns whether it is shed. */
bool codel_judge(struct codel *c, const struct codel_turn *turn);

#endif
