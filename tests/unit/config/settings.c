/* The reading side of free-form trees, which rmd_config_*() are made of. */
#include "config/settings.h"

#include "config/load.h"
#include "tests/unit/config/tool.h"

static const char yaml[] = "db:\n"
                           "  pool: {size: 12, wait: 250ms}\n"
                           "  hosts: [a, b, {name: c}]\n"
                           "example.com: {port: 80}\n"
                           "example: {com: {port: 81}, x: 1}\n"
                           "a.b.c: deep\n"
                           "quoted: \"5\"\n"
                           "empty:\n"
                           "big: 9223372036854775807\n"
                           "toobig: 9223372036854775808\n"
                           "small: -9223372036854775808\n"
                           "toosmall: -9223372036854775809\n"
                           "plus: +7\n"
                           "octal: 010\n"
                           "ratio: 1.5e-3\n"
                           "dot: .5\n"
                           "huge: 1e999\n"
                           "inf: .inf\n"
                           "hex: 0x10\n"
                           "on: yes\n"
                           "room: 64KiB\n"
                           "minus: -\xe2\x82\xac\n";

struct tree {
    struct arena arena;
    const struct settings_node *root;
};

static int load(void **state)
{
    static struct tree tree;
    struct mistakes m = {0};
    arena_init(&tree.arena, 1024);
    if (load_text(&tree.arena, "t", str_of(yaml), NULL, &m, &tree.root) < 0)
        return -1;
    *state = &tree;
    return mistakes_is_empty(&m) ? 0 : -1;
}

static int unload(void **state)
{
    arena_fini(&((struct tree *)*state)->arena);
    return 0;
}

static const struct settings_node *get(void **state, const char *key)
{
    return settings_node_get(((struct tree *)*state)->root, key);
}

static void dotted_keys_walk_maps_and_lists(void **state)
{
    const char *text = NULL;
    assert_int_equal(settings_node_to_text(get(state, "db.pool.size"), &text), 0);
    assert_string_equal(text, "12");
    assert_int_equal(settings_node_to_text(get(state, "db.hosts.1"), &text), 0);
    assert_string_equal(text, "b");
    assert_int_equal(settings_node_to_text(get(state, "db.hosts.2.name"), &text), 0);
    assert_string_equal(text, "c");
    assert_int_equal(get(state, "db.hosts")->n, 3);
    assert_ptr_equal(get(state, ""), ((struct tree *)*state)->root);
    static const char *const absent[] = {
        "x",   "db.x", "db.pool.size.x", "db.hosts.3", "db.hosts.x", "db.hosts.-1", "db.",
        ".db", "d",    "db.hosts.1.x",   "db.hosts."};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (get(state, absent[i]))
            fail_msg("found %s", absent[i]);
    assert_null(settings_node_get(NULL, "db"));
}

static void keys_may_hold_dots_themselves(void **state)
{
    const char *text = NULL;
    assert_int_equal(settings_node_to_text(get(state, "a.b.c"), &text), 0);
    assert_string_equal(text, "deep");
    assert_int_equal(settings_node_to_text(get(state, "example.com.port"), &text), 0);
    assert_string_equal(text, "80"); /* the first in the file that fits */
    assert_int_equal(settings_node_to_text(get(state, "example.x"), &text), 0);
}

static void whole_numbers_fill_64_bits(void **state)
{
    int64_t n = 0;
    assert_int_equal(settings_node_to_int(get(state, "big"), &n), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(settings_node_to_int(get(state, "small"), &n), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(settings_node_to_int(get(state, "plus"), &n), 0);
    assert_int_equal(n, 7);
    assert_int_equal(settings_node_to_int(get(state, "toobig"), &n), -ERANGE);
    assert_int_equal(settings_node_to_int(get(state, "toosmall"), &n), -ERANGE);
    assert_int_equal(settings_node_to_int(get(state, "octal"), &n), -EINVAL);
    assert_int_equal(settings_node_to_int(get(state, "hex"), &n), -EINVAL);
    assert_int_equal(settings_node_to_int(get(state, "quoted"), &n), -EINVAL);
    assert_int_equal(settings_node_to_int(get(state, "empty"), &n), -EINVAL);
    assert_int_equal(settings_node_to_int(get(state, "db"), &n), -EINVAL);
    assert_int_equal(settings_node_to_int(get(state, "minus"), &n), -EINVAL);
    assert_int_equal(settings_node_to_int(NULL, &n), -ENOENT);
    assert_int_equal(n, 7);
}

static void other_types_are_read_and_refused_alike(void **state)
{
    double d = 0;
    assert_int_equal(settings_node_to_double(get(state, "ratio"), &d), 0);
    assert_true(d > 0.00149 && d < 0.00151);
    assert_int_equal(settings_node_to_double(get(state, "dot"), &d), 0);
    assert_int_equal(settings_node_to_double(get(state, "db.pool.size"), &d), 0);
    assert_true(d > 11.9 && d < 12.1);
    assert_int_equal(settings_node_to_double(get(state, "huge"), &d), -ERANGE);
    assert_int_equal(settings_node_to_double(get(state, "hex"), &d), -EINVAL);
    assert_int_equal(settings_node_to_double(get(state, "inf"), &d), -EINVAL);
    assert_int_equal(settings_node_to_double(get(state, "quoted"), &d), -EINVAL);
    assert_int_equal(settings_node_to_double(NULL, &d), -ENOENT);

    bool is_on = false;
    assert_int_equal(settings_node_to_bool(get(state, "on"), &is_on), 0);
    assert_true(is_on);
    assert_int_equal(settings_node_to_bool(get(state, "quoted"), &is_on), -EINVAL);

    uint64_t n = 0;
    assert_int_equal(settings_node_to_duration(get(state, "db.pool.wait"), &n), 0);
    assert_int_equal(n, 250000);
    assert_int_equal(settings_node_to_duration(get(state, "db.pool.size"), &n), -EINVAL);
    assert_int_equal(settings_node_to_duration(get(state, "db"), &n), -EINVAL);
    assert_int_equal(settings_node_to_duration(NULL, &n), -ENOENT);
    assert_int_equal(settings_node_to_size(get(state, "room"), &n), 0);
    assert_int_equal(n, 65536);
    assert_int_equal(settings_node_to_size(get(state, "quoted"), &n), -EINVAL);

    const char *text = NULL;
    assert_int_equal(settings_node_to_text(get(state, "empty"), &text), 0);
    assert_string_equal(text, "");
    assert_int_equal(settings_node_to_text(get(state, "db"), &text), -EINVAL);
    assert_int_equal(settings_node_to_text(NULL, &text), -ENOENT);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    settings_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dotted_keys_walk_maps_and_lists),
        cmocka_unit_test(keys_may_hold_dots_themselves),
        cmocka_unit_test(whole_numbers_fill_64_bits),
        cmocka_unit_test(other_types_are_read_and_refused_alike),
        cmocka_unit_test(freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests_name("config/settings", tests, load, unload);
}
