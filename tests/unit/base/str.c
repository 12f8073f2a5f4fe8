/* base/str.c */
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void str_compares_octets_and_ascii_letters(void **state)
{
    (void)state;
    struct str none = {NULL, 0};
    assert_true(str_is_equal(STR("ab"), STR("ab")));
    assert_true(str_is_equal(none, STR("")));
    assert_false(str_is_equal(STR("ab"), STR("aB")));
    assert_false(str_is_equal(STR("ab"), STR("abc")));
    assert_true(str_is_equal(STR("a\0b"), STR("a\0b")));
    assert_false(str_is_equal(STR("a\0b"), STR("a\0c")));
    assert_true(str_is_equal_nocase(STR("Content-Length"), STR("cONTENT-lENGTH")));
    assert_true(str_is_equal_nocase(none, none));
    assert_false(str_is_equal_nocase(STR("a"), STR("ab")));
    assert_false(str_is_equal_nocase(STR("a["), STR("a{"))); /* 0x20 apart, no letters */
    assert_true(str_has_prefix(STR("/admin/x"), STR("/admin")));
    assert_true(str_has_prefix(STR("x"), none));
    assert_true(str_has_prefix(none, none));
    assert_false(str_has_prefix(STR("/a"), STR("/admin")));
    assert_int_equal(str_of(NULL).len, 0);
    assert_int_equal(str_of("abc").len, 3);
    assert_int_equal(STR("a\0b").len, 3);
}

static void str_prints_numbers_in_decimal(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0,         7, 9, 10, 99, 100, 1234567890, UINT64_MAX - 1,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char expected[STR_U64_MAX + 1];
        char out[STR_U64_MAX];
        int n = snprintf(expected, sizeof expected, "%ju", (uintmax_t)numbers[i]);
        assert_int_equal(str_print_u64(out, numbers[i]), n);
        assert_memory_equal(out, expected, (size_t)n);
    }
}

static void str_trim_strips_blanks_and_tabs_only(void **state)
{
    (void)state;
    assert_true(str_is_equal(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_true(str_is_equal(str_trim(STR("a")), STR("a")));
    assert_true(str_is_equal(str_trim(STR(" \t ")), STR("")));
    assert_true(str_is_equal(str_trim(STR("\r\na\v")), STR("\r\na\v")));
    assert_int_equal(str_trim((struct str){NULL, 0}).len, 0);
}

static void str_parse_u64_takes_digits_only_and_keeps_to_its_maximum(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        int rc;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0, 0},
        {"007", 10, 0, 7},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999999", UINT64_MAX, -ERANGE, 0},
        {"00000000000000000000000000001", 1, 0, 1},
        {"11", 10, -ERANGE, 0},
        {"10", 10, 0, 10},
        {"", 10, -EINVAL, 0},
        {"+1", 10, -EINVAL, 0},
        {"-1", 10, -EINVAL, 0},
        {" 1", 10, -EINVAL, 0},
        {"1 ", 10, -EINVAL, 0},
        {"0x1", 10, -EINVAL, 0},
        {"1_0", 100, -EINVAL, 0},
        {"99999999999999999999999999x", UINT64_MAX, -EINVAL,
         0},                    /* not a number, rather than large */
        {"1/", 10, -EINVAL, 0}, /* the neighbours of 0 and 9 */
        {"1:", 10, -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t value = 4711;
        int rc = str_parse_u64(str_of(cases[i].text), cases[i].max, &value);
        if (rc != cases[i].rc || value != (rc == 0 ? cases[i].value : 4711))
            fail_msg("\"%s\": %d, %llu", cases[i].text, rc, (unsigned long long)value);
    }
}

static void str_list_has_finds_whole_tokens_without_case(void **state)
{
    (void)state;
    struct str close = STR("close");
    assert_true(str_list_has(STR("close"), close));
    assert_true(str_list_has(STR("Keep-Alive, CLOSE"), close));
    assert_true(str_list_has(STR(" ,\tclose ,x"), close));
    assert_true(str_list_has(STR(",,close"), close));
    assert_false(str_list_has(STR(""), close));
    assert_false(str_list_has((struct str){NULL, 0}, close));
    assert_false(str_list_has(STR("closed"), close));
    assert_false(str_list_has(STR("not close"), close));
    assert_false(str_list_has(STR("clos,e"), close));
    assert_false(str_list_has(str_make("close", 4), close));
}

static void str_distance_counts_edits(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned edits;
    } cases[] = {
        {"", "", 0},
        {"a", "", 1},
        {"", "abc", 3},
        {"workers", "workers", 0},
        {"worker", "workers", 1},
        {"wokrers", "workers", 1},
        {"wirkers", "workers", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abcd", "badc", 2},
        {"bind", "backlog", 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(str_distance(cases[i].a, cases[i].b), cases[i].edits);
        assert_int_equal(str_distance(cases[i].b, cases[i].a), cases[i].edits);
    }
    char longest[65];
    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_true(str_distance(longest, "a") > 63);
    longest[63] = '\0';
    assert_int_equal(str_distance(longest, "a"), 62);
}

/* Encodes as RFC 3629 says, without its exceptions. Returns length */
static size_t encode(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(leads[n] | code);
    return n;
}

static void str_utf8_length_knows_every_code_point(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 0x120000; code++) {
        char text[4];
        size_t n = encode(code, text);
        bool is_valid = code < 0x110000 && (code < 0xd800 || code > 0xdfff);
        if (str_utf8_length(text, n) != (is_valid ? n : 0))
            fail_msg("U+%04X", code);
        if (n > 1 && str_utf8_length(text, n - 1) != 0)
            fail_msg("U+%04X cut", code);
    }
    static const char *const bad[] = {"\x80",          "\xbf",
                                      "\xc0\x80",      "\xc1\xbf",
                                      "\xe0\x9f\xbf",  "\xf0\x8f\xbf\xbf",
                                      "\xc3(",         "\xe2\x82(",
                                      "\xf0\x9f\x98(", "\xf8\x88\x80\x80",
                                      "\xff",          "\xfe"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(str_utf8_length(bad[i], strlen(bad[i])), 0);
}

/* Each octet at each place of texts around eight octets long, among neighbours that borrow bits. */
static void str_has_control_finds_every_control_at_every_place(void **state)
{
    (void)state;
    static const char neighbours[] = {'a', ' ', '~', '\x80', '\xff', '\xa0'};
    assert_false(str_has_control((struct str){NULL, 0}));
    for (size_t k = 0; k < sizeof neighbours; k++) {
        for (size_t len = 1; len <= 20; len++) {
            char text[20];
            memset(text, neighbours[k], sizeof text);
            assert_false(str_has_control(str_make(text, len)));
            for (size_t at = 0; at < sizeof text; at++) {
                for (unsigned octet = 0; octet < 256; octet++) {
                    text[at] = (char)octet;
                    bool want = at < len && (octet < 0x20 || octet == 0x7f);
                    if (str_has_control(str_make(text, len)) != want)
                        fail_msg("octet %#x at %zu of %zu", octet, at, len);
                }
                text[at] = neighbours[k];
            }
        }
    }
}

static void token_is_what_rfc_9110_says(void **state)
{
    (void)state;
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        bool is_letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool is_token = is_letter || (c != 0 && strchr(marks, c));
        assert_int_equal(str_token_length(str_make(text, 3)), is_token ? 3 : 1);
        assert_int_equal(str_is_token(str_make(text, 3)), is_token);
    }
    assert_false(str_is_token(STR("")));
    assert_int_equal(str_token_length((struct str){0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_is_what_rfc_9110_says),
        cmocka_unit_test(str_compares_octets_and_ascii_letters),
        cmocka_unit_test(str_prints_numbers_in_decimal),
        cmocka_unit_test(str_trim_strips_blanks_and_tabs_only),
        cmocka_unit_test(str_parse_u64_takes_digits_only_and_keeps_to_its_maximum),
        cmocka_unit_test(str_list_has_finds_whole_tokens_without_case),
        cmocka_unit_test(str_distance_counts_edits),
        cmocka_unit_test(str_has_control_finds_every_control_at_every_place),
        cmocka_unit_test(str_utf8_length_knows_every_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
