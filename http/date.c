/* Dates for HTTP, by arithmetic. strftime(3) would obey the locale, and an application may call
 * setlocale(3); gmtime_r(3) takes the time zone lock, which a thread of the application may hold.
 * The Date field itself is cached by the worker, once a second; this is for everything else too. */
#include "http/date.h"

#include <string.h>

#define SECONDS_PER_DAY 86400
#define DAYS_PER_ERA 146097               /* 400 years, after which the calendar repeats */
#define DAYS_BEFORE_1970 719468           /* from 1 March of the year 0 */
#define SECONDS_MAX INT64_C(253402300799) /* 9999-12-31 23:59:59, the last with four digits */

static const char day_names[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct day {
    unsigned year, month, day; /* 1970 …, 0 … 11, 1 … 31 */
};

/* Years are counted from 1 March, so that the leap day is the last of its year and the months
 * before it have lengths that a line fits: 153 days in five months. */
static struct day day_of(unsigned days_since_1970)
{
    unsigned days = days_since_1970 + DAYS_BEFORE_1970;
    unsigned era = days / DAYS_PER_ERA;
    unsigned of_era = days % DAYS_PER_ERA;
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (DAYS_PER_ERA - 1)) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned from_march = (5 * of_year + 2) / 153;
    unsigned month = (from_march + 2) % 12;
    return (struct day){
        .year = era * 400 + year + (month < 2 ? 1 : 0),
        .month = month,
        .day = of_year - (153 * from_march + 2) / 5 + 1,
    };
}

static void put_two(char *out, unsigned value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

void date_format_stamp(char out[DATE_STAMP_LEN + 1], int64_t wall_us)
{
    int64_t ms = wall_us / 1000;
    if (ms < 0)
        ms = 0;
    if (ms > SECONDS_MAX * 1000 + 999)
        ms = SECONDS_MAX * 1000 + 999;
    unsigned days = (unsigned)(ms / 1000 / SECONDS_PER_DAY);
    unsigned rest = (unsigned)(ms / 1000 % SECONDS_PER_DAY);
    struct day day = day_of(days);

    memcpy(out, "1970-01-01T00:00:00.000Z", DATE_STAMP_LEN + 1);
    put_two(out, day.year / 100);
    put_two(out + 2, day.year % 100);
    put_two(out + 5, day.month + 1);
    put_two(out + 8, day.day);
    put_two(out + 11, rest / 3600);
    put_two(out + 14, rest / 60 % 60);
    put_two(out + 17, rest % 60);
    out[20] = (char)('0' + ms % 1000 / 100);
    put_two(out + 21, (unsigned)(ms % 100));
}

void date_format(char out[DATE_LEN + 1], int64_t seconds)
{
    if (seconds < 0)
        seconds = 0;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    unsigned days = (unsigned)(seconds / SECONDS_PER_DAY);
    unsigned rest = (unsigned)(seconds % SECONDS_PER_DAY);
    struct day day = day_of(days);

    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", DATE_LEN + 1);
    memcpy(out, day_names + (size_t)(days % 7) * 3, 3);
    put_two(out + 5, day.day);
    memcpy(out + 8, month_names + (size_t)day.month * 3, 3);
    put_two(out + 12, day.year / 100);
    put_two(out + 14, day.year % 100);
    put_two(out + 17, rest / 3600);
    put_two(out + 20, rest / 60 % 60);
    put_two(out + 23, rest % 60);
}
