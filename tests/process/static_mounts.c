/* Mounts of static files: what their keys change, and who answers a path when there are routes and
 * several mounts (docs/static.md). */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"
#include "tests/harness/site.h"

static struct reply r;
static struct client *client;

static void start(const char *yaml)
{
    struct server *s = site_new();
    site_launch(s, REMUDA_DEMO_SO, yaml);
    client = client_to(s);
}

static void ask(const char *line)
{
    char request[512];
    check_context("%s", line);
    (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: a\r\n\r\n", line);
    client_exchange(client, &r, request);
}

static void keys_of_a_mount_change_what_it_does(void **state)
{
    (void)state;
    start("static:\n"
          "  - {path: /list/, folder: $/public, listing: yes, dotfiles: yes, follow: no,\n"
          "     index: [], cache_control: \"public, max-age=60\"}\n"
          "  - {path: /named/, folder: $/public, index: [none.html, hello.txt]}\n");
    ask("GET /list/");
    CHECK_EQ(r.status, 200);
    CHECK_HAS(reply_field(&r, "Content-Type"), "text/html");
    CHECK_HAS(r.body.data, "href=\"hello.txt\"");
    CHECK_HAS(r.body.data, "a%20b");
    CHECK_HAS_NOT(r.body.data, "b&c");
    ask("GET /list/sub/");
    CHECK_HAS(r.body.data, "index.html");
    ask("GET /list/.env");
    CHECK_TEXT(r.body.data, SITE_SECRET);
    ask("GET /list/in");
    CHECK_EQ(r.status, 404);
    ask("GET /list/hello.txt");
    CHECK_TEXT(reply_field(&r, "Cache-Control"), "public, max-age=60");
    ask("GET /named/");
    CHECK_TEXT(r.body.data, "hello");
    ask("GET /named/in");
    CHECK_EQ(r.status, site_follows_links() ? 200 : 404);
    CHECK(reply_field(&r, "Cache-Control") == NULL);
}

static void most_specific_answers(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int status;
        const char *body; /* NULL: any */
    } rows[] = {
        {"GET /", 200, "hello\n"},               /* the very path is a route */
        {"GET /hello/ann", 200, "hello, ann\n"}, /* longer than the mount's path */
        {"GET /hello.txt", 200, "hello"},
        {"GET /sub/", 200, "<p>sub"},
        {"GET /bytes/", 403, NULL},
        {"GET /bytes/hello.txt", 200, "hello"}, /* the longest mount */
        {"GET /note/index.html", 200, "<p>sub"},
        {"GET /note/hello.txt", 404, NULL}, /* only its own folder is looked at */
        {"GET /note", 200, NULL},           /* a route */
        {"POST /hello.txt", 405, NULL},
        {"GET /hello/", 404, NULL},
    };
    start("static:\n"
          "  - {path: /, folder: $/public}\n"
          "  - {path: /bytes/, folder: $/public, index: [none]}\n"
          "  - {path: /note/, folder: $/public/sub}\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(rows[i].line);
        CHECK_EQ(r.status, rows[i].status);
        if (rows[i].body)
            CHECK_TEXT(r.body.data, rows[i].body);
    }
}

/* The flag replaces what the file says, and may be there several times. */
static void flag_replaces_the_file(void **state)
{
    (void)state;
    struct server *s = site_new();
    char config[256], one[256], two[256];
    (void)snprintf(config, sizeof config, "%s",
                   server_write_file(s, "site.yaml", "static: {/file/: ./public}\n"));
    (void)snprintf(one, sizeof one, "/one/=%s", server_path(s, "public"));
    (void)snprintf(two, sizeof two, "/two/=%s", server_path(s, "public/sub"));
    const char *args[] = {"run",         REMUDA_DEMO_SO, "--config", config,     "--bind",
                          "127.0.0.1:0", "--static",     one,        "--static", two,
                          NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    client = client_to(s);
    ask("GET /one/hello.txt");
    CHECK_TEXT(r.body.data, "hello");
    ask("GET /two/");
    CHECK_TEXT(r.body.data, "<p>sub");
    ask("GET /file/hello.txt");
    CHECK_EQ(r.status, 404);
}

SERVER_MAIN(SERVER_TEST(keys_of_a_mount_change_what_it_does), SERVER_TEST(most_specific_answers),
            SERVER_TEST(flag_replaces_the_file))
