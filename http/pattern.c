/* Checks and splits one route pattern. Whatever could be read in two ways, or could never match, is
 * refused when the application is loaded: a route that silently answers nothing costs its author
 * an afternoon. */
#include "http/pattern.h"

#include <errno.h>

#include "base/err.h"

static bool is_name_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static int check_octets(const char *text, struct err *err)
{
    if (text[0] != '/')
        return err_set(err, EINVAL, "the pattern must begin with \"/\"");
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return err_set(err, EINVAL, "control character in the pattern");
        if (*at == '%')
            return err_set(err, EINVAL,
                           "\"%%\" in the pattern; patterns are written as people read them, the "
                           "request's escapes are decoded before they are compared");
        if (*at == '?' || *at == '#')
            return err_set(err, EINVAL, "\"%c\" in the pattern, which ends a path", *at);
    }
    return 0;
}

static int check_name(const struct pattern *pattern, struct str name, struct err *err)
{
    if (name.len == 0)
        return err_set(err, EINVAL,
                       "a parameter without name; write \":name\" for one segment, \"*name\" for "
                       "the rest");
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_octet(name.p[i]))
            return err_set(err, EINVAL,
                           "parameter \"%.*s\": names are made of letters, digits, \"_\" and \"-\"",
                           STR_ARG(name));
    }
    for (size_t i = 0; i < pattern->n_segments; i++) {
        const struct pattern_segment *s = &pattern->segments[i];
        if (s->kind != PATTERN_STATIC && str_is_equal(s->text, name))
            return err_set(err, EINVAL, "parameter \"%.*s\" comes twice", STR_ARG(name));
    }
    if (pattern->n_params == PATTERN_PARAMS_MAX)
        return err_set(err, EINVAL, "more than %d parameters", PATTERN_PARAMS_MAX);
    return 0;
}

static int add_segment(struct pattern *pattern, struct str text, bool is_last, struct err *err)
{
    if (pattern->n_segments == PATTERN_SEGMENTS_MAX)
        return err_set(err, EINVAL, "more than %d segments", PATTERN_SEGMENTS_MAX);
    struct pattern_segment s = {PATTERN_STATIC, text};
    if (text.len > 0 && (text.p[0] == ':' || text.p[0] == '*')) {
        s.kind = text.p[0] == ':' ? PATTERN_PARAM : PATTERN_REST;
        s.text = str_make(text.p + 1, text.len - 1);
        int rc = check_name(pattern, s.text, err);
        if (rc < 0)
            return rc;
        if (s.kind == PATTERN_REST && !is_last)
            return err_set(err, EINVAL, "\"*%.*s\" must be the last segment", STR_ARG(s.text));
        pattern->n_params++;
    } else if (memchr(text.p, '*', text.len)) {
        return err_set(err, EINVAL, "\"*\" inside a segment; it may only begin the last one");
    } else if (str_is_equal(text, STR(".")) || str_is_equal(text, STR(".."))) {
        return err_set(err, EINVAL,
                       "segment \"%.*s\" would never match: requests' dot segments are "
                       "removed before they are compared",
                       STR_ARG(text));
    }
    pattern->segments[pattern->n_segments++] = s;
    return 0;
}

int pattern_parse(const char *text, struct pattern *out_pattern, struct err *err)
{
    struct pattern pattern = {0};
    int rc = check_octets(text, err);
    for (const char *at = text; rc == 0 && *at == '/';) {
        size_t len = strcspn(at + 1, "/");
        rc = add_segment(&pattern, str_make(at + 1, len), at[1 + len] == '\0', err);
        at += 1 + len;
    }
    if (rc == 0)
        *out_pattern = pattern;
    return rc;
}
