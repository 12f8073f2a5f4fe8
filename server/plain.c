/* Text for people. Process: commands. */
#include "server/plain.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

static unsigned decode(const char *p, size_t n)
{
    unsigned code = n == 1 ? (unsigned char)p[0] : (unsigned char)p[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)p[i] & 0x3fU);
    return code;
}

static bool is_obeyed(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

/* ASCII, Latin, Greek, Cyrillic without combining marks, and what our own sentences use. */
static bool is_narrow(unsigned code)
{
    return code < 0x300 || (code >= 0x370 && code < 0x483) || (code >= 0x48a && code < 0x530) ||
           (code >= 0x2010 && code <= 0x2027);
}

static const char *clean(char *out, size_t cap, struct str text, bool is_json,
                         enum plain_width width)
{
    size_t len = 0;
    const char *p = text.p;
    const char *end = text.p + text.len;
    while (p < end) {
        if (is_json && *p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\' || p[1] == '/'))
            p++;
        size_t n = str_utf8_length(p, (size_t)(end - p));
        unsigned code = n > 0 ? decode(p, n) : 0;
        bool is_shown = n > 0 && !is_obeyed(code) && (width == PLAIN_ANY || is_narrow(code));
        size_t needed = is_shown ? n : 1;
        if (len + needed >= cap)
            break;
        memcpy(out + len, is_shown ? p : "?", needed);
        len += needed;
        p += n > 0 ? n : 1;
    }
    out[len] = '\0';
    return out;
}

const char *plain_text(char *out, size_t cap, struct str value, enum plain_width width)
{
    bool is_text = value.len >= 2 && value.p[0] == '"';
    return clean(out, cap, is_text ? str_make(value.p + 1, value.len - 2) : STR(""), true, width);
}

const char *plain_clean(char *out, size_t cap, const char *text, enum plain_width width)
{
    return clean(out, cap, str_of(text), false, width);
}

size_t plain_columns(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

const char *plain_count(char out[PLAIN_MAX], uint64_t n)
{
    char digits[STR_U64_MAX];
    size_t len = str_print_u64(digits, n);
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

/* n in units of `unit`: one place behind the point below 100. */
static void print_scaled(char out[PLAIN_MAX], uint64_t n, uint64_t unit, const char *suffix)
{
    uint64_t tenths = n / unit * 10 + n % unit * 10 / unit;
    if (tenths < 1000)
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 ".%" PRIu64 "%s", tenths / 10, tenths % 10,
                       suffix);
    else
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "%s", tenths / 10, suffix);
}

const char *plain_short(char out[PLAIN_MAX], uint64_t n)
{
    if (n < 10000)
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64, n);
    else if (n < 1000000)
        print_scaled(out, n, 1000, "k");
    else if (n < UINT64_C(1000000000))
        print_scaled(out, n, 1000000, "M");
    else
        print_scaled(out, n, UINT64_C(1000000000), "G");
    return out;
}

const char *plain_bytes(char out[PLAIN_MAX], uint64_t n)
{
    if (n == 0)
        (void)snprintf(out, PLAIN_MAX, "0");
    else if (n < (UINT64_C(1) << 20))
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "K", (n + 1023) >> 10);
    else if (n < (UINT64_C(1) << 30))
        print_scaled(out, n, UINT64_C(1) << 20, "M");
    else
        print_scaled(out, n, UINT64_C(1) << 30, "G");
    return out;
}

const char *plain_us(char out[PLAIN_MAX], uint64_t us)
{
    if (us < CLOCK_US_PER_MS)
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "us", us);
    else if (us < CLOCK_US_PER_S)
        print_scaled(out, us, CLOCK_US_PER_MS, "ms");
    else if (us < 100 * CLOCK_US_PER_S)
        print_scaled(out, us, CLOCK_US_PER_S, "s");
    else
        return plain_age(out, us / CLOCK_US_PER_MS);
    return out;
}

const char *plain_age(char out[PLAIN_MAX], uint64_t ms)
{
    uint64_t s = ms / 1000;
    if (s < 60)
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, PLAIN_MAX, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
    return out;
}
