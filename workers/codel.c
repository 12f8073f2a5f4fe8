/* See codel.h. Process: web workers, under the lock of their pool of threads; compute workers. */
#include "workers/codel.h"

#include "base/clock.h"

#define TARGETS 10U /* in an interval */
#define INTERVAL_MIN_US (CLOCK_US_PER_S / 10)
#define CUT 2U          /* targets, after which one is shed in any case */
#define COUNT_MAX 4096U /* by then an interval has 64 of them and more: the cut does the rest */

uint64_t codel_interval_us(uint64_t target_us)
{
    uint64_t interval_us = target_us * TARGETS;
    return interval_us > INTERVAL_MIN_US ? interval_us : INTERVAL_MIN_US;
}

/* Whole, rounded down. n below 2^32 */
static uint64_t root(uint64_t n)
{
    uint64_t r = 0;
    for (uint64_t bit = UINT64_C(1) << 16; bit > 0; bit >>= 1)
        if ((r + bit) * (r + bit) <= n)
            r += bit;
    return r;
}

/* interval ÷ √count, the square root to a 64th. */
static uint64_t pace_us(uint64_t interval_us, uint32_t count)
{
    return interval_us * 64 / root((uint64_t)count << 12);
}

/* Somebody has waited for less, or nobody waits any more. */
static void relax(struct codel *c, uint64_t now_us)
{
    c->above_us = 0;
    if (c->is_shedding && now_us - c->worst_us >= codel_interval_us(c->target_us))
        c->is_shedding = false;
}

static void begin(struct codel *c, uint64_t now_us, uint64_t interval_us)
{
    c->is_shedding = true;
    c->count = 1;
    c->next_us = now_us + interval_us;
}

/* Is it one more by the law's pace? What it would have shed while nobody waited for so long it does
 * not make up for: it goes on from half of the pace that it had. And a pace that was taken from a
 * longer target ends with that. */
static bool is_due(struct codel *c, bool has_paused, uint64_t now_us, uint64_t interval_us)
{
    if (has_paused)
        c->count = c->count > 2 ? c->count / 2 : 1;
    const uint64_t latest_us = now_us + pace_us(interval_us, c->count);
    if (has_paused || c->next_us > latest_us)
        c->next_us = latest_us;
    if (now_us < c->next_us)
        return false;
    if (c->count < COUNT_MAX)
        c->count++;
    c->next_us = now_us + pace_us(interval_us, c->count);
    return true;
}

/* Has waited for as long as it is to, and others wait behind it. */
static void miss(struct codel *c, const struct codel_turn *turn)
{
    bool is_first = c->above_us == 0 && !c->is_shedding;
    if (is_first || turn->target_us < c->target_us)
        c->target_us = turn->target_us;
    if (c->above_us == 0)
        c->above_us = turn->now_us;
    c->worst_us = turn->now_us;
}

bool codel_judge(struct codel *c, const struct codel_turn *turn)
{
    if (turn->target_us == 0)
        return false;
    if (turn->wait_us < turn->target_us || turn->is_last) {
        if (turn->is_last || c->above_us == 0 || turn->wait_us < c->target_us)
            relax(c, turn->now_us);
        return false;
    }
    bool has_paused = c->above_us == 0;
    miss(c, turn);
    uint64_t interval_us = codel_interval_us(c->target_us);
    if (!c->is_shedding) {
        if (turn->now_us - c->above_us < codel_interval_us(turn->target_us))
            return false;
        begin(c, turn->now_us, interval_us);
        return true;
    }
    bool is_shed = is_due(c, has_paused, turn->now_us, interval_us);
    return is_shed || turn->wait_us >= CUT * turn->target_us;
}
