/* http/chunked.c: raw octets and what comes of them, whole, octet by octet, cut at every position
 * and at random ones (RFC 9112 §7.1). What was accepted or refused here before the decoder was our
 * own is in tests/unit/http/parse_chunked.c and tests/cases. */
#include "http/chunked.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/harness/check.h"

static struct http_limits limits;
static uint64_t body_limit;

static int setup(void **state)
{
    (void)state;
    limits = (struct http_limits){
        .request_line = 8190, .fields = 10, .field_size = 100, .head = 400, .body = 1 << 20};
    body_limit = limits.body;
    return 0;
}

/* ---- how input is cut: the length of the next piece ---- */

struct cutter {
    size_t first; /* octets of the first piece */
    size_t next;  /* of those after it; 0: random, from seed */
    uint32_t seed;
};

static size_t cut(struct cutter *cutter, bool is_first)
{
    if (is_first && cutter->first > 0)
        return cutter->first;
    if (cutter->next > 0)
        return cutter->next;
    cutter->seed = cutter->seed * 1664525U + 1013904223U;
    return 1 + (cutter->seed >> 24) % 11;
}

/* "more" with the data so far, "400@12 why" (12 octets were in front of the one refused), or the
 * decoded body with the number of octets behind it: "hello+0". */
static const char *decode_in_pieces(struct str octets, struct cutter cutter)
{
    static char text[70000];
    struct chunked d;
    struct buf body = {0};
    chunked_begin(&d, &limits, body_limit);
    size_t fed = 0;
    enum chunked_result result = CHUNKED_MORE;
    while (fed < octets.len && (result == CHUNKED_MORE || result == CHUNKED_DATA)) {
        size_t n = cut(&cutter, fed == 0);
        n = n < octets.len - fed ? n : octets.len - fed;
        char *piece = malloc(n); /* nothing behind it, and elsewhere each time */
        CHECK(piece != NULL);
        memcpy(piece, octets.p + fed, n);
        size_t at = 0;
        do {
            size_t used = n + 1;
            struct str data = {0};
            result = chunked_next(&d, str_make(piece + at, n - at), &used, &data);
            CHECK(used <= n - at);
            CHECK(result != CHUNKED_MORE || at + used == n);
            at += used;
            if (result == CHUNKED_DATA) {
                CHECK(data.len > 0 && data.p >= piece && data.p + data.len == piece + at);
                CHECK(buf_append(&body, data.p, data.len) == 0);
            }
        } while (result == CHUNKED_DATA);
        free(piece);
        fed += at;
    }
    int len = (int)body.len;
    const char *data = body.data ? body.data : "";
    if (result == CHUNKED_MORE)
        (void)snprintf(text, sizeof text, "more %.*s", len, data);
    else if (result == CHUNKED_BAD)
        (void)snprintf(text, sizeof text, "%d@%zu %s", d.status, fed, d.reason);
    else
        (void)snprintf(text, sizeof text, "%.*s+%zu", len, data, octets.len - fed);
    buf_fini(&body);
    return text;
}

/* The same however it is cut. */
static const char *decode_of(struct str octets)
{
    static char whole[70000];
    size_t len = octets.len;
    (void)snprintf(whole, sizeof whole, "%s",
                   decode_in_pieces(octets, (struct cutter){.next = len + 1}));
    check_context("%.60s, octet by octet", octets.p);
    CHECK_TEXT(decode_in_pieces(octets, (struct cutter){.next = 1}), whole);
    for (size_t first = 1; first < len; first += len < 2000 ? 1 : 1 + len / 300) {
        check_context("%.60s, cut at %zu", octets.p, first);
        CHECK_TEXT(decode_in_pieces(octets, (struct cutter){.first = first, .next = len}), whole);
    }
    for (uint32_t seed = 1; seed <= 20; seed++) {
        check_context("%.60s, cut at random with seed %u", octets.p, seed);
        CHECK_TEXT(decode_in_pieces(octets, (struct cutter){.seed = seed}), whole);
    }
    check_context("%.60s", octets.p);
    return whole;
}

static const char *decode(const char *text)
{
    return decode_of(str_of(text));
}

/* ---- tables ---- */

struct row {
    struct str octets;
    const char *outcome; /* as decode_in_pieces() says it; of a refusal the beginning */
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *outcome = decode_of(rows[i].octets);
        bool is_refused =
            strncmp(rows[i].outcome, "400@", 4) == 0 || strncmp(rows[i].outcome, "431@", 4) == 0;
        if (!is_refused || strncmp(outcome, rows[i].outcome, strlen(rows[i].outcome)) != 0)
            CHECK_TEXT(outcome, rows[i].outcome);
    }
}

#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

static void chunks_become_a_body_however_they_are_cut(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("0\r\n\r\n"), "+0"},
        {STR("5\r\nhello\r\n0\r\n\r\n"), "hello+0"},
        {STR("5\r\nhello\r\n1\r\n,\r\n00A\r\n0123456789\r\na\r\nabcdefghij\r\n000\r\n\r\n"),
         "hello,0123456789abcdefghij+0"},
        {STR("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"), "abcdefghijklmnopqrstuvwxyz+0"},
        {STR("F\r\n0123456789abcde\r\n0\r\n\r\n"), "0123456789abcde+0"},
        {STR("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n+0"},
        {STR("3\r\n0\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "0\r\n+16"},
        {STR("5\r\nhello\r\n0\r\n\r\n\r\n"), "hello+2"},
        {STR("1\r\nx\r\n0000000000000000\r\n\r\n"), "x+0"},
        {STR("0000000000000002\r\nhi\r\n0\r\n\r\n"), "hi+0"},
    };
    CHECK_ROWS(rows);
}

static void every_octet_may_be_data(void **state)
{
    (void)state;
    char text[300];
    size_t len = (size_t)snprintf(text, sizeof text, "100\r\n");
    for (int i = 0; i < 256; i++)
        text[len++] = (char)i;
    memcpy(text + len, "\r\n0\r\n\r\n", 7);
    struct chunked d;
    size_t used;
    struct str data;
    chunked_begin(&d, &limits, 256);
    CHECK_EQ(chunked_next(&d, str_make(text, len + 7), &used, &data), CHUNKED_DATA);
    CHECK_EQ(used, len);
    CHECK_BYTES(data.p, data.len, text + 5, 256);
    CHECK_EQ(chunked_next(&d, str_make(text + len, 7), &used, &data), CHUNKED_DONE);
    CHECK_EQ(used, 7);
}

static void no_octets_change_nothing(void **state)
{
    (void)state;
    struct chunked d;
    size_t used = 9;
    struct str data;
    chunked_begin(&d, &limits, body_limit);
    CHECK_EQ(chunked_next(&d, (struct str){0}, &used, &data), CHUNKED_MORE);
    CHECK_EQ(used, 0);
    CHECK_EQ(chunked_next(&d, STR("1\r\n"), &used, &data), CHUNKED_MORE);
    CHECK_EQ(chunked_next(&d, (struct str){0}, &used, &data), CHUNKED_MORE);
    CHECK_EQ(used, 0);
    CHECK_EQ(chunked_next(&d, STR("x"), &used, &data), CHUNKED_DATA);
    CHECK_EQ(chunked_next(&d, STR("\r\n0\r\n\r\n"), &used, &data), CHUNKED_DONE);
    CHECK_EQ(chunked_next(&d, STR("GET"), &used, &data), CHUNKED_DONE); /* and so it stays */
    CHECK_EQ(used, 0);
    chunked_begin(&d, &limits, body_limit);
    CHECK_EQ(chunked_next(&d, STR("x"), &used, &data), CHUNKED_BAD);
    CHECK_EQ(chunked_next(&d, STR("1\r\n"), &used, &data), CHUNKED_BAD);
    CHECK_EQ(used, 0);
    CHECK_EQ(d.status, 400);
}

static void an_unfinished_body_wants_more(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("5"), "more "},
        {STR("5\r"), "more "},
        {STR("5;"), "more "},
        {STR("5;a=\""), "more "},
        {STR("5\r\n"), "more "},
        {STR("5\r\nhell"), "more hell"},
        {STR("5\r\nhello"), "more hello"},
        {STR("1\r\na\r"), "more a"},
        {STR("1\r\na\r\n"), "more a"},
        {STR("1\r\na\r\n0"), "more a"},
        {STR("1\r\na\r\n0\r\n"), "more a"},
        {STR("0\r\n\r"), "more "},
        {STR("0\r\nA: b\r\n"), "more "},
        {STR("0\r\nA: b"), "more "},
        {STR("0\r\nA"), "more "},
        {STR("0\r\nhost"), "more "}, /* "host2" would be allowed */
    };
    CHECK_ROWS(rows);
}

static void a_size_is_up_to_16_hexadecimal_digits_and_nothing_else(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("x\r\nhello\r\n"), "400@0 chunk size"},
        {STR("\r\nhello\r\n"), "400@0 chunk size"},
        {STR("+5\r\nhello\r\n"), "400@0 chunk size"},
        {STR("-5\r\n"), "400@0 chunk size"},
        {STR(" 2\r\nhi\r\n"), "400@0 chunk size"},
        {STR("\t2\r\nhi\r\n"), "400@0 chunk size"},
        {STR("0x5\r\nhello\r\n"), "400@1 chunk size"},
        {STR("5h\r\nhello\r\n"), "400@1 chunk size"},
        {STR("5G\r\n"), "400@1 chunk size"},
        {STR("5_0\r\n"), "400@1 chunk size"},
        {STR("5,5\r\n"), "400@1 chunk size"},
        {STR("5.0\r\n"), "400@1 chunk size"},
        {STR("\"5\"\r\n"), "400@0 chunk size"},
        {STR("5\0\r\nhello\r\n"), "400@1 chunk size"},
        {STR("\xb2\r\nhi\r\n"), "400@0 chunk size"}, /* a digit of Latin-1 */
        {STR("2\r\nhi\r\n;x\r\n"), "400@7 chunk size"},
        {STR("2\r\nhi\r\n\r\n0\r\n\r\n"), "400@7 chunk size"},
        {STR("00000000000000000\r\n\r\n"), "400@16 chunk size of more than 16"},
        {STR("10000000000000005\r\nhello\r\n"), "400@16 chunk size of more than 16"},
        {STR("1\r\nx\r\n00000000000000001\r\n\r\n"), "400@22 chunk size of more than 16"},
    };
    CHECK_ROWS(rows);
}

static void a_line_ends_with_cr_and_lf(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("5\nhello\r\n0\r\n\r\n"), "400@1 line end"},
        {STR("\n5\r\n"), "400@0 line end"},
        {STR("5\rXhello\r\n"), "400@2 line end"},
        {STR("5\r\rhello\r\n"), "400@2 line end"},
        {STR("5;a\nhello"), "400@3 line end"},
        {STR("2;a=b\nhi\r\n0\r\n\r\n"), "400@5 line end"},
        {STR("2;a=\"\n\"\r\nhi"), "400@5 line end"},
        {STR("2;a\rb\r\nhi\r\n0\r\n\r\n"), "400@4 line end"},
        {STR("5\r\nhello\n0\r\n\r\n"), "400@8 line end"},
        {STR("5\r\nhello\rX0\r\n\r\n"), "400@9 chunk data"},
        {STR("5\r\nhello\r\r\n"), "400@9 chunk data"},
        {STR("5\r\nhello!\r\n0\r\n\r\n"), "400@8 chunk data"},
        {STR("5\r\nhell\r\n0\r\n\r\n"), "400@8 line end"},
        {STR("5\r\nhello0\r\n\r\n"), "400@8 chunk data"},
        {STR("5\r\nhello \r\n"), "400@8 chunk data"},
        {STR("0\n\r\n"), "400@1 line end"},
        {STR("0\r\n\n"), "400@3 line end"},
        {STR("0\r\n\rX"), "400@4 line end"},
        {STR("0\r\n\r\r\n"), "400@4 line end"},
        {STR("0\r\nA: b\n\r\n"), "400@7 line end"},
        {STR("0\r\nA: b\rC: d\r\n\r\n"), "400@8 line end"},
        {STR("0\r\nA: b\r\n\n"), "400@9 line end"},
        {STR("0\r\nA: b\r\r\n\r\n"), "400@8 line end"},
        {STR("0\r\nA\n\r\n"), "400@4 line end"},
    };
    CHECK_ROWS(rows);
}

static void extensions_of_any_valid_form_are_skipped(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("2;a=b\r\nhi\r\n0;last\r\n\r\n"), "hi+0"},
        {STR("2;a\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;a;b;c=d;e\r\nhi\r\n0;x;y=\"z\"\r\n\r\n"), "hi+0"},
        {STR("2 \t; a \t= b ;\tc = \"d\" ; e\r\nhi\r\n0 ;x\r\n\r\n"), "hi+0"},
        {STR("2;a=\"\"\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;a=\"\\\"\"\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;a=\"\\\\\"\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;a=\"b;c=\\\"d\\\\\\e\\ \\\t\\\xff\"\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;a=\" \t!#[](){}<>@,;:/?=\x80\xff~\";b\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;!#$%&'*+-.^_`|~0aZ=!#$%&'*+-.^_`|~0aZ\r\nhi\r\n0\r\n\r\n"), "hi+0"},
        {STR("2;9=9\r\nhi\r\n0\r\n\r\n"), "hi+0"},
    };
    CHECK_ROWS(rows);
}

static void extensions_of_any_other_form_are_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("2 \r\nhi"), "400@2 malformed chunk extension"}, /* blanks with nothing behind them */
        {STR("2\t\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2 3\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2;\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2; \r\nhi"), "400@3 malformed chunk extension"},
        {STR("2;;a\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2;a;\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;=b\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2;\"a\"\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2;a=\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a= \r\nhi"), "400@5 malformed chunk extension"},
        {STR("2;a=;b\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a==b\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a=b=c\r\nhi"), "400@5 malformed chunk extension"},
        {STR("2;a b\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a \r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a=b \r\nhi"), "400@6 malformed chunk extension"},
        {STR("2;a=b c\r\nhi"), "400@6 malformed chunk extension"},
        {STR("2;a=\"b\"c\r\nhi"), "400@7 malformed chunk extension"},
        {STR("2;a=\"b\" \r\nhi"), "400@8 malformed chunk extension"},
        {STR("2;a=\"b\"\"c\"\r\nhi"), "400@7 malformed chunk extension"},
        {STR("2;a=b\"c\"\r\nhi"), "400@5 malformed chunk extension"},
        {STR("2;a=\"b\r\nhi"), "400@6 malformed chunk extension"},
        {STR("2;a=\"\\\"\r\nhi"), "400@7 malformed chunk extension"},
        {STR("2;a=\"b\\\r\nhi"), "400@7 malformed chunk extension"},
        {STR("2;a=\"\x01\"\r\nhi"), "400@5 malformed chunk extension"},
        {STR("2;a=\"\\\x01\"\r\nhi"), "400@6 malformed chunk extension"},
        {STR("2;a=\"\x7f\"\r\nhi"), "400@5 malformed chunk extension"},
        {STR("2;a=\"\0\"\r\nhi"), "400@5 malformed chunk extension"},
        {STR("2;a=\x01\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a\0=b\r\nhi"), "400@3 malformed chunk extension"},
        {STR("2;\xe4=b\r\nhi"), "400@2 malformed chunk extension"},
        {STR("2;a=\xe4\r\nhi"), "400@4 malformed chunk extension"},
        {STR("2;a\x0b;b\r\nhi"), "400@3 malformed chunk extension"},
        {STR("2;a/b\r\nhi"), "400@3 malformed chunk extension"},
        {STR("2;a:b\r\nhi"), "400@3 malformed chunk extension"},
    };
    CHECK_ROWS(rows);
}

static void trailers_are_checked_like_fields_of_a_head_and_skipped(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("2\r\nhi\r\n0\r\nA: b\r\nC:\r\nD: e f \t\r\n\r\nX"), "hi+1"},
        {STR("2\r\nhi\r\n0\r\nX-Check: a:b\r\n\r\n"), "hi+0"},
        {STR("0\r\nA:b\r\n!#$%&'*+-.^_`|~0aZ: \"(),/:;<=>?@[\\]{}\x80\xff\r\n\r\n"), "+0"},
        {STR("0\r\nA::\r\nB: :\r\n\r\n"), "+0"},
        {STR("0\r\n: x\r\n\r\n"), "400@3 malformed trailer"},
        {STR("0\r\n:\r\n\r\n"), "400@3 malformed trailer"},
        {STR("0\r\n A: b\r\n\r\n"), "400@3 folded"},
        {STR("0\r\nA: b\r\n c\r\n\r\n"), "400@9 folded"},
        {STR("0\r\nA: b\r\n\tc\r\n\r\n"), "400@9 folded"},
        {STR("0\r\nA: b\r\n \r\n\r\n"), "400@9 folded"},
        {STR("0\r\nA b\r\n\r\n"), "400@4 malformed trailer"},
        {STR("0\r\nA\r\n\r\n"), "400@4 malformed trailer"},
        {STR("0\r\nA : b\r\n\r\n"), "400@4 malformed trailer"},
        {STR("0\r\nA\t: b\r\n\r\n"), "400@4 malformed trailer"},
        {STR("0\r\nA;: b\r\n\r\n"), "400@4 malformed trailer"},
        {STR("0\r\n\"A\": b\r\n\r\n"), "400@3 malformed trailer"},
        {STR("0\r\n\xe4: b\r\n\r\n"), "400@3 malformed trailer"},
        {STR("0\r\nA\0: b\r\n\r\n"), "400@4 malformed trailer"},
        {STR("0\r\nA: \x01\r\n\r\n"), "400@6 malformed trailer"},
        {STR("0\r\nA: \0\r\n\r\n"), "400@6 malformed trailer"},
        {STR("0\r\nA: \x7f\r\n\r\n"), "400@6 malformed trailer"},
        {STR("0\r\nA: \x0b\r\n\r\n"), "400@6 malformed trailer"},
    };
    CHECK_ROWS(rows);
}

static void fields_that_are_not_for_trailers_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"accept",
                                        "ACCEPT-CHARSET",
                                        "Accept-Encoding",
                                        "accept-language",
                                        "AGE",
                                        "Authorization",
                                        "cache-control",
                                        "CONNECTION",
                                        "Content-Disposition",
                                        "content-encoding",
                                        "CONTENT-LANGUAGE",
                                        "Content-Length",
                                        "content-location",
                                        "CONTENT-RANGE",
                                        "Content-Type",
                                        "cookie",
                                        "COOKIE2",
                                        "Date",
                                        "expect",
                                        "EXPIRES",
                                        "Forwarded",
                                        "host",
                                        "HTTP2-SETTINGS",
                                        "If",
                                        "if-match",
                                        "IF-MODIFIED-SINCE",
                                        "If-None-Match",
                                        "if-range",
                                        "IF-UNMODIFIED-SINCE",
                                        "Keep-Alive",
                                        "location",
                                        "MAX-FORWARDS",
                                        "Origin",
                                        "pragma",
                                        "PROXY-AUTHENTICATE",
                                        "Proxy-Authorization",
                                        "proxy-connection",
                                        "RANGE",
                                        "Referer",
                                        "retry-after",
                                        "SET-COOKIE",
                                        "Set-Cookie2",
                                        "te",
                                        "TRAILER",
                                        "Transfer-Encoding",
                                        "upgrade",
                                        "VARY",
                                        "Via",
                                        "www-authenticate",
                                        "X-FORWARDED-FOR",
                                        "X-Forwarded-Host",
                                        "x-forwarded-port",
                                        "X-FORWARDED-PROTO",
                                        "X-Http-Method-Override",
                                        "x-real-ip"};
    char text[200];
    char expected[200];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(text, sizeof text, "0\r\nA: b\r\n%s: x\r\n\r\n", names[i]);
        (void)snprintf(expected, sizeof expected,
                       "400@%zu field that is not allowed in trailers (RFC 9110 6.5.1)",
                       9 + strlen(names[i]));
        CHECK_TEXT(decode(text), expected);
        for (char *c = text + 9; *c != ':'; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        CHECK_TEXT(decode(text), expected);
    }
}

static void fields_whose_names_only_resemble_those_are_skipped(void **state)
{
    (void)state;
    static const char *const names[] = {"A",
                                        "Z",
                                        "~",
                                        "!",
                                        "0",
                                        "Hos",
                                        "Hostt",
                                        "Host-",
                                        "Content-Digest",
                                        "Content-",
                                        "Content",
                                        "Repr-Digest",
                                        "ETag",
                                        "Server-Timing",
                                        "Authentication-Info",
                                        "X-Trailer",
                                        "Trailer-",
                                        "If-",
                                        "I",
                                        "T",
                                        "Tea",
                                        "X-Forwarded",
                                        "X-Forwarded-For2",
                                        "Content_Length",
                                        "Content-Lengtg",
                                        "Content-Lengti",
                                        "AUTH",
                                        "x-real-ip-",
                                        "zzz",
                                        "\x5e",
                                        "set-cookie3",
                                        "X-Amz-Checksum-Crc32c"};
    char text[200];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(text, sizeof text, "0\r\n%s: x\r\n\r\n", names[i]);
        CHECK_TEXT(decode(text), "+0");
    }
}

/* ---- limits ---- */

static void a_body_may_be_as_long_as_its_limit_and_no_longer(void **state)
{
    (void)state;
#define TOO_LARGE " body larger than limit_request_body"
    body_limit = 10;
    CHECK_TEXT(decode("a\r\n0123456789\r\n0\r\n\r\n"), "0123456789+0");
    CHECK_TEXT(decode("4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"), "0123456789+0");
    CHECK_TEXT(decode("4\r\n0123\r\n7\r\n"), "413@11" TOO_LARGE);
    CHECK_TEXT(decode("b\r\n"), "413@2" TOO_LARGE); /* when its line is complete */
    CHECK_TEXT(decode("b;x=\"y\"\r\nz"), "413@8" TOO_LARGE);
    CHECK_TEXT(decode("b\r"), "more ");
    CHECK_TEXT(decode("b\n"), "400@1 line end in a chunked body that is not CRLF (RFC 9112 2.2)");
    CHECK_TEXT(decode("8000000000000000\r\n"), "413@17" TOO_LARGE);
    CHECK_TEXT(decode("ffffffffffffffff\r\n"), "413@17" TOO_LARGE);
    CHECK_TEXT(decode("1\r\nx\r\nffffffffffffffff\r\n"), "413@23" TOO_LARGE);
    body_limit = 0;
    CHECK_TEXT(decode("0\r\n\r\n"), "+0");
    CHECK_TEXT(decode("1\r\n"), "413@2" TOO_LARGE);
    body_limit = UINT64_MAX; /* which means 2^63 - 1 */
    CHECK_TEXT(decode("7fffffffffffffff\r\nx"), "more x");
    CHECK_TEXT(decode("8000000000000000\r\n"), "413@17" TOO_LARGE);
    CHECK_TEXT(decode("1\r\nx\r\n7ffffffffffffffe\r\nx"), "more xx");
    CHECK_TEXT(decode("1\r\nx\r\n7fffffffffffffff\r\n"), "413@23" TOO_LARGE);
}

static void framing_without_end_is_refused_to_the_octet(void **state)
{
    (void)state;
#define FLOOD " more chunk framing than data"
    struct buf text = {0};
    limits.head = 100;
    CHECK(buf_printf(&text, "1;a=") == 0);
    while (text.len < CHUNKED_SLACK + 100)
        CHECK(buf_append(&text, "x", 1) == 0);
    CHECK_TEXT(decode_of(str_make(text.data, text.len)), "more ");
    CHECK(buf_append(&text, "x", 1) == 0);
    CHECK_TEXT(decode_of(str_make(text.data, text.len)), "400@16484" FLOOD);
    text.data[16484] = '\0'; /* whatever it is */
    CHECK_TEXT(decode_of(str_make(text.data, text.len)), "400@16484" FLOOD);
    text.len = 0;
    for (int i = 0; i < 400; i++) /* 98 octets of framing around each octet of data */
        CHECK(buf_printf(&text, "1;a=%090d\r\nx\r\n", 0) == 0);
    /* 98 n + 96 = 16484 + 16 n has n = 199.8: the line behind the 200th chunk is cut */
    CHECK_TEXT(decode_of(str_make(text.data, text.len)), "400@19884" FLOOD);
    text.len = 0;
    for (int i = 0; i < 8000; i++) /* one-octet chunks are a waste, but allowed */
        CHECK(buf_printf(&text, "1\r\nx\r\n") == 0);
    CHECK(buf_printf(&text, "0\r\n\r\n") == 0);
    CHECK_EQ(strlen(decode_of(str_make(text.data, text.len))), 8002);
    buf_fini(&text);
}

static void trailers_are_limited_like_fields_of_a_head(void **state)
{
    (void)state;
    struct buf text = {0};
    CHECK(buf_printf(&text, "0\r\n") == 0);
    for (int i = 0; i < 10; i++)
        CHECK(buf_printf(&text, "Name: a value of thirty octets..\r\n") == 0);
    size_t len = text.len;
    CHECK(buf_printf(&text, "\r\n") == 0);
    CHECK_TEXT(decode_of(str_make(text.data, text.len)), "+0");
    text.len = len;
    CHECK(buf_printf(&text, "O: x\r\n\r\n") == 0);
    CHECK_TEXT(decode_of(str_make(text.data, text.len)),
               "431@343 more trailer fields than limit_request_fields");
    limits.fields = 0;
    CHECK_TEXT(decode("0\r\n\r\n"), "+0");
    CHECK_TEXT(decode("0\r\nA: b\r\n\r\n"), "431@3 more trailer fields than limit_request_fields");
    CHECK_TEXT(decode("0\r\n: b\r\n\r\n"), "400@3 malformed trailer field (RFC 9112 7.1.2)");
    buf_fini(&text);
}

static void a_trailer_line_and_the_whole_section_may_be_as_long_as_their_limits(void **state)
{
    (void)state;
    char text[600];
    limits.field_size = 100; /* "A: " + 95 + CRLF */
    (void)snprintf(text, sizeof text, "0\r\nA: %095d\r\nB: %095d\r\n\r\n", 0, 0);
    CHECK_TEXT(decode(text), "+0");
    (void)snprintf(text, sizeof text, "0\r\nA: %095d\r\nB: %096d\r\n\r\n", 0, 0);
    CHECK_TEXT(decode(text), "431@203 trailer field longer than limit_request_field_size");
    text[203] = 'x'; /* the octet too much is refused for that, not for what it is */
    CHECK_TEXT(decode(text), "431@203 trailer field longer than limit_request_field_size");
    limits.head = 202; /* with the empty line */
    (void)snprintf(text, sizeof text, "0\r\nA: %095d\r\nB: %095d\r\n\r\n", 0, 0);
    CHECK_TEXT(decode(text), "+0");
    limits.head = 201;
    CHECK_TEXT(decode(text), "431@204 trailer section longer than limit_request_head");
    limits.head = 150;
    CHECK_TEXT(decode(text), "431@153 trailer section longer than limit_request_head");
    limits.head = 60;
    CHECK_TEXT(decode(text), "431@63 trailer section longer than limit_request_head");
}

/* A limit may fall on any octet, also on one where nothing is half done. */
static void every_limit_holds_to_the_octet(void **state)
{
    (void)state;
    static const char text[] = "0\r\nA: b\r\nCd: ef\r\nG:\r\n\r\n"; /* lines of 6, 8, 4, 2 octets */
    char expected[100];
    for (uint32_t head = 0; head <= 20; head++) {
        limits.head = head;
        (void)snprintf(expected, sizeof expected,
                       "431@%u trailer section longer than limit_request_head", 3 + head);
        CHECK_TEXT(decode(text), head < 20 ? expected : "+0");
    }
    limits.head = 400;
    for (uint32_t size = 0; size <= 8; size++) {
        limits.field_size = size;
        uint32_t at = size < 6 ? 3 + size : 9 + size;
        (void)snprintf(expected, sizeof expected,
                       "431@%u trailer field longer than limit_request_field_size", at);
        CHECK_TEXT(decode(text), size < 8 ? expected : "+0");
    }
}

static void framing_may_run_out_at_any_octet(void **state)
{
    (void)state;
    const uint32_t line = 36; /* octets of the second chunk's line */
    struct buf text = {0};
    limits.head = 100;
    for (uint32_t left = 14; left <= line; left++) { /* that the first chunk leaves */
        text.len = 0;
        int n = (int)(CHUNKED_SLACK + limits.head + CHUNKED_FACTOR - left) - 8;
        CHECK(buf_printf(&text, "1;a=%0*d\r\nx\r\n", n, 0) == 0);
        char expected[100];
        (void)snprintf(expected, sizeof expected, "400@%zu more chunk framing than data",
                       text.len + left);
        CHECK(buf_printf(&text, "1;a=%030d\r\nx\r\n0\r\n\r\n", 0) == 0);
        CHECK_TEXT(decode_of(str_make(text.data, text.len)), left < line ? expected : "xx+0");
    }
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(chunks_become_a_body_however_they_are_cut, setup),
        cmocka_unit_test_setup(every_octet_may_be_data, setup),
        cmocka_unit_test_setup(no_octets_change_nothing, setup),
        cmocka_unit_test_setup(an_unfinished_body_wants_more, setup),
        cmocka_unit_test_setup(a_size_is_up_to_16_hexadecimal_digits_and_nothing_else, setup),
        cmocka_unit_test_setup(a_line_ends_with_cr_and_lf, setup),
        cmocka_unit_test_setup(extensions_of_any_valid_form_are_skipped, setup),
        cmocka_unit_test_setup(extensions_of_any_other_form_are_refused, setup),
        cmocka_unit_test_setup(trailers_are_checked_like_fields_of_a_head_and_skipped, setup),
        cmocka_unit_test_setup(fields_that_are_not_for_trailers_are_refused, setup),
        cmocka_unit_test_setup(fields_whose_names_only_resemble_those_are_skipped, setup),
        cmocka_unit_test_setup(a_body_may_be_as_long_as_its_limit_and_no_longer, setup),
        cmocka_unit_test_setup(every_limit_holds_to_the_octet, setup),
        cmocka_unit_test_setup(framing_may_run_out_at_any_octet, setup),
        cmocka_unit_test_setup(framing_without_end_is_refused_to_the_octet, setup),
        cmocka_unit_test_setup(trailers_are_limited_like_fields_of_a_head, setup),
        cmocka_unit_test_setup(a_trailer_line_and_the_whole_section_may_be_as_long_as_their_limits,
                               setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
