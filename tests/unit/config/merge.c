/* The four layers: who wins, where a value came from, and that all mistakes of all layers are told
 * in one go. Each test runs in an empty folder of its own. */
#include "config/merge.h"

#include "tests/unit/config/tool.h"

static void expect_mistakes(char **environment, char **argv, int exit_code, const char *lines)
{
    struct merge_result r;
    assert_int_equal(tool_merge_words(&r, environment, argv), -EINVAL);
    tool_expect_lines(&r.mistakes, lines);
    assert_int_equal(r.exit_code, exit_code);
    assert_null(r.settings);
    merge_fini(&r);
}

#define WORDS(...)                                                                                 \
    (char *[])                                                                                     \
    {                                                                                              \
        "check", __VA_ARGS__, NULL                                                                 \
    }
#define NO_WORDS                                                                                   \
    (char *[])                                                                                     \
    {                                                                                              \
        "check", NULL                                                                              \
    }
#define VARIABLES(...)                                                                             \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void nothing_given_gives_the_defaults(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_non_null(r.settings);
    assert_null(r.config_path);
    assert_null(r.settings->file);
    assert_int_equal(r.exit_code, 0);
    assert_int_equal(r.settings->backlog, 2048);
    assert_int_equal(r.settings->workers.n, 6);
    for (size_t i = 0; i < SETTINGS_N; i++)
        assert_int_equal(r.settings->sources[i].origin, SETTING_FROM_DEFAULT);
    merge_fini(&r);
}

static void later_layers_win_and_are_named_as_the_source(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "backlog: 10\nworkers: 11\ntimeout: 12s\n\nkeepalive: 13s\n");
    struct merge_result r;
    assert_int_equal(tool_merge(&r, VARIABLES("REMUDA_TIMEOUT=22s", "REMUDA_KEEPALIVE=23s"),
                                "--keepalive", "33s", "--set", "workers=31"),
                     0);
    const struct settings *s = r.settings;
    assert_string_equal(r.config_path, "remuda.yaml");
    assert_string_equal(s->file, "remuda.yaml");
    assert_int_equal(s->backlog, 10);
    assert_int_equal(s->workers.n, 31);
    assert_false(s->workers.is_auto);
    assert_int_equal(s->timeout_us, 22000000);
    assert_int_equal(s->keepalive_us, 33000000);
    const struct setting_source *source = &s->sources[SETTING_ID_backlog];
    assert_int_equal(source->origin, SETTING_FROM_FILE);
    assert_string_equal(source->where, "remuda.yaml");
    assert_int_equal(source->line, 1);
    assert_int_equal(source->column, 10);
    assert_int_equal(s->sources[SETTING_ID_timeout].origin, SETTING_FROM_ENVIRONMENT);
    assert_string_equal(s->sources[SETTING_ID_timeout].where, "REMUDA_TIMEOUT");
    assert_int_equal(s->sources[SETTING_ID_keepalive].origin, SETTING_FROM_COMMAND_LINE);
    assert_string_equal(s->sources[SETTING_ID_keepalive].where, "--keepalive");
    assert_int_equal(s->sources[SETTING_ID_keepalive].line, 0);
    assert_string_equal(s->sources[SETTING_ID_workers].where, "--set workers");
    merge_fini(&r);
}

static void the_file_is_the_flags_or_the_variables_or_the_usual_one(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "backlog: 1\n");
    tool_write("b.yaml", "backlog: 2\n");
    tool_write("c.yaml", "backlog: 3\n");
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, VARIABLES("REMUDA_CONFIG=")), 0);
    assert_int_equal(r.settings->backlog, 1);
    merge_fini(&r);
    assert_int_equal(tool_merge_nothing(&r, VARIABLES("REMUDA_CONFIG=b.yaml")), 0);
    assert_int_equal(r.settings->backlog, 2);
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, VARIABLES("REMUDA_CONFIG=b.yaml"), "-c", "c.yaml"), 0);
    assert_int_equal(r.settings->backlog, 3);
    assert_string_equal(r.config_path, "c.yaml");
    merge_fini(&r);
    expect_mistakes(NULL, WORDS("-c", "nope.yaml"), 1,
                    "nope.yaml: cannot be read: No such file or directory\n");
}

static void bind_may_repeat_and_replaces_the_list_below(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "bind:\n  - :1\n  - :2\n");
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(r.settings->bind.n, 2);
    assert_int_equal(r.settings->bind.items[1].line, 3);
    merge_fini(&r);
    assert_int_equal(tool_merge_nothing(&r, VARIABLES("REMUDA_BIND=:3,unix:/x")), 0);
    assert_int_equal(r.settings->bind.n, 2);
    assert_string_equal(r.settings->bind.items[1].path, "/x");
    merge_fini(&r);
    assert_int_equal(
        tool_merge(&r, VARIABLES("REMUDA_BIND=:3"), "-b", ":4,:5", "--set", "bind=:6", "--bind=:7"),
        0);
    assert_int_equal(r.settings->bind.n, 4);
    for (uint16_t i = 0; i < 4; i++)
        assert_int_equal(r.settings->bind.items[i].port, 4 + i);
    merge_fini(&r);
    expect_mistakes(NULL, WORDS("--bind", ":1,"), 1,
                    "command line: --bind: \"\": is empty; allowed: host:port, [ipv6]:port, :port, "
                    "unix:/path (port 0 to 65535)\n");
}

static void networks_come_from_every_layer_and_may_be_none(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "forwarded_allow_ips: 10.0.0.0/8, ::1\nproxy_allow_ips: []\n");
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    assert_int_equal(r.settings->forwarded_allow_ips.n, 2);
    assert_int_equal(r.settings->forwarded_allow_ips.items[0].bits, 8);
    assert_int_equal(r.settings->proxy_allow_ips.n, 0);
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, VARIABLES("REMUDA_FORWARDED_ALLOW_IPS="), "--proxy-allow-ips",
                                "fd00::/8", "--proxy-allow-ips=*,unix"),
                     0);
    assert_int_equal(r.settings->forwarded_allow_ips.n, 0);
    assert_int_equal(r.settings->proxy_allow_ips.n, 3);
    assert_int_equal(r.settings->proxy_allow_ips.items[2].kind, NETWORK_UNIX);
    merge_fini(&r);
    expect_mistakes(VARIABLES("REMUDA_PROXY_ALLOW_IPS=::1,x"), WORDS("--forwarded-allow-ips", "/8"),
                    1,
                    "environment: REMUDA_PROXY_ALLOW_IPS: proxy_allow_ips: \"x\": is no IP address "
                    "or network; allowed: " NETWORK_FORMS "\n"
                    "command line: --forwarded-allow-ips: \"/8\": is no IP address or network; "
                    "allowed: " NETWORK_FORMS "\n");
}

static void the_app_comes_from_the_first_argument(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "app: a.so\n");
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "./b.so", "GET", "/x"), 0);
    assert_string_equal(r.settings->app, "./b.so");
    assert_int_equal(r.n_rest, 2);
    assert_string_equal(r.rest[0], "GET");
    assert_string_equal(r.rest[1], "/x");
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, NULL, "GET", "/x"), 0);
    assert_string_equal(r.settings->app, "a.so");
    merge_fini(&r);
}

static void variables_that_are_no_settings_are_mistakes_but_for_foreign_ones(void **state)
{
    (void)state;
    expect_mistakes(VARIABLES("REMUDA_WORKER=3", "REMUDA_XYZZY=1", "REMUDA_=2", "REMUDA_workers=2",
                              "REMUDA_APP_CONFIG=x"),
                    NO_WORDS, 1,
                    "environment: REMUDA_WORKER: no such setting; did you mean REMUDA_WORKERS?\n"
                    "environment: REMUDA_XYZZY: no such setting; REMUDA_ is for settings only, see "
                    "remuda config --reference\n"
                    "environment: REMUDA_: no such setting; REMUDA_ is for settings only, see "
                    "remuda config --reference\n"
                    "environment: REMUDA_workers: no such setting; did you mean REMUDA_WORKERS?\n"
                    "environment: REMUDA_APP_CONFIG: app_config: a map cannot come from a "
                    "variable; write ${NAME} in the file's values\n");
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, VARIABLES("REMUDA_FAULT=x:1", "REMUDA_PORT=tcp://a:80",
                                                      "REMUDA_PORT_80_TCP=tcp://a:80", "NOVALUE",
                                                      "REMUDA_SERVICE_HOST=10.0.0.1", "REMUDAS=1")),
                     0);
    merge_fini(&r);
}

static void all_layers_are_read_and_told_in_one_go(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "strict: maybe\nworkers: 0\ncolour: red\n");
    expect_mistakes(VARIABLES("REMUDA_BACKLOG=0"),
                    WORDS("--workers", "3", "-b", "x", "--timeout=1"), 1,
                    "remuda.yaml:1:9: strict: \"maybe\" is not a truth value; allowed: yes, no, "
                    "true, false, on, off\n"
                    "remuda.yaml:2:10: workers: \"0\" is out of range; allowed: auto, 1 to 512 "
                    "processes, or a range such as 2..8 or 2..auto\n"
                    "remuda.yaml:3:1: colour: no such setting; see remuda config --reference\n"
                    "environment: REMUDA_BACKLOG: backlog: \"0\" is out of range; allowed: 1 to "
                    "65535 connections\n"
                    "command line: -b: \"x\": has no port; allowed: host:port, [ipv6]:port, :port, "
                    "unix:/path (port 0 to 65535)\n"
                    "command line: --timeout: \"1\" has no unit; allowed: 1s to 1h, or 0 (never), "
                    "such as 30s or 2m\n");
}

static void a_wrong_command_line_is_usage(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "strict: maybe\n");
    expect_mistakes(NULL, WORDS("--wrokers=1", "--set"), 2,
                    "command line: --wrokers: no such option; did you mean --workers?\n"
                    "command line: --set: needs a value\n");
}

static void help_wants_nothing_else_to_be_right(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "--nonsense", "-c", "nope.yaml", "-h"), 0);
    assert_true(r.is_help_wanted);
    assert_null(r.settings);
    tool_expect_lines(&r.mistakes, "");
    merge_fini(&r);
}

static void strict_makes_mistakes_of_warnings(void **state)
{
    (void)state;
    static const char line[] = "command line: --access-log-format: has no effect, since accesslog "
                               "is off; set accesslog to a path or \"-\"\n";
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "--access-log-format", "%(h)s"), 0);
    tool_expect_lines(&r.warnings, line);
    merge_fini(&r);
    expect_mistakes(NULL, WORDS("--access-log-format", "%(h)s", "--strict"), 1, line);
}

static void trees_are_set_by_dotted_keys(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "app_config: {db: {url: x, n: 1}}\n");
    struct merge_result r;
    assert_int_equal(
        tool_merge(&r, NULL, "--set", "app_config.db.url=y", "--set", "app_config.more=a=b"), 0);
    const struct settings_node *tree = r.settings->app_config;
    assert_string_equal(settings_node_get(tree, "db.url")->text, "y");
    assert_string_equal(settings_node_get(tree, "db.n")->text, "1");
    assert_string_equal(settings_node_get(tree, "more")->text, "a=b");
    merge_fini(&r);
    expect_mistakes(NULL, WORDS("--set", "app_config.db=1", "--set", "app_config.db.n.x=1"), 1,
                    "command line: --set app_config.db: \"db\" is a map or a list; set what is in "
                    "it: db.KEY=VALUE\n"
                    "command line: --set app_config.db.n.x: \"n\" in \"db.n.x\" is not a map\n");
}

/* Not as YAML: there is no file and no line to tell mistakes by. */
static void maps_are_set_key_by_key(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "app_config: {}\n");
    expect_mistakes(NULL, WORDS("--set", "pools.x={workers: 2}", "--set", "app_config.x={a}"), 1,
                    "command line: --set pools.x: a map is set key by key: pools.x.KEY=VALUE\n");
}

static void each_tree_has_a_map_of_its_own(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "");
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "--set", "secure_scheme_headers.X-Https=on"), 0);
    assert_int_equal(r.settings->app_config->n, 0);
    assert_int_equal(r.settings->secure_scheme_headers->n, 1);
    merge_fini(&r);
    expect_mistakes(NULL, WORDS("--set", "secure_scheme_headers.X Y=on"), 1,
                    "command line: --set secure_scheme_headers: \"X Y\" is no name of a header "
                    "field; allowed: letters, digits and !#$%&'*+-.^_`|~\n");
}

static void empty_texts_mean_none(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "accesslog: \"-\"\nuser: root\n");
    struct merge_result r;
    assert_int_equal(tool_merge(&r, VARIABLES("REMUDA_USER="), "--accesslog="), 0);
    assert_null(r.settings->user);
    assert_null(r.settings->accesslog);
    merge_fini(&r);
}

static void the_same_command_line_can_be_read_again(void **state)
{
    (void)state;
    char *argv[] = {"run", "a.so", "--workers", "2", "--single", NULL};
    struct merge_option options[] = {{.name = "--single"}, {0}};
    struct merge_input in = {.argc = 5, .argv = argv, .options = options, .machine = &tool_machine};
    for (int turn = 0; turn < 2; turn++) {
        struct merge_result r;
        assert_int_equal(merge_settings(&in, &r), 0);
        assert_int_equal(options[0].n_given, 1);
        struct settings *s = merge_take_settings(&r);
        assert_null(r.settings);
        merge_fini(&r);
        assert_int_equal(s->workers.n, 2);
        assert_string_equal(s->app, "a.so"); /* outlives the result */
        settings_free(s);
    }
}

static void this_machine_is_used_when_none_is_given(void **state)
{
    (void)state;
    struct merge_result r;
    char *argv[] = {"run", NULL};
    assert_int_equal(merge_settings(&(struct merge_input){.argc = 1, .argv = argv}, &r), 0);
    assert_true(r.settings->workers.n >= 1);
    assert_true(r.settings->cpus >= 1);
    assert_non_null(r.settings->cpus_why);
    merge_fini(&r);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(nothing_given_gives_the_defaults),
        IN_FOLDER(later_layers_win_and_are_named_as_the_source),
        IN_FOLDER(the_file_is_the_flags_or_the_variables_or_the_usual_one),
        IN_FOLDER(bind_may_repeat_and_replaces_the_list_below),
        IN_FOLDER(networks_come_from_every_layer_and_may_be_none),
        IN_FOLDER(the_app_comes_from_the_first_argument),
        IN_FOLDER(variables_that_are_no_settings_are_mistakes_but_for_foreign_ones),
        IN_FOLDER(all_layers_are_read_and_told_in_one_go),
        IN_FOLDER(a_wrong_command_line_is_usage),
        IN_FOLDER(help_wants_nothing_else_to_be_right),
        IN_FOLDER(strict_makes_mistakes_of_warnings),
        IN_FOLDER(trees_are_set_by_dotted_keys),
        IN_FOLDER(maps_are_set_key_by_key),
        IN_FOLDER(each_tree_has_a_map_of_its_own),
        IN_FOLDER(empty_texts_mean_none),
        IN_FOLDER(the_same_command_line_can_be_read_again),
        IN_FOLDER(this_machine_is_used_when_none_is_given),
    };
    return cmocka_run_group_tests_name("config/merge", tests, NULL, NULL);
}
