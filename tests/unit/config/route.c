/* Overrides for single routes: what is read, from where, and the way round through `remuda config`.
 * What is refused in files is in tests/cases/config/invalid/routes*.yaml. */
#include "config/route.h"

#include "config/render.h"
#include "tests/unit/config/tool.h"

static const struct setting_routes *routes_of(const struct merge_result *r)
{
    assert_non_null(r->settings);
    return &r->settings->route_overrides;
}

static void expect_route(const struct setting_route *item, const char *route, uint64_t body,
                         uint64_t timeout_us)
{
    assert_string_equal(item->route, route);
    assert_int_equal(item->limit_request_body_bytes, body);
    assert_int_equal(item->request_timeout_us, timeout_us);
}

static void no_route_is_overridden_by_default(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(routes_of(&r)->n, 0);
    merge_fini(&r);
}

static void a_map_says_what_holds_for_each_route(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "routes:\n"
                              "  \"POST /upload\": {limit_request_body: 1GiB}\n"
                              "  \"* /echo\":\n"
                              "    request_timeout: 5m\n"
                              "    limit_request_body: \"1\"\n"
                              "  GET /least: {request_timeout: 1ms}\n"
                              "  GET /most: {request_timeout: 1h, limit_request_body: 1TiB}\n"
                              "  GET /nothing: {}\n"
                              "  GET /waits: {lane: io}\n"
                              "  GET /quick: {lane: \"inline\"}\n"
                              "  GET /heavy: {lane: compute, pool: images, timeout: 10s}\n"
                              "  GET /either: {lane: auto, pool: default}\n"
                              "pools: {images: {}}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    const struct setting_routes *routes = routes_of(&r);
    assert_int_equal(routes->n, 9);
    assert_int_equal(routes->items[7].lane, SETTING_LANE_COMPUTE);
    assert_string_equal(routes->items[7].pool, "images");
    assert_int_equal(routes->items[7].request_timeout_us, 10000000);
    assert_int_equal(routes->items[8].lane, SETTING_LANE_AUTO);
    assert_string_equal(routes->items[8].pool, "default");
    assert_null(routes->items[6].pool);
    assert_int_equal(routes->items[4].lane, SETTING_LANE_DECLARED);
    assert_int_equal(routes->items[5].lane, SETTING_LANE_IO);
    assert_int_equal(routes->items[6].lane, SETTING_LANE_INLINE);
    expect_route(&routes->items[0], "POST /upload", UINT64_C(1) << 30, 0);
    assert_int_equal(routes->items[0].line, 2);
    assert_int_equal(routes->items[0].column, 3);
    expect_route(&routes->items[1], "* /echo", 1, 300000000);
    expect_route(&routes->items[2], "GET /least", 0, 1000);
    expect_route(&routes->items[3], "GET /most", UINT64_C(1) << 40, UINT64_C(3600000000));
    expect_route(&routes->items[4], "GET /nothing", 0, 0);
    merge_fini(&r);
}

static void the_command_line_changes_and_adds_single_values(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml", "routes: {POST /a: {limit_request_body: 1KiB}}\n");
    assert_int_equal(tool_merge(&r, NULL, "--set", "routes.POST /a.limit_request_body=2KiB",
                                "--set", "routes.GET /b/:id.request_timeout=3s"),
                     0);
    assert_int_equal(routes_of(&r)->n, 2);
    expect_route(&routes_of(&r)->items[0], "POST /a", 2048, 0);
    assert_int_equal(routes_of(&r)->items[0].line, 1);
    expect_route(&routes_of(&r)->items[1], "GET /b/:id", 0, 3000000);
    assert_int_equal(routes_of(&r)->items[1].line, 0);
    merge_fini(&r);
}

static void mistakes_of_other_layers_are_told(void **state)
{
    (void)state;
    static char *variable[] = {"REMUDA_ROUTES=x", NULL};
    struct merge_result r;
    tool_write("remuda.yaml", "routes: {POST /a: {limit_request_body: 1KiB}}\n");
    assert_int_equal(tool_merge(&r, variable, "--set", "routes.POST /a.limit_request_body=much",
                                "--set", "routes.GET /a.txt.request_timeout=1s", "--set",
                                "routes.GET=1"),
                     -EINVAL);
    tool_expect_lines(
        &r.mistakes,
        "environment: REMUDA_ROUTES: routes: a map cannot come from a variable; "
        "write ${NAME} in the file's values\n"
        "command line: --set routes.POST /a.limit_request_body: \"much\" is not a "
        "size in bytes; allowed: 1 to 1TiB, such as 8190 or 64KiB\n"
        "command line: --set routes.GET /a.txt: no such key; allowed: "
        "lane, pool, limit_request_body, slow_request, request_timeout, timeout, queue_target\n"
        "command line: --set routes: \"GET\" is no route; allowed: METHOD PATTERN as "
        "remuda routes prints them, such as \"POST /upload\" or \"* /echo\"\n");
    merge_fini(&r);
}

/* Patterns that sound like secrets are none; nothing of them is hidden. */
static void what_is_printed_loads_again(void **state)
{
    (void)state;
    struct merge_result r;
    struct merge_result again;
    struct buf first = {0};
    struct buf second = {0};
    tool_write("remuda.yaml", "routes:\n"
                              "  GET /keys/:token: {request_timeout: 7ms}\n"
                              "  \"* /$a/\\\"b: #\": {limit_request_body: \"64KiB\"}\n"
                              "  GET /: {}\n"
                              "app_config: {key: hidden}\n");
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(render_settings(&first, r.settings, false), 0);
    assert_int_equal(buf_append(&first, "", 1), 0);
    assert_non_null(strstr(first.data, "7ms"));
    assert_null(strstr(first.data, "hidden"));
    tool_write("again.yaml", first.data);
    assert_int_equal(tool_merge(&again, NULL, "-c", "again.yaml"), 0);
    assert_int_equal(routes_of(&again)->n, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct setting_route *item = &routes_of(&r)->items[i];
        expect_route(&routes_of(&again)->items[i], item->route, item->limit_request_body_bytes,
                     item->request_timeout_us);
    }
    assert_int_equal(render_settings(&second, again.settings, false), 0);
    assert_int_equal(buf_append(&second, "", 1), 0);
    assert_string_equal(first.data, second.data);
    buf_fini(&first);
    buf_fini(&second);
    merge_fini(&r);
    merge_fini(&again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tool_enter_folder, tool_leave_folder)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(no_route_is_overridden_by_default),
        TEST(a_map_says_what_holds_for_each_route),
        TEST(the_command_line_changes_and_adds_single_values),
        TEST(mistakes_of_other_layers_are_told),
        TEST(what_is_printed_loads_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
