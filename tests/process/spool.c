/* Bodies above body_buffer_size: they lie in a file that has no name, their octets are right
 * whatever their size, and nothing of them stays. And the limits that routes have of their own. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/post.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"
#define BUFFER 65536U

static struct reply r;

static size_t count_names(const char *folder)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(dir);
    return n;
}

/* One worker that spools to the folder "spool" of the server's own, or to memory. */
static struct server *start(bool to_folder)
{
    struct server *s = server_new();
    char setting[300];
    (void)snprintf(setting, sizeof setting, "spool_dir=%s", server_path(s, "spool"));
    CHECK(mkdir(server_path(s, "spool"), 0755) == 0);
    const char *args[] = {"run",       BODIES_SO,
                          "--bind",    "127.0.0.1:0",
                          "--workers", "1",
                          "--set",     "body_buffer_size=64KiB",
                          "--set",     "limit_request_body=16MiB",
                          "--set",     to_folder ? setting : "spool_dir=",
                          NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

/* A request that waits in its handler, with its body, until the file "go" is there. */
static struct client *send_held(struct server *s, const char *body, size_t len)
{
    char target[300];
    struct client *c = client_to(s);
    (void)snprintf(target, sizeof target, "/hold?file=%s", server_path(s, "go"));
    CHECK(post_send(c, target, "", body, len));
    (void)server_wait_log(s, "holds");
    return c;
}

/* Waits until the worker has as many descriptors that are called so. */
static void wait_files(struct server *s, const char *text, size_t n)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    pid_t pid = server_worker_pid(s, 0);
    while (procs_fd_count_like(pid, text) != n)
        CHECK_SAYING(patience_turn(deadline), "%zu descriptors of %s, expected %zu",
                     procs_fd_count_like(pid, text), text, n);
}

static void check_held_bodies_lie_in(struct server *s, const char *text)
{
    enum { COUNT = 5 };
    char *body = post_make(BUFFER + COUNT);
    struct client *clients[COUNT];
    size_t before = procs_fd_count_like(server_worker_pid(s, 0), text);
    for (size_t i = 0; i < COUNT; i++) {
        clients[i] = send_held(s, body, BUFFER + i); /* the first is no larger than the buffer */
        CHECK_EQ(procs_fd_count_like(server_worker_pid(s, 0), text), before + i);
        CHECK_EQ(count_names(server_path(s, "spool")), 0);
    }
    (void)server_write_file(s, "go", "");
    for (size_t i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        CHECK_TEXT(reply_field(&r, "X-Spooled"), i == 0 ? "no" : "yes");
        CHECK_BYTES(r.body.data, r.body.len, body, BUFFER + i);
    }
    wait_files(s, text, before);
    CHECK_EQ(count_names(server_path(s, "spool")), 0);
    free(body);
}

static void large_body_lies_in_spool_dir_without_a_name(void **state)
{
    (void)state;
    struct server *s = start(true);
    char text[300];
    (void)snprintf(text, sizeof text, "%s/", server_path(s, "spool"));
    check_held_bodies_lie_in(s, text);
}

static void large_body_lies_in_memory_without_spool_dir(void **state)
{
    (void)state;
    check_held_bodies_lie_in(start(false), "/memfd:");
}

static void check_sizes(struct server *s)
{
    static const size_t sizes[] = {0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 5U << 20};
    char *body = post_make(5U << 20);
    struct client *c = client_to(s);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t chunk = 0; chunk <= 100000; chunk += 50000) {
            check_context("%zu octets, chunks of %zu", sizes[i], chunk);
            CHECK(chunk > 0 ? post_send_chunked(c, "/back", body, sizes[i], chunk)
                            : post_send(c, "/back", "", body, sizes[i]));
            client_read(c, &r, false);
            CHECK_EQ(r.status, 200);
            CHECK_TEXT(reply_field(&r, "X-Spooled"), sizes[i] > BUFFER ? "yes" : "no");
            CHECK_BYTES(r.body.data, r.body.len, body, sizes[i]);
        }
    }
    free(body);
}

static void bodies_of_all_sizes_come_back_from_spool_dir(void **state)
{
    (void)state;
    check_sizes(start(true));
}

static void bodies_of_all_sizes_come_back_from_memory(void **state)
{
    (void)state;
    check_sizes(start(false));
}

static void descriptor_and_mapping_of_a_body_agree(void **state)
{
    (void)state;
    char *body = post_make(3U << 20);
    struct client *c = client_to(start(true));
    CHECK(post_send(c, "/descriptor", "", body, 3U << 20));
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "same 3145728\n");
    free(body);
}

static void large_file_of_a_form_arrives_whole(void **state)
{
    (void)state;
    const size_t len = 3U << 20;
    char *file = post_make(len);
    struct buf form = {0};
    CHECK(buf_printf(&form, "--xYx\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n"
                            "--xYx\r\nContent-Disposition: form-data; name=\"file\"; "
                            "filename=\"a.bin\"\r\nContent-Type: x/y\r\n\r\n") == 0);
    CHECK(buf_append(&form, file, len) == 0);
    CHECK(buf_printf(&form, "\r\n--xYx--\r\n") == 0);
    struct client *c = client_to(start(true));
    CHECK(post_send(c, "/part", "Content-Type: multipart/form-data; boundary=xYx\r\n", form.data,
                    form.len));
    client_read(c, &r, false);
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(reply_field(&r, "X-Name"), "a.bin");
    CHECK_TEXT(reply_field(&r, "Content-Type"), "x/y");
    CHECK_BYTES(r.body.data, r.body.len, file, len);
    buf_fini(&form);
    free(file);
}

/* Half a body is there, and its client goes: the file goes with it. */
static void file_of_a_body_goes_with_its_client(void **state)
{
    (void)state;
    struct server *s = start(true);
    char text[300];
    (void)snprintf(text, sizeof text, "%s/", server_path(s, "spool"));
    char *body = post_make(4 * BUFFER);
    struct client *clients[4];
    for (int i = 0; i < 4; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i],
                         "POST /back HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        CHECK(client_send(clients[i], body, 4 * BUFFER));
    }
    wait_files(s, text, 4);
    for (int i = 0; i < 4; i++)
        if (i % 2)
            client_abort(clients[i]);
        else
            client_close(clients[i]);
    wait_files(s, text, 0);
    free(body);
}

/* The route's own limit wins over the setting, both ways. */
static void routes_have_limits_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        size_t len;
        int status;
    } rows[] = {{"/small", 1000, 200},      {"/small", 1001, 413},
                {"/back", 1U << 20, 200},   {"/back", (1U << 20) + 1, 413},
                {"/large", 3U << 20, 200},  {"/large", (3U << 20) + 1, 413},
                {"/nowhere", 1U << 20, 404}};
    struct server *s =
        server_start_app(BODIES_SO, "--workers", "1", "--set", "limit_request_body=1MiB", NULL);
    char *body = post_make((3U << 20) + 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
            check_context("%s, %zu octets%s", rows[i].target, rows[i].len,
                          is_chunked ? ", chunked" : "");
            struct client *c = client_to(s);
            bool is_taken = is_chunked
                                ? post_send_chunked(c, rows[i].target, body, rows[i].len, 70000)
                                : post_send(c, rows[i].target, "", body, rows[i].len);
            CHECK(is_taken || rows[i].status != 200);
            client_read(c, &r, false);
            CHECK_EQ(r.status, rows[i].status);
            if (r.status == 413) {
                CHECK(r.is_closing);
                client_expect_close(c);
            }
            client_close(c);
        }
    }
    free(body);
}

SERVER_MAIN(SERVER_TEST(large_body_lies_in_spool_dir_without_a_name),
            SERVER_TEST(large_body_lies_in_memory_without_spool_dir),
            SERVER_TEST(bodies_of_all_sizes_come_back_from_spool_dir),
            SERVER_TEST(bodies_of_all_sizes_come_back_from_memory),
            SERVER_TEST(descriptor_and_mapping_of_a_body_agree),
            SERVER_TEST(large_file_of_a_form_arrives_whole),
            SERVER_TEST(file_of_a_body_goes_with_its_client),
            SERVER_TEST(routes_have_limits_of_their_own))
