/* Tests of server/adapt.c against a simulated plant: whether it comes to rest, how soon, and how
 * far it overshoots. Times are those of the plant, so none of this depends on the machine. */
#include "server/adapt.h"

#include "tests/unit/server/plant.h"

#define SETTLES_S 3.0   /* after any step of the load, growing: stated in docs/adaptive.md */
#define SHRINKS_S 120.0 /* from four times as many as are needed to at most half as many again */
#define OVERSHOOT 2.0   /* units at most, of those that the load needs in the end */

static void waiting_jobs_get_as_many_as_the_load_needs(void **state)
{
    (void)state;
    static const double rates[] = {20, 200, 1000, 2000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        plant_open(ADAPT_THREADS, 1, 512, 4, 2);
        plant.rate = rates[i];
        plant.wait_ms = 50;
        plant.cpu_ms = 0.2;
        double load = rates[i] * 0.0505;
        plant_run(SETTLES_S);
        assert_true(plant.units >= load); /* and the queue is gone */
        assert_true(plant.n_queued <= plant.units);
        assert_true(plant.most <= 4 || plant.most <= OVERSHOOT * (load + plant_root(load)));
        plant_forget_extremes();
        plant_run(300);
        assert_true(plant.turns <= 4);
        assert_true(plant.steps <= 12);
        assert_true(plant.units >= load && plant.units <= 4 + 1.6 * (load + plant_root(load)));
        assert_int_equal(plant.undone, 0);
    }
}

static void a_load_that_jumps_is_followed_in_seconds(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 1, 512, 4, 4);
    plant.wait_ms = 50;
    plant.cpu_ms = 0.2;
    plant.rate = 40;
    plant_run(30);
    for (int round = 0; round < 3; round++) {
        plant.rate = 2000;
        plant_forget_extremes();
        plant_run(SETTLES_S);
        assert_true(plant.units >= 101);
        assert_true(plant.most <= OVERSHOOT * 111);
        assert_true(plant.n_queued < plant.units);
        plant_run(20);
        assert_true(plant.most <= OVERSHOOT * 111);
        plant.rate = 40;
        plant_forget_extremes();
        plant_run(SHRINKS_S);
        assert_true(plant.units <= 1.5 * 12);
        assert_true(plant.turns <= 2);
    }
}

static void computing_jobs_never_get_more_than_cpus(void **state)
{
    (void)state;
    for (uint32_t cpus = 1; cpus <= 8; cpus *= 2) {
        plant_open(ADAPT_COMPUTE, 1, 64, 1, cpus);
        plant.closed = 64;
        plant.cpu_ms = 20;
        plant.starts_ms = 30;
        plant_run(SETTLES_S);
        assert_int_equal(plant.units, cpus);
        plant_forget_extremes();
        plant_run(60);
        assert_int_equal(plant.steps, 0);
        assert_true((double)plant.completed >= 0.95 * 60 * 50 * cpus);
    }
}

static void where_the_kernel_tells_no_delay_cpus_bound_it_all_the_same(void **state)
{
    (void)state;
    plant_open(ADAPT_COMPUTE, 1, 64, 2, 2);
    plant.delay_known = 0;
    plant.closed = 64;
    plant.cpu_ms = 20;
    plant.starts_ms = 30;
    plant_run(60);
    assert_true(plant.most <= 3);
    assert_int_equal(plant.turns, 0);
}

/* A machine that others use as well: much delay, a little of which nobody counts. */
static void a_little_waiting_beside_much_delay_is_none(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 1, 64, 8, 2);
    plant.cpus = 0.5; /* that others leave */
    plant.delay_known = 0.9;
    plant.closed = 16;
    plant.cpu_ms = 20;
    plant_run(60);
    assert_int_equal(plant.units, 2);
    assert_int_equal(plant.turns, 0);
}

static void threads_that_compute_are_given_up_slowly(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 4, 128, 64, 2);
    plant.closed = 128;
    plant.cpu_ms = 20;
    plant_run(60);
    assert_int_equal(plant.units, 4);
    assert_int_equal(plant.turns, 0);
    assert_int_equal(plant.undone, 0);
}

static void many_clients_that_all_wait_get_threads_within_seconds(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 4, 128, 16, 4);
    plant.closed = 128;
    plant.wait_ms = 50;
    plant.cpu_ms = 0.1;
    plant_run(SETTLES_S);
    assert_int_equal(plant.units, 128);
    plant_forget_extremes();
    plant_run(30);
    assert_true((double)plant.completed >= 0.9 * 30 * 128 / 0.0505);
    assert_int_equal(plant.steps, 0);
}

static void work_that_waits_and_computes_fills_the_cpus_and_no_more(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 4, 1024, 4, 2);
    plant.closed = 512;
    plant.wait_ms = 50;
    plant.cpu_ms = 2; /* 2 x (1 + 25) = 52 */
    plant_run(30);
    assert_true(plant.most <= OVERSHOOT * 54);
    plant_forget_extremes();
    plant_run(60);
    assert_true(plant.units >= 44 && plant.units <= 90);
    assert_true(plant.turns <= 1);
    assert_true((double)plant.completed >= 0.85 * 60 * 1000);
}

static void bursts_do_not_make_it_swing(void **state)
{
    (void)state;
    plant_open(ADAPT_COMPUTE, 1, 8, 1, 8);
    plant.cpu_ms = 20;
    plant.starts_ms = 30;
    for (int i = 0; i < 60; i++) { /* 100 jobs at once every 5 s */
        for (int k = 0; k < 100; k++)
            plant_come(plant.now_ms);
        plant_run(5);
        if (i == 5)
            plant_forget_extremes();
    }
    assert_true(plant.turns <= 2);
    assert_true(plant.n_queued == 0);
}

static void work_that_shifts_is_followed(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 4, 128, 16, 2);
    plant.closed = 64;
    for (int i = 0; i < 6; i++) {
        plant.wait_ms = i % 2 == 0 ? 50 : 0;
        plant.cpu_ms = i % 2 == 0 ? 0.2 : 20;
        plant_run(SETTLES_S);
        plant_forget_extremes();
        plant_run(17);
        assert_true((double)plant.completed >= 0.9 * 17 * (i % 2 == 0 ? 64 / 0.0512 : 2 / 0.0205));
    }
}

static void a_step_that_does_harm_is_undone_and_remembered(void **state)
{
    (void)state;
    plant_open(ADAPT_THREADS, 1, 64, 4, 64);
    plant.closed = 48;
    plant.wait_ms = 20;
    plant.cpu_ms = 1;
    plant.comfort = 16;
    plant.drag_ms = 5; /* 16 units do 760 jobs a second, 48 do 265 */
    plant_run(60);
    assert_true(plant.undone >= 1);
    uint32_t undone = plant.undone;
    plant_run(540);
    assert_true(plant.undone - undone <= 6); /* after 1, 2, 4 and 8 minutes again */
}

static void noise_alone_moves_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        plant_open(ADAPT_COMPUTE, 1, 16, 8, 16);
        plant.seed = seed * 7919;
        plant.rate = 250; /* 5 of 8 busy */
        plant.cpu_ms = 20;
        plant.starts_ms = 30;
        plant_run(60);
        plant_forget_extremes();
        plant_run(600);
        assert_true(plant.turns <= 2);
        assert_true(plant.steps <= 8); /* in ten minutes */
    }
}

static void web_workers_follow_slowly(void **state)
{
    (void)state;
    plant_open(ADAPT_WEB, 1, 8, 2, 8);
    plant.rate = 1000;
    plant.cpu_ms = 4; /* four loops are busy */
    plant.starts_ms = 100;
    plant_run(30);
    assert_true(plant.units >= 5 && plant.units <= 8);
    plant_forget_extremes();
    plant_run(300);
    assert_true(plant.turns == 0);
    plant.rate = 100;
    plant_run(400);
    assert_true(plant.units <= 2);
}

#define LOOK_US UINT64_C(100000)

/* From eight to four, and that was too few. */
static struct adapt_verdict judge_a_smaller_number(struct adapt_state *state, uint32_t room)
{
    const struct adapt_rules rules = {ADAPT_COMPUTE, 1, 8, 8};
    const struct adapt_look look = {.now_us = 60 * 1000000,
                                    .units = 4,
                                    .ready = 4,
                                    .busy = 4,
                                    .queued = 9,
                                    .cpu_share = -1,
                                    .memory_pressure = -1,
                                    .room = room};
    *state = (struct adapt_state){.looked_us = look.now_us - LOOK_US,
                                  .units = 4,
                                  .trial = {.from = 8,
                                            .to = 4,
                                            .since_us = 50 * 1000000,
                                            .before_rate = 100,
                                            .before_jobs = 100,
                                            .after = {.time_us = 2e6, .completions = 100},
                                            .looks = 20,
                                            .queued = 20}};
    return adapt_decide(&rules, state, &look);
}

static void a_smaller_number_that_did_harm_is_taken_back_where_memory_has_room(void **test)
{
    (void)test;
    static const uint32_t rows[][2] = {{UINT32_MAX, 8}, {9, 8}, {2, 6}};
    struct adapt_state state;
    struct adapt_verdict v;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        v = judge_a_smaller_number(&state, rows[i][0]);
        assert_int_equal(v.units, rows[i][1]);
        assert_int_equal(v.reason, ADAPT_UNDONE_FEWER);
    }
    v = judge_a_smaller_number(&state, 0);
    assert_int_equal(v.units, 4);
    assert_int_equal(v.reason, ADAPT_HELD_BY_ROOM);
    assert_int_equal(state.trial.from, 0);
    assert_int_equal(state.shrunk.units, 4); /* remembered all the same */
}

static void what_can_not_be_had_is_given_up_for_a_while(void **test)
{
    (void)test;
    const struct adapt_rules rules = {ADAPT_COMPUTE, 1, 16, 16};
    struct adapt_state state = {0};
    struct adapt_look look = {.now_us = 1000000,
                              .units = 12,
                              .ready = 10,
                              .busy = 10,
                              .queued = 50,
                              .cpu_share = -1,
                              .memory_pressure = -1,
                              .room = UINT32_MAX};
    for (int i = 0; i < 100; i++, look.now_us += LOOK_US) /* they only take their time */
        assert_int_equal(adapt_decide(&rules, &state, &look).units, 12);
    for (int i = 0; i < 50; i++, look.now_us += LOOK_US) {
        look.missing = i < 10 ? 2 : 8; /* others may come yet */
        assert_int_equal(adapt_decide(&rules, &state, &look).units, 12);
    }
    struct adapt_verdict v = adapt_decide(&rules, &state, &look);
    assert_int_equal(v.units, 10);
    assert_int_equal(v.reason, ADAPT_UNDONE_MISSING);
    look.units = 10;
    look.missing = 0;
    for (int i = 0; i < 50; i++) {
        look.now_us += LOOK_US;
        v = adapt_decide(&rules, &state, &look);
        assert_int_equal(v.units, 10);
    }
    assert_int_equal(v.reason, ADAPT_HELD_BY_PAST);
    look.now_us += 60 * UINT64_C(1000000);
    for (int i = 0; i < 5 && v.units == 10; i++, look.now_us += LOOK_US)
        v = adapt_decide(&rules, &state, &look);
    assert_true(v.units > 10);
}

/* Of a compute pool p99 is known once a second, jobs end at any look. */
static void p99_that_is_known_now_and_then_counts_for_all_jobs_since(void **test)
{
    (void)test;
    const struct adapt_rules rules = {ADAPT_COMPUTE, 4, 4, 4};
    struct adapt_state state = {0};
    struct adapt_look look = {.units = 4, .ready = 4, .room = UINT32_MAX};
    for (uint64_t i = 0; i < 11; i++) {
        look.now_us = 1000000 + i * LOOK_US;
        look.completions = i < 10 ? 10 : 0;
        look.latency_p99_us = i == 0 ? 1000 : i < 10 ? 0 : 5000;
        (void)adapt_decide(&rules, &state, &look);
    }
    assert_true(state.p99_us > 1000 + 4000 * 0.6); /* ninety jobs weigh more than that */
    assert_int_equal(state.p99_jobs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_jobs_get_as_many_as_the_load_needs),
        cmocka_unit_test(a_load_that_jumps_is_followed_in_seconds),
        cmocka_unit_test(computing_jobs_never_get_more_than_cpus),
        cmocka_unit_test(where_the_kernel_tells_no_delay_cpus_bound_it_all_the_same),
        cmocka_unit_test(a_little_waiting_beside_much_delay_is_none),
        cmocka_unit_test(threads_that_compute_are_given_up_slowly),
        cmocka_unit_test(many_clients_that_all_wait_get_threads_within_seconds),
        cmocka_unit_test(work_that_waits_and_computes_fills_the_cpus_and_no_more),
        cmocka_unit_test(bursts_do_not_make_it_swing),
        cmocka_unit_test(work_that_shifts_is_followed),
        cmocka_unit_test(a_step_that_does_harm_is_undone_and_remembered),
        cmocka_unit_test(noise_alone_moves_nothing),
        cmocka_unit_test(web_workers_follow_slowly),
        cmocka_unit_test(a_smaller_number_that_did_harm_is_taken_back_where_memory_has_room),
        cmocka_unit_test(what_can_not_be_had_is_given_up_for_a_while),
        cmocka_unit_test(p99_that_is_known_now_and_then_counts_for_all_jobs_since),
    };
    return cmocka_run_group_tests_name("server/adapt", tests, NULL, NULL);
}
