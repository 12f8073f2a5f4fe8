/* Recursive descent over RFC 8259's grammar, depth-limited. It keeps nothing but the names of the
 * object it is in, to refuse a name that comes twice. */
#include "tests/harness/json.h"

#include <stdlib.h>
#include <string.h>

#include "tests/harness/check.h"

#define DEPTH_MAX 32
#define NAMES_MAX 128

struct reader {
    const char *at, *end;
    const char *wrong; /* NULL: nothing yet */
    unsigned depth;
};

static void read_value(struct reader *r);

static bool refuse(struct reader *r, const char *wrong)
{
    if (!r->wrong)
        r->wrong = wrong;
    return false;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
        r->at++;
}

static bool take(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* Octets of one UTF-8 sequence (RFC 3629 §4); 0: malformed. */
static size_t utf8_len(const char *text, size_t left)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool is_overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool is_outside = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_overlong || is_outside ? 0 : n;
}

static bool read_escape(struct reader *r)
{
    if (r->at == r->end)
        return refuse(r, "text ends within an escape");
    char c = *r->at++;
    if (c != 'u')
        return strchr("\"\\/bfnrt", c) && c ? true : refuse(r, "unknown escape");
    for (int i = 0; i < 4; i++, r->at++)
        if (r->at == r->end || !strchr("0123456789abcdefABCDEF", *r->at) || !*r->at)
            return refuse(r, "bad \\u escape");
    return true;
}

static bool read_string(struct reader *r)
{
    if (!take(r, '"'))
        return refuse(r, "expected a string");
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < 0x20)
            return refuse(r, "control character in a string");
        if (take(r, '\\')) {
            if (!read_escape(r))
                return false;
            continue;
        }
        size_t n = utf8_len(r->at, (size_t)(r->end - r->at));
        if (n == 0)
            return refuse(r, "malformed UTF-8");
        r->at += n;
    }
    return take(r, '"') || refuse(r, "string without end");
}

static size_t read_digits(struct reader *r)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - start);
}

static bool read_number(struct reader *r)
{
    (void)take(r, '-');
    const char *start = r->at;
    size_t n = read_digits(r);
    if (n == 0 || (n > 1 && *start == '0'))
        return refuse(r, "malformed number");
    if (take(r, '.') && read_digits(r) == 0)
        return refuse(r, "malformed fraction");
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            (void)take(r, '-');
        if (read_digits(r) == 0)
            return refuse(r, "malformed exponent");
    }
    return true;
}

static void read_members(struct reader *r)
{
    const char *names[NAMES_MAX];
    size_t lens[NAMES_MAX];
    size_t n = 0;
    skip_blanks(r);
    if (take(r, '}'))
        return;
    do {
        skip_blanks(r);
        const char *name = r->at;
        if (!read_string(r))
            return;
        size_t len = (size_t)(r->at - name);
        for (size_t i = 0; i < n; i++)
            if (lens[i] == len && memcmp(names[i], name, len) == 0)
                (void)refuse(r, "a name comes twice");
        if (n < NAMES_MAX) {
            names[n] = name;
            lens[n++] = len;
        }
        skip_blanks(r);
        if (!take(r, ':') && !refuse(r, "expected a colon"))
            return;
        read_value(r);
        skip_blanks(r);
    } while (!r->wrong && take(r, ','));
    if (!r->wrong && !take(r, '}'))
        (void)refuse(r, "object without end");
}

static void read_elements(struct reader *r)
{
    skip_blanks(r);
    if (take(r, ']'))
        return;
    do {
        read_value(r);
        skip_blanks(r);
    } while (!r->wrong && take(r, ','));
    if (!r->wrong && !take(r, ']'))
        (void)refuse(r, "array without end");
}

static bool read_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static void read_value(struct reader *r)
{
    skip_blanks(r);
    if (++r->depth > DEPTH_MAX)
        (void)refuse(r, "too deep");
    else if (r->at == r->end)
        (void)refuse(r, "text ends where a value should be");
    else if (take(r, '{'))
        read_members(r);
    else if (take(r, '['))
        read_elements(r);
    else if (*r->at == '"')
        (void)read_string(r);
    else if (!read_word(r, "true") && !read_word(r, "false") && !read_word(r, "null"))
        (void)read_number(r);
    r->depth--;
}

const char *json_check(const char *text, size_t len)
{
    struct reader r = {.at = text, .end = text + len};
    read_value(&r);
    skip_blanks(&r);
    if (!r.wrong && r.at < r.end)
        r.wrong = "more text behind the value";
    return r.wrong;
}

bool json_member(const char *text, const char *name, char *out, size_t cap)
{
    struct reader r = {.at = text, .end = text + strlen(text)};
    size_t name_len = strlen(name);
    skip_blanks(&r);
    CHECK(take(&r, '{'));
    do {
        skip_blanks(&r);
        const char *start = r.at;
        if (!read_string(&r))
            return false;
        bool is_it =
            (size_t)(r.at - start) == name_len + 2 && memcmp(start + 1, name, name_len) == 0;
        skip_blanks(&r);
        CHECK(take(&r, ':'));
        skip_blanks(&r);
        start = r.at;
        read_value(&r);
        CHECK(!r.wrong);
        if (!is_it) {
            skip_blanks(&r);
            continue;
        }
        bool is_string = *start == '"';
        size_t n = (size_t)(r.at - start) - (is_string ? 2 : 0);
        CHECK(n < cap);
        memcpy(out, start + is_string, n);
        out[n] = '\0';
        return true;
    } while (take(&r, ','));
    return false;
}

long json_number(const char *text, const char *name)
{
    char value[64];
    char *end = value;
    long number = 0;
    if (json_member(text, name, value, sizeof value))
        number = strtol(value, &end, 10);
    CHECK_SAYING(end != value && *end == '\0', "no number \"%s\" in: %s", name, text);
    return number;
}

void json_must(const char *text, size_t len)
{
    const char *wrong = json_check(text, len);
    CHECK_SAYING(!wrong, "no JSON, %s: %.*s", wrong, (int)len, text);
}
