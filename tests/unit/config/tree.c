/* Building trees: --set on dotted paths, and which keys are secrets. */
#include "config/tree.h"

#include "base/err.h"
#include "config/load.h"
#include "tests/unit/config/tool.h"

static void setting_makes_maps_on_the_way(void **state)
{
    (void)state;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 256);
    struct settings_node *root = tree_new(&arena, SETTINGS_MAP);
    assert_non_null(root);
    assert_int_equal(tree_set(&arena, root, "a.b.c", "1", &err), 0);
    assert_int_equal(tree_set(&arena, root, "a.b.d", "2", &err), 0);
    assert_int_equal(tree_set(&arena, root, "a.b.c", "3", &err), 0);
    assert_int_equal(tree_set(&arena, root, "top", "", &err), 0);
    assert_string_equal(settings_node_get(root, "a.b.c")->text, "3");
    assert_string_equal(settings_node_get(root, "a.b.d")->text, "2");
    assert_string_equal(settings_node_get(root, "top")->text, "");
    assert_int_equal(settings_node_get(root, "a.b")->n, 2);
    assert_int_equal(root->n, 2);
    arena_fini(&arena);
}

static void setting_replaces_a_value_of_the_file(void **state)
{
    (void)state;
    struct arena arena;
    struct err err = {0};
    struct mistakes m = {0};
    const struct settings_node *root = NULL;
    arena_init(&arena, 256);
    assert_int_equal(load_text(&arena, "t", STR("a: {b: \"x\"}\n"), NULL, &m, &root), 0);
    assert_int_equal(tree_set(&arena, root, "a.b", "7", &err), 0);
    int64_t n = 0;
    assert_int_equal(settings_node_to_int(settings_node_get(root, "a.b"), &n), 0);
    assert_int_equal(n, 7);
    arena_fini(&arena);
}

static void paths_that_cannot_be_set_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 256);
    struct settings_node *root = tree_new(&arena, SETTINGS_MAP);
    assert_non_null(root);
    assert_int_equal(tree_set(&arena, root, "a.b", "1", &err), 0);
    assert_int_equal(tree_set(&arena, root, "a", "1", &err), -EINVAL);
    assert_string_equal(err.text, "\"a\" is a map or a list; set what is in it: a.KEY=VALUE");
    assert_int_equal(tree_set(&arena, root, "a.b.c", "1", &err), -EINVAL);
    assert_string_equal(err.text, "\"b\" in \"a.b.c\" is not a map");
    assert_int_equal(tree_set(&arena, root, "a..c", "1", &err), -EINVAL);
    assert_string_equal(err.text, "an empty key in \"a..c\"");
    assert_int_equal(tree_set(&arena, root, "a.", "1", &err), -EINVAL);
    assert_int_equal(tree_set(&arena, root, "", "1", &err), -EINVAL);
    arena_fini(&arena);
}

static void secret_names_are_known_in_any_case(void **state)
{
    (void)state;
    static const char *const secrets[] = {"password",  "DB_PASSWORD", "passwd", "clientSecret",
                                          "api_token", "ApiKey",      "key"};
    static const char *const others[] = {"", "pass", "url", "user", "toke", "ke", "timeout"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        assert_true(tree_is_secret_name(str_of(secrets[i])));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(tree_is_secret_name(str_of(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_makes_maps_on_the_way),
        cmocka_unit_test(setting_replaces_a_value_of_the_file),
        cmocka_unit_test(paths_that_cannot_be_set_are_refused),
        cmocka_unit_test(secret_names_are_known_in_any_case),
    };
    return cmocka_run_group_tests_name("config/tree", tests, NULL, NULL);
}
