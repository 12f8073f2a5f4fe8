/* Tests of server/graves.c: a seat is nobody's while somebody may read what its last occupant
 * left, and who asked for a task hears of its loss, whatever its channel is like. */
#include "server/graves.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/posts.h"
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

/* Memory is given back bit by bit, one grave a turn. */
static void turns(struct crew *crew)
{
    for (int i = 0; i < 8; i++)
        turn(crew);
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
    turns(crew);
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
    turns(crew);
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
    crew->web[1]->ready_us = 0;
    crew_kill(crew, crew->compute);
    turn(crew);
    assert_true(let_go(crew, crew->web[0], crew->compute->number, crew->compute->epoch));
    turns(crew);
    assert_int_equal(crew->compute->phase, SEAT_FREE);
    crew->web[1]->phase = SEAT_READY;
}

/* Its handler may take a minute, in which it hears nothing. */
static void who_holds_nothing_is_not_waited_for(void **state)
{
    struct crew *crew = *state;
    struct msg msg;
    uint32_t number = crew->compute->number;
    uint32_t epoch = crew->compute->epoch;
    crew_set_held(crew, crew->web[0], 0);
    crew_kill(crew, crew->compute);
    turn(crew);
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), 0);
    assert_int_equal(crew_hear(crew, crew->web[1], &msg), MSG_GONE);
    assert_int_equal(crew->compute->phase, SEAT_BURIED);
    assert_true(crew->herd.graves.due_us <= NOW + S); /* nothing may be heard of it */
    crew_set_held(crew, crew->web[1], 0);
    turns(crew);
    assert_int_equal(crew->compute->phase, SEAT_FREE);
    assert_true(let_go(crew, crew->web[1], number, epoch)); /* late, and no offence */
    assert_false(let_go(crew, crew->web[1], number, epoch + 1));
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

static void expect_gone(struct crew *crew, const struct seat *dead, int about)
{
    struct msg msg;
    turn(crew);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crew_hear(crew, crew->web[i], &msg), MSG_GONE);
        assert_int_equal(msg.seat, dead->number);
        assert_int_equal(msg.about, about);
        assert_true(about == 0 || msg.slot == 0); /* its pool */
    }
}

/* Its seat is its own to write, so what stands there may be anything. */
static void one_that_wrote_over_its_task_is_told_as_such(void **state)
{
    struct crew *crew = *state;
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    memset(crew->place, 0xff, sizeof *crew->place);
    crew_kill(crew, crew->compute);
    assert_non_null(strstr(stage_log(), "task=\"unknown: its seat was written to\""));
    assert_true(crew->compute->has_task);
    expect_gone(crew, crew->compute, 1);
}

static void zeros_in_a_seat_are_not_what_an_idle_worker_leaves(void **state)
{
    struct crew *crew = *state;
    struct scoreboard_part part = crew_map(crew, crew->compute);
    memset(part.head, 0, crew->herd.board.part_bytes);
    crew_unmap(crew, &part);
    crew_kill(crew, crew->compute);
    assert_non_null(strstr(stage_log(), "task=\"unknown: its seat was written to\""));
    assert_true(crew->compute->has_task);
    expect_gone(crew, crew->compute, 1);
}

/* Zeros in just the right places are. */
static void who_ends_in_order_had_no_task_and_of_others_nobody_knows(void **state)
{
    struct crew *crew = *state;
    struct seat *leaves = crew_add(crew, ROLE_COMPUTE, 1);
    crew_kill(crew, crew->compute);
    assert_null(strstr(stage_log(), "task="));
    assert_false(crew->compute->has_task);
    expect_gone(crew, crew->compute, 1);
    assert_int_equal(kill(leaves->pid, SIGKILL), 0);
    crew_reap(leaves);
    leaves->status = 0;
    leaves->is_leaving = true;
    herd_bury(&crew->herd, leaves);
    expect_gone(crew, leaves, 0);
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
    turns(crew);
    assert_int_equal(crew->web[0]->phase, SEAT_BURIED);
    task_rest(crew->place);
    turns(crew);
    assert_int_equal(crew->web[0]->phase, SEAT_FREE);
}

static void write_at(const struct crew *crew, uint32_t seat, uint64_t at)
{
    const struct pools *pools = &crew->herd.current->pools;
    off_t where = (off_t)(seat * pools->slice_bytes + at);
    assert_int_equal(pwrite(pools->segment_fd, "x", 1, where), 1);
}

static bool is_there(const struct crew *crew, uint32_t seat, uint64_t at)
{
    const struct pools *pools = &crew->herd.current->pools;
    char octet = 0;
    off_t where = (off_t)(seat * pools->slice_bytes + at);
    assert_int_equal(pread(pools->segment_fd, &octet, 1, where), 1);
    return octet != 0;
}

/* A body must not vanish under a handler that began when the slice was found unread. */
static void a_task_taken_in_the_last_moment_keeps_its_body(void **state)
{
    struct crew *crew = *state;
    const uint64_t body_at = crew->herd.board.n_inflight * sizeof(struct task_record) + 8192;
    uint32_t number = crew->web[0]->number;
    ((struct setting_pool *)(uintptr_t)crew->pool)->on_disconnect = SETTING_ON_DISCONNECT_FINISH;
    write_at(crew, number, 64);
    write_at(crew, number, body_at);
    crew_kill(crew, crew->web[0]);
    turn(crew);
    assert_false(is_there(crew, number, 64)); /* who takes a task now finds no record */
    assert_true(is_there(crew, number, body_at));
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    turns(crew);
    assert_int_equal(crew->web[0]->phase, SEAT_BURIED);
    assert_true(is_there(crew, number, body_at));
    task_rest(crew->place);
    turns(crew);
    assert_false(is_there(crew, number, body_at));
    assert_int_equal(crew->web[0]->phase, SEAT_FREE);
}

/* It may have left the queue when its asker was seen dead already. */
static void a_task_taken_after_its_askers_death_ends_all_the_same(void **state)
{
    struct crew *crew = *state;
    crew_kill(crew, crew->web[0]);
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    assert_int_equal(crew->compute->phase, SEAT_READY);
    turn(crew);
    assert_int_equal(crew->compute->phase, SEAT_KILLED);
    assert_int_equal(crew->compute->condemned, TASK_LOSS_CANCELLED);
}

static void a_long_task_of_a_dead_asker_is_looked_at_seldom(void **state)
{
    struct crew *crew = *state;
    uint64_t before_us = 0;
    ((struct setting_pool *)(uintptr_t)crew->pool)->on_disconnect = SETTING_ON_DISCONNECT_FINISH;
    (void)crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    crew_kill(crew, crew->web[0]);
    for (int i = 0; i < 10; i++) {
        turn(crew);
        assert_true(crew->herd.graves.due_us > NOW && crew->herd.graves.due_us <= NOW + S);
        assert_true(crew->herd.graves.due_us >= before_us);
        before_us = crew->herd.graves.due_us;
    }
    assert_true(before_us == NOW + S);
}

/* Its order to be forked is refused after it was told to end. */
static void one_that_was_never_born_holds_nothing(void **state)
{
    struct crew *crew = *state;
    uint32_t number = crew->compute->number;
    struct seat *unborn = slots_take(&crew->herd.slots, ROLE_WEB, 5, NOW);
    unborn->generation = 1;
    herd_happen(&crew->herd, unborn, DECIDE_STOP);
    assert_int_equal(unborn->phase, SEAT_ENDING);
    crew_kill(crew, crew->compute);
    turn(crew);
    herd_refuse(&crew->herd, unborn, EAGAIN);
    for (int i = 0; i < 2; i++)
        assert_true(let_go(crew, crew->web[i], number, crew->compute->epoch));
    turns(crew);
    assert_int_equal(crew->compute->phase, SEAT_FREE);
}

static void one_turn_empties_one(void **state)
{
    struct crew *crew = *state;
    struct seat *second = crew_add(crew, ROLE_COMPUTE, 1);
    uint32_t numbers[] = {crew->compute->number, second->number};
    for (int i = 0; i < 2; i++)
        write_at(crew, numbers[i], 0);
    crew_kill(crew, crew->compute);
    crew_kill(crew, second);
    turn(crew);
    for (int i = 0; i < 4; i++)
        assert_true(let_go(crew, crew->web[i / 2], numbers[i % 2], 1));
    turn(crew);
    assert_int_equal(is_there(crew, numbers[0], 0) + is_there(crew, numbers[1], 0), 1);
    assert_true(crew->herd.graves.due_us <= NOW);
    turns(crew);
    assert_int_equal(is_there(crew, numbers[0], 0) + is_there(crew, numbers[1], 0), 0);
}

/* A loader that takes orders, and never does anything about them. */
static void add_loader(struct crew *crew)
{
    int ends[2];
    struct seat *seat = slots_take(&crew->herd.slots, ROLE_LOADER, -1, NOW);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                     0);
    seat->channel_fd = ends[0];
    crew->ends[seat->number] = ends[1];
    seat->generation = 1;
    seat->phase = SEAT_READY;
    crew->herd.current->loader.seat = seat;
}

/* Each holds a seat and memory; web workers must get theirs all the same. */
static void with_too_many_dead_a_pool_gets_no_more(void **state)
{
    struct crew *crew = *state;
    struct generation *g = crew->herd.current;
    struct post *post = &g->pools.items[0].workers[1];
    struct seat *dead = NULL;
    add_loader(crew);
    for (int i = 0; i < 2 * 2 + 8; i++) {
        assert_false(graves_are_full(&crew->herd, g, 0));
        dead = crew_add(crew, ROLE_COMPUTE, 1);
        crew_kill(crew, dead);
    }
    crew_kill(crew, crew->web[1]);
    post->due_us = g->workers[1].due_us = NOW;
    turn(crew);
    posts_fill(&crew->herd, g);
    assert_null(post->seat);
    assert_true(post->due_us > NOW); /* or the master would spin */
    assert_non_null(g->workers[1].seat);
    assert_non_null(strstr(stage_log(), "compute worker not hired pool=default"));
    assert_true(let_go(crew, crew->web[0], dead->number, dead->epoch));
    turns(crew);
    crew->herd.now_us = post->due_us;
    posts_fill(&crew->herd, g);
    assert_non_null(post->seat);
}

#ifdef REMUDA_DEBUG

/* sendmsg(2) may fail for want of memory: what is owed is owed still. The plan is read once, so
 * this test comes first. */
static void what_the_kernel_had_no_room_for_is_told_again(void **state)
{
    struct crew *crew = *state;
    struct msg msg;
    uint64_t id = crew_give_task(crew, crew->web[0], TASK_NEVER_US);
    crew_kill(crew, crew->compute);
    turn(crew); /* the first fails */
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), 0);
    assert_true(crew->herd.graves.due_us < SEAT_NEVER);
    turn(crew); /* the third fails */
    assert_int_equal(crew_hear(crew, crew->web[0], &msg), MSG_TASK_LOST);
    assert_true((uint64_t)msg.value == id);
    assert_true(crew->herd.graves.due_us < SEAT_NEVER);
    turn(crew);
    for (int i = 0; i < 2; i++)
        assert_int_equal(crew_hear(crew, crew->web[i], &msg), MSG_GONE);
}

#endif

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
#ifdef REMUDA_DEBUG
        TEST(what_the_kernel_had_no_room_for_is_told_again),
#endif
        TEST(a_seat_stays_taken_until_all_have_let_go_and_is_empty_then),
        TEST(its_pid_is_nobodys_any_more),
        TEST(who_dies_holds_nothing),
        TEST(nobody_lets_go_of_what_it_was_not_told_of),
        TEST(one_that_is_not_ready_is_not_waited_for),
        TEST(who_holds_nothing_is_not_waited_for),
        TEST(who_asked_hears_of_the_loss_first_also_when_its_channel_was_full),
        TEST(one_that_wrote_over_its_task_is_told_as_such),
        TEST(zeros_in_a_seat_are_not_what_an_idle_worker_leaves),
        TEST(who_ends_in_order_had_no_task_and_of_others_nobody_knows),
        TEST(a_web_workers_slice_stays_while_its_task_is_in_hand),
        TEST(a_task_taken_in_the_last_moment_keeps_its_body),
        TEST(a_task_taken_after_its_askers_death_ends_all_the_same),
        TEST(a_long_task_of_a_dead_asker_is_looked_at_seldom),
        TEST(one_that_was_never_born_holds_nothing),
        TEST(one_turn_empties_one),
        TEST(with_too_many_dead_a_pool_gets_no_more),
        TEST(without_pools_in_use_a_seat_is_free_at_once),
    };
    assert_int_equal(setenv("REMUDA_FAULT", "msg.send:105:0:1,msg.send:12:1:1", 1), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
