/* Tests of config/restart.c: what a reload can't change keeps its value, and is named. */
#include "config/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/schema.h"

static int set_up(void **state)
{
    static struct settings *both[2];
    both[0] = settings_new();
    both[1] = settings_new();
    *state = both;
    return both[0] && both[1] ? 0 : -1;
}

static int tear_down(void **state)
{
    struct settings **both = *state;
    settings_free(both[0]);
    settings_free(both[1]);
    return 0;
}

static void equal_settings_differ_in_nothing(void **state)
{
    struct settings **both = *state;
    char names[RESTART_NAMES_MAX];
    assert_int_equal(restart_keep(both[1], both[0], names), 0);
    assert_string_equal(names, "");
}

static void what_differs_is_put_back_and_named(void **state)
{
    struct settings **both = *state;
    char names[RESTART_NAMES_MAX];
    both[0]->user = "alice";
    both[0]->umask = 022;
    both[1]->user = "bob";
    both[1]->backlog = 5;
    both[1]->initgroups = true;
    both[1]->umask = 077;
    both[1]->keepalive_us = 5; /* a reload changes that */
    assert_int_equal(restart_keep(both[1], both[0], names), 4);
    assert_string_equal(names, "backlog, umask, user, initgroups");
    assert_string_equal(both[1]->user, "alice");
    assert_int_equal(both[1]->umask, 022);
    assert_int_equal(both[1]->backlog, both[0]->backlog);
    assert_false(both[1]->initgroups);
    assert_int_equal(both[1]->keepalive_us, 5);
    assert_int_equal(restart_keep(both[1], both[0], names), 0);
}

static void none_and_some_are_told_apart(void **state)
{
    struct settings **both = *state;
    char names[RESTART_NAMES_MAX];
    both[0]->group = NULL;
    both[1]->group = "www";
    assert_int_equal(restart_keep(both[1], both[0], names), 1);
    assert_null(both[1]->group);
    both[0]->group = "www";
    assert_int_equal(restart_keep(both[1], both[0], names), 1);
    assert_string_equal(both[1]->group, "www");
}

/* Lists are not compared (restart.c): should one take a restart some day, that has to be added. */
static void no_list_takes_a_restart(void **state)
{
    (void)state;
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (schema_specs[i].takes == SETTING_TAKES_START)
            assert_true(schema_specs[i].type != SETTING_BINDS &&
                        schema_specs[i].type != SETTING_NETWORKS &&
                        schema_specs[i].type != SETTING_MOUNTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(equal_settings_differ_in_nothing),
        TEST(what_differs_is_put_back_and_named),
        TEST(none_and_some_are_told_apart),
        TEST(no_list_takes_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
