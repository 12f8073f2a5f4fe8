/* YAML by libyaml's events (yaml.h is included nowhere else). Events rather than its documents,
 * since they keep the place of every key and value and show anchors, aliases and tags before
 * anything has been expanded, so that "billion laughs" is no question.
 *
 * A mistake in one value is told and the next one looked at; only broken syntax ends the scan,
 * and what stands before it is kept, so that its mistakes come in the same go. */
#include "config/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/err.h"
#include "base/fd.h"
#include "config/expand.h"
#include "config/tree.h"
#include "config/utf8.h"
#include "config/value.h"

struct loader {
    yaml_parser_t parser;
    struct arena *arena;
    char *const *environment;
    struct mistakes *mistakes;
    const char *file;
    size_t n_nodes;
    bool is_again; /* a server runs by what was read before: regular files only */
    bool is_cut;   /* the text was cut before its end: a syntax error there is no news */
};

/* Where in the tree we are, as a chain up the stack. */
struct place {
    const struct place *parent;
    const char *key; /* NULL: a list item */
    size_t index;
    unsigned depth; /* 0: the top map */
};

#define PLACE_TEXT_MAX 200

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static unsigned column_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->column + 1;
}

/* Writes "a.b.0", cut where it is too long. Returns bytes written. */
static size_t print_place(char out[PLACE_TEXT_MAX], const struct place *place)
{
    size_t n = place->parent ? print_place(out, place->parent) : 0;
    if (!place->parent) {
        out[0] = '\0';
        return 0;
    }
    const char *dot = n > 0 ? "." : "";
    int more = place->key ? snprintf(out + n, PLACE_TEXT_MAX - n, "%s%s", dot, place->key)
                          : snprintf(out + n, PLACE_TEXT_MAX - n, "%s%zu", dot, place->index);
    return more < 0 || n + (size_t)more >= PLACE_TEXT_MAX ? PLACE_TEXT_MAX - 1 : n + (size_t)more;
}

static void complain(struct loader *l, const yaml_mark_t *mark, const struct place *place,
                     const char *what)
{
    char text[PLACE_TEXT_MAX];
    bool is_named = print_place(text, place) > 0;
    mistakes_add_at(l->mistakes, l->file, line_of(mark), column_of(mark), "%s%s%s", text,
                    is_named ? ": " : "", what);
}

/* What libyaml says, said again for those who do not know its grammar. */
static const struct {
    const char *problem;
    const char *hint;
    bool is_at_context; /* where the trouble began is the better place to point at */
} hints[] = {
    {"could not find expected ':'", "no \"key: value\" (a blank belongs behind the colon)", true},
    {"mapping values are not allowed in this context",
     "a second \": \" in one line; write a value that holds one in quotes", false},
    {"block sequence entries are not allowed in this context",
     "a list begins on a line of its own; write a lone - in quotes: \"-\"", false},
    {"found character that cannot start any token",
     "a character that cannot begin a value; write the value in quotes, indent with spaces, not "
     "tabs",
     false},
    {"found a tab character that violates indentation", "indent with spaces, not tabs", false},
    {"found unexpected end of stream", "the closing quote is missing", true},
    {"did not find expected key",
     "neither a key of this map nor the end of it; see indentation "
     "and quotes",
     false},
    {"did not find expected ',' or ']'", "the closing ] is missing", true},
    {"did not find expected ',' or '}'", "the closing } is missing", true},
};

static void complain_of_syntax(struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    const yaml_mark_t *mark = &p->problem_mark;
    const char *what = p->problem ? p->problem : "cannot be read";
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strcmp(what, hints[i].problem) != 0)
            continue;
        what = hints[i].hint;
        if (hints[i].is_at_context && p->context)
            mark = &p->context_mark;
        break;
    }
    mistakes_add_at(l->mistakes, l->file, line_of(mark), column_of(mark), "syntax: %s", what);
}

/* Returns 0 and an event to be given to yaml_event_delete(); -EINVAL the scan is over, told;
 * -ENOMEM */
static int next_event(struct loader *l, yaml_event_t *out_event)
{
    if (yaml_parser_parse(&l->parser, out_event))
        return 0;
    if (l->parser.error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    if (!l->is_cut)
        complain_of_syntax(l);
    return -EINVAL;
}

static struct settings_node *new_node(struct loader *l, const yaml_event_t *event,
                                      enum settings_kind kind)
{
    struct settings_node *node = tree_new(l->arena, kind);
    if (node) {
        node->line = line_of(&event->start_mark);
        node->column = column_of(&event->start_mark);
    }
    return node;
}

/* A password inside an address: scheme://user:password@host. */
static bool has_password(struct str text)
{
    const char *slashes = text.len > 3 ? memmem(text.p, text.len, "://", 3) : NULL;
    const char *at = slashes ? strchr(slashes, '@') : NULL;
    return at && memchr(slashes + 3, ':', (size_t)(at - slashes - 3));
}

static int load_scalar(struct loader *l, const yaml_event_t *event, const struct place *place,
                       struct settings_node **out_node)
{
    struct str raw = str_make((const char *)event->data.scalar.value, event->data.scalar.length);
    struct settings_node *node = new_node(l, event, SETTINGS_SCALAR);
    if (!node)
        return -ENOMEM;
    bool is_truth;
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->is_null =
        !node->is_quoted && value_is_yaml_word(raw) && value_parse_bool(raw, &is_truth) < 0;
    if (node->is_null)
        raw = str_make("", 0);
    if (raw.len > 0 && memchr(raw.p, '\0', raw.len)) { /* "\0" in double quotes */
        complain(l, &event->start_mark, place, "contains a NUL character");
        *out_node = NULL;
        return 0;
    }
    struct str text;
    struct err err;
    int rc = expand_text(l->arena, raw, l->environment, &text, &node->is_secret, &err);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) {
        complain(l, &event->start_mark, place, err.text);
        *out_node = NULL;
        return 0;
    }
    node->text = text.p;
    node->len = text.len;
    node->is_secret |= has_password(text);
    *out_node = node;
    return 0;
}

static int load_value(struct loader *l, const yaml_event_t *event, const struct place *place,
                      struct settings_node **out_node);

static int load_list(struct loader *l, const struct place *place, struct settings_node *list)
{
    struct settings_node *last = NULL;
    for (size_t index = 0;; index++) {
        struct place here = {place, NULL, index, place->depth + 1};
        struct settings_node *item = NULL;
        yaml_event_t event;
        int rc = next_event(l, &event);
        if (rc < 0)
            return rc;
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!is_end)
            rc = load_value(l, &event, &here, &item);
        yaml_event_delete(&event);
        if (is_end || rc < 0)
            return rc;
        if (item) {
            tree_add(list, item, last);
            last = item;
        }
    }
}

/* Whether a key names a file that holds a secret: below app_config and env only, and only where its
 * name says that it does ("db_password_file"), so that an app may have a `log_file` of its own. */
static bool is_file_key(const struct place *here, struct str key)
{
    if (key.len <= 5 || memcmp(key.p + key.len - 5, "_file", 5) != 0 ||
        !tree_is_secret_name(str_make(key.p, key.len - 5)))
        return false;
    const struct place *top = here;
    while (top->depth > 1)
        top = top->parent;
    return top != here && top->key &&
           (strcmp(top->key, "app_config") == 0 || strcmp(top->key, "env") == 0);
}

static int read_file(bool is_again, const char *path, size_t max_bytes, char **out_text,
                     size_t *out_len)
{
    return is_again ? fd_read_regular(path, max_bytes, out_text, out_len)
                    : fd_read_file(path, max_bytes, out_text, out_len);
}

static const char *explain_read(int code)
{
    return code == ESPIPE ? "it is no regular file, and what is read while the server runs must be "
                            "one"
                          : strerror(code);
}

/* Replaces a path by what the file holds. Returns 0 and false in *is_good when it was told; -ENOMEM
 */
static int load_secret(struct loader *l, const yaml_mark_t *mark, const struct place *place,
                       struct settings_node *node, bool *is_good)
{
    char *data = NULL;
    size_t len = 0;
    int rc = node->kind == SETTINGS_SCALAR && node->len > 0
                 ? read_file(l->is_again, node->text, LOAD_SECRET_MAX, &data, &len)
                 : -EINVAL;
    if (rc == -ENOMEM)
        return rc;
    *is_good = false;
    if (rc == 0 && memchr(data, '\0', len)) {
        complain(l, mark, place, "the file holds a NUL byte; allowed: one value as text");
    } else if (rc < 0) {
        struct err err;
        char quoted[VALUE_QUOTE_MAX];
        err_set(&err, EINVAL,
                "cannot read %s: %s; allowed: path of a readable file of at most "
                "64 KiB, which holds the value",
                value_quote(quoted, str_make(node->text, node->text ? node->len : 0)),
                rc == -EFBIG    ? "too large"
                : rc == -EINVAL ? "not a path"
                                : explain_read(-rc));
        complain(l, mark, place, err.text);
    } else {
        if (len > 0 && data[len - 1] == '\n')
            len--;
        const char *copy = arena_strndup(l->arena, data, len);
        rc = copy ? 0 : -ENOMEM;
        node->text = copy;
        node->len = len;
        node->is_secret = true;
        *is_good = true;
    }
    free(data);
    return rc < 0 && rc != -ENOMEM ? 0 : rc;
}

/* Puts a value that was read into its map, unless its key is there already. */
static int add_member(struct loader *l, const yaml_event_t *key_event, const struct place *here,
                      struct settings_node *map, struct settings_node *node,
                      struct settings_node **last)
{
    struct str key = str_of(here->key);
    if (is_file_key(here, key)) {
        yaml_mark_t mark = {.line = node->line - 1, .column = node->column - 1};
        bool is_good;
        int rc = load_secret(l, &mark, here, node, &is_good);
        if (rc < 0 || !is_good)
            return rc;
        key.len -= 5;
    }
    const struct settings_node *old = tree_find(map, key);
    if (old) {
        struct err err;
        err_set(&err, EINVAL, "%s; it was given on line %u already",
                key.len < strlen(here->key) || old->is_secret ? "a second value of the same name"
                                                              : "the same key again",
                old->key_line);
        complain(l, &key_event->start_mark, here, err.text);
        return 0;
    }
    node->key = arena_strndup(l->arena, key.p, key.len);
    if (!node->key)
        return -ENOMEM;
    node->key_line = line_of(&key_event->start_mark);
    node->key_column = column_of(&key_event->start_mark);
    tree_add(map, node, *last);
    *last = node;
    return 0;
}

/* What is wrong with a key, NULL: nothing. */
static const char *check_key(const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return "a key must be plain text, not a list, a map or an alias";
    if (event->data.scalar.length == 0)
        return "an empty key";
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length))
        return "a key contains a NUL character";
    if (event->data.scalar.anchor || event->data.scalar.tag)
        return "anchors and tags are not supported";
    return NULL;
}

/* One key, whose event is given, and its value. */
static int load_member(struct loader *l, const yaml_event_t *key_event, const struct place *place,
                       struct settings_node *map, struct settings_node **last)
{
    struct place here = {place, "?", 0, place->depth + 1};
    struct settings_node *node = NULL;
    const char *wrong = check_key(key_event);
    int rc = 0;
    if (wrong)
        complain(l, &key_event->start_mark, place, wrong);
    else
        here.key = (const char *)key_event->data.scalar.value;
    if (key_event->type != YAML_SCALAR_EVENT)
        rc = load_value(l, key_event, &here, &node); /* only to get past it */
    if (rc < 0)
        return rc;

    yaml_event_t event;
    rc = next_event(l, &event);
    if (rc < 0)
        return rc;
    rc = load_value(l, &event, &here, &node);
    yaml_event_delete(&event);
    if (rc < 0 || wrong || !node)
        return rc;
    return add_member(l, key_event, &here, map, node, last);
}

static int load_map(struct loader *l, const struct place *place, struct settings_node *map)
{
    struct settings_node *last = NULL;
    for (;;) {
        yaml_event_t event;
        int rc = next_event(l, &event);
        if (rc < 0)
            return rc;
        bool is_end = event.type == YAML_MAPPING_END_EVENT;
        if (!is_end)
            rc = load_member(l, &event, place, map, &last);
        yaml_event_delete(&event);
        if (is_end || rc < 0)
            return rc;
    }
}

/* Reads the value that begins with `event`.
 * out_node  NULL when it was refused (told) but the scan goes on
 * Returns   0; -EINVAL the scan is over, told; -ENOMEM. *out_node may hold what came before */
static int load_value(struct loader *l, const yaml_event_t *event, const struct place *place,
                      struct settings_node **out_node)
{
    *out_node = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        complain(l, &event->start_mark, place, "aliases are not supported; repeat the value");
        return 0;
    }
    bool is_scalar = event->type == YAML_SCALAR_EVENT;
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *anchor = is_scalar ? event->data.scalar.anchor
                                : is_list ? event->data.sequence_start.anchor
                                          : event->data.mapping_start.anchor;
    const yaml_char_t *tag = is_scalar ? event->data.scalar.tag
                             : is_list ? event->data.sequence_start.tag
                                       : event->data.mapping_start.tag;
    if (anchor)
        complain(l, &event->start_mark, place, "anchors are not supported; repeat the value");
    if (tag)
        complain(l, &event->start_mark, place,
                 "tags are not supported; write text in quotes, numbers plain");
    if (++l->n_nodes > LOAD_NODES_MAX) {
        complain(l, &event->start_mark, place, "too many values; allowed: at most 10000 in a file");
        return -EINVAL;
    }
    if (!is_scalar && place->depth >= LOAD_DEPTH_MAX) {
        complain(l, &event->start_mark, place, "nested too deeply; allowed: at most 32 levels");
        return -EINVAL;
    }
    if (is_scalar)
        return load_scalar(l, event, place, out_node);
    struct settings_node *node = new_node(l, event, is_list ? SETTINGS_LIST : SETTINGS_MAP);
    if (!node)
        return -ENOMEM;
    *out_node = node;
    return is_list ? load_list(l, place, node) : load_map(l, place, node);
}

/* Reads the one document. *out_root stays as it is when there is none. */
static int load_document(struct loader *l, const struct settings_node **out_root)
{
    static const struct place top = {0};
    struct settings_node *root = NULL;
    bool has_document = false;
    for (;;) {
        yaml_event_t event;
        int rc = next_event(l, &event);
        if (rc < 0)
            return rc;
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && has_document) {
            complain(l, &event.start_mark, &top, "syntax: a second document; allowed: only one");
            type = YAML_STREAM_END_EVENT;
        } else if (type == YAML_DOCUMENT_START_EVENT) {
            has_document = true;
        } else if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT ||
                   type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT) {
            rc = load_value(l, &event, &top, &root);
            if (root && root->kind == SETTINGS_MAP)
                *out_root = root;
            else if (root && !root->is_null)
                complain(l, &event.start_mark, &top,
                         "syntax: not a map; allowed: one \"setting: value\" a line");
        }
        yaml_event_delete(&event);
        if (rc < 0 || type == YAML_STREAM_END_EVENT)
            return rc;
    }
}

/* Takes the text into the loader's arena. */
static int parse(struct loader *l, struct str text, const struct settings_node **out_root)
{
    const struct settings_node *root = tree_new(l->arena, SETTINGS_MAP);
    if (!root || !yaml_parser_initialize(&l->parser))
        return -ENOMEM;
    if (str_has_prefix(text, STR("\xef\xbb\xbf"))) /* libyaml would count it as a column */
        text = str_make(text.p + 3, text.len - 3);
    struct utf8_fault fault;
    if (utf8_find_fault(text, &fault)) {
        mistakes_add_at(l->mistakes, l->file, fault.line, fault.column,
                        "syntax: this character %s; allowed: UTF-8 text", fault.what);
        text.len = fault.line_at;
        l->is_cut = true;
    }
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)(text.p ? text.p : ""),
                                 text.len);
    int rc = load_document(l, &root);
    yaml_parser_delete(&l->parser);
    if (rc == -ENOMEM)
        return rc;
    *out_root = root;
    return 0;
}

int load_text(struct arena *arena, const char *name, struct str text, char *const *environment,
              struct mistakes *mistakes, const struct settings_node **out_root)
{
    struct loader l = {
        .arena = arena, .environment = environment, .mistakes = mistakes, .file = name};
    return parse(&l, text, out_root);
}

static int load_path(struct loader *l, const struct settings_node **out_root)
{
    char *text = NULL;
    size_t len = 0;
    int rc = read_file(l->is_again, l->file, LOAD_FILE_MAX, &text, &len);
    if (rc == -EFBIG)
        mistakes_add(l->mistakes, "%s: too large; allowed: at most 1 MiB", l->file);
    else if (rc < 0)
        mistakes_add(l->mistakes, "%s: cannot be read: %s", l->file, explain_read(-rc));
    if (rc < 0)
        return rc;
    if (l->is_again && len == 0)
        mistakes_add(l->mistakes, LOAD_EMPTY, l->file);
    rc = parse(l, str_make(text, len), out_root);
    free(text);
    return rc;
}

int load_file(struct arena *arena, const char *path, char *const *environment,
              struct mistakes *mistakes, const struct settings_node **out_root)
{
    struct loader l = {
        .arena = arena, .environment = environment, .mistakes = mistakes, .file = path};
    return load_path(&l, out_root);
}

int load_file_again(struct arena *arena, const char *path, char *const *environment,
                    struct mistakes *mistakes, const struct settings_node **out_root)
{
    struct loader l = {.arena = arena,
                       .environment = environment,
                       .mistakes = mistakes,
                       .file = path,
                       .is_again = true};
    return load_path(&l, out_root);
}

const char *load_yaml_version(void)
{
    return yaml_get_version_string();
}
