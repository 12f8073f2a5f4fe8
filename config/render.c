/* Settings printed as YAML. libyaml's emitter is not used: it keeps no comments, and scalars and
 * indented blocks are all that is needed.
 *
 * Appending can only fail for want of memory, so the functions here pass a struct buf on and look
 * at one flag at the end, instead of at each of a hundred calls. */
#include "config/render.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/panic.h"
#include "config/mount.h"
#include "config/pool.h"
#include "config/tree.h"
#include "config/value.h"

struct page {
    struct buf *out;
    int rc;       /* 0, or the first failure; then nothing more is appended */
    bool is_open; /* keys say nothing of secrets: these are patterns of routes */
};

static void put(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct page *page, const char *format, ...)
{
    char small[512];
    va_list args;
    va_list again;
    if (page->rc < 0)
        return;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) {
        page->rc = -ENOMEM;
    } else if ((size_t)n < sizeof small) {
        page->rc = buf_append(page->out, small, (size_t)n);
    } else {
        page->rc = buf_reserve(page->out, (size_t)n + 1);
        if (page->rc == 0) {
            (void)vsnprintf(page->out->data + page->out->len, (size_t)n + 1, format, again);
            page->out->len += (size_t)n;
        }
    }
    va_end(again);
}

/* ---- Scalars ---- */

static bool is_plain_safe(struct str text)
{
    static const char first[] = "/_.";
    static const char later[] = "/_.-+@=:%~";
    if (text.len == 0 || value_is_yaml_word(text) || text.p[text.len - 1] == ':')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x80 || c == 0 || (!isalnum(c) && !strchr(i == 0 ? first : later, c)))
            return false;
    }
    return strcmp(text.p, "...") != 0;
}

/* Variables are expanded in values, not in keys; so a value's dollars are doubled. */
static void put_quoted(struct page *page, struct str text, const char *dollar)
{
    put(page, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\')
            put(page, "\\%c", c);
        else if (c == '$')
            put(page, "%s", dollar);
        else if (c == '\n')
            put(page, "\\n");
        else if (c == '\t')
            put(page, "\\t");
        else if (c < 0x20 || c == 0x7F)
            put(page, "\\x%02x", c);
        else
            put(page, "%c", c);
    }
    put(page, "\"");
}

int render_scalar(struct buf *out, struct str text, bool is_quoted)
{
    struct page page = {.out = out};
    if (!is_quoted && is_plain_safe(text))
        put(&page, "%.*s", STR_ARG(text));
    else
        put_quoted(&page, text, "$$");
    return page.rc;
}

static void put_key(struct page *page, struct str key)
{
    if (is_plain_safe(key))
        put(page, "%.*s", STR_ARG(key));
    else
        put_quoted(page, key, "$");
}

int render_wrapped(struct buf *out, const char *prefix, const char *text)
{
    enum { WIDTH = 78 };
    struct page page = {.out = out};
    size_t room = WIDTH - strlen(prefix);
    while (*text) {
        size_t n = strlen(text);
        if (n > room) {
            n = room;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0)
                n = strcspn(text, " ");
        }
        put(&page, "%s%.*s\n", prefix, (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
    return page.rc;
}

/* ---- Free-form trees ---- */

static void put_node(struct page *page, const struct settings_node *node, int indent,
                     bool is_secret);

static void put_children(struct page *page, const struct settings_node *parent, int indent,
                         bool is_secret)
{
    for (const struct settings_node *child = parent->first; child; child = child->next) {
        put(page, "%*s", indent, "");
        bool is_hidden = is_secret;
        if (child->key) {
            put_key(page, str_of(child->key));
            put(page, ":");
            is_hidden |= !page->is_open && tree_is_secret_name(str_of(child->key));
        } else {
            put(page, "-");
        }
        put_node(page, child, indent + 2, is_hidden);
    }
}

/* What stands behind "key:" or "-", with the end of its line. */
static void put_node(struct page *page, const struct settings_node *node, int indent,
                     bool is_secret)
{
    if (node->kind == SETTINGS_SCALAR) {
        put(page, " ");
        if (node->is_null)
            put(page, "null");
        else if (is_secret || node->is_secret)
            put(page, "\"***\"");
        else if (page->rc == 0)
            page->rc =
                value_is_yaml_word(str_of(node->text)) && !node->is_quoted
                    ? buf_append(page->out, node->text, node->len)
                    : render_scalar(page->out, str_make(node->text, node->len), node->is_quoted);
        put(page, "\n");
    } else if (node->n == 0) {
        put(page, node->kind == SETTINGS_MAP ? " {}\n" : " []\n");
    } else {
        put(page, "\n");
        put_children(page, node, indent, is_secret);
    }
}

/* ---- Settings ---- */

static bool is_text(const struct setting_spec *spec)
{
    return spec->type == SETTING_STRING || spec->type == SETTING_PATH ||
           spec->type == SETTING_USER || spec->type == SETTING_GROUP;
}

static void put_value(struct page *page, const struct settings *s, const struct setting_spec *spec,
                      size_t i)
{
    struct buf text = {0};
    int rc = value_print(&text, s, spec, i);
    struct str printed = str_make(text.data ? text.data : "", text.len);
    if (rc < 0)
        page->rc = rc;
    else if (page->rc == 0 && (is_text(spec) || schema_is_list(spec)))
        page->rc = render_scalar(page->out, printed, spec->type == SETTING_STRING);
    else
        put(page, "%.*s", STR_ARG(printed));
    buf_fini(&text);
}

static void put_source(struct page *page, const struct settings *s, const struct setting_spec *spec)
{
    const struct setting_source *source = &s->sources[schema_id(spec)];
    switch (source->origin) {
    case SETTING_FROM_FILE:
        put(page, "  # %s:%u", source->where, source->line);
        break;
    case SETTING_FROM_ENVIRONMENT:
        put(page, "  # environment: %s", source->where);
        break;
    case SETTING_FROM_COMMAND_LINE:
        put(page, "  # command line: %s", source->where);
        break;
    default:
        put(page, "  # default");
        break;
    }
    if (source->also && source->origin == SETTING_FROM_COMMAND_LINE)
        put(page, ", %s", source->also);
    else if (source->also)
        put(page, "; command line: %s", source->also);
}

/* How auto came to its number, and what would change it. */
static void put_derived(struct page *page, const struct settings *s,
                        const struct setting_spec *spec, bool is_why)
{
    const char *why = s->sources[schema_id(spec)].derived;
    if (!why)
        return;
    const struct setting_range *value = schema_peek_field(s, spec);
    if (!is_why && value->min < value->max && s->adaptive)
        put(page, "  # %u to %u here", (unsigned)value->min, (unsigned)value->max);
    else if (!is_why)
        put(page, "  # %u here", (unsigned)value->n);
    if (!is_why)
        return;
    put(page, "\n");
    if (page->rc == 0)
        page->rc = render_wrapped(page->out, "#   ", why);
    char flag[SCHEMA_NAME_MAX];
    put(page, "#   or a number: %s in the file, --%s", spec->name, schema_flag(spec, flag));
}

static void put_mounts(struct page *page, const struct settings *s, const struct setting_spec *spec,
                       bool is_why)
{
    const struct setting_mounts *mounts = schema_peek_field(s, spec);
    put(page, "%s", mounts->n == 0 ? " []" : "");
    if (is_why)
        put_source(page, s, spec);
    put(page, "\n");
    for (size_t i = 0; i < mounts->n && page->rc == 0; i++)
        page->rc = mount_render(page->out, &mounts->items[i]);
}

/* With every key: what a pool does not say is at its default, which one wants to see. */
static void put_pools(struct page *page, const struct settings *s, const struct setting_spec *spec,
                      bool is_why)
{
    const struct setting_pools *pools = &s->compute_pools;
    bool is_default = spec == &schema_specs[SETTING_ID_compute];
    put(page, "%s", !is_default && pools->n == 1 ? " {}" : "");
    if (is_why)
        put_source(page, s, spec);
    put(page, "\n");
    if (is_default && page->rc == 0)
        page->rc = pool_render(page->out, &pools->items[0], 2, is_why);
    for (size_t i = 1; !is_default && i < pools->n; i++) {
        put(page, "  ");
        put_key(page, str_of(pools->items[i].name));
        put(page, ":\n");
        if (page->rc == 0)
            page->rc = pool_render(page->out, &pools->items[i], 4, is_why);
    }
}

static void put_setting(struct page *page, const struct settings *s,
                        const struct setting_spec *spec, bool is_why)
{
    put(page, "%s:", spec->name);
    if (spec == &schema_specs[SETTING_ID_compute] || spec == &schema_specs[SETTING_ID_pools]) {
        put_pools(page, s, spec, is_why);
        return;
    }
    if (spec->type == SETTING_TREE) {
        const struct settings_node *tree =
            *(const struct settings_node *const *)schema_peek_field(s, spec);
        if (tree->n == 0)
            put(page, " {}");
        if (is_why)
            put_source(page, s, spec);
        put(page, "\n");
        page->is_open = spec == &schema_specs[SETTING_ID_routes];
        put_children(page, tree, 2, false);
        return;
    }
    if (spec->type == SETTING_MOUNTS) {
        put_mounts(page, s, spec, is_why);
        return;
    }
    size_t n = value_count(s, spec);
    bool is_block = spec->type == SETTING_BINDS && n > 1;
    bool is_flow = n != 1 && !is_block;
    put(page, is_block ? "" : is_flow ? " [" : " ");
    for (size_t i = 0; !is_block && i < n; i++) {
        put(page, i > 0 ? ", " : "");
        put_value(page, s, spec, i);
    }
    put(page, is_flow ? "]" : "");
    if (is_why)
        put_source(page, s, spec);
    put_derived(page, s, spec, is_why);
    put(page, "\n");
    for (size_t i = 0; is_block && i < n; i++) {
        put(page, "  - ");
        put_value(page, s, spec, i);
        put(page, "\n");
    }
}

/* A comment of several lines. */
static void put_comment(struct page *page, const char *topic, const char *text)
{
    struct buf line = {0};
    if (page->rc == 0)
        page->rc = buf_printf(&line, "%s: %s", topic, text);
    if (page->rc == 0)
        page->rc = render_wrapped(page->out, "# ", line.data);
    buf_fini(&line);
}

int render_settings(struct buf *out, const struct settings *s, bool is_why)
{
    struct page page = {.out = out};
    const char *group = "";
    if (is_why) {
        put_comment(&page, "File", s->file ? s->file : "none");
        if (s->cpus_why)
            put_comment(&page, "CPUs", s->cpus_why);
        if (s->memory_why)
            put_comment(&page, "Memory", s->memory_why);
    }
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        if (strcmp(group, spec->group) != 0)
            put(&page, "%s# ---- %s ----\n", i > 0 || is_why ? "\n" : "", spec->group);
        group = spec->group;
        put_setting(&page, s, spec, is_why);
    }
    return page.rc;
}

/* A setting with a # in front of each line. */
static void put_commented(struct page *page, const struct settings *s,
                          const struct setting_spec *spec)
{
    struct buf text = {0};
    struct page lines = {.out = &text};
    put_setting(&lines, s, spec, false);
    if (lines.rc < 0 && page->rc == 0)
        page->rc = lines.rc;
    for (size_t at = 0, len; at < text.len; at += len) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        len = end ? (size_t)(end + 1 - (text.data + at)) : text.len - at;
        put(page, "#%.*s", (int)len, text.data + at);
    }
    buf_fini(&text);
}

int render_defaults(struct buf *out)
{
    struct page page = {.out = out};
    struct settings *s = settings_new();
    if (!s)
        return -ENOMEM;
    const char *group = "";
    put(&page, "# Every setting of remuda with its default. Take away the # in front of what you "
               "change.\n");
    for (size_t i = 0; i < SETTINGS_N && page.rc == 0; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        if (strcmp(group, spec->group) != 0)
            put(&page, "\n# ---- %s ----\n", spec->group);
        group = spec->group;
        put(&page, "\n");
        struct buf allowed = {0};
        page.rc = render_wrapped(out, "# ", spec->help);
        if (page.rc == 0)
            page.rc = value_describe(&allowed, spec);
        put(&page, "# Allowed: %s.\n", allowed.data ? allowed.data : "");
        put_commented(&page, s, spec);
        buf_fini(&allowed);
    }
    settings_free(s);
    return page.rc;
}
