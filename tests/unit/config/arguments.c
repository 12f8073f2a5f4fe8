/* Command lines, taken apart. */
#include "config/arguments.h"

#include "tests/unit/config/tool.h"

struct parsed {
    struct arena arena;
    struct mistakes mistakes;
    struct arguments arguments;
    struct merge_option options[4];
};

#define parse(p, ...) parse_words(p, (char *[]){"call", __VA_ARGS__, NULL})

static void parse_words(struct parsed *p, char **argv)
{
    *p = (struct parsed){.options = {{.name = "--single"},
                                     {.name = "--data", .letter = 'd', .takes_value = true},
                                     {.name = "--verbose", .letter = 'v'}}};
    arena_init(&p->arena, 256);
    int argc = 0;
    while (argv[argc])
        argc++;
    struct merge_input in = {.argc = argc, .argv = argv, .options = p->options};
    assert_int_equal(arguments_parse(&p->arena, &in, &p->mistakes, &p->arguments), 0);
}

static void fini(struct parsed *p)
{
    mistakes_fini(&p->mistakes);
    arena_fini(&p->arena);
}

static void expect_item(const struct parsed *p, size_t i, enum setting_id id, const char *flag,
                        const char *value)
{
    assert_true(i < p->arguments.n);
    const struct argument *a = &p->arguments.items[i];
    assert_ptr_equal(a->spec, &schema_specs[id]);
    assert_string_equal(a->flag, flag);
    assert_string_equal(a->value, value);
}

static void settings_have_several_spellings(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--workers", "3", "--worker-class=event", "-w4", "-w", "5", "-b:80", "--set",
          "backlog=7", "--set=umask=022", "--server-header=", "--access-log-format", "--x", "--set",
          "app_config.db.url=a=b");
    tool_expect_lines(&p.mistakes, "");
    assert_int_equal(p.arguments.n, 10);
    expect_item(&p, 0, SETTING_ID_workers, "--workers", "3");
    expect_item(&p, 1, SETTING_ID_worker_class, "--worker-class", "event");
    expect_item(&p, 2, SETTING_ID_workers, "-w", "4");
    expect_item(&p, 3, SETTING_ID_workers, "-w", "5");
    expect_item(&p, 4, SETTING_ID_bind, "-b", ":80");
    expect_item(&p, 5, SETTING_ID_backlog, "--set backlog", "7");
    expect_item(&p, 6, SETTING_ID_umask, "--set umask", "022");
    expect_item(&p, 7, SETTING_ID_server_header, "--server-header", "");
    expect_item(&p, 8, SETTING_ID_access_log_format, "--access-log-format", "--x");
    expect_item(&p, 9, SETTING_ID_app_config, "--set app_config.db.url", "a=b");
    assert_string_equal(p.arguments.items[9].path, "db.url");
    assert_null(p.arguments.items[8].path);
    fini(&p);
}

static void truth_values_need_no_value(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--strict", "--no-app-copy", "--initgroups=off", "rest");
    tool_expect_lines(&p.mistakes, "");
    expect_item(&p, 0, SETTING_ID_strict, "--strict", "yes");
    expect_item(&p, 1, SETTING_ID_app_copy, "--no-app-copy", "no");
    expect_item(&p, 2, SETTING_ID_initgroups, "--initgroups", "off");
    assert_int_equal(p.arguments.n_rest, 1);
    fini(&p);
    parse(&p, "--no-strict=yes", "--no-workers", "--no-such");
    tool_expect_lines(&p.mistakes,
                      "command line: --no-strict: takes no value\n"
                      "command line: --no-workers: no such option; did you mean --workers?\n"
                      "command line: --no-such: no such option; see --help\n");
    fini(&p);
}

static void only_the_first_argument_may_be_the_app(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "-w", "1", "./demo.so", "GET", "/other.so");
    expect_item(&p, 1, SETTING_ID_app, "APP.so", "./demo.so");
    assert_int_equal(p.arguments.n_rest, 2);
    assert_string_equal(p.arguments.rest[1], "/other.so");
    fini(&p);
    parse(&p, "GET", "/other.so");
    assert_int_equal(p.arguments.n, 0);
    assert_int_equal(p.arguments.n_rest, 2);
    fini(&p);
    parse(&p, ".so");
    assert_int_equal(p.arguments.n, 0);
    fini(&p);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "-", "--", "--workers", "-h", "--");
    tool_expect_lines(&p.mistakes, "");
    assert_int_equal(p.arguments.n, 0);
    assert_int_equal(p.arguments.n_rest, 4);
    assert_string_equal(p.arguments.rest[0], "-");
    assert_string_equal(p.arguments.rest[3], "--");
    assert_false(p.arguments.is_help_wanted);
    fini(&p);
}

static void a_command_has_options_of_its_own(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--single", "-d", "a", "--data=b", "-dc", "--data", "", "-v", "--verbose");
    tool_expect_lines(&p.mistakes, "");
    assert_int_equal(p.options[0].n_given, 1);
    assert_int_equal(p.options[1].n_given, 4);
    assert_string_equal(p.options[1].values[1], "b");
    assert_string_equal(p.options[1].values[2], "c");
    assert_string_equal(p.options[1].values[3], "");
    assert_int_equal(p.options[2].n_given, 2);
    fini(&p);
    parse(&p, "--single=x", "--data");
    tool_expect_lines(&p.mistakes, "command line: --single: takes no value\n"
                                   "command line: --data: needs a value\n");
    fini(&p);
}

static void an_option_given_too_often_is_told(void **state)
{
    (void)state;
    char *argv[2 * MERGE_VALUES_MAX + 4] = {"call"};
    for (int i = 0; i <= MERGE_VALUES_MAX; i++) {
        argv[1 + 2 * i] = "-d";
        argv[2 + 2 * i] = "x";
    }
    struct parsed p;
    parse_words(&p, argv);
    assert_int_equal(p.options[1].n_given, MERGE_VALUES_MAX);
    tool_expect_lines(&p.mistakes, "command line: --data: given too often; allowed: 32 times\n");
    fini(&p);
}

static void the_file_and_help_are_options_of_everyone(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "-c", "a.yaml", "--config=b.yaml", "-h");
    assert_string_equal(p.arguments.config_path, "b.yaml");
    assert_string_equal(p.arguments.config_flag, "--config");
    assert_true(p.arguments.is_help_wanted);
    fini(&p);
    parse(&p, "-cx", "--help");
    assert_string_equal(p.arguments.config_path, "x");
    assert_true(p.arguments.is_help_wanted);
    fini(&p);
}

static void what_has_the_wrong_form_is_told_all_in_one_go(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--wrokers", "3", "-x", "--app_copy", "--app-config", "x", "--set", "workers",
          "--set", "=3", "--set", "worker=3", "--set", "app_config=3", "--set", "workers.x=3",
          "--set", "colour=red", "--x\n\033[31m", "--bind");
    tool_expect_lines(
        &p.mistakes,
        "command line: --wrokers: no such option; did you mean --workers?\n"
        "command line: -x: no such option; see --help\n"
        "command line: --app_copy: no such option; did you mean --app-copy?\n"
        "command line: --app-config: is a map; write --set app_config.KEY=VALUE\n"
        "command line: --set: \"workers\" has no value; allowed: KEY=VALUE\n"
        "command line: --set: \"=3\" has no value; allowed: KEY=VALUE\n"
        "command line: --set: \"worker\": no such setting; did you mean workers?\n"
        "command line: --set: \"app_config\": a key of the map is needed: app_config.KEY=VALUE\n"
        "command line: --set: \"workers.x\": is one value and has no keys\n"
        "command line: --set: \"colour\": no such setting; see remuda config --reference\n"
        "command line: --x\\x0a\\x1b[31m: no such option; see --help\n"
        "command line: --bind: needs a value\n");
    fini(&p);
}

static void no_arguments_at_all_are_fine(void **state)
{
    (void)state;
    struct parsed p;
    parse_words(&p, (char *[]){"run", NULL});
    assert_int_equal(p.arguments.n + p.arguments.n_rest, 0);
    fini(&p);
    parse_words(&p, (char *[]){NULL});
    assert_int_equal(p.arguments.n + p.arguments.n_rest, 0);
    fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_have_several_spellings),
        cmocka_unit_test(truth_values_need_no_value),
        cmocka_unit_test(only_the_first_argument_may_be_the_app),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_command_has_options_of_its_own),
        cmocka_unit_test(an_option_given_too_often_is_told),
        cmocka_unit_test(the_file_and_help_are_options_of_everyone),
        cmocka_unit_test(what_has_the_wrong_form_is_told_all_in_one_go),
        cmocka_unit_test(no_arguments_at_all_are_fine),
    };
    return cmocka_run_group_tests_name("config/arguments", tests, NULL, NULL);
}
