/* See lane.h. Process: master. */
#include "server/lane.h"

#include <stdio.h>

#define NS_PER_US 1000.0
#define FADE_US 1.5e6    /* a look of so long weighs as much as all that was before */
#define MAJORITY 1.5     /* of W and C the larger one is so many times the other, for a move */
#define FEW_CALLS 128.0  /* so many weigh as much as all that was before */
#define CALL_US 100e3    /* longer calls count for several: one of ten seconds says a lot */
#define KNOWN_WEIGHT 8.0 /* calls, before anything is decided */
#define CLEAR 4.0 /* some calls of which one of both is so many times the other are unanimous, */
#define CLEAR_WEIGHT 8.0 /* if they are so many; */
#define CLEAR_TIMES 3    /* so often in a row they say the same: its handler has changed */
#define SETTLED_US (10 * UINT64_C(1000000)) /* beyond twice its dwell: it had reason to stay */
#define RESTLESS_US (2 * UINT64_C(1000000)) /* likewise: and within that none */

static double positive(double n)
{
    return n > 0 ? n : 0;
}

/* A handler that does another thing from now on shows it in all calls, also where those are few and
 * come in several looks; one whose calls are of both kinds has some that agree now and then. */
static bool is_another(struct lane_state *s, double wait_us, double cpu_us, double weight)
{
    s->some_wait_us += wait_us;
    s->some_cpu_us += cpu_us;
    s->some_weight += weight;
    if (s->some_weight < CLEAR_WEIGHT)
        return false; /* nor do they say the contrary */
    int says = s->some_cpu_us > CLEAR * s->some_wait_us   ? 1
               : s->some_wait_us > CLEAR * s->some_cpu_us ? -1
                                                          : 0;
    bool agrees = says == (s->cpu_us > s->wait_us ? 1 : -1);
    s->some_wait_us = s->some_cpu_us = s->some_weight = 0;
    if (says == 0 || agrees) {
        s->n_clear = 0;
        return false;
    }
    return ++s->n_clear >= CLEAR_TIMES;
}

/* Averages follow the clock, so that ten thousand calls a second are smoothed as ten are; but a few
 * calls are no reason to forget what is known. */
static void take_in(struct lane_state *s, const struct lane_look *look, uint64_t now_us)
{
    double passed_us =
        s->looked_us != 0 && now_us > s->looked_us ? (double)(now_us - s->looked_us) : FADE_US / 2;
    s->looked_us = now_us;
    if (look->calls == 0)
        return;
    double calls = (double)look->calls;
    double cpu_us = (double)look->cpu_ns / NS_PER_US;
    double wait_us = positive(
        ((double)look->wall_ns - (double)look->cpu_ns - (double)look->delay_ns) / NS_PER_US);
    double weight = calls + (cpu_us + wait_us) / CALL_US;
    double by_time = passed_us / (passed_us + FADE_US);
    double by_calls = weight / (weight + FEW_CALLS);
    double share = by_time < by_calls ? by_time : by_calls;
    if (s->weight < KNOWN_WEIGHT && share < weight / (weight + s->weight))
        share = weight / (weight + s->weight); /* at first: the mean of all */
    if (is_another(s, wait_us, cpu_us, weight)) {
        share = 1;
        s->n_clear = 0;
    }
    s->cpu_us += share * (cpu_us / calls - s->cpu_us);
    s->wait_us += share * (wait_us / calls - s->wait_us);
    s->weight = s->weight + weight < KNOWN_WEIGHT ? s->weight + weight : KNOWN_WEIGHT;
}

/* Where it belongs. Between two clear answers: where it is. */
static enum profile_lane judge(const struct lane_state *s, const struct lane_rules *rules)
{
    bool is_there = s->lane == PROFILE_COMPUTE;
    double least_us = (double)rules->compute_us;
    if (!rules->has_pool)
        return rules->rest;
    if (s->weight < KNOWN_WEIGHT)
        return s->lane;
    if (s->cpu_us > MAJORITY * s->wait_us && s->cpu_us >= least_us)
        return PROFILE_COMPUTE;
    if (is_there && s->wait_us <= MAJORITY * s->cpu_us && s->cpu_us >= least_us / 2)
        return PROFILE_COMPUTE;
    return rules->rest;
}

static uint64_t dwell_of(const struct lane_state *s)
{
    return s->dwell_us > 0 ? s->dwell_us : LANE_DWELL_US;
}

/* Who moves as soon as it may does so too often; who has stayed for longer has not. */
static void settle_dwell(struct lane_state *s, uint64_t now_us)
{
    uint64_t dwell_us = dwell_of(s);
    uint64_t stayed_us = now_us - s->moved_us;
    if (s->moved_us == 0)
        return;
    if (stayed_us < 2 * dwell_us + RESTLESS_US)
        dwell_us *= 2;
    else if (stayed_us > 2 * dwell_us + SETTLED_US)
        dwell_us /= 2;
    if (dwell_us < LANE_DWELL_US)
        dwell_us = LANE_DWELL_US;
    s->dwell_us = dwell_us < LANE_DWELL_MAX_US ? dwell_us : LANE_DWELL_MAX_US;
}

static void say_why(const struct lane_state *s, const struct lane_rules *rules,
                    struct lane_verdict *v)
{
    double sum_us = s->wait_us + s->cpu_us;
    if (!rules->has_pool)
        (void)snprintf(v->why, sizeof v->why, "there is no pool for it");
    else if (v->to == PROFILE_COMPUTE)
        (void)snprintf(v->why, sizeof v->why, "computes %.0f %% of its time, %.1f ms a call",
                       100 * s->cpu_us / sum_us, s->cpu_us / 1000);
    else if (s->wait_us > s->cpu_us)
        (void)snprintf(v->why, sizeof v->why, "waits %.0f %% of its time, %.1f ms a call",
                       100 * s->wait_us / sum_us, s->wait_us / 1000);
    else
        (void)snprintf(v->why, sizeof v->why, "computes only %.1f ms a call", s->cpu_us / 1000);
}

struct lane_verdict lane_decide(struct lane_state *state, const struct lane_look *look,
                                const struct lane_rules *rules, uint64_t now_us)
{
    struct lane_verdict v = {.from = state->lane, .to = state->lane};
    take_in(state, look, now_us);
    enum profile_lane to = judge(state, rules);
    bool may_move =
        !rules->has_pool || state->moved_us == 0 || now_us >= state->moved_us + dwell_of(state);
    if (to == state->lane || !may_move)
        return v;
    v.moves = true;
    v.to = to;
    say_why(state, rules, &v);
    settle_dwell(state, now_us);
    state->lane = to;
    state->moved_us = now_us;
    return v;
}
