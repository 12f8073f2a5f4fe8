/* The list of complaints: order, limits, what is printed. */
#include "config/mistakes.h"

#include "tests/unit/config/tool.h"

static void lines_of_a_file_come_first_and_in_its_order(void **state)
{
    (void)state;
    struct mistakes m = {0};
    assert_true(mistakes_is_empty(&m));
    mistakes_add(&m, "no place %d", 1);
    mistakes_add_at(&m, "f", 10, 2, "b");
    mistakes_add_at(&m, "f", 9, 7, "a");
    mistakes_add_at(&m, "f", 10, 1, "first");
    mistakes_add_at(&m, "f", 10, 2, "c");
    mistakes_add(&m, "no place %d", 2);
    mistakes_sort(&m);
    assert_false(mistakes_is_empty(&m));
    tool_expect_lines(&m,
                      "f:9:7: a\nf:10:1: first\nf:10:2: b\nf:10:2: c\nno place 1\nno place 2\n");
    mistakes_fini(&m);
    assert_true(mistakes_is_empty(&m));
}

static void what_is_over_the_limit_is_counted(void **state)
{
    (void)state;
    struct mistakes m = {0};
    struct mistakes more = {0};
    for (int i = 0; i < MISTAKES_MAX + 3; i++)
        mistakes_add(&m, "line %d", i);
    mistakes_add(&more, "one");
    mistakes_take(&m, &more);
    assert_true(mistakes_is_empty(&more));
    char *lines = tool_lines(&m);
    assert_non_null(strstr(lines, "line 99\n… and 4 more\n"));
    assert_null(strstr(lines, "line 100"));
    free(lines);
    mistakes_fini(&m);
}

static void lost_lines_are_mistakes_too(void **state)
{
    (void)state;
    struct mistakes m = {.is_memory_out = true};
    assert_false(mistakes_is_empty(&m));
    tool_expect_lines(&m, "out of memory\n");
    mistakes_fini(&m);
}

static void the_prefix_stands_before_every_line(void **state)
{
    (void)state;
    struct mistakes m = {0};
    char text[100] = "";
    mistakes_add(&m, "a");
    mistakes_add(&m, "b");
    FILE *file = fmemopen(text, sizeof text, "w");
    assert_non_null(file);
    mistakes_print(&m, "warning: ", file);
    (void)fclose(file);
    assert_string_equal(text, "warning: a\nwarning: b\n");
    mistakes_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_file_come_first_and_in_its_order),
        cmocka_unit_test(what_is_over_the_limit_is_counted),
        cmocka_unit_test(lost_lines_are_mistakes_too),
        cmocka_unit_test(the_prefix_stands_before_every_line),
    };
    return cmocka_run_group_tests_name("config/mistakes", tests, NULL, NULL);
}
