/* The four layers put together. Each layer turns what it reads into value_set() and a source; what
 * goes wrong anywhere goes to one list, and only when that is empty are there settings. A layer
 * above does not hide a mistake below: a wrong file is wrong, also under a flag. */
#include "config/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "config/admin.h"
#include "config/arguments.h"
#include "config/check.h"
#include "config/expand.h"
#include "config/load.h"
#include "config/machine.h"
#include "config/mount.h"
#include "config/pool.h"
#include "config/bounds.h"
#include "config/route.h"
#include "config/schema.h"
#include "config/tree.h"
#include "config/value.h"
#include "config/variables.h"

#define DEFAULT_FILE "remuda.yaml"

struct merge {
    const struct merge_input *in;
    struct merge_result *out;
    struct settings *s;
    struct arguments arguments;
};

/* Sets a value, or tells why not, at its source.
 * place   of text i, for lists of a file; the others have one place
 * Returns 0, also when it was told; -ENOMEM */
static int set(struct merge *m, const struct setting_spec *spec, const struct value_text *texts,
               size_t n, struct setting_source source)
{
    struct setting_source *kept = &m->s->sources[schema_id(spec)];
    struct err err;
    size_t bad = 0;
    int rc = value_set(m->s, spec, texts, n, &bad, &err);
    if (rc == -ENOMEM)
        return rc;
    *kept = source;
    if (rc < 0) {
        kept->is_bad = true;
        if (source.origin == SETTING_FROM_FILE) {
            kept->line = texts[bad].line;
            kept->column = texts[bad].column;
        }
        check_complain(m->s, schema_id(spec), &m->out->mistakes, "%s", err.text);
    }
    return 0;
}

/* ---- The file ---- */

static void refuse_node(struct merge *m, const struct setting_spec *spec,
                        const struct settings_node *node, const char *wrong)
{
    m->s->sources[schema_id(spec)].is_bad = true;
    mistakes_add_at(&m->out->mistakes, m->s->file, node->line, node->column, "%s: %s", spec->name,
                    wrong);
}

static int apply_list(struct merge *m, const struct setting_spec *spec,
                      const struct settings_node *list, struct setting_source source)
{
    struct value_text *texts = arena_alloc(&m->s->arena, (list->n + 1) * sizeof *texts);
    if (!texts)
        return -ENOMEM;
    size_t n = 0;
    size_t n_bad = 0;
    for (const struct settings_node *item = list->first; item; item = item->next) {
        const char *wrong = value_check_node(spec->type, item);
        if (wrong) {
            refuse_node(m, spec, item, wrong);
            n_bad++;
            continue;
        }
        texts[n++] = (struct value_text){str_make(item->text, item->len), item->line, item->column};
    }
    if (n == 0 && n_bad == 0 && spec->type != SETTING_BINDS) {
        texts[0] = (struct value_text){STR(""), list->line, list->column};
        return set(m, spec, texts, 1, source);
    }
    if (n == 0 && n_bad == 0) {
        refuse_node(m, spec, list, "is an empty list; allowed: one address or more");
        return 0;
    }
    /* One by one first, so that each wrong item is told, then together. */
    size_t n_before = m->out->mistakes.n;
    for (size_t i = 0; i < n; i++) {
        int rc = set(m, spec, &texts[i], 1, source);
        if (rc < 0)
            return rc;
    }
    bool is_good = n_bad == 0 && m->out->mistakes.n == n_before;
    if (is_good)
        return set(m, spec, texts, n, source);
    m->s->sources[schema_id(spec)].is_bad = true;
    return 0;
}

static void apply_range(struct merge *m, const struct setting_spec *spec,
                        const struct settings_node *map, struct setting_source source)
{
    struct setting_source *kept = &m->s->sources[schema_id(spec)];
    struct keys_reader r = {.s = m->s, .mistakes = &m->out->mistakes};
    (void)snprintf(r.place, sizeof r.place, "%s", spec->name);
    *kept = source;
    bounds_read(&r, map, spec, schema_field(m->s, spec));
    kept->is_bad = r.is_bad;
}

static int apply_member(struct merge *m, const struct settings_node *node)
{
    char quoted[VALUE_QUOTE_MAX];
    struct str key = str_of(node->key);
    const struct setting_spec *spec = schema_find(key);
    if (!spec) {
        const struct setting_spec *near = schema_nearest(key);
        value_quote(quoted, key);
        mistakes_add_at(&m->out->mistakes, m->s->file, node->key_line, node->key_column,
                        "%.*s: no such setting; %s%s%s", (int)strlen(quoted) - 2, quoted + 1,
                        near ? "did you mean " : "see remuda config --reference",
                        near ? near->name : "", near ? "?" : "");
        return 0;
    }
    struct setting_source source = {.origin = SETTING_FROM_FILE,
                                    .where = m->s->file,
                                    .line = node->line,
                                    .column = node->column};
    if (spec->type == SETTING_TREE) {
        m->s->sources[schema_id(spec)] = source;
        if (spec == &schema_specs[SETTING_ID_env] && node->kind == SETTINGS_LIST)
            return variables_map_of(m->s, node, &m->out->mistakes, &m->s->env);
        if (node->kind != SETTINGS_MAP)
            refuse_node(m, spec, node,
                        spec == &schema_specs[SETTING_ID_app_config]
                            ? "is no map; allowed: a map of the app's own settings"
                        : spec == &schema_specs[SETTING_ID_admin]
                            ? "is no map; allowed: {bind: HOST:PORT}"
                            : "is no map; allowed: a map");
        else
            *(const struct settings_node **)schema_field(m->s, spec) = node;
        return 0;
    }
    if (spec->type == SETTING_MOUNTS) {
        struct setting_source *kept = &m->s->sources[schema_id(spec)];
        *kept = source;
        return mount_load(&m->s->arena, spec->name, node, m->s->file, &m->out->mistakes,
                          schema_field(m->s, spec), &kept->is_bad);
    }
    if (schema_is_list(spec) && node->kind == SETTINGS_LIST)
        return apply_list(m, spec, node, source);
    if (spec->type == SETTING_RANGE && node->kind == SETTINGS_MAP) {
        apply_range(m, spec, node, source);
        return 0;
    }
    const char *wrong = value_check_node(spec->type, node);
    if (wrong) {
        refuse_node(m, spec, node, wrong);
        return 0;
    }
    struct value_text text = {str_make(node->text, node->len), node->line, node->column};
    return set(m, spec, &text, 1, source);
}

/* Which file: the flag's, the variable's, or the usual one where it exists. */
static int find_file(struct merge *m)
{
    const char *variable = expand_find_variable(m->in->environment, STR("REMUDA_CONFIG"));
    const char *path = m->arguments.config_path;
    if (!path && variable && variable[0])
        path = variable;
    if (!path && access(DEFAULT_FILE, F_OK) == 0)
        path = DEFAULT_FILE;
    m->out->config_path = path;
    if (!path)
        return 0;
    m->s->file = arena_strndup(&m->s->arena, path, strlen(path));
    return m->s->file ? 0 : -ENOMEM;
}

static int apply_file(struct merge *m)
{
    const struct settings_node *root;
    int rc = find_file(m);
    if (rc < 0 || !m->s->file)
        return rc;
    rc = (m->in->is_again ? load_file_again : load_file)(
        &m->s->arena, m->s->file, m->in->environment, &m->out->mistakes, &root);
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0; /* cannot be read: told */
    m->s->is_file_empty = !root->first;
    for (const struct settings_node *node = root->first; node && rc == 0; node = node->next)
        rc = apply_member(m, node);
    return rc;
}

/* ---- Environment and command line ---- */

/* Values that come as one text: lists have commas. The texts lie in the arena. */
static int apply_text(struct merge *m, const struct setting_spec *spec, const char *const *values,
                      size_t n_values, struct setting_source source)
{
    size_t room = n_values;
    for (size_t i = 0; i < n_values; i++)
        for (const char *p = values[i]; *p; p++)
            room += *p == ',';
    struct value_text *texts = arena_alloc(&m->s->arena, room * sizeof *texts);
    if (!texts)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < n_values; i++) {
        const char *p = values[i];
        for (bool is_more = true; is_more;) {
            size_t len = schema_is_list(spec) ? strcspn(p, ",") : strlen(p);
            texts[n++] = (struct value_text){.text = str_make(p, len)};
            is_more = p[len] == ',';
            p += len + is_more;
        }
    }
    return set(m, spec, texts, n, source);
}

/* Variables that others make, or that are no settings. */
static bool is_foreign_variable(struct str name)
{
    /* Kubernetes and Docker set NAME_PORT, NAME_PORT_80_TCP…, NAME_SERVICE_HOST… in every container
     * beside a service called NAME, and someone's service will be called remuda. */
    return str_is_equal(name, STR("REMUDA_CONFIG")) || str_is_equal(name, STR("REMUDA_FAULT")) ||
           str_is_equal(name, STR("REMUDA_PORT")) || str_has_prefix(name, STR("REMUDA_PORT_")) ||
           str_has_prefix(name, STR("REMUDA_SERVICE_"));
}

static int apply_variable(struct merge *m, const char *entry)
{
    const char *equals = strchr(entry, '=');
    struct str name = str_make(entry, equals ? (size_t)(equals - entry) : 0);
    if (!str_has_prefix(name, STR("REMUDA_")) || is_foreign_variable(name))
        return 0;
    const struct setting_spec *spec = schema_find_variable(name);
    if (!spec) {
        char variable[SCHEMA_NAME_MAX];
        const struct setting_spec *near = schema_nearest(name);
        mistakes_add(&m->out->mistakes, "environment: %.*s: no such setting; %s%s%s", STR_ARG(name),
                     near ? "did you mean "
                          : "REMUDA_ is for settings only, see remuda config "
                            "--reference",
                     near ? schema_variable(near, variable) : "", near ? "?" : "");
        return 0;
    }
    if (spec->type == SETTING_TREE) {
        mistakes_add(&m->out->mistakes,
                     "environment: %.*s: %s: a map cannot come from a variable; write ${NAME} in "
                     "the file's values",
                     STR_ARG(name), spec->name);
        return 0;
    }
    const char *where = arena_strndup(&m->s->arena, name.p, name.len);
    if (!where)
        return -ENOMEM;
    struct setting_source source = {.origin = SETTING_FROM_ENVIRONMENT, .where = where};
    const char *value = equals + 1;
    return apply_text(m, spec, &value, 1, source);
}

static int apply_environment(struct merge *m)
{
    int rc = 0;
    for (char **entry = m->in->environment; entry && *entry && rc == 0; entry++)
        rc = apply_variable(m, *entry);
    return rc;
}

/* Is it meant as a map? Where the app decides what there is, it may as well be text. */
static bool is_map(const struct argument *a)
{
    bool is_free = strcmp(a->spec->name, "app_config") == 0 || strcmp(a->spec->name, "env") == 0;
    return !is_free && a->value[0] == '{';
}

static int apply_path(struct merge *m, const struct argument *a, struct setting_source source)
{
    const struct settings_node *const *tree = schema_peek_field(m->s, a->spec);
    struct err err;
    if (is_map(a)) {
        mistakes_add(&m->out->mistakes,
                     "command line: %s: a map is set key by key: %s.%s.KEY=VALUE", a->flag,
                     a->spec->name, a->path);
        return 0;
    }
    int rc = tree_set(&m->s->arena, *tree, a->path, a->value, &err);
    if (rc == -EINVAL)
        mistakes_add(&m->out->mistakes, "command line: %s: %s", a->flag, err.text);
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    struct setting_source *kept = &m->s->sources[schema_id(a->spec)];
    if (kept->origin == SETTING_FROM_DEFAULT) {
        *kept = source;
        return 0;
    }
    kept->also = kept->also ? arena_printf(&m->s->arena, NULL, "%s, %s", kept->also, source.where)
                            : source.where;
    return kept->also ? 0 : -ENOMEM;
}

/* One argument; of a list all at its first one. */
static int apply_argument(struct merge *m, size_t i, const char **values)
{
    const struct argument *a = &m->arguments.items[i];
    const char *where = arena_strndup(&m->s->arena, a->flag, strlen(a->flag));
    if (!where)
        return -ENOMEM;
    struct setting_source source = {.origin = SETTING_FROM_COMMAND_LINE, .where = where};
    if (a->path)
        return apply_path(m, a, source);
    size_t n = 0;
    values[n++] = a->value;
    if (schema_is_list(a->spec)) {
        for (size_t k = 0; k < i; k++)
            if (m->arguments.items[k].spec == a->spec)
                return 0;
        for (size_t k = i + 1; k < m->arguments.n; k++)
            if (m->arguments.items[k].spec == a->spec)
                values[n++] = m->arguments.items[k].value;
    }
    return apply_text(m, a->spec, values, n, source);
}

static int apply_command_line(struct merge *m)
{
    const char **values = arena_alloc(&m->s->arena, (m->arguments.n + 1) * sizeof *values);
    int rc = values ? 0 : -ENOMEM;
    for (size_t i = 0; i < m->arguments.n && rc == 0; i++)
        rc = apply_argument(m, i, values);
    return rc;
}

/* ---- All together ---- */

static int resolve(struct merge *m)
{
    struct machine machine;
    if (m->in->machine)
        machine = *m->in->machine;
    else
        machine_read(&machine, "/proc", "/sys/fs/cgroup");
    return machine_resolve(&machine, m->s);
}

static int merge_layers(struct merge *m)
{
    struct merge_result *out = m->out;
    int rc = apply_file(m);
    if (rc == 0)
        rc = apply_environment(m);
    if (rc == 0)
        rc = apply_command_line(m);
    if (rc == 0)
        rc = pool_load(m->s, &out->mistakes);
    if (rc == 0)
        rc = route_load(m->s, &out->mistakes);
    if (rc == 0)
        rc = variables_load(m->s, &out->mistakes, &out->warnings);
    if (rc == 0)
        rc = admin_load(m->s, &out->mistakes);
    if (rc == 0)
        rc = resolve(m);
    if (rc < 0)
        return rc;
    check_settings(m->s, &out->mistakes, &out->warnings);
    if (m->s->strict)
        mistakes_take(&out->mistakes, &out->warnings);
    mistakes_sort(&out->mistakes);
    mistakes_sort(&out->warnings);
    out->exit_code = 1;
    return mistakes_is_empty(&out->mistakes) ? 0 : -EINVAL;
}

/* What is not an option is copied out of the arena that goes. */
static int keep_rest(struct merge *m)
{
    const struct arguments *a = &m->arguments;
    m->out->rest = calloc(a->n_rest + 1, sizeof *m->out->rest);
    if (!m->out->rest)
        return -ENOMEM;
    memcpy(m->out->rest, a->rest, a->n_rest * sizeof *a->rest);
    m->out->n_rest = a->n_rest;
    m->out->is_help_wanted = a->is_help_wanted;
    return 0;
}

int merge_settings(const struct merge_input *in, struct merge_result *out)
{
    *out = (struct merge_result){.exit_code = 1};
    struct merge m = {.in = in, .out = out};
    struct arena arena; /* of the command line */
    arena_init(&arena, 1024);
    int rc = arguments_parse(&arena, in, &out->mistakes, &m.arguments);
    if (rc == 0)
        rc = keep_rest(&m);
    if (rc == 0 && !m.arguments.is_help_wanted) {
        if (mistakes_is_empty(&out->mistakes)) {
            m.s = settings_new();
            rc = m.s ? merge_layers(&m) : -ENOMEM;
        } else {
            out->exit_code = 2;
            rc = -EINVAL;
        }
    }
    if (m.arguments.is_help_wanted)
        mistakes_fini(&out->mistakes); /* who asks for help may have written anything */
    if (rc == -ENOMEM)
        out->mistakes.is_memory_out = true;
    if (rc == 0)
        out->exit_code = 0;
    if (rc == 0 || (rc == -EINVAL && in->keeps_settings))
        out->settings = m.s;
    else
        settings_free(m.s);
    arena_fini(&arena);
    return rc;
}

struct settings *merge_take_settings(struct merge_result *r)
{
    struct settings *s = r->settings;
    r->settings = NULL;
    return s;
}

void merge_print(const struct merge_result *r, FILE *to)
{
    mistakes_print(&r->mistakes, "", to);
    mistakes_print(&r->warnings, "warning: ", to);
}

void merge_fini(struct merge_result *r)
{
    settings_free(r->settings);
    mistakes_fini(&r->mistakes);
    mistakes_fini(&r->warnings);
    free(r->rest);
    *r = (struct merge_result){0};
}
