/* Fuzz target of what requests say about the answer: ranges, preconditions, preferences, dates.
 *
 * Input: lines, each the value of one field; one that is missing means that the field is absent.
 *   1 length of the representation    2 Range        3 method             4 our ETag
 *   5 If-Match   6 If-None-Match   7 If-Modified-Since   8 If-Unmodified-Since   9 If-Range
 *   10 Accept   11 Accept-Encoding   12 Accept-Language
 *
 * Asserted: ranges lie inside, apart and in order, and mean the same when they are written and read
 * again; answers hold what Content-Length will say and are taken apart to the octets asked for;
 * verdicts agree with each other where one field more or less can't matter; what a list says does
 * not depend on empty or malformed company; dates survive being written. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/panic.h"
#include "http/conditional.h"
#include "http/date.h"
#include "http/negotiate.h"
#include "http/range.h"
#include "http/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_LINES = 12, BODY_MAX = 5000, NOW = 784903526 };

static struct str lines[N_LINES];

static void split(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data;
    const char *end = at + size;
    for (size_t i = 0; i < N_LINES; i++) {
        lines[i] = (struct str){0};
        if (!at)
            continue;
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        lines[i] = str_make(at, (size_t)((line_end ? line_end : end) - at));
        at = line_end ? line_end + 1 : NULL;
    }
}

/* Three texts in a row, on the heap, so that the sanitizers see an octet too far. */
static struct str join(struct str a, struct str b, struct str c, char **out_free)
{
    const struct str texts[] = {a, b, c};
    char *copy = malloc(a.len + b.len + c.len + 1);
    size_t n = 0;
    RMD_ASSERT(copy);
    for (size_t i = 0; i < 3; i++) {
        if (texts[i].len > 0)
            memcpy(copy + n, texts[i].p, texts[i].len);
        n += texts[i].len;
    }
    *out_free = copy;
    return str_make(copy, n);
}

/* ---- ranges ---- */

static void check_set(const struct range_set *set, uint64_t len)
{
    RMD_ASSERT(set->n >= 1 && set->n <= RANGE_MAX);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct range *a = &set->ranges[i];
        RMD_ASSERT(a->len >= 1 && a->len <= len && a->first <= len - a->len);
        for (uint32_t k = 0; k < i; k++) {
            const struct range *b = &set->ranges[k];
            RMD_ASSERT(a->first + a->len < b->first || b->first + b->len < a->first);
        }
    }
}

/* Written as a field, the set is read as itself. */
static void check_again(const struct range_set *set, uint64_t len)
{
    char text[RANGE_MAX * 44] = "bytes=";
    struct range_set again;
    size_t n = 6;
    for (uint32_t i = 0; i < set->n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%llu-%llu,",
                              (unsigned long long)set->ranges[i].first,
                              (unsigned long long)(set->ranges[i].first + set->ranges[i].len - 1));
    RMD_ASSERT(range_parse(str_make(text, n), len, &again) == RANGE_OK);
    RMD_ASSERT(again.n == set->n);
    RMD_ASSERT(memcmp(again.ranges, set->ranges, set->n * sizeof set->ranges[0]) == 0);
}

static struct str next_line(struct str *rest)
{
    const char *end = memmem(rest->p, rest->len, "\r\n", 2);
    RMD_ASSERT(end);
    struct str line = str_make(rest->p, (size_t)(end - rest->p));
    *rest = str_make(end + 2, rest->len - line.len - 2);
    return line;
}

/* Takes multipart/byteranges apart, as a client would. */
static void check_multipart(struct str body, const struct range_set *set, const char *octets,
                            uint64_t len)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const struct range *range = &set->ranges[i];
        char expected[RANGE_TEXT_MAX + 32] = "Content-Range: ";
        (void)range_render(expected + 15, range, len);
        RMD_ASSERT(str_is_equal(next_line(&body), STR("--0123456789abcdef")));
        RMD_ASSERT(str_is_equal(next_line(&body), STR("Content-Type: a/b")));
        RMD_ASSERT(str_is_equal(next_line(&body), str_of(expected)));
        RMD_ASSERT(str_is_equal(next_line(&body), STR("")));
        RMD_ASSERT(body.len > range->len);
        RMD_ASSERT(memcmp(body.p, octets + range->first, range->len) == 0);
        body = str_make(body.p + range->len, body.len - range->len);
        RMD_ASSERT(str_is_equal(next_line(&body), STR("")));
    }
    RMD_ASSERT(str_is_equal(body, STR("--0123456789abcdef--\r\n")));
}

static void begin(struct rmd_response *res, const char *octets, uint64_t len)
{
    response_begin(res, NULL);
    res->status = 200;
    res->type = STR("a/b");
    if (octets) {
        res->kind = RESPONSE_BYTES;
        res->body = octets;
        res->body_len = len;
    }
}

/* From memory: the octets of the parts in a row are the body. */
static void check_memory_answer(struct arena *arena, const struct range_set *set, uint64_t len)
{
    static char octets[BODY_MAX];
    static char body[BODY_MAX + RANGE_MAX * 200];
    struct rmd_response res;
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        octets[i] = (char)('a' + i % 23);
    begin(&res, octets, len);
    RMD_ASSERT(range_answer_bytes(&res, arena, set, "0123456789abcdef") == 0);
    RMD_ASSERT(res.status == 206);
    if (set->n == 1) {
        RMD_ASSERT(res.kind == RESPONSE_BYTES && res.body == octets + set->ranges[0].first);
        RMD_ASSERT(res.body_len == set->ranges[0].len);
        return;
    }
    RMD_ASSERT(res.kind == RESPONSE_FILE && res.n_parts == 2 * set->n + 1);
    for (uint32_t i = 0; i < res.n_parts; i++) {
        RMD_ASSERT(res.parts[i].data && n + res.parts[i].len <= sizeof body);
        memcpy(body + n, res.parts[i].data, res.parts[i].len);
        n += res.parts[i].len;
    }
    RMD_ASSERT(n == res.body_len);
    check_multipart(str_make(body, n), set, octets, len);
    response_drop_body(&res);
}

/* From a file: parts of the file are the ranges, between parts of memory; their sum is the body. */
static void check_file_answer(struct arena *arena, const struct range_set *set, uint64_t len)
{
    struct rmd_response res;
    uint64_t sum = 0;
    uint32_t n = 0;
    begin(&res, NULL, 0);
    RMD_ASSERT(range_answer_file(&res, arena, -1, len, set, "0123456789abcdef") == 0);
    RMD_ASSERT(res.status == 206 && res.kind == RESPONSE_FILE);
    for (uint32_t i = 0; i < res.n_parts; i++) {
        const struct response_part *part = &res.parts[i];
        RMD_ASSERT(part->len > 0);
        sum += part->len;
        if (part->data)
            continue;
        RMD_ASSERT(n < set->n && part->offset == set->ranges[n].first);
        RMD_ASSERT(part->len == set->ranges[n].len);
        n++;
    }
    RMD_ASSERT(n == set->n && sum == res.body_len);
    RMD_ASSERT(set->n == 1 || sum < len + (uint64_t)(set->n + 1) * 200);
    RMD_ASSERT((set->n == 1) == (response_find(&res, STR("content-range")) != NULL));
    response_drop_body(&res);
}

static void fuzz_range(struct str value, uint64_t len)
{
    static struct range_set set;
    set.n = 0;
    enum range_outcome outcome = range_parse(value, len, &set);
    RMD_ASSERT((outcome == RANGE_OK) == (set.n > 0));
    /* An empty element more changes nothing, a malformed one leaves no range. */
    if (value.p) {
        char *copy;
        struct range_set other;
        struct str more = join(value, STR(","), STR(""), &copy);
        RMD_ASSERT(range_parse(more, len, &other) == outcome);
        free(copy);
        more = join(value, STR(","), STR("x"), &copy);
        RMD_ASSERT(range_parse(more, len, &other) == RANGE_NONE);
        free(copy);
    }
    if (outcome != RANGE_OK)
        return;
    check_set(&set, len);
    check_again(&set, len);
    struct arena arena;
    arena_init(&arena, 1024);
    if (len <= INT64_MAX)
        check_file_answer(&arena, &set, len);
    if (len <= BODY_MAX)
        check_memory_answer(&arena, &set, len);
    arena_fini(&arena);
}

/* ---- tags, dates, preconditions ---- */

static void fuzz_search(struct str list, struct str etag)
{
    enum conditional_search strong = conditional_search(list, etag, true);
    enum conditional_search weak = conditional_search(list, etag, false);
    struct conditional_etag own;
    char *copy;
    RMD_ASSERT((strong == CONDITIONAL_MALFORMED) == (weak == CONDITIONAL_MALFORMED));
    RMD_ASSERT(strong != CONDITIONAL_HIT || weak == CONDITIONAL_HIT);
    if (str_is_equal(str_trim(list), STR("*")) || conditional_parse_etag(etag, &own) < 0)
        return;
    enum conditional_search found =
        conditional_search(join(list, STR(", "), etag, &copy), etag, false);
    RMD_ASSERT(found == (weak == CONDITIONAL_MALFORMED ? weak : CONDITIONAL_HIT));
    free(copy);
}

static void fuzz_date(struct str text)
{
    int64_t seconds;
    int64_t again;
    char written[DATE_LEN + 1];
    if (date_parse(text, NOW, &seconds) < 0)
        return;
    RMD_ASSERT(text.len >= 24 && text.len <= 33);
    RMD_ASSERT(date_parse(str_make(text.p, text.len - 1), NOW, &again) < 0);
    if (seconds < 0 || seconds > 253402300799)
        return;
    date_format(written, seconds);
    RMD_ASSERT(date_parse(str_of(written), NOW, &again) == 0 && again == seconds);
    /* Two digits of a year never mean more than fifty years ahead. */
    RMD_ASSERT(!memchr(text.p, '-', text.len) || seconds <= NOW + INT64_C(50) * 366 * 86400);
}

static void fuzz_verdict(struct str method, const struct conditional_fields *in,
                         const struct conditional_current *current, int64_t now)
{
    struct conditional_verdict verdict = conditional_judge(method, in, current, now);
    bool is_get = str_is_equal(method, STR("GET"));
    bool is_read = is_get || str_is_equal(method, STR("HEAD"));
    RMD_ASSERT(verdict.status == 0 || verdict.status == 412 || (verdict.status == 304 && is_read));
    RMD_ASSERT(!verdict.takes_range || (verdict.status == 0 && is_get));
    /* If-Range decides on the range alone. */
    struct conditional_fields other = *in;
    other.if_range = (struct str){0};
    struct conditional_verdict without = conditional_judge(method, &other, current, now);
    RMD_ASSERT(without.status == verdict.status);
    RMD_ASSERT(without.takes_range == (is_get && verdict.status == 0));
    /* A tag asked for silences the date that goes with it (RFC 9110 §13.2.2). */
    other = *in;
    if (in->if_match.p)
        other.if_unmodified_since = (struct str){0};
    if (in->if_none_match.p)
        other.if_modified_since = (struct str){0};
    RMD_ASSERT(conditional_judge(method, &other, current, now).status == verdict.status);
    other = (struct conditional_fields){.if_range = in->if_range};
    RMD_ASSERT(conditional_judge(method, &other, current, now).status == 0);
}

static void fuzz_conditions(void)
{
    struct conditional_fields in = {.if_match = lines[4],
                                    .if_none_match = lines[5],
                                    .if_modified_since = lines[6],
                                    .if_unmodified_since = lines[7],
                                    .if_range = lines[8]};
    static const int64_t dates[] = {CONDITIONAL_NO_DATE, 0, NOW - 1, NOW, NOW + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        struct conditional_current current = {.etag = lines[3], .modified_seconds = dates[i]};
        fuzz_verdict(lines[2], &in, &current, NOW);
        fuzz_verdict(STR("GET"), &in, &current, NOW);
        fuzz_verdict(STR("PUT"), &in, &current, NOW);
    }
    fuzz_verdict(lines[2], &in, NULL, NOW);
    fuzz_verdict(STR("HEAD"), &in, NULL, 0);
    for (size_t i = 3; i < N_LINES; i++)
        fuzz_search(lines[i], lines[3]);
    for (size_t i = 0; i < N_LINES; i++)
        fuzz_date(lines[i]);
}

/* ---- preferences ---- */

typedef int (*negotiator)(struct str field, const char *const *offers, size_t n);

static void fuzz_preference(negotiator negotiate, struct str field, const char *const *offers,
                            int n)
{
    int best = negotiate(field, offers, (size_t)n);
    RMD_ASSERT(best >= -1 && best < n);
    /* What is chosen is acceptable alone, and what comes later could not be better. */
    if (best >= 0) {
        RMD_ASSERT(negotiate(field, &offers[best], 1) == 0);
        RMD_ASSERT(negotiate(field, offers, (size_t)best + 1) == best);
    }
    for (int i = 0; best < 0 && i < n; i++)
        RMD_ASSERT(negotiate(field, &offers[i], 1) == -1);
    if (!field.p)
        return;
    /* Neither empty elements nor one that is malformed say anything. */
    char *copy;
    RMD_ASSERT(negotiate(join(STR(" ,, "), field, STR(","), &copy), offers, (size_t)n) == best);
    free(copy);
    RMD_ASSERT(negotiate(join(STR("(, ;;,"), field, STR(""), &copy), offers, (size_t)n) == best);
    free(copy);
}

static void fuzz_preferences(void)
{
    static const char *const types[] = {"text/html", "text/plain;format=flowed", "a/b;x=\"y\"",
                                        "image/png"};
    static const char *const codings[] = {"br", "gzip", "identity"};
    static const char *const languages[] = {"en", "de-CH", "zh-Hant-CN", "de"};
    for (size_t i = 9; i < N_LINES; i++) {
        fuzz_preference(negotiate_type, lines[i], types, 4);
        fuzz_preference(negotiate_encoding, lines[i], codings, 3);
        fuzz_preference(negotiate_language, lines[i], languages, 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t len = 0;
    split(data, size);
    if (str_parse_u64(lines[0], UINT64_MAX, &len) < 0)
        len = size;
    fuzz_range(lines[1], len);
    fuzz_range(lines[1], 100);
    fuzz_conditions();
    fuzz_preferences();
    return 0;
}
