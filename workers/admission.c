/* See admission.h. Process: web workers; nothing here asks for a clock. */
#include "workers/admission.h"

#include <stdbool.h>

#include "base/clock.h"

#define ENOUGH 20U                          /* measured tasks, before which nothing is concluded */
#define SHARE 8U                            /* of the newest in the average: one in so many */
#define FORGET_US (120 * CLOCK_US_PER_S)    /* without a measurement: a guess */
#define WALL_MAX_US (3600 * CLOCK_US_PER_S) /* longer than any timeout may be */

void admission_note(struct admission *a, uint64_t wall_us, uint64_t now_us)
{
    wall_us = wall_us < WALL_MAX_US ? wall_us : WALL_MAX_US;
    if (now_us - a->measured_us > FORGET_US)
        *a = (struct admission){0};
    a->measured_us = now_us;
    if (a->n == 0)
        a->average_us = wall_us;
    else
        a->average_us = (a->average_us * (SHARE - 1) + wall_us) / SHARE;
    if (a->n < ENOUGH)
        a->n++;
}

/* Without them a pool that begins cold, with more than it can do, would learn nothing: none of its
 * tasks gets to its end. */
void admission_note_killed(struct admission *a, uint64_t ran_us, uint64_t allowed_us,
                           uint64_t now_us)
{
    uint64_t least_us = ran_us < allowed_us / 2 ? 2 * ran_us : allowed_us;
    bool is_known = a->n > 0 && now_us - a->measured_us <= FORGET_US;
    admission_note(a, is_known && a->average_us > least_us ? a->average_us : least_us, now_us);
}

uint64_t admission_usual_us(const struct admission *a, uint64_t now_us)
{
    return a->n < ENOUGH || now_us - a->measured_us > FORGET_US ? 0 : a->average_us;
}

uint64_t admission_wait_us(const struct admission *a, uint32_t n_ahead, uint32_t n_workers,
                           uint64_t now_us)
{
    return admission_usual_us(a, now_us) * n_ahead / n_workers;
}
