/* What a crash leaves in crash_dir, what it does not (secrets, more than was asked for, halves),
 * and that its request can be replayed. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/client.h"
#include "tests/harness/disk.h"
#include "tests/harness/server.h"

#define CRASHES_SO REMUDA_TEST_APPS_DIR "/crashes.so"
#define FIXED_SO REMUDA_TEST_APPS_DIR "/crashes_fixed.so"

static char crash_dir[256];

static struct server *start_with(void (*prepare)(void *), const char *more)
{
    char setting[300];
    server_let_crash();
    struct server *s = server_new();
    (void)snprintf(crash_dir, sizeof crash_dir, "%s", server_path(s, "crashes"));
    (void)snprintf(setting, sizeof setting, "crash_dir=%s", crash_dir);
    CHECK(mkdir(crash_dir, 0700) == 0);
    const char *args[] = {"run",   CRASHES_SO, "--bind",     "127.0.0.1:0", "-w", "1", "--set",
                          setting, "--set",    "timeout=2s", "--set",       more, NULL};
    server_launch(s, &(struct server_options){.args = args,
                                              .prepare = prepare,
                                              .prepare_arg = prepare ? crash_dir : NULL});
    server_wait_ready(s);
    s->is_violent = true;
    return s;
}

static struct server *start(const char *more)
{
    return start_with(NULL, more);
}

static void send_fatal(struct server *s, const char *request)
{
    struct client *c = client_to(s);
    client_send_text(c, request);
    client_expect_close(c);
    client_close(c);
}

static void wait_replaced(struct server *s, long pid)
{
    s->log.seen = 0;
    while (server_worker_pid(s, 0) == pid)
        (void)server_wait_log(s, "worker ready");
    server_skip_log(s);
}

/* Waits for the bundle and gives its path; valid until the next call. */
static const char *wait_bundle(struct server *s)
{
    static char path[300];
    CHECK(lines_pair(server_wait_log(s, "crash bundle written"), "path", path, sizeof path));
    return path;
}

/* A file of a bundle as text; valid until the next call but one. */
static const char *read_file(const char *bundle, const char *name)
{
    static char *texts[2];
    static int which;
    char path[400];
    size_t len = 0;
    which = !which;
    free(texts[which]);
    texts[which] = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", bundle, name);
    CHECK_SAYING(fd_read_file(path, 1 << 20, &texts[which], &len) == 0, "no %s", path);
    return texts[which];
}

static unsigned count_entries(const char *folder)
{
    unsigned n = 0;
    DIR *list = opendir(folder);
    CHECK(list != NULL);
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(list);
    return n;
}

static void check_mode(const char *bundle, const char *name, unsigned mode)
{
    char path[400];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", bundle, name);
    CHECK(lstat(path, &st) == 0);
    CHECK_EQ(st.st_mode & 07777U, mode);
}

static const char fatal_post[] = "POST /length?crash=1 HTTP/1.1\r\n"
                                 "Host: a\r\n"
                                 "Cookie: session=SECRET\r\n"
                                 "X-Api-Key: SECRET\r\n"
                                 "X-Tenant: SECRET\r\n"
                                 "X-Open: seen\r\n"
                                 "Transfer-Encoding: chunked\r\n"
                                 "\r\n"
                                 "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";

static void crash_leaves_request_report_and_log(void **state)
{
    (void)state;
    struct server *s = start("crash_redact=x-tenant");
    send_fatal(s, fatal_post);
    const char *bundle = wait_bundle(s);
    check_mode(bundle, "", 0700);
    check_mode(bundle, "report.txt", 0600);
    check_mode(bundle, "request.http", 0600);
    check_mode(bundle, "log.txt", 0600);
    const char *request = read_file(bundle, "request.http");
    CHECK_HAS(request, "POST /length?crash=1 HTTP/1.1\r\nHost: a\r\n");
    CHECK_HAS(request, "X-Open: seen\r\n");
    CHECK_HAS(request, "\r\n\r\nhello world");
    CHECK_HAS_NOT(request, "SECRET");
    const char *report = read_file(bundle, "report.txt");
    CHECK_HAS(report, "what: web worker crashed\n");
    CHECK_HAS(report, "signal: SEGV\n");
    CHECK_HAS(report, "route: \"POST /length\"\n");
    CHECK_HAS(report, "redacted: \"Cookie, X-Api-Key, X-Tenant\"\n");
    CHECK_HAS(report, "body: 11 of 11 bytes\n");
    CHECK_HAS(report, "\nbacktrace:\nn=0 ");
    CHECK_HAS(report, "crashes.so");
    CHECK_HAS(report, "limit NOFILE: ");
    CHECK_HAS(report, "\nremuda: ");
    CHECK_HAS(report, "\naccepted: 1\n");
    CHECK_HAS_NOT(report, "SECRET");
    const char *log = read_file(bundle, "log.txt");
    CHECK_HAS(log, ": worker crashed slot=0");
    CHECK_HAS_NOT(log, "SECRET");
}

static int replay(const char *bundle, const char *app, const char *say)
{
    struct server *s = server_start_args("call", "--replay", bundle, app, NULL);
    s->is_violent = true;
    int code = server_run(s);
    CHECK_HAS(lines_text(&s->log), "replaying \"POST /length?crash=1 HTTP/1.1\"");
    CHECK_HAS(lines_text(&s->log), "X-Api-Key");
    if (say)
        CHECK_TEXT(lines_text(&s->out), say);
    return code;
}

static void replay_crashes_again_and_a_fixed_app_answers(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    send_fatal(s, fatal_post);
    const char *bundle = wait_bundle(s);
    CHECK_EQ(replay(bundle, CRASHES_SO, NULL), -SIGSEGV);
    CHECK_EQ(replay(bundle, FIXED_SO, "11 bytes, key [redacted]\n"), 0);
    struct server *without = server_start_args("call", "--replay", crash_dir, FIXED_SO, NULL);
    CHECK_EQ(server_run(without), 1);
    CHECK_HAS(lines_text(&without->log), "holds no request.http");
}

static void bodies_are_kept_up_to_a_bound(void **state)
{
    (void)state;
    struct server *s = start("crash_body_max=5");
    send_fatal(s, "POST /length?crash=1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: k\r\n"
                  "Content-Length: 11\r\n\r\nhello world");
    const char *bundle = wait_bundle(s);
    const char *request = read_file(bundle, "request.http");
    CHECK_HAS(request, "\r\n\r\nhello");
    CHECK_HAS_NOT(request, "world");
    struct server *again = server_start_args("call", "--replay", bundle, FIXED_SO, NULL);
    CHECK_EQ(server_run(again), 0);
    CHECK_HAS(lines_text(&again->log), "body cut: 5 of 11 bytes were kept");
    CHECK_HAS(lines_text(&again->out), "5 bytes");
}

static void large_requests_are_cut_to_what_is_kept(void **state)
{
    (void)state;
    enum { BODY = 300000 };
    static char request[BODY + 200];
    struct server *s = start("crash_body_max=128KiB");
    int head =
        snprintf(request, sizeof request,
                 "POST /length?crash=1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY);
    memset(request + head, 'b', BODY);
    struct client *c = client_to(s);
    client_send(c, request, (size_t)head + BODY);
    client_expect_close(c);
    const char *bundle = wait_bundle(s);
    size_t len = strlen(read_file(bundle, "request.http"));
    CHECK(len > 120000 && len <= 128 * 1024);
}

static void oldest_bundles_make_room(void **state)
{
    (void)state;
    struct server *s = start("crash_dir_max=2");
    char first[300];
    for (int i = 0; i < 3; i++) {
        long pid = server_worker_pid(s, 0);
        send_fatal(s, "GET /null HTTP/1.1\r\nHost: a\r\n\r\n");
        const char *bundle = wait_bundle(s);
        if (i == 0)
            (void)snprintf(first, sizeof first, "%s", bundle);
        wait_replaced(s, pid);
    }
    CHECK_EQ(count_entries(crash_dir), 2);
}

static void hang_leaves_one_too(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    long pid = server_worker_pid(s, 0);
    send_fatal(s, "GET /spin?a=b HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *report = read_file(wait_bundle(s), "report.txt");
    CHECK_HAS(report, "what: web worker hung\nwhy: \"timeout\"\n");
    CHECK_HAS(report, "target: \"/spin?a=b\"\n");
    wait_replaced(s, pid);
    CHECK(kill(server_worker_pid(s, 0), SIGSTOP) == 0); /* no handler runs in this one */
    const char *bundle = wait_bundle(s);
    report = read_file(bundle, "report.txt");
    CHECK_HAS(report, "request: none\n");
    CHECK_HAS(report, "backtrace:\nnone");
    CHECK_EQ(count_entries(bundle), 2); /* without a request */
}

static void kill_from_outside_leaves_none(void **state)
{
    (void)state;
    struct server *s = start("strict=no");
    long pid = server_worker_pid(s, 0);
    CHECK(kill((pid_t)pid, SIGKILL) == 0);
    wait_replaced(s, pid);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(count_entries(crash_dir), 0);
}

/* A disk that has room for a few octets. */
static void mount_full(void *arg)
{
    char path[300];
    char block[4096] = "";
    disk_mount_small(arg);
    if (chmod(arg, 0700) < 0)
        _Exit(98);
    (void)snprintf(path, sizeof path, "%s/fill", (const char *)arg);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < DISK_BYTES / 4096 - 2; i++)
        if (write(fd, block, sizeof block) < 0)
            break;
    (void)close(fd);
}

static void full_disk_costs_the_bundle_only(void **state)
{
    (void)state;
    char path[400];
    disk_must_be_possible();
    struct server *s = start_with(mount_full, "strict=no");
    long pid = server_worker_pid(s, 0);
    send_fatal(s, "GET /null HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *line = server_wait_log(s, "crash bundle not written");
    CHECK_EQ(lines_number(line, "pid"), pid);
    CHECK_HAS(line, "No space left on device");
    wait_replaced(s, pid);
    CHECK_EQ(count_entries(disk_path_of(s->pid, crash_dir, path, sizeof path)), 1); /* fill */
    free(client_get(s, "/fork", 200));
}

static void check_refused(const char *folder, const char *why)
{
    char setting[400];
    (void)snprintf(setting, sizeof setting, "crash_dir=%s", folder);
    static const char *const commands[] = {"run", "check"};
    for (int i = 0; i < 2; i++) {
        struct server *s = server_start_args(commands[i], "--bind", "127.0.0.1:0", "--set", setting,
                                             CRASHES_SO, NULL);
        CHECK_EQ(server_run(s), 1);
        CHECK_HAS(lines_text(&s->log), "crash_dir: ");
        CHECK_HAS(lines_text(&s->log), why);
        CHECK_HAS(lines_text(&s->log), "; allowed: ");
    }
}

static void folder_that_can_not_be_trusted_is_refused_at_the_start(void **state)
{
    (void)state;
    struct server *s = server_new();
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s", server_path(s, "open"));
    CHECK(mkdir(folder, 0700) == 0 && chmod(folder, 0777) == 0);
    check_refused(folder, "can be written to by others");
    check_refused("/nonexistent/folder", "No such file or directory");
    check_refused("/dev/null", "Not a directory");
}

SERVER_MAIN(SERVER_TEST(crash_leaves_request_report_and_log),
            SERVER_TEST(replay_crashes_again_and_a_fixed_app_answers),
            SERVER_TEST(bodies_are_kept_up_to_a_bound),
            SERVER_TEST(large_requests_are_cut_to_what_is_kept),
            SERVER_TEST(oldest_bundles_make_room), SERVER_TEST(hang_leaves_one_too),
            SERVER_TEST(kill_from_outside_leaves_none),
            SERVER_TEST(full_disk_costs_the_bundle_only),
            SERVER_TEST(folder_that_can_not_be_trusted_is_refused_at_the_start))
