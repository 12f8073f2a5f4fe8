/* Paths that try to leave the folder of a mount, as octets on the wire; and things in the folder
 * that are no files to send. Whatever comes back, it is not what lies outside. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"
#include "tests/harness/site.h"

static struct reply r;

static struct server *start(const char *yaml)
{
    struct server *s = site_new();
    site_launch(s, REMUDA_DEMO_SO, yaml);
    return s;
}

/* target: as it is on the wire, with its length, since it may hold NUL */
static void ask(struct server *s, const char *target, size_t len)
{
    struct buf request = {0};
    struct client *c = client_to(s);
    check_context("%.*s", (int)(len < 100 ? len : 100), target);
    CHECK(buf_printf(&request, "GET ") == 0);
    CHECK(buf_append(&request, target, len) == 0);
    CHECK(buf_printf(&request, " HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
    CHECK(client_send(c, request.data, request.len));
    client_read(c, &r, false);
    CHECK_HAS_NOT(r.body.data, SITE_SECRET);
    CHECK_HAS_NOT(r.body.data, "root:");
    buf_fini(&request);
    client_close(c);
}

struct target {
    const char *octets;
    size_t len;
    int status;
};
#define TARGET(octets, status)                                                                     \
    {                                                                                              \
        octets, sizeof octets - 1, status                                                          \
    }

static const struct target targets[] = {
    TARGET("/files/../secret", 404),
    TARGET("/files/../../../../../../../../etc/passwd", 404),
    TARGET("/files/sub/../../secret", 404),
    TARGET("/files/%2e%2e/secret", 404),
    TARGET("/files/%2E%2E/secret", 404),
    TARGET("/files/.%2e/secret", 404),
    TARGET("/files/%2e./secret", 404),
    TARGET("/files/..%2fsecret", 404),
    TARGET("/files/%2e%2e%2fsecret", 404),
    TARGET("/files/..%2Fsecret", 404),
    TARGET("/files/sub%2findex.html", 404), /* an encoded slash is part of a name */
    TARGET("/files/..%5csecret", 404),
    TARGET("/files/..%5Csecret", 404),
    TARGET("/files/%252e%252e/secret", 404), /* decoded once */
    TARGET("/files/..%252fsecret", 404),
    TARGET("/files/%c0%ae%c0%ae/secret", 404), /* ".." in UTF-8 that is too long */
    TARGET("/files/..%c0%afsecret", 404),
    TARGET("/files//etc/passwd", 404),
    TARGET("/files/%2fetc/passwd", 404),
    TARGET("//etc/passwd", 404),
    TARGET("/files//hello.txt", 404), /* an empty segment is no name */
    TARGET("/files/hello.txt%00", 400),
    TARGET("/files/hello.txt%00.html", 400),
    TARGET("/files/%00", 400),
    TARGET("/files/hello.txt\0.html", 400),
    TARGET("/files/..\\secret", 400), /* no character of a target */
    TARGET("/files/\xc0\xae\xc0\xae/secret", 400),
    TARGET("/files/%", 400),
    TARGET("/files/%2", 400),
    TARGET("/files/%zz", 400),
    TARGET("/files/..;/secret", 404),
    TARGET("/files/...", 404),
    TARGET("/files/.env", 404),
    TARGET("/files/%2eenv", 404),
    TARGET("/files/.git/config", 404),
    TARGET("/files/sub/../.git/config", 404),
    TARGET("/files/out", 404),
    TARGET("/files/away/secret", 404),
    TARGET("/files/away/public/hello.txt", 404),
    TARGET("http://a/files/../secret", 404),
    TARGET("/files/hello.txt", 200),
};

static void no_path_leads_out_of_the_folder(void **state)
{
    (void)state;
    struct server *s = start(NULL);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        ask(s, targets[i].octets, targets[i].len);
        CHECK_EQ(r.status, targets[i].status);
    }
    ask(s, "/files/in", strlen("/files/in"));
    CHECK_EQ(r.status, site_follows_links() ? 200 : 404);
}

/* The mount of all paths is nearest to what lies outside. */
static void no_path_leads_out_of_the_root(void **state)
{
    (void)state;
    struct server *s = start("static: {/: $/public}\n");
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        const char *target = targets[i].octets;
        size_t skipped = strncmp(target, "/files/", 7) == 0 ? 6 : 0;
        ask(s, target + skipped, targets[i].len - skipped);
        CHECK(skipped == 0 || r.status == targets[i].status);
    }
}

/* A worker that opened a FIFO for reading, as files are, would wait for a writer, and with it all
 * of its clients. */
static void what_is_no_file_is_not_found_and_holds_nobody_up(void **state)
{
    (void)state;
    struct server *s = site_new();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s",
                   server_path(s, "public/socket"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(symlink("loop", server_path(s, "public/loop")) == 0);
    CHECK(symlink("/dev/zero", server_path(s, "public/zero")) == 0);
    CHECK(symlink("/proc/self/fd/0", server_path(s, "public/magic")) == 0);
    CHECK(symlink("nowhere", server_path(s, "public/dangling")) == 0);
    site_launch(s, REMUDA_DEMO_SO, NULL);
    pid_t pid = server_worker_pid(s, 0);
    size_t before = procs_fd_count(pid);
    static const char *const names[] = {"/files/fifo", "/files/socket", "/files/loop",
                                        "/files/zero", "/files/magic",  "/files/dangling"};
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            ask(s, names[i], strlen(names[i]));
            CHECK_EQ(r.status, 404);
        }
    free(client_get(s, "/files/hello.txt", 200));
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > before)
        CHECK_SAYING(patience_turn(deadline), "descriptors stay open");
    CHECK(close(fd) == 0);
}

/* A link that leads out now and then: the path is judged when the file is opened, not before. */
static void link_that_is_swapped_gives_inside_or_nothing(void **state)
{
    (void)state;
    struct server *s = start(NULL);
    char link[256], other[256];
    unsigned inside = 0, outside = 0;
    (void)snprintf(link, sizeof link, "%s", server_path(s, "public/swapped"));
    (void)snprintf(other, sizeof other, "%s", server_path(s, "public/next"));
    for (int i = 0; i < 200; i++) {
        CHECK(symlink(i % 2 ? "../secret" : "hello.txt", other) == 0);
        CHECK(rename(other, link) == 0);
        ask(s, "/files/swapped", strlen("/files/swapped"));
        inside += r.status == 200;
        outside += r.status == 404;
    }
    CHECK_EQ(inside, site_follows_links() ? 100 : 0);
    CHECK_EQ(inside + outside, 200);
}

static void long_and_deep_paths_are_not_found(void **state)
{
    (void)state;
    struct server *s = start(NULL);
    struct buf target = {0};
    CHECK(buf_printf(&target, "/files/") == 0);
    for (int i = 0; i < 300; i++) /* longer than NAME_MAX */
        CHECK(buf_append(&target, "n", 1) == 0);
    ask(s, target.data, target.len);
    CHECK_EQ(r.status, 404);
    for (int i = 0; i < 3500; i++) /* longer than PATH_MAX */
        CHECK(buf_append(&target, "/d", 2) == 0);
    ask(s, target.data, target.len);
    CHECK(r.status == 404 || r.status == 414);
    buf_fini(&target);
    free(client_get(s, "/files/hello.txt", 200));
}

SERVER_MAIN(SERVER_TEST(no_path_leads_out_of_the_folder),
            SERVER_TEST(no_path_leads_out_of_the_root),
            SERVER_TEST(what_is_no_file_is_not_found_and_holds_nobody_up),
            SERVER_TEST(link_that_is_swapped_gives_inside_or_nothing),
            SERVER_TEST(long_and_deep_paths_are_not_found))
