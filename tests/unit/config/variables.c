/* `env`: what is read, from where, and what `remuda config` shows of it. What is refused in files
 * is in tests/cases/config/invalid/env*.yaml. */
#include "config/variables.h"

#include "config/render.h"
#include "tests/unit/config/tool.h"

static void expect(const struct merge_result *r, size_t i, const char *name, const char *value)
{
    assert_non_null(r->settings);
    assert_true(i < r->settings->variables.n);
    assert_string_equal(r->settings->variables.items[i].name, name);
    assert_string_equal(r->settings->variables.items[i].value, value);
}

static void there_are_none_by_default(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(r.settings->variables.n, 0);
    merge_fini(&r);
}

static void a_map_and_a_list_mean_the_same(void **state)
{
    (void)state;
    static const char *const files[] = {
        "env: {TZ: UTC, EMPTY: \"\", n: 5, on: yes, EQUATION: \"a=b\"}\n",
        "env: [TZ=UTC, EMPTY=, n=5, on=yes, \"EQUATION=a=b\"]\n",
    };
    for (size_t i = 0; i < 2; i++) {
        struct merge_result r;
        tool_write("remuda.yaml", files[i]);
        assert_int_equal(tool_merge_nothing(&r, NULL), 0);
        assert_int_equal(r.settings->variables.n, 5);
        expect(&r, 0, "TZ", "UTC");
        expect(&r, 1, "EMPTY", "");
        expect(&r, 2, "n", "5");
        expect(&r, 3, "on", "yes");
        expect(&r, 4, "EQUATION", "a=b");
        merge_fini(&r);
    }
}

static void an_empty_list_or_map_is_none(void **state)
{
    (void)state;
    static const char *const files[] = {"env: []\n", "env: {}\n"};
    for (size_t i = 0; i < 2; i++) {
        struct merge_result r;
        tool_write("remuda.yaml", files[i]);
        assert_int_equal(tool_merge_nothing(&r, NULL), 0);
        assert_int_equal(r.settings->variables.n, 0);
        merge_fini(&r);
    }
}

static void the_command_line_changes_and_adds(void **state)
{
    (void)state;
    static const char *const files[] = {"env: {A: file, B: file}\n", "env: [A=file, B=file]\n"};
    for (size_t i = 0; i < 2; i++) {
        struct merge_result r;
        tool_write("remuda.yaml", files[i]);
        assert_int_equal(tool_merge(&r, NULL, "--env", "B=flag=x", "-e", "C=short", "-eD=glued",
                                    "--env=E=", "--set", "env.F=set"),
                         0);
        assert_int_equal(r.settings->variables.n, 6);
        expect(&r, 0, "A", "file");
        expect(&r, 1, "B", "flag=x");
        expect(&r, 2, "C", "short");
        expect(&r, 3, "D", "glued");
        expect(&r, 4, "E", "");
        expect(&r, 5, "F", "set");
        merge_fini(&r);
    }
}

static void the_command_line_is_checked_as_well(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "--env", "NOTHING", "-e", "=x", "-e"), -EINVAL);
    assert_int_equal(r.exit_code, 2);
    tool_expect_lines(&r.mistakes,
                      "command line: --env: \"NOTHING\" is not of the form NAME=VALUE\n"
                      "command line: -e: \"=x\" is not of the form NAME=VALUE\n"
                      "command line: -e: needs a value\n");
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, NULL, "--env", "A-B=x"), -EINVAL);
    assert_int_equal(r.exit_code, 1);
    tool_expect_lines(&r.mistakes,
                      "command line: --env: \"A-B\" is no name of a variable; allowed: "
                      "letters, digits and _, no digit first\n");
    merge_fini(&r);
}

static void what_only_a_start_reads_is_warned_of(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "-e", "LD_LIBRARY_PATH=/x"), 0);
    tool_expect_lines(&r.warnings,
                      "command line: --env: \"LD_LIBRARY_PATH\" has no effect here, since it is "
                      "read when a process starts; set it where remuda is started\n");
    merge_fini(&r);
}

static char *rendered(const struct settings *s)
{
    struct buf page = {0};
    assert_int_equal(render_settings(&page, s, false), 0);
    assert_int_equal(buf_append(&page, "", 1), 0);
    return page.data;
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    static const char *const files[] = {
        "env: {DB_PASSWORD: hunter2, API_TOKEN_file: token, PLAIN: seen, "
        "URL: \"postgres://u:hunter3@host/\"}\n",
        "env: [DB_PASSWORD=hunter2, API_TOKEN=hunter4, PLAIN=seen, "
        "\"URL=postgres://u:hunter3@host/\"]\n",
    };
    tool_write("token", "hunter4\n");
    for (size_t i = 0; i < 2; i++) {
        struct merge_result r;
        tool_write("remuda.yaml", files[i]);
        assert_int_equal(tool_merge(&r, NULL, "-e", "SESSION_SECRET=hunter5"), 0);
        expect(&r, 0, "DB_PASSWORD", "hunter2");
        expect(&r, 1, "API_TOKEN", "hunter4");
        expect(&r, 4, "SESSION_SECRET", "hunter5");
        char *text = rendered(r.settings);
        assert_null(strstr(text, "hunter"));
        assert_non_null(strstr(text, "  DB_PASSWORD: \"***\"\n"));
        assert_non_null(strstr(text, "  PLAIN: "));
        free(text);
        merge_fini(&r);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_FOLDER(there_are_none_by_default),
        IN_FOLDER(a_map_and_a_list_mean_the_same),
        IN_FOLDER(an_empty_list_or_map_is_none),
        IN_FOLDER(the_command_line_changes_and_adds),
        IN_FOLDER(the_command_line_is_checked_as_well),
        IN_FOLDER(what_only_a_start_reads_is_warned_of),
        IN_FOLDER(secrets_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
