/* Folders to serve. The keys of a mount are a table, so that what is read, what is allowed and what
 * is near a misspelt key come from one place. All mistakes of all mounts are told in one go. */
#include "config/mount.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>

#include "base/err.h"
#include "config/render.h"
#include "config/tree.h"
#include "config/value.h"

#define PATH_BYTES_MAX 1024 /* of a path in URLs; request lines are 8190 by default */
#define PLACE_MAX (VALUE_QUOTE_MAX + 64)

static const char *const default_index[] = {"index.html"};
static const struct setting_mount defaults = {.index = default_index,
                                              .n_index = 1,
                                              .follow = true,
                                              .br = true,
                                              .gzip = true,
                                              .cache_control = ""};

struct reader {
    struct arena *arena;
    const char *name; /* of the setting */
    const char *file;
    struct mistakes *mistakes;
    bool is_bad;
    bool is_memory_out;
    char place[PLACE_MAX]; /* "static.0.path" */
};

static void complain(struct reader *r, const struct settings_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct reader *r, const struct settings_node *node, const char *format, ...)
{
    struct err err;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    r->is_bad = true;
    mistakes_add_at(r->mistakes, r->file, node->line, node->column, "%s: %s", r->place, err.text);
}

/* ---- Single values ---- */

static const char *check_path(struct str path)
{
    if (path.len == 0 || path.p[0] != '/' || path.p[path.len - 1] != '/')
        return "does not begin and end with a slash";
    if (path.len > PATH_BYTES_MAX)
        return "is too long";
    if (str_has_control(path))
        return "contains a control character";
    for (size_t at = 1; at < path.len;) {
        const char *slash = memchr(path.p + at, '/', path.len - at);
        struct str segment = str_make(path.p + at, (size_t)(slash - path.p) - at);
        if (segment.len == 0 || str_is_equal(segment, STR(".")) || str_is_equal(segment, STR("..")))
            return "has an empty or a dot segment";
        at += segment.len + 1;
    }
    for (size_t i = 0; i < path.len; i++)
        if (strchr("%?#", path.p[i]))
            return "has a %, ? or # in it; it is compared with decoded paths";
    return NULL;
}

static const char *check_folder(struct str folder)
{
    return folder.len == 0           ? "is empty"
           : folder.len >= PATH_MAX  ? "is too long"
           : str_has_control(folder) ? "contains a control character"
                                     : NULL;
}

static const char *check_index(struct str name)
{
    return name.len == 0                   ? "is empty"
           : name.len > NAME_MAX           ? "is too long"
           : memchr(name.p, '/', name.len) ? "has a slash in it"
           : str_has_control(name)         ? "contains a control character"
           : str_is_equal(name, STR("."))  ? "is the folder itself"
           : str_is_equal(name, STR("..")) ? "leads out of the folder"
                                           : NULL;
}

static const char *check_cache_control(struct str text)
{
    return str_has_control(text) ? "contains a control character" : NULL;
}

#define PATH_ALLOWED "a path such as /assets/, or / for everything"
#define FOLDER_ALLOWED "path of a folder"

/* Reads a scalar as text that passes a check. NULL: refused, told, or no memory */
static const char *read_text(struct reader *r, const struct settings_node *node,
                             const char *(*check)(struct str), const char *allowed)
{
    char quoted[VALUE_QUOTE_MAX];
    const char *wrong = value_check_node(SETTING_STRING, node);
    if (wrong) {
        complain(r, node, "%s", wrong);
        return NULL;
    }
    struct str text = str_make(node->text, node->len);
    wrong = check(text);
    if (wrong) {
        complain(r, node, "%s %s; allowed: %s", value_quote(quoted, text), wrong, allowed);
        return NULL;
    }
    const char *copy = arena_strndup(r->arena, text.p, text.len);
    r->is_memory_out |= !copy;
    return copy;
}

static void read_path(struct reader *r, const struct settings_node *node, struct setting_mount *out)
{
    out->path = read_text(r, node, check_path, PATH_ALLOWED);
}

static void read_folder(struct reader *r, const struct settings_node *node,
                        struct setting_mount *out)
{
    out->folder = read_text(r, node, check_folder, FOLDER_ALLOWED);
}

static void read_cache_control(struct reader *r, const struct settings_node *node,
                               struct setting_mount *out)
{
    out->cache_control = read_text(r, node, check_cache_control, "text in one line, or \"\"");
}

static bool read_bool(struct reader *r, const struct settings_node *node)
{
    char quoted[VALUE_QUOTE_MAX];
    bool is_on = false;
    const char *wrong = value_check_node(SETTING_BOOL, node);
    if (wrong)
        complain(r, node, "%s", wrong);
    else if (value_parse_bool(str_make(node->text, node->len), &is_on) < 0)
        complain(r, node, "%s is not a truth value; allowed: yes, no, true, false, on, off",
                 value_quote(quoted, str_make(node->text, node->len)));
    return is_on;
}

static void read_listing(struct reader *r, const struct settings_node *node,
                         struct setting_mount *out)
{
    out->listing = read_bool(r, node);
}

static void read_dotfiles(struct reader *r, const struct settings_node *node,
                          struct setting_mount *out)
{
    out->dotfiles = read_bool(r, node);
}

static void read_follow(struct reader *r, const struct settings_node *node,
                        struct setting_mount *out)
{
    out->follow = read_bool(r, node);
}

/* ---- Lists; one value stands for a list of it ---- */

static const struct settings_node *first_of(const struct settings_node *node)
{
    return node->kind == SETTINGS_LIST ? node->first : node;
}

/* The node behind it; of a lone value there is none, whatever follows it in its map. */
static const struct settings_node *next_of(const struct settings_node *list,
                                           const struct settings_node *item)
{
    return list->kind == SETTINGS_LIST ? item->next : NULL;
}

static void read_index(struct reader *r, const struct settings_node *node,
                       struct setting_mount *out)
{
    const char **names = arena_alloc(r->arena, SETTINGS_INDEX_MAX * sizeof *names);
    size_t n = 0;
    r->is_memory_out |= !names;
    const struct settings_node *item = names ? first_of(node) : NULL;
    for (; item; item = next_of(node, item)) {
        if (n == SETTINGS_INDEX_MAX) {
            complain(r, item, "too many names; allowed: at most %d", SETTINGS_INDEX_MAX);
            break;
        }
        names[n++] = read_text(r, item, check_index, "names of files, or [] for none");
    }
    out->index = names;
    out->n_index = n;
}

static const char *check_coding(struct str name)
{
    return str_is_equal(name, STR("br")) || str_is_equal(name, STR("gzip")) ? NULL
                                                                            : "is not one of these";
}

static void read_precompressed(struct reader *r, const struct settings_node *node,
                               struct setting_mount *out)
{
    out->br = out->gzip = false;
    for (const struct settings_node *item = first_of(node); item; item = next_of(node, item)) {
        const char *name = read_text(r, item, check_coding, "br, gzip, or [] for none");
        if (name)
            *(name[0] == 'b' ? &out->br : &out->gzip) = true;
    }
}

/* ---- A mount ---- */

static const struct key {
    const char *name;
    void (*read)(struct reader *r, const struct settings_node *node, struct setting_mount *out);
} keys[] = {
    {"path", read_path},
    {"folder", read_folder},
    {"index", read_index},
    {"listing", read_listing},
    {"dotfiles", read_dotfiles},
    {"follow", read_follow},
    {"precompressed", read_precompressed},
    {"cache_control", read_cache_control},
};

#define N_KEYS (sizeof keys / sizeof keys[0])

static void refuse_key(struct reader *r, const struct settings_node *node)
{
    unsigned best = 3; /* letters that may be wrong: a guess, as in config/schema.c */
    const char *near = NULL;
    for (size_t i = 0; i < N_KEYS; i++) {
        unsigned distance = str_distance(node->key, keys[i].name);
        if (distance < best) {
            best = distance;
            near = keys[i].name;
        }
    }
    struct settings_node at = {.line = node->key_line, .column = node->key_column};
    complain(r, &at, "no such key; %s%s%s",
             near ? "did you mean "
                  : "allowed: path, folder, index, listing, dotfiles, follow, "
                    "precompressed, cache_control",
             near ? near : "", near ? "?" : "");
}

static void read_member(struct reader *r, size_t index, const struct settings_node *node,
                        struct setting_mount *out)
{
    char quoted[VALUE_QUOTE_MAX];
    value_quote(quoted, str_of(node->key));
    (void)snprintf(r->place, sizeof r->place, "%s.%zu.%.*s", r->name, index,
                   (int)strlen(quoted) - 2, quoted + 1);
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(node->key, keys[i].name) == 0) {
            keys[i].read(r, node, out);
            return;
        }
    }
    refuse_key(r, node);
}

/* An item of the list. */
static void read_map(struct reader *r, size_t index, const struct settings_node *map,
                     struct setting_mount *out)
{
    (void)snprintf(r->place, sizeof r->place, "%s.%zu", r->name, index);
    *out = defaults;
    out->line = map->line;
    out->column = map->column;
    if (map->kind != SETTINGS_MAP) {
        complain(r, map, "is no map; allowed: %s", MOUNT_FORMS);
        return;
    }
    static const char *const needed[] = {"path", "folder"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!tree_find(map, str_of(needed[i])))
            complain(r, map, "has no %s, which every mount needs", needed[i]);
    for (const struct settings_node *node = map->first; node; node = node->next)
        read_member(r, index, node, out);
}

/* A member of the short form: /path/: folder. */
static void read_short(struct reader *r, const struct settings_node *node,
                       struct setting_mount *out)
{
    char quoted[VALUE_QUOTE_MAX];
    struct str path = str_of(node->key);
    *out = defaults;
    out->line = node->line;
    out->column = node->column;
    (void)snprintf(r->place, sizeof r->place, "%s", r->name);
    struct settings_node key = {.kind = SETTINGS_SCALAR,
                                .text = node->key,
                                .len = path.len,
                                .is_quoted = true,
                                .line = node->key_line,
                                .column = node->key_column};
    read_path(r, &key, out);
    value_quote(quoted, path);
    (void)snprintf(r->place, sizeof r->place, "%s.%.*s", r->name, (int)strlen(quoted) - 2,
                   quoted + 1);
    if (node->kind != SETTINGS_SCALAR)
        complain(r, node, "is no folder; allowed: %s", MOUNT_FORMS);
    else
        read_folder(r, node, out);
}

int mount_load(struct arena *arena, const char *name, const struct settings_node *node,
               const char *file, struct mistakes *mistakes, struct setting_mounts *out,
               bool *out_is_bad)
{
    struct reader r = {.arena = arena, .name = name, .file = file, .mistakes = mistakes};
    struct setting_mount *items = arena_alloc(arena, (node->n + 1) * sizeof *items);
    if (!items)
        return -ENOMEM;
    size_t n = 0;
    (void)snprintf(r.place, sizeof r.place, "%s", name);
    if (node->kind == SETTINGS_SCALAR)
        complain(&r, node, "is no list and no map; allowed: %s", MOUNT_FORMS);
    else if (node->n > SETTINGS_MOUNTS_MAX)
        complain(&r, node, "too many mounts; allowed: at most %d", SETTINGS_MOUNTS_MAX);
    else
        for (const struct settings_node *item = node->first; item; item = item->next, n++)
            node->kind == SETTINGS_MAP ? read_short(&r, item, &items[n])
                                       : read_map(&r, n, item, &items[n]);
    if (r.is_memory_out)
        return -ENOMEM;
    if (!r.is_bad)
        *out = (struct setting_mounts){items, n};
    *out_is_bad = r.is_bad;
    return 0;
}

/* ---- As one text ---- */

int mount_parse(struct arena *arena, struct str text, struct setting_mount *out, struct err *err)
{
    const char *equals = text.len > 0 ? memchr(text.p, '=', text.len) : NULL;
    if (!equals)
        return err_set(err, EINVAL, "no = between path and folder; allowed: /path/=folder");
    struct str path = str_make(text.p, (size_t)(equals - text.p));
    struct str folder = str_make(equals + 1, text.len - path.len - 1);
    const char *wrong = check_path(path);
    if (wrong)
        return err_set(err, EINVAL, "the path %s; allowed: " PATH_ALLOWED, wrong);
    wrong = check_folder(folder);
    if (wrong)
        return err_set(err, EINVAL, "the folder %s; allowed: " FOLDER_ALLOWED, wrong);
    struct setting_mount mount = defaults;
    mount.path = arena_strndup(arena, path.p, path.len);
    mount.folder = arena_strndup(arena, folder.p, folder.len);
    if (!mount.path || !mount.folder)
        return err_set(err, ENOMEM, "out of memory");
    *out = mount;
    return 0;
}

static int put_text(struct buf *out, const char *key, const char *text)
{
    int rc = buf_printf(out, "    %s: ", key);
    if (rc == 0)
        rc = render_scalar(out, str_of(text), false);
    return rc < 0 ? rc : buf_printf(out, "\n");
}

int mount_render(struct buf *out, const struct setting_mount *mount)
{
    int rc = buf_printf(out, "  - path: ");
    if (rc == 0)
        rc = render_scalar(out, str_of(mount->path), false);
    if (rc == 0)
        rc = buf_printf(out, "\n");
    if (rc == 0)
        rc = put_text(out, "folder", mount->folder);
    if (rc == 0)
        rc = buf_printf(out, "    index: [");
    for (size_t i = 0; i < mount->n_index && rc == 0; i++) {
        rc = buf_printf(out, "%s", i > 0 ? ", " : "");
        if (rc == 0)
            rc = render_scalar(out, str_of(mount->index[i]), true);
    }
    if (rc == 0)
        rc = buf_printf(out,
                        "]\n    listing: %s\n    dotfiles: %s\n    follow: %s\n"
                        "    precompressed: [%s%s%s]\n",
                        mount->listing ? "yes" : "no", mount->dotfiles ? "yes" : "no",
                        mount->follow ? "yes" : "no", mount->br ? "br" : "",
                        mount->br && mount->gzip ? ", " : "", mount->gzip ? "gzip" : "");
    return rc < 0 ? rc : put_text(out, "cache_control", mount->cache_control);
}
