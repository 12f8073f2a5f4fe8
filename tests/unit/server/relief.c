/* Tests of server/relief.c: how long a compute worker that is to go may take, and that a stop in
 * the middle of it ends. */
#include "server/relief.h"

#include <unistd.h>

#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static const struct steer steer; /* of web workers */

static void look(struct crew *crew, uint64_t now_us)
{
    crew->herd.now_us = now_us;
    relief_judge(&crew->herd, crew->compute);
    herd_happen(&crew->herd, crew->compute, DECIDE_TIME);
}

static void dismiss(struct crew *crew)
{
    herd_dismiss(&crew->herd, crew->compute, "test");
    relief_workers(&crew->herd, &steer);
    assert_int_equal(crew->compute->phase, SEAT_DRAINING);
}

static void one_that_is_replaced_has_the_time_of_its_task(void **state)
{
    struct crew *crew = *state;
    crew->herd.current->rules.graceful_us = 30 * S;
    (void)crew_give_task(crew, crew->web[0], NOW + 300 * S);
    dismiss(crew);
    look(crew, NOW + 31 * S);
    assert_int_equal(crew->compute->phase, SEAT_DRAINING);
    look(crew, NOW + 301 * S);
    assert_int_equal(crew->compute->phase, SEAT_DRAINING);
    look(crew, NOW + 303 * S);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
}

static void one_without_a_task_has_no_more_than_others(void **state)
{
    struct crew *crew = *state;
    crew->herd.current->rules.graceful_us = 30 * S;
    dismiss(crew);
    look(crew, NOW + 30 * S);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
}

static void one_whose_seat_says_never_is_not_waited_for_for_ever(void **state)
{
    struct crew *crew = *state;
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    dismiss(crew);
    look(crew, NOW + 3600 * S);
    assert_int_equal(crew->compute->phase, SEAT_DRAINING);
    look(crew, NOW + 3602 * S);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
}

static void a_stop_ends_what_had_been_given_longer(void **state)
{
    struct crew *crew = *state;
    crew->herd.current->rules.graceful_us = 30 * S;
    (void)crew_give_task(crew, crew->web[0], NOW + 300 * S);
    dismiss(crew);
    look(crew, NOW + 20 * S);
    herd_stop(&crew->herd, DECIDE_GRACEFUL, "test");
    look(crew, NOW + 49 * S);
    assert_int_equal(crew->compute->phase, SEAT_DRAINING);
    look(crew, NOW + 50 * S);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
}

/* The rear goes on in a stop, so a replacement may become ready then. */
static void one_that_is_dismissed_during_a_stop_drains_and_nobody_spins(void **state)
{
    struct crew *crew = *state;
    herd_stop(&crew->herd, DECIDE_GRACEFUL, "test");
    assert_int_equal(crew->compute->phase, SEAT_READY);
    crew->herd.now_us = NOW + S;
    dismiss(crew);
    crew->herd.now_us = NOW + 4 * S;
    assert_true(relief_next_us(&crew->herd) > crew->herd.now_us);
}

/* It was sent ahead, since memory has no room for two. */
static void one_that_is_worn_and_drains_in_its_post_is_no_failure(void **state)
{
    struct crew *crew = *state;
    const struct post *post = &crew->herd.current->pools.items[0].workers[0];
    crew->compute->worn_us = NOW;
    herd_happen(&crew->herd, crew->compute, DECIDE_DRAIN);
    assert_ptr_equal(post->seat, crew->compute);
    crew_kill(crew, crew->compute);
    assert_null(post->seat);
    assert_true(post->due_us == NOW);
    assert_int_equal(post->failures, 0);
}

/* Its tasks have left it without descriptors, say: it can't wait for another to be ready. */
static void one_that_is_worn_and_ends_by_itself_is_no_failure(void **state)
{
    struct crew *crew = *state;
    const struct post *post = &crew->herd.current->pools.items[0].workers[0];
    crew->compute->worn_us = NOW;
    herd_happen(&crew->herd, crew->compute, DECIDE_DRAINED);
    assert_null(post->seat);
    assert_true(post->due_us == NOW);
    assert_int_equal(post->failures, 0);
    crew_kill(crew, crew->compute);
    assert_true(post->due_us == NOW);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
        TEST(one_that_is_replaced_has_the_time_of_its_task),
        TEST(one_without_a_task_has_no_more_than_others),
        TEST(one_whose_seat_says_never_is_not_waited_for_for_ever),
        TEST(a_stop_ends_what_had_been_given_longer),
        TEST(one_that_is_dismissed_during_a_stop_drains_and_nobody_spins),
        TEST(one_that_is_worn_and_drains_in_its_post_is_no_failure),
        TEST(one_that_is_worn_and_ends_by_itself_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
