/* A recursive descent over slices. Our own and not a library, since the master reads with it: it
 * must not allocate, and what it has to read is a line with three members. */
#include "base/json_value.h"

#include <errno.h>

struct cursor {
    const char *p;
    const char *end;
    const char *wrong; /* the first thing that is; static text */
};

static bool refuse(struct cursor *c, const char *wrong)
{
    if (!c->wrong)
        c->wrong = wrong;
    return false;
}

static bool take(struct cursor *c, char wanted)
{
    bool is_there = c->p < c->end && *c->p == wanted;
    c->p += is_there;
    return is_there;
}

static void take_blanks(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static bool take_digits(struct cursor *c)
{
    const char *first = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        c->p++;
    return c->p > first;
}

static bool take_number(struct cursor *c)
{
    (void)take(c, '-');
    if (!take(c, '0') && !take_digits(c))
        return refuse(c, "a number without digits");
    if (take(c, '.') && !take_digits(c))
        return refuse(c, "a number that ends with its point");
    if (take(c, 'e') || take(c, 'E')) {
        if (!take(c, '+'))
            (void)take(c, '-');
        if (!take_digits(c))
            return refuse(c, "an exponent without digits");
    }
    return true;
}

static bool take_word(struct cursor *c, struct str word)
{
    if (!str_has_prefix(str_make(c->p, (size_t)(c->end - c->p)), word))
        return refuse(c, "something that is no value");
    c->p += word.len;
    return true;
}

/* Four hexadecimal digits; -1: they are not there. */
static int take_hex(struct cursor *c)
{
    int code = 0;
    if (c->end - c->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char digit = *c->p++;
        int value = digit >= '0' && digit <= '9'   ? digit - '0'
                    : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                    : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                   : -1;
        if (value < 0)
            return -1;
        code = code * 16 + value;
    }
    return code;
}

static int put_utf8(char out[4], unsigned code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
    return n;
}

/* Behind "\u". Returns octets of the character in out; 0: refused */
static int take_code(struct cursor *c, char out[4])
{
    int code = take_hex(c);
    if (code >= 0xd800 && code < 0xdc00) {
        int low = take(c, '\\') && take(c, 'u') ? take_hex(c) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            code = -1;
        else
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        code = -1;
    }
    if (code < 0) {
        (void)refuse(c, "an escape \\u without four digits, or half of a pair");
        return 0;
    }
    return put_utf8(out, (unsigned)code);
}

/* One character of a string. Returns its octets in out; 0: refused */
static int take_character(struct cursor *c, char out[4])
{
    static const char escaped[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    if ((unsigned char)*c->p < 0x20) {
        (void)refuse(c, "a control character within a string");
        return 0;
    }
    if (*c->p != '\\') {
        int n = (int)str_utf8_length(c->p, (size_t)(c->end - c->p));
        if (n == 0)
            (void)refuse(c, "octets that are not UTF-8");
        memcpy(out, c->p, (size_t)n);
        c->p += n;
        return n;
    }
    c->p++;
    if (take(c, 'u'))
        return take_code(c, out);
    const char *at = c->p < c->end ? memchr(escaped, *c->p, sizeof escaped - 1) : NULL;
    if (!at) {
        (void)refuse(c, "an escape that JSON does not know");
        return 0;
    }
    c->p++;
    out[0] = meant[at - escaped];
    return 1;
}

/* A string; *out is what stands between its quotes. */
static bool take_string(struct cursor *c, struct str *out)
{
    char character[4];
    if (!take(c, '"'))
        return refuse(c, "no string where one must be");
    const char *first = c->p;
    while (c->p < c->end && *c->p != '"')
        if (take_character(c, character) == 0)
            return false;
    *out = str_make(first, (size_t)(c->p - first));
    return take(c, '"') ? true : refuse(c, "a string without its end");
}

static bool take_value(struct cursor *c, unsigned depth);

/* What comes behind the bracket: members up to the other one. */
static bool take_members(struct cursor *c, bool is_object, unsigned depth)
{
    char end = is_object ? '}' : ']';
    struct str name;
    if (depth > JSON_VALUE_DEPTH_MAX)
        return refuse(c, "nested too deeply");
    take_blanks(c);
    if (take(c, end))
        return true;
    do {
        take_blanks(c);
        if (is_object) {
            if (!take_string(c, &name))
                return false;
            take_blanks(c);
            if (!take(c, ':'))
                return refuse(c, "a name without its colon");
            take_blanks(c);
        }
        if (!take_value(c, depth))
            return false;
        take_blanks(c);
    } while (take(c, ','));
    return take(c, end) ? true : refuse(c, "an array or object without its end");
}

static bool take_value(struct cursor *c, unsigned depth)
{
    struct str text;
    if (c->p == c->end)
        return refuse(c, "nothing where a value must be");
    switch (*c->p) {
    case '{':
    case '[':
        return take_members(c, *c->p++ == '{', depth + 1);
    case '"':
        return take_string(c, &text);
    case 't':
        return take_word(c, STR("true"));
    case 'f':
        return take_word(c, STR("false"));
    case 'n':
        return take_word(c, STR("null"));
    default:
        return take_number(c);
    }
}

const char *json_value_check(struct str text, struct str *out)
{
    struct cursor c = {text.p, text.p + text.len, NULL};
    take_blanks(&c);
    const char *first = c.p;
    if (!take_value(&c, 0))
        return c.wrong;
    const char *last = c.p;
    take_blanks(&c);
    if (c.p < c.end)
        return "something behind the value";
    *out = str_make(first, (size_t)(last - first));
    return NULL;
}

enum json_kind json_value_kind(struct str value)
{
    if (value.len == 0)
        return JSON_NOTHING;
    switch (value.p[0]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_TEXT;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

bool json_value_next(struct str container, struct str *at, struct str *out_name, struct str *out)
{
    enum json_kind kind = json_value_kind(container);
    if (kind != JSON_ARRAY && kind != JSON_OBJECT)
        return false;
    struct cursor c = {at->p ? at->p : container.p + 1, container.p + container.len, NULL};
    struct str name = {0};
    take_blanks(&c);
    (void)take(&c, ',');
    take_blanks(&c);
    if (c.p == c.end || *c.p == ']' || *c.p == '}')
        return false;
    if (kind == JSON_OBJECT) {
        if (!take_string(&c, &name))
            return false;
        take_blanks(&c);
        (void)take(&c, ':');
        take_blanks(&c);
    }
    const char *first = c.p;
    if (!take_value(&c, 0))
        return false;
    *out = str_make(first, (size_t)(c.p - first));
    if (out_name)
        *out_name = name;
    *at = str_make(c.p, 0);
    return true;
}

struct str json_value_find(struct str object, const char *name)
{
    struct str at = {0};
    struct str member;
    struct str value;
    while (json_value_kind(object) == JSON_OBJECT && json_value_next(object, &at, &member, &value))
        if (str_is_equal(member, str_of(name)))
            return value;
    return (struct str){0};
}

int json_value_text(struct str value, char *out, size_t cap)
{
    if (json_value_kind(value) != JSON_TEXT || value.len < 2)
        return -EINVAL;
    struct cursor c = {value.p + 1, value.p + value.len - 1, NULL};
    size_t len = 0;
    while (c.p < c.end) {
        char character[4];
        size_t n = (size_t)take_character(&c, character);
        if (n == 0 || character[0] == '\0')
            return -EINVAL;
        if (len + n >= cap)
            return -ERANGE;
        memcpy(out + len, character, n);
        len += n;
    }
    if (len >= cap)
        return -ERANGE;
    out[len] = '\0';
    return (int)len;
}

int json_value_u64(struct str value, uint64_t max, uint64_t *out)
{
    if (json_value_kind(value) != JSON_NUMBER)
        return -EINVAL;
    return str_parse_u64(value, max, out);
}
