/* server/plain.c: what reaches a terminal, and how wide it is. */
#include "server/plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void nothing_that_a_terminal_obeys_gets_through(void **state)
{
    (void)state;
    static const struct {
        struct str value;
        const char *any, *narrow;
    } rows[] = {
        {STR("\"GET /a\""), "GET /a", "GET /a"},
        {STR("\"a\\\"b\\\\c\\/\\u001b[2J\\n\""), "a\"b\\c/\\u001b[2J\\n", "a\"b\\c/\\u001b[2J\\n"},
        {STR("\"\x1b[2J\x7f\xc2\x9b\x31\""), "?[2J??1", "?[2J??1"},
        {STR("\"\xe2\x80\xae\xe2\x80\x8f\xef\xbb\xbfx\""), "???x", "???x"},
        {STR("\"caf\xc3\xa9\xe2\x80\xa6\""), "caf\xc3\xa9\xe2\x80\xa6", "caf\xc3\xa9\xe2\x80\xa6"},
        {STR("\"\xe6\xbc\xa2\""), "\xe6\xbc\xa2", "?"},
        {STR("\"a\xcc\x81\""), "a\xcc\x81", "a?"},
        {STR("\"\xff\xc3\""), "??", "??"},
        {STR("12"), "", ""},
        {{NULL, 0}, "", ""},
    };
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(plain_text(out, sizeof out, rows[i].value, PLAIN_ANY), rows[i].any);
        assert_string_equal(plain_text(out, sizeof out, rows[i].value, PLAIN_NARROW),
                            rows[i].narrow);
    }
}

static void text_is_cut_between_characters(void **state)
{
    (void)state;
    char out[4];
    assert_string_equal(plain_text(out, 4, STR("\"ab\xc3\xa9\""), PLAIN_ANY), "ab");
    assert_string_equal(plain_text(out, 4, STR("\"a\xc3\xa9z\""), PLAIN_ANY), "a\xc3\xa9");
    assert_string_equal(plain_text(out, 1, STR("\"a\""), PLAIN_ANY), "");
    assert_int_equal(plain_columns("a\xc3\xa9"), 2);
}

static void numbers_fit_their_columns(void **state)
{
    (void)state;
    char out[PLAIN_MAX];
    assert_string_equal(plain_count(out, 0), "0");
    assert_string_equal(plain_count(out, 999), "999");
    assert_string_equal(plain_count(out, 1234567), "1,234,567");
    assert_string_equal(plain_count(out, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(plain_short(out, 9999), "9999");
    assert_string_equal(plain_short(out, 12345), "12.3k");
    assert_string_equal(plain_short(out, 999999), "999k");
    assert_string_equal(plain_short(out, 4500000), "4.5M");
    assert_string_equal(plain_bytes(out, 0), "0");
    assert_string_equal(plain_bytes(out, 4096), "4K");
    assert_string_equal(plain_bytes(out, UINT64_C(3) << 19), "1.5M");
    assert_string_equal(plain_bytes(out, UINT64_C(200) << 20), "200M");
    assert_string_equal(plain_bytes(out, UINT64_C(5) << 30), "5.0G");
    assert_string_equal(plain_us(out, 0), "0us");
    assert_string_equal(plain_us(out, 1250), "1.2ms");
    assert_string_equal(plain_us(out, 450000), "450ms");
    assert_string_equal(plain_us(out, 3200000), "3.2s");
    assert_string_equal(plain_us(out, 240000000), "4m00s");
    assert_string_equal(plain_age(out, 8999), "8s");
    assert_string_equal(plain_age(out, 312000), "5m12s");
    assert_string_equal(plain_age(out, 11040000), "3h04m");
    assert_string_equal(plain_age(out, UINT64_C(12) * 86400000), "12d00h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_a_terminal_obeys_gets_through),
        cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(numbers_fit_their_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
