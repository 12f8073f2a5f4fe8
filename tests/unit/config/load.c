/* YAML into trees: places, what is refused, and that a mistake never hides what stands before it.
 * Whole files with all their mistakes are in tests/cases/config; here are the corners. */
#include "config/load.h"

#include "tests/unit/config/tool.h"

static char *environment[] = {"NAME=value", "PORT=81", "SECRET_KEY=k", NULL};

struct loaded {
    struct arena arena;
    struct mistakes mistakes;
    const struct settings_node *root;
};

static void load(struct loaded *l, struct str text)
{
    *l = (struct loaded){0};
    arena_init(&l->arena, 1024);
    assert_int_equal(load_text(&l->arena, "t", text, environment, &l->mistakes, &l->root), 0);
    assert_non_null(l->root);
    assert_int_equal(l->root->kind, SETTINGS_MAP);
}

static void unload(struct loaded *l)
{
    mistakes_fini(&l->mistakes);
    arena_fini(&l->arena);
}

/* That text gives exactly these lines, and the named keys are read all the same. */
static void expect(struct str text, const char *lines, const char *key)
{
    struct loaded l;
    load(&l, text);
    tool_expect_lines(&l.mistakes, lines);
    if (key && !settings_node_get(l.root, key))
        fail_msg("%s was not read", key);
    unload(&l);
}

static void values_keep_their_place_and_style(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, STR("a: 1\nlong:  \"x\"\nlist:\n  - ü: [y,  'z']\n"));
    tool_expect_lines(&l.mistakes, "");
    const struct settings_node *node = settings_node_get(l.root, "long");
    assert_int_equal(node->line, 2);
    assert_int_equal(node->column, 8);
    assert_int_equal(node->key_line, 2);
    assert_int_equal(node->key_column, 1);
    assert_true(node->is_quoted);
    assert_false(settings_node_get(l.root, "a")->is_quoted);
    node = settings_node_get(l.root, "list.0.ü.1");
    assert_non_null(node);
    assert_string_equal(node->text, "z");
    assert_int_equal(node->line, 4);
    assert_int_equal(node->column, 13); /* characters, not bytes */
    assert_null(node->key);
    unload(&l);
}

static void nothing_is_written_in_several_ways(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, STR("a:\nb: ~\nc: null\nd: \"\"\ne: 'null'\nf: no\n"));
    assert_true(settings_node_get(l.root, "a")->is_null);
    assert_true(settings_node_get(l.root, "b")->is_null);
    assert_true(settings_node_get(l.root, "c")->is_null);
    assert_string_equal(settings_node_get(l.root, "c")->text, "");
    assert_false(settings_node_get(l.root, "d")->is_null);
    assert_false(settings_node_get(l.root, "e")->is_null);
    assert_string_equal(settings_node_get(l.root, "e")->text, "null");
    assert_false(settings_node_get(l.root, "f")->is_null);
    unload(&l);
}

static void an_empty_file_is_an_empty_map(void **state)
{
    (void)state;
    static const char *const empty[] = {
        "", "\n\n", "# only a comment\n", "---\n", "--- {}\n...\n", "\xef\xbb\xbf", "~\n"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        expect(str_of(empty[i]), "", "");
}

static void a_byte_order_mark_and_directives_are_fine(void **state)
{
    (void)state;
    expect(STR("\xef\xbb\xbf"
               "a: 1\nb: 2\n"),
           "", "b");
    expect(STR("%YAML 1.1\n---\na: 1\n...\n"), "", "a");
    expect(STR("a: 1\r\nb: 2\r\n"), "", "b");
}

static void variables_are_expanded_in_every_scalar(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, STR("a: ${NAME}\nb: \"${NAME}-$$\"\nc: ['${PORT}']\nd: ${PORT}\nk: ${SECRET_KEY}\n"
                 "u: http://u:pw@h/\nv: http://h:80/\n"));
    tool_expect_lines(&l.mistakes, "");
    assert_string_equal(settings_node_get(l.root, "a")->text, "value");
    assert_string_equal(settings_node_get(l.root, "b")->text, "value-$");
    assert_true(settings_node_get(l.root, "b")->is_quoted);
    assert_string_equal(settings_node_get(l.root, "c.0")->text, "81");
    int64_t n = 0;
    assert_int_equal(settings_node_to_int(settings_node_get(l.root, "d"), &n), 0);
    assert_int_equal(n, 81);
    assert_false(settings_node_get(l.root, "a")->is_secret);
    assert_true(settings_node_get(l.root, "k")->is_secret);
    assert_true(settings_node_get(l.root, "u")->is_secret);
    assert_false(settings_node_get(l.root, "v")->is_secret);
    unload(&l);
    expect(STR("a: ${NOPE}\nb: 1\n"),
           "t:1:4: a: the environment variable NOPE is not set; set it, or give a default: "
           "${NOPE:-default}\n",
           "b");
}

static void a_variable_cannot_make_structure(void **state)
{
    (void)state;
    static char *hostile[] = {"X=1\nworkers: 9", NULL};
    struct loaded l = {0};
    arena_init(&l.arena, 1024);
    assert_int_equal(load_text(&l.arena, "t", STR("a: ${X}\n"), hostile, &l.mistakes, &l.root), 0);
    assert_int_equal(l.root->n, 1);
    assert_string_equal(l.root->first->text, "1\nworkers: 9");
    unload(&l);
}

static void keys_are_checked(void **state)
{
    (void)state;
    expect(STR("a: 1\na: 2\nb: 3\n"),
           "t:2:1: a: the same key again; it was given on line 1 already\n", "b");
    expect(STR("\"a\": 1\na: 2\n"),
           "t:2:1: a: the same key again; it was given on line 1 already\n", "a");
    expect(STR("m:\n  {x: 1, x: 2}\n"),
           "t:2:10: m.x: the same key again; it was given on line 2 already\n", "m.x");
    expect(STR("[a, b]: 1\nc: 2\n"),
           "t:1:1: a key must be plain text, not a list, a map or an alias\n", "c");
    expect(STR("? {a: [1]}\n: 1\nc: 2\n"),
           "t:1:3: a key must be plain text, not a list, a map or an alias\n", "c");
    expect(STR("\"\": 1\nc: 2\n"), "t:1:1: an empty key\n", "c");
    expect(STR("\"a\\0b\": 1\nc: 2\n"), "t:1:1: a key contains a NUL character\n", "c");
    expect(STR("a: \"x\\0y\"\nc: 2\n"), "t:1:4: a: contains a NUL character\n", "c");
}

static void anchors_aliases_and_tags_are_refused_where_they_stand(void **state)
{
    (void)state;
    expect(
        STR("a: &x 1\nb: *x\nc: *y\nd: !!int 5\ne: &z [1]\nf: !t {a: 1}\n&k g: 1\n*x : 2\nh: 3\n"),
        "t:1:4: a: anchors are not supported; repeat the value\n"
        "t:2:4: b: aliases are not supported; repeat the value\n"
        "t:3:4: c: aliases are not supported; repeat the value\n"
        "t:4:4: d: tags are not supported; write text in quotes, numbers plain\n"
        "t:5:4: e: anchors are not supported; repeat the value\n"
        "t:6:4: f: tags are not supported; write text in quotes, numbers plain\n"
        "t:7:1: anchors and tags are not supported\n"
        "t:8:1: a key must be plain text, not a list, a map or an alias\n"
        "t:8:1: ?: aliases are not supported; repeat the value\n",
        "h");
    /* The billion laughs are told once per line and cost nothing. */
    expect(STR("a: &a [x]\nb: &b [*a, *a]\n"),
           "t:1:4: a: anchors are not supported; repeat the value\n"
           "t:2:4: b: anchors are not supported; repeat the value\n"
           "t:2:8: b.0: aliases are not supported; repeat the value\n"
           "t:2:12: b.1: aliases are not supported; repeat the value\n",
           "b");
}

static void only_a_map_may_be_at_the_top(void **state)
{
    (void)state;
    expect(STR("- a\n- b\n"), "t:1:1: syntax: not a map; allowed: one \"setting: value\" a line\n",
           NULL);
    expect(STR("workers\n"), "t:1:1: syntax: not a map; allowed: one \"setting: value\" a line\n",
           NULL);
    expect(STR("workers:4\n"), "t:1:1: syntax: not a map; allowed: one \"setting: value\" a line\n",
           NULL);
    expect(STR("*x\n"), "t:1:1: aliases are not supported; repeat the value\n", NULL);
    expect(STR("a: 1\n---\nb: 2\n"), "t:2:1: syntax: a second document; allowed: only one\n", "a");
}

static void a_syntax_error_keeps_what_came_before(void **state)
{
    (void)state;
    expect(STR("a: 1\na: 2\nb: [1, 2\nc: 3\n"),
           "t:2:1: a: the same key again; it was given on line 1 already\n"
           "t:3:4: syntax: the closing ] is missing\n",
           "a");
    expect(STR("a: 1\nb: {x: 1\n"), "t:2:4: syntax: the closing } is missing\n", "a");
    expect(STR("a: 1\nb: \"x\n"), "t:2:4: syntax: the closing quote is missing\n", "a");
    expect(STR("a: 1\nworkers 4\nb: 2\n"),
           "t:2:1: syntax: no \"key: value\" (a blank belongs behind the colon)\n", "a");
    expect(STR("a: 1\nb: c: d\n"),
           "t:2:5: syntax: a second \": \" in one line; write a value that holds one in quotes\n",
           "a");
    expect(STR("a: 1\nb: -\n"),
           "t:2:4: syntax: a list begins on a line of its own; write a lone - in quotes: \"-\"\n",
           "a");
    expect(
        STR("a: 1\nm:\n\tx: 1\n"),
        "t:3:1: syntax: a character that cannot begin a value; write the value in quotes, indent "
        "with spaces, not tabs\n",
        "a");
    expect(
        STR("a: 1\nb: @x\n"),
        "t:2:4: syntax: a character that cannot begin a value; write the value in quotes, indent "
        "with spaces, not tabs\n",
        "a");
    expect(STR("a: 1\n  b: 2\n"),
           "t:2:4: syntax: a second \": \" in one line; write a value that holds one in quotes\n",
           NULL);
    expect(
        STR("m:\n  a: 1\n b: 2\n"),
        "t:3:2: syntax: neither a key of this map nor the end of it; see indentation and quotes\n",
        NULL);
}

static void what_is_no_text_is_told_and_cut_at_its_line(void **state)
{
    (void)state;
    expect(STR("a: 1\na: 2\nb: \xff\nc: [\n"),
           "t:3:4: syntax: this character is not UTF-8; allowed: UTF-8 text\n"
           "t:2:1: a: the same key again; it was given on line 1 already\n",
           "a");
    expect(str_make("a: 1\nb\0c: 2\n", 12),
           "t:2:2: syntax: this character is a NUL byte; allowed: UTF-8 text\n", "a");
    expect(STR("a: 1\nb: [\n  \x01]\n"),
           "t:3:3: syntax: this character is a control character; allowed: UTF-8 text\n", "a");
    expect(STR("\xff\xfe"
               "a\0"),
           "t:1:1: syntax: this character is not UTF-8; allowed: UTF-8 text\n", NULL);
}

static void depth_is_limited(void **state)
{
    (void)state;
    char text[200] = "a: ";
    struct loaded l;
    for (unsigned depth = LOAD_DEPTH_MAX - 2; depth <= LOAD_DEPTH_MAX; depth++) {
        memset(text + 3, '[', depth);
        memset(text + 3 + depth, ']', depth);
        text[3 + 2 * depth] = '\0';
        load(&l, str_of(text));
        /* the map at the top is the first level */
        assert_int_equal(mistakes_is_empty(&l.mistakes), depth < LOAD_DEPTH_MAX);
        if (depth == LOAD_DEPTH_MAX) {
            char *lines = tool_lines(&l.mistakes);
            assert_non_null(strstr(lines, "t:1:35: a.0.0.0."));
            assert_non_null(strstr(lines, "nested too deeply; allowed: at most 32 levels\n"));
            free(lines);
        }
        unload(&l);
    }
    size_t n = 1000000; /* far beyond what a parser by recursion could stand */
    char *deep = malloc(n);
    assert_non_null(deep);
    memset(deep, '[', n);
    load(&l, str_make(deep, n));
    assert_false(mistakes_is_empty(&l.mistakes));
    unload(&l);
    free(deep);
}

static void the_number_of_values_is_limited(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < LOAD_NODES_MAX; i++)
        assert_int_equal(buf_printf(&text, "k%d: 1\n", i), 0);
    struct loaded l;
    load(&l, str_make(text.data, text.len));
    tool_expect_lines(&l.mistakes,
                      "t:10000:8: k9999: too many values; allowed: at most 10000 in a file\n");
    assert_int_equal(l.root->n, LOAD_NODES_MAX - 1); /* the map is a value too */
    unload(&l);
    buf_fini(&text);
}

static void files_that_cannot_be_read_are_told(void **state)
{
    (void)state;
    struct loaded l = {0};
    arena_init(&l.arena, 1024);
    assert_int_equal(load_file(&l.arena, "nope.yaml", NULL, &l.mistakes, &l.root), -ENOENT);
    assert_int_equal(load_file(&l.arena, ".", NULL, &l.mistakes, &l.root), -EISDIR);
    assert_int_equal(truncate("large.yaml", 0), -1);
    tool_write("large.yaml", "");
    assert_int_equal(truncate("large.yaml", LOAD_FILE_MAX + 1), 0);
    assert_int_equal(load_file(&l.arena, "large.yaml", NULL, &l.mistakes, &l.root), -EFBIG);
    tool_expect_lines(&l.mistakes, "nope.yaml: cannot be read: No such file or directory\n"
                                   ".: cannot be read: Is a directory\n"
                                   "large.yaml: too large; allowed: at most 1 MiB\n");
    unload(&l);
}

static void a_file_key_of_the_app_reads_the_file(void **state)
{
    (void)state;
    tool_write("secret", "hunter2\n");
    tool_write("lines", "a\nb\n\n");
    tool_write("empty", "");
    struct loaded l;
    load(&l, STR("app_config:\n  password_file: secret\n  deep:\n    - {xkey_file: lines}\n"
                 "  ekey_file: empty\n  log_file: kept\napp_file: secret\n"));
    tool_expect_lines(&l.mistakes, "");
    assert_string_equal(settings_node_get(l.root, "app_config.password")->text, "hunter2");
    assert_true(settings_node_get(l.root, "app_config.password")->is_secret);
    assert_null(settings_node_get(l.root, "app_config.password_file"));
    assert_string_equal(settings_node_get(l.root, "app_config.deep.0.xkey")->text, "a\nb\n");
    assert_string_equal(settings_node_get(l.root, "app_config.ekey")->text, "");
    assert_string_equal(settings_node_get(l.root, "app_config.log_file")->text, "kept");
    assert_string_equal(settings_node_get(l.root, "app_file")->text, "secret"); /* only below it */
    unload(&l);
}

static void a_file_key_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    tool_write("large", "");
    assert_int_equal(truncate("large", LOAD_SECRET_MAX + 1), 0);
    tool_write("nul", "");
    assert_int_equal(truncate("nul", 1), 0);
    tool_write("fine", "x");
    expect(
        STR("app_config:\n  akey_file: nope\n  bkey_file: large\n  ckey_file: nul\n  dkey_file: "
            "[x]\n"
            "  ekey_file:\n  fkey: 1\n  fkey_file: fine\n  gkey_file: fine\n  gkey: 1\n  ok: 1\n"),
        "t:2:14: app_config.akey_file: cannot read \"nope\": No such file or directory; allowed: "
        "path of a readable file of at most 64 KiB, which holds the value\n"
        "t:3:14: app_config.bkey_file: cannot read \"large\": too large; allowed: path of a "
        "readable file of at most 64 KiB, which holds the value\n"
        "t:4:14: app_config.ckey_file: the file holds a NUL byte; allowed: one value as text\n"
        "t:5:14: app_config.dkey_file: cannot read \"\": not a path; allowed: path of a "
        "readable file of at most 64 KiB, which holds the value\n"
        "t:6:13: app_config.ekey_file: cannot read \"\": not a path; allowed: path of a "
        "readable file of at most 64 KiB, which holds the value\n"
        "t:8:3: app_config.fkey_file: a second value of the same name; it was given on line 7 "
        "already\n"
        "t:10:3: app_config.gkey: a second value of the same name; it was given on line 9 "
        "already\n",
        "app_config.ok");
}

static void long_places_are_cut(void **state)
{
    (void)state;
    char text[2000] = "";
    size_t n = 0;
    for (int level = 0; level < 10; level++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%*s", level, "");
        memset(text + n, 'k', 90);
        n += 90;
        n += (size_t)snprintf(text + n, sizeof text - n, ":\n");
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "%10s*x\n", "");
    struct loaded l;
    load(&l, str_make(text, n));
    assert_int_equal(l.mistakes.n, 1);
    assert_true(strlen(l.mistakes.items[0].text) < 300);
    unload(&l);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, tool_enter_folder, tool_leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_place_and_style),
        cmocka_unit_test(nothing_is_written_in_several_ways),
        cmocka_unit_test(an_empty_file_is_an_empty_map),
        cmocka_unit_test(a_byte_order_mark_and_directives_are_fine),
        cmocka_unit_test(variables_are_expanded_in_every_scalar),
        cmocka_unit_test(a_variable_cannot_make_structure),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(anchors_aliases_and_tags_are_refused_where_they_stand),
        cmocka_unit_test(only_a_map_may_be_at_the_top),
        cmocka_unit_test(a_syntax_error_keeps_what_came_before),
        cmocka_unit_test(what_is_no_text_is_told_and_cut_at_its_line),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(the_number_of_values_is_limited),
        IN_FOLDER(files_that_cannot_be_read_are_told),
        IN_FOLDER(a_file_key_of_the_app_reads_the_file),
        IN_FOLDER(a_file_key_that_cannot_be_read_is_told),
        cmocka_unit_test(long_places_are_cut),
    };
    return cmocka_run_group_tests_name("config/load", tests, NULL, NULL);
}
