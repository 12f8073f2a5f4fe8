/* server/slow.c: which requests are told, and when. How they are found is seen in
 * tests/process/slow_requests.c. */
#include "server/slow.h"

#include <string.h>

#include "base/clock.h"
#include "tests/harness/check.h"

#define NOW (1000 * CLOCK_US_PER_S)

static struct slow_book book;

static int setup(void **state)
{
    (void)state;
    memset(&book, 0, sizeof book);
    slow_book_begin(&book);
    return 0;
}

static bool is_told(uint64_t print, bool is_busy, uint64_t now_us)
{
    return slow_book_judge(&book, print, is_busy, now_us) == SLOW_TRACE;
}

static void each_is_told_once_as_long_as_it_lasts(void **state)
{
    (void)state;
    for (unsigned look = 0; look < 100; look++) {
        CHECK_EQ(is_told(7, false, NOW), look == 0);
        slow_book_begin(&book);
    }
    CHECK_EQ(book.n_seen, 1);
    CHECK_EQ(book.n_traced, 1);
}

static void one_that_finds_the_tracer_busy_is_told_later(void **state)
{
    (void)state;
    CHECK(is_told(7, false, NOW));
    CHECK(!is_told(8, true, NOW));
    slow_book_begin(&book);
    CHECK(!is_told(7, false, NOW));
    CHECK(is_told(8, false, NOW));
    CHECK_EQ(book.n_seen, 2);
}

static void one_that_ends_before_the_tracer_has_time_is_left_out(void **state)
{
    (void)state;
    CHECK(is_told(7, false, NOW));
    CHECK(!is_told(8, true, NOW));
    slow_book_begin(&book);
    CHECK(!is_told(7, true, NOW));
    CHECK_EQ(book.n_untold, 0); /* it may be seen yet */
    slow_book_begin(&book);
    CHECK_EQ(book.n_untold, 1);
    CHECK_EQ(book.n_untold_since, 1);
    slow_book_begin(&book);
    CHECK_EQ(book.n_untold, 1);
    CHECK_EQ(book.n_seen, book.n_traced + book.n_untold);
}

static void the_same_number_after_a_pause_is_another_request(void **state)
{
    (void)state;
    CHECK(is_told(7, false, NOW));
    slow_book_begin(&book);
    slow_book_begin(&book); /* in this one nobody saw it */
    for (uint64_t i = 1; i <= SLOW_WAYS; i++)
        (void)!is_told(7 + i * SLOW_SETS, false, NOW); /* its place is taken by others */
    slow_book_begin(&book);
    slow_book_begin(&book);
    CHECK(is_told(7, false, NOW));
}

static void those_over_the_minutes_measure_are_counted(void **state)
{
    (void)state;
    unsigned n = 0;
    for (uint64_t i = 1; i <= 100; i++)
        n += is_told(i, false, NOW);
    CHECK_EQ(n, SLOW_PER_MINUTE);
    CHECK_EQ(book.n_seen, 100);
    CHECK_EQ(book.n_untold, 100 - SLOW_PER_MINUTE);
    slow_book_begin(&book);
    for (uint64_t i = 1; i <= 100; i++)
        CHECK(!is_told(i, false, NOW + 61 * CLOCK_US_PER_S)); /* old news */
    CHECK(is_told(101, false, NOW + 61 * CLOCK_US_PER_S));
}

/* More at once than there is room for: nobody who is known is forgotten, and told again. */
static void a_flood_pushes_nobody_out(void **state)
{
    (void)state;
    for (uint64_t i = 0; i <= 2 * SLOW_WAYS; i++)
        (void)!is_told(1 + i * SLOW_SETS, false, NOW);
    CHECK_EQ(book.n_traced, SLOW_WAYS);
    slow_book_begin(&book);
    for (uint64_t i = 0; i <= 2 * SLOW_WAYS; i++)
        CHECK(!is_told(1 + i * SLOW_SETS, false, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_is_told_once_as_long_as_it_lasts, setup),
        cmocka_unit_test_setup(one_that_finds_the_tracer_busy_is_told_later, setup),
        cmocka_unit_test_setup(one_that_ends_before_the_tracer_has_time_is_left_out, setup),
        cmocka_unit_test_setup(the_same_number_after_a_pause_is_another_request, setup),
        cmocka_unit_test_setup(those_over_the_minutes_measure_are_counted, setup),
        cmocka_unit_test_setup(a_flood_pushes_nobody_out, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
