/* http/date.c: known dates, the edges of the calendar, and every day against gmtime_r(3). */
#include "http/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void date_formats_known_dates(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } dates[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110 §5.6.7 */
        {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
        {2147483648, "Tue, 19 Jan 2038 03:14:08 GMT"},
        {4107456000, "Sun, 28 Feb 2100 00:00:00 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"}, /* no leap year */
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        char out[DATE_LEN + 1];
        date_format(out, dates[i].seconds);
        assert_string_equal(out, dates[i].text);
    }
}

static void date_formats_stamps_for_logs(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_us;
        const char *text;
    } stamps[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999, "1970-01-01T00:00:00.000Z"},
        {1000, "1970-01-01T00:00:00.001Z"},
        {INT64_C(951782399999999), "2000-02-28T23:59:59.999Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00.000Z"},
        {INT64_C(1795262400123456), "2026-11-21T12:00:00.123Z"},
        {INT64_C(253402300799999999), "9999-12-31T23:59:59.999Z"},
        {INT64_C(253402300800000000), "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-1, "1970-01-01T00:00:00.000Z"},
        {INT64_MIN, "1970-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++) {
        char out[DATE_STAMP_LEN + 1];
        date_format_stamp(out, stamps[i].wall_us);
        assert_string_equal(out, stamps[i].text);
    }
}

static void date_clamps_what_four_digits_cannot_say(void **state)
{
    (void)state;
    char out[DATE_LEN + 1];
    date_format(out, -1);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_format(out, INT64_MIN);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_format(out, 253402300800);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
    date_format(out, INT64_MAX);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* One moment of each day of more than one whole cycle of the calendar, another one each time. */
static void date_agrees_with_gmtime_for_every_day(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 200000; day++) {
        time_t seconds = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm t;
        char expected[64];
        assert_non_null(gmtime_r(&seconds, &t));
        assert_int_equal(strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &t),
                         DATE_LEN);
        char out[DATE_LEN + 1];
        date_format(out, seconds);
        assert_string_equal(out, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(date_formats_known_dates),
        cmocka_unit_test(date_formats_stamps_for_logs),
        cmocka_unit_test(date_clamps_what_four_digits_cannot_say),
        cmocka_unit_test(date_agrees_with_gmtime_for_every_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
