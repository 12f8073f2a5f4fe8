/* Tests of server/lane.c: when a route of the lane auto is moved, and when it is left alone. Calls
 * come in looks of half a second, of two kinds that are mixed as a test says. */
#include "server/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define LOOK_US (UINT64_C(1000000) / 5)
#define SECOND 5 /* looks */
#define NS_PER_MS 1000000U

static const struct lane_rules rules = {.rest = PROFILE_IO, .compute_us = 1000, .has_pool = true};

struct kind {
    double wait_ms, cpu_ms, delay_ms;
};
static const struct kind waits = {50, 0.05, 0};
static const struct kind computes = {0, 20, 0};

static uint64_t seed = 1;

/* 0 … 1, the same in every run. */
static double chance(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 11) / (double)(UINT64_C(1) << 53);
}

struct plant {
    struct lane_state state;
    uint64_t now_us;
    unsigned n_moves;
    struct lane_verdict last;
};

static struct plant begin(void)
{
    return (struct plant){.state = {.lane = PROFILE_IO}, .now_us = 1000000000};
}

static void add(struct lane_look *look, const struct kind *kind)
{
    double wall_ms = kind->wait_ms + kind->cpu_ms + kind->delay_ms;
    look->calls++;
    look->wall_ns += (uint64_t)(wall_ms * NS_PER_MS);
    look->cpu_ns += (uint64_t)(kind->cpu_ms * NS_PER_MS);
    look->delay_ns += (uint64_t)(kind->delay_ms * NS_PER_MS);
}

/* So many looks, with so many calls in each; a share of them is of the second kind.
 * Returns  how many looks it took until the route ran in `until`, 0: it did not */
static unsigned run(struct plant *p, unsigned n_looks, unsigned n_calls, const struct kind *first,
                    const struct kind *second, double share, int until)
{
    for (unsigned i = 1; i <= n_looks; i++) {
        struct lane_look look = {0};
        for (unsigned k = 0; k < n_calls; k++)
            add(&look, second && chance() < share ? second : first);
        p->now_us += LOOK_US;
        struct lane_verdict v = lane_decide(&p->state, &look, &rules, p->now_us);
        p->n_moves += v.moves;
        if (v.moves)
            p->last = v;
        if ((int)p->state.lane == until)
            return i;
    }
    return 0;
}

static unsigned run_one(struct plant *p, unsigned n_looks, unsigned n_calls,
                        const struct kind *kind, int until)
{
    return run(p, n_looks, n_calls, kind, NULL, 0, until);
}

static void a_route_that_computes_moves_within_half_a_second_and_one_that_waits_stays(void **state)
{
    (void)state;
    struct plant p = begin();
    assert_int_equal(run_one(&p, 10, 50, &computes, PROFILE_COMPUTE), 1);
    assert_string_equal(p.last.why, "computes 100 % of its time, 20.0 ms a call");
    assert_int_equal(p.last.from, PROFILE_IO);
    p = begin();
    (void)run_one(&p, 60 * SECOND, 500, &waits, -1);
    assert_int_equal(p.n_moves, 0);
}

static void a_route_whose_calls_change_follows_in_two_seconds_but_not_within_its_dwell(void **state)
{
    (void)state;
    struct plant p = begin();
    (void)run_one(&p, 20 * SECOND, 500, &waits, -1);
    assert_in_range(run_one(&p, 20 * SECOND, 50, &computes, PROFILE_COMPUTE), 2, 2 * SECOND);
    assert_int_equal(p.last.to, PROFILE_COMPUTE);
    /* at once again: the dwell holds it */
    assert_in_range(run_one(&p, 20 * SECOND, 40, &waits, PROFILE_IO), 3 * SECOND, 3 * SECOND + 1);
    (void)run_one(&p, 16 * SECOND, 500, &waits, -1);
    assert_in_range(run_one(&p, 20 * SECOND, 50, &computes, PROFILE_COMPUTE), 2, 2 * SECOND);
    (void)run_one(&p, 18 * SECOND, 50, &computes, -1);
    assert_in_range(run_one(&p, 20 * SECOND, 40, &waits, PROFILE_IO), 1, SECOND);
    assert_string_equal(p.last.why, "waits 100 % of its time, 50.0 ms a call");
}

/* A machine with much to do ends few calls in a look: then it takes several to have enough. */
static void a_change_shows_in_few_calls_as_well(void **state)
{
    (void)state;
    struct plant p = begin();
    (void)run_one(&p, 20 * SECOND, 100, &waits, -1);
    assert_in_range(run_one(&p, 20 * SECOND, 4, &computes, PROFILE_COMPUTE), 3, 7);
    (void)run_one(&p, 20 * SECOND, 4, &computes, -1);
    assert_in_range(run_one(&p, 20 * SECOND, 4, &waits, PROFILE_IO), 2, 7);
}

/* A CPU that has too much to do lets calls take longer, which is no waiting. */
static void time_ready_without_a_cpu_is_not_taken_for_waiting(void **state)
{
    (void)state;
    static const struct kind crowded = {0, 20, 600};
    struct plant p = begin();
    assert_int_equal(run_one(&p, 10, 50, &crowded, PROFILE_COMPUTE), 1);
}

static void what_computes_less_than_a_hand_over_costs_stays_and_comes_back(void **state)
{
    (void)state;
    static const struct kind light = {0, 0.9, 0}, lighter = {0, 0.4, 0}, medium = {0, 1.1, 0};
    struct plant p = begin();
    (void)run_one(&p, 60 * SECOND, 500, &light, -1);
    assert_int_equal(p.n_moves, 0);
    assert_int_not_equal(run_one(&p, 20 * SECOND, 500, &medium, PROFILE_COMPUTE), 0);
    (void)run_one(&p, 60 * SECOND, 500, &light, -1); /* between the two bounds: where it is */
    assert_int_equal(p.n_moves, 1);
    assert_int_not_equal(run_one(&p, 20 * SECOND, 500, &lighter, PROFILE_IO), 0);
    assert_string_equal(p.last.why, "computes only 0.5 ms a call");
}

/* Of any mixture, also one that has nearly as much of the one as of the other. */
static void a_route_with_calls_of_both_kinds_does_not_flap(void **state)
{
    (void)state;
    static const unsigned rates[] = {1, 2, 4, 5, 10, 20, 50, 500};
    for (unsigned percent = 0; percent <= 100; percent += 5)
        for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
            struct plant p = begin();
            seed = percent * 7 + i + 1;
            (void)run(&p, 600 * SECOND, rates[i], &waits, &computes, percent / 100.0, -1);
            assert_in_range(p.n_moves, 0, 8); /* in ten minutes, most of them at the border */
        }
}

/* Kinds that take turns, each for a few seconds: every move is a bad one by the time it is done. */
static void a_route_that_moves_again_and_again_is_left_alone_for_longer_and_longer(void **state)
{
    (void)state;
    struct plant p = begin();
    for (unsigned i = 0; i < 60; i++) { /* ten minutes */
        (void)run_one(&p, 5 * SECOND, 50, &computes, -1);
        (void)run_one(&p, 5 * SECOND, 50, &waits, -1);
    }
    assert_in_range(p.n_moves, 2, 15); /* of 120 */
    assert_true(p.state.dwell_us > LANE_DWELL_US);
}

static void few_calls_decide_nothing_but_one_of_ten_seconds_does(void **state)
{
    (void)state;
    static const struct kind endless = {0, 10000, 0};
    struct plant p = begin();
    (void)run_one(&p, 5, 1, &computes, -1);
    assert_int_equal(p.n_moves, 0);
    assert_in_range(run_one(&p, 10, 1, &computes, PROFILE_COMPUTE), 1, 4);
    p = begin();
    assert_int_equal(run_one(&p, 5, 1, &endless, PROFILE_COMPUTE), 1);
}

static void without_a_pool_it_is_at_rest(void **state)
{
    (void)state;
    static const struct lane_rules none = {.rest = PROFILE_INLINE, .compute_us = 1000};
    struct lane_look look = {.calls = 50, .wall_ns = 1000000000, .cpu_ns = 1000000000};
    struct lane_state s = {.lane = PROFILE_INLINE};
    assert_false(lane_decide(&s, &look, &none, 1000000).moves);
    s = (struct lane_state){.lane = PROFILE_COMPUTE, .moved_us = 999999};
    assert_true(lane_decide(&s, &look, &none, 1000000).moves); /* its pool has gone: at once */
    assert_int_equal(s.lane, PROFILE_INLINE);
}

/* Numbers that no handler can have, from a process that has overwritten them. */
static void nonsense_moves_nothing_out_of_bounds(void **state)
{
    (void)state;
    struct plant p = begin();
    const struct lane_look looks[] = {
        {.calls = 1, .wall_ns = 0, .cpu_ns = UINT64_MAX / 2, .delay_ns = UINT64_MAX / 2},
        {.calls = UINT64_MAX / 2, .wall_ns = UINT64_MAX / 2},
        {.calls = 0, .wall_ns = 5, .cpu_ns = 5},
    };
    for (size_t i = 0; i < 300; i++) {
        (void)lane_decide(&p.state, &looks[i % 3], &rules, p.now_us += LOOK_US);
        assert_true(p.state.wait_us >= 0 && p.state.cpu_us >= 0);
    }
    (void)lane_decide(&p.state, &looks[0], &rules, p.now_us - 10 * LOOK_US); /* a clock gone back */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_that_computes_moves_within_half_a_second_and_one_that_waits_stays),
        cmocka_unit_test(
            a_route_whose_calls_change_follows_in_two_seconds_but_not_within_its_dwell),
        cmocka_unit_test(a_change_shows_in_few_calls_as_well),
        cmocka_unit_test(time_ready_without_a_cpu_is_not_taken_for_waiting),
        cmocka_unit_test(what_computes_less_than_a_hand_over_costs_stays_and_comes_back),
        cmocka_unit_test(a_route_with_calls_of_both_kinds_does_not_flap),
        cmocka_unit_test(a_route_that_moves_again_and_again_is_left_alone_for_longer_and_longer),
        cmocka_unit_test(few_calls_decide_nothing_but_one_of_ten_seconds_does),
        cmocka_unit_test(without_a_pool_it_is_at_rest),
        cmocka_unit_test(nonsense_moves_nothing_out_of_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
