/* workers/app_files.c: answers from files by remuda.h, and what never is one: other folders,
 * descriptors of other things. And who asked for what: rmd_host(), rmd_scheme(). */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/unit/workers/calls.h"

static char folder[64]; /* holds "root" and things beside it */
static const char *root;
static const char *path; /* of the next answer; NULL: the parameter "rest" */
static const char *type;
static int fd; /* of the next answer */

static void send_file(rmd_request *req, rmd_response *res)
{
    rmd_send_file(req, res, root, path ? path : rmd_param(req, "rest"));
}

static void send_fd(rmd_request *req, rmd_response *res)
{
    rmd_send_fd(req, res, type, fd);
}

static void who(rmd_request *req, rmd_response *res)
{
    rmd_text(res, 200, "%s %s", rmd_scheme(req), rmd_host(req));
}

static const rmd_route routes[] = {{.method = "*", .pattern = "/files/*rest", .handler = send_file},
                                   {.method = "*", .pattern = "/path", .handler = send_file},
                                   {.method = "*", .pattern = "/fd", .handler = send_fd},
                                   {.method = "*", .pattern = "/who", .handler = who},
                                   {0}};
static const rmd_app app = CALLS_APP(.routes = routes);

static void write_file(const char *name, const char *data, size_t len)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", folder, name);
    int out = open(full, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(out >= 0 && write(out, data, len) == (ssize_t)len && close(out) == 0);
}

static char octets[200000];

static int setup(void **state)
{
    (void)state;
    static char root_path[128];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (char)('a' + i % 23);
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-files-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(root_path, sizeof root_path, "%s/root", folder);
    root = root_path;
    path = type = NULL;
    fd = -1;
    CHECK(mkdir(root, 0755) == 0);
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(at >= 0 && mkdirat(at, "root/sub", 0755) == 0 && mkdirat(at, "root/.git", 0755) == 0);
    write_file("secret", "outside", 7);
    write_file("root/a.txt", "content", 7);
    write_file("root/a b%.html", "blank", 5);
    write_file("root/sub/b.css", "below", 5);
    write_file("root/.env", "hidden", 6);
    write_file("root/.git/config", "hidden", 6);
    write_file("root/large.bin", octets, sizeof octets);
    write_file("root/zip.js", "plain", 5);
    write_file("root/zip.js.gz", "packed", 6);
    CHECK(symlinkat("../secret", at, "root/out") == 0);
    CHECK(symlinkat("..", at, "root/up") == 0);
    CHECK(mkfifoat(at, "root/fifo", 0644) == 0);
    CHECK(close(at) == 0);
    calls_open(&app);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(name);
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned count_fds(void)
{
    DIR *fds = opendir("/proc/self/fd");
    unsigned n = 0;
    CHECK(fds != NULL);
    while (readdir(fds))
        n++;
    (void)closedir(fds);
    return n;
}

/* ---- files of a folder ---- */

static void a_file_beneath_the_folder_is_sent(void **state)
{
    (void)state;
    static const struct {
        const char *target, *body, *type;
    } rows[] = {
        {"/files/a.txt", "content", "text/plain"},
        {"/files/%61.txt", "content", "text/plain"},
        {"/files/sub/b.css", "below", "text/css"},
        {"/files/sub/../a.txt", "content", "text/plain"}, /* resolved before the route */
        {"/files/a%20b%25.html", "blank", "text/html"},
        {"/files/a.txt?query", "content", "text/plain"},
    };
    (void)calls_get("/files/a.txt"); /* the box of this process is open from now on */
    unsigned fds = count_fds();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].target);
        CHECK_EQ(calls_get(rows[i].target), 200);
        CHECK_TEXT(calls_text(), rows[i].body);
        CHECK(strncmp(calls_field("Content-Type"), rows[i].type, strlen(rows[i].type)) == 0);
        CHECK(calls_field("ETag") != NULL && calls_field("Last-Modified") != NULL);
        CHECK_TEXT(calls_field("Accept-Ranges"), "bytes");
        CHECK_EQ(calls_send_request("HEAD", rows[i].target, "", NULL), 200);
        CHECK_EQ(calls_body.len, 0);
        CHECK_EQ(atoi(calls_field("Content-Length")), strlen(rows[i].body));
    }
    CHECK_EQ(calls_get("/files/large.bin"), 200);
    CHECK_BYTES(calls_body.data, calls_body.len, octets, sizeof octets);
    CHECK_EQ(count_fds(), fds);
    CHECK_TEXT(calls_log(), "");
}

static void what_is_no_file_beneath_the_folder_is_not_found(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/files/missing",
        "/files/",
        "/files/sub",
        "/files/sub/",
        "/files/a.txt/",
        "/files/a.txt/x",
        "/files/.env",
        "/files/.git/config",
        "/files/out",
        "/files/up/secret",
        "/files/fifo",
        "/files/%2e%2e/secret",
        "/files/..%2fsecret",
        "/files/..%2Fsecret",
        "/files/sub%2f..%2f..%2fsecret",
        "/files/%2fetc%2fpasswd",
        "/files//etc/passwd",
        "/files/a.txt%00",
        "/files/%00",
        "/files/..",
        "/files/.",
        "/files/sub//b.css",
        "/files/%252e%252e/secret",
        "/files/..\\secret",
    };
    (void)calls_get("/files/a.txt");
    unsigned fds = count_fds();
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        check_context("%s", targets[i]);
        int status = calls_get(targets[i]);
        CHECK(status == 404 || (status == 400 && strpbrk(targets[i], "%\\")));
        CHECK_HAS_NOT(calls_text(), "outside");
        CHECK_HAS_NOT(calls_text(), "hidden");
    }
    static const char *const paths[] = {"../secret",
                                        "/etc/passwd",
                                        "",
                                        "/",
                                        ".",
                                        "..",
                                        "sub/../a.txt",
                                        "sub/../../secret",
                                        "./a.txt",
                                        "up/root/a.txt",
                                        "sub//b.css",
                                        "%61.txt"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        check_context("path %s", paths[i]); /* made by the application */
        path = paths[i];
        CHECK_EQ(calls_get("/path"), 404);
    }
    static char longest[6000];
    memset(longest, 'x', sizeof longest - 1);
    path = longest;
    CHECK_EQ(calls_get("/path"), 404);
    for (size_t i = 1; i < sizeof longest - 1; i += 2)
        longest[i] = '/';
    CHECK_EQ(calls_get("/path"), 404);
    path = NULL;
    CHECK_EQ(calls_get("/path"), 404); /* no such parameter */
    CHECK_EQ(count_fds(), fds);
    CHECK_TEXT(calls_log(), ""); /* a client's mistake is nobody else's news */
}

static void a_path_that_the_app_made_is_not_decoded_again(void **state)
{
    (void)state;
    path = "a b%.html";
    CHECK_EQ(calls_get("/path"), 200);
    CHECK_TEXT(calls_text(), "blank");
    path = "a%20b%25.html";
    CHECK_EQ(calls_get("/path"), 404);
}

static void files_are_for_get_and_head(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH"};
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(calls_send_request(methods[i], "/files/a.txt", "", "body"), 405);
        CHECK_HAS(calls_field("Allow"), "GET");
        CHECK_HAS(calls_field("Allow"), "HEAD");
        CHECK_HAS_NOT(calls_text(), "content");
    }
}

static void a_file_has_validators_and_parts(void **state)
{
    (void)state;
    char fields[256];
    CHECK_EQ(calls_get("/files/a.txt"), 200);
    (void)snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", calls_field("ETag"));
    CHECK_EQ(calls_send_request("GET", "/files/a.txt", fields, NULL), 304);
    CHECK_EQ(calls_body.len, 0);
    CHECK_EQ(calls_send_request("GET", "/files/a.txt", "If-Match: \"other\"\r\n", NULL), 412);
    CHECK_EQ(calls_send_request("GET", "/files/a.txt", "Range: bytes=3-\r\n", NULL), 206);
    CHECK_TEXT(calls_text(), "tent");
    CHECK_EQ(calls_send_request("GET", "/files/a.txt", "Range: bytes=7-\r\n", NULL), 416);
    CHECK_TEXT(calls_field("Content-Range"), "bytes */7");
    CHECK_EQ(calls_send_request("GET", "/files/large.bin", "Range: bytes=100000-\r\n", NULL), 206);
    CHECK_BYTES(calls_body.data, calls_body.len, octets + 100000, sizeof octets - 100000);
    CHECK_EQ(calls_send_request("GET", "/files/large.bin", "Range: bytes=0-0,100000-\r\n", NULL),
             206);
    CHECK(memmem(calls_body.data, calls_body.len, octets + 100000, sizeof octets - 100000));
}

static void a_packed_sibling_is_sent_to_who_prefers_it(void **state)
{
    (void)state;
    CHECK_EQ(calls_get("/files/zip.js"), 200);
    CHECK_TEXT(calls_text(), "plain");
    CHECK_TEXT(calls_field("Vary"), "Accept-Encoding");
    CHECK_EQ(calls_send_request("GET", "/files/zip.js", "Accept-Encoding: gzip\r\n", NULL), 200);
    CHECK_TEXT(calls_text(), "packed");
    CHECK_TEXT(calls_field("Content-Encoding"), "gzip");
    CHECK_HAS(calls_field("Content-Type"), "javascript");
}

static void a_folder_that_is_not_there_is_the_servers_trouble(void **state)
{
    (void)state;
    char missing[128];
    unsigned fds;
    (void)calls_get("/files/a.txt");
    fds = count_fds();
    (void)snprintf(missing, sizeof missing, "%s/nowhere", folder);
    static const char *last = "/a.txt";
    const char *const roots[] = {missing, "/dev/null", ""};
    for (size_t i = 0; i < 3; i++) {
        root = roots[i];
        (void)calls_log();
        CHECK_EQ(calls_get("/files/a.txt"), 500);
        const char *log = calls_log();
        CHECK_HAS(log, "can't open the folder");
        CHECK_HAS(log, last);
    }
    CHECK_EQ(count_fds(), fds);
}

/* ---- descriptors ---- */

static int open_file(const char *data, size_t len)
{
    int file = memfd_create("file", MFD_CLOEXEC);
    CHECK(file >= 0 && write(file, data, len) == (ssize_t)len); /* and so it stands at the end */
    return file;
}

static void an_open_file_is_sent_from_its_beginning(void **state)
{
    (void)state;
    (void)calls_get("/who");
    unsigned fds = count_fds();
    static const size_t lengths[] = {0, 1, 16384, 16385, sizeof octets};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        check_context("%zu octets", lengths[i]);
        type = "text/x-file";
        fd = open_file(octets, lengths[i]);
        CHECK_EQ(calls_get("/fd"), 200);
        CHECK_BYTES(calls_body.data, calls_body.len, octets, lengths[i]);
        CHECK_TEXT(calls_field("Content-Type"), "text/x-file");
        CHECK_EQ(strtoul(calls_field("Content-Length"), NULL, 10), lengths[i]);
        CHECK(calls_field("ETag") != NULL);
        fd = open_file(octets, lengths[i]);
        CHECK_EQ(calls_send_request("HEAD", "/fd", "", NULL), 200);
        CHECK_EQ(calls_body.len, 0);
        CHECK_EQ(strtoul(calls_field("Content-Length"), NULL, 10), lengths[i]);
        type = NULL;
        fd = open_file(octets, lengths[i]);
        CHECK_EQ(calls_get("/fd"), 200);
        CHECK(calls_field("Content-Type") == NULL);
        CHECK_EQ(count_fds(), fds);
    }
    fd = open_file("0123456789", 10);
    CHECK_EQ(calls_send_request("GET", "/fd", "Range: bytes=2-4\r\n", NULL), 206);
    CHECK_TEXT(calls_text(), "234");
    fd = open_file("0123456789", 10);
    CHECK_EQ(calls_send_request("GET", "/fd", "Range: bytes=10-\r\n", NULL), 416);
    fd = open_file("0123456789", 10);
    CHECK_EQ(calls_send_request("GET", "/fd", "If-Match: \"other\"\r\n", NULL), 412);
    fd = open_file("0123456789", 10);
    CHECK_EQ(calls_send_request("GET", "/fd", "If-None-Match: *\r\n", NULL), 304);
    CHECK_EQ(count_fds(), fds);
    CHECK_TEXT(calls_log(), "");
}

static void a_descriptor_of_something_else_is_closed_and_a_mistake(void **state)
{
    (void)state;
    (void)calls_get("/who");
    unsigned fds = count_fds();
    for (int i = 0; i < 5; i++) {
        check_context("case %d", i);
        int pair[2] = {-1, -1};
        type = i == 4 ? "text/plain\r\nX: y" : "text/plain";
        if (i == 0)
            CHECK(pipe(pair) == 0);
        else if (i == 1)
            CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        else if (i == 2)
            pair[0] = open(folder, O_RDONLY | O_DIRECTORY);
        else if (i == 4)
            pair[0] = open_file("octets", 6);
        fd = pair[0]; /* 3: -1 */
        (void)calls_log();
        CHECK_EQ(calls_get("/fd"), 500);
        CHECK(calls_field("X") == NULL);
        CHECK_HAS(calls_log(), "can't send a file");
        fd_close(&pair[1]);
        CHECK_EQ(count_fds(), fds);
    }
}

/* ---- who is asked ---- */

static void expect_who(const char *octets_in, int status, const char *text)
{
    check_context("%s", octets_in);
    CHECK_EQ(calls_send(octets_in, strlen(octets_in)), status);
    CHECK_TEXT(calls_text(), text);
}

static void the_host_is_what_the_client_asked_for(void **state)
{
    (void)state;
    expect_who("GET /who HTTP/1.1\r\nHost: www.example.org\r\n\r\n", 200, "http www.example.org");
    expect_who("GET /who HTTP/1.1\r\nHost: localhost:8000\r\n\r\n", 200, "http localhost:8000");
    expect_who("GET /who HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200, "http [::1]:8000");
    expect_who("GET http://example.org/who HTTP/1.1\r\nHost: example.org\r\n\r\n", 200,
               "http example.org");
    expect_who("GET http://example.org/who HTTP/1.0\r\n\r\n", 200, "http example.org");
    expect_who("GET /who HTTP/1.0\r\n\r\n", 200, "http ");
    /* from nobody who is trusted */
    expect_who("GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n"
               "X-Forwarded-Host: b\r\nForwarded: proto=https;host=c\r\n\r\n",
               200, "http a");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_beneath_the_folder_is_sent),
        TEST(what_is_no_file_beneath_the_folder_is_not_found),
        TEST(a_path_that_the_app_made_is_not_decoded_again),
        TEST(files_are_for_get_and_head),
        TEST(a_file_has_validators_and_parts),
        TEST(a_packed_sibling_is_sent_to_who_prefers_it),
        TEST(a_folder_that_is_not_there_is_the_servers_trouble),
        TEST(an_open_file_is_sent_from_its_beginning),
        TEST(a_descriptor_of_something_else_is_closed_and_a_mistake),
        TEST(the_host_is_what_the_client_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
