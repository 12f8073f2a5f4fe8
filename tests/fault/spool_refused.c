/* The kernel refuses a worker the file that a large body needs: because none may be opened, or none
 * may grow so large. The one request is refused with 507 or 503, and the log says why; others and
 * the worker go on. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"
#define LARGE 300000U

static struct reply r;

static struct server *start(bool to_folder)
{
    struct server *s = server_new();
    char setting[300];
    (void)snprintf(setting, sizeof setting, "spool_dir=%s", server_path(s, "spool"));
    CHECK(mkdir(server_path(s, "spool"), 0755) == 0);
    const char *args[] = {"run",       BODIES_SO,
                          "--bind",    "127.0.0.1:0",
                          "--workers", "1",
                          "--set",     "body_buffer_size=4KiB",
                          "--set",     to_folder ? setting : "spool_dir=",
                          NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static void set_limit(pid_t pid, int resource, rlim_t soft, struct rlimit *out_before)
{
    struct rlimit limit;
    CHECK(prlimit(pid, resource, NULL, &limit) == 0);
    *out_before = limit;
    limit.rlim_cur = soft;
    CHECK(prlimit(pid, resource, &limit, NULL) == 0);
}

static void check_large(struct client *c, const char *body, bool is_taken)
{
    (void)post_send(c, "/back", "", body, LARGE);
    client_read(c, &r, false);
    if (is_taken) {
        CHECK_EQ(r.status, 200);
        CHECK_BYTES(r.body.data, r.body.len, body, LARGE);
    } else {
        CHECK(r.status == 507 || r.status == 503);
        CHECK(r.is_closing);
        client_expect_close(c);
    }
}

/* Clients that were there before are served, large bodies are not, and afterwards all is well. */
static void check_refused(bool to_folder, int resource, rlim_t soft, const char *reason)
{
    enum { ROUNDS = 5 };
    struct server *s = start(to_folder);
    pid_t pid = server_worker_pid(s, 0);
    char *body = post_make(LARGE);
    size_t before = procs_fd_count(pid);
    struct rlimit limit;
    struct client *small = client_to(s), *large[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        large[i] = client_to(s);
        client_exchange(large[i], &r, "GET /back HTTP/1.1\r\nHost: a\r\n\r\n");
        client_exchange(small, &r, "GET /back HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    set_limit(pid, resource, soft, &limit);
    for (int i = 0; i < ROUNDS; i++) {
        check_large(large[i], body, false);
        (void)server_wait_log_text(s, reason);
        CHECK(post_send(small, "/back", "", body, 4000));
        client_read(small, &r, false);
        CHECK_BYTES(r.body.data, r.body.len, body, 4000);
        client_close(large[i]);
    }
    CHECK(prlimit(pid, resource, &limit, NULL) == 0);
    check_large(small, body, true);
    client_close(small);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > before)
        CHECK(patience_turn(deadline));
    CHECK_EQ(server_worker_pid(s, 0), pid);
    free(body);
}

static void no_descriptor_for_a_file_in_spool_dir(void **state)
{
    (void)state;
    check_refused(true, RLIMIT_NOFILE, 4, "Too many open files");
}

static void no_descriptor_for_a_file_in_memory(void **state)
{
    (void)state;
    check_refused(false, RLIMIT_NOFILE, 4, "Too many open files");
}

/* Above RLIMIT_FSIZE the kernel also sends SIGXFSZ, which ends a process that does not mind it. */
static void file_in_spool_dir_may_not_grow(void **state)
{
    (void)state;
    check_refused(true, RLIMIT_FSIZE, 100000, "File too large");
}

static void file_in_memory_may_not_grow(void **state)
{
    (void)state;
    check_refused(false, RLIMIT_FSIZE, 100000, "File too large");
}

SERVER_MAIN(SERVER_TEST(no_descriptor_for_a_file_in_spool_dir),
            SERVER_TEST(no_descriptor_for_a_file_in_memory),
            SERVER_TEST(file_in_spool_dir_may_not_grow), SERVER_TEST(file_in_memory_may_not_grow))
