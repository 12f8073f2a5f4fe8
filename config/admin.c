/* `admin`. The setting is a TREE, so that file and --set treat it like every other map; this reads
 * it once all of it is there. */
#include "config/admin.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "config/address.h"
#include "config/keys.h"

static const struct keys_row keys[] = {
    {.spec = {.name = "bind", .type = SETTING_STRING}},
};

#define N_KEYS (sizeof keys / sizeof keys[0])

static int read_bind(struct keys_reader *r, const struct settings_node *node,
                     struct setting_bind *out)
{
    struct err err;
    char quoted[VALUE_QUOTE_MAX];
    struct str text = str_make(node->text, node->len);
    const char *wrong = value_check_node(SETTING_STRING, node);
    if (wrong) {
        keys_complain(r, node->line, node->column, "%s", wrong);
        return 0;
    }
    int rc = address_parse(&r->s->arena, text, out, &err);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0)
        keys_complain(r, node->line, node->column, "%s %s", value_quote(quoted, text), err.text);
    out->line = node->line;
    out->column = node->column;
    return 0;
}

int admin_load(struct settings *s, struct mistakes *mistakes)
{
    struct keys_reader r = {.s = s, .mistakes = mistakes, .place = "admin"};
    size_t at = strlen(r.place);
    struct setting_bind *bind = arena_alloc(&s->arena, sizeof *bind);
    if (!bind)
        return -ENOMEM;
    *bind = (struct setting_bind){0};
    for (const struct settings_node *node = s->admin->first; node; node = node->next) {
        const struct keys_row *key = keys_find(keys, N_KEYS, node->key);
        (void)keys_enter(&r, at, node->key);
        int rc = 0;
        if (key)
            rc = read_bind(&r, node, bind);
        else
            keys_refuse_key(&r, node, keys, N_KEYS);
        if (rc < 0)
            return rc;
    }
    s->sources[SETTING_ID_admin].is_bad |= r.is_bad;
    s->admin_bind = r.is_bad || !bind->text ? NULL : bind;
    return 0;
}
