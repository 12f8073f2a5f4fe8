/* Tests of server/crowd.c against a simulated machine, on which others compute as well. Times are
 * those of the simulation, so none of this depends on the machine. */
#include "server/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define LOOK_US (SECOND / 2)

/* A machine, its loops, and what there is to do for them. */
static struct {
    uint32_t cpus;
    uint32_t most;
    double others;  /* CPUs that others take, */
    double wanted;  /* CPUs that the loops would take */
    double hinders; /* share of its speed that a loop loses by a loop too many */
    bool is_fair;   /* when they can have them: each loop has as much as one of them */
    bool is_blind;  /* what others leave is not known */
    uint32_t units;
    uint64_t now_us;
    struct crowd_state state;
    unsigned steps;
    enum crowd_reason last;
    double answered;
} plant;

static void open_plant(uint32_t cpus)
{
    memset(&plant, 0, sizeof plant);
    plant.cpus = plant.most = plant.units = cpus;
    plant.hinders = 0.3;
    plant.now_us = 1000 * SECOND;
}

/* Half a second. */
static void turn(void)
{
    double loops = plant.wanted < plant.units ? plant.wanted : plant.units;
    double all = loops + plant.others;
    double share = plant.is_fair && all > plant.cpus ? plant.cpus / all : 1;
    double taken = plant.others * share < plant.cpus ? plant.others * share : plant.cpus;
    double had = loops < plant.cpus - taken ? loops : plant.cpus - taken;
    bool is_crowded = !plant.is_fair && plant.units > plant.cpus - plant.others + 0.5;
    const struct crowd_look look = {.now_us = plant.now_us,
                                    .units = plant.units,
                                    .ready = plant.units,
                                    .free_cpus = plant.is_blind ? -1 : plant.cpus - taken,
                                    .load = loops,
                                    .delay_share = loops > 0 ? (loops - had) / loops : 0,
                                    .rate = had * (is_crowded ? 1 - plant.hinders : 1) * 100000,
                                    .p99_us = 300};
    enum crowd_reason reason;
    plant.answered += look.rate * (double)LOOK_US / 1e6;
    uint32_t n = crowd_decide(plant.most, &plant.state, &look, &reason);
    assert_true(n >= 1 && n <= plant.most);
    assert_int_equal(n != plant.units, reason != CROWD_STAYS);
    if (n != plant.units) {
        plant.steps++;
        plant.last = reason;
    }
    plant.units = n;
    plant.now_us += LOOK_US;
}

static void run(unsigned seconds)
{
    for (unsigned i = 0; i < 2 * seconds; i++)
        turn();
}

static void who_has_the_machine_has_a_loop_for_each_cpu(void **state)
{
    (void)state;
    static const double wanted[] = {0, 0.3, 1.2, 4, 100};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        open_plant(4);
        plant.wanted = wanted[i];
        run(600);
        assert_int_equal(plant.units, 4);
        assert_int_equal(plant.steps, 0);
    }
}

static void others_are_left_the_cpus_that_they_take(void **state)
{
    (void)state;
    for (uint32_t taken = 1; taken < 8; taken++) {
        open_plant(8);
        plant.wanted = 100;
        plant.others = taken;
        run(5);
        assert_true(plant.units < 8);
        assert_int_equal(plant.last, CROWD_FULL);
        run(60);
        assert_true(plant.units <= 8 - taken + 1 && plant.units + 1 >= 8 - taken);
        unsigned steps = plant.steps;
        run(600);
        assert_int_equal(plant.steps, steps);
    }
}

static void one_is_there_always(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 50;
    run(600);
    assert_int_equal(plant.units, 1);
}

static void what_others_leave_again_is_taken(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 1;
    run(30);
    assert_int_equal(plant.units, 1);
    plant.others = 0;
    run(5);
    assert_int_equal(plant.units, 2);
    assert_int_equal(plant.last, CROWD_ROOM);
}

/* Also when there is nothing to do by then: the next burst finds all of them. */
static void an_idle_server_has_all_of_them_again(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 1;
    run(30);
    plant.others = plant.wanted = 0;
    run(5);
    assert_int_equal(plant.units, 2);
}

static void little_to_do_is_no_crowd(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 0.5;
    plant.others = 2;
    run(600);
    assert_int_equal(plant.steps, 0);
}

static void loops_that_need_not_wait_for_a_cpu_stay(void **state)
{
    (void)state;
    open_plant(4);
    plant.wanted = 2.5;
    plant.others = 1;
    run(600);
    assert_int_equal(plant.steps, 0);
}

static void what_is_not_known_changes_nothing(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 2;
    plant.is_blind = true;
    run(600);
    assert_int_equal(plant.steps, 0);
}

/* Loops that hold their own against others: one fewer has one share fewer. */
static void a_step_that_costs_answers_is_undone_and_remembered(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 1;
    plant.is_fair = true;
    run(5);
    assert_int_equal(plant.units, 1);
    run(7);
    assert_int_equal(plant.units, 2);
    assert_int_equal(plant.last, CROWD_UNDONE_FEWER);
    run(50);
    assert_int_equal(plant.steps, 2);
    run(1800);
    assert_true(plant.steps <= 2 * 7); /* after 1, 2, 4, 8, 8 … minutes */
}

/* The same with more CPUs, where a step leaves several: none of them may make it right. */
static void with_more_cpus_too_all_of_them_come_back(void **state)
{
    (void)state;
    for (uint32_t cpus = 4; cpus <= 64; cpus *= 2) {
        open_plant(cpus);
        plant.wanted = 1000;
        plant.others = cpus;
        plant.is_fair = true;
        run(13);
        assert_int_equal(plant.last, CROWD_UNDONE_FEWER);
        assert_int_equal(plant.units, cpus);
        run(1800);
        assert_int_equal(plant.steps % 2, 0);
        assert_int_equal(plant.units, cpus);
    }
}

/* Requests that end say nothing of the step. */
static void a_burst_that_ends_is_no_reason_to_undo(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 1;
    run(4);
    assert_int_equal(plant.units, 1);
    plant.wanted = 0.1;
    run(60);
    assert_int_equal(plant.units, 1);
    assert_int_equal(plant.steps, 1);
}

static void others_that_come_and_go_move_it_less_and_less(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    for (int i = 0; i < 60; i++) {
        plant.others = i % 2 ? 0 : 1;
        run(10);
    }
    assert_true(plant.steps <= 20); /* in ten minutes */
}

static void a_loop_that_is_slower_is_undone(void **state)
{
    (void)state;
    struct crowd_state past = {0};
    struct crowd_look look = {.units = 2,
                              .ready = 2,
                              .free_cpus = 1.1,
                              .load = 1.5,
                              .delay_share = 0.3,
                              .rate = 1000,
                              .p99_us = 3000};
    enum crowd_reason reason = CROWD_STAYS;
    for (look.now_us = SECOND; reason == CROWD_STAYS && look.now_us < 60 * SECOND;
         look.now_us += LOOK_US)
        look.units = crowd_decide(2, &past, &look, &reason);
    assert_int_equal(reason, CROWD_FULL);
    look.ready = 1;
    look.p99_us = 9000;
    for (reason = CROWD_STAYS; reason == CROWD_STAYS && look.now_us < 60 * SECOND;
         look.now_us += LOOK_US)
        look.units = crowd_decide(2, &past, &look, &reason);
    assert_int_equal(reason, CROWD_UNDONE_SLOWER);
    assert_int_equal(look.units, 2);
}

/* ---- another generation comes, and goes on with as many loops */

static void reload(void)
{
    plant.state = crowd_inherit(&plant.state);
}

static void what_was_undone_is_remembered_behind_a_reload(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 1;
    plant.is_fair = true;
    for (unsigned i = 0; i < 1800; i++) {
        unsigned steps = plant.steps;
        run(1);
        if (plant.steps > steps && plant.units == 2)
            reload();
    }
    assert_int_equal(plant.last, CROWD_UNDONE_FEWER);
    assert_true(plant.steps >= 2 && plant.steps <= 2 * 7); /* after 1, 2, 4, 8, 8 … minutes */
}

static void others_that_come_and_go_are_remembered_behind_a_reload(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    for (int i = 0; i < 60; i++) {
        plant.others = i % 2 ? 0 : 1;
        run(10);
        reload();
    }
    assert_true(plant.steps >= 2 && plant.steps <= 20); /* in ten minutes */
}

/* What the old ones did says nothing of the new ones. */
static void a_trial_ends_with_the_loops_that_were_tried(void **state)
{
    (void)state;
    open_plant(2);
    plant.wanted = 100;
    plant.others = 1;
    plant.is_fair = true;
    run(5);
    assert_int_equal(plant.units, 1);
    reload();
    run(600);
    assert_int_equal(plant.units, 1);
    assert_int_equal(plant.steps, 1);
}

static void a_reload_is_no_reason_for_steps_that_follow_close(void **state)
{
    (void)state;
    open_plant(4);
    plant.wanted = 100;
    plant.others = 2;
    while (plant.steps == 0)
        turn();
    uint64_t step_us = plant.now_us - LOOK_US;
    plant.others = 3;
    reload();
    while (plant.steps == 1)
        turn();
    assert_int_equal(plant.units, 1);
    assert_true(plant.now_us - LOOK_US - step_us >= 3 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_the_machine_has_a_loop_for_each_cpu),
        cmocka_unit_test(others_are_left_the_cpus_that_they_take),
        cmocka_unit_test(one_is_there_always),
        cmocka_unit_test(what_others_leave_again_is_taken),
        cmocka_unit_test(an_idle_server_has_all_of_them_again),
        cmocka_unit_test(little_to_do_is_no_crowd),
        cmocka_unit_test(loops_that_need_not_wait_for_a_cpu_stay),
        cmocka_unit_test(what_is_not_known_changes_nothing),
        cmocka_unit_test(a_step_that_costs_answers_is_undone_and_remembered),
        cmocka_unit_test(with_more_cpus_too_all_of_them_come_back),
        cmocka_unit_test(a_burst_that_ends_is_no_reason_to_undo),
        cmocka_unit_test(others_that_come_and_go_move_it_less_and_less),
        cmocka_unit_test(a_loop_that_is_slower_is_undone),
        cmocka_unit_test(what_was_undone_is_remembered_behind_a_reload),
        cmocka_unit_test(others_that_come_and_go_are_remembered_behind_a_reload),
        cmocka_unit_test(a_trial_ends_with_the_loops_that_were_tried),
        cmocka_unit_test(a_reload_is_no_reason_for_steps_that_follow_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
