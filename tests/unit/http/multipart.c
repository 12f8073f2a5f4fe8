/* http/multipart.c: bodies as browsers, curl and hostile clients make them, and what comes of each;
 * that a body which is cut anywhere never looks whole; that no body costs more than its octets. */
#include "http/multipart.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "tests/harness/check.h"

/* ---- the boundary ---- */

struct boundary_row {
    struct str content_type;
    const char *boundary; /* NULL: refused */
};

#define F "multipart/form-data"
#define TEN "0123456789"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

static const struct boundary_row boundary_rows[] = {
    {STR(F "; boundary=b"), "b"},
    {STR(F ";boundary=b"), "b"},
    {STR("Multipart/Form-DATA \t;\tBOUNDARY=aZ09'+_-."), "aZ09'+_-."},
    {STR(F "; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"),
     "----WebKitFormBoundary7MA4YWxkTrZu0gW"},
    {STR(F "; boundary=------------------------d74496d66958873e"),
     "------------------------d74496d66958873e"},
    {STR(F "; boundary=\"a b'()+_,-./:=?z\""), "a b'()+_,-./:=?z"},
    {STR(F "; boundary=" SEVENTY), SEVENTY},
    {STR(F "; charset=utf-8; boundary=b; x=\"y;boundary=c\\\"\" "), "b"},
    {STR(F ";; ;boundary=b;"), "b"},
    {STR(" " F "; boundary=b\t"), "b"},
    {STR(F "; xboundary=c; boundary=b"), "b"},
    {STR(""), NULL},
    {STR(F), NULL},
    {STR(F ";"), NULL},
    {STR(F "; charset=utf-8"), NULL},
    {STR("multipart/mixed; boundary=b"), NULL},
    {STR("application/x-www-form-urlencoded; boundary=b"), NULL},
    {STR(F "x; boundary=b"), NULL},
    {STR(F " boundary=b"), NULL},
    {STR(F ", boundary=b"), NULL},
    {STR(F "; boundary"), NULL},
    {STR(F "; boundary="), NULL},
    {STR(F "; boundary=\"\""), NULL},
    {STR(F "; boundary =b"), NULL},
    {STR(F "; boundary= b"), NULL},
    {STR(F "; boundary=b b"), NULL},
    {STR(F "; boundary=b=c"), NULL},
    {STR(F "; boundary=b, text/plain"), NULL},
    {STR(F "; boundary=" SEVENTY "0"), NULL},
    {STR(F "; boundary=\"b"), NULL},
    {STR(F "; boundary=\"b\\\""), NULL},
    {STR(F "; boundary=\"b\"c"), NULL},
    {STR(F "; boundary=\"b \""), NULL},
    {STR(F "; boundary=\" \""), NULL},
    {STR(F "; boundary=\"b\\c\""), NULL},
    {STR(F "; boundary=\"b*\""), NULL},
    {STR(F "; boundary=b*"), NULL},
    {STR(F "; boundary=\"\xe4\""), NULL},
    {STR(F "; boundary=\"b\r\n\""), NULL},
    {STR(F "; boundary=\"b\0\""), NULL},
    {STR(F "; boundary=b\r\n"), NULL},
    {STR(F "; x=\"\x01\"; boundary=b"), NULL},
    {STR(F "; boundary=b; boundary=b"), NULL},
    {STR(F "; boundary=b; Boundary=c"), NULL},
    {STR(F "; boundary*=utf-8''b"), NULL},
};

static void a_boundary_is_one_parameter_of_form_data(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof boundary_rows / sizeof boundary_rows[0]; i++) {
        const struct boundary_row *row = &boundary_rows[i];
        check_context("%.100s", row->content_type.p);
        struct str boundary = STR("untouched");
        int rc = multipart_boundary(row->content_type, &boundary);
        CHECK_EQ(rc, row->boundary ? 0 : -EINVAL);
        const char *expected = row->boundary ? row->boundary : "untouched";
        CHECK_BYTES(boundary.p, boundary.len, expected, strlen(expected));
    }
    struct str boundary;
    CHECK_EQ(multipart_boundary((struct str){0}, &boundary), -EINVAL);
}

/* ---- bodies ---- */

static char walk_text[20000];

static void say(size_t *at, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(size_t *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(walk_text + *at, sizeof walk_text - *at, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof walk_text - *at);
    *at += (size_t)n;
}

/* Every part as "name=data" or "name<filename>(type)=data", then "." for the end or the reason. */
static const char *walk_parts(struct str octets, struct str boundary, uint32_t max_parts)
{
    char *body = malloc(octets.len + 1); /* nothing behind it */
    CHECK(body != NULL);
    char *exact = body + 1;
    if (octets.len > 0)
        memcpy(exact, octets.p, octets.len);
    struct multipart m;
    struct multipart_part part;
    multipart_begin(&m, str_make(exact, octets.len), boundary, max_parts);
    size_t at = 0;
    int rc;
    while ((rc = multipart_next(&m, &part)) == 1) {
        CHECK(part.data.p == exact + part.data_at);
        say(&at, "%.*s", STR_ARG(part.name));
        if (part.has_filename)
            say(&at, "<%.*s>", STR_ARG(part.filename));
        if (part.content_type.len > 0)
            say(&at, "(%.*s)", STR_ARG(part.content_type));
        say(&at, "=%.*s|", STR_ARG(part.data));
    }
    CHECK(rc == 0 || rc == -EINVAL || rc == -E2BIG);
    CHECK_EQ(multipart_next(&m, &part), rc); /* and so it stays */
    CHECK(m.n_compared <= octets.len);
    if (rc == 0)
        say(&at, ".");
    else
        say(&at, "%s%s", rc == -E2BIG ? "E2BIG " : "", m.reason);
    free(body);
    return walk_text;
}

struct row {
    struct str body; /* of boundary b */
    const char *outcome;
};

#define CD "Content-Disposition: form-data; name="
#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_context("row %zu: %.200s", i, rows[i].body.p);
        CHECK_TEXT(walk_parts(rows[i].body, STR("b"), 4), rows[i].outcome);
    }
}

static void parts_are_what_stands_between_delimiters(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("--b\r\n" CD "\"a\"\r\n\r\nhello\r\n--b--\r\n"), "a=hello|."},
        {STR("--b\r\n" CD "a\r\n\r\nhello\r\n--b--"), "a=hello|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n1\r\n--b\r\n" CD "\"a\"\r\n\r\n2\r\n--b--\r\n"),
         "a=1|a=2|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\r\n--b\r\n" CD "\"\"\r\n\r\n\r\n\r\n--b--\r\n"),
         "a=|=\r\n|."},
        /* body-part := MIME-part-headers [CRLF *OCTET]: no empty line of its own */
        {STR("--b\r\n" CD "\"a\"\r\n\r\n--b\r\n" CD "\"c\"\r\n\r\nd\r\n--b--\r\n"), "a=|c=d|."},
        {STR("--b--\r\n"), "."}, /* what browsers send for a form without entries */
        {STR("--b--"), "."},
        {STR("\r\n--b--"), "."},
        {STR("preamble\nof --b any\r\nkind\r\n--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\nepilogue"
             "\r\n--b\r\n\n"),
         "a=x|."},
        {STR("\r\n--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\n"), "a=x|."},
        {STR("--b \t \r\n" CD "\"a\"\r\n\r\nx\r\n--b\t\r\n" CD "\"c\"\r\n\r\ny\r\n--b-- \t\r\n"),
         "a=x|c=y|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b-- "), "a=x|."},
    };
    CHECK_ROWS(rows);
}

static void a_boundary_counts_only_at_the_start_of_a_line(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx--b--\r\n--b--\r\n"), "a=x--b--|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\n--b--\r\n--b--\r\n"), "a=\n--b--|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\r--b--\r\n--b--\r\n"), "a=\r--b--|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\r\n-b--\r\n --b\r\n--c\r\n--B\r\n\r\n--b--\r\n"),
         "a=\r\n-b--\r\n --b\r\n--c\r\n--B\r\n|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\r\r\n--b--\r\n"), "a=\r|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\r\n\r\r\n\r\n--b--\r\n"), "a=\r\n\r\r\n|."},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n\r\n--\r\n-\r\n--b--\r\n"), "a=\r\n--\r\n-|."},
    };
    CHECK_ROWS(rows);
}

static void a_boundary_with_other_text_behind_it_is_refused(void **state)
{
    (void)state;
#define FOLLOWED "boundary that CRLF does not follow (RFC 2046 5.1.1)"
    static const struct row rows[] = {
        {STR("--bc\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\n"), FOLLOWED},
        {STR("--b c\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\n"), FOLLOWED},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--bc\r\n--b--\r\n"), FOLLOWED},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b-\r\n"), FOLLOWED},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b--c\r\n"), FOLLOWED},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b---\r\n"), FOLLOWED},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\n"), FOLLOWED},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r"), FOLLOWED},
        {STR("--b\n" CD "\"a\"\n\nx\n--b--\n"), FOLLOWED},
        {STR("--b\r" CD "\"a\"\r\rx\r--b--\r"), FOLLOWED},
        {STR("--b\r\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\n"), FOLLOWED},
        {STR("--b\0\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\n"), FOLLOWED},
        {STR("--b\x0b\r\n" CD "\"a\"\r\n\r\nx\r\n--b--\r\n"), FOLLOWED},
        {STR("--b"), FOLLOWED},
        {STR("--b "), FOLLOWED},
    };
    CHECK_ROWS(rows);
}

static void a_body_without_its_delimiters_is_refused(void **state)
{
    (void)state;
#define CUT "no closing boundary: the body is cut (RFC 2046 5.1.1)"
#define NONE "no boundary in the body (RFC 2046 5.1.1)"
    static const struct row rows[] = {
        {STR(""), NONE},
        {STR("\r\n"), NONE},
        {STR("hello"), NONE},
        {STR("--c--\r\n"), NONE},
        {STR("x--b--\r\n"), NONE},
        {STR("\n--b--\r\n"), NONE},
        {STR("-"), NONE},
        {STR("--"), NONE},
        {STR("\r\n--"), NONE},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nhello"), CUT},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nhello\r\n"), CUT},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nhello\r\n--"), CUT},
        {STR("--b\r\n" CD "\"a\"\r\n\r\nhello\n--b--\r\n"), CUT},
        {STR("--b\r\n" CD "\"a\"\r\n\r\n1\r\n--b\r\n" CD "\"a\"\r\n\r\n2"), "a=1|" CUT},
        {STR("--b\r\n"), "header line of a part that CRLF does not end"},
        {STR("--b\r\n\r\n"), "part without Content-Disposition (RFC 7578 4.2)"},
        {STR("--b\r\n--b--\r\n"), "part that ends in its headers (RFC 2046 5.1.1)"},
        {STR("--b\r\n" CD "\"a\"\r\n--b--\r\n"), "part that ends in its headers (RFC 2046 5.1.1)"},
        {STR("--b\r\n" CD "\"a\"\r\n--b: c\r\n\r\nx\r\n--b--\r\n"),
         "part that ends in its headers (RFC 2046 5.1.1)"},
    };
    CHECK_ROWS(rows);
}

static void headers_of_a_part_are_read(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {STR("--b\r\n" CD
             "\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"),
         "f<x.txt>(text/plain)=x|."},
        {STR("--b\r\nX: y\r\ncontent-type:\t image/png; a=b \r\nContent-Length: 99\r\n"
             "CONTENT-DISPOSITION:FORM-data;Filename=\"\";NAME=f\r\n\r\nx\r\n--b--"),
         "f<>(image/png; a=b)=x|."},
        {STR("--b\r\n" CD "f; filename*=UTF-8''%2e%2e%2fx; filename=y\r\n\r\nx\r\n--b--"),
         "f<y>=x|."},
        {STR("--b\r\n" CD "f; filename*=UTF-8''x\r\n\r\nx\r\n--b--"), "f=x|."},
        {STR("--b\r\n" CD "\"a\\\"b\"; filename=\"c:\\d;e=f\\\\\"\r\n\r\nx\r\n--b--"),
         "a\\\"b<c:\\d;e=f\\\\>=x|."},
        {STR("--b\r\n" CD "\"%22%0D%0A\xc3\xa4\t'\"; size=3 ;\r\n\r\nx\r\n--b--"),
         "%22%0D%0A\xc3\xa4\t'=x|."},
        {STR("--b\r\n" CD "f\r\nContent-Transfer-Encoding: Binary\r\n\r\nx\r\n--b--"), "f=x|."},
        {STR("--b\r\n" CD "f\r\nContent-Type:\r\nEmpty:\r\n\r\nx\r\n--b--"), "f=x|."},
        {STR("--b\r\n" CD "f\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n\r\nx\r\n--b--"),
         "f=x|."},
    };
    CHECK_ROWS(rows);
}

static void headers_of_any_other_form_are_refused(void **state)
{
    (void)state;
#define LINE "malformed header line of a part (RFC 7578 4.8)"
#define DISPOSITION "malformed Content-Disposition (RFC 7578 4.2)"
#define LINE_END "header line of a part that CRLF does not end"
    static const struct row rows[] = {
        {STR("--b\r\nX: y\r\n\r\nx\r\n--b--"), "part without Content-Disposition (RFC 7578 4.2)"},
        {STR("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
         "part without a name (RFC 7578 4.2)"},
        {STR("--b\r\nContent-Disposition: form-data; filename=x\r\n\r\nx\r\n--b--"),
         "part without a name (RFC 7578 4.2)"},
        {STR("--b\r\nContent-Disposition: attachment; name=x\r\n\r\nx\r\n--b--"),
         "Content-Disposition is not form-data (RFC 7578 4.2)"},
        {STR("--b\r\nContent-Disposition:\r\n\r\nx\r\n--b--"),
         "Content-Disposition is not form-data (RFC 7578 4.2)"},
        {STR("--b\r\n" CD "a\r\n" CD "a\r\n\r\nx\r\n--b--"),
         "more than one Content-Disposition in a part"},
        {STR("--b\r\n" CD "a\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--"),
         "more than one Content-Type in a part"},
        {STR("--b\r\n" CD "a\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--"),
         "part with a transfer encoding (RFC 7578 4.7)"},
        {STR("--b\r\n" CD "a; name=a\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "a; filename=a; filename=b\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "\"a\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "\"a\\\"\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "\"a\"b\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "a b\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "a, filename=b\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "a; filename\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "a; filename =b\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "a; filename=c:\\d\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\n" CD "\xc3\xa4\r\n\r\nx\r\n--b--"), DISPOSITION},
        {STR("--b\r\nContent-Disposition : form-data; name=a\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "a\r\n folded\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "a\r\nno colon\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "a\r\nnothing\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "a\r\n: x\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "\"a\0\"\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "\"a\x1b\"\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "\"a\x7f\"\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "\"a\n\"\r\n\r\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "\"a\r\"\r\n\r\nx\r\n--b--"), LINE_END},
        {STR("--b\r\n" CD "\"a\"\n\nx\r\n--b--"), LINE},
        {STR("--b\r\n" CD "\"a\"\r\r\n\r\nx\r\n--b--"), LINE_END},
    };
    CHECK_ROWS(rows);
}

static void what_browsers_and_curl_send_is_read(void **state)
{
    (void)state;
    CHECK_TEXT(
        walk_parts(STR("------WebKitFormBoundaryrGKCBY7qhFd3TrwA\r\n"
                       "Content-Disposition: form-data; name=\"text\"\r\n"
                       "\r\n"
                       "text default\r\n"
                       "------WebKitFormBoundaryrGKCBY7qhFd3TrwA\r\n"
                       "Content-Disposition: form-data; name=\"file1\"; filename=\"\"\r\n"
                       "Content-Type: application/octet-stream\r\n"
                       "\r\n"
                       "\r\n"
                       "------WebKitFormBoundaryrGKCBY7qhFd3TrwA\r\n"
                       "Content-Disposition: form-data; name=\"f\"; filename=\"a %22.html\"\r\n"
                       "Content-Type: text/html\r\n"
                       "\r\n"
                       "<!DOCTYPE html><title>Content of a.html.</title>\n\r\n"
                       "------WebKitFormBoundaryrGKCBY7qhFd3TrwA--\r\n"),
                   STR("----WebKitFormBoundaryrGKCBY7qhFd3TrwA"), 10),
        "text=text default|file1<>(application/octet-stream)=|"
        "f<a %22.html>(text/html)=<!DOCTYPE html><title>Content of a.html.</title>\n|.");
    CHECK_TEXT(walk_parts(STR("--------------------------d74496d66958873e\r\n"
                              "Content-Disposition: form-data; name=\"person\"\r\n\r\n"
                              "anonymous\r\n"
                              "--------------------------d74496d66958873e\r\n"
                              "Content-Disposition: form-data; name=\"s\"; filename=\"x\\\"y\"\r\n"
                              "Content-Type: text/plain\r\n\r\n"
                              "content\n\r\n"
                              "--------------------------d74496d66958873e--\r\n"),
                          STR("------------------------d74496d66958873e"), 10),
               "person=anonymous|s<x\\\"y>(text/plain)=content\n|.");
}

/* ---- limits ---- */

static void parts_and_their_headers_are_limited(void **state)
{
    (void)state;
    static char text[40000];
    struct str boundary = STR("b");
    int len = snprintf(text, sizeof text, "--b");
    for (int i = 0; i < 5; i++)
        len += snprintf(text + len, 100, "\r\n" CD "%d\r\n\r\n\r\n--b", i);
    (void)snprintf(text + len, 100, "--");
    CHECK_TEXT(walk_parts(str_of(text), boundary, 5), "0=|1=|2=|3=|4=|.");
    CHECK_TEXT(walk_parts(str_of(text), boundary, 4), "0=|1=|2=|3=|E2BIG more parts than allowed");
    CHECK_TEXT(walk_parts(str_of(text), boundary, 0), "E2BIG more parts than allowed");
    CHECK_TEXT(walk_parts(STR("--b--"), boundary, 0), ".");

    CHECK_TEXT(walk_parts(STR("--b\r\n" CD "f\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n"
                              "\r\nx\r\n--b--"),
                          boundary, 1),
               "E2BIG part with more than 8 header lines");

    const int room = 8192 - (int)strlen(CD "f\r\nX: \r\n\r\n");
    (void)snprintf(text, sizeof text, "--b\r\n" CD "f\r\nX: %0*d\r\n\r\nx\r\n--b--", room, 0);
    CHECK_TEXT(walk_parts(str_of(text), boundary, 1), "f=x|.");
    (void)snprintf(text, sizeof text, "--b\r\n" CD "f\r\nX: %0*d\r\n\r\nx\r\n--b--", room + 1, 0);
    CHECK_TEXT(walk_parts(str_of(text), boundary, 1), "E2BIG part with more than 8 KiB of headers");
    (void)snprintf(text, sizeof text, "--b\r\n" CD "f\r\nX: %0*d", 30000, 0);
    CHECK_TEXT(walk_parts(str_of(text), boundary, 1), "E2BIG part with more than 8 KiB of headers");
}

static void a_body_that_is_cut_never_looks_whole(void **state)
{
    (void)state;
    static const struct str whole =
        STR("preamble\r\n--bound\r\n" CD "\"a\"\r\n\r\n1\r\n--bound\r\n" CD
            "\"f\"; filename=\"--bound--\"\r\nContent-Type: x/y\r\n\r\nx--bound--\r\n--boun--\r\n"
            "--bound--\r\nepilogue");
    size_t end = (size_t)((char *)memmem(whole.p, whole.len, "\r\nepilogue", 10) - whole.p);
    for (size_t len = 0; len <= whole.len; len++) {
        check_context("cut at %zu", len);
        const char *text = walk_parts(str_make(whole.p, len), STR("bound"), 10);
        /* one octet behind the delimiter is half a line end */
        bool is_whole = len >= end && len != end + 1;
        CHECK_EQ(text[strlen(text) - 1] == '.', is_whole);
    }
    CHECK_TEXT(walk_parts(whole, STR("bound"), 10),
               "a=1|f<--bound-->(x/y)=x--bound--\r\n--boun--|.");
}

/* Bodies of 16 MiB (1 MiB under valgrind) made of what looks like the boundary for as long as
 * possible. No octet is compared twice, which is what `n_compared` counts. */
static void bodies_full_of_near_boundaries_cost_one_comparison_an_octet(void **state)
{
    (void)state;
    static const struct str fillers[] = {
        STR("\r\n--"), STR("\r\n--" SEVENTY), STR("\r\n--0123456789x"), STR("\r"), STR("\r\n"),
        STR("-"),      STR("\r\n--0"),        STR("--0123456789"),
    };
    const size_t size = getenv("REMUDA_UNDER_VALGRIND") ? 1U << 20 : 16U << 20;
    char *body = malloc(size);
    CHECK(body != NULL);
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
        check_context("filler %zu", i);
        struct str filler = fillers[i];
        int head = snprintf(body, size, "--" SEVENTY "\r\n" CD "a\r\n\r\n");
        /* one octet of the boundary is missing in the filler that holds all of it */
        struct str boundary = STR(SEVENTY);
        if (i == 1)
            filler.len--;
        size_t at = (size_t)head;
        for (; at + filler.len + 100 < size; at += filler.len)
            memcpy(body + at, filler.p, filler.len);
        at += (size_t)snprintf(body + at, size - at, "\r\n--" SEVENTY "--");
        struct multipart m;
        struct multipart_part part;
        multipart_begin(&m, str_make(body, at), boundary, 1);
        CHECK_EQ(multipart_next(&m, &part), 1);
        CHECK_EQ(part.data.len, at - (size_t)head - 4 - 70 - 2);
        CHECK_EQ(multipart_next(&m, &part), 0);
        CHECK(m.n_compared <= at);
    }
    free(body);
}

/* ---- names ---- */

static void escapes_of_names_are_those_of_browsers(void **state)
{
    (void)state;
    static const struct {
        struct str raw;
        const char *text;
    } rows[] = {
        {STR(""), ""},
        {STR("plain.txt"), "plain.txt"},
        {STR("a%22b%0D%0Ac%0d%0a"), "a\"b\r\nc\r\n"},
        {STR("%41%00%2e%2F%5C%25"), "%41%00%2e%2F%5C%25"},
        {STR("%"), "%"},
        {STR("%2"), "%2"},
        {STR("%222"), "\"2"},
        {STR("%%22"), "%\""},
        {STR("100%"), "100%"},
        {STR("a\\\"b"), "a\"b"},
        {STR("c:\\dir\\x"), "c:\\dir\\x"},
        {STR("a\\\\"), "a\\\\"},
        {STR("\\\\\\\"x"), "\\\\\"x"},
        {STR("\\%22"), "\\\""},
        {STR("\\"), "\\"},
        {STR("../../etc/passwd"), "../../etc/passwd"},
        {STR("\xc3\xa4%22\xff"), "\xc3\xa4\"\xff"},
    };
    struct arena arena;
    arena_init(&arena, 256);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("row %zu", i);
        struct str text = {0};
        CHECK_EQ(multipart_decode(rows[i].raw, &arena, &text), 0);
        CHECK_BYTES(text.p, text.len, rows[i].text, strlen(rows[i].text));
        CHECK(text.p == rows[i].raw.p || text.p[text.len] == '\0');
    }
    struct str text;
    CHECK_EQ(multipart_decode((struct str){0}, &arena, &text), 0);
    CHECK_EQ(text.len, 0);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_boundary_is_one_parameter_of_form_data),
        cmocka_unit_test(parts_are_what_stands_between_delimiters),
        cmocka_unit_test(a_boundary_counts_only_at_the_start_of_a_line),
        cmocka_unit_test(a_boundary_with_other_text_behind_it_is_refused),
        cmocka_unit_test(a_body_without_its_delimiters_is_refused),
        cmocka_unit_test(headers_of_a_part_are_read),
        cmocka_unit_test(headers_of_any_other_form_are_refused),
        cmocka_unit_test(what_browsers_and_curl_send_is_read),
        cmocka_unit_test(parts_and_their_headers_are_limited),
        cmocka_unit_test(a_body_that_is_cut_never_looks_whole),
        cmocka_unit_test(bodies_full_of_near_boundaries_cost_one_comparison_an_octet),
        cmocka_unit_test(escapes_of_names_are_those_of_browsers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
