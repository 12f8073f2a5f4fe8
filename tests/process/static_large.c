/* Large files: they are sent as the client takes them, without the worker's memory, while others
 * are served; and a file that changes under way never breaks the framing. And files that handlers
 * answer with. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"
#include "tests/harness/site.h"

#define FILES_SO REMUDA_TEST_APPS_DIR "/files.so"
#define LARGE (24U << 20) /* octets: far above what the sockets' buffers take */

static struct reply r;
static char *octets; /* of the file */

/* Serves public/large, and has a client that takes little at a time. */
static struct server *start(struct client **out_client)
{
    struct server *s = site_new();
    free(octets);
    octets = post_make(LARGE);
    site_write(s, "large", octets, LARGE);
    site_launch(s, REMUDA_DEMO_SO, NULL);
    *out_client = client_to(s);
    client_shrink(*out_client);
    return s;
}

/* Takes what comes until it is n octets, which must be those of the file from `at` on. With is_cut
 * the connection may end before that, and the octets may be others: sendfile(2) copies nothing, so
 * pages that the socket holds change with the file. Returns how many came */
static size_t take(struct client *c, size_t at, size_t n, bool is_cut)
{
    size_t taken = 0;
    while (taken < n) {
        if (is_cut && c->in.len == 0 && !client_wait(c))
            break;
        client_read_raw(c, 1);
        size_t piece = c->in.len < n - taken ? c->in.len : n - taken;
        if (!is_cut)
            CHECK_BYTES(c->in.data, piece, octets + at + taken, piece);
        taken += piece;
        buf_consume(&c->in, piece);
        c->in.data[c->in.len] = '\0';
    }
    return taken;
}

static void ask(struct client *c, const char *fields)
{
    char request[256];
    (void)snprintf(request, sizeof request, "GET /files/large HTTP/1.1\r\nHost: a\r\n%s\r\n",
                   fields);
    client_send_text(c, request);
    client_read_head(c, &r);
}

static void slow_reader_gets_all_of_it_and_costs_no_memory(void **state)
{
    (void)state;
    struct client *c;
    struct server *s = start(&c);
    pid_t pid = server_worker_pid(s, 0);
    free(client_get(s, "/files/hello.txt", 200));
    unsigned long before = procs_memory_kib(pid, "RssAnon");
    ask(c, "");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(reply_field(&r, "Content-Length"), "25165824");
    for (size_t at = 0; at < LARGE; at += LARGE / 8) {
        CHECK_EQ(take(c, at, LARGE / 8, false), LARGE / 8);
        free(client_get(s, "/files/hello.txt", 200));
        CHECK(procs_memory_kib(pid, "RssAnon") < before + 4096 * patience_factor());
    }
    client_exchange(c, &r, "GET /files/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "hello");
}

static void parts_of_it_are_where_they_should_be(void **state)
{
    (void)state;
    struct client *c;
    (void)start(&c);
    ask(c, "Range: bytes=1000001-20000000\r\n");
    CHECK_EQ(r.status, 206);
    CHECK_TEXT(reply_field(&r, "Content-Range"), "bytes 1000001-20000000/25165824");
    CHECK_EQ(take(c, 1000001, 19000000, false), 19000000);
    ask(c, "Range: bytes=0-999999, 5000000-14999999\r\n");
    CHECK_EQ(r.status, 206);
    static const struct {
        size_t at, n;
        const char *line;
    } parts[] = {{0, 1000000, "Content-Range: bytes 0-999999/25165824\r\n"},
                 {5000000, 10000000, "Content-Range: bytes 5000000-14999999/25165824\r\n"}};
    for (size_t i = 0; i < 2; i++) {
        char line[256] = "";
        bool has_range = false;
        for (int lines = 0; strcmp(line, "\r\n") != 0 || lines < 3; lines++) {
            client_read_line(c, line, sizeof line);
            has_range = has_range || strcmp(line, parts[i].line) == 0;
            CHECK(lines < 8);
        }
        CHECK(has_range);
        CHECK_EQ(take(c, parts[i].at, parts[i].n, false), parts[i].n);
    }
    char line[256];
    client_read_line(c, line, sizeof line); /* the CRLF in front of the last boundary */
    client_read_line(c, line, sizeof line);
    CHECK_HAS(line, "--\r\n");
}

/* What was opened is what is sent, whatever has the name by now. */
static void file_that_is_replaced_is_sent_as_it_was(void **state)
{
    (void)state;
    struct client *c;
    struct server *s = start(&c);
    ask(c, "");
    CHECK_EQ(take(c, 0, 100000, false), 100000);
    site_write(s, "new", "new", 3);
    CHECK(rename(server_path(s, "public/new"), server_path(s, "public/large")) == 0);
    char *body = client_get(s, "/files/large", 200);
    CHECK_TEXT(body, "new");
    free(body);
    CHECK_EQ(take(c, 100000, LARGE - 100000, false), LARGE - 100000);
}

/* More octets than promised can't be sent, fewer only by cutting the connection. */
static void file_that_is_truncated_cuts_the_connection(void **state)
{
    (void)state;
    struct client *c;
    struct server *s = start(&c);
    pid_t pid = server_worker_pid(s, 0);
    ask(c, "");
    CHECK_EQ(take(c, 0, 100000, false), 100000);
    CHECK(truncate(server_path(s, "public/large"), 200000) == 0);
    CHECK(take(c, 100000, LARGE - 100000, true) < LARGE - 100000);
    char *body = client_get(s, "/files/hello.txt", 200);
    CHECK_TEXT(body, "hello");
    free(body);
    CHECK_EQ(server_worker_pid(s, 0), pid);
}

static void file_that_grows_is_sent_as_long_as_it_was(void **state)
{
    (void)state;
    struct client *c;
    struct server *s = start(&c);
    ask(c, "");
    int fd = open(server_path(s, "public/large"), O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK(fd >= 0 && write(fd, octets, 100000) == 100000 && close(fd) == 0);
    CHECK_EQ(take(c, 0, LARGE, false), LARGE);
    client_exchange(c, &r, "GET /files/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "hello");
}

static void client_that_leaves_takes_its_descriptors_along(void **state)
{
    (void)state;
    struct client *c;
    struct server *s = start(&c);
    pid_t pid = server_worker_pid(s, 0);
    ask(c, "");
    CHECK_EQ(procs_fd_count_like(pid, "public/large"), 1);
    for (int i = 0; i < 10; i++) {
        struct client *other = client_to(s);
        client_shrink(other);
        ask(other, i % 3 ? "" : "Range: bytes=0-9,100-25000000\r\n");
        if (i % 2)
            client_abort(other);
        else
            client_close(other);
    }
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count_like(pid, "public/large") > 1)
        CHECK_SAYING(patience_turn(deadline), "%zu are still open",
                     procs_fd_count_like(pid, "public/large"));
    CHECK_EQ(take(c, 0, LARGE, false), LARGE);
    deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count_like(pid, "public/large") > 0)
        CHECK(patience_turn(deadline));
}

static void handlers_answer_with_files(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fields, *body; /* NULL: any */
        int status;
    } rows[] = {
        {"GET /path/hello.txt", "", "hello", 200},
        {"HEAD /path/hello.txt", "", "", 200},
        {"GET /path/hello.txt", "Range: bytes=-2\r\n", "lo", 206},
        {"GET /path/hello.txt", "If-None-Match: *\r\n", "", 304},
        {"POST /path/hello.txt", "", NULL, 405},
        {"GET /path/sub", "", NULL, 404},
        {"GET /path/sub/index.html", "", "<p>sub", 200},
        {"GET /path/..%2fsecret", "", NULL, 404}, /* a parameter's slash is a slash */
        {"GET /path/sub%2f..%2f..%2fsecret", "", NULL, 404},
        {"GET /path/%2fetc%2fpasswd", "", NULL, 404},
        {"GET /path/sub%2findex.html", "", "<p>sub", 200},
        {"GET /path/out", "", NULL, 404},
        {"GET /path/.env", "", NULL, 404},
        {"GET /path/fifo", "", NULL, 404},
        {"GET /path/", "", NULL, 404},
        {"GET /descriptor", "", "descriptor", 200},
        {"GET /descriptor", "Range: bytes=0-3\r\n", "desc", 206},
        {"HEAD /descriptor", "", "", 200},
    };
    struct server *s = site_new();
    char setting[300];
    (void)snprintf(setting, sizeof setting, "app_config.folder=%s", server_path(s, "public"));
    const char *args[] = {"run", FILES_SO, "--bind", "127.0.0.1:0", "--workers",
                          "1",   "--set",  setting,  NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    size_t before = procs_fd_count(server_worker_pid(s, 0));
    struct client *c = client_to(s);
    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            char request[256];
            check_context("%s %s", rows[i].line, rows[i].fields);
            (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n",
                           rows[i].line, rows[i].fields);
            client_exchange(c, &r, request);
            CHECK_EQ(r.status, rows[i].status);
            if (rows[i].body)
                CHECK_TEXT(r.body.data, rows[i].body);
        }
    client_exchange(c, &r, "GET /path/in HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, site_follows_links() ? 200 : 404);
    client_exchange(c, &r, "GET /bad-descriptor HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(r.status >= 400);
    client_close(c);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(server_worker_pid(s, 0)) > before)
        CHECK_SAYING(patience_turn(deadline), "descriptors stay open");
}

SERVER_MAIN(SERVER_TEST(slow_reader_gets_all_of_it_and_costs_no_memory),
            SERVER_TEST(parts_of_it_are_where_they_should_be),
            SERVER_TEST(file_that_is_replaced_is_sent_as_it_was),
            SERVER_TEST(file_that_is_truncated_cuts_the_connection),
            SERVER_TEST(file_that_grows_is_sent_as_long_as_it_was),
            SERVER_TEST(client_that_leaves_takes_its_descriptors_along),
            SERVER_TEST(handlers_answer_with_files))
