/* Tests of server/cover.c: who watches which socket. */
#include "server/cover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define N_MAX 16

static const struct cover_worker able = {.is_able = true, .is_alive = true};
static const struct cover_worker full = {.is_alive = true};
static const struct cover_worker dead = {0};

struct herd {
    struct cover_worker workers[N_MAX];
    struct cover_duty duties[N_MAX];
    uint32_t n;
};

static void herd_make(struct herd *herd, uint32_t n)
{
    *herd = (struct herd){.n = n};
    for (uint32_t i = 0; i < n; i++) {
        herd->workers[i] = able;
        herd->duties[i].covered_by = COVER_NOBODY;
    }
    (void)cover_plan(herd->workers, herd->duties, n);
}

static uint32_t count_sharing(const struct herd *herd)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < herd->n; i++)
        n += herd->duties[i].is_sharing;
    return n;
}

static void a_healthy_herd_covers_nothing_and_changes_nothing(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 8);
    assert_false(cover_plan(herd.workers, herd.duties, herd.n));
    for (uint32_t i = 0; i < herd.n; i++)
        assert_int_equal(herd.duties[i].covered_by, COVER_NOBODY);
    assert_int_equal(count_sharing(&herd), COVER_SHARED_MAX);
}

static void a_lost_slot_is_covered_until_its_worker_is_back(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 3);
    herd.workers[1] = dead;
    assert_true(cover_plan(herd.workers, herd.duties, herd.n));
    assert_int_equal(herd.duties[1].covered_by, 2);
    assert_false(cover_plan(herd.workers, herd.duties, herd.n));
    herd.workers[1] = able;
    assert_true(cover_plan(herd.workers, herd.duties, herd.n));
    assert_int_equal(herd.duties[1].covered_by, COVER_NOBODY);
}

static void a_full_slot_is_covered_by_one_that_is_not(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 3);
    herd.workers[0] = full;
    herd.workers[1] = full;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[0].covered_by, 2);
    assert_int_equal(herd.duties[1].covered_by, 2);
    herd.workers[2] = full; /* nobody can: nobody does */
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[0].covered_by, COVER_NOBODY);
}

static void cover_passes_on_when_the_coverer_fails(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 4);
    herd.workers[0] = dead;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[0].covered_by, 1);
    herd.workers[1] = dead;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[0].covered_by, 2);
    assert_int_equal(herd.duties[1].covered_by, 3); /* spread, not both with one */
}

static void a_coverer_that_goes_on_is_kept(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 4);
    herd.workers[0] = dead;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    herd.workers[3] = dead;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[0].covered_by, 1);
    assert_int_equal(herd.duties[3].covered_by, 2);
}

static void a_booting_worker_gets_a_moment(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 2);
    herd.workers[1] = (struct cover_worker){.is_excused = true};
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[1].covered_by, COVER_NOBODY);
    herd.workers[1].is_excused = false;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[1].covered_by, 0);
}

static void a_lone_worker_has_no_neighbour(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 1);
    assert_true(herd.duties[0].is_sharing);
    herd.workers[0] = full;
    (void)cover_plan(herd.workers, herd.duties, herd.n);
    assert_int_equal(herd.duties[0].covered_by, COVER_NOBODY);
    assert_true(herd.duties[0].is_sharing); /* who else */
}

static void a_sharer_that_goes_is_succeeded(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 6);
    assert_true(herd.duties[0].is_sharing);
    herd.workers[0] = dead;
    assert_true(cover_plan(herd.workers, herd.duties, herd.n));
    assert_false(herd.duties[0].is_sharing);
    assert_int_equal(count_sharing(&herd), COVER_SHARED_MAX);
}

static void a_laden_sharer_makes_room_for_an_idle_worker(void **state)
{
    (void)state;
    struct herd herd;
    herd_make(&herd, 5);
    assert_false(herd.duties[4].is_sharing);
    herd.workers[2].connections = 100;
    herd.workers[4].connections = 60; /* not worth a move */
    assert_false(cover_plan(herd.workers, herd.duties, herd.n));
    herd.workers[4].connections = 10;
    assert_true(cover_plan(herd.workers, herd.duties, herd.n));
    assert_false(herd.duties[2].is_sharing);
    assert_true(herd.duties[4].is_sharing);
    assert_false(cover_plan(herd.workers, herd.duties, herd.n)); /* and it stays so */
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Random conditions, one after the other: what must hold after every plan. */
static void every_slot_is_watched_whenever_anybody_can(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct herd herd;
    for (int round = 0; round < 20000; round++) {
        if (round % 50 == 0)
            herd_make(&herd, 1 + (uint32_t)(next_random(&seed) % N_MAX));
        uint32_t n_able = 0;
        for (uint32_t i = 0; i < herd.n; i++) {
            uint64_t dice = next_random(&seed) % 4;
            if (dice == 0)
                herd.workers[i] = dead;
            else if (dice == 1)
                herd.workers[i] = full;
            else
                herd.workers[i] = able;
            herd.workers[i].connections = next_random(&seed) % 200;
            n_able += herd.workers[i].is_able;
        }
        (void)cover_plan(herd.workers, herd.duties, herd.n);
        for (uint32_t i = 0; i < herd.n; i++) {
            int32_t by = herd.duties[i].covered_by;
            if (herd.workers[i].is_able || n_able == 0)
                assert_int_equal(by, COVER_NOBODY);
            else
                assert_true(by >= 0 && by < (int32_t)herd.n && herd.workers[by].is_able);
            assert_true(!herd.duties[i].is_sharing || herd.workers[i].is_alive);
        }
        uint32_t least = n_able < COVER_SHARED_MAX ? n_able : COVER_SHARED_MAX;
        assert_true(count_sharing(&herd) >= least);
        assert_true(count_sharing(&herd) <= COVER_SHARED_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_herd_covers_nothing_and_changes_nothing),
        cmocka_unit_test(a_lost_slot_is_covered_until_its_worker_is_back),
        cmocka_unit_test(a_full_slot_is_covered_by_one_that_is_not),
        cmocka_unit_test(cover_passes_on_when_the_coverer_fails),
        cmocka_unit_test(a_coverer_that_goes_on_is_kept),
        cmocka_unit_test(a_booting_worker_gets_a_moment),
        cmocka_unit_test(a_lone_worker_has_no_neighbour),
        cmocka_unit_test(a_sharer_that_goes_is_succeeded),
        cmocka_unit_test(a_laden_sharer_makes_room_for_an_idle_worker),
        cmocka_unit_test(every_slot_is_watched_whenever_anybody_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
