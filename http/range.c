/* Range requests. A field is read against the length of what there is, so that nobody behind it
 * has to think about missing, overlong or suffix ranges any more.
 *
 * Floods of ranges (CVE-2011-3192) are met by two rules of RFC 9110 §14.2, §15.3.7.2 and §17.15:
 * more than RANGE_MAX ranges are no ranges, and ranges that overlap or touch become one. So an
 * answer is never longer than the representation and the heads of RANGE_MAX parts. Ranges with a
 * gap between them are left apart, though §15.3.7.2 would allow to join close ones: whoever asks
 * for two parts gets two, and what the heads cost is bounded already.
 *
 * Answers are arrays of pieces (struct response_part): the heads of the parts lie in one text in
 * the arena, the octets between them where they were. */
#include "http/range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/panic.h"
#include "http/response.h"
#include "http/trace.h"

/* "\r\n--" boundary "\r\nContent-Type: " type "\r\nContent-Range: " range "\r\n\r\n", without
 * boundary and type. */
#define PART_ROOM (64 + RANGE_TEXT_MAX)

/* ---- the field ---- */

/* Numbers of any length are good; what 64 bits can't hold is beyond every representation. */
static int read_number(struct str text, uint64_t *out)
{
    uint64_t value = UINT64_MAX;
    int rc = str_parse_u64(text, UINT64_MAX, &value);
    if (rc == -EINVAL)
        return rc;
    *out = value;
    return 0;
}

/* The last octets of the representation. Returns 0; -EINVAL; -ERANGE there is no such octet */
static int read_suffix(struct str text, uint64_t len, struct range *out)
{
    uint64_t n;
    int rc = read_number(text, &n);
    if (rc < 0)
        return rc;
    if (n == 0)
        return -ERANGE;
    out->len = n < len ? n : len;
    out->first = len - out->len;
    return 0;
}

/* int-range or suffix-range (RFC 9110 §14.1.1). Returns 0; -EINVAL; -ERANGE not satisfiable */
static int read_spec(struct str spec, uint64_t len, struct range *out)
{
    const char *dash = memchr(spec.p, '-', spec.len);
    if (!dash)
        return -EINVAL;
    struct str before = str_make(spec.p, (size_t)(dash - spec.p));
    struct str behind = str_make(dash + 1, spec.len - before.len - 1);
    if (before.len == 0)
        return read_suffix(behind, len, out);

    uint64_t first;
    uint64_t last = UINT64_MAX;
    int rc = read_number(before, &first);
    if (rc == 0 && behind.len > 0)
        rc = read_number(behind, &last);
    if (rc < 0)
        return rc;
    if (last < first)
        return -EINVAL;
    if (first >= len)
        return -ERANGE;
    out->first = first;
    out->len = (last < len ? last : len - 1) - first + 1;
    return 0;
}

/* Takes the next element of a list, which may be empty. False at the end. */
static bool next_element(struct str *rest, struct str *out)
{
    if (!rest->p)
        return false;
    const char *comma = memchr(rest->p, ',', rest->len);
    size_t n = comma ? (size_t)(comma - rest->p) : rest->len;
    *out = str_trim(str_make(rest->p, n));
    *rest = comma ? str_make(comma + 1, rest->len - n - 1) : (struct str){0};
    return true;
}

/* Adds a range and joins it with those that it overlaps or touches. These are apart from each other
 * and from the rest, so nothing else has to be joined with the sum. */
static void add_range(struct range_set *set, struct range range)
{
    uint64_t first = range.first;
    uint64_t end = range.first + range.len;
    uint32_t n = 0;
    uint32_t place = UINT32_MAX;
    for (uint32_t i = 0; i < set->n; i++) {
        struct range old = set->ranges[i];
        if (old.first > end || old.first + old.len < first) {
            set->ranges[n++] = old;
            continue;
        }
        if (place == UINT32_MAX)
            place = n++;
        first = old.first < first ? old.first : first;
        end = old.first + old.len > end ? old.first + old.len : end;
    }
    if (place == UINT32_MAX)
        place = n++;
    set->ranges[place] = (struct range){.first = first, .len = end - first};
    set->n = n;
}

enum range_outcome range_parse(struct str value, uint64_t len, struct range_set *out_set)
{
    const struct str unit = STR("bytes=");
    if (len == 0 || value.len < unit.len || !str_is_equal_nocase(str_make(value.p, unit.len), unit))
        return RANGE_NONE;

    struct range_set set;
    set.n = 0;
    uint32_t n_specs = 0;
    struct str rest = str_make(value.p + unit.len, value.len - unit.len);
    struct str spec;
    while (next_element(&rest, &spec)) {
        struct range range;
        if (spec.len == 0)
            continue;
        int rc = read_spec(spec, len, &range);
        if (rc == -EINVAL || ++n_specs > RANGE_MAX)
            return RANGE_NONE;
        if (rc == 0)
            add_range(&set, range);
    }
    if (n_specs == 0)
        return RANGE_NONE;
    if (set.n == 0)
        return RANGE_UNSATISFIABLE;
    out_set->n = set.n;
    memcpy(out_set->ranges, set.ranges, set.n * sizeof set.ranges[0]);
    return RANGE_OK;
}

/* ---- answers ---- */

size_t range_render(char out[RANGE_TEXT_MAX], const struct range *range, uint64_t len)
{
    return (size_t)snprintf(out, RANGE_TEXT_MAX, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                            range->first, range->first + range->len - 1, len);
}

size_t range_render_unsatisfied(char out[RANGE_TEXT_MAX], uint64_t len)
{
    return (size_t)snprintf(out, RANGE_TEXT_MAX, "bytes */%" PRIu64, len);
}

static int set_content_range(struct rmd_response *res, struct arena *arena, const char *text,
                             size_t len)
{
    return response_set(res, arena, STR("Content-Range"), str_make(text, len), true);
}

/* The octets of one range, where they are: in memory at data, or in the file. */
static struct response_part piece_of(const struct range *range, const char *data)
{
    if (data)
        return (struct response_part){.data = data + range->first, .len = range->len};
    return (struct response_part){.offset = range->first, .len = range->len};
}

static char *put(char *at, struct str text)
{
    if (text.len > 0)
        memcpy(at, text.p, text.len);
    return at + text.len;
}

int range_make_boundary(char out[RANGE_BOUNDARY_LEN + 1])
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return -errno;
    trace_format(random, out);
    return 0;
}

/* The line break in front of a boundary belongs to it, but before the first nothing is to be
 * ended (RFC 2046 §5.1.1). */
static char *put_boundary(char *at, struct str boundary, bool is_first)
{
    at = put(at, is_first ? STR("--") : STR("\r\n--"));
    return put(at, boundary);
}

static char *put_part_head(char *at, struct str type, const struct range *range, uint64_t len)
{
    char text[RANGE_TEXT_MAX];
    if (type.len > 0) {
        at = put(at, STR("\r\nContent-Type: "));
        at = put(at, type);
    }
    at = put(at, STR("\r\nContent-Range: "));
    at = put(at, str_make(text, range_render(text, range, len)));
    return put(at, STR("\r\n\r\n"));
}

/* Writes multipart/byteranges as pieces: head, octets, head, octets … end. Returns how many. */
static uint32_t build_parts(struct response_part *parts, char *text, const struct range_set *set,
                            struct str type, struct str boundary, const char *data, uint64_t len)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct range *range = &set->ranges[i];
        char *start = text;
        text = put_boundary(text, boundary, i == 0);
        text = put_part_head(text, type, range, len);
        parts[n++] = (struct response_part){.data = start, .len = (uint64_t)(text - start)};
        parts[n++] = piece_of(range, data);
    }
    char *start = text;
    text = put_boundary(text, boundary, false);
    text = put(text, STR("--\r\n"));
    parts[n++] = (struct response_part){.data = start, .len = (uint64_t)(text - start)};
    return n;
}

/* Gives the body as pieces. Octets in memory at data must outlive the drop of the old body, so what
 * is owed for them moves on to the new one. */
static int give_pieces(struct rmd_response *res, struct arena *arena, int fd, const char *data,
                       const struct response_part *parts, uint32_t n)
{
    void (*done)(void *) = data ? res->done : NULL;
    void *done_arg = res->done_arg;
    if (data)
        res->done = NULL;
    int rc = response_give_file(res, arena, 206, fd, parts, n);
    if (data) {
        res->done = done;
        res->done_arg = done_arg;
    }
    if (rc < 0)
        response_drop_body(res);
    return rc;
}

static int give_several(struct rmd_response *res, struct arena *arena, int fd, const char *data,
                        uint64_t len, const struct range_set *set, const char *boundary)
{
    struct response_part parts[2 * RANGE_MAX + 1];
    struct str mark = str_of(boundary);
    RMD_ASSERT(mark.len > 0 && mark.len <= RANGE_BOUNDARY_MAX);
    size_t type_len = 0;
    char *type = arena_printf(arena, &type_len, "multipart/byteranges; boundary=%s", boundary);
    size_t room = (PART_ROOM + mark.len + res->type.len) * (set->n + 1);
    char *text = type ? arena_alloc_text(arena, room) : NULL;
    if (!text) {
        fd_close(&fd);
        response_drop_body(res);
        return -ENOMEM;
    }
    uint32_t n = build_parts(parts, text, set, res->type, mark, data, len);
    int rc = give_pieces(res, arena, fd, data, parts, n);
    if (rc == 0)
        res->type = str_make(type, type_len);
    return rc;
}

int range_answer_file(struct rmd_response *res, struct arena *arena, int fd, uint64_t len,
                      const struct range_set *set, const char *boundary)
{
    RMD_ASSERT(set->n > 0 && set->n <= RANGE_MAX);
    if (set->n > 1)
        return give_several(res, arena, fd, NULL, len, set, boundary);
    char text[RANGE_TEXT_MAX];
    size_t text_len = range_render(text, &set->ranges[0], len);
    struct response_part piece = piece_of(&set->ranges[0], NULL);
    if (give_pieces(res, arena, fd, NULL, &piece, 1) < 0)
        return -ENOMEM;
    if (set_content_range(res, arena, text, text_len) < 0) {
        response_drop_body(res);
        return -ENOMEM;
    }
    return 0;
}

int range_answer_bytes(struct rmd_response *res, struct arena *arena, const struct range_set *set,
                       const char *boundary)
{
    RMD_ASSERT(set->n > 0 && set->n <= RANGE_MAX);
    RMD_ASSERT(res->kind == RESPONSE_BYTES && res->body_len > 0);
    if (set->n > 1)
        return give_several(res, arena, -1, res->body, res->body_len, set, boundary);
    char text[RANGE_TEXT_MAX];
    size_t text_len = range_render(text, &set->ranges[0], res->body_len);
    if (set_content_range(res, arena, text, text_len) < 0) {
        response_drop_body(res);
        return -ENOMEM;
    }
    res->status = 206;
    res->body += set->ranges[0].first;
    res->body_len = (size_t)set->ranges[0].len;
    return 0;
}

int range_refuse(struct rmd_response *res, struct arena *arena, uint64_t len)
{
    char text[RANGE_TEXT_MAX];
    size_t text_len = range_render_unsatisfied(text, len);
    response_error_page(res, arena, 416);
    return set_content_range(res, arena, text, text_len);
}
