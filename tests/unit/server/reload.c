/* Tests of server/reload.c: who asked for what, and how a refusal is told. What becomes of the
 * processes is tested with real ones, in tests/process/reload.c. */
#include "server/reload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "server/origin.h"

struct scene {
    struct settings *settings;
    struct origin origin;
    struct generation current;
    struct herd herd;
    struct listen_set listeners;
    struct reload reload;
    int log_fd;
    char log[4096];
};

/* A server that was started with a flag that is no good any more, for lack of a better reason. */
static int set_up(void **state)
{
    static struct scene scene;
    static const struct merge_option none[] = {{.name = NULL}};
    char *argv[] = {"run", "--workers", "none", "--keepalive", "never", NULL};
    char *environment[] = {NULL};
    struct err err;
    scene = (struct scene){.herd = {.board_fd = -1, .now_us = 1000},
                           .current = {.number = 3, .has_been_ready = true, .folder_fd = -1}};
    scene.settings = settings_new();
    scene.log_fd = memfd_create("log", MFD_CLOEXEC);
    log_init(scene.log_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    if (!scene.settings || origin_init(&scene.origin, 5, argv, environment, none, &err) < 0)
        return -1;
    scene.herd.current = &scene.current;
    scene.herd.n_generations = 3;
    reload_init(&scene.reload, &scene.origin, scene.settings);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    origin_fini(&scene->origin);
    settings_free(scene->settings);
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    fd_close(&scene->log_fd);
    return 0;
}

static const char *log_of(struct scene *scene)
{
    ssize_t n = pread(scene->log_fd, scene->log, sizeof scene->log - 1, 0);
    assert_true(n >= 0);
    scene->log[n] = '\0';
    return scene->log;
}

static bool turn(struct scene *scene)
{
    return reload_turn(&scene->reload, &scene->herd, &scene->listeners);
}

static void who_asks_before_it_begins_gets_the_same(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(reload_last(&scene->reload)->number, 0);
    assert_true(reload_next_us(&scene->reload, &scene->herd) == SEAT_NEVER);
    assert_int_equal(reload_ask(&scene->reload, "HUP"), 1);
    assert_int_equal(reload_ask(&scene->reload, "control"), 1);
    assert_int_equal(reload_next_us(&scene->reload, &scene->herd), 0);
    assert_false(turn(scene));
    assert_int_equal(reload_last(&scene->reload)->number, 1);
    assert_int_equal(reload_ask(&scene->reload, "control"), 2);
}

static void mistakes_are_told_one_by_one_and_nothing_changes(void **state)
{
    struct scene *scene = *state;
    (void)reload_ask(&scene->reload, "HUP");
    assert_false(turn(scene));
    const struct reload_result *last = reload_last(&scene->reload);
    assert_int_equal(last->outcome, RELOAD_REFUSED);
    assert_int_equal(last->generation, 4);
    assert_non_null(strstr(last->why, "--workers"));
    assert_non_null(strstr(last->why, "(and 1 more mistakes, logged before this line)"));
    assert_non_null(strstr(log_of(scene), "configuration text=\"command line: --workers"));
    assert_non_null(strstr(log_of(scene), "configuration text=\"command line: --keepalive"));
    assert_non_null(strstr(log_of(scene), "error"));
    assert_non_null(strstr(log_of(scene), "does=\"generation 3 goes on\""));
    assert_ptr_equal(scene->herd.current, &scene->current);
    assert_null(scene->herd.candidate);
    assert_null(scene->herd.leaving);
    assert_false(reload_is_building(&scene->herd));
    assert_true(reload_next_us(&scene->reload, &scene->herd) == SEAT_NEVER);
}

static void numbers_of_generations_are_not_used_twice(void **state)
{
    struct scene *scene = *state;
    for (int number = 4; number < 8; number++) {
        (void)reload_ask(&scene->reload, "HUP");
        (void)turn(scene);
        assert_int_equal(reload_last(&scene->reload)->generation, number);
    }
}

static void nothing_begins_when_the_server_stops(void **state)
{
    struct scene *scene = *state;
    scene->herd.stage = DECIDE_GRACEFUL;
    (void)reload_ask(&scene->reload, "HUP");
    (void)turn(scene);
    assert_int_equal(reload_last(&scene->reload)->number, 0);
    assert_true(reload_next_us(&scene->reload, &scene->herd) == SEAT_NEVER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_asks_before_it_begins_gets_the_same),
        TEST(mistakes_are_told_one_by_one_and_nothing_changes),
        TEST(numbers_of_generations_are_not_used_twice),
        TEST(nothing_begins_when_the_server_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
