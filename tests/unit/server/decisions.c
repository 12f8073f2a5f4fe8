/* Tests of server/decisions.c: the ring of the last decisions. */
#include "server/decisions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void note(struct decisions *decisions, uint64_t at_us, const char *about, const char *to)
{
    const struct decisions_entry entry = {.event = "compute pool grows",
                                          .kind = "compute",
                                          .about = about,
                                          .from = "1",
                                          .to = to,
                                          .why = "jobs wait"};
    decisions_note(decisions, at_us, &entry, "queued=%d load=%.2f", 7, 1.5);
}

static void the_last_ones_are_kept_newest_first(void **state)
{
    (void)state;
    static struct decisions decisions;
    char to[DECISIONS_VALUE_BYTES];
    assert_null(decisions_peek(&decisions, 0));
    for (uint64_t i = 1; i <= DECISIONS_KEPT + 5; i++) {
        (void)snprintf(to, sizeof to, "%u", (unsigned)i);
        note(&decisions, i * 1000, "default", to);
    }
    for (uint64_t i = 0; i < DECISIONS_KEPT; i++) {
        const struct decision *d = decisions_peek(&decisions, i);
        assert_non_null(d);
        assert_int_equal(d->number, DECISIONS_KEPT + 5 - i);
        assert_int_equal(d->at_us, d->number * 1000);
        (void)snprintf(to, sizeof to, "%u", (unsigned)d->number);
        assert_string_equal(d->to, to);
    }
    assert_null(decisions_peek(&decisions, DECISIONS_KEPT));
    const struct decision *last = decisions_peek(&decisions, 0);
    assert_string_equal(last->kind, "compute");
    assert_string_equal(last->about, "default");
    assert_string_equal(last->from, "1");
    assert_string_equal(last->why, "jobs wait");
    assert_string_equal(last->figures, "queued=7 load=1.50");
}

static void what_is_too_long_is_cut(void **state)
{
    (void)state;
    static struct decisions decisions;
    char about[2 * DECISIONS_ABOUT_BYTES];
    memset(about, 'x', sizeof about - 1);
    about[sizeof about - 1] = '\0';
    note(&decisions, 1, about, about);
    assert_int_equal(strlen(decisions_peek(&decisions, 0)->about), DECISIONS_ABOUT_BYTES - 1);
    assert_int_equal(strlen(decisions_peek(&decisions, 0)->to), DECISIONS_VALUE_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_ones_are_kept_newest_first),
        cmocka_unit_test(what_is_too_long_is_cut),
    };
    return cmocka_run_group_tests_name("server/decisions", tests, NULL, NULL);
}
