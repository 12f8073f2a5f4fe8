#include "workers/recycle.h"

#include "base/clock.h"
#include "config/settings.h"
#include "tests/harness/check.h"

#define START_US UINT64_C(5000000)
#define MIB UINT64_C(1048576)

static struct settings settings;
static char why[MSG_TEXT_MAX];

static int setup(void **state)
{
    (void)state;
    memset(&settings, 0, sizeof settings);
    memset(why, 0, sizeof why);
    return 0;
}

static struct recycle make(uint64_t random)
{
    struct recycle r;
    recycle_init(&r, &settings, START_US, random);
    return r;
}

static void recycle_never_without_limits(void **state)
{
    (void)state;
    struct recycle r = make(7);
    CHECK(!recycle_judge(&r, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1, why));
    CHECK_TEXT(why, "");
}

static void recycle_counts_requests_with_jitter(void **state)
{
    (void)state;
    settings.max_requests = 50;
    CHECK_EQ(make(12345).requests, 50);
    settings.max_requests_jitter = 10;
    bool seen[11] = {false};
    for (uint64_t random = 0; random < 1000; random++) {
        uint64_t limit = make(random * 7919).requests;
        CHECK(limit >= 50 && limit <= 60);
        seen[limit - 50] = true;
    }
    for (int i = 0; i <= 10; i++)
        CHECK_SAYING(seen[i], "never %d", 50 + i);
    struct recycle r = make(3);
    CHECK_EQ(r.requests, 53);
    CHECK(!recycle_judge(&r, 52, 0, START_US, why));
    CHECK(recycle_judge(&r, 55, 0, START_US, why));
    CHECK_TEXT(why, "55 requests answered, max_requests with its jitter is 53");
}

static void recycle_says_it_once(void **state)
{
    (void)state;
    settings.max_requests = 1;
    settings.max_rss_bytes = MIB;
    struct recycle r = make(0);
    CHECK(recycle_judge(&r, 1, 0, START_US, why));
    CHECK(!recycle_judge(&r, 2, 2 * MIB, START_US, why));
    CHECK_EQ(r.requests, UINT64_MAX); /* so that nobody asks for each turn */
    recycle_wear(&r, "late");
    CHECK(!recycle_judge(&r, 3, 2 * MIB, START_US, why));
}

static void recycle_compares_memory(void **state)
{
    (void)state;
    settings.max_rss_bytes = 100 * MIB;
    struct recycle r = make(0);
    CHECK(!recycle_judge(&r, 1000000, 0, UINT64_MAX - 1, why));
    CHECK(!recycle_judge(&r, 0, 100 * MIB - 1, START_US, why));
    CHECK(recycle_judge(&r, 0, 100 * MIB, START_US, why));
    CHECK_TEXT(why, "102400 KiB of memory resident, max_rss is 102400 KiB");
}

static void recycle_is_not_for_who_begins_with_too_much(void **state)
{
    (void)state;
    settings.max_rss_bytes = 100 * MIB;
    struct recycle r = make(0);
    CHECK(!recycle_give_up_rss(&r, 100 * MIB - 1));
    CHECK(recycle_give_up_rss(&r, 100 * MIB));
    CHECK(!recycle_judge(&r, 0, 200 * MIB, START_US, why));
    r = make(0);
    CHECK(!recycle_give_up_rss(&r, 0)); /* not known */
}

static void recycle_spreads_the_ends_of_lives_over_their_last_tenth(void **state)
{
    (void)state;
    settings.worker_lifetime_us = 100 * CLOCK_US_PER_S;
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint64_t random = 0; random < 1000; random++) {
        uint64_t life_us = make(random * UINT64_C(6700417)).ends_us - START_US;
        CHECK(life_us >= 90 * CLOCK_US_PER_S && life_us <= 100 * CLOCK_US_PER_S);
        least = life_us < least ? life_us : least;
        most = life_us > most ? life_us : most;
    }
    CHECK(most - least > 9 * CLOCK_US_PER_S);
    struct recycle r = make(0);
    CHECK(!recycle_judge(&r, 0, 0, START_US + 100 * CLOCK_US_PER_S - 1, why));
    CHECK(recycle_judge(&r, 0, 0, START_US + 100 * CLOCK_US_PER_S, why));
    CHECK_HAS(why, "worker_lifetime");
}

static void recycle_takes_other_reasons(void **state)
{
    (void)state;
    struct recycle r = make(0);
    recycle_wear(&r, "a thread was left behind");
    CHECK(recycle_judge(&r, 0, 0, START_US, why));
    CHECK_TEXT(why, "a thread was left behind");
}

static void recycle_reads_the_memory_of_this_process(void **state)
{
    (void)state;
    uint64_t before = recycle_read_rss();
    CHECK(before > 100000);
    char *block = malloc(64 * MIB);
    CHECK(block != NULL);
    for (size_t at = 0; at < 64 * MIB; at += 4096)
        ((volatile char *)block)[at] = 'x';
    CHECK(recycle_read_rss() >= before + 32 * MIB);
    free(block);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(recycle_never_without_limits),
        TEST(recycle_counts_requests_with_jitter),
        TEST(recycle_says_it_once),
        TEST(recycle_compares_memory),
        TEST(recycle_is_not_for_who_begins_with_too_much),
        TEST(recycle_spreads_the_ends_of_lives_over_their_last_tenth),
        TEST(recycle_takes_other_reasons),
        TEST(recycle_reads_the_memory_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
