/* http/range.c: the field against lengths, by the examples of RFC 9110 and by hand, then random
 * fields against a model that marks octets; the answers put together as a client would get them. */
#include "http/range.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"

static unsigned n_allocations;
static unsigned refused; /* 0: none; else the one that is */

static void *try_malloc(size_t bytes)
{
    return ++n_allocations == refused ? NULL : malloc(bytes);
}

/* The arena with another malloc; the linker takes this one instead of the library's. */
#define malloc try_malloc
#include "base/arena.c"
#undef malloc

#include "base/fd.h"
#include "http/response.h"
#include "tests/harness/check.h"

static struct arena arena;
static struct rmd_response res;
static unsigned n_done;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1); /* so that every allocation asks for memory */
    n_allocations = refused = 0;
    response_begin(&res, NULL);
    n_done = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    response_drop_body(&res);
    arena_fini(&arena);
    return 0;
}

/* ---- the field ---- */

/* "RANGE_OK" as text: "0-499 9500-9999"; "none", "416". */
static const char *parse(const char *value, uint64_t len)
{
    static char text[8192];
    static struct range_set set;
    memset(&set, 0xa5, sizeof set);
    switch (range_parse(str_of(value), len, &set)) {
    case RANGE_OK:
        break;
    case RANGE_NONE:
        CHECK_EQ(set.n, 0xa5a5a5a5);
        return "none";
    case RANGE_UNSATISFIABLE:
        CHECK_EQ(set.n, 0xa5a5a5a5);
        return "416";
    }
    size_t n = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < set.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llu-%llu", i ? " " : "",
                              (unsigned long long)set.ranges[i].first,
                              (unsigned long long)(set.ranges[i].first + set.ranges[i].len - 1));
    return text;
}

struct row {
    const char *value;
    uint64_t len;
    const char *expected;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_context("\"%s\" of %llu", rows[i].value ? rows[i].value : "(absent)",
                      (unsigned long long)rows[i].len);
        CHECK_TEXT(parse(rows[i].value, rows[i].len), rows[i].expected);
    }
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(rows)[0])

static void range_reads_the_examples_of_the_rfc(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* RFC 9110 §14.1.2 */
        {"bytes=0-499", 10000, "0-499"},
        {"bytes=500-999", 10000, "500-999"},
        {"bytes=-500", 10000, "9500-9999"},
        {"bytes=9500-", 10000, "9500-9999"},
        {"bytes=0-0,-1", 10000, "0-0 9999-9999"},
        {"bytes= 0-999, 4500-5499, -1000", 10000, "0-999 4500-5499 9000-9999"},
        {"bytes=500-600,601-999", 10000, "500-999"},
        {"bytes=500-700,601-999", 10000, "500-999"},
        /* §14.2, §14.4, §15.3.7 */
        {"bytes=21010-47021", 47022, "21010-47021"},
        {"bytes=0-499", 1234, "0-499"},
        {"bytes=500-999", 1234, "500-999"},
        {"bytes=500-1233", 1234, "500-1233"},
        {"bytes=-500", 1234, "734-1233"},
        {"bytes=7000-7999, 500-999", 8000, "7000-7999 500-999"},
        /* §15.5.17 */
        {"bytes=50000-", 47022, "416"},
    };
    CHECK_ROWS(rows);
}

static void range_cuts_at_the_end_and_leaves_out_what_is_not_there(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-", 10, "0-9"},
        {"bytes=9-", 10, "9-9"},
        {"bytes=10-", 10, "416"},
        {"bytes=0-9", 10, "0-9"},
        {"bytes=0-10", 10, "0-9"},
        {"bytes=9-9", 10, "9-9"},
        {"bytes=10-10", 10, "416"},
        {"bytes=-1", 10, "9-9"},
        {"bytes=-10", 10, "0-9"},
        {"bytes=-11", 10, "0-9"},
        {"bytes=-0", 10, "416"},
        {"bytes=-00", 10, "416"},
        {"bytes=-0,-0", 10, "416"},
        {"bytes=10-,11-20,-0", 10, "416"},
        {"bytes=10-,-0,3-4,99-", 10, "3-4"},
        {"bytes=0-0", 1, "0-0"},
        {"bytes=1-1", 1, "416"},
        {"bytes=-1", 1, "0-0"},
        {"bytes=000000000000000000000000000000000003-004", 10, "3-4"},
    };
    CHECK_ROWS(rows);
}

static void range_of_nothing_is_ignored(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-", 0, "none"},     {"bytes=0-0", 0, "none"}, {"bytes=-1", 0, "none"},
        {"bytes=-0", 0, "none"},     {"bytes=5-", 0, "none"},  {"bytes=x", 0, "none"},
        {"bytes=0-0,-1", 0, "none"},
    };
    CHECK_ROWS(rows);
}

static void range_that_is_malformed_or_of_another_unit_is_ignored(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NULL, 10, "none"},
        {"", 10, "none"},
        {"bytes", 10, "none"},
        {"bytes=", 10, "none"},
        {"bytes=,", 10, "none"},
        {"bytes= , ,, ", 10, "none"},
        {"bytes=-", 10, "none"},
        {"bytes=--1", 10, "none"},
        {"bytes=1", 10, "none"},
        {"bytes=1--2", 10, "none"},
        {"bytes=1-2-3", 10, "none"},
        {"bytes=1-2-", 10, "none"},
        {"bytes=a-b", 10, "none"},
        {"bytes=0x1-2", 10, "none"},
        {"bytes=+1-2", 10, "none"},
        {"bytes=1-+2", 10, "none"},
        {"bytes=1 -2", 10, "none"},
        {"bytes=1- 2", 10, "none"},
        {"bytes=- 2", 10, "none"},
        {"bytes=1-2 3-4", 10, "none"},
        {"bytes=1-2;3-4", 10, "none"},
        {"bytes=1.0-2", 10, "none"},
        {"bytes=*", 10, "none"},
        {"bytes=*/10", 10, "none"},
        {"bytes=1-2/10", 10, "none"},
        {"bytes 1-2", 10, "none"},
        {"bytes 1-2/10", 10, "none"},
        {"bytes =1-2", 10, "none"},
        {"bytes:1-2", 10, "none"},
        {"bytes==1-2", 10, "none"},
        {"byte=1-2", 10, "none"},
        {"bytess=1-2", 10, "none"},
        {"xbytes=1-2", 10, "none"},
        {" bytes=1-2", 10, "none"},
        {"lines=1-2", 10, "none"},
        {"exampleunit=1.2-4.3,25", 10, "none"}, /* RFC 7233, other-ranges-specifier */
        {"=1-2", 10, "none"},
        {"1-2", 10, "none"},
        {"bytes=2-1", 10, "none"},
        {"bytes=20-11", 10, "none"}, /* invalid, though both are beyond the end */
        {"bytes=9-0", 10, "none"},
        /* one mistake is one too many (§14.2) */
        {"bytes=0-1,x", 10, "none"},
        {"bytes=x,0-1", 10, "none"},
        {"bytes=0-1,2-1", 10, "none"},
        {"bytes=0-1,-", 10, "none"},
        {"bytes=0-1,,5", 10, "none"},
        {"bytes=99-,x", 10, "none"},
        /* two lines of it */
        {"bytes=0-1, bytes=3-4", 10, "none"},
    };
    CHECK_ROWS(rows);
    struct range_set set;
    CHECK_EQ(range_parse(str_make("bytes=0-\0001", 10), 10, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_make("bytes=0-1\r", 10), 10, &set), RANGE_NONE);
}

static void range_reads_lists_as_lists_are_written(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"BYTES=0-1", 10, "0-1"}, /* §14.1: unit names are case-insensitive */
        {"Bytes=0-1", 10, "0-1"},
        {"bytes=0-1,4-5", 10, "0-1 4-5"},
        {"bytes=0-1 , 4-5", 10, "0-1 4-5"},
        {"bytes=0-1\t,\t4-5", 10, "0-1 4-5"},
        {"bytes=,0-1", 10, "0-1"},
        {"bytes=0-1,", 10, "0-1"},
        {"bytes=, ,0-1,,\t,4-5, ,", 10, "0-1 4-5"},
        {"bytes=\t0-1", 10, "0-1"},
    };
    CHECK_ROWS(rows);
}

static void range_joins_what_overlaps_or_touches_in_the_place_of_the_first(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-1,3-4", 10, "0-1 3-4"}, /* a gap of one octet stays */
        {"bytes=3-4,0-1", 10, "3-4 0-1"},
        {"bytes=0-1,2-3", 10, "0-3"},
        {"bytes=2-3,0-1", 10, "0-3"},
        {"bytes=0-0,0-0,0-0", 10, "0-0"},
        {"bytes=0-,0-,0-", 10, "0-9"},
        {"bytes=0-9,2-3", 10, "0-9"},
        {"bytes=2-3,0-9", 10, "0-9"},
        {"bytes=0-5,5-9", 10, "0-9"},
        {"bytes=-5,0-5", 10, "0-9"},
        {"bytes=6-6,0-0,3-3,4-5,9-9", 10, "3-6 0-0 9-9"},
        {"bytes=0-1,8-9,4-5,1-4", 10, "0-5 8-9"},
        {"bytes=8-9,0-1,4-5,2-3", 10, "8-9 0-5"},
        {"bytes=8-9,0-1,4-5,1-8", 10, "0-9"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,-9", 10, "0-9"},
    };
    CHECK_ROWS(rows);
}

static void range_numbers_do_not_wrap(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-18446744073709551615", 10, "0-9"},
        {"bytes=0-18446744073709551616", 10, "0-9"},
        {"bytes=0-99999999999999999999999999999999", 10, "0-9"},
        {"bytes=18446744073709551615-", 10, "416"},
        {"bytes=18446744073709551616-", 10, "416"},
        {"bytes=18446744073709551617-18446744073709551618", 10, "416"},
        {"bytes=99999999999999999999-99999999999999999999", 10, "416"},
        {"bytes=18446744073709551616-0", 10, "none"},
        {"bytes=-18446744073709551615", 10, "0-9"},
        {"bytes=-18446744073709551616", 10, "0-9"},
        {"bytes=-99999999999999999999999999999999", 10, "0-9"},
        {"bytes=18446744073709551616-x", 10, "none"},
        {"bytes=1844674407370955161x-", 10, "none"},
        {"bytes=0-", INT64_MAX, "0-9223372036854775806"},
        {"bytes=-1", INT64_MAX, "9223372036854775806-9223372036854775806"},
        {"bytes=0-", UINT64_MAX, "0-18446744073709551614"},
        {"bytes=-1,0-0", UINT64_MAX, "18446744073709551614-18446744073709551614 0-0"},
        {"bytes=18446744073709551615-", UINT64_MAX, "416"},
        {"bytes=18446744073709551614-", UINT64_MAX, "18446744073709551614-18446744073709551614"},
    };
    CHECK_ROWS(rows);
}

/* "bytes=" and n times the same text, each with a number two higher. */
static char *make_many(unsigned n, const char *format)
{
    static char text[1 << 20];
    size_t len = (size_t)snprintf(text, sizeof text, "bytes=");
    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, format, 2 * i, 2 * i);
    return text;
}

static void range_refuses_more_ranges_than_the_limit(void **state)
{
    (void)state;
    struct range_set set;
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "%u-%u,")), 1000, &set), RANGE_OK);
    CHECK_EQ(set.n, RANGE_MAX);
    CHECK_EQ(set.ranges[RANGE_MAX - 1].first, 2 * RANGE_MAX - 2);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX + 1, "%u-%u,")), 1000, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_of(make_many(20000, "%u-%u,")), 100000, &set), RANGE_NONE);
    /* also when they would become one, or exist nowhere */
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "%.0u0-,")), 1000, &set), RANGE_OK);
    CHECK_EQ(set.n, 1);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX + 1, "%.0u0-,")), 1000, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "9%u-,")), 1, &set), RANGE_UNSATISFIABLE);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX + 1, "9%u-,")), 1, &set), RANGE_NONE);
    /* the attack of CVE-2011-3192, and empty elements, which are none */
    CHECK_EQ(range_parse(str_of(make_many(1300, "5-%u,")), 1000, &set), RANGE_NONE);
    CHECK_EQ(range_parse(str_of(make_many(20000, ", ,")), 1000, &set), RANGE_NONE);
    char *text = make_many(20000, ", ,");
    memcpy(text + strlen(text) - 4, "1-2,", 4);
    CHECK_TEXT(parse(text, 10), "1-2");
}

/* ---- random fields against a model ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

/* Each octet is marked with the first range that asked for it or for an octet connected to it. */
static void range_agrees_with_marked_octets(void **state)
{
    (void)state;
    enum { LEN = 40 };
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        char text[1024];
        size_t n = (size_t)snprintf(text, sizeof text, "bytes=");
        bool is_marked[LEN] = {false};
        int first_asked[LEN];
        unsigned n_ranges = 1 + next_random(&seed) % 12;
        for (size_t i = 0; i < LEN; i++)
            first_asked[i] = 999;
        for (unsigned i = 0; i < n_ranges; i++) {
            unsigned first = next_random(&seed) % (LEN + 5);
            unsigned last = first + next_random(&seed) % 6;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%u-%u", i ? "," : "", first, last);
            for (unsigned k = first; k <= last && k < LEN; k++) {
                is_marked[k] = true;
                first_asked[k] = first_asked[k] < (int)i ? first_asked[k] : (int)i;
            }
        }
        struct range_set set = {0};
        enum range_outcome outcome = range_parse(str_of(text), LEN, &set);
        check_context("%s", text);
        int before = -1;
        for (uint32_t i = 0; i < set.n; i++) {
            size_t first = (size_t)set.ranges[i].first;
            size_t end = first + (size_t)set.ranges[i].len;
            int asked = 999;
            CHECK(end > first && end <= LEN);
            CHECK(first == 0 || !is_marked[first - 1]);
            CHECK(end == LEN || !is_marked[end]);
            for (size_t k = first; k < end; k++) {
                CHECK(is_marked[k]);
                asked = first_asked[k] < asked ? first_asked[k] : asked;
                first_asked[k] = 999;
            }
            CHECK(asked > before && asked != 999); /* in order, and no octet twice */
            before = asked;
        }
        for (size_t k = 0; k < LEN; k++)
            CHECK(first_asked[k] == 999); /* none is missing */
        CHECK_EQ(outcome, set.n > 0 ? RANGE_OK : RANGE_UNSATISFIABLE);
    }
}

/* ---- rendering ---- */

static void range_renders_content_range(void **state)
{
    (void)state;
    char text[RANGE_TEXT_MAX];
    struct range range = {.first = 0, .len = 500};
    CHECK_EQ(range_render(text, &range, 1234), strlen("bytes 0-499/1234"));
    CHECK_TEXT(text, "bytes 0-499/1234");
    range = (struct range){.first = 42, .len = 1192};
    (void)range_render(text, &range, 1234);
    CHECK_TEXT(text, "bytes 42-1233/1234"); /* RFC 9110 §14.4 */
    range = (struct range){.first = UINT64_MAX - 1, .len = 1};
    size_t len = range_render(text, &range, UINT64_MAX);
    CHECK_EQ(len, strlen(text));
    CHECK_TEXT(text, "bytes 18446744073709551614-18446744073709551614/18446744073709551615");
    CHECK_EQ(range_render_unsatisfied(text, 47022), strlen("bytes */47022"));
    CHECK_TEXT(text, "bytes */47022"); /* §15.5.17 */
    len = range_render_unsatisfied(text, UINT64_MAX);
    CHECK_EQ(len, strlen(text));
    CHECK_TEXT(text, "bytes */18446744073709551615");
}

/* ---- answers ---- */

static const char content[] = "abcdefghijklmnopqrstuvwxyz";
#define CONTENT_LEN (sizeof content - 1)

static int open_content(void)
{
    int fd = memfd_create("content", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fd_write_all(fd, content, CONTENT_LEN), 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static struct range_set parse_set(const char *value)
{
    struct range_set set;
    CHECK_EQ(range_parse(str_of(value), CONTENT_LEN, &set), RANGE_OK);
    return set;
}

/* The body as a client gets it. */
static const char *body(void)
{
    static char text[16384];
    size_t n = 0;
    if (res.kind == RESPONSE_BYTES) {
        memcpy(text, res.body, res.body_len);
        n = res.body_len;
    }
    for (uint32_t i = 0; i < res.n_parts; i++) {
        const struct response_part *part = &res.parts[i];
        CHECK(part->len > 0 && n + part->len < sizeof text);
        if (part->data)
            memcpy(text + n, part->data, part->len);
        else
            CHECK_EQ(pread(res.fd, text + n, part->len, (off_t)part->offset), part->len);
        n += part->len;
    }
    CHECK_EQ(n, res.body_len); /* what Content-Length will say */
    text[n] = '\0';
    return text;
}

static const char *field(const char *name)
{
    const struct response_field *found = response_find(&res, str_of(name));
    return found ? found->value.p : "(none)";
}

static void done(void *arg)
{
    (void)arg;
    n_done++;
}

/* The answer of a handler: octets on the heap that are gone once done was called. */
static void free_octets(void *octets)
{
    free(octets);
    n_done++;
}

static void give_octets(void)
{
    char *octets = malloc(CONTENT_LEN);
    CHECK(octets != NULL);
    memcpy(octets, content, CONTENT_LEN);
    response_begin(&res, NULL);
    res.kind = RESPONSE_BYTES;
    res.status = 200;
    res.body = octets;
    res.body_len = CONTENT_LEN;
    res.type = STR("text/plain");
    res.done = free_octets;
    res.done_arg = octets;
}

static void range_answers_one_range_of_a_file(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=3-5");
    int fd = open_content();
    res.type = STR("text/plain");
    CHECK_EQ(response_set(&res, &arena, STR("ETag"), STR("\"x\""), true), 0);
    CHECK_EQ(range_answer_file(&res, &arena, fd, CONTENT_LEN, &set, NULL), 0);
    CHECK_EQ(res.status, 206);
    CHECK_EQ(res.kind, RESPONSE_FILE);
    CHECK_TEXT(body(), "def");
    CHECK_TEXT(field("Content-Range"), "bytes 3-5/26");
    CHECK_TEXT(field("ETag"), "\"x\"");
    CHECK_BYTES(res.type.p, res.type.len, "text/plain", 10);
    CHECK(is_open(fd));
    response_drop_body(&res);
    CHECK(!is_open(fd));
}

static const char three_parts[] = "--THIS_STRING-1\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Range: bytes 24-25/26\r\n"
                                  "\r\n"
                                  "yz\r\n"
                                  "--THIS_STRING-1\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Range: bytes 0-0/26\r\n"
                                  "\r\n"
                                  "a\r\n"
                                  "--THIS_STRING-1\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Range: bytes 9-11/26\r\n"
                                  "\r\n"
                                  "jkl\r\n"
                                  "--THIS_STRING-1--\r\n";

static void check_three_parts(void)
{
    static const char type[] = "multipart/byteranges; boundary=THIS_STRING-1";
    CHECK_EQ(res.status, 206);
    CHECK_EQ(res.kind, RESPONSE_FILE);
    CHECK_EQ(res.body_len, sizeof three_parts - 1);
    CHECK_TEXT(body(), three_parts);
    CHECK_TEXT(field("Content-Range"), "(none)"); /* MUST NOT, RFC 9110 §15.3.7.2 */
    CHECK_BYTES(res.type.p, res.type.len, type, sizeof type - 1);
}

static void range_answers_several_ranges_of_a_file_in_their_order(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=-2,0-0,9-11");
    char boundary[] = "THIS_STRING-1";
    int fd = open_content();
    res.type = STR("text/plain");
    CHECK_EQ(range_answer_file(&res, &arena, fd, CONTENT_LEN, &set, boundary), 0);
    memset(boundary, 'x', sizeof boundary); /* it was copied */
    set.n = 0;
    check_three_parts();
    response_drop_body(&res);
    CHECK(!is_open(fd));
}

static void range_answers_parts_without_type_when_there_was_none(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=0-0,2-2");
    CHECK_EQ(range_answer_file(&res, &arena, open_content(), CONTENT_LEN, &set, "b"), 0);
    CHECK_TEXT(body(), "--b\r\nContent-Range: bytes 0-0/26\r\n\r\na\r\n"
                       "--b\r\nContent-Range: bytes 2-2/26\r\n\r\nc\r\n"
                       "--b--\r\n");
    CHECK_BYTES(res.type.p, res.type.len, "multipart/byteranges; boundary=b", 32);
}

static void range_answer_of_a_file_replaces_an_earlier_body(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=0-0");
    give_octets();
    CHECK_EQ(range_answer_file(&res, &arena, open_content(), CONTENT_LEN, &set, NULL), 0);
    CHECK_EQ(n_done, 1);
    CHECK_TEXT(body(), "a");
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
}

static void range_answers_one_range_of_memory_without_a_copy(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=20-");
    give_octets();
    const char *octets = res.body;
    CHECK_EQ(range_answer_bytes(&res, &arena, &set, NULL), 0);
    CHECK_EQ(res.status, 206);
    CHECK_EQ(res.kind, RESPONSE_BYTES);
    CHECK(res.body == octets + 20);
    CHECK_TEXT(body(), "uvwxyz");
    CHECK_TEXT(field("Content-Range"), "bytes 20-25/26");
    CHECK_BYTES(res.type.p, res.type.len, "text/plain", 10);
    CHECK_EQ(n_done, 0);
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
}

static void range_answers_several_ranges_of_memory_and_owes_done(void **state)
{
    (void)state;
    struct range_set set = parse_set("bytes=-2,0-0,9-11");
    give_octets();
    const char *octets = res.body;
    CHECK_EQ(range_answer_bytes(&res, &arena, &set, "THIS_STRING-1"), 0);
    CHECK_EQ(n_done, 0); /* the octets are still needed */
    CHECK_EQ(res.fd, -1);
    CHECK(res.parts[1].data == octets + 24 && res.parts[5].data == octets + 9);
    check_three_parts();
    response_drop_body(&res);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(res.n_parts, 0);
}

static void range_answers_as_many_parts_as_the_limit_allows(void **state)
{
    (void)state;
    enum { LEN = 3 * RANGE_MAX };
    static char octets[LEN];
    struct range_set set;
    char boundary[RANGE_BOUNDARY_MAX + 1];
    memset(boundary, 'B', RANGE_BOUNDARY_MAX);
    boundary[RANGE_BOUNDARY_MAX] = '\0';
    memset(octets, 'o', sizeof octets);
    CHECK_EQ(range_parse(str_of(make_many(RANGE_MAX, "%u-%u,")), LEN, &set), RANGE_OK);
    res.kind = RESPONSE_BYTES;
    res.body = octets;
    res.body_len = LEN;
    res.done = done;
    CHECK_EQ(range_answer_bytes(&res, &arena, &set, boundary), 0);
    CHECK_EQ(res.n_parts, 2 * RANGE_MAX + 1);
    const char *text = body();
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, boundary)) != NULL; at += RANGE_BOUNDARY_MAX)
        n++;
    CHECK_EQ(n, RANGE_MAX + 1);
}

static void range_refuses_with_the_length_that_there_is(void **state)
{
    (void)state;
    give_octets();
    CHECK_EQ(response_set(&res, &arena, STR("Content-Range"), STR("bytes 0-1/2"), true), 0);
    CHECK_EQ(range_refuse(&res, &arena, CONTENT_LEN), 0);
    CHECK_EQ(n_done, 1);
    CHECK_EQ(res.status, 416);
    CHECK_TEXT(field("Content-Range"), "bytes */26");
    CHECK_TEXT(body(), "416 Range Not Satisfiable\n");
}

/* Each allocation of each kind of answer refused: no body is left, nothing is open, done is paid. */
static void range_answers_without_memory_leave_no_body(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool is_file;
    } answers[] = {{"bytes=0-0", true},
                   {"bytes=0-0,2-2", true},
                   {"bytes=0-0", false},
                   {"bytes=0-0,2-2", false}};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct range_set set = parse_set(answers[i].value);
        int rc = -ENOMEM;
        for (refused = 1; rc != 0; refused++) {
            check_context("%s, %zu, refused %u", answers[i].value, i, refused);
            int fd = answers[i].is_file ? open_content() : -1;
            if (answers[i].is_file)
                response_begin(&res, NULL);
            else
                give_octets();
            n_allocations = n_done = 0;
            rc = answers[i].is_file ? range_answer_file(&res, &arena, fd, CONTENT_LEN, &set, "b")
                                    : range_answer_bytes(&res, &arena, &set, "b");
            CHECK(rc == 0 || rc == -ENOMEM);
            CHECK_EQ(rc == 0, n_allocations < refused);
            CHECK_EQ(n_done, rc < 0 && !answers[i].is_file);
            if (rc < 0)
                CHECK(res.kind == RESPONSE_NONE && res.body_len == 0 && !is_open(fd));
            else
                response_drop_body(&res);
            CHECK(!is_open(fd));
        }
        CHECK(refused > 2); /* some were refused */
    }
    for (refused = 1; refused <= 3; refused++) {
        n_allocations = 0;
        give_octets();
        int rc = range_refuse(&res, &arena, CONTENT_LEN);
        CHECK_EQ(rc, refused == 1 ? 0 : -ENOMEM); /* without its text the page is empty */
        CHECK_EQ(res.status, 416);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_reads_the_examples_of_the_rfc),
        cmocka_unit_test(range_cuts_at_the_end_and_leaves_out_what_is_not_there),
        cmocka_unit_test(range_of_nothing_is_ignored),
        cmocka_unit_test(range_that_is_malformed_or_of_another_unit_is_ignored),
        cmocka_unit_test(range_reads_lists_as_lists_are_written),
        cmocka_unit_test(range_joins_what_overlaps_or_touches_in_the_place_of_the_first),
        cmocka_unit_test(range_numbers_do_not_wrap),
        cmocka_unit_test(range_refuses_more_ranges_than_the_limit),
        cmocka_unit_test(range_agrees_with_marked_octets),
        cmocka_unit_test(range_renders_content_range),
        cmocka_unit_test_setup_teardown(range_answers_one_range_of_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(range_answers_several_ranges_of_a_file_in_their_order,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(range_answers_parts_without_type_when_there_was_none, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answer_of_a_file_replaces_an_earlier_body, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_one_range_of_memory_without_a_copy, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_several_ranges_of_memory_and_owes_done, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_as_many_parts_as_the_limit_allows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_answers_without_memory_leave_no_body, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(range_refuses_with_the_length_that_there_is, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
