/* base/json_out.c: what it writes is JSON, whatever the text. */
#include "base/json_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json_value.h"

static void members_are_separated_and_text_is_escaped(void **state)
{
    (void)state;
    static const char expected[] = "{\"a\":1,\"b\":{},\"c\":[true,\"x\\\"\\u001b\",[0],null],\"d\":"
                                   "\"\",\"e\":18446744073709551615}";
    struct buf buf = {0};
    struct str value;
    struct json_out out = {.buf = &buf};
    json_out_open(&out, NULL, '{');
    json_out_u64(&out, "a", 1);
    json_out_open(&out, "b", '{');
    json_out_close(&out, '}');
    json_out_open(&out, "c", '[');
    json_out_bool(&out, NULL, true);
    json_out_text(&out, NULL, STR("x\"\x1b"));
    json_out_open(&out, NULL, '[');
    json_out_u64(&out, NULL, 0);
    json_out_close(&out, ']');
    json_out_null(&out, NULL);
    json_out_close(&out, ']');
    json_out_text(&out, "d", (struct str){0});
    json_out_u64(&out, "e", UINT64_MAX);
    json_out_close(&out, '}');
    assert_false(out.is_failed);
    assert_int_equal(buf.len, sizeof expected - 1);
    assert_memory_equal(buf.data, expected, buf.len);
    assert_null(json_value_check(str_make(buf.data, buf.len), &value));
    buf_fini(&buf);
}

/* The room of text is worked out before it is copied: one that can't be had is no overflow. */
static void refused_memory_is_remembered(void **state)
{
    (void)state;
    struct buf buf = {0};
    struct json_out out = {.buf = &buf};
    json_out_open(&out, NULL, '[');
    json_out_text(&out, NULL, str_make("x", SIZE_MAX / 10));
    assert_true(out.is_failed);
    json_out_u64(&out, NULL, 1);
    json_out_close(&out, ']');
    assert_true(out.is_failed);
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_separated_and_text_is_escaped),
        cmocka_unit_test(refused_memory_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
