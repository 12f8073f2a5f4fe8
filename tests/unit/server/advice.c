/* server/advice.c: what is said about a route, by what its calls took. */
#include "server/advice.h"

#include "tests/harness/check.h"

#define N 100U

/* N calls, each of so many µs. */
static struct profile_sums calls_of(uint64_t wall_us, uint64_t cpu_us, uint64_t delay_us)
{
    return (struct profile_sums){.calls = N,
                                 .wall_ns = N * wall_us * 1000,
                                 .measured = N,
                                 .measured_wall_ns = N * wall_us * 1000,
                                 .cpu_ns = N * cpu_us * 1000,
                                 .delay_ns = N * delay_us * 1000};
}

static const char *say(enum profile_lane lane, struct profile_sums sums)
{
    static char text[ADVICE_MAX];
    const struct advice_case c = {.lane = lane, .sums = &sums, .answers = N, .has_loop = true};
    bool is_any = advice_give(&c, text);
    CHECK_EQ(is_any, text[0] != '\0');
    return text;
}

static void who_is_where_it_belongs_hears_nothing(void **state)
{
    (void)state;
    CHECK_TEXT(say(PROFILE_INLINE, calls_of(3, 3, 0)), "");
    CHECK_TEXT(say(PROFILE_INLINE, calls_of(300, 300, 0)), "");
    CHECK_TEXT(say(PROFILE_IO, calls_of(50000, 60, 0)), "");
    CHECK_TEXT(say(PROFILE_COMPUTE, calls_of(20100, 20000, 100)), "");
}

static void who_waits_on_the_loop_belongs_on_a_thread(void **state)
{
    (void)state;
    CHECK_TEXT(say(PROFILE_INLINE, calls_of(1000, 60, 0)),
               "waits 94 % of its time on the event loop: move it to io");
    CHECK_TEXT(say(PROFILE_COMPUTE, calls_of(50000, 1000, 0)),
               "waits 98 % of its time in a compute worker: move it to io");
}

static void who_computes_belongs_into_a_compute_worker(void **state)
{
    (void)state;
    CHECK_TEXT(say(PROFILE_INLINE, calls_of(22000, 22000, 0)),
               "computes 22.0ms on the event loop: move it to compute");
    CHECK_TEXT(say(PROFILE_IO, calls_of(22000, 20000, 0)),
               "computes 20.0ms, more than it waits, in io: move it to compute");
}

/* On a busy machine a handler that computes takes long: it does not wait for that. */
static void who_has_no_cpu_does_not_wait(void **state)
{
    (void)state;
    CHECK_TEXT(say(PROFILE_IO, calls_of(100000, 500, 99000)),
               "is ready but has no CPU for 99 % of its time: the CPUs have too much to do");
    CHECK_TEXT(say(PROFILE_INLINE, calls_of(900, 400, 500)), "");
}

static void a_queue_that_takes_longer_than_the_work_is_told(void **state)
{
    (void)state;
    struct profile_sums sums = calls_of(20000, 100, 0);
    sums.wait_ns = N * 120 * UINT64_C(1000000);
    CHECK_TEXT(say(PROFILE_IO, sums),
               "waits 120ms for a thread, longer than it runs: raise threads");
    sums.cpu_ns = sums.wall_ns;
    CHECK_TEXT(say(PROFILE_COMPUTE, sums), "waits 120ms for a compute worker, longer than it runs: "
                                           "give its pool more workers");
}

static void what_is_smaller_than_its_hand_over_is_told(void **state)
{
    (void)state;
    CHECK_TEXT(say(PROFILE_IO, calls_of(12, 12, 0)),
               "takes 12us, less than the hand-over to a thread: inline would be faster");
    CHECK_TEXT(say(PROFILE_COMPUTE, calls_of(12, 12, 0)),
               "takes 12us, less than the hand-over to a process: inline would be faster");
}

static void errors_are_told_even_when_nothing_was_measured(void **state)
{
    (void)state;
    struct profile_sums none = {0};
    char text[ADVICE_MAX];
    struct advice_case c = {.lane = PROFILE_COMPUTE, .sums = &none, .answers = 50, .errors = 10};
    CHECK(advice_give(&c, text));
    CHECK_TEXT(text, "20 % of its answers are errors: see the log");
    c.errors = 1;
    CHECK(!advice_give(&c, text));
    CHECK_TEXT(text, "");
}

static void a_worker_without_a_loop_may_wait(void **state)
{
    (void)state;
    struct profile_sums sums = calls_of(50000, 60, 0);
    const struct advice_case c = {.lane = PROFILE_INLINE, .sums = &sums, .answers = N};
    char text[ADVICE_MAX];
    CHECK(!advice_give(&c, text));
}

static void a_few_calls_say_nothing(void **state)
{
    (void)state;
    struct profile_sums sums = {.calls = 3, .measured = 3, .measured_wall_ns = 3000000000};
    CHECK_TEXT(say(PROFILE_INLINE, sums), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_where_it_belongs_hears_nothing),
        cmocka_unit_test(who_waits_on_the_loop_belongs_on_a_thread),
        cmocka_unit_test(who_computes_belongs_into_a_compute_worker),
        cmocka_unit_test(who_has_no_cpu_does_not_wait),
        cmocka_unit_test(a_queue_that_takes_longer_than_the_work_is_told),
        cmocka_unit_test(what_is_smaller_than_its_hand_over_is_told),
        cmocka_unit_test(errors_are_told_even_when_nothing_was_measured),
        cmocka_unit_test(a_worker_without_a_loop_may_wait),
        cmocka_unit_test(a_few_calls_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
