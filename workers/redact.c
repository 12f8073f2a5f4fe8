/* Process: coroner. Rather too much is replaced than too little: a name decides, the value is never
 * looked at. A head that was cut may end within a value, so its last line is judged like others. */
#include "workers/redact.h"

#include <string.h>
#include <strings.h>

static const char *const secret_names[] = {
    "authorization", "proxy-authorization", "cookie",       "cookie2",
    "set-cookie",    "www-authenticate",    "x-csrf-token", "x-forwarded-client-cert",
};

/* As words of a name, between its hyphens. */
static const char *const secret_words[] = {
    "auth", "authorization", "credential", "credentials", "jwt",     "key",       "apikey",
    "pass", "password",      "passwd",     "secret",      "session", "signature", "token"};

static bool is_among(struct str word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is_equal_nocase(word, str_of(words[i])))
            return true;
    return false;
}

static bool has_secret_word(struct str name)
{
    const size_t n = sizeof secret_words / sizeof secret_words[0];
    for (size_t at = 0; at < name.len;) {
        size_t len = 0;
        while (at + len < name.len && name.p[at + len] != '-' && name.p[at + len] != '_')
            len++;
        if (is_among(str_make(name.p + at, len), secret_words, n))
            return true;
        at += len + 1;
    }
    return false;
}

static bool is_listed(struct str name, const char *list)
{
    while (list && *list) {
        size_t len = strcspn(list, ", \t");
        if (len > 0 && str_is_equal_nocase(name, str_make(list, len)))
            return true;
        list += len + strspn(list + len, ", \t");
    }
    return false;
}

bool redact_is_secret(struct str name, const char *more)
{
    return is_among(name, secret_names, sizeof secret_names / sizeof secret_names[0]) ||
           has_secret_word(name) || is_listed(name, more);
}

static int add_name(struct buf *names, struct str name)
{
    int rc = names->len > 0 ? buf_append(names, ", ", 2) : 0;
    return rc == 0 ? buf_append(names, name.p, name.len) : rc;
}

/* One line with its end. *is_secret: the one before was replaced; a line that begins with a blank
 * goes on with its value. */
static int redact_line(struct str line, const char *more, bool *is_secret, struct buf *out,
                       struct buf *names)
{
    if (*is_secret && (line.p[0] == ' ' || line.p[0] == '\t'))
        return 0;
    const char *colon = memchr(line.p, ':', line.len);
    struct str name = str_make(line.p, colon ? (size_t)(colon - line.p) : 0);
    *is_secret = colon && redact_is_secret(name, more);
    if (!*is_secret)
        return buf_append(out, line.p, line.len);
    int rc = buf_append(out, line.p, name.len);
    if (rc == 0)
        rc = buf_append(out, ": " REDACT_VALUE "\r\n", sizeof REDACT_VALUE + 3);
    return rc == 0 ? add_name(names, name) : rc;
}

int redact_head(struct str head, const char *more, struct buf *out, struct buf *names)
{
    bool is_first = true; /* the request line, whose target may hold a colon */
    bool is_secret = false;
    int rc = 0;
    while (rc == 0 && head.len > 0) {
        const char *newline = memchr(head.p, '\n', head.len);
        size_t len = newline ? (size_t)(newline - head.p) + 1 : head.len;
        rc = is_first ? buf_append(out, head.p, len)
                      : redact_line(str_make(head.p, len), more, &is_secret, out, names);
        is_first = false;
        head.p += len;
        head.len -= len;
    }
    return rc;
}
