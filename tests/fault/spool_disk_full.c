/* The disk under spool_dir is full: who sends what does not fit gets 507, the log says why, nobody
 * else notices, and when there is room again all is as before. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/disk.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"

static struct reply r;
static char folder[256]; /* spool_dir, where the small disk is */

/* Bodies above 4 KiB go to the small disk. */
static struct server *start(void)
{
    disk_must_be_possible();
    struct server *s = server_new();
    char setting[300];
    (void)snprintf(folder, sizeof folder, "%s", server_path(s, "spool"));
    (void)snprintf(setting, sizeof setting, "spool_dir=%s", folder);
    CHECK(mkdir(folder, 0777) == 0);
    const char *args[] = {"run",   BODIES_SO, "--bind", "127.0.0.1:0",           "--workers", "1",
                          "--set", setting,   "--set",  "body_buffer_size=4KiB", NULL};
    server_launch(s, &(struct server_options){
                         .args = args, .prepare = disk_mount_small, .prepare_arg = folder});
    server_wait_ready(s);
    return s;
}

/* Whether a body of so many octets is taken. A refusal must be a 507 that closes. */
static bool is_taken(struct server *s, const char *body, size_t len)
{
    struct client *c = client_to(s);
    (void)post_send(c, "/back", "", body, len);
    client_read(c, &r, false);
    CHECK(r.status == 200 || r.status == 507);
    if (r.status == 507) {
        CHECK(r.is_closing);
        client_expect_close(c);
    } else {
        CHECK_BYTES(r.body.data, r.body.len, body, len);
    }
    client_close(c);
    return r.status == 200;
}

/* Descriptors of closed connections go a moment after the client has seen the end. */
static void wait_descriptors(pid_t pid, size_t n)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(pid) > n)
        CHECK_SAYING(patience_turn(deadline), "%zu descriptors, %zu before", procs_fd_count(pid),
                     n);
}

static void body_larger_than_the_disk_is_507(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    char *body = post_make(1U << 20);
    size_t before = procs_fd_count(pid);
    CHECK(is_taken(s, body, 40000));
    server_skip_log(s);
    CHECK(!is_taken(s, body, 200000));
    const char *line = server_wait_log_text(s, folder);
    CHECK_HAS(line, " error ");
    CHECK_HAS(line, "No space left on device");
    wait_descriptors(pid, before);
    CHECK(is_taken(s, body, 40000)); /* what was written of the other is gone */
    CHECK_EQ(server_worker_pid(s, 0), pid);
    unsigned lines = 0;
    for (const char *at = strstr(lines_text(&s->log), "No space left"); at;
         at = strstr(at + 1, "No space left"))
        lines++;
    CHECK_EQ(lines, 1);
    free(body);
}

static void chunked_body_larger_than_the_disk_is_507(void **state)
{
    (void)state;
    char *body = post_make(1U << 20);
    struct client *c = client_to(start());
    (void)post_send_chunked(c, "/back", body, 1U << 20, 10000);
    client_read(c, &r, false);
    CHECK_EQ(r.status, 507);
    CHECK(r.is_closing);
    client_expect_close(c);
    free(body);
}

/* Others on the same worker: small bodies, requests without one, one that lies there already. */
static void others_are_undisturbed(void **state)
{
    (void)state;
    struct server *s = start();
    char *body = post_make(200000);
    char target[300];
    struct client *held = client_to(s), *small = client_to(s);
    (void)snprintf(target, sizeof target, "/hold?file=%s", server_path(s, "go"));
    CHECK(post_send(held, target, "", body, 30000));
    (void)server_wait_log(s, "holds");
    struct load *load = load_start(server_address(s, 0), 4, "/back", "");
    for (int i = 0; i < 30; i++) {
        CHECK(!is_taken(s, body, 200000));
        CHECK(post_send(small, "/back", "", body, 4096));
        client_read(small, &r, false);
        CHECK_EQ(r.status, 200);
        CHECK_BYTES(r.body.data, r.body.len, body, 4096);
    }
    load_wait_answers(load, 100);
    struct load_result result = load_stop(load);
    load_check(&result, 0);
    (void)server_write_file(s, "go", "");
    client_read(held, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_BYTES(r.body.data, r.body.len, body, 30000);
    free(body);
}

/* The disk is filled by somebody else, and emptied again. */
static void all_is_well_when_there_is_room_again(void **state)
{
    (void)state;
    struct server *s = start();
    pid_t pid = server_worker_pid(s, 0);
    char path[400], *body = post_make(60000);
    size_t before = procs_fd_count(pid), len = strlen(folder);
    CHECK(is_taken(s, body, 60000));
    wait_descriptors(pid, before); /* that body's file is gone, too */
    unsigned long memory = procs_memory_kib(pid, "RssAnon");
    (void)snprintf(folder + len, sizeof folder - len, "/fill");
    int fd = open(disk_path_of(s->pid, folder, path, sizeof path),
                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    folder[len] = '\0';
    CHECK(fd >= 0);
    while (write(fd, body, 4096) > 0)
        continue;
    for (int i = 0; i < 100; i++)
        CHECK(!is_taken(s, body, 60000));
    CHECK(unlink(path) == 0);
    CHECK(close(fd) == 0);
    for (int i = 0; i < 10; i++) {
        CHECK(is_taken(s, body, 60000));
        wait_descriptors(pid, before);
    }
    CHECK(procs_memory_kib(pid, "RssAnon") < memory + 3000); /* 100 bodies would be 6,000 */
    CHECK_EQ(server_worker_pid(s, 0), pid);
    free(body);
}

SERVER_MAIN(SERVER_TEST(body_larger_than_the_disk_is_507),
            SERVER_TEST(chunked_body_larger_than_the_disk_is_507),
            SERVER_TEST(others_are_undisturbed), SERVER_TEST(all_is_well_when_there_is_room_again))
