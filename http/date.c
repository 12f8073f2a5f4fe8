/* Dates for HTTP, by arithmetic. strftime(3) and strptime(3) would obey the locale, and an
 * application may call setlocale(3); gmtime_r(3) takes the time zone lock, which a thread of the
 * application may hold. The Date field itself is cached by the worker, once a second; this is for
 * everything else too.
 *
 * Dates are read by their form's pattern, octet by octet. The day's name is not held against the
 * date: RFC 9110 §5.6.7 asks recipients to be robust, and nothing else depends on the name. */
#include "http/date.h"

#include <errno.h>
#include <stdbool.h>
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

static int64_t clamp(int64_t seconds)
{
    if (seconds < 0)
        return 0;
    return seconds > SECONDS_MAX ? SECONDS_MAX : seconds;
}

void date_format(char out[DATE_LEN + 1], int64_t seconds)
{
    seconds = clamp(seconds);
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

/* What a pattern collects. */
struct reading {
    unsigned year, month, day; /* as in struct day */
    unsigned hour, minute, second;
    bool has_short_year;
};

/* Days from 1970 to a day, negative before; a day beyond its month counts on. Years are shifted by
 * one era, so that those from 1 March of the year -1 are positive. */
static int64_t days_to(int64_t year, unsigned month, unsigned day)
{
    int64_t shifted = year + 400 - (month < 2 ? 1 : 0);
    int64_t of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;
    return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - DAYS_PER_ERA -
           DAYS_BEFORE_1970;
}

static int64_t seconds_to(int64_t year, const struct reading *r)
{
    int64_t of_day = (int64_t)r->hour * 3600 + r->minute * 60 + r->second;
    return days_to(year, r->month, r->day) * SECONDS_PER_DAY + of_day;
}

static unsigned days_in(int64_t year, unsigned month)
{
    return (unsigned)(days_to(year + (month == 11 ? 1 : 0), (month + 1) % 12, 1) -
                      days_to(year, month, 1));
}

/* Takes n digits, false when there is something else; with is_padded a blank may be the first. */
static bool take_number(struct str *rest, size_t n, bool is_padded, unsigned *out)
{
    unsigned value = 0;
    if (rest->len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = rest->p[i];
        if (is_padded && i == 0 && c == ' ')
            continue;
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (unsigned)(c - '0');
    }
    *out = value;
    *rest = str_make(rest->p + n, rest->len - n);
    return true;
}

/* Takes one of the names of three letters that are strung together in names. */
static bool take_name(struct str *rest, const char *names, unsigned *out_index)
{
    for (unsigned i = 0; rest->len >= 3 && names[3 * i]; i++) {
        if (memcmp(rest->p, names + (size_t)3 * i, 3) != 0)
            continue;
        *out_index = i;
        *rest = str_make(rest->p + 3, rest->len - 3);
        return true;
    }
    return false;
}

static bool take_long_name(struct str *rest)
{
    static const char *const names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct str name = str_of(names[i]);
        if (!str_has_prefix(*rest, name))
            continue;
        *rest = str_make(rest->p + name.len, rest->len - name.len);
        return true;
    }
    return false;
}

/* One step of a pattern; letters below mean a part, any other octet stands for itself. */
static bool take_part(char part, struct str *rest, struct reading *r)
{
    unsigned ignored;
    switch (part) {
    case 'w':
        return take_name(rest, day_names, &ignored);
    case 'W':
        return take_long_name(rest);
    case 'b':
        return take_name(rest, month_names, &r->month);
    case 'd':
        return take_number(rest, 2, false, &r->day);
    case 'e':
        return take_number(rest, 2, true, &r->day);
    case 'h':
        return take_number(rest, 2, false, &r->hour);
    case 'm':
        return take_number(rest, 2, false, &r->minute);
    case 's':
        return take_number(rest, 2, false, &r->second);
    case 'Y':
        return take_number(rest, 4, false, &r->year);
    case 'y':
        r->has_short_year = true;
        return take_number(rest, 2, false, &r->year);
    default:
        if (rest->len == 0 || rest->p[0] != part)
            return false;
        *rest = str_make(rest->p + 1, rest->len - 1);
        return true;
    }
}

static bool read_pattern(const char *pattern, struct str text, struct reading *out)
{
    *out = (struct reading){0};
    for (; *pattern; pattern++)
        if (!take_part(*pattern, &text, out))
            return false;
    return text.len == 0;
}

/* RFC 9110 §5.6.7: what appears to be more than 50 years ahead is in the past. So of the years with
 * these two digits it is the latest that is not, also when the century is about to turn. */
static int64_t full_year(const struct reading *r, int64_t now_seconds)
{
    unsigned now_year = day_of((unsigned)(now_seconds / SECONDS_PER_DAY)).year;
    int64_t year = (int64_t)now_year - now_year % 100 + 100 + r->year;
    while (seconds_to(year - 50, r) > now_seconds)
        year -= 100;
    return year;
}

int date_parse(struct str text, int64_t now_seconds, int64_t *out_seconds)
{
    static const char *const patterns[] = {"w, d b Y h:m:s GMT", "W, d-b-y h:m:s GMT",
                                           "w b e h:m:s Y"};
    struct reading r;
    size_t form = 0;
    while (!read_pattern(patterns[form], text, &r))
        if (++form == sizeof patterns / sizeof patterns[0])
            return -EINVAL;

    bool is_leap_second = r.hour == 23 && r.minute == 59 && r.second == 60;
    if (r.hour > 23 || r.minute > 59 || (r.second > 59 && !is_leap_second) || r.day == 0)
        return -EINVAL;
    int64_t year = r.year;
    if (r.has_short_year)
        year = full_year(&r, clamp(now_seconds));
    if (r.day > days_in(year, r.month))
        return -EINVAL;
    *out_seconds = seconds_to(year, &r);
    return 0;
}
