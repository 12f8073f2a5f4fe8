/* http/mime.c: which types extensions have, and what becomes of databases that are none. */
#include "http/mime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "tests/harness/check.h"

#include <sys/mman.h>

static char path[64]; /* of the database that write_database() made */
static int database_fd = -1;

static void write_database(const char *text, size_t len)
{
    fd_close(&database_fd);
    database_fd = memfd_create("mime.types", MFD_CLOEXEC);
    CHECK(database_fd >= 0);
    CHECK_EQ(fd_write_all(database_fd, text, len), 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", database_fd);
}

static void load(struct mime *m, const char *text)
{
    write_database(text, strlen(text));
    CHECK_EQ(mime_load(path, m), 0);
}

static void expect(const struct mime *m, const char *name, const char *type)
{
    struct str found = mime_find(m, str_of(name));
    check_context("%s", name);
    CHECK_BYTES(found.p, found.len, type, strlen(type));
}

static void the_built_in_table_knows_the_web(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"index.html", "text/html; charset=utf-8"},
        {"a/b.c/app.js", "text/javascript; charset=utf-8"},
        {"app.mjs", "text/javascript; charset=utf-8"},
        {"style.css", "text/css; charset=utf-8"},
        {"data.json", "application/json"},
        {"app.wasm", "application/wasm"},
        {"photo.avif", "image/avif"},
        {"photo.JPG", "image/jpeg"},
        {"font.woff2", "font/woff2"},
        {"feed.xml", "application/xml"},
        {"icon.svg", "image/svg+xml"},
        {"a.7z", "application/x-7z-compressed"}, /* the first row */
        {"a.zst", "application/zstd"},           /* the last one */
        {"app.tar.gz", "application/gzip"},
        {"site.webmanifest", "application/manifest+json"},
    };
    struct mime none = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect(NULL, rows[i][0], rows[i][1]);
        expect(&none, rows[i][0], rows[i][1]);
    }
}

static void what_has_no_known_extension_is_octets(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "README",
        "a.unknown",
        ".html",
        "dir/.html",
        "a.",
        "a.html/b",
        "a.html/",
        ".",
        "..",
        "a.htm l",
        "a.html.",
        "a.html\n",
        "a.0123456789012345678901234567890",
        "a.01234567890123456789012345678901",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect(NULL, names[i], "application/octet-stream");
    struct str with_nul = mime_find(NULL, str_make("a.html\0x", 8));
    CHECK_BYTES(with_nul.p, with_nul.len, "application/octet-stream", 24);
}

static void the_database_wins_and_the_table_fills_it_up(void **state)
{
    (void)state;
    struct mime m;
    load(&m, "# a comment\n"
             "\n"
             "text/x-page\t\t\thtml htm\n"
             "application/x-none\n"
             "application/javascript   js\r\n"
             "application/vnd.a+json AJ\n"
             "text/xml xml # not this: js2\n"
             "text/plain txt c++ x-y_z");
    expect(&m, "a.html", "text/x-page; charset=utf-8");
    expect(&m, "a.HTM", "text/x-page; charset=utf-8");
    expect(&m, "a.aj", "application/vnd.a+json");
    expect(&m, "a.xml", "text/xml");
    expect(&m, "a.js2", "application/octet-stream");
    expect(&m, "a.txt", "text/plain; charset=utf-8");
    expect(&m, "a.c++", "text/plain; charset=utf-8");
    expect(&m, "a.X-Y_Z", "text/plain; charset=utf-8");
    expect(&m, "a.css", "text/css; charset=utf-8"); /* the table's */
    mime_fini(&m);
    expect(&m, "a.html", "text/html; charset=utf-8"); /* a database that is gone is none */
}

static void the_first_of_two_types_holds(void **state)
{
    (void)state;
    struct mime m;
    load(&m, "a/one x y\na/two x\na/three z x y\n");
    expect(&m, "f.x", "a/one");
    expect(&m, "f.y", "a/one");
    expect(&m, "f.z", "a/three");
    mime_fini(&m);
}

static void lines_that_make_no_sense_are_passed_over(void **state)
{
    (void)state;
    struct mime m;
    load(&m, "html text/html\n"
             "/ a\n"
             "text/ b\n"
             "/plain c\n"
             "text/pl\xc3\xa4in d\n"
             "text/plain; e\n"
             "text/a\r\nf: g\n"
             "a/b h.i j,k l\n"
             "   \t \n"
             "#a/b m\n");
    CHECK_EQ(m.n, 1);
    expect(&m, "a.l", "a/b");
    mime_fini(&m);
}

static void what_is_too_long_or_too_much_is_left_out(void **state)
{
    (void)state;
    struct mime m;
    struct buf text = {0};
    CHECK_EQ(buf_printf(&text, "a/%0125d good\na/%0126d long\nb/c %031d %032d last\n", 0, 0, 0, 0),
             0);
    for (int i = 0; i < MIME_ENTRIES_MAX + 100; i++)
        CHECK_EQ(buf_printf(&text, "n/%d e%d\n", i, i), 0);
    write_database(text.data, text.len);
    CHECK_EQ(mime_load(path, &m), 0);
    CHECK_EQ(m.n, MIME_ENTRIES_MAX);
    CHECK_EQ(mime_find(&m, STR("a.good")).len, MIME_TYPE_MAX);
    expect(&m, "a.long", "application/octet-stream");
    expect(&m, "a.last", "b/c");
    expect(&m, "a.e0", "n/0");
    char name[64];
    (void)snprintf(name, sizeof name, "a.%031d", 0);
    expect(&m, name, "b/c");
    mime_fini(&m);
    buf_fini(&text);
}

static void a_huge_database_is_refused(void **state)
{
    (void)state;
    struct mime m = {.n = 7};
    char *octets = malloc(MIME_FILE_MAX + 1);
    CHECK(octets != NULL);
    memset(octets, 'a', MIME_FILE_MAX + 1);
    write_database(octets, MIME_FILE_MAX + 1);
    CHECK_EQ(mime_load(path, &m), -EFBIG);
    CHECK_EQ(m.n, 7);                      /* as before */
    write_database(octets, MIME_FILE_MAX); /* one line */
    CHECK_EQ(mime_load(path, &m), 0);
    CHECK_EQ(m.n, 0);
    memset(octets, ' ', MIME_FILE_MAX);
    memcpy(octets, "a/b", 3);
    for (size_t i = 4; i < MIME_FILE_MAX; i += 2) /* one line of half a million words */
        octets[i] = 'x';
    write_database(octets, MIME_FILE_MAX);
    CHECK_EQ(mime_load(path, &m), 0);
    CHECK_EQ(m.n, 1);
    expect(&m, "f.x", "a/b");
    mime_fini(&m);
    free(octets);
    CHECK_EQ(mime_load("/nowhere/mime.types", &m), -ENOENT);
}

static void every_octet_is_taken_for_what_it_is(void **state)
{
    (void)state;
    struct mime m;
    for (int c = 0; c < 256; c++) {
        char line[] = "a/b e? f\n";
        line[5] = (char)c;
        write_database(line, sizeof line - 1);
        CHECK_EQ(mime_load(path, &m), 0);
        check_context("octet %d", c);
        bool ends_line = c == '\n'; /* then " f" is a line without a type */
        struct str found = mime_find(&m, STR("x.f"));
        CHECK_EQ(found.len == 3, !ends_line);
        mime_fini(&m);
    }
}

/* Debian's own, where it is installed. */
static void the_system_database_is_read(void **state)
{
    (void)state;
    struct mime m;
    if (access(MIME_DATABASE, R_OK) < 0)
        skip();
    CHECK_EQ(mime_load(MIME_DATABASE, &m), 0);
    CHECK(m.n > 100);
    expect(&m, "a.html", "text/html; charset=utf-8");
    expect(&m, "a.png", "image/png");
    mime_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_table_knows_the_web),
        cmocka_unit_test(what_has_no_known_extension_is_octets),
        cmocka_unit_test(the_database_wins_and_the_table_fills_it_up),
        cmocka_unit_test(the_first_of_two_types_holds),
        cmocka_unit_test(lines_that_make_no_sense_are_passed_over),
        cmocka_unit_test(what_is_too_long_or_too_much_is_left_out),
        cmocka_unit_test(a_huge_database_is_refused),
        cmocka_unit_test(every_octet_is_taken_for_what_it_is),
        cmocka_unit_test(the_system_database_is_read),
    };
    int n_failed = cmocka_run_group_tests_name("http/mime", tests, NULL, NULL);
    fd_close(&database_fd);
    return n_failed;
}
