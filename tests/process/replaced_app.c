/* The app's file may be replaced, emptied or removed while it is served: what runs is a sealed
 * copy, and a worker that starts later is made from the same. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

static void copy_file(const char *from, const char *to)
{
    char block[65536];
    FILE *in = fopen(from, "re");
    FILE *out = fopen(to, "we");
    CHECK(in != NULL && out != NULL);
    for (size_t n = fread(block, 1, sizeof block, in); n > 0; n = fread(block, 1, sizeof block, in))
        CHECK(fwrite(block, 1, n, out) == n);
    (void)fclose(in);
    CHECK(fclose(out) == 0);
}

static struct server *start_copy(const char **out_path)
{
    struct server *s = server_new();
    *out_path = server_path(s, "copy.so");
    copy_file(REMUDA_DEMO_SO, *out_path);
    const char *args[] = {"run", *out_path, "--bind", "127.0.0.1:0", "--workers", "1", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

/* Every page of the app that is touched first now would be SIGBUS, had it been mapped in place. */
static void check_serves_everything(struct server *s)
{
    static const char *const targets[] = {
        "/",           "/json", "/hello/ann",       "/info",
        "/bytes?n=10", "/echo", "/stream?n=2&ms=1", "/sleep?ms=1"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        free(client_get(s, targets[i], 200));
}

static void check_next_worker_serves(struct server *s)
{
    s->is_violent = true;
    CHECK(kill(server_worker_pid(s, 0), SIGKILL) == 0);
    (void)server_wait_log(s, "worker died");
    (void)server_wait_log(s, "worker ready slot=0");
    check_serves_everything(s);
}

static void emptied_in_place(void **state)
{
    (void)state;
    const char *path;
    struct server *s = start_copy(&path);
    CHECK(truncate(path, 0) == 0);
    check_serves_everything(s);
    check_next_worker_serves(s);
}

static void overwritten_in_place(void **state)
{
    (void)state;
    const char *path;
    struct server *s = start_copy(&path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    char rubbish[65536];
    memset(rubbish, 0xcc, sizeof rubbish);
    CHECK(fd >= 0 && write(fd, rubbish, sizeof rubbish) == (ssize_t)sizeof rubbish);
    (void)close(fd);
    check_serves_everything(s);
    check_next_worker_serves(s);
}

static void replaced_by_another(void **state)
{
    (void)state;
    const char *path;
    struct server *s = start_copy(&path);
    CHECK(unlink(path) == 0);
    copy_file(REMUDA_HELLO_SO, path);
    check_serves_everything(s);
    check_next_worker_serves(s);
}

/* Also when the loader itself has to be started again. */
static void removed_and_the_loader_killed(void **state)
{
    (void)state;
    const char *path;
    struct server *s = start_copy(&path);
    CHECK(unlink(path) == 0);
    s->is_violent = true;
    CHECK(kill((pid_t)lines_number(lines_find_last(&s->log, "loader ready"), "pid"), SIGKILL) == 0);
    (void)server_wait_log(s, "loader ready");
    check_next_worker_serves(s);
}

static void app_copy_off_loads_from_the_path(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "app_copy=no", NULL);
    check_serves_everything(s);
}

SERVER_MAIN(SERVER_TEST(emptied_in_place), SERVER_TEST(overwritten_in_place),
            SERVER_TEST(replaced_by_another), SERVER_TEST(removed_and_the_loader_killed),
            SERVER_TEST(app_copy_off_loads_from_the_path))
