/* A traceparent is taken by its places: every part has a fixed one, in all versions that there
 * will ever be (W3C Trace Context §3.2.4). What is nearly right is taken for absent, as §4.2 says,
 * and the trace begins anew here; that costs a link in someone's tracing, never a request. */
#include "http/trace.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define VERSION_AT 0
#define ID_AT 3
#define PARENT_AT 36
#define FLAGS_AT 53
#define FLAG_SAMPLED 1U

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

/* The value of a field, the first time it comes; afterwards empty. */
static void note(struct str *found, bool *is_repeated, const struct field *field, const char *base)
{
    *is_repeated = *is_repeated || found->p;
    *found = *is_repeated ? (struct str){0} : str_make(base + field->value_at, field->value_len);
}

/* Both fields in one pass over the head, which most requests have neither of. */
static void find_both(const struct head *head, const char *base, struct str *out_parent,
                      struct str *out_id)
{
    const struct str parent = STR("traceparent");
    const struct str id = STR("x-request-id");
    bool has_parents = false;
    bool has_ids = false;
    *out_parent = *out_id = (struct str){0};
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const struct field *field = &head->fields[i];
        if (field->name_len - parent.len > 1) /* unsigned: neither length */
            continue;
        struct str name = str_make(base + field->name_at, field->name_len);
        if (str_is_equal_nocase(name, parent))
            note(out_parent, &has_parents, field, base);
        else if (str_is_equal_nocase(name, id))
            note(out_id, &has_ids, field, base);
    }
}

struct str trace_find_parent(const struct head *head, const char *base)
{
    struct str parent;
    struct str id;
    find_both(head, base, &parent, &id);
    return trace_is_parent(parent) ? parent : (struct str){0};
}

struct str trace_find(const struct head *head, const char *base)
{
    struct str parent;
    struct str id;
    find_both(head, base, &parent, &id);
    if (trace_is_parent(parent))
        return str_make(parent.p + ID_AT, TRACE_ID_LEN);
    return is_given_id(id) ? id : (struct str){0};
}

/* The digits of 32 bits, all eight at once in one word: their nibbles are spread over its bytes,
 * then those above 9 moved on to the letters. It is on the way of every answer. */
static uint64_t spread_digits(uint64_t bits)
{
    uint64_t v = (bits & 0xffff) | (bits & 0xffff0000) << 16;
    v = (v & 0x000000ff000000ff) | (v & 0x0000ff000000ff00) << 8;
    v = (v & 0x000f000f000f000f) | (v & 0x00f000f000f000f0) << 4;
    uint64_t is_letter = (v + 0x0606060606060606) >> 4 & 0x0101010101010101;
    return v + 0x3030303030303030 + is_letter * ('a' - '0' - 10);
}

void trace_put_word(char out[TRACE_WORD_LEN], uint64_t word)
{
    uint64_t high = word >> 32 ? htobe64(spread_digits(word >> 32)) : 0x3030303030303030;
    uint64_t low = htobe64(spread_digits(word & 0xffffffff));
    memcpy(out, &high, 8);
    memcpy(out + 8, &low, 8);
}

void trace_format(const uint64_t words[2], char out[TRACE_ID_LEN + 1])
{
    trace_put_word(out, words[0]);
    trace_put_word(out + TRACE_WORD_LEN, words[0] | words[1] ? words[1] : 1);
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
    trace_put_word(out + PARENT_AT, parent_id ? parent_id : 1);
    out[FLAGS_AT - 1] = '-';
    out[FLAGS_AT] = '0';
    out[FLAGS_AT + 1] = flags ? '1' : '0';
    out[TRACE_PARENT_LEN] = '\0';
}
