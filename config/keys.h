/* Maps with keys that are known, inside settings that are maps (routes, compute, pools): a table
 * says what there is, so what is read, what is allowed and what is near a misspelt key come from
 * one place, in the words of config/value.h. All mistakes are told in one go. */
#ifndef REMUDA_CONFIG_KEYS_H
#define REMUDA_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/mistakes.h"
#include "config/schema.h"
#include "config/value.h"

struct keys_row {
    struct setting_spec spec; /* name, type, range, default_text …; COUNT DURATION SIZE BOOL ENUM
                                 are read by keys_read(), others by whoever has the table */
    size_t offset;            /* of a uint64_t in what is read into */
    uint64_t step;            /* the value is a multiple of it; 0: any */
    const char *part;         /* of a step: what is wrong with a value that is none, and allowed */
};

#define KEYS_PLACE_MAX (3 * VALUE_QUOTE_MAX)

struct keys_reader {
    struct settings *s;
    struct mistakes *mistakes;
    bool is_bad;
    char place[KEYS_PLACE_MAX]; /* "routes.POST /upload.request_timeout" */
};

/* Tells what is wrong at r->place.
 * line  0: it came by --set */
void keys_complain(struct keys_reader *r, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts ".KEY" behind the first `at` bytes of r->place. Returns how long it then is */
size_t keys_enter(struct keys_reader *r, size_t at, const char *key);

/* NULL: no such key. */
const struct keys_row *keys_find(const struct keys_row *rows, size_t n, const char *key);

/* Tells that a node is no map, or that its key is none of the table. */
void keys_refuse_node(struct keys_reader *r, const struct settings_node *node,
                      const struct keys_row *rows, size_t n);
void keys_refuse_key(struct keys_reader *r, const struct settings_node *node,
                     const struct keys_row *rows, size_t n);

/* Reads a value into the uint64_t at row->offset of out, or tells what is wrong: BOOL is 0 or 1,
 * ENUM the place of its name in spec.names. */
void keys_read(struct keys_reader *r, const struct settings_node *node, const struct keys_row *row,
               void *out);

/* Puts the defaults of a table in place: default_text of each row that keys_read() reads. */
void keys_set_defaults(const struct keys_row *rows, size_t n, void *out);

/* Appends a value as keys_read() takes it. Returns 0; -ENOMEM */
int keys_print(struct buf *out, const struct keys_row *row, const void *from)
    __attribute__((warn_unused_result));

#endif
