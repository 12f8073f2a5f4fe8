/* Values as text. One parser per kind of number and one table of what each kind is called, so that
 * a new setting of a known type needs nothing here. Refusals always say what is allowed, since the
 * person who reads them has the file open and wants to type the right thing next. */
#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/panic.h"
#include "config/address.h"
#include "config/mount.h"
#include "config/bounds.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, since printing takes the first that divides. */
static const struct unit duration_units[] = {
    {"h", UINT64_C(3600000000)}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}, {"us", 1}, {0},
};
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {0},
};
static const struct unit decimal_size_units[] = {
    {"TB", UINT64_C(1000000000000)}, {"GB", 1000000000}, {"MB", 1000000}, {"KB", 1000}, {0},
};

/* The words of YAML 1.1 (yaml.org/type/bool.html) but for the single letters y and n. */
static const struct {
    const char *text;
    bool is_on;
} bool_words[] = {
    {"yes", true}, {"no", false}, {"true", true}, {"false", false}, {"on", true}, {"off", false},
};

int value_parse_bool(struct str text, bool *out_is_on)
{
    for (size_t i = 0; i < sizeof bool_words / sizeof bool_words[0]; i++) {
        if (!str_is_equal_nocase(text, str_of(bool_words[i].text)))
            continue;
        /* no, No, NO; not nO */
        bool is_first_upper = isupper((unsigned char)text.p[0]);
        bool is_second_upper = isupper((unsigned char)text.p[1]);
        for (size_t k = 1; k < text.len; k++)
            if ((bool)isupper((unsigned char)text.p[k]) != is_second_upper)
                return -EINVAL;
        if (is_second_upper && !is_first_upper)
            return -EINVAL;
        *out_is_on = bool_words[i].is_on;
        return 0;
    }
    return -EINVAL;
}

int value_parse_count(struct str text, uint64_t *out_n)
{
    if (text.len > 1 && text.p[0] == '0')
        return -EINVAL; /* octal to YAML 1.1, decimal to people */
    return str_parse_u64(text, UINT64_MAX, out_n);
}

static int parse_with_unit(struct str text, const struct unit *const tables[], uint64_t *out_value)
{
    size_t digits = 0;
    while (digits < text.len && isdigit((unsigned char)text.p[digits]))
        digits++;
    struct str unit = str_make(text.p + digits, text.len - digits);
    uint64_t n;
    int rc = value_parse_count(str_make(text.p, digits), &n);
    if (rc < 0)
        return rc;
    for (size_t t = 0; tables[t]; t++) {
        for (const struct unit *u = tables[t]; u->name; u++) {
            if (!str_is_equal(unit, str_of(u->name)))
                continue;
            if (__builtin_mul_overflow(n, u->factor, &n))
                return -ERANGE;
            *out_value = n;
            return 0;
        }
    }
    return -EINVAL;
}

int value_parse_duration(struct str text, uint64_t *out_us)
{
    if (str_is_equal(text, STR("0"))) {
        *out_us = 0;
        return 0;
    }
    return parse_with_unit(text, (const struct unit *const[]){duration_units, NULL}, out_us);
}

int value_parse_size(struct str text, uint64_t *out_bytes)
{
    if (value_parse_count(text, out_bytes) == 0)
        return 0;
    return parse_with_unit(text, (const struct unit *const[]){size_units, decimal_size_units, NULL},
                           out_bytes);
}

int value_parse_mode(struct str text, uint64_t *out_mode)
{
    if (text.len == 0 || text.p[0] != '0')
        return -EINVAL;
    size_t i = text.len > 2 && text.p[1] == 'o' ? 2 : 0;
    uint64_t mode = 0;
    for (; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '7')
            return -EINVAL;
        if (mode > UINT64_MAX >> 3)
            return -ERANGE;
        mode = mode << 3 | (uint64_t)(text.p[i] - '0');
    }
    *out_mode = mode;
    return 0;
}

static int print_with_unit(struct buf *out, uint64_t value, const struct unit *units)
{
    for (const struct unit *u = units; value > 0 && u->name; u++)
        if (value % u->factor == 0)
            return buf_printf(out, "%ju%s", (uintmax_t)(value / u->factor), u->name);
    return buf_printf(out, "%ju", (uintmax_t)value);
}

int value_print_duration(struct buf *out, uint64_t us)
{
    return print_with_unit(out, us, duration_units);
}

int value_print_size(struct buf *out, uint64_t bytes)
{
    return print_with_unit(out, bytes, size_units);
}

static int print_count(struct buf *out, uint64_t n)
{
    return buf_printf(out, "%ju", (uintmax_t)n);
}

static int print_mode(struct buf *out, uint64_t mode)
{
    return buf_printf(out, mode ? "0%jo" : "0", (uintmax_t)mode);
}

/* What is particular to each type that is a number. */
static const struct number {
    int (*parse)(struct str text, uint64_t *out_value);
    int (*print)(struct buf *out, uint64_t value);
    const char *wrong;
    const char *example;
} numbers[SETTING_TYPES_N] = {
    [SETTING_COUNT] = {value_parse_count, print_count, "is not a whole number", ""},
    [SETTING_COUNT_AUTO] = {value_parse_count, print_count, "is not a whole number", ""},
    [SETTING_RANGE] = {value_parse_count, print_count, "is not a whole number",
                       ", or a range such as 2..8 or 2..auto"},
    [SETTING_DURATION] = {value_parse_duration, value_print_duration,
                          "is not a duration, a whole number with a unit", ", such as 30s or 2m"},
    [SETTING_SIZE] = {value_parse_size, value_print_size, "is not a size in bytes",
                      ", such as 8190 or 64KiB"},
    [SETTING_MODE] = {value_parse_mode, print_mode, "is not an octal number with a leading 0",
                      ", such as 022"},
};

/* One that is allowed. */
static const char *choose_example(const struct setting_spec *spec)
{
    if (spec->type == SETTING_DURATION && spec->min > 0 && spec->min < CLOCK_US_PER_S)
        return ", such as 50ms or 30s";
    if (spec->type == SETTING_SIZE && spec->min >= 1048576)
        return ", such as 64MiB or 1GiB";
    return numbers[spec->type].example;
}

int value_describe(struct buf *out, const struct setting_spec *spec)
{
    const struct number *number = &numbers[spec->type];
    const char *none = spec->default_text[0] == '\0' ? ", or \"\" for none" : "";
    int rc = 0;
    if (number->parse) {
        if (spec->type == SETTING_COUNT_AUTO)
            rc = buf_printf(out, "auto, or ");
        else if (spec->type == SETTING_RANGE)
            rc = buf_printf(out, "auto, ");
        if (rc == 0)
            rc = number->print(out, spec->min);
        if (rc == 0)
            rc = buf_printf(out, " to ");
        if (rc == 0)
            rc = number->print(out, spec->max);
        if (rc == 0 && spec->unit)
            rc = buf_printf(out, " %s", spec->unit);
        if (rc == 0 && spec->zero)
            rc = buf_printf(out, spec->min > 0 ? ", or 0 (%s)" : " (0: %s)", spec->zero);
        return rc < 0 ? rc : buf_printf(out, "%s", choose_example(spec));
    }
    switch (spec->type) {
    case SETTING_BOOL:
        return buf_printf(out, "yes, no, true, false, on, off");
    case SETTING_ENUM_TYPE:
        for (const char *p = spec->names; *p && rc == 0;) {
            size_t len = strcspn(p, ",");
            rc = buf_printf(out, "%.*s%s", (int)len, p, p[len] ? ", " : "");
            p += len + (p[len] == ',');
        }
        return rc;
    case SETTING_PATH:
        return buf_printf(out, "a path%s", none);
    case SETTING_USER:
        return buf_printf(out, "name or id of a user%s", none);
    case SETTING_GROUP:
        return buf_printf(out, "name or id of a group%s", none);
    case SETTING_BINDS:
        return buf_printf(out, ADDRESS_FORMS);
    case SETTING_NETWORKS:
        return buf_printf(out, NETWORK_FORMS ", or \"\" for none");
    case SETTING_MOUNTS:
        return buf_printf(out, MOUNT_FORMS);
    case SETTING_PATHS:
        return buf_printf(out, "a path or a list of them, or \"\" for none");
    case SETTING_TREE:
        return buf_printf(out, "a map");
    default:
        return buf_printf(out, "text in one line");
    }
}

const char *value_quote(char out[VALUE_QUOTE_MAX], struct str text)
{
    static const char dots[] = "…\""; /* room is kept for these and an escape of four */
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool is_inside_character = (c & 0xC0) == 0x80; /* never cut UTF-8 in the middle */
        if (n > VALUE_QUOTE_MAX - sizeof dots - 8 && !is_inside_character) {
            memcpy(out + n, dots, sizeof dots);
            return out;
        }
        if (n > VALUE_QUOTE_MAX - sizeof dots - 4)
            break;
        if (iscntrl(c))
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
        else
            out[n++] = (char)c;
    }
    memcpy(out + n, "\"", 2);
    return out;
}

/* "VALUE wrong; allowed: …". Returns -EINVAL. */
static int refuse(struct err *err, const struct setting_spec *spec, struct str text,
                  const char *wrong)
{
    char quoted[VALUE_QUOTE_MAX];
    struct buf allowed = {0};
    int rc = value_describe(&allowed, spec);
    err_set(err, EINVAL, "%s %s; allowed: %s", value_quote(quoted, text), wrong,
            rc < 0 ? "see remuda config --reference" : allowed.data);
    buf_fini(&allowed);
    return -EINVAL;
}

int value_parse_number(const struct setting_spec *spec, struct str text, uint64_t *out_value,
                       struct err *err)
{
    uint64_t value;
    const struct number *number = &numbers[spec->type];
    int rc = number->parse(text, &value);
    uint64_t ignored;
    if (rc == -EINVAL && spec->type == SETTING_DURATION && value_parse_count(text, &ignored) == 0)
        return refuse(err, spec, text, "has no unit");
    if (rc == -EINVAL)
        return refuse(err, spec, text, number->wrong);
    bool is_zero_allowed = spec->zero && rc == 0 && value == 0;
    if (rc < 0 || ((value < spec->min || value > spec->max) && !is_zero_allowed))
        return refuse(err, spec, text, "is out of range");
    *out_value = value;
    return 0;
}

static int set_number(struct settings *s, const struct setting_spec *spec, struct str text,
                      struct err *err)
{
    void *field = schema_field(s, spec);
    if (spec->type == SETTING_RANGE)
        return bounds_parse(spec, text, field, err);
    uint64_t value;
    int rc = value_parse_number(spec, text, &value, err);
    if (rc < 0)
        return rc;
    switch (spec->type) {
    case SETTING_COUNT:
    case SETTING_MODE:
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        *(uint64_t *)field = value;
        break;
    }
    return 0;
}

static int set_enum(struct settings *s, const struct setting_spec *spec, struct str text,
                    struct err *err)
{
    unsigned i = 0;
    for (const char *name = spec->names; name; i++) {
        const char *comma = strchr(name, ',');
        if (str_is_equal(text, str_make(name, comma ? (size_t)(comma - name) : strlen(name)))) {
            memcpy(schema_field(s, spec), &i, sizeof i); /* an enum, see config/schema.c */
            return 0;
        }
        name = comma ? comma + 1 : NULL;
    }
    return refuse(err, spec, text, "is not one of these");
}

static bool is_id(struct str text)
{
    uint64_t id;
    return str_parse_u64(text, UINT32_MAX - 1, &id) == 0; /* -1 means "no change" to setuid(2) */
}

/* Returns NULL, or what is wrong. */
static const char *check_text(const struct setting_spec *spec, struct str text, const char *copy)
{
    for (size_t i = 0; i < text.len; i++)
        if (iscntrl((unsigned char)text.p[i]))
            return "contains a control character";
    if (text.len == 0)
        return spec->type == SETTING_STRING || spec->default_text[0] == '\0' ? NULL : "is empty";
    if (spec->type == SETTING_PATH && text.len >= PATH_MAX)
        return "is too long";
    if (spec->type == SETTING_USER && !is_id(text) && !getpwnam(copy))
        return "is no user here";
    if (spec->type == SETTING_GROUP && !is_id(text) && !getgrnam(copy))
        return "is no group here";
    return NULL;
}

static int set_text(struct settings *s, const struct setting_spec *spec, struct str text,
                    struct err *err)
{
    const char *copy = arena_strndup(&s->arena, text.p, text.len);
    if (!copy)
        return err_set(err, ENOMEM, "out of memory");
    const char *wrong = check_text(spec, text, copy);
    if (wrong)
        return refuse(err, spec, text, wrong);
    if (text.len == 0 && spec->type != SETTING_STRING)
        copy = NULL;
    *(const char **)schema_field(s, spec) = copy;
    return 0;
}

static int set_binds(struct settings *s, const struct setting_spec *spec,
                     const struct value_text *texts, size_t n, size_t *out_bad, struct err *err)
{
    struct setting_bind *items = arena_alloc(&s->arena, n * sizeof *items);
    if (!items)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char quoted[VALUE_QUOTE_MAX];
        int rc = address_parse(&s->arena, texts[i].text, &items[i], err);
        if (rc < 0) {
            err_wrap(err, "%s", value_quote(quoted, texts[i].text));
            if (out_bad)
                *out_bad = i;
            return rc;
        }
        items[i].line = texts[i].line;
        items[i].column = texts[i].column;
    }
    *(struct setting_binds *)schema_field(s, spec) = (struct setting_binds){items, n};
    return 0;
}

/* Cuts the next item off a list with commas. Returns whether there was one. */
static bool next_item(struct str *rest, struct str *out_item)
{
    if (!rest->p)
        return false;
    const char *comma = memchr(rest->p, ',', rest->len);
    size_t len = comma ? (size_t)(comma - rest->p) : rest->len;
    *out_item = str_trim(str_make(rest->p, len));
    *rest = comma ? str_make(comma + 1, rest->len - len - 1) : (struct str){0};
    return true;
}

static int set_networks(struct settings *s, const struct setting_spec *spec,
                        const struct value_text *texts, size_t n, size_t *out_bad, struct err *err)
{
    struct network_list *field = schema_field(s, spec);
    if (n == 1 && texts[0].text.len == 0) {
        *field = (struct network_list){0};
        return 0;
    }
    size_t room = n;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < texts[i].text.len; k++)
            room += texts[i].text.p[k] == ',';
    struct network *items = arena_alloc(&s->arena, room * sizeof *items);
    if (!items)
        return err_set(err, ENOMEM, "out of memory");
    size_t n_items = 0;
    for (size_t i = 0; i < n; i++) {
        struct str item;
        for (struct str rest = texts[i].text; next_item(&rest, &item);) {
            char quoted[VALUE_QUOTE_MAX];
            int rc = network_parse(item, &items[n_items++], err);
            if (rc == 0)
                continue;
            err_wrap(err, "%s", value_quote(quoted, item));
            if (out_bad)
                *out_bad = i;
            return rc;
        }
    }
    *field = (struct network_list){items, n_items};
    return 0;
}

/* One empty text is an empty list, which switches off what a layer below has given. */
static int set_mounts(struct settings *s, const struct setting_spec *spec,
                      const struct value_text *texts, size_t n, size_t *out_bad, struct err *err)
{
    if (n == 1 && texts[0].text.len == 0)
        n = 0;
    if (n > SETTINGS_MOUNTS_MAX)
        return err_set(err, EINVAL, "too many mounts; allowed: at most %d", SETTINGS_MOUNTS_MAX);
    struct setting_mount *items = arena_alloc(&s->arena, (n + 1) * sizeof *items);
    if (!items)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char quoted[VALUE_QUOTE_MAX];
        int rc = mount_parse(&s->arena, texts[i].text, &items[i], err);
        if (rc < 0) {
            err_wrap(err, "%s", value_quote(quoted, texts[i].text));
            if (out_bad)
                *out_bad = i;
            return rc;
        }
    }
    *(struct setting_mounts *)schema_field(s, spec) = (struct setting_mounts){items, n};
    return 0;
}

static int set_paths(struct settings *s, const struct setting_spec *spec,
                     const struct value_text *texts, size_t n, size_t *out_bad, struct err *err)
{
    const char **items = arena_alloc(&s->arena, n * sizeof *items);
    if (!items)
        return err_set(err, ENOMEM, "out of memory");
    if (n == 1 && texts[0].text.len == 0)
        n = 0;
    for (size_t i = 0; i < n; i++) {
        struct str text = texts[i].text;
        const char *copy = arena_strndup(&s->arena, text.p, text.len);
        const char *wrong = !copy                   ? NULL
                            : text.len == 0         ? "is empty"
                            : text.len >= PATH_MAX  ? "is too long"
                            : str_has_control(text) ? "contains a control character"
                                                    : NULL;
        if (wrong && out_bad)
            *out_bad = i;
        if (wrong)
            return refuse(err, spec, text, wrong);
        if (!copy)
            return err_set(err, ENOMEM, "out of memory");
        items[i] = copy;
    }
    *(struct setting_paths *)schema_field(s, spec) = (struct setting_paths){items, n};
    return 0;
}

int value_set(struct settings *s, const struct setting_spec *spec, const struct value_text *texts,
              size_t n, size_t *out_bad, struct err *err)
{
    RMD_ASSERT(n >= 1 && (n == 1 || schema_is_list(spec)));
    struct str text = texts[0].text;
    if (out_bad)
        *out_bad = 0;
    if (numbers[spec->type].parse)
        return set_number(s, spec, text, err);
    switch (spec->type) {
    case SETTING_BOOL:
        if (value_parse_bool(text, schema_field(s, spec)) < 0)
            return refuse(err, spec, text, "is not a truth value");
        return 0;
    case SETTING_ENUM_TYPE:
        return set_enum(s, spec, text, err);
    case SETTING_BINDS:
        return set_binds(s, spec, texts, n, out_bad, err);
    case SETTING_NETWORKS:
        return set_networks(s, spec, texts, n, out_bad, err);
    case SETTING_MOUNTS:
        return set_mounts(s, spec, texts, n, out_bad, err);
    case SETTING_PATHS:
        return set_paths(s, spec, texts, n, out_bad, err);
    default:
        RMD_ASSERT(spec->type != SETTING_TREE);
        return set_text(s, spec, text, err);
    }
}

size_t value_count(const struct settings *s, const struct setting_spec *spec)
{
    const void *field = schema_peek_field(s, spec);
    switch (spec->type) {
    case SETTING_BINDS:
        return ((const struct setting_binds *)field)->n;
    case SETTING_NETWORKS:
        return ((const struct network_list *)field)->n;
    case SETTING_MOUNTS:
        return ((const struct setting_mounts *)field)->n;
    case SETTING_PATHS:
        return ((const struct setting_paths *)field)->n;
    default:
        return 1;
    }
}

static int print_enum(struct buf *out, const struct setting_spec *spec, unsigned value)
{
    const char *name = spec->names;
    for (; value > 0 && name; value--) {
        name = strchr(name, ',');
        name = name ? name + 1 : NULL;
    }
    RMD_ASSERT(name);
    return buf_printf(out, "%.*s", (int)strcspn(name, ","), name);
}

/* Nothing where there is none: value 0 of an empty list is asked for, too. */
static int print_mount(struct buf *out, const struct setting_mounts *mounts, size_t i)
{
    return i < mounts->n ? buf_printf(out, "%s=%s", mounts->items[i].path, mounts->items[i].folder)
                         : 0;
}

int value_print(struct buf *out, const struct settings *s, const struct setting_spec *spec,
                size_t i)
{
    const void *field = schema_peek_field(s, spec);
    unsigned value;
    char network[NETWORK_TEXT_MAX];
    switch (spec->type) {
    case SETTING_BOOL:
        return buf_printf(out, *(const bool *)field ? "yes" : "no");
    case SETTING_COUNT:
    case SETTING_MODE:
        return numbers[spec->type].print(out, *(const uint32_t *)field);
    case SETTING_RANGE:
        return bounds_print(out, field);
    case SETTING_DURATION:
    case SETTING_SIZE:
        return numbers[spec->type].print(out, *(const uint64_t *)field);
    case SETTING_ENUM_TYPE:
        memcpy(&value, field, sizeof value);
        return print_enum(out, spec, value);
    case SETTING_MOUNTS:
        return print_mount(out, field, i);
    case SETTING_PATHS:
        return i < value_count(s, spec)
                   ? buf_printf(out, "%s", ((const struct setting_paths *)field)->items[i])
                   : 0; /* of an empty list, too */
    case SETTING_BINDS:
        return buf_printf(out, "%s", ((const struct setting_binds *)field)->items[i].text);
    case SETTING_NETWORKS:
        network_format(&((const struct network_list *)field)->items[i], network);
        return buf_printf(out, "%s", network);
    default:
        RMD_ASSERT(spec->type != SETTING_TREE);
        return *(const char *const *)field ? buf_printf(out, "%s", *(const char *const *)field) : 0;
    }
}

bool value_is_yaml_word(struct str text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    bool is_on;
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (str_is_equal(text, str_of(nulls[i])))
            return true;
    return value_parse_bool(text, &is_on) == 0;
}

const char *value_check_node(enum setting_type type, const struct settings_node *node)
{
    if (node->kind != SETTINGS_SCALAR)
        return node->kind == SETTINGS_MAP ? "is a map; allowed: one value"
                                          : "is a list; allowed: one value";
    if (node->is_null)
        return "has no value; leave the key out, or write \"\" for none where that is allowed";
    switch (type) {
    case SETTING_BOOL:
        return node->is_quoted ? "is text, since it is in quotes; allowed: yes or no, without them"
                               : NULL;
    case SETTING_COUNT:
        return node->is_quoted ? "is text, since it is in quotes; allowed: a number without them"
                               : NULL;
    case SETTING_COUNT_AUTO:
    case SETTING_RANGE:
        return node->is_quoted && strcmp(node->text, "auto") != 0
                   ? "is text, since it is in quotes; allowed: a number without them"
                   : NULL;
    case SETTING_STRING:
    case SETTING_PATH:
    case SETTING_USER:
    case SETTING_GROUP:
        return !node->is_quoted && node->len > 0 && value_is_yaml_word(str_of(node->text))
                   ? "is a truth value to YAML; allowed: text, so put it in quotes"
                   : NULL;
    default:
        return NULL;
    }
}
