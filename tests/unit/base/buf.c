/* base/buf.c */
#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void buf_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct buf b = {0};
    for (unsigned i = 0; i < 100000; i++) {
        char octet = (char)(i % 251);
        assert_int_equal(buf_append(&b, &octet, 1), 0);
        assert_true(b.len <= b.cap);
    }
    assert_int_equal(b.len, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal((unsigned char)b.data[i], i % 251);
    buf_fini(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    assert_int_equal(buf_append(&b, "again", 5), 0);
    assert_memory_equal(b.data, "again", 5);
    buf_fini(&b);
}

static void buf_takes_nothing(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(buf_reserve(&b, 0), 0);
    assert_int_equal(b.len, 0);
    buf_consume(&b, 0);
    buf_fini(&b);
}

static void buf_printf_appends_and_does_not_count_the_nul(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "<", 1), 0);
    assert_int_equal(buf_printf(&b, "%s=%d", "n", 42), 0);
    assert_int_equal(b.len, 5);
    assert_string_equal(b.data, "<n=42");
    assert_int_equal(buf_printf(&b, "%1000d", 7), 0);
    assert_int_equal(b.len, 1005);
    assert_int_equal(b.data[1004], '7');
    assert_int_equal(b.data[1005], '\0');
    buf_fini(&b);
    for (int n = 250; n < 260; n++) { /* around the first capacity, which must hold the NUL too */
        assert_int_equal(buf_printf(&b, "%*d", n, 1), 0);
        assert_int_equal(b.len, n);
        assert_int_equal(strlen(b.data), n);
        buf_fini(&b);
    }
}

static void buf_consume_drops_from_the_front(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "abcdef", 6), 0);
    buf_consume(&b, 2);
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.data, "cdef", 4);
    buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_append(&b, "x", 1), 0);
    assert_memory_equal(b.data, "x", 1);
    buf_fini(&b);
}

static void buf_refuses_sizes_that_overflow_and_stays_as_it_was(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "abc", 3), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
    assert_int_equal(buf_append(&b, "x", SIZE_MAX - 1), -ENOMEM);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "abc", 3);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_grows_and_keeps_what_it_has),
        cmocka_unit_test(buf_takes_nothing),
        cmocka_unit_test(buf_printf_appends_and_does_not_count_the_nul),
        cmocka_unit_test(buf_consume_drops_from_the_front),
        cmocka_unit_test(buf_refuses_sizes_that_overflow_and_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
