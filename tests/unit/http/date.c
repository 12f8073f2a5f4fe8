/* http/date.c: known dates, the edges of the calendar, and every day against gmtime_r(3); the three
 * forms read, and everything that is nearly one of them refused. */
#include "http/date.h"

#include <errno.h>
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

#define NOW INT64_C(1767225600) /* 2026-01-01 00:00:00 */

static void date_reads_known_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } dates[] = {
        /* RFC 9110 §5.6.7 */
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        /* RFC 9110 §8.8.2, §13.1.3, §13.1.4 */
        {"Tue, 15 Nov 1994 12:45:26 GMT", 784903526},
        {"Sat, 29 Oct 1994 19:43:31 GMT", 783459811},
        /* other ways to write the same */
        {"Sun Nov 06 08:49:37 1994", 784111777},
        {"Tue Nov 15 12:45:26 1994", 784903526},
        {"Tuesday, 15-Nov-94 12:45:26 GMT", 784903526},
        /* the edges of the calendar and of the day */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
        {"Sat, 01 Jan 0000 00:00:00 GMT", -62167219200},
        {"Tue, 29 Feb 0000 00:00:00 GMT", -62162121600},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
        {"Thu Feb 29 00:00:00 2024", 1709164800},
        {"Mon, 01 Mar 2100 00:00:00 GMT", 4107542400},
        /* leap seconds come at the end of a day */
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Saturday, 31-Dec-16 23:59:60 GMT", 1483228800},
        {"Sat Dec 31 23:59:60 2016", 1483228800},
        {"Fri, 31 Dec 9999 23:59:60 GMT", 253402300800},
        /* the day's name is not held against the date */
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777},
    };
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        int64_t seconds = 42;
        int rc = date_parse(str_of(dates[i].text), NOW, &seconds);
        if (rc != 0 || seconds != dates[i].seconds)
            fail_msg("%s: %d, %lld", dates[i].text, rc, (long long)seconds);
    }
}

static void date_refuses_what_is_nearly_one(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "0",
        "784111777",
        "now",
        /* letters in another case, other words, other zones */
        "sun, 06 Nov 1994 08:49:37 GMT",
        "SUN, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 NOV 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 Z",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nob 1994 08:49:37 GMT",
        "Sun, 06 11 1994 08:49:37 GMT",
        "unS, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 ovD 1994 08:49:37 GMT",
        /* blanks: each is one, where it belongs */
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun,  06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06\tNov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994  08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT;",
        "Sun, 06 Nov 1994 08:49:37 GMTx",
        "Sun, 06 Nov 1994 08:49:37 GM",
        /* numbers: digits, as many as there must be */
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 006 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, 0x Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 994 08:49:37 GMT",
        "Sun, 06 Nov 01994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:3 GMT",
        "Sun, 06 Nov 1994 08-49-37 GMT",
        "Sun, 06 Nov 1994 08:49:37.0 GMT",
        /* days, hours, minutes, seconds that there are not */
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 32 Dec 1994 08:49:37 GMT",
        "Sun, 99 Dec 9999 08:49:37 GMT",
        "Sun, 29 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 30 Feb 2000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 1994 23:58:60 GMT",
        "Sun, 06 Nov 1994 22:59:60 GMT",
        "Sun, 06 Nov 1994 23:59:61 GMT",
        /* RFC 850 */
        "Sun, 06-Nov-94 08:49:37 GMT",
        "sunday, 06-Nov-94 08:49:37 GMT",
        "Sunday 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 6-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sunday, 29-Feb-94 08:49:37 GMT",
        "Sundayx, 06-Nov-94 08:49:37 GMT",
        /* asctime(3) */
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov 6  08:49:37 1994",
        "Sun Nov    08:49:37 1994",
        "Sun, Nov  6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov  6 08:49:37 GMT 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994\n",
        "Sun Feb 29 08:49:37 1994",
        /* lists of dates, other notations */
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "\"Sun, 06 Nov 1994 08:49:37 GMT\"",
        "1994-11-06T08:49:37Z",
        "Sunday, 06-November-94 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t seconds = 42;
        int rc = date_parse(str_of(texts[i]), NOW, &seconds);
        if (rc != -EINVAL || seconds != 42)
            fail_msg("\"%s\": %d, %lld", texts[i], rc, (long long)seconds);
    }
    int64_t seconds = 42;
    assert_int_equal(date_parse((struct str){0}, NOW, &seconds), -EINVAL);
    assert_int_equal(date_parse(str_make("Sun, 06 Nov 1994\0"
                                         "08:49:37 GMT",
                                         29),
                                NOW, &seconds),
                     -EINVAL);
}

/* Every start of a date is none, and the octet behind the text is not looked at. */
static void date_refuses_every_start_of_a_date(void **state)
{
    (void)state;
    static const char *const dates[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        for (size_t len = 0; len < strlen(dates[i]); len++) {
            int64_t seconds;
            assert_int_equal(date_parse(str_make(dates[i], len), NOW, &seconds), -EINVAL);
        }
    }
}

static void date_reads_short_years_as_at_most_fifty_years_ahead(void **state)
{
    (void)state;
    static const struct {
        const char *now;
        const char *text;
        const char *means;
    } rows[] = {
        {"Thu, 01 Jan 2026 00:00:00 GMT", "Monday, 01-Jan-26 00:00:00 GMT",
         "Thu, 01 Jan 2026 00:00:00 GMT"},
        {"Thu, 01 Jan 2026 00:00:00 GMT", "Monday, 31-Dec-75 23:59:59 GMT",
         "Tue, 31 Dec 2075 23:59:59 GMT"},
        {"Thu, 01 Jan 2026 00:00:00 GMT", "Monday, 01-Jan-76 00:00:00 GMT",
         "Wed, 01 Jan 2076 00:00:00 GMT"}, /* fifty years, not more */
        {"Thu, 01 Jan 2026 00:00:00 GMT", "Monday, 01-Jan-76 00:00:01 GMT",
         "Thu, 01 Jan 1976 00:00:01 GMT"},
        {"Thu, 01 Jan 2026 00:00:00 GMT", "Monday, 01-Jan-99 00:00:00 GMT",
         "Fri, 01 Jan 1999 00:00:00 GMT"},
        {"Thu, 01 Jan 2026 00:00:00 GMT", "Monday, 01-Jan-00 00:00:00 GMT",
         "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"Fri, 31 Dec 1999 23:59:59 GMT", "Monday, 01-Jan-00 00:00:00 GMT",
         "Sat, 01 Jan 2000 00:00:00 GMT"}, /* the century turns */
        {"Fri, 31 Dec 1999 23:59:59 GMT", "Monday, 31-Dec-49 23:59:59 GMT",
         "Fri, 31 Dec 2049 23:59:59 GMT"},
        {"Fri, 31 Dec 1999 23:59:59 GMT", "Monday, 31-Dec-50 23:59:59 GMT",
         "Sun, 31 Dec 1950 23:59:59 GMT"},
        {"Fri, 31 Dec 1999 23:59:59 GMT", "Monday, 29-Feb-00 00:00:00 GMT",
         "Tue, 29 Feb 2000 00:00:00 GMT"},
        {"Thu, 01 Jan 1970 00:00:00 GMT", "Monday, 01-Jan-70 00:00:00 GMT",
         "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Thu, 01 Jan 1970 00:00:00 GMT", "Monday, 06-Nov-19 08:49:37 GMT",
         "Wed, 06 Nov 2019 08:49:37 GMT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t now;
        int64_t seconds = 0;
        int64_t means;
        assert_int_equal(date_parse(str_of(rows[i].now), 0, &now), 0);
        assert_int_equal(date_parse(str_of(rows[i].means), 0, &means), 0);
        if (date_parse(str_of(rows[i].text), now, &seconds) != 0 || seconds != means)
            fail_msg("%s at %s: %lld", rows[i].text, rows[i].now, (long long)seconds);
    }
    /* 2100 is no leap year, and "00" means 2100 then. */
    int64_t seconds;
    int64_t in_2099 = 4102444799;
    assert_int_equal(date_parse(STR("Monday, 29-Feb-00 00:00:00 GMT"), in_2099, &seconds), -EINVAL);
    /* Whatever the clock says, it is a moment that has these digits. */
    static const int64_t clocks[] = {INT64_MIN, -1, 0, 253402300799, INT64_MAX};
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++)
        assert_int_equal(date_parse(STR("Sunday, 06-Nov-94 08:49:37 GMT"), clocks[i], &seconds), 0);
    int64_t in_9994;
    assert_int_equal(date_parse(STR("Sun, 06 Nov 9994 08:49:37 GMT"), 0, &in_9994), 0);
    assert_int_equal(seconds, in_9994);
}

/* What strftime(3) writes in each of the three forms, of each day of more than one cycle. */
static void date_reads_every_day_in_every_form(void **state)
{
    (void)state;
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    for (int64_t day = -50000; day < 150000; day++) {
        time_t seconds = (time_t)(day * 86400 + (day + 50000) * 7919 % 86400);
        struct tm t;
        char text[64];
        assert_non_null(gmtime_r(&seconds, &t));
        for (size_t i = 0; i < 3; i++) {
            assert_true(strftime(text, sizeof text, forms[i], &t) > 0);
            int64_t now = seconds < 0 ? 0 : seconds;
            int64_t seen = 0;
            if (i == 1 && seconds < 0)
                continue;
            if (date_parse(str_of(text), now, &seen) != 0 || seen != seconds)
                fail_msg("%s: %lld", text, (long long)seen);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(date_formats_known_dates),
        cmocka_unit_test(date_clamps_what_four_digits_cannot_say),
        cmocka_unit_test(date_agrees_with_gmtime_for_every_day),
        cmocka_unit_test(date_reads_known_dates),
        cmocka_unit_test(date_refuses_what_is_nearly_one),
        cmocka_unit_test(date_refuses_every_start_of_a_date),
        cmocka_unit_test(date_reads_short_years_as_at_most_fifty_years_ahead),
        cmocka_unit_test(date_reads_every_day_in_every_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
