/* Values of settings as text: parse and print. Printing is canonical: what it prints is read back
 * as the same value. */
#ifndef REMUDA_CONFIG_VALUE_H
#define REMUDA_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "config/schema.h"
#include "config/settings.h"

struct err;

/* yes no true false on off, as in YAML 1.1: lower case, Capital or UPPER.
 * Returns  0; -EINVAL */
int value_parse_bool(struct str text, bool *out_is_on) __attribute__((warn_unused_result));

/* A whole number in decimal, without sign, leading zeros or separators.
 * Returns  0; -EINVAL; -ERANGE above 2^64 - 1 */
int value_parse_count(struct str text, uint64_t *out_n) __attribute__((warn_unused_result));

/* A number and a unit: us, ms, s, m, h; 0 needs none.
 * Returns  0; -EINVAL; -ERANGE */
int value_parse_duration(struct str text, uint64_t *out_us) __attribute__((warn_unused_result));

/* Bytes: a number, or one with KB MB GB TB (powers of 1000) or KiB MiB GiB TiB (of 1024).
 * Returns  0; -EINVAL; -ERANGE */
int value_parse_size(struct str text, uint64_t *out_bytes) __attribute__((warn_unused_result));

/* Octal with a leading 0 (or 0o), so that nobody's decimal number is taken for a mode; or 0.
 * Returns  0; -EINVAL; -ERANGE */
int value_parse_mode(struct str text, uint64_t *out_mode) __attribute__((warn_unused_result));

/* A number as a row of a table says: its type (COUNT, DURATION, SIZE, MODE), range and .zero.
 * Returns  0; -EINVAL, *err says what is wrong and what is allowed */
int value_parse_number(const struct setting_spec *spec, struct str text, uint64_t *out_value,
                       struct err *err) __attribute__((warn_unused_result));

/* Print with the largest unit that loses nothing: 90s, 1m, 64KiB, 8190, 022.
 * Returns  0; -ENOMEM */
int value_print_duration(struct buf *out, uint64_t us) __attribute__((warn_unused_result));
int value_print_size(struct buf *out, uint64_t bytes) __attribute__((warn_unused_result));

/* A value as given, with its place for the lists that keep it. */
struct value_text {
    struct str text;
    unsigned line; /* 0: not from a file */
    unsigned column;
};

/* Parses, checks the range and puts the value into its field. Not for TREE.
 * texts    n of them; n is 1 for every type but lists (schema_is_list()), where it is ≥ 1. Of
 *          NETWORKS each text may itself be several, separated by commas; one that is empty and
 *          alone makes the list empty
 * Returns  0; -EINVAL or -ENOMEM: the field is as before, *err says what is wrong and what is
 *          allowed, *out_bad (may be NULL) which text it was */
int value_set(struct settings *s, const struct setting_spec *spec, const struct value_text *texts,
              size_t n, size_t *out_bad, struct err *err) __attribute__((warn_unused_result));

/* How many values a setting has now: 1, or the length of its list, which may be 0 for NETWORKS,
 * MOUNTS and PATHS. */
size_t value_count(const struct settings *s, const struct setting_spec *spec);

/* Appends value number i, canonical, without YAML's quotes. RANGE: "auto" when it is that.
 * Unset paths, users and groups print nothing, MOUNTS path and folder only. Not for TREE. A NUL
 * follows that does not count.
 * Returns  0; -ENOMEM */
int value_print(struct buf *out, const struct settings *s, const struct setting_spec *spec,
                size_t i) __attribute__((warn_unused_result));

/* Appends what is allowed, in words: "auto, or 1 to 512 processes". A NUL follows that does not
 * count.
 * Returns  0; -ENOMEM */
int value_describe(struct buf *out, const struct setting_spec *spec)
    __attribute__((warn_unused_result));

/* Whether YAML 1.1 would read a plain scalar as something else than text that people mean as text:
 * a truth value or null. */
bool value_is_yaml_word(struct str text);

/* What is wrong with a node as a value of this type, before its text is looked at: a list, a map,
 * nothing at all, or quotes where they don't belong or are missing. NULL: nothing */
const char *value_check_node(enum setting_type type, const struct settings_node *node);

#define VALUE_QUOTE_MAX 80

/* A value for a message: quoted, escaped, cut.
 * Returns  out */
const char *value_quote(char out[VALUE_QUOTE_MAX], struct str text);

#endif
