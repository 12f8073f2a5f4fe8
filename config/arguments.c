/* Command lines. getopt_long(3) is not used: it keeps its state in globals, reorders argv (which a
 * reload reads again) and would need a table made from ours anyway. */
#include "config/arguments.h"

#include <errno.h>

#include "base/str.h"
#include "config/value.h"

struct reader {
    const struct merge_input *in;
    struct mistakes *mistakes;
    struct arena *arena;
    struct arguments *out;
    int at; /* index of the next argument */
    bool is_app_possible;
};

/* The value of an option: what stands behind its '=', else the next argument.
 * Returns  NULL when there is none; told */
static const char *take_value(struct reader *r, const char *flag, const char *attached)
{
    if (attached)
        return attached;
    if (r->at < r->in->argc)
        return r->in->argv[r->at++];
    mistakes_add(r->mistakes, "command line: %s: needs a value", flag);
    return NULL;
}

static void add_item(struct reader *r, const struct setting_spec *spec, const char *flag,
                     const char *value, const char *path)
{
    r->out->items[r->out->n++] = (struct argument){spec, flag, value, path};
}

static void complain_of_unknown(struct reader *r, struct str name, const char *dashes)
{
    char flag[SCHEMA_NAME_MAX];
    char quoted[VALUE_QUOTE_MAX];
    const struct setting_spec *near = schema_nearest(name);
    const char *shown = value_quote(quoted, name);
    if (near && near->type == SETTING_TREE)
        mistakes_add(r->mistakes, "command line: %s%.*s: is a map; write --set %s.KEY=VALUE",
                     dashes, (int)strlen(shown) - 2, shown + 1, near->name);
    else if (near)
        mistakes_add(r->mistakes, "command line: %s%.*s: no such option; did you mean --%s?",
                     dashes, (int)strlen(shown) - 2, shown + 1, schema_flag(near, flag));
    else
        mistakes_add(r->mistakes, "command line: %s%.*s: no such option; see --help", dashes,
                     (int)strlen(shown) - 2, shown + 1);
}

/* A member of a map that has a flag of its own, --env NAME=VALUE. */
static int read_member(struct reader *r, const struct setting_spec *spec, const char *flag,
                       const char *text)
{
    char quoted[VALUE_QUOTE_MAX];
    const char *equals = text ? strchr(text, '=') : NULL;
    if (!text)
        return 0;
    if (!equals || equals == text) {
        mistakes_add(r->mistakes, "command line: %s: %s is not of the form NAME=VALUE", flag,
                     value_quote(quoted, str_of(text)));
        return 0;
    }
    const char *path = arena_strndup(r->arena, text, (size_t)(equals - text));
    const char *where = path ? arena_printf(r->arena, NULL, "%s %s", flag, path) : NULL;
    if (!where)
        return -ENOMEM;
    add_item(r, spec, where, equals + 1, path);
    return 0;
}

/* --set KEY=VALUE */
static int read_set(struct reader *r, const char *text)
{
    if (!text)
        return 0;
    char quoted[VALUE_QUOTE_MAX];
    const char *equals = strchr(text, '=');
    struct str key = str_make(text, equals ? (size_t)(equals - text) : strlen(text));
    struct str name = str_make(text, 0);
    while (name.len < key.len && key.p[name.len] != '.')
        name.len++;
    if (!equals || key.len == 0) {
        mistakes_add(r->mistakes, "command line: --set: %s has no value; allowed: KEY=VALUE",
                     value_quote(quoted, str_of(text)));
        return 0;
    }
    const struct setting_spec *spec = schema_find(name);
    bool is_tree = spec && spec->type == SETTING_TREE;
    if (!spec || (is_tree != (name.len < key.len))) {
        const struct setting_spec *near = spec ? NULL : schema_nearest(name);
        mistakes_add(r->mistakes, "command line: --set: %s: %s%s%s%s", value_quote(quoted, key),
                     is_tree ? "a key of the map is needed: "
                     : spec  ? "is one value and has no keys"
                     : near  ? "no such setting; did you mean "
                             : "no such setting; see remuda config --reference",
                     is_tree ? spec->name
                     : near  ? near->name
                             : "",
                     is_tree ? ".KEY=VALUE" : "", near ? "?" : "");
        return 0;
    }
    const char *flag = arena_printf(r->arena, NULL, "--set %.*s", STR_ARG(key));
    const char *path =
        is_tree ? arena_strndup(r->arena, key.p + name.len + 1, key.len - name.len - 1) : NULL;
    if (!flag || (is_tree && !path))
        return -ENOMEM;
    add_item(r, spec, flag, equals + 1, path);
    return 0;
}

/* An option of the sub-command itself. Returns whether it was one */
static bool read_own(struct reader *r, struct str name, char letter, const char *attached)
{
    for (struct merge_option *o = r->in->options; o && o->name; o++) {
        bool is_it = letter ? o->letter == letter : str_is_equal(name, str_of(o->name));
        if (!is_it)
            continue;
        if (!o->takes_value) {
            o->n_given++;
            if (attached)
                mistakes_add(r->mistakes, "command line: %s: takes no value", o->name);
            return true;
        }
        const char *value = take_value(r, o->name, attached);
        if (value && o->n_given == MERGE_VALUES_MAX)
            mistakes_add(r->mistakes, "command line: %s: given too often; allowed: %d times",
                         o->name, MERGE_VALUES_MAX);
        else if (value)
            o->values[o->n_given++] = value;
        return true;
    }
    return false;
}

/* --NAME…, whose value may be attached with '='. */
static int read_long(struct reader *r, const char *argument)
{
    const char *equals = strchr(argument, '=');
    struct str whole = str_make(argument, equals ? (size_t)(equals - argument) : strlen(argument));
    struct str name = str_make(whole.p + 2, whole.len - 2);
    const char *attached = equals ? equals + 1 : NULL;
    if (read_own(r, whole, 0, attached))
        return 0;
    if (str_is_equal(name, STR("help"))) {
        r->out->is_help_wanted = true;
        return 0;
    }
    if (str_is_equal(name, STR("config"))) {
        r->out->config_flag = "--config";
        r->out->config_path = take_value(r, "--config", attached);
        return 0;
    }
    if (str_is_equal(name, STR("set")))
        return read_set(r, take_value(r, "--set", attached));

    bool is_no = str_has_prefix(name, STR("no-"));
    const struct setting_spec *spec = schema_find_flag(name);
    if (!spec && is_no) {
        spec = schema_find_flag(str_make(name.p + 3, name.len - 3));
        if (spec && spec->type != SETTING_BOOL)
            spec = NULL;
    } else {
        is_no = false;
    }
    if (!spec || (spec->type == SETTING_TREE && !spec->letter)) {
        complain_of_unknown(r, name, "--");
        return 0;
    }
    const char *flag = arena_strndup(r->arena, whole.p, whole.len);
    if (!flag)
        return -ENOMEM;
    if (spec->type == SETTING_TREE)
        return read_member(r, spec, flag, take_value(r, flag, attached));
    if (is_no && attached) {
        mistakes_add(r->mistakes, "command line: %s: takes no value", flag);
        return 0;
    }
    const char *value = spec->type == SETTING_BOOL && !attached ? (is_no ? "no" : "yes")
                                                                : take_value(r, flag, attached);
    if (value)
        add_item(r, spec, flag, value, NULL);
    return 0;
}

/* -x, -x VALUE, -xVALUE. */
static int read_short(struct reader *r, const char *argument)
{
    const char *attached = argument[2] ? argument + 2 : NULL;
    if (read_own(r, str_make(NULL, 0), argument[1], attached))
        return 0;
    if (argument[1] == 'h' && !attached) {
        r->out->is_help_wanted = true;
        return 0;
    }
    if (argument[1] == 'c') {
        r->out->config_flag = "-c";
        r->out->config_path = take_value(r, "-c", attached);
        return 0;
    }
    const struct setting_spec *spec = schema_find_letter(argument[1]);
    if (!spec) {
        complain_of_unknown(r, str_of(argument + 1), "-");
        return 0;
    }
    const char *flag = arena_strndup(r->arena, argument, 2);
    if (!flag)
        return -ENOMEM;
    const char *value = take_value(r, flag, attached);
    if (spec->type == SETTING_TREE)
        return read_member(r, spec, flag, value);
    if (value)
        add_item(r, spec, flag, value, NULL);
    return 0;
}

/* Only the first argument of all may be the app, so that `call GET /lib.so` means what it says. */
static void read_positional(struct reader *r, const char *argument)
{
    size_t len = strlen(argument);
    bool is_app = r->is_app_possible && len > 3 && strcmp(argument + len - 3, ".so") == 0;
    r->is_app_possible = false;
    if (is_app)
        add_item(r, &schema_specs[SETTING_ID_app], "APP.so", argument, NULL);
    else
        r->out->rest[r->out->n_rest++] = argument;
}

int arguments_parse(struct arena *arena, const struct merge_input *in, struct mistakes *mistakes,
                    struct arguments *out)
{
    size_t room = in->argc > 0 ? (size_t)in->argc : 1;
    *out = (struct arguments){
        .items = arena_alloc(arena, room * sizeof *out->items),
        .rest = arena_alloc(arena, room * sizeof *out->rest),
    };
    if (!out->items || !out->rest)
        return -ENOMEM;
    for (struct merge_option *o = in->options; o && o->name; o++)
        o->n_given = 0;
    struct reader r = {in, mistakes, arena, out, 1, true};
    bool are_options_over = false;
    while (r.at < in->argc) {
        const char *argument = in->argv[r.at++];
        int rc = 0;
        if (are_options_over || argument[0] != '-' || argument[1] == '\0')
            read_positional(&r, argument);
        else if (strcmp(argument, "--") == 0)
            are_options_over = true;
        else if (argument[1] == '-')
            rc = read_long(&r, argument);
        else
            rc = read_short(&r, argument);
        if (rc < 0)
            return rc;
    }
    return 0;
}
