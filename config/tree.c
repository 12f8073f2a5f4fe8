/* Building free-form trees. Nodes are chained by `next` in the order of the file, so that whatever
 * is printed looks as it was written. */
#include "config/tree.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

struct settings_node *tree_new(struct arena *arena, enum settings_kind kind)
{
    struct settings_node *node = arena_alloc(arena, sizeof *node);
    if (node)
        *node = (struct settings_node){.kind = kind};
    return node;
}

/* Readers see const nodes; all of them were made here, writable. */
static struct settings_node *writable(const struct settings_node *node)
{
    return (struct settings_node *)(uintptr_t)node;
}

void tree_add(struct settings_node *parent, struct settings_node *child, struct settings_node *last)
{
    if (!last)
        for (const struct settings_node *node = parent->first; node; node = node->next)
            last = writable(node);
    if (last)
        last->next = child;
    else
        parent->first = child;
    parent->n++;
}

const struct settings_node *tree_find(const struct settings_node *map, struct str key)
{
    for (const struct settings_node *child = map->first; child; child = child->next)
        if (child->key && str_is_equal(key, str_of(child->key)))
            return child;
    return NULL;
}

/* The member `key` of a map, made when it is not there. */
static struct settings_node *get_member(struct arena *arena, struct settings_node *map,
                                        struct str key, enum settings_kind kind)
{
    const struct settings_node *old = tree_find(map, key);
    if (old)
        return writable(old);
    struct settings_node *node = tree_new(arena, kind);
    const char *copy = arena_strndup(arena, key.p, key.len);
    if (!node || !copy)
        return NULL;
    node->key = copy;
    tree_add(map, node, NULL);
    return node;
}

int tree_set(struct arena *arena, const struct settings_node *root, const char *path,
             const char *text, struct err *err)
{
    struct settings_node *map = writable(root);
    const char *rest = path;
    for (;;) {
        struct str key = str_make(rest, strcspn(rest, "."));
        bool is_last = rest[key.len] == '\0';
        if (key.len == 0)
            return err_set(err, EINVAL, "an empty key in \"%s\"", path);
        struct settings_node *node =
            get_member(arena, map, key, is_last ? SETTINGS_SCALAR : SETTINGS_MAP);
        if (!node)
            return err_set(err, ENOMEM, "out of memory");
        if (is_last != (node->kind == SETTINGS_SCALAR))
            return is_last ? err_set(err, EINVAL,
                                     "\"%s\" is a map or a list; set what is in it: %s.KEY=VALUE",
                                     path, path)
                           : err_set(err, EINVAL, "\"%.*s\" in \"%s\" is not a map", STR_ARG(key),
                                     path);
        if (is_last) {
            char *copy = arena_strndup(arena, text, strlen(text));
            if (!copy)
                return err_set(err, ENOMEM, "out of memory");
            node->text = copy;
            node->len = strlen(text);
            node->is_null = node->is_quoted = node->is_secret = false;
            node->line = node->column = 0;
            return 0;
        }
        map = node;
        rest += key.len + 1;
    }
}

bool tree_is_secret_name(struct str key)
{
    static const char *const words[] = {"password", "passwd", "secret", "token", "key"};
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        struct str word = str_of(words[w]);
        for (size_t i = 0; i + word.len <= key.len; i++)
            if (strncasecmp(key.p + i, word.p, word.len) == 0)
                return true;
    }
    return false;
}
