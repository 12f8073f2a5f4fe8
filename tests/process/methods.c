/* Methods: HEAD, OPTIONS, what a path does not have, what nobody has. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

static struct server *server;
static struct reply r;

static void ask(const char *method, const char *target)
{
    char request[512];
    struct client *c = client_to(server);
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: test\r\n\r\n", method, target);
    client_exchange(c, &r, request);
    client_close(c);
}

/* Whether a list such as "GET, HEAD" has a word. */
static bool list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; at && *at; at += strspn(at, ", ")) {
        size_t n = strcspn(at, ", ");
        if (n == len && strncasecmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

static void head_is_get_without_its_body(void **state)
{
    (void)state;
    static const char *const targets[] = {"/", "/json", "/hello/ann", "/bytes?n=12345", "/nowhere"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        char length[32], type[128];
        check_context("HEAD %s", targets[i]);
        ask("GET", targets[i]);
        int status = r.status;
        (void)snprintf(length, sizeof length, "%s", reply_field(&r, "Content-Length"));
        (void)snprintf(type, sizeof type, "%s", reply_field(&r, "Content-Type"));
        ask("HEAD", targets[i]);
        CHECK_EQ(r.status, status);
        CHECK_EQ(r.body.len, 0);
        CHECK_TEXT(reply_field(&r, "Content-Length"), length);
        CHECK_TEXT(reply_field(&r, "Content-Type"), type);
    }
}

static void head_leaves_the_connection_usable(void **state)
{
    (void)state;
    struct client *c = client_to(server);
    client_exchange(c, &r, "HEAD /stream?n=3&ms=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ(r.status, 200);
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "hello\n");
}

static void options_tells_what_a_path_allows(void **state)
{
    (void)state;
    ask("OPTIONS", "/hello/ann");
    CHECK(r.status == 200 || r.status == 204);
    const char *allow = reply_field(&r, "Allow");
    CHECK(allow != NULL);
    CHECK(list_has(allow, "GET") && list_has(allow, "HEAD") && list_has(allow, "OPTIONS"));
    CHECK(!list_has(allow, "POST"));
}

static void options_of_an_unknown_path_is_404(void **state)
{
    (void)state;
    ask("OPTIONS", "/nowhere");
    CHECK_EQ(r.status, 404);
}

static void options_star_is_about_the_server(void **state)
{
    (void)state;
    ask("OPTIONS", "*");
    CHECK(r.status == 200 || r.status == 204);
}

static void options_reaches_a_handler_for_any_method(void **state)
{
    (void)state;
    ask("OPTIONS", "/headers");
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(r.body.data, "Host: test\n");
}

static void method_that_a_path_has_not_is_405_with_allow(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        ask(methods[i], "/json");
        CHECK_EQ(r.status, 405);
        const char *allow = reply_field(&r, "Allow");
        CHECK(allow != NULL); /* RFC 9110 §15.5.6: MUST */
        CHECK(list_has(allow, "GET") && list_has(allow, "HEAD"));
        CHECK(!list_has(allow, methods[i]));
    }
}

static void trace_is_not_served(void **state)
{
    (void)state;
    ask("TRACE", "/json");
    CHECK(r.status == 405 || r.status == 501);
}

static int start(void **state)
{
    (void)server_setup_group(state);
    server = server_start_app(REMUDA_DEMO_SO, NULL);
    return 0;
}

SERVER_SHARED_MAIN(start, SERVER_SHARED_TEST(head_is_get_without_its_body),
                   SERVER_SHARED_TEST(head_leaves_the_connection_usable),
                   SERVER_SHARED_TEST(options_tells_what_a_path_allows),
                   SERVER_SHARED_TEST(options_of_an_unknown_path_is_404),
                   SERVER_SHARED_TEST(options_star_is_about_the_server),
                   SERVER_SHARED_TEST(options_reaches_a_handler_for_any_method),
                   SERVER_SHARED_TEST(method_that_a_path_has_not_is_405_with_allow),
                   SERVER_SHARED_TEST(trace_is_not_served))
