/* Tests of workers/readiness.c. */
#include "workers/readiness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_worker_that_is_well_is_enough(void **state)
{
    (void)state;
    struct readiness_view view = {.stage = BOARD_SERVING, .wanted = 4, .ready = 1, .hung = 3};
    assert_null(readiness_judge(&view));
    view.master_silent_us = UINT64_MAX;
    assert_null(readiness_judge(&view));
}

static void without_one_it_says_why(void **state)
{
    (void)state;
    struct readiness_view view = {.stage = BOARD_SERVING, .wanted = 2};
    assert_string_equal(readiness_judge(&view), "no worker is ready");
    view.hung = 1;
    assert_string_equal(readiness_judge(&view), "all workers hang");
}

static void who_leaves_is_not_ready_though_workers_are(void **state)
{
    (void)state;
    struct readiness_view view = {.stage = BOARD_LEAVING, .wanted = 2, .ready = 2};
    assert_non_null(strstr(readiness_judge(&view), "draining"));
    view.stage = BOARD_STOPPING;
    assert_non_null(strstr(readiness_judge(&view), "draining"));
    view.stage = (enum board_stage)77; /* another version's, or nonsense */
    assert_non_null(readiness_judge(&view));
}

static void a_heartbeat_may_be_a_second_old_and_of_the_future(void **state)
{
    (void)state;
    const uint64_t now_us = 5 * READINESS_HUNG_US;
    assert_false(readiness_is_hung(now_us, now_us));
    assert_false(readiness_is_hung(now_us - READINESS_HUNG_US, now_us));
    assert_true(readiness_is_hung(now_us - READINESS_HUNG_US - 1, now_us));
    assert_false(readiness_is_hung(UINT64_MAX, now_us));
    assert_true(readiness_is_hung(0, now_us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_is_well_is_enough),
        cmocka_unit_test(without_one_it_says_why),
        cmocka_unit_test(who_leaves_is_not_ready_though_workers_are),
        cmocka_unit_test(a_heartbeat_may_be_a_second_old_and_of_the_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
