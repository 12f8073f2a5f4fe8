/* base/fault.c: the plan is read once in a process's life, so one plan serves all tests. */
#include "base/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int set_plan(void **state)
{
    (void)state;
    return setenv(
        "REMUDA_FAULT",
        "always:ENOSPC,skip:EIO:2,window:EAGAIN:1:2,number:5:0:1,unknown:EWHAT:7,twice:EIO:0:1,"
        "twice:EPERM:0:1",
        1);
}

#ifdef REMUDA_DEBUG

static void fault_fails_the_calls_that_the_plan_names(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(FAULT("always"), ENOSPC);
        assert_int_equal(FAULT("skip"), i < 2 ? 0 : EIO);
        assert_int_equal(FAULT("window"), i == 1 || i == 2 ? EAGAIN : 0);
        assert_int_equal(FAULT("number"), i == 0 ? 5 : 0);
        assert_int_equal(FAULT("twice"), i == 0 ? EIO : i == 1 ? EPERM : 0);
        assert_int_equal(FAULT("unknown"), 0);
        assert_int_equal(FAULT("never"), 0);
        assert_int_equal(FAULT("alway"), 0);
    }
}

#else

static void fault_is_nothing_in_release_builds(void **state)
{
    (void)state;
    assert_int_equal(FAULT("always"), 0);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef REMUDA_DEBUG
        cmocka_unit_test(fault_fails_the_calls_that_the_plan_names),
#else
        cmocka_unit_test(fault_is_nothing_in_release_builds),
#endif
    };
    return cmocka_run_group_tests(tests, set_plan, NULL);
}
