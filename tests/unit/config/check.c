/* Rules about several settings, and about the files that they name. */
#include "config/check.h"

#include "tests/unit/config/tool.h"

/* Merges a file's text and words, and compares mistakes and warnings. */
static void expect(const char *yaml, char **words, const char *mistakes, const char *warnings)
{
    struct merge_result r;
    tool_write("f", yaml);
    (void)tool_merge_words(&r, NULL, words);
    tool_expect_lines(&r.mistakes, mistakes);
    tool_expect_lines(&r.warnings, warnings);
    merge_fini(&r);
}

#define FILE_ONLY                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        "check", "-c", "f", NULL                                                                   \
    }
#define FILE_AND(...)                                                                              \
    (char *[])                                                                                     \
    {                                                                                              \
        "check", "-c", "f", __VA_ARGS__, NULL                                                      \
    }

static void parts_are_at_most_their_whole(void **state)
{
    (void)state;
    expect("limit_request_head: 8KiB\nlimit_request_line: 9KiB\n", FILE_ONLY,
           "f:2:21: limit_request_line: 9KiB is more than limit_request_head, which is 8KiB; "
           "allowed: at most that\n",
           "");
    expect("limit_request_line: 9KiB\n\nlimit_request_head: 8KiB\n", FILE_ONLY,
           "f:3:21: limit_request_head: 8KiB is less than limit_request_line, which is 9KiB; "
           "allowed: at least that\n",
           "");
    expect("limit_request_head: 1KiB\n", FILE_ONLY,
           "f:1:21: limit_request_head: 1KiB is less than limit_request_line, which is 8190; "
           "allowed: at least that\n"
           "f:1:21: limit_request_head: 1KiB is less than limit_request_field_size, which is 8190; "
           "allowed: at least that\n",
           "");
    expect("limit_request_head: 8KiB\n", FILE_AND("--limit-request-field-size", "9000"),
           "command line: --limit-request-field-size: 9000 is more than limit_request_head, which "
           "is 8KiB; allowed: at most that\n",
           "");
    expect("limit_request_head: 8190\n", FILE_ONLY, "", "");
}

static void a_server_field_has_an_end(void **state)
{
    (void)state;
    char yaml[160];
    (void)snprintf(yaml, sizeof yaml, "server_header: %0100d\n", 7);
    expect(yaml, FILE_ONLY, "", "");
    (void)snprintf(yaml, sizeof yaml, "server_header: %0101d\n", 7);
    expect(yaml, FILE_ONLY, "f:1:16: server_header: 101 bytes long; allowed: at most 100\n", "");
}

static void groups_need_a_user(void **state)
{
    (void)state;
    expect("group: root\ninitgroups: yes\n", FILE_ONLY,
           "f:1:8: group: is set without user; workers would change their group and keep the user "
           "that started the server; set user as well\n"
           "f:2:13: initgroups: is on without user, whose groups are meant; set user as well\n",
           "");
    expect("group: root\ninitgroups: yes\nuser: root\n", FILE_ONLY, "", "");
    expect("initgroups: no\n", FILE_ONLY, "", "");
}

static void an_address_may_be_there_once(void **state)
{
    (void)state;
    expect("bind:\n  - :80\n  - unix:/a\n  - 0.0.0.0:80\n  - unix:/a\n  - \"[::1]:0\"\n"
           "  - \"[0::1]:0\"\n",
           FILE_ONLY,
           "f:4:5: bind: 0.0.0.0:80 is there twice; allowed: each address once\n"
           "f:5:5: bind: unix:/a is there twice; allowed: each address once\n",
           "");
    expect("", FILE_AND("-b", "a:1,A:1"),
           "command line: -b: a:1 is there twice; allowed: each address once\n", "");
}

static void a_format_without_a_log_is_a_warning(void **state)
{
    (void)state;
    expect("access_log_format: \"%(h)s\"\n", FILE_ONLY, "",
           "f:1:20: access_log_format: has no effect, since accesslog is off; set accesslog to a "
           "path or \"-\"\n");
    expect("access_log_format: \"%(h)s\"\naccesslog: \"-\"\n", FILE_ONLY, "", "");
}

static void refused_values_take_no_part_in_rules(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("f", "limit_request_head: 1KiB\nlimit_request_line: x\n"
                    "limit_request_field_size: 64\naccess_log_format: a\naccesslog: no\n"
                    "group: root\nuser: no-such-user\n");
    (void)tool_merge(&r, NULL, "-c", "f");
    assert_int_equal(r.mistakes.n,
                     3); /* line, accesslog, user; nothing about head, group, format */
    tool_expect_lines(&r.warnings, "");
    merge_fini(&r);
}

static void environment_and_defaults_have_their_places(void **state)
{
    (void)state;
    struct merge_result r;
    (void)tool_merge_nothing(
        &r, ((char *[]){"REMUDA_GROUP=root", "REMUDA_LIMIT_REQUEST_HEAD=1KiB", NULL}));
    char *lines = tool_lines(&r.mistakes);
    assert_non_null(strstr(lines, "environment: REMUDA_GROUP: group: is set without user"));
    assert_non_null(strstr(lines, "environment: REMUDA_LIMIT_REQUEST_HEAD: limit_request_head: "
                                  "1KiB is less than limit_request_line"));
    free(lines);
    merge_fini(&r);
    struct settings *s = settings_new();
    struct mistakes m = {0};
    assert_non_null(s);
    check_complain(s, SETTING_ID_app, &m, "odd");
    tool_expect_lines(&m, "app: odd\n");
    mistakes_fini(&m);
    settings_free(s);
}

static void expect_files(const char *yaml, const char *mistakes)
{
    struct merge_result r;
    struct mistakes m = {0};
    tool_write("f", yaml);
    assert_int_equal(tool_merge(&r, NULL, "-c", "f"), 0);
    check_files(r.settings, &m);
    tool_expect_lines(&m, mistakes);
    mistakes_fini(&m);
    merge_fini(&r);
}

static void files_and_folders_are_there(void **state)
{
    (void)state;
    tool_write_deep("sub/a.so", "");
    expect_files("", "");
    expect_files("app: sub/a.so\nerrorlog: sub/log\naccesslog: log\nbind: unix:sub/s\n", "");
    expect_files("chdir: sub\napp: a.so\nerrorlog: ./log\n", "");
    expect_files("app: nope.so\n", "f:1:6: app: \"nope.so\": No such file or directory; allowed: "
                                   "path of a readable shared object\n");
    expect_files("app: sub\n", "f:1:6: app: \"sub\": not a regular file; allowed: path of a "
                               "readable shared object\n");
    expect_files("chdir: sub\napp: sub/a.so\n",
                 "f:2:6: app: \"sub/sub/a.so\": No such file or directory; allowed: path of a "
                 "readable shared object\n");
    expect_files("chdir: nope\napp: a.so\n",
                 "f:1:8: chdir: no folder \"nope\"; allowed: a folder that exists\n");
    expect_files("chdir: f\n", "f:1:8: chdir: no folder \"f\"; allowed: a folder that exists\n");
    expect_files("slowlog: nope/log\n",
                 "f:1:10: slowlog: no folder \"nope\"; allowed: a path whose folder exists\n");
    expect_files("errorlog: nope/log\naccesslog: /nope/log\nbind:\n  - :1\n  - unix:nope/s\n",
                 "f:1:11: errorlog: no folder \"nope\"; allowed: a path whose folder exists\n"
                 "f:2:12: accesslog: no folder \"/nope\"; allowed: a path whose folder exists\n"
                 "f:5:5: bind: no folder \"nope\"; allowed: a path whose folder exists\n");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(parts_are_at_most_their_whole),
        IN_FOLDER(a_server_field_has_an_end),
        IN_FOLDER(groups_need_a_user),
        IN_FOLDER(an_address_may_be_there_once),
        IN_FOLDER(a_format_without_a_log_is_a_warning),
        IN_FOLDER(refused_values_take_no_part_in_rules),
        IN_FOLDER(environment_and_defaults_have_their_places),
        IN_FOLDER(files_and_folders_are_there),
    };
    return cmocka_run_group_tests_name("config/check", tests, NULL, NULL);
}
