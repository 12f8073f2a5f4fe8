/* http/parse.c: limits of a head, to the octet, and the same however the head is cut; then a
 * property over random mixes of good and bad pieces. */
#include "tests/unit/http/heads.h"

/* A text with a run of n times `fill` at the place of its one "@". */
static char *filled(const char *text, char fill, size_t n)
{
    const char *at = strchr(text, '@');
    size_t before = (size_t)(at - text);
    char *made = malloc(strlen(text) + n);
    CHECK(made != NULL);
    memcpy(made, text, before);
    memset(made + before, fill, n);
    memcpy(made + before + n, at + 1, strlen(at));
    return made;
}

/* Status when the run has n octets; 0 when the head is accepted. */
static int status_filled(const char *text, char fill, size_t n)
{
    char *made = filled(text, fill, n);
    int status = status_of(made);
    free(made);
    return status;
}

static void a_request_line_may_be_as_long_as_its_limit_and_no_longer(void **state)
{
    (void)state;
    limits.request_line = 100; /* "GET /" + n + " HTTP/1.1\r\n" */
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 'x', 84), 0);
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 'x', 85), 414);
    CHECK_EQ(status_filled("GET /@", 'x', 95), 0); /* not over yet */
    CHECK_EQ(status_filled("GET /@", 'x', 96), 414);
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost : a\r\n\r\n", 'x', 85), 414);
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost : a\r\n\r\n", 'x', 84), 400);
    CHECK_EQ(status_filled("BREW /@ HTTP/1.1\r\n", 'x', 200), 414);
    CHECK_EQ(status_filled("BREW@", 'W', 200), 501); /* RFC 9112 §3 */
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n", 'x', 500), 0);
}

static void a_field_may_be_as_long_as_its_limit_and_no_longer(void **state)
{
    (void)state;
    limits.field_size = 50; /* "X: " + n + "\r\n" */
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n", 'x', 45), 0);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n", 'x', 46), 431);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nX: @\r\nHost: a\r\n\r\n", 'x', 46), 431);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\n@: y\r\nHost: a\r\n\r\n", 'x', 45), 0);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\n@: y\r\nHost: a\r\n\r\n", 'x', 46), 431);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX:@\r\n\r\n", ' ', 46), 0);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX:@\r\n\r\n", ' ', 47), 431);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\n@", 'x', 50), 0);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\n@", 'x', 51), 431);
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost: a\r\n\r\n", 'x', 500), 0);
    /* the first thing that is wrong counts, however the head is cut */
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nX: @\r\nHost: a\r\nX y\r\n\r\n", 'x', 60), 431);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nX y\r\nX: @\r\nHost: a\r\n\r\n", 'x', 60), 400);
}

static void a_head_may_be_as_long_as_its_limit_and_no_longer(void **state)
{
    (void)state;
    limits.head = 200;
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX: @\r\n\r\n"; /* 32 + n */
    CHECK_EQ(status_filled(head, 'x', 168), 0);
    CHECK_EQ(status_filled(head, 'x', 169), 431);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX: @", 'x', 172), 0);
    CHECK_EQ(status_filled("GET / HTTP/1.1\r\nHost: a\r\nX: @", 'x', 173), 431);
    limits.request_line = 150;
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", 'x', 300), 414);
    limits.request_line = 250;
    CHECK_EQ(status_filled("GET /@ HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", 'x', 300), 431);
}

static void fields_are_counted(void **state)
{
    (void)state;
    limits.fields = 3;
    CHECK_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n"), 0);
    CHECK_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"), 431);
    CHECK_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nC:\r\nE:\r\n\r\n"), 431);
    CHECK_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE"), 431);
    CHECK_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE F\r\n\r\n"), 431);
}

/* ---- a property ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Mixes pieces of heads, good and bad, at random: every mix is judged alike however it is cut. */
static void random_heads_are_judged_alike_however_they_are_cut(void **state)
{
    (void)state;
    static const char *const pieces[] = {"GET / HTTP/1.1\r\n",
                                         "GET ",
                                         "/a?b=c",
                                         " HTTP/1.1",
                                         "\r\n",
                                         "Host: a\r\n",
                                         "Host",
                                         ":",
                                         " ",
                                         "A:\r\n",
                                         "B: c\r\n",
                                         "\t",
                                         "a",
                                         "Content-Length: 5",
                                         "Transfer-Encoding: chunked",
                                         "\r",
                                         "\n",
                                         "HTTP/1.4\r\n",
                                         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                         "X: y\r\n",
                                         "\x80",
                                         "\x01",
                                         "GET / HTTP/2.0\r\n",
                                         "Content-Length: 5\t\t",
                                         ", ",
                                         "BREW / HTTP/1.1\r\n",
                                         "5",
                                         "POST http://a/ HTTP/1.0\r\n"};
    uint64_t seed = 88172645463325252U;
    limits.request_line = 60;
    limits.field_size = 50;
    limits.fields = 5;
    limits.head = 150;
    for (int round = 0; round < 4000; round++) {
        struct buf text = {0};
        size_t n = 1 + next_random(&seed) % 14;
        if (next_random(&seed) % 2)
            CHECK(buf_printf(&text, "GET / HTTP/1.1\r\nHost: a\r\n") == 0);
        for (size_t i = 0; i < n; i++) {
            const char *piece = pieces[next_random(&seed) % (sizeof pieces / sizeof pieces[0])];
            CHECK(buf_printf(&text, "%s", piece) == 0);
        }
        CHECK(buf_printf(&text, "%s", next_random(&seed) % 2 ? "\r\n\r\n" : "") == 0);
        (void)outcome_of(text.data, text.len);
        buf_fini(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_request_line_may_be_as_long_as_its_limit_and_no_longer, setup),
        cmocka_unit_test_setup(a_field_may_be_as_long_as_its_limit_and_no_longer, setup),
        cmocka_unit_test_setup(a_head_may_be_as_long_as_its_limit_and_no_longer, setup),
        cmocka_unit_test_setup(fields_are_counted, setup),
        cmocka_unit_test_setup(random_heads_are_judged_alike_however_they_are_cut, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
