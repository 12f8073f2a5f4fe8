/* The table config/schema.def as data, for whoever walks over all settings. */
#ifndef REMUDA_CONFIG_SCHEMA_H
#define REMUDA_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "config/settings.h"

enum setting_type {
    SETTING_BOOL,
    SETTING_COUNT,
    SETTING_COUNT_AUTO, /* in maps only, see config/keys.h */
    SETTING_RANGE,
    SETTING_DURATION,
    SETTING_SIZE,
    SETTING_MODE,
    SETTING_ENUM_TYPE,
    SETTING_STRING,
    SETTING_PATH,
    SETTING_USER,
    SETTING_GROUP,
    SETTING_BINDS,
    SETTING_NETWORKS,
    SETTING_MOUNTS,
    SETTING_PATHS,
    SETTING_TREE,
    SETTING_TYPES_N
};

enum setting_takes { SETTING_TAKES_START, SETTING_TAKES_RELOAD };

/* A row; see the head of config/schema.def for what the columns mean. */
struct setting_spec {
    const char *name;
    enum setting_type type;
    size_t offset;            /* of its field in struct settings */
    const char *default_text; /* as a user would write it */
    uint64_t min;             /* µs, bytes or plain, by type */
    uint64_t max;
    const char *names; /* enums: comma-separated, in the order of their C type */
    const char *zero;
    const char *unit;
    char letter;
    const char *group;
    enum setting_takes takes;
    const char *gunicorn;
    const char *help;
};

extern const struct setting_spec schema_specs[SETTINGS_N]; /* index enum setting_id */

#define SCHEMA_NAME_MAX 64 /* bytes of the longest derived name, NUL included */

/* The flag without dashes in front ("worker-class") and the variable ("REMUDA_WORKER_CLASS").
 * Returns  out */
const char *schema_flag(const struct setting_spec *spec, char out[SCHEMA_NAME_MAX]);
const char *schema_variable(const struct setting_spec *spec, char out[SCHEMA_NAME_MAX]);

/* The rows by key, by flag without dashes, by variable, by letter. NULL: none. */
const struct setting_spec *schema_find(struct str name);
const struct setting_spec *schema_find_flag(struct str flag);
const struct setting_spec *schema_find_variable(struct str variable);
const struct setting_spec *schema_find_letter(char letter);

/* The row whose key looks most like name (any of the three spellings, lower or upper case).
 * Returns  NULL when none is near enough to be meant */
const struct setting_spec *schema_nearest(struct str name);

/* Whether a setting has any number of values, which a variable or flag separates by commas. */
bool schema_is_list(const struct setting_spec *spec);

enum setting_id schema_id(const struct setting_spec *spec);

/* The setting's field. The caller knows its C type from spec->type. */
void *schema_field(struct settings *s, const struct setting_spec *spec);
const void *schema_peek_field(const struct settings *s, const struct setting_spec *spec);

#endif
