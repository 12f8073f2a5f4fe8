/* Tests of server/growth.c: when a pool becomes larger and smaller, and who comes and goes. */
#include "server/growth.h"

#include <unistd.h>

#include "server/herd.h"
#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static void
a_pool_grows_when_tasks_wait_though_all_are_there_and_shrinks_when_one_is_idle(void **state)
{
    (void)state;
    static const struct {
        struct growth_case c;
        enum growth growth;
    } rows[] = {
        {{2, 1, 4, 2, 2, 5, GROWTH_WAIT_US, 0, 0, 0}, GROWTH_MORE},
        {{2, 1, 4, 2, 2, 5, GROWTH_WAIT_US - 1, 0, 0, 0}, GROWTH_NONE},
        {{2, 1, 4, 1, 1, 5, GROWTH_WAIT_US, 0, 0, 0}, GROWTH_NONE}, /* the last one still boots */
        {{4, 1, 4, 4, 4, 5, GROWTH_WAIT_US, 0, 0, 0}, GROWTH_NONE},
        {{2, 1, 4, 2, 0, 0, 0, GROWTH_SPARE_US, 0, 0}, GROWTH_LESS},
        {{2, 1, 4, 2, 0, 0, 0, GROWTH_SPARE_US - 1, 0, 0}, GROWTH_NONE},
        {{1, 1, 4, 1, 0, 0, 0, GROWTH_SPARE_US, 0, 0}, GROWTH_NONE},
        {{2, 1, 4, 2, 2, 5, GROWTH_WAIT_US, 0, 100, 100}, GROWTH_MORE},
        {{2, 1, 4, 2, 2, 5, GROWTH_WAIT_US, 0, 101, 100}, GROWTH_NO_ROOM},
        {{2, 1, 4, 2, 2, 5, GROWTH_WAIT_US, 0, 101, UINT64_MAX}, GROWTH_MORE},
        {{2, 1, 4, 2, 2, 5, GROWTH_WAIT_US - 1, 0, 101, 100}, GROWTH_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(growth_decide(&rows[i].c), rows[i].growth);
}

static void turn(struct crew *crew, uint64_t now_us)
{
    crew->herd.now_us = now_us;
    crew->herd.current->pools.items[0].look_us = 0;
    growth_turn(&crew->herd);
}

static void bounds(struct crew *crew, uint32_t min, uint32_t max)
{
    crew->herd.current->pools.items[0].n_min = min;
    crew->herd.current->pools.items[0].n_max = max;
}

static void posts_come_and_go_at_the_end(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct task task = task_make(TASK_CALL, task_make_id(crew->web[0]->number, 1, 5));
    bounds(crew, 1, 2);
    pool->n_workers = 1;
    assert_int_equal(task_send(&pool->queue, &task, crew->ends[0], -1), 0);
    turn(crew, NOW);
    turn(crew, NOW + GROWTH_WAIT_US - 1);
    assert_int_equal(pool->n_workers, 1);
    turn(crew, NOW + GROWTH_WAIT_US);
    assert_int_equal(pool->n_workers, 2);
    for (int i = 0; i < 2; i++) /* who asks is to know */
        assert_int_equal(crew->web[i]->owes_pools, 1);
    assert_null(pool->workers[1].seat);
    assert_int_equal(pool->workers[1].slot, 1);
    assert_true(pool->workers[1].due_us == NOW + GROWTH_WAIT_US);
    assert_true(growth_next_us(&crew->herd) <= NOW + GROWTH_WAIT_US + 100000);

    struct seat *second = crew_add(crew, ROLE_COMPUTE, 1);
    struct task_seat place;
    int fds[2];
    assert_int_equal(task_receive(pool->read_fd, &place, &task, fds), 1);
    fd_close(&fds[0]);
    turn(crew, NOW + S);
    turn(crew, NOW + S + GROWTH_SPARE_US - 1);
    assert_int_equal(pool->n_workers, 2);
    turn(crew, NOW + S + GROWTH_SPARE_US);
    assert_int_equal(pool->n_workers, 1);
    assert_true(second->dismissed_us != 0);
    assert_ptr_equal(pool->workers[0].seat, crew->compute);
}

static void a_pool_of_fixed_size_is_never_looked_at(void **state)
{
    struct crew *crew = *state;
    bounds(crew, 1, 1);
    assert_true(growth_next_us(&crew->herd) == SEAT_NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_pool_grows_when_tasks_wait_though_all_are_there_and_shrinks_when_one_is_idle),
        TEST(posts_come_and_go_at_the_end),
        TEST(a_pool_of_fixed_size_is_never_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
