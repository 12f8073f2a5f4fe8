/* `run --reload`: what a developer saves is served. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define APPS REMUDA_TEST_APPS_DIR "/"

/* Puts a copy of a file into the server's folder: in place, or by a rename over what is there. */
static void put_file(struct server *s, const char *from, const char *name, bool is_renamed)
{
    char *data;
    size_t len;
    char target[256];
    char path[256];
    (void)snprintf(target, sizeof target, "%s/%s", s->folder, name);
    (void)snprintf(path, sizeof path, "%s%s", target, is_renamed ? ".new" : "");
    CHECK(fd_read_file(from, 1 << 28, &data, &len) == 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    CHECK(fd >= 0);
    CHECK(fd_write_all(fd, data, len) == 0);
    CHECK(close(fd) == 0);
    free(data);
    CHECK(!is_renamed || rename(path, target) == 0);
}

static struct server *start(const char *yaml)
{
    struct server *s = server_new();
    (void)server_write_file(s, "remuda.yaml", yaml);
    CHECK(mkdir(server_path(s, "templates"), 0755) == 0);
    put_file(s, REMUDA_HELLO_SO, "app.so", false);
    const char *args[] = {"run", "--reload", "-b", "127.0.0.1:0", "-w", "1", "app.so", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

/* That this file is named as changed, and a reload comes to an end because of it. */
static void expect_reload(struct server *s, const char *name, int generation)
{
    char path[256];
    const char *line = server_wait_log(s, "file changed");
    CHECK(lines_pair(line, "path", path, sizeof path));
    CHECK_TEXT(path, server_path(s, name));
    line = server_wait_log(s, "reloaded");
    CHECK_EQ(lines_number(line, "generation"), generation);
    (void)server_wait_log(s, "generation gone");
}

static void another_app_in_the_same_place_is_served(void **state)
{
    (void)state;
    struct server *s = start("keepalive: 1s\n");
    free(client_get(s, "/json", 404)); /* hello has no such route, demo has */
    put_file(s, REMUDA_DEMO_SO, "app.so", true);
    expect_reload(s, "app.so", 2);
    free(client_get(s, "/json", 200));
    put_file(s, REMUDA_HELLO_SO, "app.so", false); /* in place, as cp does */
    expect_reload(s, "app.so", 3);
    free(client_get(s, "/json", 404));
    CHECK(unlink(server_path(s, "app.so")) == 0);
    free(client_get(s, "/json", 404)); /* the copy serves on */
    put_file(s, REMUDA_DEMO_SO, "app.so", false);
    expect_reload(s, "app.so", 4);
    free(client_get(s, "/json", 200));
}

static void a_broken_app_is_refused_and_the_next_one_taken(void **state)
{
    (void)state;
    struct server *s = start("keepalive: 1s\n");
    put_file(s, APPS "unresolved.so", "app.so", true);
    (void)server_wait_log(s, "file changed");
    const char *line = server_wait_log(s, "reload refused");
    CHECK_HAS(line, "undefined symbol");
    free(client_get(s, "/json", 404));
    (void)server_write_file(s, "app.so", "no app at all");
    (void)server_wait_log(s, "file changed");
    (void)server_wait_log(s, "reload refused");
    put_file(s, REMUDA_DEMO_SO, "app.so", true);
    (void)server_wait_log(s, "file changed");
    (void)server_wait_log(s, "reloaded");
    (void)server_wait_log(s, "generation gone"); /* that it has replaced: it answers no more */
    free(client_get(s, "/json", 200));
    s->is_violent = true; /* the loaders of the refused ones died */
}

static void configuration_and_extra_files_count_too(void **state)
{
    (void)state;
    struct server *s = start("keepalive: 1s\nreload_extra_files: [templates, words.txt]\n");
    (void)server_write_file(s, "words.txt", "it was not there before\n");
    expect_reload(s, "words.txt", 2);
    (void)server_write_file(s, "templates/page.html", "<p>\n");
    expect_reload(s, "templates", 3);
    (void)server_write_file(s, "remuda.yaml", "keepalive: 1s\nworkers: 2\nbind: [\n");
    (void)server_wait_log(s, "file changed");
    CHECK_HAS(server_wait_log(s, "reload refused"), "remuda.yaml:");
    (void)server_write_file(s, "remuda.yaml", "keepalive: 1s\nserver_header: other\n");
    (void)server_wait_log(s, "file changed");
    (void)server_wait_log(s, "reloaded");
    (void)server_wait_log(s, "generation gone");
    server_skip_log(s); /* templates are no longer watched; what is, still is */
    (void)server_write_file(s, "templates/page.html", "<p>more\n");
    (void)server_write_file(s, "remuda.yaml", "keepalive: 1s\n");
    const char *line = server_wait_log(s, "file changed");
    CHECK_HAS(line, "remuda.yaml");
}

static void nothing_is_reloaded_unless_asked_for(void **state)
{
    (void)state;
    struct server *s = server_new();
    put_file(s, REMUDA_HELLO_SO, "app.so", false);
    const char *args[] = {"run", "-b", "127.0.0.1:0", "-w", "1", "app.so", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    put_file(s, REMUDA_DEMO_SO, "app.so", true);
    server_signal(s, SIGHUP); /* whatever came before it would be told before */
    (void)server_wait_log(s, "reloaded");
    CHECK_HAS_NOT(lines_text(&s->log), "file changed");
}

SERVER_MAIN(SERVER_TEST(another_app_in_the_same_place_is_served),
            SERVER_TEST(a_broken_app_is_refused_and_the_next_one_taken),
            SERVER_TEST(configuration_and_extra_files_count_too),
            SERVER_TEST(nothing_is_reloaded_unless_asked_for))
