/* ipc/profile.c: what calls take, added up over workers and compared with an earlier look. */
#include "ipc/profile.h"

#include <string.h>

#include "tests/harness/check.h"

static void sums_tell_waiting_from_computing_and_from_being_ready_to(void **state)
{
    (void)state;
    static struct profile profile;
    struct profile_sums sums = {0};
    profile_note(&profile, &(struct profile_call){.wait_ns = 5000,
                                                  .wall_ns = 100000,
                                                  .cpu_ns = 20000,
                                                  .delay_ns = 30000,
                                                  .is_measured = true});
    profile_note(&profile, &(struct profile_call){.wall_ns = 7000});
    profile_add(&sums, &profile);
    CHECK_EQ(sums.calls, 2);
    CHECK_EQ(sums.wall_ns, 107000);
    CHECK_EQ(sums.wait_ns, 5000);
    CHECK_EQ(sums.measured, 1);
    CHECK_EQ(profile_waited_ns(&sums), 50000);
    CHECK_EQ(sums.wall[meter_bucket(100)], 1);
    CHECK_EQ(sums.wall[meter_bucket(7)], 1);
    CHECK_EQ(sums.wait[meter_bucket(5)], 1);
    CHECK_EQ(sums.wait[0], 1);
}

static void what_was_computed_is_never_waited_for(void **state)
{
    (void)state;
    struct profile_sums sums = {.measured_wall_ns = 10, .cpu_ns = 9, .delay_ns = 2};
    CHECK_EQ(profile_waited_ns(&sums), 0);
}

static void means_begin_with_the_first_call_and_follow_the_others(void **state)
{
    (void)state;
    static struct profile profile;
    struct profile_call call = {.wall_ns = 3200, .cpu_ns = 3200, .is_measured = true};
    profile_note(&profile, &(struct profile_call){.wall_ns = 1000000}); /* not measured */
    profile_note(&profile, &call);
    CHECK_EQ(profile.mean_wall_ns, 3200);
    call.wall_ns = 6400;
    call.cpu_ns = 0;
    profile_note(&profile, &call);
    CHECK_EQ(profile.mean_wall_ns, 3300);
    CHECK_EQ(profile.mean_cpu_ns, 3100);
    CHECK_EQ(profile.mean_wait_ns, 0);
}

static void since_an_earlier_look_only_what_came_since(void **state)
{
    (void)state;
    struct profile_sums then = {.calls = 10, .wall_ns = 500};
    struct profile_sums now = {.calls = 14, .wall_ns = 400};
    struct profile_sums both = then;
    profile_merge(&both, &now);
    CHECK_EQ(both.calls, 24);
    struct profile_sums since = profile_since(&now, &then);
    CHECK_EQ(since.calls, 4);
    CHECK_EQ(since.wall_ns, 0);
}

/* Notes calls of so many µs, one every `apart` µs, and returns how many of them were due. */
static unsigned count_due(struct profile *profile, unsigned n, uint64_t us, uint64_t apart)
{
    static uint64_t now_us = 1000000;
    unsigned n_due = 0;
    for (unsigned i = 0; i < n; i++) {
        struct profile_call call = {.wall_ns = us * 1000, .is_measured = true};
        now_us += apart;
        if (profile_take_due(profile, now_us)) {
            n_due++;
            profile_note_inline(profile, &call);
        } else {
            profile_note_wall(profile, call.wall_ns);
        }
    }
    return n_due;
}

static void the_shorter_calls_are_the_fewer_are_measured(void **state)
{
    (void)state;
    static struct profile tiny, small, large;
    CHECK_EQ(count_due(&tiny, 16, 1, 10000), 16);
    CHECK_EQ(count_due(&tiny, 2570, 1, 10000), 10);
    CHECK_EQ(count_due(&small, 16, 100, 10000), 16);
    CHECK_EQ(count_due(&small, 1290, 100, 10000), 10);
    CHECK_EQ(count_due(&large, 100, 2000, 10000), 100);
    /* from the next one that is due */
    CHECK(count_due(&tiny, 10000, 100000, 10000) > 10000 - 258);
}

static void however_many_there_are_a_few_hundred_a_second_are_measured(void **state)
{
    (void)state;
    static struct profile profile;
    CHECK_EQ(count_due(&profile, 16, 2000, 0), 16); /* the first */
    CHECK(count_due(&profile, 100000, 2000, 10) <= 201);
    CHECK(count_due(&profile, 100000, 2000, 10) >= 199);
}

static void many_at_once_are_all_due_at_the_beginning(void **state)
{
    (void)state;
    static struct profile profile;
    for (unsigned i = 0; i < 100; i++)
        CHECK(profile_take_due(&profile, 1));
    (void)count_due(&profile, 17, 10, 0);
    CHECK(!profile_take_due(&profile, 1));
}

static void cleared_it_begins_anew(void **state)
{
    (void)state;
    static struct profile profile;
    const struct profile none = {0};
    (void)count_due(&profile, 1000, 10, 1);
    profile_clear(&profile);
    CHECK(memcmp(&profile, &none, sizeof none) == 0);
}

static void a_thread_has_not_computed_for_longer_than_it_took(void **state)
{
    (void)state;
    struct profile_call call = {.wall_ns = 100, .cpu_ns = 130, .delay_ns = 50};
    profile_bound(&call);
    CHECK_EQ(call.cpu_ns, 100);
    CHECK_EQ(call.delay_ns, 0);
    call = (struct profile_call){.wall_ns = 100, .cpu_ns = 30, .delay_ns = 50};
    profile_bound(&call);
    CHECK_EQ(call.cpu_ns, 30);
    CHECK_EQ(call.delay_ns, 50);
}

static void methods_are_few(void **state)
{
    (void)state;
    CHECK_EQ(profile_method_of("GET"), PROFILE_GET);
    CHECK_EQ(profile_method_of("OPTIONS"), PROFILE_OPTIONS);
    CHECK_EQ(profile_method_of("get"), PROFILE_OTHER);
    CHECK_EQ(profile_method_of("BREW"), PROFILE_OTHER);
    CHECK_EQ(profile_method_of(""), PROFILE_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_tell_waiting_from_computing_and_from_being_ready_to),
        cmocka_unit_test(what_was_computed_is_never_waited_for),
        cmocka_unit_test(means_begin_with_the_first_call_and_follow_the_others),
        cmocka_unit_test(since_an_earlier_look_only_what_came_since),
        cmocka_unit_test(the_shorter_calls_are_the_fewer_are_measured),
        cmocka_unit_test(however_many_there_are_a_few_hundred_a_second_are_measured),
        cmocka_unit_test(many_at_once_are_all_due_at_the_beginning),
        cmocka_unit_test(cleared_it_begins_anew),
        cmocka_unit_test(a_thread_has_not_computed_for_longer_than_it_took),
        cmocka_unit_test(methods_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
