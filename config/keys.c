/* Tables of keys. */
#include "config/keys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/panic.h"

#define NEAR_MAX 3 /* letters that may be wrong, and less than that: as in config/schema.c */
#define LIST_MAX 512

void keys_complain(struct keys_reader *r, unsigned line, unsigned column, const char *format, ...)
{
    struct err err;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    r->is_bad = true;
    if (line > 0)
        mistakes_add_at(r->mistakes, r->s->file, line, column, "%s: %s", r->place, err.text);
    else
        mistakes_add(r->mistakes, "command line: --set %s: %s", r->place, err.text);
}

size_t keys_enter(struct keys_reader *r, size_t at, const char *key)
{
    char quoted[VALUE_QUOTE_MAX];
    value_quote(quoted, str_of(key));
    int n =
        snprintf(r->place + at, sizeof r->place - at, ".%.*s", (int)strlen(quoted) - 2, quoted + 1);
    RMD_ASSERT(n > 0 && (size_t)n < sizeof r->place - at);
    return at + (size_t)n;
}

const struct keys_row *keys_find(const struct keys_row *rows, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, rows[i].spec.name) == 0)
            return &rows[i];
    return NULL;
}

/* "lane, pool, timeout" */
static const char *list(char out[LIST_MAX], const struct keys_row *rows, size_t n)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len < LIST_MAX; i++)
        len += (size_t)snprintf(out + len, LIST_MAX - len, "%s%s", i > 0 ? ", " : "",
                                rows[i].spec.name);
    return out;
}

void keys_refuse_node(struct keys_reader *r, const struct settings_node *node,
                      const struct keys_row *rows, size_t n)
{
    char names[LIST_MAX];
    keys_complain(r, node->line, node->column, "is no map; allowed: a map with %s",
                  list(names, rows, n));
}

void keys_refuse_key(struct keys_reader *r, const struct settings_node *node,
                     const struct keys_row *rows, size_t n)
{
    char names[LIST_MAX];
    unsigned best = NEAR_MAX;
    const char *near = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned distance = str_distance(node->key, rows[i].spec.name);
        if (distance < best) {
            best = distance;
            near = rows[i].spec.name;
        }
    }
    keys_complain(r, node->key_line, node->key_column, "no such key; %s%s%sallowed: %s",
                  near ? "did you mean " : "", near ? near : "", near ? "? " : "",
                  list(names, rows, n));
}

/* The place of a name in spec.names. Returns 0; -EINVAL */
static int parse_enum(const struct setting_spec *spec, struct str text, uint64_t *out_value)
{
    uint64_t value = 0;
    for (const char *p = spec->names; *p; value++) {
        size_t len = strcspn(p, ",");
        if (str_is_equal(str_make(p, len), text)) {
            *out_value = value;
            return 0;
        }
        p += len + (p[len] == ',');
    }
    return -EINVAL;
}

/* Returns 0; -EINVAL, *err says what is wrong and what is allowed */
static int parse(const struct setting_spec *spec, struct str text, uint64_t *out_value,
                 struct err *err)
{
    bool is_on = false;
    if (spec->type != SETTING_BOOL && spec->type != SETTING_ENUM_TYPE)
        return value_parse_number(spec, text, out_value, err);
    int rc = spec->type == SETTING_BOOL ? value_parse_bool(text, &is_on)
                                        : parse_enum(spec, text, out_value);
    if (rc == 0 && spec->type == SETTING_BOOL)
        *out_value = is_on;
    if (rc == 0)
        return 0;
    char quoted[VALUE_QUOTE_MAX];
    struct buf allowed = {0};
    bool is_described = value_describe(&allowed, spec) == 0;
    (void)err_set(err, EINVAL, "%s is %s; allowed: %s", value_quote(quoted, text),
                  spec->type == SETTING_BOOL ? "not a truth value" : "none of them",
                  is_described ? allowed.data : "?");
    buf_fini(&allowed);
    return -EINVAL;
}

void keys_read(struct keys_reader *r, const struct settings_node *node, const struct keys_row *row,
               void *out)
{
    struct err err;
    char quoted[VALUE_QUOTE_MAX];
    uint64_t value = 0;
    struct str text = str_make(node->text, node->len);
    const char *wrong = value_check_node(row->spec.type, node);
    if (wrong)
        keys_complain(r, node->line, node->column, "%s", wrong);
    else if (parse(&row->spec, text, &value, &err) < 0)
        keys_complain(r, node->line, node->column, "%s", err.text);
    else if (row->step > 0 && value % row->step != 0)
        keys_complain(r, node->line, node->column, "%s %s", value_quote(quoted, text), row->part);
    else
        memcpy((char *)out + row->offset, &value, sizeof value);
}

static bool is_read_here(const struct keys_row *row)
{
    return row->spec.type == SETTING_COUNT || row->spec.type == SETTING_DURATION ||
           row->spec.type == SETTING_SIZE || row->spec.type == SETTING_BOOL ||
           row->spec.type == SETTING_ENUM_TYPE;
}

void keys_set_defaults(const struct keys_row *rows, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0;
        if (!is_read_here(&rows[i]))
            continue;
        int rc = parse(&rows[i].spec, str_of(rows[i].spec.default_text), &value, NULL);
        RMD_ASSERT(rc == 0 && (rows[i].step == 0 || value % rows[i].step == 0));
        memcpy((char *)out + rows[i].offset, &value, sizeof value);
    }
}

int keys_print(struct buf *out, const struct keys_row *row, const void *from)
{
    uint64_t value;
    const char *name = row->spec.names;
    memcpy(&value, (const char *)from + row->offset, sizeof value);
    switch (row->spec.type) {
    case SETTING_DURATION:
        return value_print_duration(out, value);
    case SETTING_SIZE:
        return value_print_size(out, value);
    case SETTING_BOOL:
        return buf_printf(out, value ? "yes" : "no");
    case SETTING_ENUM_TYPE:
        for (; value > 0; value--)
            name += strcspn(name, ",") + 1;
        return buf_printf(out, "%.*s", (int)strcspn(name, ","), name);
    default:
        return buf_printf(out, "%llu", (unsigned long long)value);
    }
}
