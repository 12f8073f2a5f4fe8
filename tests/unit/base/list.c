/* base/list.h */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct item {
    int number;
    struct list node;
};

/* "123" for a list of these items, read forwards; checks that backwards is the same. */
static const char *numbers_of(struct list *list)
{
    static char text[32];
    size_t n = 0;
    LIST_FOREACH (node, list)
        text[n++] = (char)('0' + LIST_ENTRY(node, struct item, node)->number);
    text[n] = '\0';
    for (struct list *node = list->prev; node != list; node = node->prev)
        assert_int_equal(text[--n], '0' + LIST_ENTRY(node, struct item, node)->number);
    assert_int_equal(n, 0);
    return text;
}

static void list_keeps_the_order_of_pushes(void **state)
{
    (void)state;
    struct list list;
    struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&list);
    assert_true(list_is_empty(&list));
    assert_string_equal(numbers_of(&list), "");
    for (size_t i = 0; i < 4; i++) {
        assert_false(list_is_linked(&items[i].node)); /* zeroed */
        list_push(&list, &items[i].node);
        assert_true(list_is_linked(&items[i].node));
    }
    assert_false(list_is_empty(&list));
    assert_string_equal(numbers_of(&list), "0123");
    list_unlink(&items[0].node);
    list_unlink(&items[2].node);
    assert_string_equal(numbers_of(&list), "13");
    assert_false(list_is_linked(&items[2].node));
    list_push(&list, &items[2].node);
    assert_string_equal(numbers_of(&list), "132");
}

static void list_unlink_of_the_unlinked_does_nothing(void **state)
{
    (void)state;
    struct list list;
    struct item zeroed = {0};
    struct item once = {.number = 1};
    list_init(&list);
    list_unlink(&zeroed.node);
    list_push(&list, &once.node);
    list_unlink(&once.node);
    list_unlink(&once.node);
    assert_true(list_is_empty(&list));
}

static void list_walk_may_unlink_the_current_node(void **state)
{
    (void)state;
    struct list list;
    struct item items[5] = {
        {.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    list_init(&list);
    for (size_t i = 0; i < 5; i++)
        list_push(&list, &items[i].node);
    int seen = 0;
    LIST_FOREACH (node, &list) {
        seen++;
        if (LIST_ENTRY(node, struct item, node)->number % 2 == 0)
            list_unlink(node);
    }
    assert_int_equal(seen, 5);
    assert_string_equal(numbers_of(&list), "13");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_keeps_the_order_of_pushes),
        cmocka_unit_test(list_unlink_of_the_unlinked_does_nothing),
        cmocka_unit_test(list_walk_may_unlink_the_current_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
