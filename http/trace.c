/* A traceparent is taken by its places: every part has a fixed one, in all versions that there
 * will ever be (W3C Trace Context §3.2.4). What is nearly right is taken for absent, as §4.2 says,
 * and the trace begins anew here; that costs a link in someone's tracing, never a request. */
#include "http/trace.h"

#define VERSION_AT 0
#define ID_AT 3
#define PARENT_AT 36
#define FLAGS_AT 53
#define FLAG_SAMPLED 1U

static const char digits[] = "0123456789abcdef";

static bool is_hex(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
            return false;
    return true;
}

static bool is_zero(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] != '0')
            return false;
    return true;
}

bool trace_is_parent(struct str value)
{
    const char *p = value.p;
    if (value.len < TRACE_PARENT_LEN || p[2] != '-' || p[35] != '-' || p[52] != '-')
        return false;
    if (!is_hex(p + VERSION_AT, 2) || !is_hex(p + ID_AT, TRACE_ID_LEN) ||
        !is_hex(p + PARENT_AT, 16) || !is_hex(p + FLAGS_AT, 2))
        return false;
    if (is_zero(p + ID_AT, TRACE_ID_LEN) || is_zero(p + PARENT_AT, 16))
        return false;
    if (p[0] == 'f' && p[1] == 'f')
        return false;
    if (is_zero(p + VERSION_AT, 2))
        return value.len == TRACE_PARENT_LEN;
    return value.len == TRACE_PARENT_LEN || p[TRACE_PARENT_LEN] == '-';
}

static bool is_given_id(struct str value)
{
    if (value.len == 0 || value.len > TRACE_GIVEN_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-' || c == '='))
            return false;
    }
    return true;
}

/* The value of a field that came exactly once; else empty. */
static struct str find_single(const struct head *head, const char *base, struct str name)
{
    struct str found = {0};
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct field *field = &head->fields[i];
        if (field->name_len != name.len ||
            !str_is_equal_nocase(str_make(base + field->name_at, field->name_len), name))
            continue;
        if (found.p)
            return (struct str){0};
        found = str_make(base + field->value_at, field->value_len);
    }
    return found;
}

struct str trace_find_parent(const struct head *head, const char *base)
{
    struct str value = find_single(head, base, STR("traceparent"));
    return trace_is_parent(value) ? value : (struct str){0};
}

struct str trace_find(const struct head *head, const char *base)
{
    struct str parent = trace_find_parent(head, base);
    if (parent.len > 0)
        return str_make(parent.p + ID_AT, TRACE_ID_LEN);
    struct str given = find_single(head, base, STR("x-request-id"));
    return is_given_id(given) ? given : (struct str){0};
}

static void put_word(char out[16], uint64_t word)
{
    for (int i = 0; i < 16; i++)
        out[i] = digits[word >> (60 - 4 * i) & 15];
}

void trace_format(const uint64_t words[2], char out[TRACE_ID_LEN + 1])
{
    put_word(out, words[0]);
    put_word(out + 16, words[0] | words[1] ? words[1] : 1);
    out[TRACE_ID_LEN] = '\0';
}

void trace_make_parent(struct str received, const uint64_t words[2], uint64_t parent_id,
                       char out[TRACE_PARENT_LEN + 1])
{
    unsigned flags = 0;
    trace_format(words, out + ID_AT);
    if (received.len > 0) {
        char low = received.p[FLAGS_AT + 1];
        flags = (unsigned)(low <= '9' ? low - '0' : low - 'a' + 10) & FLAG_SAMPLED;
        memcpy(out + ID_AT, received.p + ID_AT, TRACE_ID_LEN);
    }
    memcpy(out, "00-", 3);
    out[PARENT_AT - 1] = '-';
    put_word(out + PARENT_AT, parent_id ? parent_id : 1);
    out[FLAGS_AT - 1] = '-';
    out[FLAGS_AT] = '0';
    out[FLAGS_AT + 1] = digits[flags];
    out[TRACE_PARENT_LEN] = '\0';
}
