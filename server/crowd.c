/* See crowd.h. Process: master. The numbers are guesses but where a test says otherwise; what they
 * are for was measured: on two CPUs that a client shares, one loop answers 1.6 times as many small
 * requests as two. */
#include "server/crowd.h"

#include <stdbool.h>

#define SECOND UINT64_C(1000000)
#define FULL_FOR_US (2 * SECOND) /* too many for so long: a step */
#define ROOM_FOR_US (3 * SECOND) /* room for so long: likewise, */
#define RETURNS_MAX 5U           /* twice as long for each time that it did not last */
#define LASTS_US (60 * SECOND)   /* for so long */
#define COOL_US (3 * SECOND)     /* between steps */
#define SETTLE_US (2 * SECOND)   /* after one: what comes then still belongs to what was before */
#define TRIAL_US (6 * SECOND)    /* a step is judged, */
#define TRIAL_LOOKS 4            /* by so many looks while there was work, */
#define TRIAL_MAX_US (5 * TRIAL_US) /* or it stands */
#define PAST_US (60 * SECOND)       /* one that was undone is not tried again, */
#define PAST_DOUBLES 3U             /* for up to eight minutes */
#define BUSY_SHARE 0.5              /* of the loops: with less to do it does not matter */
#define DELAY_SHARE 0.1             /* of what they want to have: else they are not in the way */
#define ROUNDS 0.5                  /* of a CPU: is one */
#define LESS 0.25                   /* … that was left; so that it does not go to and fro */
#define FEWER_SHARE 0.95            /* of the answers before: undone */
#define SLOWER_SHARE 1.5            /* of p99 before: likewise, */
#define SLOWER_US 2000.0            /* and by so much at least */

const char *const crowd_reason_names[] = {
    [CROWD_STAYS] = "as it should be",
    [CROWD_FULL] = "others have the CPUs",
    [CROWD_ROOM] = "CPUs are free again",
    [CROWD_UNDONE_FEWER] = "undone: fewer requests answered",
    [CROWD_UNDONE_SLOWER] = "undone: p99 rose",
};

/* Since when something holds at every look; 0: it does not. */
static void note(uint64_t *since_us, bool holds, uint64_t now_us)
{
    *since_us = !holds ? 0 : *since_us != 0 ? *since_us : now_us;
}

static bool lasts(uint64_t since_us, uint64_t for_us, uint64_t now_us)
{
    return since_us != 0 && now_us - since_us >= for_us;
}

static void add(struct crowd_means *means, const struct crowd_look *look)
{
    means->rate = (means->rate * means->looks + look->rate) / (means->looks + 1);
    means->looks++;
    if (look->p99_us == 0)
        return;
    means->p99_us =
        (means->p99_us * means->p99_looks + (double)look->p99_us) / (means->p99_looks + 1);
    means->p99_looks++;
}

static uint32_t between(double n, uint32_t most)
{
    return n < 1 ? 1 : n >= most ? most : (uint32_t)n;
}

/* Without it there is nothing to compare. */
static bool has_work(const struct crowd_look *look)
{
    return look->load >= look->units * BUSY_SHARE;
}

static void observe(uint32_t most, struct crowd_state *state, const struct crowd_look *look)
{
    bool is_known = look->free_cpus >= 0;
    bool is_full = is_known && has_work(look) && look->delay_share >= DELAY_SHARE &&
                   look->units > between(look->free_cpus + ROUNDS, most);
    bool has_room = is_known && look->units < between(look->free_cpus + LESS, most);
    if (is_full && state->full_us == 0 && state->from == 0)
        state->before = (struct crowd_means){0};
    note(&state->full_us, is_full, look->now_us);
    note(&state->room_us, has_room, look->now_us);
    if (is_full && state->from == 0)
        add(&state->before, look);
    if (state->from != 0 && look->ready == look->units && has_work(look) &&
        look->now_us - state->changed_us >= SETTLE_US)
        add(&state->after, look);
}

static enum crowd_reason judge(const struct crowd_state *state)
{
    const struct crowd_means *before = &state->before, *after = &state->after;
    if (after->rate < before->rate * FEWER_SHARE)
        return CROWD_UNDONE_FEWER;
    if (before->p99_looks > 0 && after->p99_us > before->p99_us * SLOWER_SHARE &&
        after->p99_us > before->p99_us + SLOWER_US)
        return CROWD_UNDONE_SLOWER;
    return CROWD_STAYS;
}

static uint32_t step(struct crowd_state *state, const struct crowd_look *look, uint32_t n)
{
    state->changed_us = look->now_us;
    state->full_us = state->room_us = 0;
    if (n > look->units)
        state->grown_us = look->now_us;
    return n;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* A trial is over. Returns whether the step is undone */
static bool end_trial(struct crowd_state *state, const struct crowd_look *look,
                      enum crowd_reason *out_reason)
{
    *out_reason = state->after.looks >= TRIAL_LOOKS ? judge(state) : CROWD_STAYS;
    if (*out_reason == CROWD_STAYS) { /* a step further is compared with this one */
        state->from = 0;
        state->full_us = 0;
        state->times = 0;
        return false;
    }
    state->until_us = look->now_us + (PAST_US << least(state->times, PAST_DOUBLES));
    state->times++;
    return true;
}

struct crowd_state crowd_inherit(const struct crowd_state *state)
{
    return (struct crowd_state){.changed_us = state->changed_us,
                                .grown_us = state->grown_us,
                                .returns = state->returns,
                                .until_us = state->until_us,
                                .times = state->times};
}

uint32_t crowd_decide(uint32_t most, struct crowd_state *state, const struct crowd_look *look,
                      enum crowd_reason *out_reason)
{
    const uint64_t now_us = look->now_us;
    *out_reason = CROWD_STAYS;
    observe(most, state, look);
    const uint64_t trial_us = state->after.looks >= TRIAL_LOOKS ? TRIAL_US : TRIAL_MAX_US;
    if (state->from != 0 && now_us - state->changed_us >= trial_us &&
        end_trial(state, look, out_reason)) {
        uint32_t n = state->from;
        state->from = 0;
        return step(state, look, n < most ? n : most);
    }
    if (state->changed_us != 0 && now_us - state->changed_us < COOL_US)
        return look->units;
    if (lasts(state->room_us, ROOM_FOR_US << least(state->returns, RETURNS_MAX), now_us)) {
        *out_reason = CROWD_ROOM;
        state->from = 0;
        return step(state, look, between(look->free_cpus + LESS, most));
    }
    if (state->from != 0 || now_us < state->until_us || !lasts(state->full_us, FULL_FOR_US, now_us))
        return look->units;
    bool is_return = state->grown_us != 0 && now_us - state->grown_us < LASTS_US;
    state->returns = is_return ? state->returns + 1 : 0;
    state->from = look->units;
    state->after = (struct crowd_means){0};
    *out_reason = CROWD_FULL;
    return step(state, look, between(look->free_cpus + ROUNDS, most));
}
