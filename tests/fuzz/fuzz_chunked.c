/* Fuzz target: the decoder of chunked bodies.
 *
 * An input is a line of script, then octets. A letter of the script is the length of a piece (a is
 * 1, z is 26), taken again from the first when they are used up; S stands for small limits, F puts
 * a chunk in front, in a piece of its own, that leaves few octets of framing.
 *
 * The octets come whole, one by one, and in the script's pieces: the outcome must be the same, down
 * to the octet that was refused and why. What is accepted must be what the reference below accepts,
 * which does the same job in another way: line by line, with the whole at hand. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/panic.h"
#include "http/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_LIMIT 100000U

struct outcome {
    enum chunked_result result;
    size_t used;
    int status;
    const char *reason;
    struct buf body;
};

static struct http_limits limits;
static uint64_t body_limit;
static size_t front; /* octets of the first piece, whatever the script says; 0: none */

/* ---- the decoder ---- */

/* Feeds one piece, which lies where nothing is behind it. Returns octets consumed. */
static size_t feed(struct chunked *d, struct str octets, struct outcome *out)
{
    char *piece = malloc(octets.len ? octets.len : 1);
    RMD_ASSERT(piece);
    if (octets.len > 0)
        memcpy(piece, octets.p, octets.len);
    size_t at = 0;
    do {
        size_t used = SIZE_MAX;
        struct str data = {0};
        out->result = chunked_next(d, str_make(piece + at, octets.len - at), &used, &data);
        RMD_ASSERT(used <= octets.len - at);
        at += used;
        if (out->result == CHUNKED_DATA) {
            RMD_ASSERT(data.len > 0 && data.len <= used);
            RMD_ASSERT(data.p >= piece && data.p + data.len == piece + at);
            RMD_ASSERT(out->body.len + data.len <= body_limit);
            RMD_ASSERT(buf_append(&out->body, data.p, data.len) == 0);
        }
    } while (out->result == CHUNKED_DATA);
    RMD_ASSERT(out->result != CHUNKED_MORE || at == octets.len);
    free(piece);
    return at;
}

/* script: lengths of pieces, one a letter; without a letter all in one */
static struct outcome decode(struct str octets, struct str script)
{
    struct chunked d;
    struct outcome out = {.result = CHUNKED_MORE};
    chunked_begin(&d, &limits, body_limit);
    for (size_t i = 0; out.result == CHUNKED_MORE && out.used < octets.len; i++) {
        size_t n = script.len > 0 ? (size_t)(script.p[i % script.len] & 31) : octets.len;
        n = out.used < front ? front : n == 0 ? 1 : n;
        n = n < octets.len - out.used ? n : octets.len - out.used;
        out.used += feed(&d, str_make(octets.p + out.used, n), &out);
    }
    if (out.result == CHUNKED_BAD) {
        RMD_ASSERT(d.status == 400 || d.status == 413 || d.status == 431);
        RMD_ASSERT(d.reason);
        out.status = d.status;
        out.reason = d.reason;
    }
    return out;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    RMD_ASSERT(a->result == b->result);
    RMD_ASSERT(a->used == b->used);
    RMD_ASSERT(a->status == b->status);
    RMD_ASSERT(a->reason == b->reason);
    RMD_ASSERT(a->body.len == b->body.len);
    RMD_ASSERT(a->body.len == 0 || memcmp(a->body.data, b->body.data, a->body.len) == 0);
}

/* ---- the reference: everything is there, and each rule is a search ---- */

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_one_of(s.p[i], "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
            return false;
    return s.len > 0;
}

/* No octet but those of field-content, blanks included. */
static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

/* Cuts what stands in front of the first CRLF off rest. Returns whether there is one. */
static bool cut_line(struct str *rest, struct str *out_line)
{
    char *end = rest->len > 0 ? memmem(rest->p, rest->len, "\r\n", 2) : NULL;
    if (!end)
        return false;
    *out_line = str_make(rest->p, (size_t)(end - rest->p));
    *rest = str_make(end + 2, rest->len - out_line->len - 2);
    return true;
}

/* The place of the closing quote of a string whose opening one is at 0; 0: there is none. */
static size_t find_quote(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.p[i] == '"')
            return i;
        if (s.p[i] == '\\')
            i++;
    }
    return 0;
}

/* name or name=value, from the beginning of s. Returns the octets it takes; 0: malformed. */
static size_t take_extension(struct str s)
{
    size_t len = 0;
    while (len < s.len && s.p[len] != ';' && s.p[len] != '=')
        len++;
    if (len == s.len || s.p[len] == ';')
        return is_token(str_trim(str_make(s.p, len))) ? len : 0;
    struct str value = str_make(s.p + len + 1, s.len - len - 1);
    if (!is_token(str_trim(str_make(s.p, len))))
        return 0;
    while (value.len > 0 && is_one_of(value.p[0], " \t"))
        value = str_make(value.p + 1, value.len - 1);
    size_t quoted = value.len > 0 && value.p[0] == '"' ? find_quote(value) + 1 : 0;
    size_t end = quoted;
    while (end < value.len && value.p[end] != ';')
        end++;
    struct str behind = str_trim(str_make(value.p + quoted, end - quoted));
    if (quoted == 0 ? !is_token(behind) : quoted == 1 || behind.len > 0)
        return 0;
    return (size_t)(value.p + end - s.p);
}

/* What stands behind the digits of a size. */
static bool is_extensions(struct str s)
{
    if (s.len == 0)
        return true;
    if (!is_text(s) || is_one_of(s.p[s.len - 1], " \t;"))
        return false; /* no grammar ends like that, but for a string: that one ends in a quote */
    s = str_trim(s);
    while (s.len > 0) {
        if (s.p[0] != ';')
            return false;
        size_t len = take_extension(str_make(s.p + 1, s.len - 1));
        if (len == 0)
            return false;
        s = str_make(s.p + 1 + len, s.len - 1 - len);
    }
    return true;
}

/* Digits and extensions. Returns whether it is a size that fits into left. */
static bool read_size(struct str line, uint64_t left, uint64_t *out_size)
{
    size_t n = 0;
    while (n < line.len && is_one_of(line.p[n], "0123456789abcdefABCDEF"))
        n++;
    if (n == 0 || n > 16 || !is_extensions(str_make(line.p + n, line.len - n)))
        return false;
    char digits[17] = {0};
    memcpy(digits, line.p, n);
    *out_size = strtoull(digits, NULL, 16);
    return *out_size <= left && *out_size <= INT64_MAX;
}

/* Some of those that must not come behind; enough to see that the narrowing works. */
static bool is_for_header_only(struct str name)
{
    static const char *const names[] = {
        "accept",         "age",         "host",         "te", "trailer",  "transfer-encoding",
        "content-length", "cookie",      "content-type", "if", "if-match", "x-real-ip",
        "set-cookie",     "set-cookie2", "cookie2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_is_equal_nocase(name, str_of(names[i])))
            return true;
    return false;
}

static bool read_trailers(struct str *rest)
{
    size_t before = rest->len;
    uint32_t n = 0;
    for (struct str line; cut_line(rest, &line);) {
        if (line.len == 0)
            return before - rest->len <= limits.head;
        const char *colon = memchr(line.p, ':', line.len);
        struct str name = str_make(line.p, colon ? (size_t)(colon - line.p) : 0);
        if (++n > limits.fields || line.len + 2 > limits.field_size || !is_token(name) ||
            !is_text(line) || is_for_header_only(name))
            return false;
    }
    return false;
}

/* Returns  whether all of it is valid, complete and within the limits; then also used and body */
static bool refer(struct str octets, struct outcome *out)
{
    struct str rest = octets;
    size_t framing = 0;
    for (struct str line; cut_line(&rest, &line);) {
        uint64_t size = 0;
        framing += line.len + 2;
        if (framing > CHUNKED_SLACK + limits.head + CHUNKED_FACTOR * out->body.len ||
            !read_size(line, body_limit - out->body.len, &size))
            return false;
        if (size == 0) {
            bool is_valid = read_trailers(&rest);
            out->used = octets.len - rest.len;
            return is_valid;
        }
        if (rest.len < size || rest.len - size < 2 || memcmp(rest.p + size, "\r\n", 2) != 0)
            return false;
        RMD_ASSERT(buf_append(&out->body, rest.p, size) == 0);
        rest = str_make(rest.p + size + 2, rest.len - size - 2);
        framing += 2;
        if (framing > CHUNKED_SLACK + limits.head + CHUNKED_FACTOR * out->body.len)
            return false;
    }
    return false;
}

/* ---- together ---- */

/* The list of the reference is shorter: a refusal for a field's name alone is not held against the
 * decoder. */
static void check_against_reference(const struct outcome *whole, struct str octets)
{
    struct outcome out = {0};
    bool is_valid = refer(octets, &out);
    bool is_name = whole->result == CHUNKED_BAD && strstr(whole->reason, "not allowed in trailers");
    RMD_ASSERT(is_valid == (whole->result == CHUNKED_DONE) || (is_valid && is_name));
    if (is_valid && !is_name) {
        RMD_ASSERT(out.used == whole->used);
        RMD_ASSERT(out.body.len == whole->body.len);
        RMD_ASSERT(out.body.len == 0 || memcmp(out.body.data, whole->body.data, out.body.len) == 0);
    }
    buf_fini(&out.body);
}

/* What was accepted, or got as far as a refusal, is complete at no octet earlier. */
static void check_prefix(const struct outcome *whole, struct str octets)
{
    size_t len = whole->result == CHUNKED_DONE ? whole->used - 1 : whole->used;
    struct outcome out = decode(str_make(octets.p, len), (struct str){0});
    RMD_ASSERT(out.result == CHUNKED_MORE);
    RMD_ASSERT(out.body.len == whole->body.len);
    buf_fini(&out.body);
}

static void run(struct str octets, struct str script)
{
    struct outcome whole = decode(octets, (struct str){0});
    struct outcome singly = decode(octets, STR("a"));
    struct outcome pieces = decode(octets, script);
    check_same(&singly, &whole);
    check_same(&pieces, &whole);
    if (whole.result != CHUNKED_MORE)
        check_prefix(&whole, octets);
    check_against_reference(&whole, octets);
    buf_fini(&whole.body);
    buf_fini(&singly.body);
    buf_fini(&pieces.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_make((const char *)data, size);
    const char *end = size > 0 ? memchr(input.p, '\n', size) : NULL;
    struct str script = str_make(input.p, end ? (size_t)(end - input.p) : 0);
    struct str rest = end ? str_make(end + 1, size - script.len - 1) : input;
    bool is_small = script.len > 0 && memchr(script.p, 'S', script.len);
    bool is_flood = script.len > 0 && memchr(script.p, 'F', script.len);
    limits = (struct http_limits){.fields = is_small ? 2 : 100,
                                  .field_size = is_small ? 20 : 8190,
                                  .head = is_small || is_flood ? 50 : 65536};
    body_limit = is_small ? 24 : BODY_LIMIT;

    struct buf octets = {0};
    front = 0;
    if (is_flood) {
        int n = (int)(CHUNKED_SLACK + limits.head) - 76; /* and 8 around them */
        RMD_ASSERT(buf_printf(&octets, "1;x=%0*d\r\nx\r\n", n, 0) == 0);
        front = octets.len;
    }
    RMD_ASSERT(buf_append(&octets, rest.p, rest.len) == 0);
    run(str_make(octets.data, octets.len), script);
    buf_fini(&octets);
    return 0;
}
