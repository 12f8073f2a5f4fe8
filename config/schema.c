/* The table of settings as data, and ways to find a row in it. Rows are few (some dozens) and
 * looked up at start only, so every search is a walk from the top. */
#include "config/schema.h"

#include <ctype.h>
#include <stddef.h>

#include "base/panic.h"

#define SETTING_MS(n) (UINT64_C(1000) * (n))
#define SETTING_S(n) (UINT64_C(1000000) * (n))
#define SETTING_MIB(n) (UINT64_C(1048576) * (n))
#define SETTING_TIB(n) (UINT64_C(1099511627776) * (n))

#define START SETTING_TAKES_START
#define RELOAD SETTING_TAKES_RELOAD

/* Fields are named with their unit, see config/settings.h. */
#define FIELD_BOOL(name) name
#define FIELD_COUNT(name) name
#define FIELD_RANGE(name) name
#define FIELD_DURATION(name) name##_us
#define FIELD_SIZE(name) name##_bytes
#define FIELD_MODE(name) name
#define FIELD_STRING(name) name
#define FIELD_PATH(name) name
#define FIELD_USER(name) name
#define FIELD_GROUP(name) name
#define FIELD_BINDS(name) name
#define FIELD_NETWORKS(name) name
#define FIELD_MOUNTS(name) name##_mounts /* `static` alone is a keyword */
#define FIELD_PATHS(name) name
#define FIELD_TREE(name) name

const struct setting_spec schema_specs[SETTINGS_N] = {
#define SETTING(name_, type_, default_, min_, max_, ...)                                           \
    {.name = #name_,                                                                               \
     .type = SETTING_##type_,                                                                      \
     .offset = offsetof(struct settings, FIELD_##type_(name_)),                                    \
     .default_text = default_,                                                                     \
     .min = min_,                                                                                  \
     .max = max_,                                                                                  \
     __VA_ARGS__},
#define SETTING_ENUM(name_, ctype_, default_, names_, ...)                                         \
    {.name = #name_,                                                                               \
     .type = SETTING_ENUM_TYPE,                                                                    \
     .offset = offsetof(struct settings, name_),                                                   \
     .default_text = default_,                                                                     \
     .names = names_,                                                                              \
     __VA_ARGS__},
#include "config/schema.def"
};

/* Enums are read and written as unsigned (gcc and clang make them that when no value is negative);
 * names must fit SCHEMA_NAME_MAX behind "REMUDA_". */
#define SETTING(name_, ...)                                                                        \
    _Static_assert(sizeof("REMUDA_" #name_) <= SCHEMA_NAME_MAX, "name of setting too long");
#define SETTING_ENUM(name_, ctype_, ...)                                                           \
    _Static_assert(sizeof(ctype_) == sizeof(unsigned), "enum of another size");
#include "config/schema.def"

const char *schema_flag(const struct setting_spec *spec, char out[SCHEMA_NAME_MAX])
{
    size_t i = 0;
    for (; spec->name[i]; i++)
        out[i] = spec->name[i] == '_' ? '-' : spec->name[i];
    out[i] = '\0';
    return out;
}

const char *schema_variable(const struct setting_spec *spec, char out[SCHEMA_NAME_MAX])
{
    size_t n = (size_t)snprintf(out, SCHEMA_NAME_MAX, "REMUDA_%s", spec->name);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)toupper((unsigned char)out[i]);
    return out;
}

const struct setting_spec *schema_find(struct str name)
{
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (str_is_equal(name, str_of(schema_specs[i].name)))
            return &schema_specs[i];
    return NULL;
}

const struct setting_spec *schema_find_flag(struct str flag)
{
    char text[SCHEMA_NAME_MAX];
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (str_is_equal(flag, str_of(schema_flag(&schema_specs[i], text))))
            return &schema_specs[i];
    return NULL;
}

const struct setting_spec *schema_find_variable(struct str variable)
{
    char text[SCHEMA_NAME_MAX];
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (str_is_equal(variable, str_of(schema_variable(&schema_specs[i], text))))
            return &schema_specs[i];
    return NULL;
}

const struct setting_spec *schema_find_letter(char letter)
{
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (letter && schema_specs[i].letter == letter)
            return &schema_specs[i];
    return NULL;
}

const struct setting_spec *schema_nearest(struct str name)
{
    char key[SCHEMA_NAME_MAX];
    if (str_has_prefix(name, STR("REMUDA_")))
        name = str_make(name.p + 7, name.len - 7);
    if (name.len == 0 || name.len >= sizeof key)
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        key[i] = name.p[i] == '-' ? '_' : (char)tolower((unsigned char)name.p[i]);
    key[name.len] = '\0';

    /* A guess: a third of the letters may be wrong, but never more than three. */
    unsigned best = name.len < 3 ? 1 : name.len < 9 ? (unsigned)name.len / 3 : 3;
    const struct setting_spec *found = NULL;
    for (size_t i = 0; i < SETTINGS_N; i++) {
        unsigned d = str_distance(key, schema_specs[i].name);
        if (d < best || (d == best && !found)) {
            best = d;
            found = &schema_specs[i];
        }
    }
    return found;
}

bool schema_is_list(const struct setting_spec *spec)
{
    return spec->type == SETTING_BINDS || spec->type == SETTING_NETWORKS ||
           spec->type == SETTING_MOUNTS || spec->type == SETTING_PATHS;
}

enum setting_id schema_id(const struct setting_spec *spec)
{
    ptrdiff_t i = spec - schema_specs;
    RMD_ASSERT(i >= 0 && i < SETTINGS_N);
    return (enum setting_id)i;
}

void *schema_field(struct settings *s, const struct setting_spec *spec)
{
    return (char *)s + spec->offset;
}

const void *schema_peek_field(const struct settings *s, const struct setting_spec *spec)
{
    return (const char *)s + spec->offset;
}
