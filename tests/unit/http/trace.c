/* http/trace.c: the examples of W3C Trace Context, level 1, and what is near them. */
#include "http/trace.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/http/fields.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define ZEROS "00000000000000000000000000000000"

static void trace_takes_valid_parents_only(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool is_valid;
    } cases[] = {
        {"00-" ID "-" PARENT "-01", true}, /* §3.2.3 */
        {"00-" ID "-" PARENT "-00", true},
        {"00-" ID "-" PARENT "-ff", true},
        {"00-12345678901234567890123456789012-1234567890123456-01", true},
        {"00-" ID "-" PARENT "-01-", false}, /* version 00 ends there */
        {"00-" ID "-" PARENT "-01-what", false},
        {"00-" ID "-" PARENT "-012", false},
        {"00-" ID "-" PARENT "-1", false},
        {"00-" ID "-" PARENT "-", false},
        {"00-" ID "-" PARENT, false},
        {"00-" ID "-" PARENT "-0g", false},
        {"00-" ID "-" PARENT "-0F", false},
        {"00-" ID "-" PARENT ".01", false},
        {"00-" ID "." PARENT "-01", false},
        {"00." ID "-" PARENT "-01", false},
        {"00-" ZEROS "-" PARENT "-01", false},
        {"00-" ID "-0000000000000000-01", false},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false},
        {"00-" ID "-00F067AA0BA902B7-01", false},
        {"00-.bf92f3577b34da6a3ce929d0e0e4736-" PARENT "-01", false},
        {"00-" ID "-.0f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", false},
        {"00-" ID "-0f067aa0ba902b7-01", false},
        {" 00-" ID "-" PARENT "-01", false},
        {"00-" ID "-" PARENT "-01 ", false},
        {"", false},
        {"00", false},
        {"cc-" ID "-" PARENT "-01", true}, /* §3.2.4: later versions */
        {"01-" ID "-" PARENT "-01-", true},
        {"01-" ID "-" PARENT "-01-what-the-future-will-be-like", true},
        {"fe-" ID "-" PARENT "-01.what", false},
        {"01-" ID "-" PARENT "-011", false},
        {"01-" ID "-" PARENT "-0", false},
        {"01-" ZEROS "-" PARENT "-01", false},
        {"ff-" ID "-" PARENT "-01", false},
        {"ff-" ID "-" PARENT "-01-what", false},
        {"0x-" ID "-" PARENT "-01", false},
        {"0A-" ID "-" PARENT "-01", false},
        {".0-" ID "-" PARENT "-01", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (trace_is_parent(str_of(cases[i].value)) != cases[i].is_valid)
            fail_msg("%s", cases[i].value);
        struct fields f = {0};
        fields_add(&f, "Traceparent", cases[i].value);
        struct str id = trace_find(&f.head, f.octets);
        struct str parent = trace_find_parent(&f.head, f.octets);
        assert_int_equal(id.len, cases[i].is_valid ? TRACE_ID_LEN : 0);
        assert_true(str_is_equal(parent, cases[i].is_valid ? str_of(cases[i].value) : STR("")));
        if (cases[i].is_valid)
            assert_memory_equal(id.p, cases[i].value + 3, TRACE_ID_LEN);
    }
}

static void expect_found(const char *names_and_values[][2], size_t n, const char *expected)
{
    struct fields f = {0};
    for (size_t i = 0; i < n; i++)
        fields_add(&f, names_and_values[i][0], names_and_values[i][1]);
    struct str id = trace_find(&f.head, f.octets);
    if (!str_is_equal(id, str_of(expected)))
        fail_msg("\"%.*s\", not \"%s\"", STR_ARG(id), expected);
}

#define EXPECT_FOUND(expected, ...)                                                                \
    do {                                                                                           \
        const char *given[][2] = {__VA_ARGS__};                                                    \
        expect_found(given, sizeof given / sizeof given[0], expected);                             \
    } while (0)

static void trace_prefers_the_parent_to_the_request_id(void **state)
{
    (void)state;
    EXPECT_FOUND("", {"Host", "a"});
    EXPECT_FOUND("abc", {"Host", "a"}, {"X-Request-ID", "abc"});
    EXPECT_FOUND(ID, {"x-request-id", "abc"}, {"TRACEPARENT", "00-" ID "-" PARENT "-01"});
    EXPECT_FOUND("abc", {"x-request-id", "abc"}, {"traceparent", "00-" ZEROS "-" PARENT "-01"});
    EXPECT_FOUND("", {"x-request-i", "abc"}, {"traceparents", "00-" ID "-" PARENT "-01"});
}

static void trace_takes_no_field_that_came_twice(void **state)
{
    (void)state;
    EXPECT_FOUND("", {"x-request-id", "abc"}, {"X-Request-Id", "abc"});
    EXPECT_FOUND("", {"x-request-id", "abc"}, {"X-Request-Id", ""});
    EXPECT_FOUND("", {"x-request-id", ""}, {"X-Request-Id", "abc"});
    EXPECT_FOUND("", {"traceparent", "00-" ID "-" PARENT "-01"},
                 {"traceparent", "00-" ID "-" PARENT "-01"});
    EXPECT_FOUND("abc", {"traceparent", "00-" ID "-" PARENT "-01"},
                 {"traceparent", "00-" ID "-" PARENT "-01"}, {"x-request-id", "abc"});
}

static void trace_takes_request_ids_of_plain_characters(void **state)
{
    (void)state;
    char longest[TRACE_GIVEN_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[TRACE_GIVEN_MAX] = '\0';
    EXPECT_FOUND(longest, {"x-request-id", longest});
    longest[TRACE_GIVEN_MAX] = 'x';
    longest[TRACE_GIVEN_MAX + 1] = '\0';
    EXPECT_FOUND("", {"x-request-id", longest});
    EXPECT_FOUND("AZaz09._-=", {"x-request-id", "AZaz09._-="});
    for (int c = 1; c < 256; c++) {
        char one[2] = {(char)c, '\0'};
        bool is_plain = (c < 128 && isalnum(c)) || strchr("._-=", c);
        EXPECT_FOUND(is_plain ? one : "", {"x-request-id", one});
    }
    EXPECT_FOUND("", {"x-request-id", ""});
}

static void trace_formats_words_and_never_all_zeros(void **state)
{
    (void)state;
    char out[TRACE_ID_LEN + 1];
    trace_format((const uint64_t[]){0x0123456789abcdefU, 0xfedcba9876543210U}, out);
    assert_string_equal(out, "0123456789abcdeffedcba9876543210");
    trace_format((const uint64_t[]){1, 0}, out);
    assert_string_equal(out, "00000000000000010000000000000000");
    trace_format((const uint64_t[]){0, 7}, out);
    assert_string_equal(out, "00000000000000000000000000000007");
    trace_format((const uint64_t[]){0, 0}, out);
    assert_string_equal(out, "00000000000000000000000000000001");
    trace_format((const uint64_t[]){UINT64_MAX, UINT64_MAX}, out);
    assert_string_equal(out, "ffffffffffffffffffffffffffffffff");
}

/* Between octets that a count which runs over would change. */
static void expect_next(uint64_t n)
{
    char text[TRACE_WORD_LEN + 2], next[TRACE_WORD_LEN + 2];
    text[0] = next[0] = '9';
    text[TRACE_WORD_LEN + 1] = next[TRACE_WORD_LEN + 1] = 'f';
    trace_put_word(text + 1, n);
    trace_put_word(next + 1, n + 1);
    trace_count_up(text + 1);
    if (memcmp(text, next, sizeof next) != 0)
        fail_msg("behind %" PRIx64 ": %.*s", n, TRACE_WORD_LEN, text + 1);
}

static void trace_counts_as_numbers_do(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 0x11111; n++) /* each digit, and carries over up to four */
        expect_next(n);
    for (unsigned digits = 1; digits < TRACE_WORD_LEN; digits++) {
        uint64_t all = (UINT64_C(1) << 4 * digits) - 1; /* so many f */
        expect_next(all);
        for (uint64_t high = 1; high < 0xf; high++)
            expect_next(high << 4 * digits | all);
    }
    expect_next(0x123456789abcdefU);
    expect_next(UINT64_MAX - 2);
    expect_next(UINT64_MAX - 1); /* the last one that has a next */
}

static void expect_parent(const char *received, uint64_t parent_id, const char *expected)
{
    char out[TRACE_PARENT_LEN + 1];
    memset(out, 'x', sizeof out);
    trace_make_parent(str_of(received), (const uint64_t[]){0xa, 0xb}, parent_id, out);
    assert_string_equal(out, expected);
    assert_true(trace_is_parent(str_of(out)));
}

static void trace_makes_parents_of_the_same_trace(void **state)
{
    (void)state;
    expect_parent("00-" ID "-" PARENT "-01", 0x123, "00-" ID "-0000000000000123-01");
    expect_parent("00-" ID "-" PARENT "-00", UINT64_MAX, "00-" ID "-ffffffffffffffff-00");
    expect_parent("00-" ID "-" PARENT "-01", 0, "00-" ID "-0000000000000001-01");
    /* flags that version 00 does not know are to be 0 */
    expect_parent("00-" ID "-" PARENT "-ff", 1, "00-" ID "-0000000000000001-01");
    expect_parent("00-" ID "-" PARENT "-0a", 1, "00-" ID "-0000000000000001-00");
    expect_parent("00-" ID "-" PARENT "-10", 1, "00-" ID "-0000000000000001-00");
    expect_parent("cc-" ID "-" PARENT "-03-what", 1, "00-" ID "-0000000000000001-01");
    expect_parent(NULL, 1, "00-000000000000000a000000000000000b-0000000000000001-00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace_takes_valid_parents_only),
        cmocka_unit_test(trace_prefers_the_parent_to_the_request_id),
        cmocka_unit_test(trace_takes_no_field_that_came_twice),
        cmocka_unit_test(trace_takes_request_ids_of_plain_characters),
        cmocka_unit_test(trace_formats_words_and_never_all_zeros),
        cmocka_unit_test(trace_counts_as_numbers_do),
        cmocka_unit_test(trace_makes_parents_of_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
