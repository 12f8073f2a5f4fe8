/* Fuzz target: the walk over a multipart/form-data body.
 *
 * An input is a Content-Type up to the first LF, then the body. When the former has a boundary:
 * parts lie inside the body, in order, do not overlap, stand in front of a delimiter and hold none;
 * a walk with fewer parts allowed gives the same ones; the parts, encoded anew, are the same parts;
 * a body that ends before its closing delimiter does is refused; no octet is compared twice. Names
 * only shrink when their escapes are undone. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/panic.h"
#include "http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PARTS 20U

/* Parts up to the end or the first error. */
struct walk {
    int rc; /* of the last call */
    const char *reason;
    size_t end; /* offset behind the last delimiter line read */
    uint32_t n;
    struct multipart_part parts[PARTS];
};

static void walk_body(struct str body, struct str boundary, uint32_t max_parts, struct walk *out)
{
    struct multipart m;
    struct multipart_part part;
    *out = (struct walk){0};
    multipart_begin(&m, body, boundary, max_parts);
    while ((out->rc = multipart_next(&m, &part)) == 1) {
        RMD_ASSERT(out->n < max_parts);
        out->parts[out->n++] = part;
    }
    RMD_ASSERT(out->rc == 0 || out->rc == -EINVAL || out->rc == -E2BIG);
    RMD_ASSERT((out->rc == 0) == (m.reason == NULL));
    RMD_ASSERT(multipart_next(&m, &part) == out->rc);
    RMD_ASSERT(m.n_parts == out->n);
    RMD_ASSERT(m.n_compared <= body.len);
    RMD_ASSERT(m.at <= body.len);
    out->reason = m.reason;
    out->end = m.at;
}

static bool is_inside(struct str s, struct str whole)
{
    return s.len == 0 || (s.p >= whole.p && s.p + s.len <= whole.p + whole.len);
}

static bool has_text(struct str s, struct str text)
{
    return s.len >= text.len && memmem(s.p, s.len, text.p, text.len);
}

static bool is_same_part(const struct multipart_part *a, const struct multipart_part *b)
{
    return str_is_equal(a->name, b->name) && a->has_filename == b->has_filename &&
           str_is_equal(a->filename, b->filename) &&
           str_is_equal(a->content_type, b->content_type) && str_is_equal(a->data, b->data);
}

static void check_name(struct str raw)
{
    struct arena arena;
    arena_init(&arena, 256);
    struct str text;
    RMD_ASSERT(multipart_decode(raw, &arena, &text) == 0);
    RMD_ASSERT(text.len <= raw.len);
    RMD_ASSERT(text.len > 0 || raw.len == 0);
    RMD_ASSERT(text.p == raw.p || text.p[text.len] == '\0');
    RMD_ASSERT(!has_text(raw, STR("\"")) || has_text(raw, STR("\\\"")));
    arena_fini(&arena);
}

static void check_parts(const struct walk *walk, struct str body, struct str delimiter)
{
    const char *at = body.p; /* nothing of a part lies before */
    for (uint32_t i = 0; i < walk->n; i++) {
        const struct multipart_part *part = &walk->parts[i];
        RMD_ASSERT(is_inside(part->name, body) && is_inside(part->filename, body));
        RMD_ASSERT(is_inside(part->content_type, body) && is_inside(part->data, body));
        RMD_ASSERT(part->name.p > at && part->name.p + part->name.len < part->data.p);
        RMD_ASSERT(part->data.p == body.p + part->data_at);
        RMD_ASSERT(part->has_filename || part->filename.len == 0);
        RMD_ASSERT(!has_text(part->data, delimiter));
        const char *end = part->data.p + part->data.len;
        size_t left = (size_t)(body.p + body.len - end);
        RMD_ASSERT(str_has_prefix(str_make(end, left), delimiter) ||
                   str_has_prefix(str_make(end - 2, left + 2), delimiter));
        at = end;
        check_name(part->name);
        check_name(part->filename);
    }
}

static void put(struct buf *out, struct str s)
{
    RMD_ASSERT(s.len == 0 || buf_append(out, s.p, s.len) == 0);
}

static void encode(struct buf *out, const struct walk *walk, struct str delimiter)
{
    for (uint32_t i = 0; i < walk->n; i++) {
        const struct multipart_part *part = &walk->parts[i];
        put(out, delimiter);
        put(out, STR("\r\nContent-Disposition: form-data; name=\""));
        put(out, part->name);
        if (part->has_filename) {
            put(out, STR("\"; filename=\""));
            put(out, part->filename);
        }
        put(out, STR("\"\r\n"));
        if (part->content_type.len > 0) {
            put(out, STR("Content-Type: "));
            put(out, part->content_type);
            put(out, STR("\r\n"));
        }
        put(out, STR("\r\n"));
        put(out, part->data);
    }
    put(out, delimiter);
    put(out, STR("--"));
}

static void check_encoded(const struct walk *walk, struct str boundary, struct str delimiter)
{
    struct buf out = {0};
    struct walk again;
    encode(&out, walk, delimiter);
    walk_body(str_make(out.data, out.len), boundary, PARTS, &again);
    RMD_ASSERT(again.rc == 0 || again.rc == -E2BIG); /* our header lines may be longer */
    RMD_ASSERT(again.rc != 0 || again.n == walk->n);
    RMD_ASSERT(again.rc != 0 || again.end == out.len);
    for (uint32_t i = 0; i < again.n; i++)
        RMD_ASSERT(is_same_part(&again.parts[i], &walk->parts[i]));
    buf_fini(&out);
}

static void check_fewer(const struct walk *walk, struct str body, struct str boundary)
{
    struct walk fewer;
    uint32_t max_parts = walk->n > 0 ? walk->n - 1 : 0;
    walk_body(body, boundary, max_parts, &fewer);
    RMD_ASSERT(fewer.n == max_parts);
    RMD_ASSERT(walk->n > 0 ? fewer.rc == -E2BIG : fewer.rc == walk->rc || fewer.rc == -E2BIG);
    for (uint32_t i = 0; i < fewer.n; i++)
        RMD_ASSERT(is_same_part(&fewer.parts[i], &walk->parts[i]));
}

/* Every body that ends in front of the closing delimiter's last octet; of long ones some. */
static void check_cut(const struct walk *walk, struct str body, struct str boundary)
{
    size_t whole = walk->end;
    while (body.p[whole - 1] != '-') /* padding and line end */
        whole--;
    for (size_t len = whole - 1; len > 0; len -= 1 + len / 100) {
        struct walk cut;
        walk_body(str_make(body.p, len), boundary, PARTS, &cut);
        RMD_ASSERT(cut.rc < 0 && cut.n <= walk->n);
    }
    struct walk same;
    walk_body(str_make(body.p, whole), boundary, PARTS, &same);
    RMD_ASSERT(same.rc == 0 && same.n == walk->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_make((const char *)data, size);
    const char *lf = size > 0 ? memchr(input.p, '\n', size) : NULL;
    struct str boundary = STR("untouched");
    if (!lf)
        return 0;
    struct str type = str_make(input.p, (size_t)(lf - input.p));
    struct str body = str_make(lf + 1, size - type.len - 1);
    if (multipart_boundary(type, &boundary) < 0) {
        RMD_ASSERT(str_is_equal(boundary, STR("untouched")));
        return 0;
    }
    RMD_ASSERT(boundary.len >= 1 && boundary.len <= 70 && is_inside(boundary, type));

    char delimiter_text[80] = "\r\n--";
    memcpy(delimiter_text + 4, boundary.p, boundary.len);
    struct str delimiter = str_make(delimiter_text, 4 + boundary.len);
    static struct walk walk;
    walk_body(body, boundary, PARTS, &walk);
    check_parts(&walk, body, delimiter);
    check_encoded(&walk, boundary, delimiter);
    check_fewer(&walk, body, boundary);
    if (walk.rc == 0)
        check_cut(&walk, body, boundary);
    return 0;
}
