/* What `remuda config` prints: it is YAML, it loads again to the same settings, and secrets are
 * not in it. */
#include "config/render.h"

#include "config/value.h"
#include "tests/unit/config/tool.h"

/* Renders settings, loads what came out, and compares every field and the tree. */
static void expect_round_trip(const struct settings *s, bool is_why)
{
    struct buf first = {0};
    struct buf again = {0};
    assert_int_equal(render_settings(&first, s, is_why), 0);
    FILE *file = fopen("again.yaml", "w");
    assert_non_null(file);
    assert_int_equal(fwrite(first.data, 1, first.len, file), first.len);
    assert_int_equal(fclose(file), 0);

    struct merge_result r;
    int rc = tool_merge(&r, NULL, "-c", "again.yaml");
    if (rc < 0) {
        char *lines = tool_lines(&r.mistakes);
        fail_msg("%s", lines);
    }
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting_spec *spec = &schema_specs[i];
        if (spec->type == SETTING_TREE)
            continue;
        assert_int_equal(value_count(s, spec), value_count(r.settings, spec));
        for (size_t k = 0; k < value_count(s, spec); k++) {
            struct buf a = {0};
            struct buf b = {0};
            assert_int_equal(value_print(&a, s, spec, k), 0);
            assert_int_equal(value_print(&b, r.settings, spec, k), 0);
            assert_string_equal(a.data ? a.data : "", b.data ? b.data : "");
            buf_fini(&a);
            buf_fini(&b);
        }
    }
    assert_int_equal(s->workers.is_auto, r.settings->workers.is_auto);
    assert_int_equal(s->workers.n, r.settings->workers.n);
    /* The tree is compared by what is printed without comments, which the loop above cannot see. */
    if (!is_why) {
        assert_int_equal(render_settings(&again, r.settings, false), 0);
        assert_int_equal(first.len, again.len);
        assert_memory_equal(first.data, again.data, first.len);
    }
    merge_fini(&r);
    buf_fini(&first);
    buf_fini(&again);
}

static void defaults_go_around(void **state)
{
    (void)state;
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, NULL), 0);
    expect_round_trip(r.settings, false);
    expect_round_trip(r.settings, true);
    merge_fini(&r);
    assert_int_equal(tool_merge(&r, NULL, "--strict"), 0);
    expect_round_trip(r.settings, false); /* no warning comes of a default that is written out */
    merge_fini(&r);
}

static void everything_given_goes_around(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write("remuda.yaml",
               "app: \"./odd name: #1.so\"\napp_copy: no\nchdir: /tmp\n"
               "bind: [\":80\", \"[::1]:0\", \"unix:/a b\", \"unix:$$x\"]\nbacklog: 1\n"
               "umask: 0027\nworkers: 3\nuser: root\ngroup: root\ninitgroups: on\n"
               "timeout: 0\ngraceful_timeout: 1500ms\nkeepalive: 0\nlimit_request_body: 0\n"
               "limit_request_head: 100000\nloglevel: debug\nlog_format: json\n"
               "errorlog: \"no\"\naccesslog: \"~\"\n"
               "access_log_format: '\"%(r)s\" \\ $${x} é'\nserver_header: \"\"\nstrict: true\n");
    int rc = tool_merge_nothing(&r, NULL);
    if (rc < 0) {
        char *lines = tool_lines(&r.mistakes);
        fail_msg("%s", lines);
    }
    assert_string_equal(r.settings->access_log_format, "\"%(r)s\" \\ ${x} é");
    assert_string_equal(r.settings->errorlog, "no");
    expect_round_trip(r.settings, false);
    expect_round_trip(r.settings, true);
    merge_fini(&r);
}

static void trees_go_around(void **state)
{
    (void)state;
    struct merge_result r;
    tool_write(
        "remuda.yaml",
        "app_config:\n  a: 1\n  b: \"1\"\n  c: no\n  d: \"no\"\n  e:\n  f: \"\"\n"
        "  g: [1, [2, [], {}], {x: y, z: [w]}]\n  h: {}\n  \"odd: name\": '- x'\n"
        "  \"\\\"q\\\" \\\\\": \"line\\nnext\\ttab\\x01\"\n  \"no\": 1\n  \"1\": ünï\n"
        "  list:\n    - a: 1\n      b: 2\n    - - 1\n      - 2\n"
        "  dollar: $${x}\n  \"$${k}\": 1\n  \"...\": '...'\n  \"-\": '- x'\n  t: \"a: b #c\"\n"
        "  u: 'trailing:'\n  v: \"*x\"\n  w: '&y'\n  z: '!t'\n");
    int rc = tool_merge_nothing(&r, NULL);
    if (rc < 0) {
        char *lines = tool_lines(&r.mistakes);
        fail_msg("%s", lines);
    }
    const struct settings_node *tree = r.settings->app_config;
    assert_string_equal(settings_node_get(tree, "dollar")->text, "${x}");
    expect_round_trip(r.settings, false);
    merge_fini(&r);
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    tool_write("pw", "hunter2\n");
    tool_write("remuda.yaml", "app_config:\n  db: {Password: hunter2, user: u, url: "
                              "\"pg://u:hunter2@h/d\"}\n  api_token: hunter2\n"
                              "  keys: {a: hunter2, b: [hunter2]}\n  cert_file: pw\n"
                              "  mixed: x-${MY_SECRET}\n  plain: shown\n");
    struct merge_result r;
    assert_int_equal(tool_merge_nothing(&r, ((char *[]){"MY_SECRET=hunter2", NULL})), 0);
    for (int is_why = 0; is_why < 2; is_why++) {
        struct buf page = {0};
        assert_int_equal(render_settings(&page, r.settings, is_why), 0);
        assert_int_equal(buf_append(&page, "", 1), 0);
        assert_null(strstr(page.data, "hunter2"));
        assert_non_null(strstr(page.data, "Password: \"***\""));
        assert_non_null(strstr(page.data, "plain: shown"));
        assert_non_null(strstr(page.data, "user: u"));
        buf_fini(&page);
    }
    merge_fini(&r);
}

static void expect_has(const struct buf *page, const char *text)
{
    if (!memmem(page->data, page->len, text, strlen(text)))
        fail_msg("no \"%s\" in:\n%.*s", text, (int)page->len, page->data);
}

static void why_names_sources_and_derivations(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "\nbacklog: 7\nbind: [\":1\", \":2\"]\n");
    struct merge_result r;
    assert_int_equal(tool_merge(&r, ((char *[]){"REMUDA_TIMEOUT=9s", NULL}), "--keepalive=8s"), 0);
    struct buf page = {0};
    assert_int_equal(render_settings(&page, r.settings, true), 0);
    expect_has(&page, "# File: remuda.yaml\n");
    expect_has(&page, "\nbacklog: 7  # remuda.yaml:2\n");
    expect_has(&page, "\nbind:  # remuda.yaml:3\n  - 0.0.0.0:1\n  - 0.0.0.0:2\n");
    expect_has(&page, "\ntimeout: 9s  # environment: REMUDA_TIMEOUT\n");
    expect_has(&page, "\nkeepalive: 8s  # command line: --keepalive\n");
    expect_has(&page, "\numask: 0  # default\n");
    expect_has(&page,
               "\nworkers: auto  # default\n#   6, one for each CPU, fewer while others compute on "
               "them. CPUs: 6 by CPU");
    expect_has(&page, "\n#   or a number: workers in the file, --workers\n");
    expect_has(&page, "\n# Memory: 8.00 GiB of RAM");
    buf_fini(&page);
    assert_int_equal(render_settings(&page, r.settings, false), 0);
    expect_has(&page, "\nworkers: auto  # 6 here\n");
    buf_fini(&page);
    merge_fini(&r);
}

/* Of a map that the command line has added to, both are named. */
static void why_names_flags_that_add_to_a_map(void **state)
{
    (void)state;
    tool_write("remuda.yaml", "compute: {queue: 9}\npools:\n  models: {queue: 8}\n");
    struct merge_result r;
    assert_int_equal(tool_merge(&r, NULL, "--set", "compute.workers=7", "--set",
                                "pools.models.queue=5", "--set", "pools.models.nice=3"),
                     0);
    struct buf page = {0};
    assert_int_equal(render_settings(&page, r.settings, true), 0);
    expect_has(&page,
               "\ncompute:  # remuda.yaml:1; command line: --set compute.workers\n  workers: 7\n");
    expect_has(&page, "\npools:  # remuda.yaml:3; command line: --set pools.models.queue, "
                      "--set pools.models.nice\n");
    buf_fini(&page);
    merge_fini(&r);
}

static void the_defaults_file_is_all_comments_and_loads_when_uncommented(void **state)
{
    (void)state;
    struct buf page = {0};
    assert_int_equal(render_defaults(&page), 0);
    assert_int_equal(buf_append(&page, "", 1), 0);
    FILE *file = fopen("remuda.yaml", "w");
    assert_non_null(file);
    size_t n = 0;
    for (const char *line = page.data; *line;) {
        size_t len = strcspn(line, "\n");
        assert_true(len == 0 || line[0] == '#');
        bool is_setting = len > 1 && line[1] != ' ';
        bool is_yaml = is_setting || (len > 2 && line[2] == ' '); /* the rest is prose */
        n += is_setting;
        (void)fprintf(file, "%.*s\n", (int)len - is_yaml, line + is_yaml);
        line += len + (line[len] == '\n');
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(n, SETTINGS_N);
    struct merge_result r;
    int rc = tool_merge_nothing(&r, NULL);
    if (rc < 0) {
        char *lines = tool_lines(&r.mistakes);
        fail_msg("%s", lines);
    }
    merge_fini(&r);
    buf_fini(&page);
}

static void scalars_are_quoted_where_they_must_be(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *yaml;
    } cases[] = {
        {"plain", "plain"},
        {"/run/a.sock", "/run/a.sock"},
        {"", "\"\""},
        {"no", "\"no\""},
        {"null", "\"null\""},
        {"~", "\"~\""},
        {"-", "\"-\""},
        {"a b", "\"a b\""},
        {"a:", "\"a:\""},
        {"[::1]:80", "\"[::1]:80\""},
        {"a$b", "\"a$$b\""},
        {"...", "\"...\""},
        {"%a", "\"%a\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\x01\x7f\n", "\"a\\x01\\x7f\\n\""},
        {"é", "\"é\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        assert_int_equal(render_scalar(&out, str_of(cases[i].text), false), 0);
        assert_int_equal(buf_append(&out, "", 1), 0);
        assert_string_equal(out.data, cases[i].yaml);
        buf_fini(&out);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(defaults_go_around),
        IN_FOLDER(everything_given_goes_around),
        IN_FOLDER(trees_go_around),
        IN_FOLDER(secrets_are_not_shown),
        IN_FOLDER(why_names_sources_and_derivations),
        IN_FOLDER(why_names_flags_that_add_to_a_map),
        IN_FOLDER(the_defaults_file_is_all_comments_and_loads_when_uncommented),
        cmocka_unit_test(scalars_are_quoted_where_they_must_be),
    };
    return cmocka_run_group_tests_name("config/render", tests, NULL, NULL);
}
