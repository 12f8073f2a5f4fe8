/* server/poison.c: when a request counts as poison. What web workers make of it is in
 * workers/web_compute.c. */
#include "server/poison.h"

#include <string.h>

#include "tests/harness/check.h"

#define NOW (2 * POISON_FOR_US)

static struct poison poison;

static bool note(uint64_t print, uint64_t now_us)
{
    uint32_t index = UINT32_MAX;
    bool is_poison = poison_note(&poison, print, now_us, &index);
    CHECK(index < SCOREBOARD_POISONS && poison.items[index].print == print);
    return is_poison;
}

static int setup(void **state)
{
    (void)state;
    poison = (struct poison){0};
    return 0;
}

static void the_second_victim_makes_it_poison(void **state)
{
    (void)state;
    CHECK(!note(7, NOW));
    CHECK(!note(8, NOW));
    CHECK(note(7, NOW + 1));
    CHECK(note(7, NOW + 2));
    CHECK(note(8, NOW + 3));
}

static void what_is_long_ago_is_forgotten(void **state)
{
    (void)state;
    CHECK(!note(7, NOW));
    CHECK(!note(7, NOW + POISON_FOR_US));
    CHECK(note(7, NOW + 2 * POISON_FOR_US - 1));
    CHECK(!note(7, NOW + 3 * POISON_FOR_US));
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    for (uint64_t print = 1; print <= SCOREBOARD_POISONS; print++)
        CHECK(!note(print, NOW + print));
    CHECK(note(1, NOW + 100));    /* so 2 is the oldest */
    CHECK(!note(999, NOW + 101)); /* in its place */
    CHECK(note(1, NOW + 102));
    CHECK(note(3, NOW + 103));
    CHECK(!note(2, NOW + 104)); /* it begins anew */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_second_victim_makes_it_poison, setup),
        cmocka_unit_test_setup(what_is_long_ago_is_forgotten, setup),
        cmocka_unit_test_setup(the_oldest_makes_room, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
