/* http/request.c: fields by name, the parts of each form of target, the peer's name. */
#include "http/request.h"

#include <arpa/inet.h>

#include "base/err.h"
#include "tests/unit/http/heads.h"

static struct arena arena;
static struct router *router;

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
}

static int open_router(void **state)
{
    static const rmd_route routes[] = {{.method = "GET", .pattern = "/", .handler = handler},
                                       {.method = "GET", .pattern = "/a/:b", .handler = handler},
                                       {0}};
    struct err err;
    arena_init(&arena, 1024);
    return setup(state) < 0 || router_new(&(rmd_app){.routes = routes}, 10, &router, &err) < 0 ? -1
                                                                                               : 0;
}

static int close_router(void **state)
{
    (void)state;
    router_free(router);
    arena_fini(&arena);
    return 0;
}

/* Parses, judges and routes one request. Valid until the next call. */
static struct rmd_request *request(const char *text)
{
    static char octets[1024];
    static struct rmd_request req;
    struct parse p;
    const char *reason = "";
    size_t len = strlen(text);
    memcpy(octets, text, len);
    req = (struct rmd_request){.magic = REQUEST_MAGIC,
                               .head = {.fields = fields, .max_fields = FIELDS},
                               .base = octets,
                               .arena = &arena};
    parse_begin(&p, &req.head, &limits);
    CHECK_EQ(parse_head(&p, octets, len), PARSE_DONE);
    int status = guard_judge(&req.head, octets, &limits, &reason);
    CHECK_SAYING(status == 0, "%d %s", status, reason);
    memcpy(req.method, octets, req.head.method_len);
    CHECK_EQ(request_route(&req, router), 0);
    return &req;
}

/* RFC 9112 §3.2 */
static void path_and_query_are_read_from_every_form_of_target(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *path;
        const char *query;
        enum router_outcome outcome;
    } rows[] = {
        {"GET / HTTP/1.1", "/", "", ROUTER_FOUND},
        {"GET /? HTTP/1.1", "/", "", ROUTER_FOUND},
        {"GET /a/x?b=c&d=/?e HTTP/1.1", "/a/x", "b=c&d=/?e", ROUTER_FOUND},
        {"GET http://h HTTP/1.1", "/", "", ROUTER_FOUND},
        {"GET http://h/ HTTP/1.1", "/", "", ROUTER_FOUND},
        {"GET http://h?q HTTP/1.1", "/", "q", ROUTER_FOUND},
        {"GET http://h/a/b?q=http://x/ HTTP/1.1", "/a/b", "q=http://x/", ROUTER_FOUND},
        {"GET HTTP://h/a/b HTTP/1.1", "/a/b", "", ROUTER_FOUND},
        {"GET /nowhere HTTP/1.1", "/nowhere", "", ROUTER_NOT_FOUND},
        {"POST /a/b HTTP/1.1", "/a/b", "", ROUTER_NOT_ALLOWED},
        {"OPTIONS /a/b HTTP/1.1", "/a/b", "", ROUTER_OPTIONS},
        {"OPTIONS * HTTP/1.1", "*", "", ROUTER_OPTIONS},
        {"OPTIONS http://h HTTP/1.1", "*", "", ROUTER_OPTIONS},
        {"OPTIONS http://h/ HTTP/1.1", "/", "", ROUTER_OPTIONS},
        {"OPTIONS http://h?q HTTP/1.1", "/", "q", ROUTER_OPTIONS},
        {"GET /a/%zz HTTP/1.1", "/a/%zz", "", ROUTER_BAD_PATH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        check_context("%s", rows[i].line);
        (void)snprintf(text, sizeof text, "%s\r\nHost: h\r\n\r\n", rows[i].line);
        const struct rmd_request *req = request(text);
        CHECK_BYTES(req->raw_path.p, req->raw_path.len, rows[i].path, strlen(rows[i].path));
        CHECK_BYTES(req->query.p ? req->query.p : "", req->query.len, rows[i].query,
                    strlen(rows[i].query));
        CHECK_EQ(req->outcome, rows[i].outcome);
        CHECK_EQ(req->match.route != NULL, rows[i].outcome == ROUTER_FOUND);
    }
}

static void the_target_is_kept_as_received(void **state)
{
    (void)state;
    struct str target = request_target(request("GET /a/%41?x=%20 HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK_BYTES(target.p, target.len, "/a/%41?x=%20", 12);
}

static void fields_are_found_by_name_in_any_case(void **state)
{
    (void)state;
    const struct rmd_request *req = request("GET / HTTP/1.1\r\nHost: h\r\nAccept: one\r\nX-A: \r\n"
                                            "ACCEPT:\t two \r\nAccept-Language: en\r\n\r\n");
    const struct field *field = request_find(req, STR("accept"), NULL);
    CHECK(field != NULL);
    struct str value = request_value(req, field);
    CHECK_BYTES(value.p, value.len, "one", 3);
    struct str name = request_name(req, field);
    CHECK_BYTES(name.p, name.len, "Accept", 6);
    CHECK(request_find(req, STR("accep"), NULL) == NULL);
    CHECK(request_find(req, STR("accept-languag"), NULL) == NULL);
    CHECK(request_find(req, STR(""), NULL) == NULL);
    CHECK_EQ(request_value(req, request_find(req, STR("x-a"), NULL)).len, 0);
    uint32_t from = 0;
    CHECK(request_find(req, STR("Accept"), &from) == field);
    value = request_value(req, request_find(req, STR("Accept"), &from));
    CHECK_BYTES(value.p, value.len, "two", 3);
    CHECK(request_find(req, STR("Accept"), &from) == NULL);
}

static void lines_of_one_field_are_joined(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value; /* NULL: none */
    } rows[] = {
        {"a", "one, , three"}, {"b", "alone"}, {"c", ""}, {"d", NULL}, {"e", ", "},
    };
    const struct rmd_request *req = request("GET / HTTP/1.1\r\nHost: h\r\nA: one\r\nB: alone\r\n"
                                            "a:\r\nC: \r\nA:  three \r\nE:\r\nE:\r\n\r\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str value = STR("before");
        check_context("%s", rows[i].name);
        CHECK_EQ(request_join(req, str_of(rows[i].name), &value), 0);
        CHECK_EQ(value.p != NULL, rows[i].value != NULL); /* absent is not empty */
        if (rows[i].value)
            CHECK_BYTES(value.p, value.len, rows[i].value, strlen(rows[i].value));
    }
}

static void check_peer(const struct peer *peer, const char *with_port, const char *without)
{
    char text[PEER_TEXT_MAX];
    CHECK_EQ(request_format_peer(peer, true, text), strlen(with_port));
    CHECK_TEXT(text, with_port);
    CHECK_EQ(request_format_peer(peer, false, text), strlen(without));
    CHECK_TEXT(text, without);
}

static void peers_are_written_as_people_read_them(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint16_t port;
        const char *text;
    } rows[] = {
        {"0.0.0.0", 0, "0.0.0.0:0"},
        {"127.0.0.1", 80, "127.0.0.1:80"},
        {"192.0.2.1", 54321, "192.0.2.1:54321"},
        {"255.255.255.255", 65535, "255.255.255.255:65535"},
        {"10.9.100.99", 9, "10.9.100.99:9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer peer = {.address.v4 = {.sin_family = AF_INET, .sin_port = htons(rows[i].port)}};
        CHECK_EQ(inet_pton(AF_INET, rows[i].address, &peer.address.v4.sin_addr), 1);
        check_peer(&peer, rows[i].text, rows[i].address);
    }
    struct peer peer = {.address.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535)}};
    CHECK_EQ(inet_pton(AF_INET6, "2001:db8::1", &peer.address.v6.sin6_addr), 1);
    check_peer(&peer, "[2001:db8::1]:65535", "2001:db8::1");
    static const char longest[] = "1111:2222:3333:4444:5555:6666:7777:8888";
    CHECK_EQ(inet_pton(AF_INET6, longest, &peer.address.v6.sin6_addr), 1);
    check_peer(&peer, "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", longest);
    static const char mapped[] = "::ffff:192.0.2.255";
    CHECK_EQ(inet_pton(AF_INET6, mapped, &peer.address.v6.sin6_addr), 1);
    check_peer(&peer, "[::ffff:192.0.2.255]:65535", mapped);
    peer = (struct peer){.address.any = {.sa_family = AF_UNIX}};
    check_peer(&peer, "unix:", "");
    peer = (struct peer){.address.any = {.sa_family = AF_UNSPEC}};
    check_peer(&peer, "unix:", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(path_and_query_are_read_from_every_form_of_target,
                                        open_router, close_router),
        cmocka_unit_test_setup_teardown(the_target_is_kept_as_received, open_router, close_router),
        cmocka_unit_test_setup_teardown(fields_are_found_by_name_in_any_case, open_router,
                                        close_router),
        cmocka_unit_test_setup_teardown(lines_of_one_field_are_joined, open_router, close_router),
        cmocka_unit_test_setup_teardown(peers_are_written_as_people_read_them, open_router,
                                        close_router),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
