/* http/parse.c: chunked bodies, whole, octet by octet, and cut at every position; limits; what
 * stands between the chunks to the letter (RFC 9112 §7.1). */
#include "http/parse.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/check.h"

static struct http_limits limits;
static uint64_t body_limit;
static struct field fields[16];

static int setup(void **state)
{
    (void)state;
    limits = (struct http_limits){
        .request_line = 8190, .fields = 10, .field_size = 8190, .head = 1000, .body = 1 << 20};
    body_limit = limits.body;
    return 0;
}

/* Reads a head, then the body `first` octets and then `piece` at a time. "more", "413", or the
 * decoded body with the number of octets behind it: "hello+0". */
static const char *decode_in_pieces(const char *octets, size_t len, size_t first, size_t piece)
{
    static char head_text[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char text[70000];
    struct parse p;
    struct head head = {.fields = fields, .max_fields = 16};
    struct buf body = {0};
    parse_begin(&p, &head, &limits);
    CHECK_EQ(parse_head(&p, head_text, sizeof head_text - 1), PARSE_DONE);
    parse_begin_chunked(&p, &body, body_limit);
    size_t fed = 0;
    enum parse_result result = PARSE_MORE;
    for (size_t n = first; result == PARSE_MORE && fed < len; n = piece) {
        if (n > len - fed)
            n = len - fed;
        char *copy = malloc(n); /* nothing behind it, and elsewhere each time */
        CHECK(copy != NULL);
        memcpy(copy, octets + fed, n);
        size_t used = 0;
        result = parse_chunked(&p, copy, n, &used);
        free(copy);
        CHECK(result == PARSE_BAD || (result == PARSE_MORE ? used == n : used <= n));
        fed += result == PARSE_BAD ? n : used;
    }
    if (result == PARSE_MORE)
        (void)snprintf(text, sizeof text, "more");
    else if (result == PARSE_BAD)
        (void)snprintf(text, sizeof text, "%d", p.status);
    else
        (void)snprintf(text, sizeof text, "%.*s+%zu", (int)body.len, body.data ? body.data : "",
                       len - fed);
    CHECK(result != PARSE_BAD || p.reason != NULL);
    buf_fini(&body);
    return text;
}

/* The same however it is cut. */
static const char *decode_of(const char *octets, size_t len)
{
    static char whole[70000];
    (void)snprintf(whole, sizeof whole, "%s", decode_in_pieces(octets, len, len, len));
    check_context("%.60s, octet by octet", octets);
    CHECK_TEXT(decode_in_pieces(octets, len, 1, 1), whole);
    for (size_t cut = 1; cut < len; cut += len < 2000 ? 1 : 1 + len / 300) {
        check_context("%.60s, cut at %zu", octets, cut);
        CHECK_TEXT(decode_in_pieces(octets, len, cut, len), whole);
    }
    check_context("%.60s", octets);
    return whole;
}

static const char *decode(const char *text)
{
    return decode_of(text, strlen(text));
}

static void chunks_become_a_body_however_they_are_cut(void **state)
{
    (void)state;
    CHECK_TEXT(decode("0\r\n\r\n"), "+0");
    CHECK_TEXT(decode("5\r\nhello\r\n0\r\n\r\n"), "hello+0");
    CHECK_TEXT(
        decode("5\r\nhello\r\n1\r\n,\r\n00A\r\n0123456789\r\na\r\nabcdefghij\r\n000\r\n\r\n"),
        "hello,0123456789abcdefghij+0");
    CHECK_TEXT(decode("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n+0");
    CHECK_TEXT(decode("3\r\n0\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "0\r\n+16");
    CHECK_TEXT(decode("5\r\nhello\r\n0\r\n\r\n\r\n"), "hello+2");
}

static void extensions_and_trailers_are_skipped(void **state)
{
    (void)state;
    CHECK_TEXT(decode("2;a=b\r\nhi\r\n0;last\r\n\r\n"), "hi+0");
    CHECK_TEXT(decode("2\r\nhi\r\n0\r\nA: b\r\nC:\r\nD: e f \t\r\n\r\nX"), "hi+1");
    CHECK_TEXT(decode("2\r\nhi\r\n0\r\nX-Check: a:b\r\n\r\n"), "hi+0");
}

static void an_unfinished_body_wants_more(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "5",          "5\r",           "5\r\n",      "5\r\nhell",
        "5\r\nhello", "1\r\na\r",      "1\r\na\r\n", "1\r\na\r\n0\r\n",
        "0\r\n\r",    "0\r\nA: b\r\n", "0\r\nA: b"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_TEXT(decode(rows[i]), "more");
}

static void anything_else_between_chunks_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rXhello\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "0\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\n: x\r\n\r\n",
        "0\r\n:\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\r\n\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\nA: b\r\n\tc\r\n\r\n",
        "0\r\nA b\r\n\r\n",
        "0\r\nA: \x01\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "2;a=b\nhi\r\n0\r\n\r\n",
        "2;a=\x01\r\nhi\r\n",
        "2\r\nhi\r\n;x\r\n",
        " 2\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r\n\r\n0\r\n\r\n",
        "2;a\rb\r\nhi\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_TEXT(decode(rows[i]), "400");
    /* more digits than any number has: too large, or no number */
    int status = atoi(decode("10000000000000005\r\nhello\r\n0\r\n\r\n"));
    CHECK(status == 400 || status == 413);
}

static void a_body_may_be_as_long_as_its_limit_and_no_longer(void **state)
{
    (void)state;
    body_limit = 10;
    CHECK_TEXT(decode("a\r\n0123456789\r\n0\r\n\r\n"), "0123456789+0");
    CHECK_TEXT(decode("4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"), "0123456789+0");
    CHECK_TEXT(decode("4\r\n0123\r\n7\r\n"), "413"); /* when its size is read */
    CHECK_TEXT(decode("b\r\n"), "413");
    CHECK_TEXT(decode("ffffffffffffffff\r\n"), "413");
    CHECK_TEXT(decode("b\r"), "more");
    body_limit = 0;
    CHECK_TEXT(decode("0\r\n\r\n"), "+0");
    CHECK_TEXT(decode("1\r\n"), "413");
}

/* LLHTTP.md 9: extensions and trailers reach no callback, or count for nothing, in the parser. */
static void framing_without_end_is_refused(void **state)
{
    (void)state;
    struct buf text = {0};
    CHECK(buf_printf(&text, "1;a=") == 0);
    for (int i = 0; i < 4000; i++)
        CHECK(buf_append(&text, "xxxxxxxxxx", 10) == 0);
    CHECK_TEXT(decode_of(text.data, text.len), "400");
    text.len = 0;
    for (int i = 0; i < 400; i++) /* 100 octets of framing around each octet of data */
        CHECK(buf_printf(&text, "1;a=%090d\r\nx\r\n", 0) == 0);
    CHECK(buf_printf(&text, "0\r\n\r\n") == 0);
    CHECK_TEXT(decode_of(text.data, text.len), "400");
    text.len = 0;
    for (int i = 0; i < 8000; i++) /* one-octet chunks are a waste, but allowed */
        CHECK(buf_printf(&text, "1\r\nx\r\n") == 0);
    CHECK(buf_printf(&text, "0\r\n\r\n") == 0);
    CHECK_EQ(strlen(decode_of(text.data, text.len)), 8002);
    buf_fini(&text);
}

static void trailers_are_counted_like_fields_of_a_head(void **state)
{
    (void)state;
    struct buf text = {0};
    CHECK(buf_printf(&text, "0\r\n") == 0);
    for (int i = 0; i < 10; i++)
        CHECK(buf_printf(&text, "Name: a value of thirty octets..\r\n") == 0);
    size_t len = text.len;
    CHECK(buf_printf(&text, "\r\n") == 0);
    CHECK_TEXT(decode_of(text.data, text.len), "+0");
    text.len = len;
    CHECK(buf_printf(&text, "One: more\r\n\r\n") == 0);
    CHECK_TEXT(decode_of(text.data, text.len), "431");
    text.len = 0;
    CHECK(buf_printf(&text, "0\r\nA: %01200d\r\n\r\n", 0) == 0); /* limits.head is 1000 */
    CHECK_TEXT(decode_of(text.data, text.len), "431");
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(chunks_become_a_body_however_they_are_cut, setup),
        cmocka_unit_test_setup(extensions_and_trailers_are_skipped, setup),
        cmocka_unit_test_setup(an_unfinished_body_wants_more, setup),
        cmocka_unit_test_setup(anything_else_between_chunks_is_refused, setup),
        cmocka_unit_test_setup(a_body_may_be_as_long_as_its_limit_and_no_longer, setup),
        cmocka_unit_test_setup(framing_without_end_is_refused, setup),
        cmocka_unit_test_setup(trailers_are_counted_like_fields_of_a_head, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
