/* Life of struct settings, and the reading side of free-form trees, which is all that workers need
 * of config/. Writing is in config/value.c (fields) and config/tree.c (trees). */
#include "config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "config/pool.h"
#include "config/schema.h"
#include "config/value.h"

#define SETTINGS_MAGIC 0x5e771465U
#define FIRST_BLOCK_BYTES 8192 /* a usual file's worth of settings fits (guess) */

static int set_defaults(struct settings *s)
{
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        if (spec->type == SETTING_TREE) { /* a map of its own, since --set writes into it */
            struct settings_node *empty = arena_alloc(&s->arena, sizeof *empty);
            if (!empty)
                return -ENOMEM;
            *empty = (struct settings_node){.kind = SETTINGS_MAP};
            *(const struct settings_node **)schema_field(s, spec) = empty;
            continue;
        }
        struct value_text text = {.text = str_of(spec->default_text)};
        int rc = value_set(s, spec, &text, 1, NULL, NULL);
        if (rc < 0)
            return rc;
    }
    struct mistakes none = {0}; /* there are none in maps without members */
    return pool_load(s, &none);
}

struct settings *settings_new(void)
{
    struct settings *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->magic = SETTINGS_MAGIC;
    arena_init(&s->arena, FIRST_BLOCK_BYTES);
    if (set_defaults(s) < 0) {
        settings_free(s);
        return NULL;
    }
    return s;
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    arena_fini(&s->arena);
    s->magic = 0;
    free(s);
}

static bool is_index(const char *text, size_t len, size_t index)
{
    uint64_t n;
    return str_parse_u64(str_make(text, len), UINT32_MAX, &n) == 0 && n == index;
}

const struct settings_node *settings_node_get(const struct settings_node *root, const char *key)
{
    if (!root || key[0] == '\0')
        return root;
    size_t i = 0;
    for (const struct settings_node *child = root->first; child; child = child->next, i++) {
        /* A key may hold dots itself, so each child is tried with as much as its key covers. */
        size_t len = child->key ? strlen(child->key) : strcspn(key, ".");
        if (child->key ? strncmp(child->key, key, len) != 0 : !is_index(key, len, i))
            continue;
        if (key[len] == '\0')
            return child;
        const struct settings_node *found =
            key[len] == '.' && key[len + 1] ? settings_node_get(child, key + len + 1) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

int settings_node_to_text(const struct settings_node *node, const char **out_text)
{
    if (!node)
        return -ENOENT;
    if (node->kind != SETTINGS_SCALAR)
        return -EINVAL;
    *out_text = node->text;
    return 0;
}

/* The text of a scalar that may be something else than text. Returns 0; -ENOENT; -EINVAL */
static int get_plain(const struct settings_node *node, struct str *out_text)
{
    if (!node)
        return -ENOENT;
    if (node->kind != SETTINGS_SCALAR || node->is_quoted || node->len == 0)
        return -EINVAL;
    *out_text = str_make(node->text, node->len);
    return 0;
}

int settings_node_to_bool(const struct settings_node *node, bool *out_is_on)
{
    struct str text;
    int rc = get_plain(node, &text);
    return rc < 0 ? rc : value_parse_bool(text, out_is_on);
}

int settings_node_to_int(const struct settings_node *node, int64_t *out_value)
{
    struct str text;
    int rc = get_plain(node, &text);
    if (rc < 0)
        return rc;
    bool is_negative = text.p[0] == '-';
    if (is_negative || text.p[0] == '+')
        text = str_make(text.p + 1, text.len - 1);
    uint64_t n;
    rc = value_parse_count(text, &n);
    if (rc < 0)
        return rc;
    if (n > (uint64_t)INT64_MAX + (is_negative ? 1 : 0))
        return -ERANGE;
    *out_value = is_negative ? (int64_t)(0 - n) : (int64_t)n;
    return 0;
}

int settings_node_to_double(const struct settings_node *node, double *out_value)
{
    struct str text;
    int rc = get_plain(node, &text);
    if (rc < 0)
        return rc;
    /* strtod(3) also takes hexadecimal, "inf" and "nan": not numbers that anyone means here. */
    if (strspn(text.p, "+-.0123456789eE") != text.len)
        return -EINVAL;
    char *end;
    errno = 0;
    double value = strtod(text.p, &end);
    if (end == text.p || *end != '\0')
        return -EINVAL;
    if (errno == ERANGE)
        return -ERANGE;
    *out_value = value;
    return 0;
}

int settings_node_to_duration(const struct settings_node *node, uint64_t *out_us)
{
    if (node && node->kind == SETTINGS_SCALAR && node->len > 0)
        return value_parse_duration(str_make(node->text, node->len), out_us);
    return node ? -EINVAL : -ENOENT;
}

int settings_node_to_size(const struct settings_node *node, uint64_t *out_bytes)
{
    struct str text;
    int rc = get_plain(node, &text);
    return rc < 0 ? rc : value_parse_size(text, out_bytes);
}
