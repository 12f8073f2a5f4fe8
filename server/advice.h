/* What an operator should do about a route, by what its calls took in one lane: a pure function. */
#ifndef REMUDA_SERVER_ADVICE_H
#define REMUDA_SERVER_ADVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/profile.h"

#define ADVICE_MAX 160 /* bytes of one, with its NUL */

struct advice_case {
    enum profile_lane lane;
    const struct profile_sums *sums; /* of its calls in that lane */
    uint64_t answers;                /* of the route in that lane, */
    uint64_t errors;                 /* and of them 5xx or cut off */
    bool has_loop;                   /* inline calls hold a loop that serves others */
};

/* The most important thing to say, with the numbers that say it.
 * Returns  false: nothing, or too little was measured; out is "" */
bool advice_give(const struct advice_case *c, char out[ADVICE_MAX]);

#endif
