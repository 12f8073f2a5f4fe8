/* A walk over delimiters. The search looks for CR and compares what follows it with the boundary.
 * A boundary holds no CR, so that octets which agreed with it are never compared again: a body made
 * of near-delimiters costs one comparison an octet, in whatever way libc does its searches.
 *
 * RFC 2046 would let a line that merely begins with a delimiter end a part; other parsers take such
 * a line for data. Whoever means either can avoid it, so it is refused, like bare LF as a line end:
 * two programs that see different parts in the same octets are how uploads get past filters. */
#include "http/multipart.h"

#include <errno.h>

#include "base/arena.h"

enum { AT_START, AT_PART, AT_END }; /* multipart.state; below 0: an error */

#define BOUNDARY_MAX 70U /* RFC 2046 §5.1.1 */

/* bchars, RFC 2046 §5.1.1 */
static const bool boundary_chars[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['\''] = true,
    ['('] = true,         [')'] = true,         ['+'] = true,         ['_'] = true,
    [','] = true,         ['-'] = true,         ['.'] = true,         ['/'] = true,
    [':'] = true,         ['='] = true,         ['?'] = true,         [' '] = true,
};

static struct str skip(struct str s, size_t n)
{
    return n > 0 ? str_make(s.p + n, s.len - n) : s; /* p may be NULL, see C17 6.5.6 */
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str skip_blanks(struct str s)
{
    while (s.len > 0 && is_blank(s.p[0]))
        s = skip(s, 1);
    return s;
}

/* No control but HTAB: what may stand in a field's value (RFC 9110 §5.5). */
static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

/* ---- parameters ---- */

/* Octets of the quoted string at the start of s, both quotes included; 0: it has no end. A
 * backslash takes the next octet with it: a name that ends in one, as WHATWG would write it, is
 * refused for want of a quote, since RFC 2183 reads it otherwise. */
static size_t quoted_length(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\')
            i++;
    }
    return 0;
}

/* Takes *( OWS ";" OWS [ name "=" value ] ) apart (RFC 9110 §5.6.6, RFC 2183 §2).
 * rest     from behind the media type or disposition on
 * Returns  1; 0 the end; -EINVAL. A quoted value comes without its quotes, with its escapes */
static int next_parameter(struct str *rest, struct str *out_name, struct str *out_value)
{
    struct str s = skip_blanks(*rest);
    if (s.len > 0 && s.p[0] != ';')
        return -EINVAL;
    while (s.len > 0 && s.p[0] == ';')
        s = skip_blanks(skip(s, 1));
    if (s.len == 0)
        return 0;
    size_t name_len = str_token_length(s);
    if (name_len == 0 || name_len == s.len || s.p[name_len] != '=')
        return -EINVAL;
    struct str value = skip(s, name_len + 1);
    bool is_quoted = value.len > 0 && value.p[0] == '"';
    size_t len = is_quoted ? quoted_length(value) : str_token_length(value);
    if (len == 0)
        return -EINVAL;
    *out_name = str_make(s.p, name_len);
    *out_value = is_quoted ? str_make(value.p + 1, len - 2) : str_make(value.p, len);
    *rest = skip(value, len);
    return 1;
}

static bool is_boundary(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!boundary_chars[(unsigned char)s.p[i]])
            return false;
    return s.len > 0 && s.len <= BOUNDARY_MAX && s.p[s.len - 1] != ' ';
}

int multipart_boundary(struct str content_type, struct str *out_boundary)
{
    static const struct str media_type = STR("multipart/form-data");
    struct str rest = str_trim(content_type);
    if (rest.len < media_type.len || !is_text(rest) ||
        !str_is_equal_nocase(str_make(rest.p, media_type.len), media_type))
        return -EINVAL;
    rest = skip(rest, media_type.len);
    struct str found = {0};
    struct str name;
    struct str value;
    int rc;
    while ((rc = next_parameter(&rest, &name, &value)) > 0) {
        if (!str_is_equal_nocase(name, STR("boundary")))
            continue;
        if (found.len > 0 || !is_boundary(value))
            return -EINVAL;
        found = value;
    }
    if (rc < 0 || found.len == 0)
        return -EINVAL;
    *out_boundary = found;
    return 0;
}

/* ---- delimiters ---- */

static int refuse(struct multipart *m, int error, const char *reason)
{
    m->reason = reason;
    m->state = error;
    return error;
}

/* Does "--" boundary stand at this offset? */
static bool is_dash_boundary(struct multipart *m, size_t at)
{
    struct str rest = skip(m->body, at);
    if (rest.len < 2 + m->boundary.len || rest.p[0] != '-' || rest.p[1] != '-')
        return false;
    size_t i = 0;
    while (i < m->boundary.len && rest.p[2 + i] == m->boundary.p[i])
        i++;
    m->n_compared += i;
    return i == m->boundary.len;
}

static bool is_crlf(const struct multipart *m, size_t at)
{
    return m->body.len - at >= 2 && m->body.p[at] == '\r' && m->body.p[at + 1] == '\n';
}

/* The offset of the next CRLF "--" boundary, that is of its CR. Returns whether there is one. */
static bool find_delimiter(struct multipart *m, size_t at, size_t *out_at)
{
    while (at < m->body.len) {
        const char *cr = memchr(m->body.p + at, '\r', m->body.len - at);
        if (!cr)
            return false;
        at = (size_t)(cr - m->body.p);
        if (is_crlf(m, at) && is_dash_boundary(m, at + 2)) {
            *out_at = at;
            return true;
        }
        at++;
    }
    return false;
}

/* Reads what stands behind the boundary in its line: "--" in the last one, then padding that
 * transports may have added (RFC 2046 §5.1.1), then CRLF, which the last one need not have.
 * Returns  0, with m->at behind the line; -EINVAL */
static int end_delimiter(struct multipart *m, size_t at)
{
    struct str rest = skip(m->body, at);
    bool is_last = str_has_prefix(rest, STR("--"));
    rest = skip_blanks(skip(rest, is_last ? 2 : 0));
    m->at = m->body.len - rest.len;
    if (!is_crlf(m, m->at) && !(is_last && rest.len == 0))
        return refuse(m, -EINVAL, "boundary that CRLF does not follow (RFC 2046 5.1.1)");
    m->at += rest.len > 0 ? 2 : 0;
    m->state = is_last ? AT_END : AT_PART;
    return 0;
}

static int find_first(struct multipart *m)
{
    size_t at = 0;
    if (!is_dash_boundary(m, 0)) {
        if (!find_delimiter(m, 0, &at))
            return refuse(m, -EINVAL, "no boundary in the body (RFC 2046 5.1.1)");
        at += 2;
    }
    return end_delimiter(m, at + 2 + m->boundary.len);
}

/* ---- headers of a part ---- */

static int read_disposition(struct multipart *m, struct str value, struct multipart_part *part)
{
    static const char malformed[] = "malformed Content-Disposition (RFC 7578 4.2)";
    size_t len = str_token_length(value);
    if (!str_is_equal_nocase(str_make(value.p, len), STR("form-data")))
        return refuse(m, -EINVAL, "Content-Disposition is not form-data (RFC 7578 4.2)");
    value = skip(value, len);
    struct str name;
    struct str text;
    bool has_name = false;
    int rc;
    while ((rc = next_parameter(&value, &name, &text)) > 0) {
        bool is_name = str_is_equal_nocase(name, STR("name"));
        bool is_filename = str_is_equal_nocase(name, STR("filename"));
        if ((is_name && has_name) || (is_filename && part->has_filename))
            return refuse(m, -EINVAL, malformed);
        if (is_name)
            part->name = text;
        else if (is_filename)
            part->filename = text;
        has_name |= is_name;
        part->has_filename |= is_filename;
    }
    if (rc < 0)
        return refuse(m, -EINVAL, malformed);
    return has_name ? 0 : refuse(m, -EINVAL, "part without a name (RFC 7578 4.2)");
}

/* Codings that leave octets as they are. The others are not for forms (RFC 7578 §4.7); taking a
 * part for its encoded text would hide from the app what it holds. */
static bool is_identity(struct str coding)
{
    return str_is_equal_nocase(coding, STR("binary")) || str_is_equal_nocase(coding, STR("8bit")) ||
           str_is_equal_nocase(coding, STR("7bit"));
}

/* What a part's headers had so far. */
struct seen {
    bool disposition;
    bool type;
};

static int read_field(struct multipart *m, struct str line, struct multipart_part *part,
                      struct seen *seen)
{
    size_t len = str_token_length(line);
    if (len == 0 || len == line.len || line.p[len] != ':' || !is_text(line))
        return refuse(m, -EINVAL, "malformed header line of a part (RFC 7578 4.8)");
    struct str name = str_make(line.p, len);
    struct str value = str_trim(skip(line, len + 1));
    if (str_is_equal_nocase(name, STR("content-disposition"))) {
        if (seen->disposition)
            return refuse(m, -EINVAL, "more than one Content-Disposition in a part");
        seen->disposition = true;
        return read_disposition(m, value, part);
    }
    if (str_is_equal_nocase(name, STR("content-type"))) {
        if (seen->type)
            return refuse(m, -EINVAL, "more than one Content-Type in a part");
        seen->type = true;
        part->content_type = value;
    }
    if (str_is_equal_nocase(name, STR("content-transfer-encoding")) && !is_identity(value))
        return refuse(m, -EINVAL, "part with a transfer encoding (RFC 7578 4.7)");
    return 0;
}

/* One line of a part's headers, which begins at `at`.
 * limit    offset that the line and its CRLF must not pass
 * Returns  0; -EINVAL, -E2BIG */
static int read_line(struct multipart *m, size_t at, size_t limit, struct str *out_line)
{
    struct str rest = skip(m->body, at);
    size_t room = rest.len < limit - at ? rest.len : limit - at;
    const char *cr = room > 0 ? memchr(rest.p, '\r', room) : NULL;
    size_t len = cr ? (size_t)(cr - rest.p) : room;
    if (len + 2 > limit - at)
        return refuse(m, -E2BIG, "part with more than 8 KiB of headers");
    if (!cr || !is_crlf(m, at + len))
        return refuse(m, -EINVAL, "header line of a part that CRLF does not end");
    *out_line = str_make(rest.p, len);
    return 0;
}

/* Reads from m->at up to the empty line. *out_data_at: behind it. */
static int read_headers(struct multipart *m, struct multipart_part *part, size_t *out_data_at)
{
    struct seen seen = {0};
    size_t at = m->at;
    for (unsigned n = 0;; n++) {
        struct str line;
        int rc = read_line(m, at, m->at + MULTIPART_HEAD_BYTES, &line);
        if (rc < 0)
            return rc;
        if (line.len == 0)
            break;
        if (n == MULTIPART_LINES)
            return refuse(m, -E2BIG, "part with more than 8 header lines");
        if (is_dash_boundary(m, at))
            return refuse(m, -EINVAL, "part that ends in its headers (RFC 2046 5.1.1)");
        rc = read_field(m, line, part, &seen);
        if (rc < 0)
            return rc;
        at += line.len + 2;
    }
    if (!seen.disposition)
        return refuse(m, -EINVAL, "part without Content-Disposition (RFC 7578 4.2)");
    *out_data_at = at + 2;
    return 0;
}

/* ---- the walk ---- */

void multipart_begin(struct multipart *m, struct str body, struct str boundary, uint32_t max_parts)
{
    *m = (struct multipart){
        .body = body, .boundary = boundary, .max_parts = max_parts, .state = AT_START};
}

int multipart_next(struct multipart *m, struct multipart_part *out)
{
    if (m->state == AT_START && find_first(m) < 0)
        return m->state;
    if (m->state != AT_PART)
        return m->state == AT_END ? 0 : m->state;
    if (m->n_parts == m->max_parts)
        return refuse(m, -E2BIG, "more parts than allowed");
    struct multipart_part part = {0};
    size_t end;
    int rc = read_headers(m, &part, &part.data_at);
    if (rc < 0)
        return rc;
    /* From the empty line's own CRLF on: a part without content may use it up (RFC 2046 §5.1.1,
     * body-part). */
    if (!find_delimiter(m, part.data_at - 2, &end))
        return refuse(m, -EINVAL, "no closing boundary: the body is cut (RFC 2046 5.1.1)");
    rc = end_delimiter(m, end + 4 + m->boundary.len);
    if (rc < 0)
        return rc;
    size_t len = end > part.data_at ? end - part.data_at : 0;
    part.data = str_make(m->body.p + part.data_at, len);
    m->n_parts++;
    *out = part;
    return 1;
}

/* ---- names ---- */

/* The octet that the escape at the start of s stands for, and its length; '\0': there is none. */
static char read_escape(struct str s, size_t *out_len)
{
    static const struct {
        struct str escape;
        char octet;
    } escapes[] = {{STR("%22"), '"'}, {STR("%0d"), '\r'}, {STR("%0a"), '\n'}, {STR("\\\""), '"'}};
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        struct str escape = escapes[i].escape;
        if (s.len >= escape.len && str_is_equal_nocase(str_make(s.p, escape.len), escape)) {
            *out_len = escape.len;
            return escapes[i].octet;
        }
    }
    return '\0';
}

int multipart_decode(struct str raw, struct arena *arena, struct str *out_text)
{
    if (raw.len == 0 || (!memchr(raw.p, '%', raw.len) && !memchr(raw.p, '\\', raw.len))) {
        *out_text = raw;
        return 0;
    }
    char *text = arena_alloc_text(arena, raw.len + 1);
    if (!text)
        return -ENOMEM;
    size_t len = 0;
    for (struct str rest = raw; rest.len > 0;) {
        size_t n = 1;
        char octet = read_escape(rest, &n);
        text[len++] = octet ? octet : rest.p[0];
        rest = skip(rest, n);
    }
    text[len] = '\0';
    *out_text = str_make(text, len);
    return 0;
}
