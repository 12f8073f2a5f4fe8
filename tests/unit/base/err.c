/* base/err.c */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void err_set_returns_what_its_caller_returns(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, EINVAL, "line %d", 3), -EINVAL);
    assert_int_equal(err.code, EINVAL);
    assert_string_equal(err.text, "line 3");
    assert_int_equal(err_set(NULL, ENOENT, "nobody listens"), -ENOENT);
}

static void err_wrap_puts_its_context_in_front(void **state)
{
    (void)state;
    struct err err;
    (void)err_set(&err, EACCES, "inner");
    assert_int_equal(err_wrap(&err, "outer %s", "x"), -EACCES);
    assert_string_equal(err.text, "outer x: inner");
    assert_int_equal(err_wrap(&err, "%%"), -EACCES);
    assert_string_equal(err.text, "%: outer x: inner");
    (void)err_wrap(NULL, "nobody listens");
}

static void err_cuts_what_is_too_long(void **state)
{
    (void)state;
    struct {
        struct err err;
        char guard[8];
    } s = {.guard = "guarded"};
    (void)err_set(&s.err, EINVAL, "%1000d", 1);
    assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
    (void)err_set(&s.err, EINVAL, "%s", "inner");
    (void)err_wrap(&s.err, "%505d", 1);
    assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
    assert_memory_equal(s.err.text + 504, "1: inne", 7);
    (void)err_wrap(&s.err, "%1000d", 2);
    assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
    assert_string_equal(s.guard, "guarded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_set_returns_what_its_caller_returns),
        cmocka_unit_test(err_wrap_puts_its_context_in_front),
        cmocka_unit_test(err_cuts_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
