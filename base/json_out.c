/* Writing of JSON into a buffer that grows. */
#include "base/json_out.h"

#include "base/json.h"

static void put(struct json_out *out, struct str text)
{
    if (!out->is_failed)
        out->is_failed = buf_append(out->buf, text.p, text.len) < 0;
}

static void begin(struct json_out *out, const char *name)
{
    if (out->needs_comma)
        put(out, STR(","));
    out->needs_comma = true;
    if (name) {
        put(out, STR("\""));
        put(out, str_of(name));
        put(out, STR("\":"));
    }
}

void json_out_open(struct json_out *out, const char *name, char bracket)
{
    begin(out, name);
    put(out, str_make(&bracket, 1));
    out->needs_comma = false;
}

void json_out_close(struct json_out *out, char bracket)
{
    put(out, str_make(&bracket, 1));
    out->needs_comma = true;
}

void json_out_text(struct json_out *out, const char *name, struct str text)
{
    begin(out, name);
    put(out, STR("\""));
    if (!out->is_failed && buf_reserve(out->buf, text.len * JSON_ESCAPE_MAX) == 0)
        out->buf->len +=
            json_escape(out->buf->data + out->buf->len, out->buf->cap - out->buf->len, text, NULL);
    else
        out->is_failed = true;
    put(out, STR("\""));
}

void json_out_u64(struct json_out *out, const char *name, uint64_t value)
{
    char digits[STR_U64_MAX];
    begin(out, name);
    put(out, str_make(digits, str_print_u64(digits, value)));
}

void json_out_bool(struct json_out *out, const char *name, bool value)
{
    begin(out, name);
    put(out, value ? STR("true") : STR("false"));
}

void json_out_null(struct json_out *out, const char *name)
{
    begin(out, name);
    put(out, STR("null"));
}
