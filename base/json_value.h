/* JSON (RFC 8259) as others send it: checked strictly as a whole, then looked at in place. A value
 * is the slice of text in which it stands, so nothing is allocated and nothing has to be freed. For
 * small texts: finding a member walks over those before it. */
#ifndef REMUDA_BASE_JSON_VALUE_H
#define REMUDA_BASE_JSON_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define JSON_VALUE_DEPTH_MAX 16 /* arrays and objects within each other */

enum json_kind {
    JSON_NOTHING, /* no value at all */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_ARRAY,
    JSON_OBJECT
};

/* Whether the whole text is one value with nothing but blanks around it. UTF-8 must be valid,
 * surrogates must come in pairs. Names may repeat here: who takes members one by one sees it.
 * out      the value, without the blanks
 * Returns  NULL; else what is wrong with it: static text, *out is untouched */
const char *json_value_check(struct str text, struct str *out) __attribute__((warn_unused_result));

/* ---- Of checked text: values as json_value_check() and these functions give them */

enum json_kind json_value_kind(struct str value);

/* The first member of that name, which has no escapes in it.
 * Returns  its value; an empty str: not an object, or no such member */
struct str json_value_find(struct str object, const char *name);

/* Walks over an array or an object: *at begins as {0} and is only handed on.
 * out_name  of objects: as written between its quotes; NULL: not wanted
 * Returns   false: there are no more, or it is neither */
bool json_value_next(struct str container, struct str *at, struct str *out_name, struct str *out);

/* What a string says, decoded and NUL-terminated.
 * Returns  its length; -EINVAL no string, or one with a NUL in it; -ERANGE needs more than cap */
int json_value_text(struct str value, char *out, size_t cap) __attribute__((warn_unused_result));

/* A whole number without sign, fraction or exponent.
 * Returns  0; -EINVAL something else; -ERANGE above max */
int json_value_u64(struct str value, uint64_t max, uint64_t *out)
    __attribute__((warn_unused_result));

#endif
