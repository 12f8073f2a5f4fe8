/* workers/admission.c: what is known of a pool's waits, and when nothing is. */
#include "workers/admission.h"

#include "base/clock.h"
#include "tests/harness/check.h"

#define S CLOCK_US_PER_S

static struct admission note(unsigned n, uint64_t wall_us)
{
    struct admission a = {0};
    for (unsigned i = 0; i < n; i++)
        admission_note(&a, wall_us, 100 * S);
    return a;
}

static void nothing_is_concluded_from_few(void **state)
{
    (void)state;
    struct admission few = note(19, S), enough = note(20, S);
    CHECK_EQ(admission_wait_us(&few, 100, 1, 100 * S), 0);
    CHECK_EQ(admission_usual_us(&few, 100 * S), 0);
    CHECK_EQ(admission_usual_us(&enough, 100 * S), S);
    CHECK_EQ(admission_wait_us(&enough, 100, 1, 100 * S), 100 * S);
}

static void many_workers_share_the_queue(void **state)
{
    (void)state;
    struct admission a = note(20, S);
    CHECK_EQ(admission_wait_us(&a, 0, 4, 100 * S), 0);
    CHECK_EQ(admission_wait_us(&a, 2, 4, 100 * S), S / 2);
}

static void what_is_old_is_forgotten(void **state)
{
    (void)state;
    struct admission a = note(20, S);
    CHECK_EQ(admission_wait_us(&a, 1, 1, 220 * S), S);
    CHECK_EQ(admission_wait_us(&a, 1, 1, 221 * S), 0);
    CHECK_EQ(admission_usual_us(&a, 221 * S), 0);
    admission_note(&a, 5 * S, 221 * S);
    CHECK_EQ(a.n, 1); /* it begins anew */
    CHECK_EQ(a.average_us, 5 * S);
}

static void the_newest_counts_most_and_nonsense_little(void **state)
{
    (void)state;
    struct admission a = note(20, S);
    for (int i = 0; i < 40; i++)
        admission_note(&a, 2 * S, 100 * S);
    CHECK(a.average_us > 19 * S / 10 && a.average_us <= 2 * S);
    admission_note(&a, UINT64_MAX, 100 * S);
    CHECK(admission_wait_us(&a, UINT32_MAX, 1, 100 * S) > 0); /* and no overflow on the way */
    CHECK(a.average_us <= 3600 * S);
}

static void killed_ones_count_as_at_least_what_they_ran(void **state)
{
    (void)state;
    struct admission a = {0};
    for (int i = 0; i < 20; i++) /* of tasks that need 300 ms: what was left of 500 */
        admission_note_killed(&a, 150000, 500000, 100 * S);
    CHECK_EQ(admission_usual_us(&a, 100 * S), 300000);
    admission_note_killed(&a, 10000, 500000, 100 * S); /* which says nothing */
    CHECK_EQ(admission_usual_us(&a, 100 * S), 300000);
    for (int i = 0; i < 100; i++)
        admission_note_killed(&a, UINT64_MAX, 500000, 100 * S);
    CHECK(admission_usual_us(&a, 100 * S) > 490000 && admission_usual_us(&a, 100 * S) <= 500000);
    admission_note_killed(&a, S, 4 * S, 300 * S); /* the others are forgotten */
    CHECK_EQ(a.n, 1);
    CHECK_EQ(a.average_us, 2 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_concluded_from_few),
        cmocka_unit_test(many_workers_share_the_queue),
        cmocka_unit_test(what_is_old_is_forgotten),
        cmocka_unit_test(killed_ones_count_as_at_least_what_they_ran),
        cmocka_unit_test(the_newest_counts_most_and_nonsense_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
