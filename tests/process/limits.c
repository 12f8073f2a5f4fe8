/* Limits of a head, at their exact edge: the settings count octets of the line with its CRLF, or
 * fields, or octets of the whole head. One less than too much is served. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

static struct reply r;

static void append_letters(struct buf *head, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK(buf_append(head, "a", 1) == 0);
}

/* A head of the given shape: request line of `line` octets with CRLF, `fields` fields of `field`
 * octets with CRLF each, the first being Host. */
static char *make_head(size_t line, size_t fields, size_t field)
{
    struct buf head = {0};
    CHECK(buf_printf(&head, "GET /") == 0);
    append_letters(&head, line - strlen("GET / HTTP/1.1\r\n"));
    CHECK(buf_printf(&head, " HTTP/1.1\r\n") == 0);
    for (size_t i = 0; i < fields; i++) {
        CHECK(buf_printf(&head, "%s", i == 0 ? "Host:" : "X-Fi:") == 0);
        append_letters(&head, field - strlen("Host:\r\n"));
        CHECK(buf_printf(&head, "\r\n") == 0);
    }
    CHECK(buf_printf(&head, "\r\n") == 0);
    return head.data;
}

static void check_edge(const char *setting, char *below, char *above, int status)
{
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", setting, NULL);
    check_context("%s, at the limit", setting);
    struct client *c = client_to(s);
    client_exchange(c, &r, below);
    CHECK(r.status == 200 || r.status == 404);
    CHECK(!r.is_closing);
    check_context("%s, above the limit", setting);
    client_exchange(c, &r, above);
    CHECK_EQ(r.status, status);
    CHECK(r.is_closing);
    client_expect_close(c);
    free(below);
    free(above);
}

static void request_line_above_the_limit_is_414(void **state)
{
    (void)state;
    check_edge("limit_request_line=500", make_head(500, 1, 20), make_head(501, 1, 20), 414);
}

static void fields_above_the_limit_are_431(void **state)
{
    (void)state;
    check_edge("limit_request_fields=10", make_head(50, 10, 20), make_head(50, 11, 20), 431);
}

static void field_above_the_limit_is_431(void **state)
{
    (void)state;
    check_edge("limit_request_field_size=300", make_head(50, 2, 200), make_head(50, 2, 320), 431);
}

static void head_above_the_limit_is_431(void **state)
{
    (void)state;
    check_edge("limit_request_head=10000", make_head(98, 11, 900), make_head(99, 11, 900), 431);
}

static void default_limits_are_those_of_the_manual(void **state)
{
    (void)state;
    check_edge("strict=no", make_head(8190, 100, 100), make_head(8191, 1, 20), 414);
}

SERVER_MAIN(SERVER_TEST(request_line_above_the_limit_is_414),
            SERVER_TEST(fields_above_the_limit_are_431), SERVER_TEST(field_above_the_limit_is_431),
            SERVER_TEST(head_above_the_limit_is_431),
            SERVER_TEST(default_limits_are_those_of_the_manual))
