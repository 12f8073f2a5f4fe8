/* Tests of server/slots.c: the table of seats and the list of dead pids without one. */
#include "server/slots.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void seats_are_taken_from_the_lowest_and_freed(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 3, 1), 0);
    struct seat *a = slots_take(&slots, ROLE_LOADER, -1, 5);
    struct seat *b = slots_take(&slots, ROLE_WEB, 0, 6);
    struct seat *c = slots_take(&slots, ROLE_WEB, 1, 7);
    assert_int_equal(a->number, 0);
    assert_int_equal(b->number, 1);
    assert_int_equal(c->number, 2);
    assert_int_equal(c->born_us, 7);
    assert_int_equal(c->phase, SEAT_FORKING);
    assert_null(slots_take(&slots, ROLE_WEB, 2, 8));
    assert_int_equal(slots_count(&slots), 3);
    slots_release(&slots, b);
    assert_int_equal(slots_count(&slots), 2);
    assert_ptr_equal(slots_take(&slots, ROLE_WEB, 2, 9), b);
    slots_fini(&slots);
}

static void the_next_occupant_inherits_nothing_but_the_epoch(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 1, 100), 0);
    struct seat *seat = slots_take(&slots, ROLE_WEB, 3, 1);
    assert_int_equal(seat->epoch, 1);
    seat->pid = 77;
    seat->is_full = seat->is_hung = seat->is_started = seat->is_leaving = seat->is_dead = true;
    seat->doom = "stop";
    seat->reason[0] = 'x';
    slots_set_held(seat, 99, true);
    slots_release(&slots, seat);
    assert_null(slots_find_by_pid(&slots, 77));
    seat = slots_take(&slots, ROLE_WEB, 3, 2);
    assert_int_equal(seat->epoch, 2);
    assert_int_equal(seat->pid, 0);
    assert_false(seat->is_full || seat->is_hung || seat->is_started || seat->is_leaving ||
                 seat->is_dead);
    assert_null(seat->doom);
    assert_string_equal(seat->reason, "");
    assert_false(slots_holds(seat, 99));
    slots_fini(&slots);
}

static void release_closes_the_channel(void **state)
{
    (void)state;
    struct slots slots;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(slots_init(&slots, 1, 1), 0);
    struct seat *seat = slots_take(&slots, ROLE_WEB, 0, 1);
    seat->channel_fd = ends[1];
    slots_release(&slots, seat);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
    slots_fini(&slots);
}

static void an_occupant_is_found_by_seat_and_epoch(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 2, 1), 0);
    struct seat *seat = slots_take(&slots, ROLE_WEB, 0, 1);
    assert_ptr_equal(slots_find_occupant(&slots, 0, 1), seat);
    assert_null(slots_find_occupant(&slots, 0, 2));
    assert_null(slots_find_occupant(&slots, 1, 0)); /* free */
    assert_null(slots_find_occupant(&slots, 2, 1));
    assert_null(slots_find_occupant(&slots, UINT32_MAX, 1));
    slots_release(&slots, seat);
    assert_null(slots_find_occupant(&slots, 0, 1));
    slots_fini(&slots);
}

static void held_sockets_are_kept_apart_bit_by_bit(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 2, 130), 0);
    struct seat *a = slots_take(&slots, ROLE_WEB, 0, 1);
    struct seat *b = slots_take(&slots, ROLE_WEB, 1, 1);
    for (uint32_t id = 0; id < 130; id += 3)
        slots_set_held(a, id, true);
    for (uint32_t id = 0; id < 130; id++) {
        assert_int_equal(slots_holds(a, id), id % 3 == 0);
        assert_false(slots_holds(b, id));
    }
    slots_set_held(a, 129, false);
    assert_false(slots_holds(a, 129));
    assert_true(slots_holds(a, 126));
    slots_fini(&slots);
}

static void a_dead_pid_waits_for_its_name(void **state)
{
    (void)state;
    struct slots slots;
    int status = 0;
    assert_int_equal(slots_init(&slots, 1, 1), 0);
    assert_int_equal(slots_keep_unclaimed(&slots, 100, 9), 0);
    assert_int_equal(slots_keep_unclaimed(&slots, 101, 11), 0);
    assert_false(slots_take_unclaimed(&slots, 102, &status));
    assert_true(slots_take_unclaimed(&slots, 100, &status));
    assert_int_equal(status, 9);
    assert_false(slots_take_unclaimed(&slots, 100, &status)); /* once only */
    assert_true(slots_take_unclaimed(&slots, 101, &status));
    assert_int_equal(status, 11);
    slots_fini(&slots);
}

static void the_oldest_dead_pid_is_forgotten_when_there_is_no_room(void **state)
{
    (void)state;
    struct slots slots;
    int status;
    assert_int_equal(slots_init(&slots, 1, 1), 0);
    for (int i = 0; i < SLOTS_UNCLAIMED_MAX; i++)
        assert_int_equal(slots_keep_unclaimed(&slots, 1000 + i, i), 0);
    assert_int_equal(slots_keep_unclaimed(&slots, 5000, 1), 1000);
    assert_false(slots_take_unclaimed(&slots, 1000, &status));
    assert_true(slots_take_unclaimed(&slots, 1001, &status));
    assert_true(slots_take_unclaimed(&slots, 5000, &status));
    slots_fini(&slots);
}

static void what_is_held_stays_held_when_there_is_room_for_more(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 2, 3), 0);
    struct seat *a = slots_take(&slots, ROLE_WEB, 0, 1);
    struct seat *b = slots_take(&slots, ROLE_WEB, 1, 1);
    slots_set_held(a, 2, true);
    slots_set_held(b, 63, true);
    slots_set_retire(a, 2, true);
    assert_int_equal(slots_grow(&slots, 200), 0);
    assert_int_equal(slots_grow(&slots, 10), 0); /* never fewer */
    assert_true(slots_holds(a, 2) && slots_holds(b, 63));
    assert_false(slots_holds(a, 63) || slots_holds(b, 199) || slots_holds(a, 199));
    slots_set_held(b, 199, true);
    assert_true(slots_holds(b, 199) && !slots_holds(a, 199));
    assert_int_equal(slots_peek_retire(a), 2);
    slots_set_retire(a, 2, false);
    assert_true(a->n_retires == 0 && b->n_retires == 0);
    slots_fini(&slots);
}

static void what_is_held_is_compared_with_what_should_be(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 2, 130), 0);
    struct seat *a = slots_take(&slots, ROLE_WEB, 0, 1);
    struct seat *b = slots_take(&slots, ROLE_WEB, 1, 1);
    assert_int_equal(slots_find_unlike(&slots, a, 0), SLOTS_NO_LISTENER);
    slots_set_wanted(a, 3);
    slots_set_held(a, 63, true);
    slots_set_wanted(a, 64);
    slots_set_held(a, 64, true);
    slots_set_wanted(a, 129);
    assert_int_equal(slots_find_unlike(&slots, a, 0), 3);
    assert_int_equal(slots_find_unlike(&slots, a, 3), 3);
    assert_int_equal(slots_find_unlike(&slots, a, 4), 63);
    assert_int_equal(slots_grow(&slots, 200), 0);
    assert_int_equal(slots_find_unlike(&slots, a, 64), 129);
    assert_int_equal(slots_find_unlike(&slots, a, 130), SLOTS_NO_LISTENER);
    assert_int_equal(slots_find_unlike(&slots, a, 256), SLOTS_NO_LISTENER);
    assert_int_equal(slots_find_unlike(&slots, b, 0), SLOTS_NO_LISTENER);
    slots_want_none(&slots, a);
    assert_int_equal(slots_find_unlike(&slots, a, 0), 63);
    slots_release(&slots, b);
    slots_release(&slots, a);
    a = slots_take(&slots, ROLE_WEB, 0, 1);
    assert_int_equal(slots_find_unlike(&slots, a, 0), SLOTS_NO_LISTENER);
    slots_fini(&slots);
}

static void all_that_are_taken_are_below_the_end_of_a_walk(void **state)
{
    (void)state;
    struct slots slots;
    assert_int_equal(slots_init(&slots, 4, 1), 0);
    assert_int_equal(slots.n_used, 0);
    struct seat *seats[3];
    for (int i = 0; i < 3; i++)
        seats[i] = slots_take(&slots, ROLE_WEB, i, 1);
    assert_int_equal(slots.n_used, 3);
    slots_release(&slots, seats[1]);
    assert_int_equal(slots.n_used, 3);
    slots_release(&slots, seats[2]);
    assert_int_equal(slots.n_used, 1);
    assert_ptr_equal(slots_take(&slots, ROLE_WEB, 1, 1), seats[1]);
    assert_int_equal(slots.n_used, 2);
    slots_fini(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seats_are_taken_from_the_lowest_and_freed),
        cmocka_unit_test(the_next_occupant_inherits_nothing_but_the_epoch),
        cmocka_unit_test(release_closes_the_channel),
        cmocka_unit_test(an_occupant_is_found_by_seat_and_epoch),
        cmocka_unit_test(held_sockets_are_kept_apart_bit_by_bit),
        cmocka_unit_test(a_dead_pid_waits_for_its_name),
        cmocka_unit_test(what_is_held_stays_held_when_there_is_room_for_more),
        cmocka_unit_test(what_is_held_is_compared_with_what_should_be),
        cmocka_unit_test(all_that_are_taken_are_below_the_end_of_a_walk),
        cmocka_unit_test(the_oldest_dead_pid_is_forgotten_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
