/* Text helpers that both the settings loader and the HTTP code need. Pure functions,
 * no allocation; see base/buf.h for bytes that grow. */
#include "base/str.h"

#include <errno.h>

struct str str_trim(struct str s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

int str_parse_u64(struct str s, uint64_t max, uint64_t *out_value)
{
    if (s.len == 0)
        return -EINVAL;
    uint64_t value = 0;
    bool is_over = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            is_over = true;
    }
    if (is_over || value > max)
        return -ERANGE;
    *out_value = value;
    return 0;
}

size_t str_print_u64(char out[STR_U64_MAX], uint64_t value)
{
    char digits[STR_U64_MAX];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

bool str_list_has(struct str list, struct str token)
{
    while (list.len > 0) {
        const char *comma = memchr(list.p, ',', list.len);
        size_t n = comma ? (size_t)(comma - list.p) : list.len;
        if (str_is_equal_nocase(str_trim(str_make(list.p, n)), token))
            return true;
        if (!comma)
            return false;
        list.p += n + 1;
        list.len -= n + 1;
    }
    return false;
}

/* tchar */
static const bool token_chars[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

size_t str_token_length(struct str s)
{
    size_t n = 0;
    while (n < s.len && token_chars[(unsigned char)s.p[n]])
        n++;
    return n;
}

unsigned str_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    size_t na = strlen(a);
    size_t nb = strlen(b);
    if (na > MAX || nb > MAX)
        return 1000;
    unsigned rows[3][MAX + 1]; /* the two rows before this one suffice, the older for swaps */
    unsigned *before = rows[0];
    unsigned *last = rows[1];
    unsigned *now = rows[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned cost = a[i - 1] == b[j - 1] ? 0 : 1;
            unsigned best = last[j - 1] + cost;
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[nb];
}

size_t str_utf8_length(const char *p, size_t len)
{
    /* Lead byte ranges with the range that the second byte must lie in; the rest is 80 … BF. */
    static const struct {
        unsigned char lead_min, lead_max, second_min, second_max, length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *at = (const unsigned char *)p;
    if (at[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].lead_min || at[0] > forms[i].lead_max)
            continue;
        if (forms[i].length > len || at[1] < forms[i].second_min || at[1] > forms[i].second_max)
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if (at[k] < 0x80 || at[k] > 0xbf)
                return 0;
        return forms[i].length;
    }
    return 0;
}

bool str_has_control(struct str s)
{
    const uint64_t ones = UINT64_MAX / 255;
    const uint64_t tops = ones * 0x80;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint64_t x;
        memcpy(&x, s.p + i, 8);
        uint64_t below = (x - ones * 0x20) & ~x & tops; /* exact up to the lowest octet that is */
        uint64_t del = x ^ (ones * 0x7f);
        if (below || ((del - ones) & ~del & tops))
            return true;
    }
    for (; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}
