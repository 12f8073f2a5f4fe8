/* Heads made of fields alone, as guard_judge() leaves them, for tests of what reads fields. */
#ifndef REMUDA_TESTS_UNIT_HTTP_FIELDS_H
#define REMUDA_TESTS_UNIT_HTTP_FIELDS_H

#include <ctype.h>
#include <string.h>

#include "http/parse.h"

#define FIELDS_MAX 64

/* Zeroed: no field. octets is the base. */
struct fields {
    struct head head;
    struct field array[FIELDS_MAX];
    char octets[16384];
    size_t len;
};

static void fields_add(struct fields *f, const char *name, const char *value)
{
    struct field *field = &f->array[f->head.n_fields++];
    field->name_at = (uint32_t)f->len;
    field->name_len = (uint32_t)strlen(name);
    field->value_at = field->name_at + field->name_len;
    field->value_len = (uint32_t)strlen(value);
    memcpy(f->octets + field->name_at, name, field->name_len);
    memcpy(f->octets + field->value_at, value, field->value_len);
    f->len += field->name_len + field->value_len;
    f->head.fields = f->array;
}

#endif
