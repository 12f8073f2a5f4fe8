/* JSON, written member by member. What goes wrong (no memory) is remembered, so that only the end
 * has to be looked at. Names are our own and need no escapes; text is anybody's. */
#ifndef REMUDA_BASE_JSON_OUT_H
#define REMUDA_BASE_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct json_out {
    struct buf *buf;  /* gets the text */
    bool is_failed;   /* memory was refused: what is in buf is no JSON */
    bool needs_comma; /* the next member is not the first */
};

/* name  of the member; NULL: an element of an array, or the outermost value */
void json_out_open(struct json_out *out, const char *name, char bracket);
void json_out_close(struct json_out *out, char bracket);
void json_out_text(struct json_out *out, const char *name, struct str text);
void json_out_u64(struct json_out *out, const char *name, uint64_t value);
void json_out_bool(struct json_out *out, const char *name, bool value);
void json_out_null(struct json_out *out, const char *name);

#endif
