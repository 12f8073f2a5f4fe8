/* base/json_value.c: what is JSON and what is not, and how values are found in it. */
#include "base/json_value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct str must(const char *text)
{
    struct str value = {0};
    const char *wrong = json_value_check(str_of(text), &value);
    if (wrong)
        fail_msg("%s: %s", text, wrong);
    return value;
}

static void what_is_json_is_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "[]",
        " { } ",
        "[ ]",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5e+3",
        "1E-2",
        "\"\"",
        "{\"a\":1}",
        "{\"a\" : [1 , 2,{\"b\":null}] , \"c\":\"d\"}\r\n",
        "\t\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\xc3\xa9\"",
        "[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        (void)must(good[i]);
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "nul",
        "nulll",
        "True",
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x1",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "\"\n\"",
        "\"\x1f\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xc0\x80\"",
        "{} {}",
        "1 2",
        "{}x",
        "[1 2]",
        "{\"a\" 1}",
        "{,}",
        "[,1]",
        "[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]",
        "//",
        "NaN",
        "Infinity",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct str value = {0};
        if (!json_value_check(str_of(bad[i]), &value))
            fail_msg("taken: %s", bad[i]);
        assert_null(value.p);
    }
}

/* Each in a piece of memory of its exact length, so that reading on is seen by sanitizers. */
static void a_text_that_is_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1.5e3,\"\\ud83d\\ude00\xc3\xa9\",true,null],\"b\":{}}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct str value;
        char *cut = malloc(n + 1);
        assert_non_null(cut);
        memcpy(cut + 1, text, n);
        assert_non_null(json_value_check(str_make(cut + 1, n), &value));
        free(cut);
    }
}

static void members_are_found_by_name(void **state)
{
    (void)state;
    struct str object = must(" {\"a\": {\"x\":9} , \"b\":\"c\",\"d\":[true],\"a\":2} ");
    assert_int_equal(json_value_kind(json_value_find(object, "a")), JSON_OBJECT);
    assert_true(str_is_equal(json_value_find(object, "b"), STR("\"c\"")));
    assert_true(str_is_equal(json_value_find(object, "d"), STR("[true]")));
    assert_int_equal(json_value_kind(json_value_find(object, "x")), JSON_NOTHING);
    assert_int_equal(json_value_kind(json_value_find(must("[1]"), "a")), JSON_NOTHING);
    assert_int_equal(json_value_kind(json_value_find((struct str){0}, "a")), JSON_NOTHING);
}

static void elements_and_members_come_in_order_also_twice(void **state)
{
    (void)state;
    struct str at = {0}, name, value;
    struct str array = must("[ 1,\"b\" , [ ],{}]");
    static const enum json_kind kinds[] = {JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT};
    for (size_t i = 0; i < 4; i++) {
        assert_true(json_value_next(array, &at, NULL, &value));
        assert_int_equal(json_value_kind(value), kinds[i]);
    }
    assert_false(json_value_next(array, &at, NULL, &value));
    struct str object = must("{\"a\":1,\"a\":2}");
    at = (struct str){0};
    for (int i = 0; i < 2; i++) {
        assert_true(json_value_next(object, &at, &name, &value));
        assert_true(str_is_equal(name, STR("a")));
    }
    assert_true(str_is_equal(value, STR("2")));
    assert_false(json_value_next(object, &at, &name, &value));
    at = (struct str){0};
    assert_false(json_value_next(must("[]"), &at, NULL, &value));
    assert_false(json_value_next(must("1"), &at, NULL, &value));
}

static void text_is_decoded_within_its_room(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(json_value_text(must("\"a\\n\\\"\\u00e9\\ud83d\\ude00\""), out, sizeof out),
                     9);
    assert_string_equal(out, "a\n\"\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(json_value_text(must("\"\""), out, 1), 0);
    assert_int_equal(json_value_text(must("\"\""), out, 0), -ERANGE);
    assert_int_equal(json_value_text(must("\"abc\""), out, 3), -ERANGE);
    assert_int_equal(json_value_text(must("\"abc\""), out, 4), 3);
    assert_int_equal(json_value_text(must("\"a\\u0000\""), out, sizeof out), -EINVAL);
    assert_int_equal(json_value_text(must("12"), out, sizeof out), -EINVAL);
    assert_int_equal(json_value_text((struct str){0}, out, sizeof out), -EINVAL);
}

static void numbers_are_whole_and_within_their_range(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_int_equal(json_value_u64(must("512"), 512, &n), 0);
    assert_int_equal(n, 512);
    assert_int_equal(json_value_u64(must("513"), 512, &n), -ERANGE);
    assert_int_equal(json_value_u64(must("18446744073709551615"), UINT64_MAX, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(json_value_u64(must("1.0"), 512, &n), -EINVAL);
    assert_int_equal(json_value_u64(must("1e2"), 512, &n), -EINVAL);
    assert_int_equal(json_value_u64(must("-1"), 512, &n), -EINVAL);
    assert_int_equal(json_value_u64(must("\"1\""), 512, &n), -EINVAL);
    assert_int_equal(json_value_u64((struct str){0}, 512, &n), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_taken),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(a_text_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(members_are_found_by_name),
        cmocka_unit_test(elements_and_members_come_in_order_also_twice),
        cmocka_unit_test(text_is_decoded_within_its_room),
        cmocka_unit_test(numbers_are_whole_and_within_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
