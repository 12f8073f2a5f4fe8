/* ipc/breaker.c: what follows from what, and the page on which it stands. */
#include "ipc/breaker.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "tests/harness/check.h"

#define S CLOCK_US_PER_S
#define NOW (100 * S)

static const struct breaker_rules rules = {.failures = 3, .reset_us = 30 * S};

static uint64_t miss(uint64_t word, uint64_t now_us)
{
    return breaker_after(word, BREAKER_FAILED, false, &rules, now_us);
}

static uint64_t open_at(uint64_t now_us)
{
    return miss(miss(miss(0, now_us), now_us), now_us);
}

static enum breaker_state state_of(uint64_t word)
{
    return breaker_unpack(word).state;
}

static enum breaker_verdict judge(uint64_t word, uint64_t now_us)
{
    uint64_t wait_us;
    return breaker_judge(word, &rules, now_us, &wait_us);
}

static void word_holds_what_was_packed(void **state)
{
    static const struct breaker rows[] = {
        {.state = BREAKER_CLOSED},
        {.state = BREAKER_CLOSED, .failures = BREAKER_FAILURES_MAX},
        {.state = BREAKER_OPEN, .since_ms = (UINT64_C(1) << 42) - 1},
        {.state = BREAKER_OPEN, .failures = BREAKER_FAILURES_MAX},
        {.state = BREAKER_PROBING, .seat = 2047, .epoch = UINT32_MAX},
        {.state = BREAKER_PROBING, .seat = 1},
        {.state = BREAKER_PROBING, .failures = BREAKER_PROBING_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct breaker b = breaker_unpack(breaker_pack(&rows[i]));
        CHECK_EQ(b.state, rows[i].state);
        CHECK_EQ(b.failures, rows[i].failures);
        CHECK_EQ(b.since_ms, rows[i].since_ms);
        CHECK_EQ(b.seat, rows[i].seat);
        CHECK_EQ(b.epoch, rows[i].epoch);
    }
    CHECK_EQ(breaker_pack(&rows[0]), 0);
    CHECK_EQ(state_of(UINT64_MAX), BREAKER_CLOSED); /* nobody has packed that */
}

static void failures_in_a_row_open_it(void **state)
{
    (void)state;
    uint64_t word = miss(miss(0, NOW), NOW);
    CHECK_EQ(state_of(word), BREAKER_CLOSED);
    CHECK_EQ(breaker_unpack(word).failures, 2);
    CHECK_EQ(judge(word, NOW), BREAKER_PASSES);
    CHECK_EQ(breaker_after(word, BREAKER_ANSWERED, false, &rules, NOW), 0); /* not in a row */
    CHECK_EQ(breaker_after(word, BREAKER_UNTRIED, false, &rules, NOW), word);
    word = miss(word, NOW);
    CHECK_EQ(state_of(word), BREAKER_OPEN);
    CHECK_EQ(breaker_unpack(word).failures, 3); /* which it keeps, */
    word = breaker_begin_probe(word, 7, 9);
    CHECK_EQ(breaker_unpack(word).failures, 3);
    word = breaker_after(word, BREAKER_FAILED, true, &rules, NOW);
    CHECK_EQ(breaker_unpack(word).failures, 4); /* and counts on */
}

static void breaker_without_a_number_never_opens(void **state)
{
    static const struct breaker_rules never = {.failures = 0, .reset_us = S};
    (void)state;
    CHECK_EQ(breaker_after(0, BREAKER_FAILED, false, &never, NOW), 0);
}

static void many_failures_are_counted_as_far_as_there_is_room(void **state)
{
    static const struct breaker_rules many = {.failures = 1000000, .reset_us = S};
    struct breaker b = {.failures = 999998};
    (void)state;
    uint64_t word = breaker_after(breaker_pack(&b), BREAKER_FAILED, false, &many, NOW);
    CHECK_EQ(breaker_unpack(word).failures, 999999);
    CHECK_EQ(state_of(breaker_after(word, BREAKER_FAILED, false, &many, NOW)), BREAKER_OPEN);
}

static void open_one_refuses_until_its_time_is_over(void **state)
{
    (void)state;
    uint64_t word = open_at(NOW), wait_us;
    CHECK_EQ(breaker_judge(word, &rules, NOW + 10 * S, &wait_us), BREAKER_REFUSES);
    CHECK_EQ(wait_us, 20 * S);
    CHECK_EQ(judge(word, NOW + 30 * S - 1), BREAKER_REFUSES);
    CHECK_EQ(breaker_judge(word, &rules, NOW + 30 * S, &wait_us), BREAKER_TRIES);
    CHECK_EQ(wait_us, 0);
}

/* They were sent before it opened. */
static void what_comes_late_changes_nothing_but_by_the_probe(void **state)
{
    (void)state;
    uint64_t open = open_at(NOW), probing = breaker_begin_probe(0, 7, 9);
    for (unsigned event = BREAKER_ANSWERED; event <= BREAKER_UNTRIED; event++) {
        CHECK_EQ(breaker_after(open, event, false, &rules, NOW + S), open);
        CHECK_EQ(breaker_after(probing, event, false, &rules, NOW + S), probing);
        CHECK_EQ(breaker_after(open, event, true, &rules, NOW + S), open);
        CHECK_EQ(breaker_after(0, event, true, &rules, NOW + S), 0);
    }
}

static void one_probe_decides(void **state)
{
    (void)state;
    uint64_t word = breaker_begin_probe(0, 7, 9);
    CHECK_EQ(breaker_unpack(word).seat, 7);
    CHECK_EQ(breaker_unpack(word).epoch, 9);
    CHECK_EQ(judge(word, NOW + 1000 * S), BREAKER_REFUSES); /* all others */
    CHECK_EQ(breaker_after(word, BREAKER_ANSWERED, true, &rules, NOW), 0);
    uint64_t again = breaker_after(word, BREAKER_FAILED, true, &rules, NOW);
    CHECK_EQ(judge(again, NOW + 30 * S - 1), BREAKER_REFUSES);
    CHECK_EQ(judge(again, NOW + 30 * S), BREAKER_TRIES);
}

static void probe_that_tried_nothing_lets_the_next_one_try(void **state)
{
    (void)state;
    uint64_t word = breaker_begin_probe(0, 7, 9);
    word = breaker_after(word, BREAKER_UNTRIED, true, &rules, NOW + 1);
    CHECK_EQ(state_of(word), BREAKER_OPEN);
    CHECK_EQ(judge(word, NOW + 1), BREAKER_TRIES);
    word = breaker_after(breaker_begin_probe(0, 7, 9), BREAKER_UNTRIED, true, &rules, S);
    CHECK_EQ(judge(word, 30 * S), BREAKER_TRIES); /* also soon after the machine's start */
}

static void page_is_shared_by_all_who_map_it(void **state)
{
    struct err err;
    int fd = -1;
    _Atomic uint64_t *ours, *theirs;
    uint64_t read[3];
    (void)state;
    CHECK_EQ(breaker_create(&fd, &err), 0);
    CHECK_EQ(breaker_map(fd, 2, &ours, &err), 0);
    CHECK_EQ(breaker_map(fd, BREAKER_WORDS_MAX, &theirs, &err), 0);
    atomic_store(&ours[1], 5);
    CHECK_EQ(atomic_load(&theirs[1]), 5);
    CHECK_EQ(breaker_read(fd, 0, 3, read), 0);
    CHECK(read[0] == 0 && read[1] == 5 && read[2] == 0);
    CHECK(ftruncate(fd, 0) < 0); /* which would be SIGBUS for who has it mapped */
    breaker_unmap(ours, 2);
    breaker_unmap(theirs, BREAKER_WORDS_MAX);
    fd_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_holds_what_was_packed),
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(breaker_without_a_number_never_opens),
        cmocka_unit_test(many_failures_are_counted_as_far_as_there_is_room),
        cmocka_unit_test(open_one_refuses_until_its_time_is_over),
        cmocka_unit_test(what_comes_late_changes_nothing_but_by_the_probe),
        cmocka_unit_test(one_probe_decides),
        cmocka_unit_test(probe_that_tried_nothing_lets_the_next_one_try),
        cmocka_unit_test(page_is_shared_by_all_who_map_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
