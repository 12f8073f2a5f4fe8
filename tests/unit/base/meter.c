/* base/meter.h: buckets and what is read off them. */
#include "base/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void each_time_has_its_bucket(void **state)
{
    (void)state;
    assert_int_equal(meter_bucket(0), 0);
    assert_int_equal(meter_bucket(1), 1);
    assert_int_equal(meter_bucket(2), 2);
    assert_int_equal(meter_bucket(3), 2);
    assert_int_equal(meter_bucket(4), 3);
    for (unsigned i = 1; i + 1 < METER_BUCKETS; i++) {
        assert_int_equal(meter_bucket(UINT64_C(1) << (i - 1)), i);
        assert_int_equal(meter_bucket((UINT64_C(1) << i) - 1), i);
    }
    assert_int_equal(meter_bucket(UINT64_MAX), METER_BUCKETS - 1);
}

static void quantiles_lie_within_their_bucket(void **state)
{
    (void)state;
    uint64_t counts[METER_BUCKETS] = {0};
    assert_int_equal(meter_quantile(counts, 500), 0);
    counts[meter_bucket(1000)] = 1000; /* 512 … 1023 */
    assert_in_range(meter_quantile(counts, 500), 700, 800);
    assert_in_range(meter_quantile(counts, 1), 512, 520);
    assert_in_range(meter_quantile(counts, 1000), 1000, 1024);
    counts[meter_bucket(50000)] = 10; /* one of a hundred takes 32 … 65 ms */
    assert_in_range(meter_quantile(counts, 980), 900, 1024);
    assert_in_range(meter_quantile(counts, 995), 32768, 65536);
}

static void counts_that_are_nonsense_do_no_harm(void **state)
{
    (void)state;
    uint64_t counts[METER_BUCKETS];
    for (unsigned i = 0; i < METER_BUCKETS; i++)
        counts[i] = UINT64_MAX / 3;
    (void)meter_quantile(counts, 500);
    counts[0] = 1;
    (void)meter_quantile(counts, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_time_has_its_bucket),
        cmocka_unit_test(quantiles_lie_within_their_bucket),
        cmocka_unit_test(counts_that_are_nonsense_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
