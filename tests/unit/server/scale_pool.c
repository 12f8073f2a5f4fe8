/* Tests of server/scale_pool.c: what somebody may wish for a compute pool, what becomes of it in a
 * reload, and with how many workers the pools of the next generation begin. */
#include "server/scale_pool.h"

#include <errno.h>
#include <unistd.h>

#include "server/growth.h"
#include "tests/unit/server/crew.h"

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

static struct scale scale;

static int wish(struct crew *crew, const char *name, bool is_relative, int n, uint32_t *out,
                struct err *err)
{
    return scale_pool(&scale, &crew->herd, name, (struct scale_wish){is_relative, n}, out, err);
}

static void posts_come_and_go_and_the_pool_stays_as_it_was_told(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct err err;
    uint32_t n;
    pool->n_max = 8;
    assert_int_equal(wish(crew, "default", false, 4, &n, &err), 0);
    assert_int_equal(n, 4);
    assert_int_equal(pool->n_workers, 4);
    assert_true(pool->workers[3].due_us == NOW);
    assert_ptr_equal(pool->workers[0].seat, crew->compute);
    assert_true(growth_next_us(&crew->herd) == SEAT_NEVER); /* it does not grow by itself now */
    assert_int_equal(crew->web[0]->owes_pools, 1);          /* who reckons with it is told */
    assert_int_equal(wish(crew, "default", true, -9, &n, &err), 0);
    assert_int_equal(n, 1); /* a queue needs a reader */
    assert_int_equal(crew->compute->dismissed_us, 0);
    scale = (struct scale){0};
}

static void what_can_not_be_is_refused_with_what_can(void **state)
{
    struct crew *crew = *state;
    struct err err;
    uint32_t n = 77;
    assert_int_equal(wish(crew, "images", false, 4, &n, &err), -ENOENT);
    assert_non_null(strstr(err.text, "there is default"));
    assert_int_equal(wish(crew, "default", false, 257, &n, &err), -EINVAL);
    assert_non_null(strstr(err.text, "allowed: 1 to 256"));
    crew->herd.stage = DECIDE_GRACEFUL;
    assert_int_equal(wish(crew, "default", false, 1, &n, &err), -EBUSY);
    crew->herd.stage = DECIDE_RUNNING;
    assert_int_equal(n, 77);
    assert_int_equal(crew->herd.current->pools.items[0].n_workers, 2);
}

static void what_was_wished_during_a_reload_holds_for_the_next_generation(void **state)
{
    struct crew *crew = *state;
    struct pool *pool = &crew->herd.current->pools.items[0];
    struct err err;
    uint32_t n;
    scale_on_reload_asked(&scale);
    assert_int_equal(wish(crew, "default", true, 1, &n, &err), 0);
    growth_resize(&crew->herd, pool, 2, "test"); /* as the next one comes */
    scale_on_commit(&scale, &crew->herd);
    assert_int_equal(pool->n_workers, 3);
    scale_on_reload_asked(&scale);
    growth_resize(&crew->herd, pool, 2, "test");
    scale_on_commit(&scale, &crew->herd);
    assert_int_equal(pool->n_workers, 2);
}

static void pools_begin_with_what_those_before_had_grown_to(void **state)
{
    struct crew *crew = *state;
    struct pools *before = &crew->herd.current->pools;
    struct setting_pool items[] = {{.name = "default", .workers_min = 1, .workers_max = 6},
                                   {.name = "images", .workers_min = 2, .workers_max = 4}};
    struct settings settings = {.adaptive = true, .compute_pools = {items, 2}};
    static const uint32_t rows[][2] = {{1, 1}, {4, 4}, {9, 6}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct generation next = {0};
        before->items[0].n_workers = rows[i][0];
        assert_int_equal(pools_init(&next.pools, &settings, NOW), 0);
        growth_inherit(&crew->herd, &next);
        assert_int_equal(next.pools.items[0].n_workers, rows[i][1]);
        assert_int_equal(next.pools.items[1].n_workers, 2);
        pools_fini(&next.pools);
    }
    before->items[0].n_workers = 2;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_open, crew_close)
    const struct CMUnitTest tests[] = {
        TEST(posts_come_and_go_and_the_pool_stays_as_it_was_told),
        TEST(what_can_not_be_is_refused_with_what_can),
        TEST(what_was_wished_during_a_reload_holds_for_the_next_generation),
        TEST(pools_begin_with_what_those_before_had_grown_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
