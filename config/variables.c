/* `env`. The setting is a TREE, so that file, --set and `remuda config` treat it like every other
 * map, secrets included; this reads the map once all of it is there. */
#include "config/variables.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/err.h"
#include "config/tree.h"
#include "config/value.h"

/* line  0: it came by the command line */
__attribute__((format(printf, 4, 5))) static void complain(struct settings *s, struct mistakes *m,
                                                           const struct settings_node *node,
                                                           const char *format, ...)
{
    struct err err;
    va_list args;
    unsigned line = node->key_line > 0 ? node->key_line : node->line;
    unsigned column = node->key_line > 0 ? node->key_column : node->column;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    if (line > 0)
        mistakes_add_at(m, s->file, line, column, "env: %s", err.text);
    else
        mistakes_add(m, "command line: --env: %s", err.text);
}

/* The names that POSIX and every shell can use (XBD 8.1), in either case. */
static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '_')
            return false;
    return name.len > 0 && !isdigit((unsigned char)name.p[0]);
}

static const char *wrong_with(const struct settings_node *node)
{
    if (!is_name(str_of(node->key)))
        return "is no name of a variable; allowed: letters, digits and _, no digit first";
    if (node->kind != SETTINGS_SCALAR)
        return node->kind == SETTINGS_MAP ? "is a map; allowed: one value"
                                          : "is a list; allowed: one value";
    if (node->is_null)
        return "has no value; leave it out, or write \"\" for an empty one";
    if (memchr(node->text, '\0', node->len))
        return "has a NUL byte in its value; allowed: text";
    return NULL;
}

/* What the dynamic linker reads when a process starts. Loader and workers are forked, not started,
 * so that these would do nothing. */
static bool is_linkers(const char *name)
{
    static const char *const names[] = {"LD_LIBRARY_PATH", "LD_PRELOAD", "LD_BIND_NOW",
                                        "LD_AUDIT",        "LD_DEBUG",   "GLIBC_TUNABLES"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* "NAME=value" as a member of a map. NULL: no memory, or told */
static struct settings_node *member_of(struct settings *s, const struct settings_node *item,
                                       struct mistakes *mistakes, bool *out_is_told)
{
    const char *equals = item->kind == SETTINGS_SCALAR ? strchr(item->text, '=') : NULL;
    *out_is_told = !equals;
    if (!equals) {
        complain(s, mistakes, item,
                 "an item is not of the form NAME=value; allowed: a list of such texts, or a map");
        return NULL;
    }
    struct settings_node *node = tree_new(&s->arena, SETTINGS_SCALAR);
    size_t name_len = (size_t)(equals - item->text);
    const char *name = arena_strndup(&s->arena, item->text, name_len);
    if (!node || !name)
        return NULL;
    *node = (struct settings_node){.kind = SETTINGS_SCALAR,
                                   .key = name,
                                   .text = equals + 1,
                                   .len = item->len - name_len - 1,
                                   .is_quoted = true,
                                   .is_secret = item->is_secret,
                                   .line = item->line,
                                   .column = item->column,
                                   .key_line = item->line,
                                   .key_column = item->column};
    return node;
}

int variables_map_of(struct settings *s, const struct settings_node *list,
                     struct mistakes *mistakes, const struct settings_node **out_map)
{
    struct settings_node *map = tree_new(&s->arena, SETTINGS_MAP);
    struct settings_node *last = NULL;
    if (!map)
        return -ENOMEM;
    for (const struct settings_node *item = list->first; item; item = item->next) {
        bool is_told;
        struct settings_node *node = member_of(s, item, mistakes, &is_told);
        if (!node && !is_told)
            return -ENOMEM;
        const struct settings_node *old = node ? tree_find(map, str_of(node->key)) : NULL;
        if (old)
            complain(s, mistakes, item, "%s is there again; it was given on line %u already",
                     node->key, old->line);
        if (!node || old) {
            s->sources[SETTING_ID_env].is_bad = true;
            continue;
        }
        tree_add(map, node, last);
        last = node;
    }
    *out_map = map;
    return 0;
}

int variables_load(struct settings *s, struct mistakes *mistakes, struct mistakes *warnings)
{
    struct setting_variable *items = arena_alloc(&s->arena, (s->env->n + 1) * sizeof *items);
    if (!items)
        return -ENOMEM;
    size_t n = 0;
    bool is_bad = false;
    for (const struct settings_node *node = s->env->first; node; node = node->next) {
        char quoted[VALUE_QUOTE_MAX];
        const char *wrong = wrong_with(node);
        value_quote(quoted, str_of(node->key));
        if (wrong)
            complain(s, mistakes, node, "%s %s", quoted, wrong);
        else if (is_linkers(node->key))
            complain(s, warnings, node,
                     "%s has no effect here, since it is read when a process starts; set it where "
                     "remuda is started",
                     quoted);
        is_bad |= wrong != NULL;
        items[n++] = (struct setting_variable){node->key, node->text};
    }
    if (is_bad)
        s->sources[SETTING_ID_env].is_bad = true;
    else
        s->variables = (struct setting_variables){items, n};
    return 0;
}
