/* Variables inside values, after the shell's ${NAME:-default}, without nesting and without any
 * other operator: a configuration is not a program. An unset variable is a mistake rather than an
 * empty text, since an empty password or path fails far from its cause. */
#include "config/expand.h"

#include <ctype.h>
#include <errno.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/tree.h"
#include "config/value.h"

const char *expand_find_variable(char *const *environment, struct str name)
{
    for (char *const *entry = environment; entry && *entry; entry++)
        if (strncmp(*entry, name.p, name.len) == 0 && (*entry)[name.len] == '=')
            return *entry + name.len + 1;
    return NULL;
}

static bool is_variable_name(struct str name)
{
    if (name.len == 0 || isdigit((unsigned char)name.p[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '_')
            return false;
    return true;
}

/* What stands for "${inside}". Returns 0; -EINVAL */
static int resolve(struct str inside, char *const *environment, struct str *out_text,
                   bool *out_is_secret, struct err *err)
{
    char quoted[VALUE_QUOTE_MAX];
    const char *colon = memchr(inside.p, ':', inside.len);
    struct str name = str_make(inside.p, colon ? (size_t)(colon - inside.p) : inside.len);
    if (!is_variable_name(name) || (colon && (name.len + 1 == inside.len || colon[1] != '-')))
        return err_set(err, EINVAL,
                       "%s between ${ and } is no variable; allowed: ${NAME}, "
                       "${NAME:-default}, and $$ for a dollar",
                       value_quote(quoted, inside));
    const char *value = expand_find_variable(environment, name);
    bool is_given = value && (value[0] || !colon);
    if (!is_given && !colon)
        return err_set(err, EINVAL,
                       "the environment variable %.*s is not set; set it, or give a "
                       "default: ${%.*s:-default}",
                       STR_ARG(name), STR_ARG(name));
    *out_text = is_given ? str_of(value) : str_make(colon + 2, inside.len - name.len - 2);
    if (is_given && tree_is_secret_name(name))
        *out_is_secret = true;
    return 0;
}

static int expand(struct buf *out, struct str text, char *const *environment, bool *out_is_secret,
                  struct err *err)
{
    for (size_t i = 0; i < text.len;) {
        char next = i + 1 < text.len ? text.p[i + 1] : '\0';
        struct str piece = str_make(text.p + i, 1);
        i++;
        if (piece.p[0] == '$' && next == '$') {
            i++;
        } else if (piece.p[0] == '$' && next == '{') {
            const char *end = memchr(text.p + i, '}', text.len - i);
            if (!end)
                return err_set(err, EINVAL,
                               "${ without a closing }; write $${ for the characters "
                               "themselves");
            struct str inside = str_make(text.p + i + 1, (size_t)(end - text.p) - i - 1);
            int rc = resolve(inside, environment, &piece, out_is_secret, err);
            if (rc < 0)
                return rc;
            i = (size_t)(end - text.p) + 1;
        }
        if (buf_append(out, piece.p, piece.len) < 0)
            return err_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

int expand_text(struct arena *arena, struct str text, char *const *environment,
                struct str *out_text, bool *out_is_secret, struct err *err)
{
    struct buf expanded = {0};
    bool is_secret = *out_is_secret;
    int rc = 0;
    if (text.len > 0 && memchr(text.p, '$', text.len)) {
        rc = expand(&expanded, text, environment, &is_secret, err);
        text = str_make(expanded.data, expanded.len);
    }
    if (rc == 0) {
        const char *copy = arena_strndup(arena, text.p, text.len);
        if (copy) {
            *out_text = str_make(copy, text.len);
            *out_is_secret = is_secret;
        } else {
            rc = err_set(err, ENOMEM, "out of memory");
        }
    }
    buf_fini(&expanded);
    return rc;
}
