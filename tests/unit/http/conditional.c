/* http/conditional.c: tags and their comparison by the tables of RFC 9110 §8.8.3, preconditions
 * row by row, and their order over all combinations of fields against the RFC's steps. */
#include "http/conditional.h"

#include <errno.h>

#include "tests/harness/check.h"

/* ---- entity tags ---- */

static void conditional_reads_entity_tags(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *opaque; /* NULL: malformed */
        bool is_weak;
    } rows[] = {
        {"\"xyzzy\"", "xyzzy", false}, /* RFC 9110 §8.8.3 */
        {"W/\"xyzzy\"", "xyzzy", true},
        {"\"\"", "", false},
        {"W/\"\"", "", true},
        {"\"!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\"", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", false},
        {"\"\x80\xff\"", "\x80\xff", false},
        {"\"W/\"", "W/", false},
        {"\"a,b\"", "a,b", false},
        {"\"a\\\"", "a\\", false}, /* nothing is escaped in a tag */
        {"", NULL, false},
        {"xyzzy", NULL, false},
        {"\"", NULL, false},
        {"W/", NULL, false},
        {"W/\"", NULL, false},
        {"\"xyzzy", NULL, false},
        {"xyzzy\"", NULL, false},
        {"\"xy\"zzy\"", NULL, false},
        {"\"xyzzy\"x", NULL, false},
        {"\"xyzzy\" ", NULL, false},
        {" \"xyzzy\"", NULL, false},
        {"\"xy zzy\"", NULL, false},
        {"\"xy\tzzy\"", NULL, false},
        {"\"xy\x7fzzy\"", NULL, false},
        {"\"xy\x01zzy\"", NULL, false},
        {"w/\"xyzzy\"", NULL, false}, /* case-sensitive */
        {"W \"xyzzy\"", NULL, false},
        {"W/ \"xyzzy\"", NULL, false},
        {"W/W/\"xyzzy\"", NULL, false},
        {"/\"xyzzy\"", NULL, false},
        {"'xyzzy'", NULL, false},
        {"*", NULL, false},
        {"\"a\", \"b\"", NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conditional_etag etag = {.opaque = STR("untouched")};
        check_context("%s", rows[i].text);
        int rc = conditional_parse_etag(str_of(rows[i].text), &etag);
        CHECK_EQ(rc, rows[i].opaque ? 0 : -EINVAL);
        const char *expected = rows[i].opaque ? rows[i].opaque : "untouched";
        CHECK_BYTES(etag.opaque.p, etag.opaque.len, expected, strlen(expected));
        CHECK_EQ(etag.is_weak, rows[i].is_weak);
    }
    struct conditional_etag etag;
    CHECK_EQ(conditional_parse_etag((struct str){0}, &etag), -EINVAL);
    CHECK_EQ(conditional_parse_etag(str_make("\"a\0b\"", 5), &etag), -EINVAL);
}

static void conditional_compares_tags_as_the_rfc_does(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool is_strong_match, is_weak_match;
    } rows[] = {
        /* RFC 9110 §8.8.3.2, table 3 */
        {"W/\"1\"", "W/\"1\"", false, true},
        {"W/\"1\"", "W/\"2\"", false, false},
        {"W/\"1\"", "\"1\"", false, true},
        {"\"1\"", "\"1\"", true, true},
        /* and case, length, nothing */
        {"\"a\"", "\"A\"", false, false},
        {"\"a\"", "\"ab\"", false, false},
        {"\"\"", "\"\"", true, true},
        {"\"\"", "\"a\"", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conditional_etag a;
        struct conditional_etag b;
        check_context("%s and %s", rows[i].a, rows[i].b);
        CHECK_EQ(conditional_parse_etag(str_of(rows[i].a), &a), 0);
        CHECK_EQ(conditional_parse_etag(str_of(rows[i].b), &b), 0);
        CHECK_EQ(conditional_is_same(&a, &b, true), rows[i].is_strong_match);
        CHECK_EQ(conditional_is_same(&b, &a, true), rows[i].is_strong_match);
        CHECK_EQ(conditional_is_same(&a, &b, false), rows[i].is_weak_match);
        CHECK_EQ(conditional_is_same(&b, &a, false), rows[i].is_weak_match);
    }
}

enum { MISS = CONDITIONAL_MISS, HIT = CONDITIONAL_HIT, BAD = CONDITIONAL_MALFORMED };

static void conditional_searches_lists(void **state)
{
    (void)state;
    static const struct {
        const char *list, *etag;
        int strong, weak;
    } rows[] = {
        /* RFC 9110 §13.1.1 and §13.1.2 */
        {"\"xyzzy\"", "\"xyzzy\"", HIT, HIT},
        {"\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"", "\"r2d2xxxx\"", HIT, HIT},
        {"\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"", "\"c3piozzzz\"", HIT, HIT},
        {"\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"", "\"other\"", MISS, MISS},
        {"*", "\"xyzzy\"", HIT, HIT},
        {"W/\"xyzzy\"", "\"xyzzy\"", MISS, HIT},
        {"W/\"xyzzy\", W/\"r2d2xxxx\", W/\"c3piozzzz\"", "\"r2d2xxxx\"", MISS, HIT},
        {"W/\"xyzzy\", W/\"r2d2xxxx\", W/\"c3piozzzz\"", "W/\"r2d2xxxx\"", MISS, HIT},
        {"W/\"xyzzy\", W/\"r2d2xxxx\", W/\"c3piozzzz\"", "\"other\"", MISS, MISS},
        {"W/\"a\", \"a\"", "\"a\"", HIT, HIT},
        {"\"a\"", "W/\"a\"", MISS, HIT},
        /* lists as they may be written */
        {"", "\"a\"", MISS, MISS},
        {",", "\"a\"", MISS, MISS},
        {" , ,\t, ", "\"a\"", MISS, MISS},
        {"\"b\",\"a\"", "\"a\"", HIT, HIT},
        {"\"b\"\t ,\t \"a\" \t", "\"a\"", HIT, HIT},
        {",,\"b\",, ,\"a\",", "\"a\"", HIT, HIT},
        {"\"a,b\"", "\"a\"", MISS, MISS},
        {"\"a,b\"", "\"a,b\"", HIT, HIT},
        {"\"x\", \"a\\\", \"b\"", "\"a\\\"", HIT, HIT},
        {"\"*\"", "\"a\"", MISS, MISS},
        {"\"*\"", "\"*\"", HIT, HIT},
        /* malformed: also behind a hit */
        {"a", "\"a\"", BAD, BAD},
        {"\"a", "\"a\"", BAD, BAD},
        {"\"a\" \"b\"", "\"a\"", BAD, BAD},
        {"\"a\"\"b\"", "\"a\"", BAD, BAD},
        {"\"a\";", "\"a\"", BAD, BAD},
        {"\"a\", b", "\"a\"", BAD, BAD},
        {"b, \"a\"", "\"a\"", BAD, BAD},
        {"\"a\", \"b", "\"a\"", BAD, BAD},
        {"\"a\", *", "\"a\"", BAD, BAD},
        {"*, \"a\"", "\"a\"", BAD, BAD},
        {"*, *", "\"a\"", BAD, BAD},
        {"**", "\"a\"", BAD, BAD},
        {"*,", "\"a\"", BAD, BAD},
        {"w/\"a\"", "\"a\"", BAD, BAD},
        {"\"a, b\"", "\"a, b\"", BAD, BAD}, /* two lines, each with half a tag */
        /* no tag of our own */
        {"\"a\"", "", MISS, MISS},
        {"*", "", HIT, HIT},
        {"\"a\"", "a", MISS, MISS},
        {"\"\"", "", MISS, MISS},
        {"*", "a", HIT, HIT},
        {"a", "", BAD, BAD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s for %s", rows[i].list, rows[i].etag);
        struct str etag = str_of(rows[i].etag);
        CHECK_EQ(conditional_search(str_of(rows[i].list), etag, true), rows[i].strong);
        CHECK_EQ(conditional_search(str_of(rows[i].list), etag, false), rows[i].weak);
    }
}

/* ---- preconditions ---- */

/* Last-Modified of §8.8.2, a second before and behind it, and now, an hour later. */
#define MODIFIED INT64_C(784903526)
#define NOW (MODIFIED + 3600)
#define SAME "Tue, 15 Nov 1994 12:45:26 GMT"
#define BEFORE "Tue, 15 Nov 1994 12:45:25 GMT"
#define BEHIND "Tue, 15 Nov 1994 12:45:27 GMT"

struct row {
    const char *method, *match, *none_match, *modified, *unmodified, *range;
    int status;
    bool takes_range;
};

static struct conditional_verdict judge(const struct row *row,
                                        const struct conditional_current *current, int64_t now)
{
    struct conditional_fields in = {
        .if_match = str_of(row->match),
        .if_none_match = str_of(row->none_match),
        .if_modified_since = str_of(row->modified),
        .if_unmodified_since = str_of(row->unmodified),
        .if_range = str_of(row->range),
    };
    return conditional_judge(str_of(row->method), &in, current, now);
}

static void check_rows(const struct row *rows, size_t n, const struct conditional_current *current)
{
    for (size_t i = 0; i < n; i++) {
        check_context("row %zu: %s", i, rows[i].method);
        struct conditional_verdict verdict = judge(&rows[i], current, NOW);
        CHECK_EQ(verdict.status, rows[i].status);
        CHECK_EQ(verdict.takes_range, rows[i].takes_range);
    }
}

#define CHECK_ROWS(rows, current) check_rows(rows, sizeof(rows) / sizeof(rows)[0], current)

static const struct conditional_current both = {.etag = {"\"xyzzy\"", 7},
                                                .modified_seconds = MODIFIED};
static const struct conditional_current bare = {.modified_seconds = CONDITIONAL_NO_DATE};

static void conditional_lets_requests_without_preconditions_go_on(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "GET", .takes_range = true},
        {.method = "HEAD"},
        {.method = "POST"},
        {.method = "PUT"},
        {.method = "DELETE"},
        {.method = "OPTIONS"},
        {.method = "get"},
        {.method = "PROPFIND"},
        {.method = "GETS"},
    };
    CHECK_ROWS(rows, &both);
    CHECK_ROWS(rows, &bare);
    CHECK_ROWS(rows, NULL);
}

static void conditional_judges_if_match(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "PUT", .match = "\"xyzzy\""},
        {.method = "PUT", .match = "\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\""},
        {.method = "PUT", .match = "*"},
        {.method = "PUT", .match = "\"r2d2xxxx\"", .status = 412},
        {.method = "PUT", .match = "W/\"xyzzy\"", .status = 412},
        {.method = "PUT", .match = "", .status = 412},
        {.method = "PUT", .match = "xyzzy", .status = 412},
        {.method = "DELETE", .match = "\"xyzzy\", oops", .status = 412},
        {.method = "GET", .match = "\"xyzzy\"", .takes_range = true},
        {.method = "GET", .match = "\"r2d2xxxx\"", .status = 412},
        {.method = "HEAD", .match = "\"r2d2xxxx\"", .status = 412},
    };
    CHECK_ROWS(rows, &both);
    static const struct row bare_rows[] = {
        {.method = "PUT", .match = "*"},
        {.method = "PUT", .match = "\"\"", .status = 412},
    };
    CHECK_ROWS(bare_rows, &bare);
    static const struct row nothing_rows[] = {
        {.method = "PUT", .match = "*", .status = 412},
        {.method = "PUT", .match = "\"xyzzy\"", .status = 412},
    };
    CHECK_ROWS(nothing_rows, NULL);
}

static void conditional_judges_if_none_match(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "GET", .none_match = "\"xyzzy\"", .status = 304},
        {.method = "GET", .none_match = "W/\"xyzzy\"", .status = 304},
        {.method = "GET", .none_match = "\"r2d2xxxx\", W/\"xyzzy\"", .status = 304},
        {.method = "GET", .none_match = "*", .status = 304},
        {.method = "HEAD", .none_match = "\"xyzzy\"", .status = 304},
        {.method = "GET", .none_match = "\"r2d2xxxx\"", .takes_range = true},
        {.method = "HEAD", .none_match = "\"r2d2xxxx\""},
        {.method = "GET", .none_match = "", .takes_range = true},
        {.method = "GET", .none_match = "xyzzy", .takes_range = true},
        {.method = "GET", .none_match = "\"xyzzy\", oops", .takes_range = true},
        {.method = "PUT", .none_match = "\"xyzzy\"", .status = 412},
        {.method = "PUT", .none_match = "W/\"xyzzy\"", .status = 412},
        {.method = "PUT", .none_match = "*", .status = 412},
        {.method = "PUT", .none_match = "\"r2d2xxxx\""},
        {.method = "PUT", .none_match = ""},
        {.method = "PUT", .none_match = "r2d2xxxx", .status = 412},
        {.method = "POST", .none_match = "\"xyzzy\"", .status = 412},
    };
    CHECK_ROWS(rows, &both);
    static const struct row nothing_rows[] = {
        {.method = "PUT", .none_match = "*"}, /* §13.1.2: create, but do not replace */
        {.method = "PUT", .none_match = "\"xyzzy\""},
        {.method = "PUT", .none_match = "oops", .status = 412},
    };
    CHECK_ROWS(nothing_rows, NULL);
}

static void conditional_judges_if_modified_since(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "GET", .modified = SAME, .status = 304},
        {.method = "GET", .modified = BEHIND, .status = 304},
        {.method = "GET", .modified = BEFORE, .takes_range = true},
        {.method = "GET", .modified = "Sat, 29 Oct 1994 19:43:31 GMT", .takes_range = true},
        {.method = "HEAD", .modified = SAME, .status = 304},
        {.method = "GET", .modified = "Tuesday, 15-Nov-94 12:45:26 GMT", .status = 304},
        {.method = "GET", .modified = "Tue Nov 15 12:45:26 1994", .status = 304},
        {.method = "GET", .modified = "Fri, 31 Dec 9999 23:59:59 GMT", .status = 304},
        /* §13.1.3: ignored */
        {.method = "PUT", .modified = SAME},
        {.method = "POST", .modified = SAME},
        {.method = "GET", .modified = "", .takes_range = true},
        {.method = "GET", .modified = "yesterday", .takes_range = true},
        {.method = "GET", .modified = SAME ", " SAME, .takes_range = true},
        {.method = "GET", .modified = SAME, .none_match = "\"r2d2xxxx\"", .takes_range = true},
        {.method = "GET", .modified = SAME, .none_match = "oops", .takes_range = true},
        {.method = "GET", .modified = BEFORE, .none_match = "\"xyzzy\"", .status = 304},
    };
    CHECK_ROWS(rows, &both);
    static const struct row bare_rows[] = {
        {.method = "GET", .modified = SAME, .takes_range = true},
    };
    CHECK_ROWS(bare_rows, &bare);
    CHECK_ROWS(bare_rows, NULL);
}

static void conditional_judges_if_unmodified_since(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "PUT", .unmodified = SAME},
        {.method = "PUT", .unmodified = BEHIND},
        {.method = "PUT", .unmodified = BEFORE, .status = 412},
        {.method = "PUT", .unmodified = "Sat, 29 Oct 1994 19:43:31 GMT", .status = 412},
        {.method = "GET", .unmodified = BEFORE, .status = 412},
        {.method = "HEAD", .unmodified = BEFORE, .status = 412},
        {.method = "GET", .unmodified = SAME, .takes_range = true},
        /* §13.1.4: ignored */
        {.method = "PUT", .unmodified = ""},
        {.method = "PUT", .unmodified = "yesterday"},
        {.method = "PUT", .unmodified = BEFORE ", " BEFORE},
        {.method = "PUT", .unmodified = BEFORE, .match = "\"xyzzy\""},
        {.method = "PUT", .unmodified = SAME, .match = "\"r2d2xxxx\"", .status = 412},
    };
    CHECK_ROWS(rows, &both);
    static const struct row bare_rows[] = {
        {.method = "PUT", .unmodified = BEFORE},
    };
    CHECK_ROWS(bare_rows, &bare);
    CHECK_ROWS(bare_rows, NULL);
}

static void conditional_judges_if_range(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "GET", .range = "\"xyzzy\"", .takes_range = true},
        {.method = "GET", .range = "W/\"xyzzy\""},
        {.method = "GET", .range = "\"r2d2xxxx\""},
        {.method = "GET", .range = "\"xyzzy\", \"xyzzy\""},
        {.method = "GET", .range = "*"},
        {.method = "GET", .range = "xyzzy"},
        {.method = "GET", .range = ""},
        {.method = "GET", .range = SAME, .takes_range = true},
        {.method = "GET", .range = "Tue Nov 15 12:45:26 1994", .takes_range = true},
        {.method = "GET", .range = BEFORE},
        {.method = "GET", .range = BEHIND}, /* the very date, not a later one */
        {.method = "GET", .range = SAME ", " SAME},
        {.method = "HEAD", .range = "\"xyzzy\""}, /* §14.2: only GET */
        {.method = "PUT", .range = "\"xyzzy\""},
        {.method = "GET", .range = "\"xyzzy\"", .none_match = "\"xyzzy\"", .status = 304},
        {.method = "GET", .range = "\"xyzzy\"", .match = "\"r2d2xxxx\"", .status = 412},
        {.method = "GET", .range = "\"xyzzy\"", .match = "\"xyzzy\"", .takes_range = true},
    };
    CHECK_ROWS(rows, &both);
    static const struct row bare_rows[] = {
        {.method = "GET", .range = SAME},
        {.method = "GET", .range = "\"xyzzy\""},
        {.method = "GET", .range = "\"\""},
    };
    CHECK_ROWS(bare_rows, &bare);
    CHECK_ROWS(bare_rows, NULL);
    static const struct conditional_current weak = {.etag = {"W/\"xyzzy\"", 9},
                                                    .modified_seconds = CONDITIONAL_NO_DATE};
    static const struct row weak_rows[] = {
        {.method = "GET", .range = "\"xyzzy\""},
        {.method = "GET", .range = "W/\"xyzzy\""},
    };
    CHECK_ROWS(weak_rows, &weak);
}

/* §8.8.2.2: within its second, and before it, what has this date may change again. */
static void conditional_takes_a_date_for_if_range_when_its_second_is_over(void **state)
{
    (void)state;
    static const struct row row = {.method = "GET", .range = SAME};
    CHECK(!judge(&row, &both, MODIFIED - 1).takes_range);
    CHECK(!judge(&row, &both, MODIFIED).takes_range);
    CHECK(judge(&row, &both, MODIFIED + 1).takes_range);
}

/* §8.8.2.1: a date from the future is sent as now, so it must be compared as that. */
static void conditional_takes_a_later_date_than_now_for_now(void **state)
{
    (void)state;
    static const struct row same = {.method = "GET", .modified = SAME};
    static const struct row before = {.method = "GET", .modified = BEFORE};
    struct conditional_current current = {.modified_seconds = MODIFIED + 100000};
    CHECK_EQ(judge(&same, &current, MODIFIED).status, 304);
    CHECK_EQ(judge(&before, &current, MODIFIED).status, 0);
    CHECK_EQ(judge(&same, &current, MODIFIED + 1).status, 0);
}

static void conditional_ignores_preconditions_of_methods_that_have_none(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {.method = "OPTIONS", .match = "\"r2d2xxxx\""},
        {.method = "CONNECT", .none_match = "*"},
        {.method = "TRACE", .unmodified = BEFORE},
        {.method = "OPTIONS", .none_match = "\"xyzzy\"", .range = "\"xyzzy\""},
    };
    CHECK_ROWS(rows, &both);
}

/* ---- the order ---- */

enum { ABSENT, TRUE_, FALSE_, N_STATES };

/* §13.2.2 step by step, over what each field evaluates to. */
static int follow_steps(bool is_read, int match, int unmodified, int none_match, int modified)
{
    if (match == FALSE_)
        return 412;
    if (match == ABSENT && unmodified == FALSE_)
        return 412;
    if (none_match == FALSE_)
        return is_read ? 304 : 412;
    if (is_read && none_match == ABSENT && modified == FALSE_)
        return 304;
    return 0;
}

static void conditional_follows_the_order_for_all_combinations(void **state)
{
    (void)state;
    static const char *const match[] = {NULL, "\"xyzzy\"", "\"other\""};
    static const char *const none_match[] = {NULL, "\"other\"", "\"xyzzy\""};
    static const char *const modified[] = {NULL, BEFORE, SAME};
    static const char *const unmodified[] = {NULL, SAME, BEFORE};
    static const char *const range[] = {NULL, "\"xyzzy\"", "\"other\""};
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    for (int i = 0; i < N_STATES * N_STATES * N_STATES * N_STATES * N_STATES * 5; i++) {
        int a = i % 3;
        int b = i / 3 % 3;
        int c = i / 9 % 3;
        int d = i / 27 % 3;
        int e = i / 81 % 3;
        int m = i / 243;
        struct row row = {methods[m], match[a], none_match[c], modified[d], unmodified[b],
                          range[e],   0,        false};
        int expected = follow_steps(m < 2, a, b, c, d);
        struct conditional_verdict verdict = judge(&row, &both, NOW);
        check_context("%s: %d %d %d %d %d", methods[m], a, b, c, d, e);
        CHECK_EQ(verdict.status, expected);
        CHECK_EQ(verdict.takes_range, expected == 0 && m == 0 && e != FALSE_);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditional_reads_entity_tags),
        cmocka_unit_test(conditional_compares_tags_as_the_rfc_does),
        cmocka_unit_test(conditional_searches_lists),
        cmocka_unit_test(conditional_lets_requests_without_preconditions_go_on),
        cmocka_unit_test(conditional_judges_if_match),
        cmocka_unit_test(conditional_judges_if_none_match),
        cmocka_unit_test(conditional_judges_if_modified_since),
        cmocka_unit_test(conditional_judges_if_unmodified_since),
        cmocka_unit_test(conditional_judges_if_range),
        cmocka_unit_test(conditional_takes_a_date_for_if_range_when_its_second_is_over),
        cmocka_unit_test(conditional_takes_a_later_date_than_now_for_now),
        cmocka_unit_test(conditional_ignores_preconditions_of_methods_that_have_none),
        cmocka_unit_test(conditional_follows_the_order_for_all_combinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
