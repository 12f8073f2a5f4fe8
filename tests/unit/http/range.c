/* http/range.c, the field: against lengths, by the examples of RFC 9110 and by hand, then random
 * fields against a model that marks octets. The answers are in range_answer.c. */
#include "http/range.h"

#include <stdio.h>

#include "tests/harness/check.h"

/* ---- the field ---- */

/* "RANGE_OK" as text: "0-499 9500-9999"; "none", "416". */
static const char *parse(const char *value, uint64_t len)
{
    static char text[8192];
    static struct range_set set;
    memset(&set, 0xa5, sizeof set);
    switch (range_parse(str_of(value), len, &set)) {
    case RANGE_OK:
        break;
    case RANGE_NONE:
        CHECK_EQ(set.n, 0xa5a5a5a5);
        return "none";
    case RANGE_UNSATISFIABLE:
        CHECK_EQ(set.n, 0xa5a5a5a5);
        return "416";
    }
    size_t n = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < set.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llu-%llu", i ? " " : "",
                              (unsigned long long)set.ranges[i].first,
                              (unsigned long long)(set.ranges[i].first + set.ranges[i].len - 1));
    return text;
}

struct row {
    const char *value;
    uint64_t len;
    const char *expected;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_context("\"%s\" of %llu", rows[i].value ? rows[i].value : "(absent)",
                      (unsigned long long)rows[i].len);
        CHECK_TEXT(parse(rows[i].value, rows[i].len), rows[i].expected);
    }
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(rows)[0])

static void range_reads_the_examples_of_the_rfc(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* RFC 9110 §14.1.2 */
        {"bytes=0-499", 10000, "0-499"},
        {"bytes=500-999", 10000, "500-999"},
        {"bytes=-500", 10000, "9500-9999"},
        {"bytes=9500-", 10000, "9500-9999"},
        {"bytes=0-0,-1", 10000, "0-0 9999-9999"},
        {"bytes= 0-999, 4500-5499, -1000", 10000, "0-999 4500-5499 9000-9999"},
        {"bytes=500-600,601-999", 10000, "500-999"},
        {"bytes=500-700,601-999", 10000, "500-999"},
        /* §14.2, §14.4, §15.3.7 */
        {"bytes=21010-47021", 47022, "21010-47021"},
        {"bytes=0-499", 1234, "0-499"},
        {"bytes=500-999", 1234, "500-999"},
        {"bytes=500-1233", 1234, "500-1233"},
        {"bytes=-500", 1234, "734-1233"},
        {"bytes=7000-7999, 500-999", 8000, "7000-7999 500-999"},
        /* §15.5.17 */
        {"bytes=50000-", 47022, "416"},
    };
    CHECK_ROWS(rows);
}

static void range_cuts_at_the_end_and_leaves_out_what_is_not_there(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-", 10, "0-9"},
        {"bytes=9-", 10, "9-9"},
        {"bytes=10-", 10, "416"},
        {"bytes=0-9", 10, "0-9"},
        {"bytes=0-10", 10, "0-9"},
        {"bytes=9-9", 10, "9-9"},
        {"bytes=10-10", 10, "416"},
        {"bytes=-1", 10, "9-9"},
        {"bytes=-10", 10, "0-9"},
        {"bytes=-11", 10, "0-9"},
        {"bytes=-0", 10, "416"},
        {"bytes=-00", 10, "416"},
        {"bytes=-0,-0", 10, "416"},
        {"bytes=10-,11-20,-0", 10, "416"},
        {"bytes=10-,-0,3-4,99-", 10, "3-4"},
        {"bytes=0-0", 1, "0-0"},
        {"bytes=1-1", 1, "416"},
        {"bytes=-1", 1, "0-0"},
        {"bytes=000000000000000000000000000000000003-004", 10, "3-4"},
    };
    CHECK_ROWS(rows);
}

static void range_of_nothing_is_ignored(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-", 0, "none"},     {"bytes=0-0", 0, "none"}, {"bytes=-1", 0, "none"},
        {"bytes=-0", 0, "none"},     {"bytes=5-", 0, "none"},  {"bytes=x", 0, "none"},
        {"bytes=0-0,-1", 0, "none"},
    };
    CHECK_ROWS(rows);
}

static void range_that_is_malformed_or_of_another_unit_is_ignored(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NULL, 10, "none"},
        {"", 10, "none"},
        {"bytes", 10, "none"},
        {"bytes=", 10, "none"},
        {"bytes=,", 10, "none"},
        {"bytes= , ,, ", 10, "none"},
        {"bytes=-", 10, "none"},
        {"bytes=--1", 10, "none"},
        {"bytes=1", 10, "none"},
        {"bytes=1--2", 10, "none"},
        {"bytes=1-2-3", 10, "none"},
        {"bytes=1-2-", 10, "none"},
        {"bytes=a-b", 10, "none"},
        {"bytes=0x1-2", 10, "none"},
        {"bytes=+1-2", 10, "none"},
        {"bytes=1-+2", 10, "none"},
        {"bytes=1 -2", 10, "none"},
        {"bytes=1- 2", 10, "none"},
        {"bytes=- 2", 10, "none"},
        {"bytes=1-2 3-4", 10, "none"},
        {"bytes=1-2;3-4", 10, "none"},
        {"bytes=1.0-2", 10, "none"},
        {"bytes=*", 10, "none"},
        {"bytes=*/10", 10, "none"},
        {"bytes=1-2/10", 10, "none"},
        {"bytes 1-2", 10, "none"},
        {"bytes 1-2/10", 10, "none"},
        {"bytes =1-2", 10, "none"},
        {"bytes:1-2", 10, "none"},
        {"bytes==1-2", 10, "none"},
        {"byte=1-2", 10, "none"},
        {"bytess=1-2", 10, "none"},
        {"xbytes=1-2", 10, "none"},
        {" bytes=1-2", 10, "none"},
        {"lines=1-2", 10, "none"},
        {"exampleunit=1.2-4.3,25", 10, "none"}, /* RFC 7233, other-ranges-specifier */
        {"=1-2", 10, "none"},
        {"1-2", 10, "none"},
        {"bytes=2-1", 10, "none"},
        {"bytes=20-11", 10, "none"}, /* invalid, though both are beyond the end */
        {"bytes=9-0", 10, "none"},
        /* one mistake is one too many (§14.2) */
        {"bytes=0-1,x", 10, "none"},
        {"bytes=x,0-1", 10, "none"},
        {"bytes=0-1,2-1", 10, "none"},
        {"bytes=0-1,-", 10, "none"},
        {"bytes=0-1,,5", 10, "none"},
        {"bytes=99-,x", 10, "none"},
        /* two lines of it */
        {"bytes=0-1, bytes=3-4", 10, "none"},
    };
    CHECK_ROWS(rows);
    struct range_set set;
    CHECK_EQ(range_parse(str_make("bytes=0-\0001", 10), 10, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_make("bytes=0-1\r", 10), 10, &set), RANGE_NONE);
}

static void range_reads_lists_as_lists_are_written(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"BYTES=0-1", 10, "0-1"}, /* §14.1: unit names are case-insensitive */
        {"Bytes=0-1", 10, "0-1"},
        {"bytes=0-1,4-5", 10, "0-1 4-5"},
        {"bytes=0-1 , 4-5", 10, "0-1 4-5"},
        {"bytes=0-1\t,\t4-5", 10, "0-1 4-5"},
        {"bytes=,0-1", 10, "0-1"},
        {"bytes=0-1,", 10, "0-1"},
        {"bytes=, ,0-1,,\t,4-5, ,", 10, "0-1 4-5"},
        {"bytes=\t0-1", 10, "0-1"},
    };
    CHECK_ROWS(rows);
}

static void range_joins_what_overlaps_or_touches_in_the_place_of_the_first(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-1,3-4", 10, "0-1 3-4"}, /* a gap of one octet stays */
        {"bytes=3-4,0-1", 10, "3-4 0-1"},
        {"bytes=0-1,2-3", 10, "0-3"},
        {"bytes=2-3,0-1", 10, "0-3"},
        {"bytes=0-0,0-0,0-0", 10, "0-0"},
        {"bytes=0-,0-,0-", 10, "0-9"},
        {"bytes=0-9,2-3", 10, "0-9"},
        {"bytes=2-3,0-9", 10, "0-9"},
        {"bytes=0-5,5-9", 10, "0-9"},
        {"bytes=-5,0-5", 10, "0-9"},
        {"bytes=6-6,0-0,3-3,4-5,9-9", 10, "3-6 0-0 9-9"},
        {"bytes=0-1,8-9,4-5,1-4", 10, "0-5 8-9"},
        {"bytes=8-9,0-1,4-5,2-3", 10, "8-9 0-5"},
        {"bytes=8-9,0-1,4-5,1-8", 10, "0-9"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,-9", 10, "0-9"},
    };
    CHECK_ROWS(rows);
}

static void range_numbers_do_not_wrap(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-18446744073709551615", 10, "0-9"},
        {"bytes=0-18446744073709551616", 10, "0-9"},
        {"bytes=0-99999999999999999999999999999999", 10, "0-9"},
        {"bytes=18446744073709551615-", 10, "416"},
        {"bytes=18446744073709551616-", 10, "416"},
        {"bytes=18446744073709551617-18446744073709551618", 10, "416"},
        {"bytes=99999999999999999999-99999999999999999999", 10, "416"},
        {"bytes=18446744073709551616-0", 10, "none"},
        {"bytes=-18446744073709551615", 10, "0-9"},
        {"bytes=-18446744073709551616", 10, "0-9"},
        {"bytes=-99999999999999999999999999999999", 10, "0-9"},
        {"bytes=18446744073709551616-x", 10, "none"},
        {"bytes=1844674407370955161x-", 10, "none"},
        {"bytes=0-", INT64_MAX, "0-9223372036854775806"},
        {"bytes=-1", INT64_MAX, "9223372036854775806-9223372036854775806"},
        {"bytes=0-", UINT64_MAX, "0-18446744073709551614"},
        {"bytes=-1,0-0", UINT64_MAX, "18446744073709551614-18446744073709551614 0-0"},
        {"bytes=18446744073709551615-", UINT64_MAX, "416"},
        {"bytes=18446744073709551614-", UINT64_MAX, "18446744073709551614-18446744073709551614"},
    };
    CHECK_ROWS(rows);
}

/* "bytes=" and n times the same text, each with a number two higher. */
static char *make_many(unsigned n, const char *format)
{
    static char text[1 << 20];
    size_t len = (size_t)snprintf(text, sizeof text, "bytes=");
    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, format, 2 * i, 2 * i);
    return text;
}

static void range_refuses_more_ranges_than_the_limit(void **state)
{
    (void)state;
    struct range_set set;
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "%u-%u,")), 1000, &set), RANGE_OK);
    CHECK_EQ(set.n, RANGE_MAX);
    CHECK_EQ(set.ranges[RANGE_MAX - 1].first, 2 * RANGE_MAX - 2);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX + 1, "%u-%u,")), 1000, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_of(make_many(20000, "%u-%u,")), 100000, &set), RANGE_NONE);
    /* also when they would become one, or exist nowhere */
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "%.0u0-,")), 1000, &set), RANGE_OK);
    CHECK_EQ(set.n, 1);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX + 1, "%.0u0-,")), 1000, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "9%u-,")), 1, &set), RANGE_UNSATISFIABLE);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX + 1, "9%u-,")), 1, &set), RANGE_NONE);
    /* the attack of CVE-2011-3192, and empty elements, which are none */
    CHECK_EQ(range_parse(str_of(make_many(1300, "5-%u,")), 1000, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_of(make_many(20000, ", ,")), 1000, &set), RANGE_NONE);
    char *text = make_many(20000, ", ,");
    memcpy(text + strlen(text) - 4, "1-2,", 4);
    CHECK_TEXT(parse(text, 10), "1-2");
}

/* ---- random fields against a model ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

/* Each octet is marked with the first range that asked for it or for an octet connected to it. */
static void range_agrees_with_marked_octets(void **state)
{
    (void)state;
    enum { LEN = 40 };
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char text[1024];
        size_t n = (size_t)snprintf(text, sizeof text, "bytes=");
        bool is_marked[LEN] = {false};
        int first_asked[LEN];
        unsigned n_ranges = 1 + next_random(&seed) % 12;
        for (size_t i = 0; i < LEN; i++)
            first_asked[i] = 999;
        for (unsigned i = 0; i < n_ranges; i++) {
            unsigned first = next_random(&seed) % (LEN + 5);
            unsigned last = first + next_random(&seed) % 6;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%u-%u", i ? "," : "", first, last);
            for (unsigned k = first; k <= last && k < LEN; k++) {
                is_marked[k] = true;
                first_asked[k] = first_asked[k] < (int)i ? first_asked[k] : (int)i;
            }
        }
        struct range_set set = {0};
        enum range_outcome outcome = range_parse(str_of(text), LEN, &set);
        check_context("%s", text);
        int before = -1;
        for (uint32_t i = 0; i < set.n; i++) {
            size_t first = (size_t)set.ranges[i].first;
            size_t end = first + (size_t)set.ranges[i].len;
            int asked = 999;
            CHECK(end > first && end <= LEN);
            CHECK(first == 0 || !is_marked[first - 1]);
            CHECK(end == LEN || !is_marked[end]);
            for (size_t k = first; k < end; k++) {
                CHECK(is_marked[k]);
                asked = first_asked[k] < asked ? first_asked[k] : asked;
                first_asked[k] = 999;
            }
            CHECK(asked > before && asked != 999); /* in order, and no octet twice */
            before = asked;
        }
        for (size_t k = 0; k < LEN; k++)
            CHECK(first_asked[k] == 999); /* none is missing */
        CHECK_EQ(outcome, set.n > 0 ? RANGE_OK : RANGE_UNSATISFIABLE);
    }
}

/* ---- rendering ---- */

static void range_renders_content_range(void **state)
{
    (void)state;
    char text[RANGE_TEXT_MAX];
    struct range range = {.first = 0, .len = 500};
    CHECK_EQ(range_render(text, &range, 1234), strlen("bytes 0-499/1234"));
    CHECK_TEXT(text, "bytes 0-499/1234");
    range = (struct range){.first = 42, .len = 1192};
    (void)range_render(text, &range, 1234);
    CHECK_TEXT(text, "bytes 42-1233/1234"); /* RFC 9110 §14.4 */
    range = (struct range){.first = UINT64_MAX - 1, .len = 1};
    size_t len = range_render(text, &range, UINT64_MAX);
    CHECK_EQ(len, strlen(text));
    CHECK_TEXT(text, "bytes 18446744073709551614-18446744073709551614/18446744073709551615");
    CHECK_EQ(range_render_unsatisfied(text, 47022), strlen("bytes */47022"));
    CHECK_TEXT(text, "bytes */47022"); /* §15.5.17 */
    len = range_render_unsatisfied(text, UINT64_MAX);
    CHECK_EQ(len, strlen(text));
    CHECK_TEXT(text, "bytes */18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_reads_the_examples_of_the_rfc),
        cmocka_unit_test(range_cuts_at_the_end_and_leaves_out_what_is_not_there),
        cmocka_unit_test(range_of_nothing_is_ignored),
        cmocka_unit_test(range_that_is_malformed_or_of_another_unit_is_ignored),
        cmocka_unit_test(range_reads_lists_as_lists_are_written),
        cmocka_unit_test(range_joins_what_overlaps_or_touches_in_the_place_of_the_first),
        cmocka_unit_test(range_numbers_do_not_wrap),
        cmocka_unit_test(range_refuses_more_ranges_than_the_limit),
        cmocka_unit_test(range_agrees_with_marked_octets),
        cmocka_unit_test(range_renders_content_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
