/* base/json.c: every octet alone, what is not UTF-8, what forges lines, and every room. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/harness/json.h"

static void check(struct str text, const char *expected)
{
    char out[256];
    size_t taken = 0;
    size_t n = json_escape(out, sizeof out, text, &taken);
    assert_int_equal(taken, text.len);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, n);
}

static void json_escapes_what_it_must_and_keeps_the_rest(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *expected;
    } rows[] = {
        {STR(""), ""},
        {{NULL, 0}, ""},
        {STR("plain /a?b=c&d ~"), "plain /a?b=c&d ~"},
        {STR("a\"b\\c/d"), "a\\\"b\\\\c/d"},
        {STR("\0\b\t\n\r\x1f\x7f"), "\\u0000\\u0008\\u0009\\u000a\\u000d\\u001f\\u007f"},
        {STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {STR("\xff|\xc3"), "\\ufffd|\\ufffd"},                     /* no lead, cut off */
        {STR("\xc0\xaf"), "\\ufffd\\ufffd"},                       /* too long a form */
        {STR("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd"},            /* surrogate */
        {STR("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond U+10FFFF */
        {STR("\xe2\x82\"\xac"), "\\ufffd\\ufffd\\\"\\ufffd"},      /* cut by a quote */
        {STR("\xc2\x80\xc2\x85\xc2\x9b\xc2\x9f"), "\\u0080\\u0085\\u009b\\u009f"},
        {STR("\xc2\xa0"), "\xc2\xa0"},
        {STR("\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f"), "\\u061c\\u200e\\u200f"}, /* direction */
        {STR("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae"), "\\u2028\\u2029\\u202e"},
        {STR("\xe2\x81\xa6\xe2\x81\xa9"), "\\u2066\\u2069"},
        {STR("\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf"), "\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i].text, rows[i].expected);
}

static void json_makes_a_string_of_every_octet(void **state)
{
    (void)state;
    for (unsigned octet = 0; octet < 256; octet++) {
        char c = (char)octet;
        char expected[JSON_ESCAPE_MAX + 1];
        if (octet == '"' || octet == '\\')
            (void)snprintf(expected, sizeof expected, "\\%c", c);
        else if (octet < 0x20 || octet >= 0x7f)
            (void)snprintf(expected, sizeof expected, "\\u%04x", octet > 0x7f ? 0xfffdU : octet);
        else
            (void)snprintf(expected, sizeof expected, "%c", c);
        check(str_make(&c, 1), expected);
    }
}

/* However little room there is: whole escapes, whole characters, valid JSON, and not an octet
 * behind the room. */
static void json_stops_between_characters(void **state)
{
    (void)state;
    struct str text = STR("ab\"\n\xc3\xa9\xff\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\\z");
    char all[128];
    size_t whole = json_escape(all, sizeof all, text, NULL);
    for (size_t cap = 0; cap <= whole; cap++) {
        char *out = malloc(cap + 2);
        assert_non_null(out);
        char *room = malloc(cap > 0 ? cap : 1); /* so that the sanitizer sees an octet too many */
        assert_non_null(room);
        size_t taken;
        size_t n = json_escape(room, cap, text, &taken);
        assert_in_range(n, 0, cap);
        assert_true(n + JSON_ESCAPE_MAX > cap || n == whole);
        assert_memory_equal(room, all, n);
        assert_int_equal(json_escape(all, sizeof all, str_make(text.p, taken), NULL), n);
        (void)json_escape(all, sizeof all, text, NULL);
        out[0] = '"';
        memcpy(out + 1, room, n);
        out[n + 1] = '"';
        json_must(out, n + 2);
        assert_int_equal(taken == text.len, n == whole);
        free(room);
        free(out);
    }
}

static void json_is_valid_for_whatever_octets(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char text[24];
        char out[2 + sizeof text * JSON_ESCAPE_MAX];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525U + 1013904223U;
            text[i] = (char)(seed >> 24);
        }
        size_t taken;
        size_t n =
            json_escape(out + 1, sizeof out - 2, str_make(text, 1 + seed % sizeof text), &taken);
        assert_int_equal(taken, 1 + seed % sizeof text);
        out[0] = out[n + 1] = '"';
        json_must(out, n + 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_escapes_what_it_must_and_keeps_the_rest),
        cmocka_unit_test(json_makes_a_string_of_every_octet),
        cmocka_unit_test(json_stops_between_characters),
        cmocka_unit_test(json_is_valid_for_whatever_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
