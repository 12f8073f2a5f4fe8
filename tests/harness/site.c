/* See site.h. */
#include "tests/harness/site.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"

static const char *public_path(const struct server *s, const char *name)
{
    char beneath[128];
    (void)snprintf(beneath, sizeof beneath, "public/%s", name);
    return server_path(s, beneath);
}

void site_write(const struct server *s, const char *name, const void *data, size_t len)
{
    FILE *file = fopen(public_path(s, name), "we");
    CHECK(file != NULL);
    CHECK(fwrite(data, 1, len, file) == len);
    CHECK(fclose(file) == 0);
}

bool site_follows_links(void)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 && !strstr(REMUDA_BINARY, "/valgrind/"); /* not the server's own program */
}

struct server *site_new(void)
{
    static const char *const folders[] = {"", "sub", "bare", ".git"};
    static const char *const files[][2] = {{"hello.txt", "hello"},
                                           {"sub/index.html", "<p>sub"},
                                           {"a b&c.txt", "blank"},
                                           {".env", SITE_SECRET},
                                           {".git/config", SITE_SECRET}};
    struct server *s = server_new();
    (void)server_write_file(s, "secret", SITE_SECRET);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        CHECK(mkdir(public_path(s, folders[i]), 0755) == 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        site_write(s, files[i][0], files[i][1], strlen(files[i][1]));
    CHECK(symlink("hello.txt", public_path(s, "in")) == 0);
    CHECK(symlink("../secret", public_path(s, "out")) == 0);
    CHECK(symlink("..", public_path(s, "away")) == 0);
    CHECK(mkfifo(public_path(s, "fifo"), 0644) == 0);
    return s;
}

void site_launch(struct server *s, const char *app, const char *yaml)
{
    struct buf text = {0};
    char mount[200], config[256];
    for (const char *at = yaml; at && *at; at++)
        CHECK((*at == '$' ? buf_printf(&text, "%s", s->folder) : buf_append(&text, at, 1)) == 0);
    CHECK(buf_append(&text, "", 1) == 0);
    (void)snprintf(config, sizeof config, "%s", server_write_file(s, "site.yaml", text.data));
    (void)snprintf(mount, sizeof mount, "/files/=%s/public", s->folder);
    const char *args[] = {"run",
                          app,
                          "--bind",
                          "127.0.0.1:0",
                          "--workers",
                          "1",
                          yaml ? "--config" : "--static",
                          yaml ? config : mount,
                          NULL};
    buf_fini(&text);
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
}
