/* Static files through the running server: what is found and what is not, and what is said about
 * it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"
#include "tests/harness/site.h"

static struct reply r;
static struct client *client;

static void start(void)
{
    struct server *s = site_new();
    site_launch(s, REMUDA_DEMO_SO, NULL);
    client = client_to(s);
}

/* fields: each with its CRLF */
static void ask(const char *line, const char *fields)
{
    char request[2048];
    check_context("%s %s", line, fields);
    (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, fields);
    client_exchange(client, &r, request);
    CHECK(!r.is_closing);
}

static void field_is(const char *name, const char *expected)
{
    const char *value = reply_field(&r, name);
    CHECK_SAYING(value || !expected, "no %s in:\n%s", name, r.head.data);
    CHECK_SAYING(!value || expected, "%s in:\n%s", name, r.head.data);
    if (value)
        CHECK_TEXT(value, expected);
}

static void files_folders_and_what_is_neither(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int status;
        const char *body;     /* NULL: any */
        const char *location; /* NULL: none */
    } rows[] = {
        {"GET /files/hello.txt", 200, "hello", NULL},
        {"GET /files/hello.txt?v=3", 200, "hello", NULL},
        {"GET /files/a%20b%26c.txt", 200, "blank", NULL},
        {"GET /files/./sub/../hello.txt", 200, "hello", NULL},
        {"HEAD /files/hello.txt", 200, "", NULL},
        {"GET /files/sub/", 200, "<p>sub", NULL},
        {"GET /files/sub", 301, NULL, "/files/sub/"},
        {"GET /files/sub?a=b", 301, NULL, "/files/sub/?a=b"},
        {"GET /files", 301, NULL, "/files/"},
        {"GET /files/bare/", 403, NULL, NULL},
        {"GET /files/nothing", 404, NULL, NULL},
        {"GET /files/hello.txt/", 404, NULL, NULL},
        {"GET /files/hello.txt/more", 404, NULL, NULL},
        {"GET /filesystem", 404, NULL, NULL},
        {"POST /files/hello.txt", 405, NULL, NULL},
        {"DELETE /files/nothing", 405, NULL, NULL},
        {"OPTIONS /files/hello.txt", 204, NULL, NULL},
    };
    start();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(rows[i].line, "");
        CHECK_EQ(r.status, rows[i].status);
        if (rows[i].body)
            CHECK_TEXT(r.body.data, rows[i].body);
        field_is("Location", rows[i].location);
        if (r.status == 405 || r.status == 204) {
            CHECK_HAS(reply_field(&r, "Allow"), "GET");
            CHECK_HAS(reply_field(&r, "Allow"), "HEAD");
        }
    }
}

static void head_says_what_get_says(void **state)
{
    (void)state;
    static const char *const names[] = {"Content-Length", "Content-Type", "ETag", "Last-Modified",
                                        "Accept-Ranges"};
    start();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char value[256];
        ask("GET /files/hello.txt", "");
        CHECK_SAYING(reply_field(&r, names[i]), "no %s", names[i]);
        (void)snprintf(value, sizeof value, "%s", reply_field(&r, names[i]));
        ask("HEAD /files/hello.txt", "");
        field_is(names[i], value);
    }
}

/* Each with the tag or date that the file really has. */
static void conditions_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *format; /* %s: the tag, then the date where there is another one */
        bool is_date;
        int status;
    } rows[] = {
        {"If-None-Match: %s\r\n", false, 304},
        {"If-None-Match: \"other\", W/%s\r\n", false, 304},
        {"If-None-Match: *\r\n", false, 304},
        {"If-None-Match: \"other\"\r\n", false, 200},
        {"If-Modified-Since: %s\r\n", true, 304},
        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", true, 200},
        {"If-Modified-Since: yesterday\r\n", true, 200},
        {"If-None-Match: \"other\"\r\nIf-Modified-Since: %s\r\n", true, 200},
        {"If-Match: %s\r\n", false, 200},
        {"If-Match: \"other\"\r\n", false, 412},
        {"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", true, 412},
        {"If-Unmodified-Since: %s\r\n", true, 200},
        {"Range: bytes=0-0\r\nIf-Range: %s\r\n", false, 206},
        {"Range: bytes=0-0\r\nIf-Range: \"other\"\r\n", false, 200},
    };
    char tag[128], date[64], fields[512];
    struct server *s = site_new();
    struct timespec old[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    CHECK(utimensat(AT_FDCWD, server_path(s, "public/hello.txt"), old, 0) == 0);
    site_launch(s, REMUDA_DEMO_SO, NULL);
    client = client_to(s);
    ask("GET /files/hello.txt", "");
    (void)snprintf(tag, sizeof tag, "%s", reply_field(&r, "ETag"));
    (void)snprintf(date, sizeof date, "%s", reply_field(&r, "Last-Modified"));
    CHECK_TEXT(date, "Tue, 14 Nov 2023 22:13:20 GMT");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(fields, sizeof fields, rows[i].format, rows[i].is_date ? date : tag);
        ask("GET /files/hello.txt", fields);
        CHECK_EQ(r.status, rows[i].status);
        if (r.status == 304) {
            CHECK_EQ(r.body.len, 0);
            field_is("ETag", tag);
        }
        if (r.status == 200)
            CHECK_TEXT(r.body.data, "hello");
    }
}

static void ranges_give_parts(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        int status;
        const char *content_range; /* NULL: none */
        const char *body;          /* NULL: any */
    } rows[] = {
        {"bytes=0-1", 206, "bytes 0-1/5", "he"},    {"bytes=3-", 206, "bytes 3-4/5", "lo"},
        {"bytes=-2", 206, "bytes 3-4/5", "lo"},     {"bytes=1-99", 206, "bytes 1-4/5", "ello"},
        {"bytes=-99", 206, "bytes 0-4/5", "hello"}, {"bytes=5-", 416, "bytes */5", NULL},
        {"bytes=2-1", 200, NULL, "hello"},          {"lines=1-2", 200, NULL, "hello"},
        {"bytes=9-9,4-4", 206, "bytes 4-4/5", "o"},
    };
    start();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char fields[128];
        (void)snprintf(fields, sizeof fields, "Range: %s\r\n", rows[i].range);
        ask("GET /files/hello.txt", fields);
        CHECK_EQ(r.status, rows[i].status);
        field_is("Content-Range", rows[i].content_range);
        if (rows[i].body)
            CHECK_TEXT(r.body.data, rows[i].body);
    }
    ask("GET /files/hello.txt", "Range: bytes=0-0, 3-4\r\n");
    CHECK_EQ(r.status, 206);
    const char *type = reply_field(&r, "Content-Type");
    CHECK(type && strncmp(type, "multipart/byteranges; boundary=", 31) == 0);
    char expected[1024], boundary[100];
    (void)snprintf(boundary, sizeof boundary, "%s", type + 31);
    (void)snprintf(expected, sizeof expected,
                   "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Content-Range: bytes 0-0/5\r\n\r\nh\r\n"
                   "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Content-Range: bytes 3-4/5\r\n\r\nlo\r\n--%s--\r\n",
                   boundary, boundary, boundary);
    CHECK_SAYING(strstr(r.body.data, expected) && strlen(r.body.data) <= strlen(expected) + 2,
                 "the parts are:\n%s", r.body.data);
}

/* Siblings are named by their contents here; nobody unpacks them. */
static void compressed_siblings_are_preferred_when_they_are_new(void **state)
{
    (void)state;
    struct server *s = site_new();
    struct timespec now[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    struct timespec old[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};
    static const char *const names[] = {"page.html", "page.html.gz", "page.html.br", "stale.html",
                                        "stale.html.gz"};
    for (size_t i = 0; i < 5; i++) {
        char path[64];
        site_write(s, names[i], names[i], strlen(names[i]));
        (void)snprintf(path, sizeof path, "public/%s", names[i]);
        CHECK(utimensat(AT_FDCWD, server_path(s, path), i == 4 ? old : now, 0) == 0);
    }
    site_launch(s, REMUDA_DEMO_SO, NULL);
    client = client_to(s);
    static const struct {
        const char *line, *accept, *body, *coding;
    } rows[] = {
        {"GET /files/page.html", "Accept-Encoding: gzip\r\n", "page.html.gz", "gzip"},
        {"GET /files/page.html", "Accept-Encoding: gzip;q=0.5, br\r\n", "page.html.br", "br"},
        {"GET /files/page.html", "Accept-Encoding: gzip, br;q=0.1\r\n", "page.html.gz", "gzip"},
        {"GET /files/page.html", "", "page.html", NULL},
        {"GET /files/page.html", "Accept-Encoding: gzip;q=0, identity\r\n", "page.html", NULL},
        {"GET /files/stale.html", "Accept-Encoding: gzip\r\n", "stale.html", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(rows[i].line, rows[i].accept);
        CHECK_EQ(r.status, 200);
        CHECK_TEXT(r.body.data, rows[i].body);
        field_is("Content-Encoding", rows[i].coding);
        CHECK_HAS(reply_field(&r, "Content-Type"), "text/html");
        CHECK_HAS(reply_field(&r, "Vary"), "Accept-Encoding");
    }
}

SERVER_MAIN(SERVER_TEST(files_folders_and_what_is_neither), SERVER_TEST(head_says_what_get_says),
            SERVER_TEST(conditions_are_judged), SERVER_TEST(ranges_give_parts),
            SERVER_TEST(compressed_siblings_are_preferred_when_they_are_new))
