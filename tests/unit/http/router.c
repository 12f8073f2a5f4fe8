/* http/router.c, http/router_build.c, http/pattern.c: precedence, methods, refusals; then two
 * properties on random tables and paths: the trie finds what a plain search of all rows finds, and
 * a parameter that goes out encoded comes back as it was, decoded exactly once. */
#include "http/router.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/err.h"
#include "http/path.h"

static struct arena arena;
static struct router *router;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    router = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    router_free(router);
    arena_fini(&arena);
    return 0;
}

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
}

static void build_app(const rmd_app *app)
{
    struct err err;
    router_free(router);
    router = NULL;
    if (router_new(app, 512, &router, &err) < 0)
        fail_msg("%s", err.text);
}

static void build(const rmd_route *routes)
{
    build_app(&(rmd_app){.routes = routes});
}

/* "FOUND GET /a/:b b=x", "NOT_ALLOWED", … for one request. */
static const char *match_text(const char *method, const char *path)
{
    static const char *const names[] = {"FOUND", "NOT_FOUND", "NOT_ALLOWED", "OPTIONS", "BAD_PATH"};
    struct router_match m;
    memset(&m, 0xa5, sizeof m);
    int rc = router_match(router, str_of(method), str_of(path), &arena, &m);
    assert_in_range(rc, 0, 4);
    assert_true((rc == ROUTER_FOUND) == (m.route != NULL));
    static char text[1024];
    int n = snprintf(text, sizeof text, "%s", names[rc]);
    if (m.route)
        n += snprintf(text + n, sizeof text - (size_t)n, " %s %s", m.route->method,
                      m.route->pattern);
    else
        assert_int_equal(m.n_params, 0);
    assert_true((rc == ROUTER_BAD_PATH) == (m.path.len == 0));
    for (uint32_t i = 0; i < m.n_params; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %s=%.*s", m.params[i].name,
                      STR_ARG(m.params[i].value));
    return text;
}

static const char *allow(const char *path)
{
    return router_allow(router, str_of(path), &arena);
}

/* ---- matching ---- */

static void router_prefers_static_then_parameter_then_rest(void **state)
{
    (void)state;
    static const rmd_route routes[] = {
        {"GET", "/*all", handler},       {"GET", "/a/:p", handler},
        {"GET", "/a/b", handler},        {"GET", "/a/:p/c", handler},
        {"GET", "/a/b/d", handler},      {"GET", "/a/*rest", handler},
        {"GET", "/:x/b/*tail", handler}, {"GET", "/a/", handler},
        {"GET", "/", handler},           {0},
    };
    build(routes);
    assert_string_equal(match_text("GET", "/"), "FOUND GET /");
    assert_string_equal(match_text("GET", "/a/b"), "FOUND GET /a/b");
    assert_string_equal(match_text("GET", "/a/bb"), "FOUND GET /a/:p p=bb");
    assert_string_equal(match_text("GET", "/a/b/d"), "FOUND GET /a/b/d");
    assert_string_equal(match_text("GET", "/a/"), "FOUND GET /a/");
    assert_string_equal(match_text("GET", "/a"), "FOUND GET /*all all=a");
    /* back from a static segment to the parameter, to the rest, and up again */
    assert_string_equal(match_text("GET", "/a/b/c"), "FOUND GET /a/:p/c p=b");
    assert_string_equal(match_text("GET", "/a/b/e"), "FOUND GET /a/*rest rest=b/e");
    assert_string_equal(match_text("GET", "/z/b/e/f"), "FOUND GET /:x/b/*tail x=z tail=e/f");
    assert_string_equal(match_text("GET", "/z/c/e"), "FOUND GET /*all all=z/c/e");
    assert_string_equal(match_text("GET", "//b/e"), "FOUND GET /*all all=/b/e");
}

static void router_parameters_take_no_empty_segment_but_the_rest_may_be_empty(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"GET", "/hello/:name", handler},
                                       {"GET", "/x/:a/:b", handler},
                                       {"GET", "/same/:same", handler},
                                       {"GET", "/files/*rest", handler},
                                       {0}};
    build(routes);
    assert_string_equal(match_text("GET", "/hello/ann"), "FOUND GET /hello/:name name=ann");
    assert_string_equal(match_text("GET", "/hello/"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/hello"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/hello/ann/"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/x//b"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/x/a/b"), "FOUND GET /x/:a/:b a=a b=b");
    assert_string_equal(match_text("GET", "/files"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/files/"), "FOUND GET /files/*rest rest=");
    assert_string_equal(match_text("GET", "/files/a/b/"), "FOUND GET /files/*rest rest=a/b/");
    assert_string_equal(match_text("GET", "/files//a"), "FOUND GET /files/*rest rest=/a");
}

static void router_does_not_confuse_equal_segments_of_different_parents(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"GET", "/a/b", handler},
                                       {"GET", "/b/a", handler},
                                       {"GET", "/a//b", handler},
                                       {"GET", "/v1.0/x:y", handler},
                                       {0}};
    build(routes);
    assert_string_equal(match_text("GET", "/a/b"), "FOUND GET /a/b");
    assert_string_equal(match_text("GET", "/b/a"), "FOUND GET /b/a");
    assert_string_equal(match_text("GET", "/a//b"), "FOUND GET /a//b");
    assert_string_equal(match_text("GET", "/a/a"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/b/b"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/A/b"), "NOT_FOUND");
    assert_string_equal(match_text("GET", "/v1.0/x:y"), "FOUND GET /v1.0/x:y");
    assert_string_equal(match_text("GET", "/v1.0/x:z"), "NOT_FOUND");
}

/* "yacxa" and "glbvs" have the same 32-bit FNV-1a hash. */
static void router_does_not_confuse_segments_of_equal_hash(void **state)
{
    (void)state;
    static const rmd_route one[] = {{"GET", "/yacxa", handler}, {0}};
    build(one);
    assert_string_equal(match_text("GET", "/glbvs"), "NOT_FOUND");
    static const rmd_route both[] = {{"GET", "/yacxa", handler}, {"GET", "/glbvs", handler}, {0}};
    build(both);
    assert_string_equal(match_text("GET", "/yacxa"), "FOUND GET /yacxa");
    assert_string_equal(match_text("GET", "/glbvs"), "FOUND GET /glbvs");
}

static void router_answers_head_with_get_unless_head_has_its_own(void **state)
{
    (void)state;
    static const rmd_route routes[] = {
        {"GET", "/a", handler},
        {"GET", "/b", handler},
        {"HEAD", "/b", handler},
        {"*", "/c", handler},
        {"GET", "/c", handler},
        {"POST", "/d", handler},
        {0},
    };
    build(routes);
    assert_string_equal(match_text("HEAD", "/a"), "FOUND GET /a");
    assert_string_equal(match_text("HEAD", "/b"), "FOUND HEAD /b");
    assert_string_equal(match_text("GET", "/b"), "FOUND GET /b");
    assert_string_equal(match_text("HEAD", "/c"), "FOUND GET /c"); /* GET before "*" */
    assert_string_equal(match_text("PUT", "/c"), "FOUND * /c");
    assert_string_equal(match_text("HEAD", "/d"), "NOT_ALLOWED");
}

static void router_star_takes_any_method(void **state)
{
    (void)state;
    static const rmd_route routes[] = {
        {"*", "/echo", handler}, {"POST", "/echo", handler}, {"GET", "/x", handler}, {0}};
    build(routes);
    assert_string_equal(match_text("GET", "/echo"), "FOUND * /echo");
    assert_string_equal(match_text("POST", "/echo"), "FOUND POST /echo");
    assert_string_equal(match_text("OPTIONS", "/echo"), "FOUND * /echo");
    assert_string_equal(match_text("BREW", "/echo"), "FOUND * /echo");
    assert_string_equal(match_text("BREW", "/x"), "NOT_ALLOWED");
    assert_string_equal(match_text("get", "/x"), "NOT_ALLOWED"); /* methods have case */
    assert_string_equal(match_text("GE", "/x"), "NOT_ALLOWED");
    assert_string_equal(match_text("", "/x"), "NOT_ALLOWED");
}

static void router_goes_on_to_a_less_special_pattern_that_has_the_method(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"POST", "/users/me", handler},
                                       {"GET", "/users/:id", handler},
                                       {"OPTIONS", "/*any", handler},
                                       {"DELETE", "/users/*any", handler},
                                       {0}};
    build(routes);
    assert_string_equal(match_text("POST", "/users/me"), "FOUND POST /users/me");
    assert_string_equal(match_text("GET", "/users/me"), "FOUND GET /users/:id id=me");
    assert_string_equal(match_text("HEAD", "/users/me"), "FOUND GET /users/:id id=me");
    assert_string_equal(match_text("DELETE", "/users/me"), "FOUND DELETE /users/*any any=me");
    assert_string_equal(match_text("OPTIONS", "/users/me"), "FOUND OPTIONS /*any any=users/me");
    assert_string_equal(match_text("PUT", "/users/me"), "NOT_ALLOWED");
    assert_string_equal(allow("/users/me"), "DELETE, GET, HEAD, OPTIONS, POST");
    assert_string_equal(allow("/users/1"), "DELETE, GET, HEAD, OPTIONS");
    assert_string_equal(allow("/other"), "OPTIONS");
}

static void router_says_405_or_options_only_for_known_paths(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"GET", "/", handler},
                                       {"POST", "/form", handler},
                                       {"GET", "/a/:b", handler},
                                       {"PROPFIND", "/dav", handler},
                                       {0}};
    build(routes);
    assert_string_equal(match_text("POST", "/"), "NOT_ALLOWED");
    assert_string_equal(match_text("OPTIONS", "/"), "OPTIONS");
    assert_string_equal(match_text("POST", "/a/b"), "NOT_ALLOWED");
    assert_string_equal(match_text("POST", "/nowhere"), "NOT_FOUND");
    assert_string_equal(match_text("OPTIONS", "/nowhere"), "NOT_FOUND");
    assert_string_equal(allow("/"), "GET, HEAD, OPTIONS");
    assert_string_equal(allow("/form"), "OPTIONS, POST");
    assert_string_equal(allow("/dav"), "OPTIONS, PROPFIND");
    assert_string_equal(match_text("OPTIONS", "*"), "OPTIONS");
    assert_string_equal(allow("*"), "GET, HEAD, OPTIONS, POST, PROPFIND");
    static const rmd_route any[] = {{"*", "/", handler}, {"MKCOL", "/", handler}, {0}};
    build(any);
    assert_string_equal(allow("*"), "DELETE, GET, HEAD, MKCOL, OPTIONS, PATCH, POST, PUT");
}

static void router_refuses_bad_paths(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"*", "/*all", handler}, {0}};
    build(routes);
    static const char *const bad[] = {"", "a", "*", "**", "%2F", "/%", "/%zz", "/a%00b", "/a/%2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_string_equal(match_text("GET", bad[i]), "BAD_PATH");
    assert_string_equal(match_text("OPTIONS", "**"), "BAD_PATH");
    assert_string_equal(match_text("OPTIONS", ""), "BAD_PATH");
}

/* ---- escapes and dot segments ---- */

static void check_path(const char *raw, const char *path, const char *match)
{
    struct router_match m;
    (void)router_match(router, STR("GET"), str_of(raw), &arena, &m);
    if (!str_is_equal(m.path, str_of(path)))
        fail_msg("%s: path %.*s, not %s", raw, STR_ARG(m.path), path);
    assert_string_equal(match_text("GET", raw), match);
}

static void router_matches_decoded_and_keeps_parameters_as_received(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"GET", "/a b/:p", handler},
                                       {"GET", "/s\xc3\xbc\xc3\x9f", handler},
                                       {"GET", "/f/*rest", handler},
                                       {"GET", "/p/:x/q", handler},
                                       {0}};
    build(routes);
    check_path("/%61%20b/c", "/a b/c", "FOUND GET /a b/:p p=c");
    check_path("/s%C3%bc%c3%9F", "/s\xc3\xbc\xc3\x9f", "FOUND GET /s\xc3\xbc\xc3\x9f");
    /* an encoded slash is inside the segment; what looks like one decoded twice is not */
    check_path("/p/a%2Fb/q", "/p/a%2Fb/q", "FOUND GET /p/:x/q x=a%2Fb");
    check_path("/p/a%252Fb/q", "/p/a%2Fb/q", "FOUND GET /p/:x/q x=a%252Fb");
    check_path("/p/%252e%252e/q", "/p/%2e%2e/q", "FOUND GET /p/:x/q x=%252e%252e");
    check_path("/p%2Fa/q", "/p%2Fa/q", "NOT_FOUND");
    check_path("/f%2f", "/f%2F", "NOT_FOUND");
    /* dot segments in every spelling, removed before parameters are cut */
    check_path("/p/./x/../y/q", "/p/y/q", "FOUND GET /p/:x/q x=y");
    check_path("/p/%2e/x/%2E./%79/q", "/p/y/q", "FOUND GET /p/:x/q x=%79");
    check_path("/z/../f/a/../%41/./b%2f..", "/f/A/b%2F..", "FOUND GET /f/*rest rest=%41/b%2f..");
    check_path("/f/..", "/", "NOT_FOUND");
    check_path("/f/x/..", "/f/", "FOUND GET /f/*rest rest=");
    check_path("/f/../../f/x", "/f/x", "FOUND GET /f/*rest rest=x");
    check_path("/f/..;/x", "/f/..;/x", "FOUND GET /f/*rest rest=..;/x");
    check_path("/f/.hidden/..x", "/f/.hidden/..x", "FOUND GET /f/*rest rest=.hidden/..x");
}

static void router_copies_nothing_for_plain_paths(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"GET", "/hello/:name", handler}, {0}};
    build(routes);
    struct str raw = STR("/hello/ann");
    struct router_match m;
    assert_int_equal(router_match(router, STR("GET"), raw, &arena, &m), ROUTER_FOUND);
    assert_ptr_equal(m.path.p, raw.p);
    assert_ptr_equal(m.params[0].value.p, raw.p + 7);
    assert_null(arena.block);
    assert_int_equal(router_match(router, STR("GET"), STR("/hello/%61"), &arena, &m), ROUTER_FOUND);
    assert_string_equal(m.path.p, "/hello/a"); /* NUL-terminated */
}

static void router_takes_long_and_deep_paths(void **state)
{
    (void)state;
    static const rmd_route routes[] = {
        {"GET", "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/*rest", handler},
        {"GET", "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/end", handler},
        {"GET", "/*all", handler},
        {0}};
    build(routes);
#define DEEP "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v"
    static const char rest[] = "FOUND GET " DEEP "/*rest rest=";
    assert_string_equal(match_text("GET", DEEP "/end"), "FOUND GET " DEEP "/end");
    assert_int_equal(strncmp(match_text("GET", DEEP "/x"), rest, sizeof rest - 1), 0);
    assert_int_equal(strncmp(match_text("GET", DEEP "/end/more/and/more"), rest, sizeof rest - 1),
                     0);
    assert_string_equal(match_text("GET", DEEP "/x/./y"), "FOUND GET " DEEP "/*rest rest=x/y");

    static char slashes[8001];
    memset(slashes, '/', sizeof slashes - 1);
    struct router_match m;
    assert_int_equal(router_match(router, STR("GET"), str_of(slashes), &arena, &m), ROUTER_FOUND);
    assert_int_equal(m.params[0].value.len, sizeof slashes - 2);
}

/* ---- tables ---- */

static int before(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
    return 0;
}

static void router_puts_prefixes_before_the_patterns_of_groups(void **state)
{
    (void)state;
    static const rmd_route admin[] = {{"GET", "", handler}, {"GET", "/users/:id", handler}, {0}};
    static const rmd_route bare[] = {{"GET", "/bare", handler}, {0}};
    static const rmd_route tenant[] = {{"GET", "/x/:y", handler}, {0}};
    static const rmd_group groups[] = {{"/admin", admin, before, NULL},
                                       {"", bare, NULL, NULL},
                                       {"/t/:tenant", tenant, NULL, NULL},
                                       {0}};
    static const rmd_route own[] = {{"GET", "/", handler, .lane = RMD_IO}, {0}};
    build_app(&(rmd_app){.routes = own, .groups = groups});
    assert_int_equal(router_count(router), 5);
    assert_string_equal(match_text("GET", "/admin"), "FOUND GET /admin");
    assert_string_equal(match_text("GET", "/admin/users/7"), "FOUND GET /admin/users/:id id=7");
    assert_string_equal(match_text("GET", "/bare"), "FOUND GET /bare");
    assert_string_equal(match_text("GET", "/t/a/x/b"), "FOUND GET /t/:tenant/x/:y tenant=a y=b");
    assert_null(router_route(router, 5));
    const struct route *first = router_route(router, 0);
    assert_null(first->group);
    assert_int_equal(first->lane, RMD_IO);
    const struct route *second = router_route(router, 1);
    assert_int_equal(second->index, 1);
    assert_non_null(second->group);
    assert_ptr_equal(second->group->before, before);
    assert_ptr_equal(second->decl->handler, handler);
    assert_string_equal(second->pattern, "/admin");
}

/* Rows of an application built against a shorter or a longer header. */
static void router_reads_rows_of_other_sizes(void **state)
{
    (void)state;
    struct short_row {
        const char *method;
        const char *pattern;
        rmd_handler handler;
    };
    static const struct short_row few[] = {{"GET", "/a", handler}, {"GET", "/b", handler}, {0}};
    rmd_app app = {.routes = (const rmd_route *)(const void *)few, .route_size = sizeof few[0]};
    build_app(&app);
    assert_string_equal(match_text("GET", "/b"), "FOUND GET /b");
    assert_int_equal(router_route(router, 1)->decl->timeout_ms, 0);
    assert_null(router_route(router, 1)->decl->data);

    struct long_row {
        rmd_route row;
        void *more[3];
    };
    static const struct long_row much[] = {
        {.row = {"GET", "/a", handler}}, {.row = {"GET", "/b", handler}}, {.more = {0}}};
    app = (rmd_app){.routes = (const rmd_route *)(const void *)much, .route_size = sizeof much[0]};
    build_app(&app);
    assert_string_equal(match_text("GET", "/b"), "FOUND GET /b");
    assert_int_equal(router_count(router), 2);
}

static void router_of_no_routes_finds_nothing(void **state)
{
    (void)state;
    build_app(&(rmd_app){0});
    assert_int_equal(router_count(router), 0);
    assert_string_equal(match_text("GET", "/"), "NOT_FOUND");
    assert_string_equal(match_text("OPTIONS", "*"), "OPTIONS");
    assert_string_equal(allow("*"), "OPTIONS");
    router_free(NULL);
}

static void check_refused(const rmd_app *app, size_t limit, const char *expected)
{
    struct err err = {0};
    struct router *none = NULL;
    assert_int_equal(router_new(app, limit, &none, &err), -EINVAL);
    assert_null(none);
    assert_int_equal(err.code, EINVAL);
    if (!strstr(err.text, expected))
        fail_msg("\"%s\" lacks \"%s\"", err.text, expected);
    assert_int_equal(router_new(app, limit, &none, NULL), -EINVAL);
}

static void router_refuses_bad_rows_and_says_which(void **state)
{
    (void)state;
    static const struct {
        rmd_route row;
        const char *text;
    } cases[] = {
        {{NULL, "/x", handler}, "routes[1] ? /x: no method"},
        {{"", "/x", handler}, "no method"},
        {{"GET POST", "/x", handler}, "method \"GET POST\""},
        {{"get", "/x", handler}, "routes[1] get /x: method \"get\""},
        {{"**", "/x", handler}, "method \"**\""},
        {{"BREW", "/x", handler}, "method \"BREW\": the server answers it 501"},
        {{"GET", NULL, handler}, "routes[1] GET ?: no pattern"},
        {{"GET", "/x", NULL}, "no handler"},
        {{"GET", "/x", handler, .lane = (enum rmd_lane)4}, "lane 4"},
        {{"GET", "/x", handler, .lane = (enum rmd_lane) - 1}, "lane -1"},
        {{"GET", "/x", handler, .timeout_ms = 3600001}, "timeout_ms 3600001"},
        {{"GET", "", handler}, "must begin with \"/\""},
        {{"GET", "x", handler}, "must begin with \"/\""},
        {{"GET", "*", handler}, "must begin with \"/\""},
        {{"GET", "/a%20b", handler}, "\"%\" in the pattern"},
        {{"GET", "/a?b", handler}, "\"?\" in the pattern"},
        {{"GET", "/a#b", handler}, "\"#\" in the pattern"},
        {{"GET", "/a\nb", handler}, "control character"},
        {{"GET", "/a\x7f", handler}, "control character"},
        {{"GET", "/:", handler}, "without name"},
        {{"GET", "/files/*", handler}, "without name"},
        {{"GET", "/:a.b", handler}, "parameter \"a.b\""},
        {{"GET", "/:a/b/:a", handler}, "parameter \"a\" comes twice"},
        {{"GET", "/:a/*a", handler}, "parameter \"a\" comes twice"},
        {{"GET", "/*a/b", handler}, "must be the last"},
        {{"GET", "/*a/", handler}, "must be the last"},
        {{"GET", "/a*", handler}, "inside a segment"},
        {{"GET", "/a/./b", handler}, "segment \".\" would never match"},
        {{"GET", "/a/..", handler}, "segment \"..\" would never match"},
        {{"GET", "/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p/:q", handler},
         "more than 16 parameters"},
        {{"GET", "/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3", handler},
         "more than 32 segments"},
        {{"GET", "/one/:y", handler}, "the same as route GET /one/:x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const rmd_route routes[] = {{"GET", "/one/:x", handler}, cases[i].row, {0}};
        check_refused(&(rmd_app){.routes = routes}, 512, cases[i].text);
    }
}

static void router_refuses_bad_groups_and_too_many_routes(void **state)
{
    (void)state;
    static const rmd_route rows[] = {{"GET", "/a", handler}, {"GET", "/b", NULL}, {0}};
    static const rmd_group bad_row[] = {{"/g", rows, NULL, NULL}, {0}};
    check_refused(&(rmd_app){.groups = bad_row}, 512, "groups[0].routes[1] GET /b: no handler");
    static const rmd_group relative[] = {{"g", rows, NULL, NULL}, {0}};
    check_refused(&(rmd_app){.groups = relative}, 512, "groups[0]: prefix \"g\"");
    static const rmd_group slash[] = {{"/g/", rows, NULL, NULL}, {0}};
    check_refused(&(rmd_app){.groups = slash}, 512, "prefix \"/g/\"");
    static const rmd_group root[] = {{"/", rows, NULL, NULL}, {0}};
    check_refused(&(rmd_app){.groups = root}, 512, "prefix \"/\"");

    static const rmd_route good[] = {{"GET", "/a", handler}, {"GET", "/b", handler}, {0}};
    static const rmd_group same[] = {{"", good, NULL, NULL}, {0}};
    check_refused(&(rmd_app){.routes = good, .groups = same}, 512, "the same as route GET /a");
    static const rmd_group other[] = {{"/g", good, NULL, NULL}, {0}};
    check_refused(&(rmd_app){.routes = good, .groups = other}, 3,
                  "4 routes; limit_routes allows 3");
    struct err err;
    assert_int_equal(router_new(&(rmd_app){.routes = good, .groups = other}, 4, &router, &err), 0);
}

/* ---- properties ---- */

/* A generator of its own, so that every run tests the same. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

/* How a pattern matches a path: one letter a segment, "0" static, "1" parameter, "2" rest, so that
 * the better match is the smaller text. False: not at all. */
static bool plain_match(const char *pattern, const char *path, char *out_rank)
{
    for (;;) {
        pattern++;
        path++;
        size_t m = strcspn(pattern, "/");
        size_t n = strcspn(path, "/");
        if (*pattern == '*') {
            memcpy(out_rank, "2", 2);
            return true;
        }
        if (*pattern == ':' ? n == 0 : m != n || memcmp(pattern, path, n) != 0)
            return false;
        *out_rank++ = *pattern == ':' ? '1' : '0';
        *out_rank = '\0';
        pattern += m;
        path += n;
        if (!*pattern || !*path)
            return !*pattern && !*path;
    }
}

/* How well a row's method fits: 0 its own, 1 GET for HEAD, 2 "*", 3 not at all. */
static char fit_of(const char *row, const char *method)
{
    if (strcmp(row, method) == 0)
        return '0';
    if (strcmp(row, "GET") == 0 && strcmp(method, "HEAD") == 0)
        return '1';
    return strcmp(row, "*") == 0 ? '2' : '3';
}

static const struct route *plain_search(const char *method, const char *path, bool *out_is_known)
{
    const struct route *best = NULL;
    char best_rank[64] = "";
    *out_is_known = false;
    for (size_t i = 0; i < router_count(router); i++) {
        const struct route *route = router_route(router, i);
        char rank[64] = "";
        if (!plain_match(route->pattern, path, rank))
            continue;
        *out_is_known = true;
        size_t n = strlen(rank);
        rank[n] = fit_of(route->method, method);
        rank[n + 1] = '\0';
        if (rank[n] != '3' && (!best || strcmp(rank, best_rank) < 0)) {
            best = route;
            memcpy(best_rank, rank, sizeof rank);
        }
    }
    return best;
}

static const char *const words[] = {"a", "b", "ab", "", "c"};
static const char *const methods[] = {"GET", "POST", "HEAD", "*", "OPTIONS", "PURGE"};
#define N_OF(array) (sizeof(array) / sizeof(array)[0])

/* Up to four segments of few words, so that patterns overlap. out: 64 octets */
static void random_path(uint32_t *seed, bool is_pattern, char *out)
{
    size_t n_segments = 1 + next_random(seed) % 4;
    size_t n = 0;
    for (size_t i = 0; i < n_segments; i++) {
        uint32_t kind = is_pattern ? next_random(seed) % 8 : 7;
        if (kind < 3)
            n += (size_t)snprintf(out + n, 64 - n, "/:p%zu", i);
        else if (kind == 3 && i + 1 == n_segments)
            n += (size_t)snprintf(out + n, 64 - n, "/*rest");
        else
            n += (size_t)snprintf(out + n, 64 - n, "/%s", words[next_random(seed) % N_OF(words)]);
    }
}

static void router_overrides_only_the_row_that_is_named(void **state)
{
    (void)state;
    static const rmd_route admin[] = {{"GET", "/users/:id", handler, .timeout_ms = 9}, {0}};
    static const rmd_group groups[] = {{"/admin", admin, NULL, NULL}, {0}};
    static const rmd_route own[] = {
        {"GET", "/a", handler, .lane = RMD_IO, .timeout_ms = 7, .body_limit = 5},
        {"*", "/a", handler, .timeout_ms = 8},
        {0}};
    static const struct router_override overrides[] = {
        {"* /a", .body_limit = UINT64_C(1) << 40, .has_lane = true, .lane = RMD_IO},
        {"GET /admin/users/:id", .timeout_ms = 3600000},
        {"GET /a"}, /* nothing: what the app has declared stays */
    };
    struct err err = {0};
    build_app(&(rmd_app){.routes = own, .groups = groups});
    for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; i++)
        assert_int_equal(router_override(router, &overrides[i], &err), 0);
    static const struct {
        unsigned timeout_ms;
        size_t body_limit;
        enum rmd_lane lane;
    } rows[] = {{7, 5, RMD_IO}, {8, (size_t)1 << 40, RMD_IO}, {3600000, 0, RMD_INLINE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(router_route(router, i)->decl->timeout_ms, rows[i].timeout_ms);
        assert_int_equal(router_route(router, i)->decl->body_limit, rows[i].body_limit);
        assert_int_equal(router_route(router, i)->lane, rows[i].lane);
    }
    assert_int_equal(own[1].body_limit, 0); /* the app's own table is not touched */
}

static void router_refuses_overrides_of_routes_that_are_not_there(void **state)
{
    (void)state;
    static const rmd_route admin[] = {{"GET", "/x", handler}, {0}};
    static const rmd_group groups[] = {{"/admin", admin, NULL, NULL}, {0}};
    static const rmd_route own[] = {{"POST", "/upload", handler}, {"*", "/any", handler}, {0}};
    static const struct {
        const char *route;
        const char *near;
    } rows[] = {
        {"POST /uplod", "the nearest is \"POST /upload\""},
        {"GET /upload", "the nearest is \"POST /upload\""},
        {"POST /upload/", "the nearest is \"POST /upload\""},
        {"POST  /upload", "the nearest is \"POST /upload\""},
        {"POST-/upload", "the nearest is \"POST /upload\""},
        {"POST/upload", "the nearest is \"POST /upload\""},
        {"POSTS /upload", "the nearest is \"POST /upload\""},
        {"GET /any", "the nearest is \"* /any\""},
        {"GET /x", "the nearest is"},
        {"GET /admin", "the nearest is \"GET /admin/x\""},
        {"", "the nearest is"},
        {"GET /a-very-long-pattern-that-is-compared-with-nothing-since-it-is-so-long", "lists its"},
    };
    build_app(&(rmd_app){.routes = own, .groups = groups});
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        struct router_override override = {.route = rows[i].route, .body_limit = 1};
        assert_int_equal(router_override(router, &override, &err), -EINVAL);
        if (!strstr(err.text, rows[i].route) || !strstr(err.text, rows[i].near))
            fail_msg("\"%s\": %s", rows[i].route, err.text);
    }
    for (size_t i = 0; i < router_count(router); i++)
        assert_int_equal(router_route(router, i)->decl->body_limit, 0);
    struct err err = {0};
    build_app(&(rmd_app){.name = "none"});
    assert_int_equal(router_override(router, &(struct router_override){"GET /"}, &err), -EINVAL);
}

/* Builds a random table without doubles: whatever router_new() refuses is left out. */
static void build_random(uint32_t *seed, rmd_route *rows, char (*patterns)[64], size_t n_rows)
{
    size_t n = 0;
    memset(rows, 0, (n_rows + 1) * sizeof *rows);
    while (n < n_rows) {
        random_path(seed, true, patterns[n]);
        rows[n] = (rmd_route){methods[next_random(seed) % N_OF(methods)], patterns[n], handler};
        struct router *tried;
        if (router_new(&(rmd_app){.routes = rows}, 512, &tried, NULL) == 0) {
            router_free(tried);
            n++;
        } else {
            memset(&rows[n], 0, sizeof rows[n]);
            n_rows--;
        }
    }
    build(rows);
}

static void router_agrees_with_a_plain_search_of_all_rows(void **state)
{
    (void)state;
    uint32_t seed = 3;
    size_t n_found = 0;
    size_t n_known = 0;
    for (int table = 0; table < 300; table++) {
        rmd_route rows[33];
        char patterns[33][64];
        build_random(&seed, rows, patterns, 1 + next_random(&seed) % 32);
        for (int round = 0; round < 200; round++) {
            char path[64];
            random_path(&seed, false, path);
            const char *method = methods[next_random(&seed) % N_OF(methods)];
            if (*method == '*')
                method = "BREW";
            bool is_known;
            const struct route *want = plain_search(method, path, &is_known);
            struct router_match m;
            int rc = router_match(router, str_of(method), str_of(path), &arena, &m);
            if (m.route != want)
                fail_msg("%s %s: %s, not %s", method, path, m.route ? m.route->pattern : "none",
                         want ? want->pattern : "none");
            if (want)
                assert_int_equal(rc, ROUTER_FOUND);
            else if (!is_known)
                assert_int_equal(rc, ROUTER_NOT_FOUND);
            else
                assert_int_equal(rc,
                                 strcmp(method, "OPTIONS") ? ROUTER_NOT_ALLOWED : ROUTER_OPTIONS);
            n_found += want != NULL;
            n_known += is_known && !want;
        }
    }
    assert_true(n_found > 10000 && n_known > 5000); /* or the test says little */
}

/* Encodes octets for a path: all of what must be, slashes too, and some of what need not be. */
static size_t encode(uint32_t *seed, const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool must = c == '%' || c == '/' || c <= ' ' || c >= 0x7f;
        if (must || next_random(seed) % 4 == 0)
            n += (size_t)snprintf(out + n, 4, next_random(seed) % 2 ? "%%%02x" : "%%%02X", c);
        else
            out[n++] = (char)c;
    }
    return n;
}

/* Text made of what paths trip over, but no whole dot segment and not empty. */
static size_t random_text(uint32_t *seed, char *out)
{
    static const char *const pieces[] = {"/", "..",   ".", "%2F", "%2e", "%25", "%",  "a",
                                         "+", "\xff", " ", "2F",  ";",   "\\",  "//", "\x01"};
    size_t n = 0;
    for (uint32_t left = 1 + next_random(seed) % 5; left > 0; left--) {
        const char *piece = pieces[next_random(seed) % N_OF(pieces)];
        memcpy(out + n, piece, strlen(piece));
        n += strlen(piece);
    }
    out[n] = 'x'; /* so that no choice of pieces gives "." or ".." */
    return n + 1;
}

static size_t random_dots(uint32_t *seed, char *out)
{
    static const char *const dots[] = {
        "", "", "/.", "/%2e", "/gone/..", "/%2F/%2e%2E", "/a/b/../.%2e", "/./x%2f/.."};
    const char *piece = dots[next_random(seed) % N_OF(dots)];
    memcpy(out, piece, strlen(piece));
    return strlen(piece);
}

static void check_param(const struct router_match *m, size_t i, const char *text, size_t len)
{
    size_t out_len;
    char *out = path_decode(m->params[i].value, false, &arena, &out_len);
    assert_non_null(out);
    if (out_len != len || memcmp(out, text, len) != 0)
        fail_msg("%s: %s, not %.*s", m->params[i].name, out, (int)len, text);
}

static void router_parameters_come_back_decoded_exactly_once(void **state)
{
    (void)state;
    static const rmd_route routes[] = {{"GET", "/x/:a/y/:b/*rest", handler}, {0}};
    build(routes);
    uint32_t seed = 11;
    for (int round = 0; round < 50000; round++) {
        char texts[3][64];
        size_t lens[3];
        char raw[1024];
        size_t n = 0;
        for (size_t i = 0; i < 3; i++) {
            lens[i] = random_text(&seed, texts[i]);
            memcpy(raw + n, i == 0 ? "/x" : "/y", i < 2 ? 2 : 0);
            n += i < 2 ? 2 : 0;
            n += random_dots(&seed, raw + n);
            raw[n++] = '/';
            n += encode(&seed, texts[i], lens[i], raw + n);
            if (i < 2)
                n += random_dots(&seed, raw + n);
        }
        struct router_match m;
        int rc = router_match(router, STR("GET"), str_make(raw, n), &arena, &m);
        if (rc != ROUTER_FOUND)
            fail_msg("%.*s: %d", (int)n, raw, rc);
        assert_int_equal(m.n_params, 3);
        for (size_t i = 0; i < 3; i++)
            check_param(&m, i, texts[i], lens[i]);
        arena_reset(&arena);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(router_prefers_static_then_parameter_then_rest),
        TEST(router_parameters_take_no_empty_segment_but_the_rest_may_be_empty),
        TEST(router_does_not_confuse_equal_segments_of_different_parents),
        TEST(router_does_not_confuse_segments_of_equal_hash),
        TEST(router_answers_head_with_get_unless_head_has_its_own),
        TEST(router_star_takes_any_method),
        TEST(router_goes_on_to_a_less_special_pattern_that_has_the_method),
        TEST(router_says_405_or_options_only_for_known_paths),
        TEST(router_refuses_bad_paths),
        TEST(router_matches_decoded_and_keeps_parameters_as_received),
        TEST(router_copies_nothing_for_plain_paths),
        TEST(router_takes_long_and_deep_paths),
        TEST(router_puts_prefixes_before_the_patterns_of_groups),
        TEST(router_reads_rows_of_other_sizes),
        TEST(router_of_no_routes_finds_nothing),
        TEST(router_refuses_bad_rows_and_says_which),
        TEST(router_refuses_bad_groups_and_too_many_routes),
        TEST(router_overrides_only_the_row_that_is_named),
        TEST(router_refuses_overrides_of_routes_that_are_not_there),
        TEST(router_agrees_with_a_plain_search_of_all_rows),
        TEST(router_parameters_come_back_decoded_exactly_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
