/* Fuzz target of the reader of JSON that stands behind the control socket.
 *
 * Input: the text. Asserted: what is taken is walked through to its end, each value within the one
 * that holds it, and stands on its own; strings decode within their room, are what they were when
 * they are written and read again; whatever is cut off behind a value makes it no other value. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/json_value.h"
#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a string says, written by us and read again, is the same. */
static void check_text(struct str value)
{
    char *text = malloc(value.len + 1);
    char *again = malloc(value.len + 1);
    struct buf buf = {0};
    struct json_out out = {.buf = &buf};
    struct str copy;
    RMD_ASSERT(text && again);
    int len = json_value_text(value, text, value.len + 1);
    if (len >= 0) {
        RMD_ASSERT((size_t)len <= value.len && strlen(text) == (size_t)len);
        RMD_ASSERT(len == 0 || json_value_text(value, again, (size_t)len) == -ERANGE);
        json_out_text(&out, NULL, str_make(text, (size_t)len));
        RMD_ASSERT(!out.is_failed && !json_value_check(str_make(buf.data, buf.len), &copy));
        RMD_ASSERT(json_value_text(copy, again, value.len + 1) == len);
        RMD_ASSERT(memcmp(text, again, (size_t)len) == 0);
    }
    buf_fini(&buf);
    free(text);
    free(again);
}

static void check_value(struct str value, unsigned depth)
{
    struct str at = {0}, name, member, alone;
    uint64_t n;
    RMD_ASSERT(depth <= JSON_VALUE_DEPTH_MAX && value.len > 0);
    RMD_ASSERT(!json_value_check(value, &alone) && alone.len == value.len);
    if (json_value_kind(value) == JSON_TEXT)
        check_text(value);
    if (json_value_kind(value) == JSON_NUMBER && json_value_u64(value, UINT64_MAX, &n) == 0)
        RMD_ASSERT(value.p[0] >= '0' && value.p[0] <= '9');
    while (json_value_next(value, &at, &name, &member)) {
        RMD_ASSERT(member.p > value.p && member.p + member.len < value.p + value.len);
        RMD_ASSERT((json_value_kind(value) == JSON_OBJECT) == (name.p != NULL));
        check_value(member, depth + 1);
    }
    RMD_ASSERT(json_value_find(value, "no such name").len == 0 ||
               json_value_kind(value) == JSON_OBJECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str value;
    char *text = malloc(size + 1); /* of its exact size, so that reading on is seen */
    RMD_ASSERT(text);
    memcpy(text, data, size);
    if (!json_value_check(str_make(text, size), &value)) {
        check_value(value, 0);
        enum json_kind kind = json_value_kind(value);
        struct str cut;
        if (kind == JSON_TEXT || kind == JSON_ARRAY || kind == JSON_OBJECT)
            RMD_ASSERT(json_value_check(str_make(value.p, value.len - 1), &cut) != NULL);
    }
    free(text);
    return 0;
}
