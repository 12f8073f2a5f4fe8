/* http/files.c: which file a path means, and what is said instead where it means none. What is said
 * about a file that was found is in tests/unit/http/opened.c. */
#include "http/files.h"

#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/resource.h>

#include "http/mime.h"
#include "tests/unit/http/asked.h"

#define NOW INT64_C(1700000000)

static const char *const index_names[] = {"index.html", "index.txt"};
static struct files files;

static int setup(void **state)
{
    static const char *const folders[] = {
        "root",      "root/sub", "root/sub/deep",      "root/bare",
        "root/.git", "root/odd", "root/odd/index.html"};
    if (asked_enter_folder(state) < 0)
        return -1;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (mkdir(folders[i], 0755) < 0)
            return -1;
    asked_write("secret", "outside");
    asked_write("root/hello.txt", "hello");
    asked_write("root/sub/index.html", "<p>sub");
    asked_write("root/sub/page.html", "page");
    asked_write("root/sub/deep/index.txt", "deep");
    asked_write("root/.git/config", "hidden");
    asked_write("root/.env", "hidden");
    asked_write("root/odd/index.txt", "odd");
    asked_write("root/a b&c.txt", "blank");
    asked_write("root/100%", "percent");
    asked_write("root/%2e", "literal");
    if (symlink("hello.txt", "root/link.txt") < 0 || symlink("../secret", "root/out") < 0 ||
        symlink("sub", "root/linked") < 0 || mkfifo("root/fifo", 0644) < 0)
        return -1;
    files = (struct files){.root_fd = asked_open_folder("root"),
                           .prefix = STR("/f/"),
                           .index = index_names,
                           .n_index = 2,
                           .is_following = true};
    return 0;
}

static int teardown(void **state)
{
    fd_close(&files.root_fd);
    return asked_leave_folder(state);
}

/* Asks for a path behind the prefix, still encoded. Returns the status */
static int ask(struct asked *a, const char *method, const char *rest, const char *fields)
{
    asked_init(a, method, fields);
    int rc = files_answer(&files, str_of(rest), NOW, &a->req, &a->res, &a->err);
    if (rc == 0)
        asked_read_body(a);
    else
        CHECK(a->res.kind == RESPONSE_NONE);
    return rc == 0 ? a->res.status : rc;
}

static int status_of(const char *rest)
{
    struct asked a;
    int status = ask(&a, "GET", rest, "");
    asked_fini(&a);
    return status;
}

static void expect_body(const char *rest, const char *body)
{
    struct asked a;
    check_context("%s", rest);
    CHECK_EQ(ask(&a, "GET", rest, ""), 200);
    CHECK_TEXT(a.body, body);
    asked_fini(&a);
}

/* ---- Paths ---- */

static void a_path_is_decoded_once_and_is_a_file(void **state)
{
    (void)state;
    expect_body("hello.txt", "hello");
    expect_body("hell%6F.txt", "hello");
    expect_body("sub/page.html", "page");
    expect_body("s%75b/page.html", "page");
    expect_body("a%20b&c.txt", "blank");
    expect_body("a%20b%26c.txt", "blank");
    expect_body("100%25", "percent");
    expect_body("%252e", "literal");
    if (asked_has_openat2()) {
        expect_body("link.txt", "hello");
        expect_body("linked/page.html", "page");
    }
}

static void what_is_no_path_is_not_found(void **state)
{
    (void)state;
    static const char *const rests[] = {
        "missing",
        "hello.txt/",
        "hello.txt/x",
        "sub//page.html",
        "/hello.txt",
        "//",
        "/",
        "sub//",
        "../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "sub/../hello.txt",
        "sub/%2E%2E/hello.txt",
        "./hello.txt",
        "sub/./page.html",
        "sub/.",
        "sub/..",
        "sub%2Fpage.html", /* the slash would cut a segment in two */
        "sub%2fpage.html",
        "sub%252Fpage.html",
        "sub%5Cpage.html",
        "hello.txt%00",
        "hello.txt%00.html",
        "hello%zz",
        "hello%",
        "%2Fetc/passwd",
        "hello.txt%2F",
        "out",
        "fifo",
        "linked/../hello.txt",
        ".env",
        "%2Eenv",
        ".git/config",
        ".git/",
        ".git",
        "sub/.hidden",
        "...",
    };
    for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++) {
        check_context("%s", rests[i]);
        CHECK_EQ(status_of(rests[i]), 404);
    }
}

static void a_path_of_any_length_is_only_too_long(void **state)
{
    (void)state;
    static char rest[200001];
    memset(rest, 'x', sizeof rest - 1);
    CHECK_EQ(status_of(rest), 404);
    for (size_t i = 1; i < sizeof rest - 1; i += 2)
        rest[i] = '/';
    CHECK_EQ(status_of(rest), 404);
}

static void dotfiles_exist_where_the_mount_says_so(void **state)
{
    (void)state;
    files.has_dotfiles = true;
    expect_body(".env", "hidden");
    expect_body(".git/config", "hidden");
    CHECK_EQ(status_of(".."), 404);
    CHECK_EQ(status_of("."), 404);
    CHECK_EQ(status_of("%2e%2e/secret"), 404);
    CHECK_EQ(status_of("sub/."), 404);
}

static void links_are_files_only_where_the_mount_says_so(void **state)
{
    (void)state;
    files.is_following = false;
    CHECK_EQ(status_of("link.txt"), 404);
    CHECK_EQ(status_of("linked/page.html"), 404);
    CHECK_EQ(status_of("linked"), 404);
    expect_body("hello.txt", "hello");
}

/* ---- Methods ---- */

static void head_is_get_without_more(void **state)
{
    (void)state;
    struct asked a;
    CHECK_EQ(ask(&a, "HEAD", "hello.txt", "Range: bytes=0-0\r\n"), 200);
    CHECK_EQ(a.res.body_len, 5); /* the connection sends the length and no octet */
    asked_fini(&a);
}

static void other_methods_are_not_allowed(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "get", "GETX", "PROPFIND"};
    struct asked a;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        CHECK_EQ(ask(&a, methods[i], "hello.txt", ""), 405);
        CHECK_TEXT(asked_field(&a, "Allow"), "GET, HEAD, OPTIONS");
        asked_fini(&a);
    }
    CHECK_EQ(ask(&a, "OPTIONS", "hello.txt", ""), 204);
    CHECK_TEXT(asked_field(&a, "Allow"), "GET, HEAD, OPTIONS");
    CHECK(a.res.kind == RESPONSE_EMPTY);
    asked_fini(&a);
}

/* ---- Folders ---- */

static void expect_redirect(const char *rest, const char *query, const char *location)
{
    struct asked a;
    check_context("%s", rest);
    asked_init(&a, "GET", "");
    if (query)
        a.req.query = str_of(query);
    CHECK_EQ(files_answer(&files, str_of(rest), NOW, &a.req, &a.res, &a.err), 0);
    CHECK_EQ(a.res.status, 301);
    CHECK_EQ(a.res.body_len, 0);
    CHECK_TEXT(asked_field(&a, "Location"), location);
    asked_fini(&a);
}

static void a_folder_without_its_slash_is_redirected(void **state)
{
    (void)state;
    CHECK_EQ(mkdir("root/a:b ä", 0755), 0);
    CHECK_EQ(mkdir("root/\\evil", 0755), 0);
    expect_redirect("sub", NULL, "/f/sub/");
    expect_redirect("s%75b", "a=b&c=/%2f?", "/f/sub/?a=b&c=/%2f?");
    expect_redirect("sub/deep", "", "/f/sub/deep/?");
    if (asked_has_openat2())
        expect_redirect("linked", NULL, "/f/linked/");
    expect_redirect("a:b%20%C3%A4", NULL, "/f/a%3Ab%20%C3%A4/");
    files.prefix = STR("/");
    expect_redirect("\\evil", NULL, "/%5Cevil/"); /* browsers take "/\" for "//" */
    expect_redirect("%5cevil", NULL, "/%5Cevil/");
    files.prefix = STR("/größe/");
    expect_redirect("sub", NULL, "/gr%C3%B6%C3%9Fe/sub/");
}

static void the_root_without_its_slash_is_redirected_too(void **state)
{
    (void)state;
    struct asked a;
    asked_init(&a, "HEAD", "");
    a.req.query = STR("q");
    CHECK_EQ(files_redirect(&files, &a.req, &a.res, &a.err), 0);
    CHECK_EQ(a.res.status, 301);
    CHECK_TEXT(asked_field(&a, "Location"), "/f/?q");
    asked_fini(&a);
    asked_init(&a, "POST", "");
    CHECK_EQ(files_redirect(&files, &a.req, &a.res, &a.err), 405);
    CHECK_TEXT(asked_field(&a, "Allow"), "GET, HEAD, OPTIONS");
    asked_fini(&a);
}

static void a_folder_is_its_first_index_file(void **state)
{
    (void)state;
    struct asked a;
    expect_body("sub/", "<p>sub");
    expect_body("sub/deep/", "deep"); /* the second name */
    expect_body("odd/", "odd");       /* a folder called index.html is none */
    CHECK_EQ(ask(&a, "GET", "sub/", ""), 200);
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/html; charset=utf-8", 24);
    asked_fini(&a);
    asked_write("root/index.html", "root");
    expect_body("", "root");
    files.n_index = 0;
    CHECK_EQ(status_of("sub/"), 403);
    expect_body("sub/index.html", "<p>sub");
}

static void a_folder_without_one_is_forbidden_unless_listed(void **state)
{
    (void)state;
    CHECK_EQ(status_of(""), 403);
    CHECK_EQ(status_of("bare/"), 403);
    CHECK_EQ(status_of("missing/"), 404);
    files.is_listed = true;
    struct asked a;
    CHECK_EQ(ask(&a, "GET", "", ""), 200);
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/html; charset=utf-8", 24);
    CHECK_HAS(a.body, "<title>Index of /f/</title>");
    CHECK_HAS(a.body, "<a href=\"hello.txt\">hello.txt</a></td><td align=\"right\">5</td>");
    CHECK_HAS(a.body, "<a href=\"a%20b%26c.txt\">a b&amp;c.txt</a>");
    CHECK_HAS(a.body, "<a href=\"sub/\">sub/</a>");
    CHECK_HAS_NOT(a.body, "href=\"../\"");
    CHECK_HAS_NOT(a.body, ".env");
    CHECK_HAS_NOT(a.body, "fifo");
    asked_fini(&a);
    CHECK_EQ(ask(&a, "HEAD", "bare/", ""), 200);
    CHECK_HAS(a.body, "<title>Index of /f/bare/</title>");
    CHECK_HAS(a.body, "href=\"../\"");
    asked_fini(&a);
    expect_body("sub/", "<p>sub");
    CHECK_EQ(status_of("missing/"), 404);
    CHECK_EQ(status_of("hello.txt/"), 404);
}

/* ---- Codings ---- */

static void write_siblings(void)
{
    asked_write("root/app.js", "original");
    asked_write("root/app.js.br", "brotli");
    asked_write("root/app.js.gz", "gzipped");
    asked_touch("root/app.js", 1600000000, 500);
    asked_touch("root/app.js.br", 1600000000, 500); /* as old: as brotli(1) and gzip -k leave it */
    asked_touch("root/app.js.gz", 1600000001, 0);
    files.is_br = files.is_gzip = true;
}

static void expect_coding(const char *accepted, const char *body, const char *coding,
                          const char *vary)
{
    struct asked a;
    char fields[200];
    (void)snprintf(fields, sizeof fields, accepted[0] ? "Accept-Encoding: %s\r\n" : "%s", accepted);
    check_context("Accept-Encoding: %s", accepted);
    CHECK_EQ(ask(&a, "GET", "app.js", fields), 200);
    CHECK_TEXT(a.body, body);
    CHECK_TEXT(asked_field(&a, "Content-Encoding"), coding);
    CHECK_TEXT(asked_field(&a, "Vary"), vary);
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/javascript; charset=utf-8", 30);
    asked_fini(&a);
}

static void a_compressed_sibling_is_sent_to_who_prefers_it(void **state)
{
    (void)state;
    static const struct {
        const char *accepted;
        const char *coding; /* "" none */
    } rows[] = {
        {"", ""},
        {"br, gzip", "br"},
        {"gzip, deflate, br, zstd", "br"},
        {"gzip", "gzip"},
        {"gzip;q=0.9, br;q=0.8", "gzip"},
        {"*", "br"},
        {"br;q=0, *", "gzip"},
        {"deflate", ""},
        {"identity", ""},
        {"br;q=0, gzip;q=0", ""},
        {"identity;q=0, br;q=0, gzip;q=0", ""}, /* better than nothing */
        {"x-gzip", "gzip"},
        {"br;q=0.5, identity;q=0.9", ""},
        {"gzip\r\nX: y\r\nAccept-Encoding: br", "br"}, /* two lines are one list */
    };
    write_siblings();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_coding(rows[i].accepted,
                      rows[i].coding[0] == 'b'   ? "brotli"
                      : rows[i].coding[0] == 'g' ? "gzipped"
                                                 : "original",
                      rows[i].coding, "Accept-Encoding");
}

static void a_sibling_that_is_older_or_no_file_does_not_count(void **state)
{
    (void)state;
    write_siblings();
    asked_touch("root/app.js.br", 1600000000, 499);
    expect_coding("br, gzip", "gzipped", "gzip", "Accept-Encoding");
    CHECK_EQ(unlink("root/app.js.gz"), 0);
    CHECK_EQ(mkdir("root/app.js.gz", 0755), 0);
    expect_coding("br, gzip", "original", "", ""); /* both were looked at: nothing varies */
    CHECK_EQ(rmdir("root/app.js.gz"), 0);
    CHECK_EQ(mkfifo("root/app.js.gz", 0644), 0);
    expect_coding("gzip", "original", "", "Accept-Encoding"); /* who knows about br */
    CHECK_EQ(unlink("root/app.js.gz"), 0);
    CHECK_EQ(symlink("../secret", "root/app.js.gz"), 0);
    expect_coding("br, gzip", "original", "", "");
}

static void siblings_count_only_where_the_mount_says_so(void **state)
{
    (void)state;
    write_siblings();
    files.is_br = false;
    expect_coding("br, gzip", "gzipped", "gzip", "Accept-Encoding");
    files.is_gzip = false;
    expect_coding("br, gzip", "original", "", "");
}

static void a_sibling_has_a_tag_of_its_own_and_ranges_of_its_own(void **state)
{
    (void)state;
    struct asked a;
    char tags[2][128];
    char fields[300];
    write_siblings();
    CHECK_EQ(unlink("root/app.js.br"), 0);
    CHECK_EQ(link("root/app.js", "root/app.js.br"), 0); /* even if it is the same file */
    CHECK_EQ(ask(&a, "GET", "app.js", ""), 200);
    (void)snprintf(tags[0], sizeof tags[0], "%s", asked_field(&a, "ETag"));
    asked_fini(&a);
    CHECK_EQ(ask(&a, "GET", "app.js", "Accept-Encoding: br\r\n"), 200);
    (void)snprintf(tags[1], sizeof tags[1], "%s", asked_field(&a, "ETag"));
    asked_fini(&a);
    CHECK(strcmp(tags[0], tags[1]) != 0);
    (void)snprintf(fields, sizeof fields, "If-None-Match: %s\r\nAccept-Encoding: br\r\n", tags[0]);
    CHECK_EQ(ask(&a, "GET", "app.js", fields), 200);
    asked_fini(&a);
    (void)snprintf(fields, sizeof fields, "If-None-Match: %s\r\nAccept-Encoding: br\r\n", tags[1]);
    CHECK_EQ(ask(&a, "GET", "app.js", fields), 304);
    CHECK_TEXT(asked_field(&a, "Vary"), "Accept-Encoding");
    CHECK_TEXT(asked_field(&a, "Content-Encoding"), "");
    asked_fini(&a);
    CHECK_EQ(ask(&a, "GET", "app.js", "Range: bytes=0-2\r\nAccept-Encoding: gzip\r\n"), 206);
    CHECK_TEXT(a.body, "gzi");
    CHECK_TEXT(asked_field(&a, "Content-Range"), "bytes 0-2/7");
    CHECK_TEXT(asked_field(&a, "Content-Encoding"), "gzip");
    asked_fini(&a);
}

static void an_index_file_has_siblings_too(void **state)
{
    (void)state;
    struct asked a;
    asked_write("root/sub/index.html.gz", "packed");
    files.is_gzip = true;
    CHECK_EQ(ask(&a, "GET", "sub/", "Accept-Encoding: gzip\r\n"), 200);
    CHECK_TEXT(a.body, "packed");
    CHECK_BYTES(a.res.type.p, a.res.type.len, "text/html; charset=utf-8", 24);
    asked_fini(&a);
}

/* ---- What fails ---- */

/* The file system's user is the thread's own on Linux, so only this thread gives up privileges. */
static void *ask_as_nobody(void *arg)
{
    int *statuses = arg;
    (void)setfsuid(65534);
    statuses[0] = status_of("closed.txt");
    statuses[1] = status_of("locked/file.txt");
    statuses[2] = status_of("locked/");
    statuses[3] = status_of("hello.txt");
    return NULL;
}

static void what_may_not_be_read_is_forbidden(void **state)
{
    (void)state;
    pthread_t thread;
    int statuses[4] = {0};
    asked_write("root/closed.txt", "closed");
    CHECK_EQ(mkdir("root/locked", 0755), 0);
    asked_write("root/locked/file.txt", "locked");
    CHECK(chmod("root/closed.txt", 0) == 0 && chmod("root/locked", 0) == 0);
    CHECK_EQ(pthread_create(&thread, NULL, ask_as_nobody, statuses), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(chmod("root/locked", 0755) == 0);
    CHECK_EQ(statuses[0], 403);
    CHECK_EQ(statuses[1], 403);
    CHECK_EQ(statuses[2], 403);
    CHECK_EQ(statuses[3], 200);
}

static void too_many_open_files_is_unavailable_with_a_reason(void **state)
{
    (void)state;
    struct rlimit old;
    struct rlimit none;
    struct asked a;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int status = ask(&a, "GET", "hello.txt", "");
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(status, 503);
    CHECK_EQ(a.err.code, EMFILE);
    CHECK_HAS(a.err.text, "Too many open files");
    CHECK_EQ(asked_count_fields(&a), 0);
    asked_fini(&a);
    CHECK_EQ(status_of("hello.txt"), 200);
}

static void what_is_not_found_is_no_news_for_the_log(void **state)
{
    (void)state;
    struct asked a;
    a.err.code = 1;
    CHECK_EQ(ask(&a, "GET", "missing", ""), 404);
    CHECK_EQ(a.err.code, 0);
    asked_fini(&a);
}

static void no_descriptor_is_left_open(void **state)
{
    (void)state;
    static const char *const rests[] = {"hello.txt", "sub",  "sub/", "missing", "fifo",
                                        "bare/",     "odd/", "out",  "app.js",  "hello.txt/"};
    write_siblings();
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd_close(&(int){before});
    for (int listed = 0; listed < 2; listed++) {
        files.is_listed = listed;
        for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++) {
            struct asked a;
            check_context("%s", rests[i]);
            (void)ask(&a, "GET", rests[i], "Accept-Encoding: br, gzip\r\nIf-Match: \"x\"\r\n");
            asked_fini(&a);
            (void)ask(&a, "GET", rests[i], "Accept-Encoding: br, gzip\r\nIf-None-Match: *\r\n");
            asked_fini(&a);
            (void)ask(&a, "GET", rests[i], "Range: bytes=100-\r\n");
            asked_fini(&a);
            int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
            fd_close(&(int){after});
            CHECK_EQ(after, before);
        }
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_path_is_decoded_once_and_is_a_file),
        IN_FOLDER(what_is_no_path_is_not_found),
        IN_FOLDER(a_path_of_any_length_is_only_too_long),
        IN_FOLDER(dotfiles_exist_where_the_mount_says_so),
        IN_FOLDER(links_are_files_only_where_the_mount_says_so),
        IN_FOLDER(head_is_get_without_more),
        IN_FOLDER(other_methods_are_not_allowed),
        IN_FOLDER(a_folder_without_its_slash_is_redirected),
        IN_FOLDER(the_root_without_its_slash_is_redirected_too),
        IN_FOLDER(a_folder_is_its_first_index_file),
        IN_FOLDER(a_folder_without_one_is_forbidden_unless_listed),
        IN_FOLDER(a_compressed_sibling_is_sent_to_who_prefers_it),
        IN_FOLDER(a_sibling_that_is_older_or_no_file_does_not_count),
        IN_FOLDER(siblings_count_only_where_the_mount_says_so),
        IN_FOLDER(a_sibling_has_a_tag_of_its_own_and_ranges_of_its_own),
        IN_FOLDER(an_index_file_has_siblings_too),
        IN_FOLDER(what_may_not_be_read_is_forbidden),
        IN_FOLDER(too_many_open_files_is_unavailable_with_a_reason),
        IN_FOLDER(what_is_not_found_is_no_news_for_the_log),
        IN_FOLDER(no_descriptor_is_left_open),
    };
    return cmocka_run_group_tests_name("http/files", tests, NULL, NULL);
}
