/* Tests of server/graves.c: a seat is nobody's while somebody may read what its last occupant
 * left, and who asked for a task hears of its loss, whatever its channel is like. */
#include "server/graves.h"

#include <unistd.h>

#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static void turn(struct crew *crew)
{
    crew->herd.graves.due_us = crew->herd.now_us;
    graves_turn(&crew->herd);
}

static bool let_go(struct crew *crew, const struct seat *web, uint32_t seat, uint32_t epoch)
{
    struct msg msg = msg_make(MSG_LET_GO);
    msg.seat = seat;
    msg.epoch = epoch;
    return graves_hear(&crew->herd, web, &msg);
}

static void a_seat_stays_taken_until_all_have_let_go_and_is_empty_then(void **state)
{
    struct crew *crew = *state;
    struct msg msg;
    const struct pools *pools = &crew->herd.current->pools;
    uint32_t number = crew->compute->number;
    uint32_t epoch = crew->compute->epoch;
    off_t at = (off_t)(number * pools->slice_bytes) + 5000;
    char octet = 'x';
    assert_int_equal(pwrite(pools->segment_fd, &octet, 1, at), 1);
    crew_kill(crew, crew->compute);
    turn(crew);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crew->compute->phase, SEAT_BURIED);
        assert_int_equal(crew_hear(crew, crew->web[i], &msg), MSG_GONE);
        assert_int_equal(msg.seat, number);
        assert_int_equal(msg.epoch, epoch);
        assert_int_equal(crew_hear(crew, crew->web[i], &msg), 0);
        assert_true(let_go(crew, crew->web[i], number, epoch));
        turn(crew);
    }
    turn(crew); /* the slice is emptied bit by bit */
    assert_int_equal(crew->compute->phase, SEAT_FREE);
    assert_int_equal(pread(pools->segment_fd, &octet, 1, at), 1);
    assert_int_equal(octet, 0);
    assert_int_equal(crew->herd.graves.n_open, 0);
}

static void its_pid_is_nobodys_any_more(void **state)
{
    struct crew *crew = *state;
    pid_t pid = crew->compute->pid;
    crew_kill(crew, crew->compute);
    assert_int_equal(crew->compute->phase, SEAT_BURIED);
    assert_null(slots_find_by_pid(&crew->herd.slots, pid));
    herd_stop(&crew->herd, DECIDE_AT_ONCE, "test"); /* must not signal it */
    assert_int_equal(crew->compute->phase, SEAT_BURIED);
}

static void who_dies_holds_nothing(void **state)
{
    struct crew *crew = *state;
    uint32_t number = crew->compute->number;
    crew_kill(crew, crew->compute);
    turn(crew);
    assert_true(let_go(crew, crew->web[0], number, crew->compute->epoch));
    turn(crew);
    assert_int_equal(crew->compute->phase, SEAT_BURIED);
    crew_kill(crew, crew->web[1]);
    turn(crew);
    turn(crew);
    assert_int_equal(crew->compute->phase, SEAT_FREE);
    assert_int_equal(crew->web[1]->phase, SEAT_FREE);
}

static void nobody_lets_go_of_what_it_was_not_told_of(void **state)
{
    struct crew *crew = *state;
    uint32_t number = crew->compute->number;
    uint32_t epoch = crew->compute->epoch;
    assert_false(let_go(crew, crew->web[0], number, epoch)); /* it lives */
    crew_kill(crew, crew->compute);
    assert_false(let_go(crew, crew->web[0], number, epoch)); /* it was not told yet */
    turn(crew);
    assert_false(let_go(crew, crew->web[0], number, epoch + 1));
    assert_false(let_go(crew, crew->web[0], UINT32_MAX, epoch));
    assert_false(let_go(crew, crew->web[0], crew->web[1]->number, crew->web[1]->epoch));
    assert_true(let_go(crew, crew->web[0], number, epoch));
}

/* Who boots has asked for nothing yet, and whoever comes later finds another occupant. */
static void one_that_is_not_ready_is_not_waited_for(void **state)
{
    struct crew *crew = *state;
    crew->web[1]->phase = SEAT_BOOTING;
    crew_kill(crew, crew->compute);
    turn(crew);
    assert_true(let_go(crew, crew->web[0], crew->compute->number, crew->compute->epoch));
    turn(crew);
    assert_int_equal(crew->compute->phase, SEAT_FREE);
    crew->web[1]->phase = SEAT_READY;
}

static void who_asked_hears_of_the_loss_first_also_when_its_channel_was_full(void **state)
{
    struct crew *crew = *state;
    struct msg msg = msg_make(MSG_UNLISTEN);
    uint64_t id = crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    while (msg_send(crew->web[0]->channel_fd, &msg, NULL, 0) == 0)
        ;
    pid_t pid = crew->compute->pid;
    crew_kill(crew, crew->compute);
    turn(crew);
    assert_true(crew->herd.graves.due_us < SEAT_NEVER); /* to be tried again */
    while (crew_hear(crew, crew->web[0], &msg) == MSG_UNLISTEN)
        ;
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), 0);
    turn(crew);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_TASK_LOST);
    assert_true((uint64_t)msg.value == id);
    assert_int_equal(msg.about, TASK_LOSS_KILLED);
    assert_int_equal(msg.pid, pid);
    assert_string_equal(msg.text, "killed from outside");
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_GONE);
    assert_int_equal(crew_hear(crew, crew->web[1], &msg), MSG_GONE); /* the loss is not its */
}

/* A compute worker reads the request where its asker had put it. */
static void a_web_workers_slice_stays_while_its_task_is_in_hand(void **state)
{
    struct crew *crew = *state;
    ((struct setting_pool *)(uintptr_t)crew->pool)->on_disconnect = SETTING_ON_DISCONNECT_FINISH;
    uint64_t id = crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    crew_kill(crew, crew->web[0]);
    turn(crew);
    assert_int_equal(crew->web[0]->phase, SEAT_BURIED);
    assert_true(crew->herd.graves.due_us < SEAT_NEVER); /* nothing will be heard of its end */
    assert_true(task_yield(crew->place, id));
    turn(crew);
    assert_int_equal(crew->web[0]->phase, SEAT_BURIED);
    task_rest(crew->place);
    turn(crew);
    assert_int_equal(crew->web[0]->phase, SEAT_FREE);
}

static void without_pools_in_use_a_seat_is_free_at_once(void **state)
{
    struct crew *crew = *state;
    fd_close(&crew->herd.current->pools.segment_fd);
    crew_kill(crew, crew->web[0]);
    assert_int_equal(crew->web[0]->phase, SEAT_FREE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
        TEST(a_seat_stays_taken_until_all_have_let_go_and_is_empty_then),
        TEST(its_pid_is_nobodys_any_more),
        TEST(who_dies_holds_nothing),
        TEST(nobody_lets_go_of_what_it_was_not_told_of),
        TEST(one_that_is_not_ready_is_not_waited_for),
        TEST(who_asked_hears_of_the_loss_first_also_when_its_channel_was_full),
        TEST(a_web_workers_slice_stays_while_its_task_is_in_hand),
        TEST(without_pools_in_use_a_seat_is_free_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
