/* Tests of server/scale.c: wishes, and what they do to posts. */
#include "server/scale.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"

/* No app here. */
struct settings;
struct access_format;

static struct scale_wish relative(int n)
{
    return (struct scale_wish){true, n};
}

static struct scale_wish absolute(int n)
{
    return (struct scale_wish){false, n};
}

static void texts_are_numbers_or_differences(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_relative;
        int n;
    } good[] = {{"1", false, 1},  {"4", false, 4},     {"512", false, 512},  {"+1", true, 1},
                {"-1", true, -1}, {"+512", true, 512}, {"-512", true, -512}, {"+0", true, 0}};
    static const char *const bad[] = {
        "",   "0",   "513", "+513", "-513", "many", "1.5", "1 ",
        " 1", "++1", "+-1", "-",    "+",    "1e2",  "0x4", "99999999999999999999999"};
    struct scale_wish wish;
    struct err err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(scale_parse(good[i].text, &wish, &err), 0);
        assert_int_equal(wish.is_relative, good[i].is_relative);
        assert_int_equal(wish.n, good[i].n);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(scale_parse(bad[i], &wish, &err), -EINVAL);
        assert_non_null(strstr(err.text, "allowed: 1 to 512, or +N or -N"));
    }
}

static void a_target_stays_within_what_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(scale_target(relative(1), 2), 3);
    assert_int_equal(scale_target(relative(-1), 2), 1);
    assert_int_equal(scale_target(relative(-1), 1), 1);
    assert_int_equal(scale_target(relative(-100), 5), 1);
    assert_int_equal(scale_target(relative(1), SCALE_MOST), SCALE_MOST);
    assert_int_equal(scale_target(absolute(7), 2), 7);
    assert_int_equal(scale_target(absolute(7), 0), 7);
}

static void from_nothing_only_more_begins(void **state)
{
    (void)state;
    assert_int_equal(scale_target(relative(1), 0), 1);
    assert_int_equal(scale_target(relative(-1), 0), 0);
    assert_int_equal(scale_target(relative(0), 0), 0);
}

static void wishes_that_follow_each_other_come_to_one(void **state)
{
    (void)state;
    for (uint32_t present = 5; present < 20; present++)
        for (int a = -4; a <= 4; a++)
            for (int b = -4; b <= 4; b++) {
                if ((int)present + a < 1 || (int)present + a + b < 1)
                    continue; /* the bounds make a difference of the order */
                struct scale_wish both = scale_join(relative(a), relative(b));
                assert_int_equal(scale_target(both, present),
                                 scale_target(relative(b), scale_target(relative(a), present)));
                both = scale_join(absolute(5), relative(b));
                assert_int_equal(scale_target(both, present), scale_target(relative(b), 5));
                both = scale_join(relative(a), absolute(6));
                assert_int_equal(scale_target(both, present), 6);
            }
    assert_int_equal(scale_join(absolute(0), relative(-1)).n, 0);
    assert_int_equal(scale_join(absolute(0), relative(2)).n, 2);
}

struct scene {
    struct generation generation;
    struct post posts[GENERATION_WORKERS_MAX];
    struct herd herd;
    struct scale scale;
};

static int set_up(void **state)
{
    static struct scene scene;
    memset(&scene, 0, sizeof scene);
    scene.generation.number = 1;
    scene.generation.workers = scene.posts;
    scene.generation.n_workers = 2;
    scene.herd.current = &scene.generation;
    scene.herd.now_us = 1000;
    log_init(2, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (slots_init(&scene.herd.slots, 8, 1) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        struct seat *seat = slots_take(&scene.herd.slots, ROLE_WEB, i, 1);
        seat->phase = SEAT_READY;
        seat->generation = 1;
        scene.posts[i] = (struct post){.role = ROLE_WEB, .slot = i, .seat = seat};
    }
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    slots_fini(&scene->herd.slots);
    return 0;
}

static void more_workers_are_due_at_once(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(scale_workers(&scene->scale, &scene->herd, relative(2), "test"), 4);
    assert_int_equal(scene->generation.n_workers, 4);
    for (int i = 2; i < 4; i++) {
        assert_null(scene->posts[i].seat);
        assert_int_equal(scene->posts[i].due_us, 1000);
        assert_int_equal(scene->posts[i].slot, i);
        assert_int_equal(scene->posts[i].role, ROLE_WEB);
    }
    assert_true(scene->herd.is_changed);
}

static void who_has_the_highest_slot_is_dismissed(void **state)
{
    struct scene *scene = *state;
    struct seat *seats[] = {scene->posts[0].seat, scene->posts[1].seat};
    assert_int_equal(scale_workers(&scene->scale, &scene->herd, relative(-1), "test"), 1);
    assert_int_equal(seats[0]->dismissed_us, 0);
    assert_int_equal(seats[1]->dismissed_us, 1000);
    assert_int_equal(seats[1]->phase, SEAT_READY); /* it drains when somebody covers its slot */
    assert_int_equal(scale_workers(&scene->scale, &scene->herd, relative(-1), "test"), 1);
    assert_int_equal(seats[0]->dismissed_us, 0);
}

static void what_was_asked_for_during_a_reload_holds_behind_it(void **state)
{
    struct scene *scene = *state;
    (void)scale_workers(&scene->scale, &scene->herd, relative(3), "test");
    scale_on_reload_asked(&scene->scale);
    (void)scale_workers(&scene->scale, &scene->herd, relative(1), "test");
    assert_int_equal(scene->generation.n_workers, 6);
    scene->generation.n_workers = 2; /* as the settings of the next one say */
    scale_on_commit(&scene->scale, &scene->herd);
    assert_int_equal(scene->generation.n_workers, 3);
    scale_on_reload_asked(&scene->scale);
    scale_on_commit(&scene->scale, &scene->herd);
    assert_int_equal(scene->generation.n_workers, 3);
}

static void nothing_is_left_until_somebody_asks(void **state)
{
    struct scene *scene = *state;
    scale_to_nothing(&scene->scale, &scene->herd, "test");
    assert_int_equal(scene->generation.n_workers, 0);
    assert_int_equal(scale_workers(&scene->scale, &scene->herd, relative(-1), "test"), 0);
    assert_int_equal(scale_workers(&scene->scale, &scene->herd, relative(1), "test"), 1);
}

static void who_is_sent_home_for_an_upgrade_is_nobodys_wish(void **state)
{
    struct scene *scene = *state;
    struct generation_web *web = &scene->generation.web;
    *web = (struct generation_web){.n_min = 1, .n_max = 4, .is_by_cpus = true};
    scale_for_upgrade(&scene->herd, 0);
    assert_int_equal(scene->generation.n_workers, 0);
    scale_for_upgrade(&scene->herd, 2);
    assert_int_equal(scene->generation.n_workers, 2);
    scene->generation.n_workers = 3; /* of a generation that comes */
    scale_on_commit(&scene->scale, &scene->herd);
    assert_int_equal(scene->generation.n_workers, 3);
    assert_true(web->n_min == 1 && web->n_max == 4 && web->is_by_cpus);
    (void)scale_workers(&scene->scale, &scene->herd, absolute(3), "test"); /* this is one */
    assert_true(web->n_min == 3 && web->n_max == 3 && !web->is_by_cpus);
}

static void a_server_that_stops_is_not_scaled(void **state)
{
    struct scene *scene = *state;
    scene->herd.stage = DECIDE_GRACEFUL;
    assert_int_equal(scale_workers(&scene->scale, &scene->herd, relative(2), "test"), 2);
    scale_to_nothing(&scene->scale, &scene->herd, "test");
    assert_int_equal(scene->generation.n_workers, 2);
}

/* Nothing is listened on here, so to open a slot is to note it. */
static void a_slot_is_opened_when_its_worker_is_ready_and_nobody_else_listens_there(void **state)
{
    struct scene *scene = *state;
    static struct listen_set set;
    struct listen_address address = {.text = "unix:/nowhere", .is_shared = true};
    set = (struct listen_set){.addresses = &address, .n_addresses = 1};
    scene->posts[1].seat->phase = SEAT_BOOTING;
    scale_open_slots(&scene->herd, &set);
    assert_false(set.has_slot[0] || set.has_slot[1]);
    address.is_shared = false;
    scale_open_slots(&scene->herd, &set);
    assert_true(set.has_slot[0]);
    assert_false(set.has_slot[1]);
    scene->posts[1].seat->phase = SEAT_READY;
    scene->herd.stage = DECIDE_GRACEFUL;
    scale_open_slots(&scene->herd, &set);
    assert_false(set.has_slot[1]);
    scene->herd.stage = DECIDE_RUNNING;
    scale_open_slots(&scene->herd, &set);
    assert_true(set.has_slot[1]);
}

/* An address that this machine has not. */
static void a_slot_that_can_not_be_opened_is_given_up_for_a_while(void **state)
{
    struct scene *scene = *state;
    static struct listen_set set;
    struct listener *items = calloc(1, sizeof *items); /* the set makes it larger */
    struct listen_address address = {.text = "http://192.0.2.1:1",
                                     .where_len = sizeof(struct sockaddr_in)};
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(1)};
    assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &where.sin_addr), 1);
    memcpy(&address.where, &where, sizeof where);
    assert_non_null(items);
    *items = (struct listener){.fd = STDERR_FILENO, .slot = 0};
    set = (struct listen_set){.items = items,
                              .n = 1,
                              .cap = 1,
                              .addresses = &address,
                              .n_addresses = 1,
                              .cap_addresses = 1};
    set.has_slot[0] = true;
    struct seat *second = scene->posts[1].seat;
    scene->generation.web.n_min = 1;
    scene->generation.web.n_max = 4;
    scale_open_slots(&scene->herd, &set);
    assert_int_equal(scene->generation.n_workers, 1);
    assert_int_equal(scene->generation.web.n_min, 1);
    assert_int_equal(scene->generation.web.n_max, 4);
    assert_int_equal(scene->generation.web.adapt.grown.units, 2);
    assert_string_equal(decisions_peek(&scene->herd.decisions, 0)->to, "1");

    scene->posts[1].seat = second;
    scene->generation.n_workers = 2; /* just that was asked for */
    scene->generation.web.n_min = scene->generation.web.n_max = 2;
    scale_open_slots(&scene->herd, &set);
    assert_int_equal(scene->generation.n_workers, 1);
    assert_int_equal(scene->generation.web.n_min, 1);
    assert_int_equal(scene->generation.web.n_max, 1);
    assert_int_equal(scene->herd.decisions.n, 1);
    free(set.items);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_numbers_or_differences),
        cmocka_unit_test(a_target_stays_within_what_is_allowed),
        cmocka_unit_test(from_nothing_only_more_begins),
        cmocka_unit_test(wishes_that_follow_each_other_come_to_one),
        TEST(more_workers_are_due_at_once),
        TEST(who_has_the_highest_slot_is_dismissed),
        TEST(what_was_asked_for_during_a_reload_holds_behind_it),
        TEST(nothing_is_left_until_somebody_asks),
        TEST(who_is_sent_home_for_an_upgrade_is_nobodys_wish),
        TEST(a_server_that_stops_is_not_scaled),
        TEST(a_slot_is_opened_when_its_worker_is_ready_and_nobody_else_listens_there),
        TEST(a_slot_that_can_not_be_opened_is_given_up_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
