/* The settings with takes = START, compared and kept. */
#include "config/restart.h"

#include <stdio.h>
#include <string.h>

#include "config/schema.h"

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_tree(const struct settings_node *a, const struct settings_node *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind || a->n != b->n || !is_same_text(a->key, b->key) ||
        !is_same_text(a->text, b->text))
        return false;
    const struct settings_node *x = a->first;
    const struct settings_node *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!is_same_tree(x, y))
            return false;
    return x == y;
}

static const char *text_at(const void *field)
{
    return *(const char *const *)field;
}

/* Whether two fields say the same, and their size. */
static bool compare(const struct setting_spec *spec, const void *a, const void *b, size_t *out_size)
{
    switch (spec->type) {
    case SETTING_STRING:
    case SETTING_PATH:
    case SETTING_USER:
    case SETTING_GROUP:
        *out_size = sizeof(char *);
        return is_same_text(text_at(a), text_at(b));
    case SETTING_TREE:
        *out_size = sizeof(struct settings_node *);
        return is_same_tree(*(const struct settings_node *const *)a,
                            *(const struct settings_node *const *)b);
    case SETTING_BOOL:
        *out_size = sizeof(bool);
        break;
    case SETTING_COUNT:
    case SETTING_MODE:
    case SETTING_ENUM_TYPE:
        *out_size = sizeof(uint32_t);
        break;
    case SETTING_DURATION:
    case SETTING_SIZE:
        *out_size = sizeof(uint64_t);
        break;
    case SETTING_COUNT_AUTO: /* no row of these takes a restart: tests/unit/config/restart.c */
    case SETTING_RANGE:
    case SETTING_BINDS:
    case SETTING_NETWORKS:
    case SETTING_MOUNTS:
    case SETTING_PATHS:
    case SETTING_TYPES_N:
        *out_size = 0;
        return true;
    }
    return memcmp(a, b, *out_size) == 0;
}

size_t restart_keep(struct settings *next, const struct settings *start,
                    char out_names[RESTART_NAMES_MAX])
{
    size_t n = 0;
    size_t len = 0;
    out_names[0] = '\0';
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        size_t size = 0;
        void *field = schema_field(next, spec);
        const void *kept = schema_peek_field(start, spec);
        if (spec->takes != SETTING_TAKES_START || compare(spec, field, kept, &size))
            continue;
        memcpy(field, kept, size);
        n++;
        if (len < RESTART_NAMES_MAX)
            len += (size_t)snprintf(out_names + len, RESTART_NAMES_MAX - len, "%s%s",
                                    len > 0 ? ", " : "", spec->name);
    }
    return n;
}
