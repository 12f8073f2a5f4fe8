/* workers/app.c, the rest of remuda.h: app_config by key and type, who this process is, and the
 * log. */
#include <limits.h>

#include "tests/unit/workers/calls.h"

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "x");
}

static const rmd_route routes[] = {{.method = "GET", .pattern = "/", .handler = handler}, {0}};
static const rmd_app app = CALLS_APP(.routes = routes);

#define SCALAR(name, value, after)                                                                 \
    {                                                                                              \
        .kind = SETTINGS_SCALAR, .key = (name), .text = (value), .len = sizeof(value) - 1,         \
        .line = 12, .column = 3, .next = (after)                                                   \
    }

/* db: {pool_size: 20, name: main}, wait: 1500ms, … */
static const struct settings_node nodes[] = {
    SCALAR("pool_size", "20", &nodes[1]),
    SCALAR("name", "main", NULL),
    SCALAR("wait", "1500ms", &nodes[3]),
    SCALAR("room", "64MiB", &nodes[4]),
    SCALAR("on", "yes", &nodes[5]),
    SCALAR("ratio", "0.25", &nodes[6]),
    SCALAR("minus", "-3", &nodes[7]),
    {.kind = SETTINGS_MAP, .key = "db", .first = &nodes[0], .n = 2},
};

static int setup(void **state)
{
    (void)state;
    calls_config = (struct settings_node){.kind = SETTINGS_MAP, .first = &nodes[2], .n = 6};
    calls_open(&app);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    calls_close();
    return 0;
}

static void settings_are_found_by_dotted_key(void **state)
{
    (void)state;
    CHECK_EQ(rmd_config_int("db.pool_size", 5), 20);
    CHECK_TEXT(rmd_config_string("db.name", "other"), "main");
    CHECK_TEXT(rmd_config_string("db.pool_size", "other"), "20");
    CHECK_EQ(rmd_config_int("minus", 5), -3);
    CHECK(rmd_config_bool("on", false));
    CHECK(rmd_config_double("ratio", 1.) == 0.25);
    CHECK_EQ(rmd_config_duration_ms("wait", 7), 1500);
    CHECK_EQ(rmd_config_bytes("room", 7), 64LL << 20);
    CHECK_TEXT(calls_log(), "");
}

static void an_absent_setting_is_the_fallback_without_a_word(void **state)
{
    (void)state;
    CHECK_EQ(rmd_config_int("db.missing", LLONG_MIN), LLONG_MIN);
    CHECK_EQ(rmd_config_int("missing.too", LLONG_MAX), LLONG_MAX);
    CHECK(rmd_config_string("missing", NULL) == NULL);
    CHECK(rmd_config_bool("missing", true));
    CHECK(rmd_config_double("missing", 2.5) == 2.5);
    CHECK_EQ(rmd_config_duration_ms("missing", -1), -1);
    CHECK_EQ(rmd_config_bytes("missing", -1), -1);
    chain_set_process(&(struct chain_process){.role = "web"}); /* no app_config at all */
    CHECK_EQ(rmd_config_int("db.pool_size", 5), 5);
    CHECK_TEXT(calls_log(), "");
}

static void check_warned(const char *key)
{
    const char *log = calls_log();
    char pair[64];
    (void)snprintf(pair, sizeof pair, "key=\"%s\"", key);
    CHECK_HAS(log, "another type");
    CHECK_HAS(log, pair);
    CHECK_HAS(log, "app.yaml:");
    CHECK(strchr(log, '\n') == strrchr(log, '\n')); /* one line */
}

static void a_setting_of_another_type_is_the_fallback_with_a_warning(void **state)
{
    (void)state;
    CHECK_EQ(rmd_config_int("db.name", 5), 5);
    check_warned("db.name");
    CHECK(rmd_config_bool("db.pool_size", true));
    check_warned("db.pool_size");
    CHECK(rmd_config_double("db.name", 2.5) == 2.5);
    check_warned("db.name");
    CHECK_EQ(rmd_config_duration_ms("db.name", -1), -1);
    check_warned("db.name");
    CHECK_EQ(rmd_config_bytes("wait", -1), -1);
    check_warned("wait");
    CHECK_TEXT(rmd_config_string("db", "fallback"), "fallback");
    check_warned("db");
    CHECK_EQ(rmd_config_int("ratio", 5), 5);
    check_warned("ratio");
}

static void a_process_knows_who_it_is(void **state)
{
    (void)state;
    CHECK_TEXT(rmd_role(), "test");
    CHECK_EQ(rmd_slot(), 3);
    CHECK_EQ(rmd_generation(), 7);
    chain_set_process(&(struct chain_process){.role = "loader", .slot = -1, .generation = 0});
    CHECK_TEXT(rmd_role(), "loader");
    CHECK_EQ(rmd_slot(), -1);
    CHECK_EQ(rmd_generation(), 0);
}

static void an_app_writes_lines_into_the_log(void **state)
{
    (void)state;
    rmd_log(RMD_LOG_WARN, "%s of %d", "a line", 2);
    const char *log = calls_log();
    CHECK_HAS(log, "warn");
    CHECK_HAS(log, "a line of 2\n");
    rmd_log(RMD_LOG_NOTICE, "forged\nerror master: all is lost\x1b[0m");
    log = calls_log();
    CHECK(strchr(log, '\n') == strrchr(log, '\n')); /* still one line */
    CHECK_HAS_NOT(log, "\x1b");
    rmd_log(RMD_LOG_INFO, "100%% of %s", "%s%n"); /* pairs are no format */
    CHECK_HAS(calls_log(), "100% of %s%n");
    rmd_log((enum rmd_log_level)77, "no such level");
    CHECK_HAS(calls_log(), "error");
    log_init(calls_log_fd, LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    rmd_log(RMD_LOG_NOTICE, "not wanted");
    CHECK_TEXT(calls_log(), "");
    rmd_log(RMD_LOG_ERROR, "%0*d", 10000, 7); /* cut, and the line ended */
    log = calls_log();
    CHECK(strlen(log) <= 4096);
    CHECK(log[strlen(log) - 1] == '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(settings_are_found_by_dotted_key, setup, teardown),
        cmocka_unit_test_setup_teardown(an_absent_setting_is_the_fallback_without_a_word, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_setting_of_another_type_is_the_fallback_with_a_warning,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_knows_who_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(an_app_writes_lines_into_the_log, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
