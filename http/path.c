/* Paths, queries and their escapes. What is malformed is refused, never repaired: "%zz" left as it
 * stands would mean one thing here and another to whatever the application hands the path to.
 *
 * Dot segments are removed after decoding and segment by segment, so that "/%2e%2e/" is "/../" and
 * "/..%2Fx" is one segment. Decoding first and removing afterwards, on the whole text, would let
 * "%2F" cut segments; removing first would let "%2e" pass. */
#include "http/path.h"

#include <errno.h>

#include "base/arena.h"

/* An empty str may have no pointer, to which not even 0 may be added (C17 6.5.6). */
static const char *end_of(struct str s)
{
    return s.len > 0 ? s.p + s.len : s.p;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    if (lower >= 'a' && lower <= 'f')
        return lower - 'a' + 10;
    return -1;
}

/* The octet that the escape at `at`, a "%", stands for; -1 when it is malformed or NUL, which would
 * end the text early for everyone who takes it as a string. */
static int read_escape(const char *at, const char *end)
{
    if (end - at < 3)
        return -1;
    int high = hex_value(at[1]);
    int low = hex_value(at[2]);
    if (high < 0 || low < 0 || high + low == 0)
        return -1;
    return high * 16 + low;
}

static bool is_dots(const char *p, size_t len)
{
    return len > 0 && p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'));
}

static const char *segment_end(const char *at, const char *end)
{
    const char *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
    return slash ? slash : end;
}

static bool is_plain(struct str raw)
{
    if (memchr(raw.p, '%', raw.len))
        return false;
    const char *end = raw.p + raw.len;
    for (const char *at = raw.p; at < end;) {
        const char *start = at + 1;
        at = segment_end(start, end);
        if (is_dots(start, (size_t)(at - start)))
            return false;
    }
    return true;
}

/* One segment without its slash. Returns octets written; -EINVAL. out may hold as many as came. */
static ptrdiff_t decode_segment(char *out, const char *at, const char *end)
{
    char *start = out;
    while (at < end) {
        if (*at != '%') {
            *out++ = *at++;
            continue;
        }
        int octet = read_escape(at, end);
        if (octet < 0)
            return -EINVAL;
        if (octet == '/') {
            memcpy(out, "%2F", 3);
            out += 3;
        } else {
            *out++ = (char)octet;
        }
        at += 3;
    }
    return out - start;
}

/* Drops the last segment and the slash before it; at the root nothing (RFC 3986 §5.2.4, 2C). */
static char *drop_segment(char *start, char *at)
{
    while (at > start && *--at != '/')
        continue;
    return at;
}

int path_resolve(struct str raw, struct arena *arena, struct str *out_path, struct str *out_encoded)
{
    if (raw.len == 0 || raw.p[0] != '/')
        return -EINVAL;
    if (is_plain(raw)) {
        *out_path = *out_encoded = raw;
        return 0;
    }
    char *path = arena_alloc_text(arena, raw.len + 1);
    char *encoded = path ? arena_alloc_text(arena, raw.len + 1) : NULL;
    if (!encoded)
        return -ENOMEM;

    char *p = path; /* both end before a slash, or are empty */
    char *e = encoded;
    const char *end = raw.p + raw.len;
    for (const char *at = raw.p; at < end;) {
        const char *start = at + 1;
        at = segment_end(start, end);
        ptrdiff_t len = decode_segment(p + 1, start, at);
        if (len < 0)
            return -EINVAL;
        if (!is_dots(p + 1, (size_t)len)) {
            *p = *e = '/';
            memcpy(e + 1, start, (size_t)(at - start));
            p += 1 + len;
            e += 1 + (at - start);
            continue;
        }
        if (len == 2) {
            p = drop_segment(path, p);
            e = drop_segment(encoded, e);
        }
        if (at == end) /* "/a/." is "/a/" and "/a/.." is "/" */
            *p++ = *e++ = '/';
    }
    *p = *e = '\0';
    *out_path = str_make(path, (size_t)(p - path));
    *out_encoded = str_make(encoded, (size_t)(e - encoded));
    return 0;
}

int path_normalise(struct str raw, struct arena *arena, struct str *out_path)
{
    struct str encoded;
    return path_resolve(raw, arena, out_path, &encoded);
}

char *path_decode(struct str raw, bool is_form, struct arena *arena, size_t *out_len)
{
    char *text = arena_alloc_text(arena, raw.len + 1);
    if (!text)
        return NULL;
    char *out = text;
    const char *end = end_of(raw);
    for (const char *at = raw.p; at < end;) {
        if (*at == '\0') /* a form may hold anything */
            return NULL;
        if (*at == '%') {
            int octet = read_escape(at, end);
            if (octet < 0)
                return NULL;
            *out++ = (char)octet;
            at += 3;
        } else {
            *out++ = is_form && *at == '+' ? ' ' : *at;
            at++;
        }
    }
    *out = '\0';
    if (out_len)
        *out_len = (size_t)(out - text);
    return text;
}

char *path_encode(struct str text, struct arena *arena)
{
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = arena_alloc_text(arena, text.len * 3 + 1);
    if (!encoded)
        return NULL;
    char *out = encoded;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        unsigned char lower = c | 0x20;
        if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~/", c))) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    *out = '\0';
    return encoded;
}

bool path_next_pair(struct str *rest, struct str *out_name, struct str *out_value)
{
    while (rest->len > 0 && rest->p[0] == '&') {
        rest->p++;
        rest->len--;
    }
    if (rest->len == 0)
        return false;
    const char *ampersand = memchr(rest->p, '&', rest->len);
    size_t len = ampersand ? (size_t)(ampersand - rest->p) : rest->len;
    const char *equals = memchr(rest->p, '=', len);
    size_t name_len = equals ? (size_t)(equals - rest->p) : len;
    size_t value_at = equals ? name_len + 1 : len;
    *out_name = str_make(rest->p, name_len);
    *out_value = str_make(rest->p + value_at, len - value_at);
    rest->p += len;
    rest->len -= len;
    return true;
}

bool path_name_is(struct str encoded, const char *name)
{
    const char *end = end_of(encoded);
    for (const char *at = encoded.p; at < end; name++) {
        bool is_escape = *at == '%';
        int octet = is_escape ? read_escape(at, end) : *at == '+' ? ' ' : (unsigned char)*at;
        if (octet <= 0 || octet != (unsigned char)*name)
            return false;
        at += is_escape ? 3 : 1;
    }
    return *name == '\0';
}

bool path_take_pair(struct str pairs, size_t *at, struct arena *arena, const char **out_name,
                    const char **out_value)
{
    if (*at >= pairs.len)
        return false;
    struct str rest = str_make(pairs.p + *at, pairs.len - *at);
    struct str name;
    struct str value;
    if (!path_next_pair(&rest, &name, &value))
        return false;
    *at = pairs.len - rest.len;
    *out_name = path_decode(name, true, arena, NULL);
    *out_value = path_decode(value, true, arena, NULL);
    return true;
}

const char *path_find_pair(struct str pairs, const char *name, struct arena *arena)
{
    struct str found_name;
    struct str value;
    while (path_next_pair(&pairs, &found_name, &value))
        if (path_name_is(found_name, name))
            return path_decode(value, true, arena, NULL);
    return NULL;
}
