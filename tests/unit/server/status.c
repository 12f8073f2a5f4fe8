/* Tests of server/status.c: what is told of a worker, whatever it has written into its part. */
#include "server/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/json_value.h"
#include "config/settings.h"
#include "server/listen.h"
#include "server/reload.h"
#include "server/upgrade.h"

#define NOW UINT64_C(100000000)

struct scene {
    struct settings *settings;
    struct generation generation;
    struct herd herd;
    struct listen_set listeners;
    struct reload reload;
    struct upgrade upgrade;
    struct seat *seat;
    struct scoreboard_part part; /* writable: what the worker wrote */
    struct buf answer;
};

static int set_up(void **state)
{
    static struct scene scene;
    struct err err;
    scene = (struct scene){.herd = {.board_fd = -1, .now_us = NOW}, .settings = settings_new()};
    if (!scene.settings)
        return -1;
    scene.settings->app = "/app.so";
    scene.settings->inflight = 16;
    scene.settings->limit_routes = 2;
    scene.generation = (struct generation){.number = 3, .settings = scene.settings};
    scene.herd.current = &scene.generation;
    if (herd_init(&scene.herd, scene.settings, 4, 1, &err) < 0)
        return -1;
    scene.seat = slots_take(&scene.herd.slots, ROLE_WEB, 0, NOW - 5000000);
    if (!scene.seat || scoreboard_map_part(&scene.herd.board, scene.herd.board_fd,
                                           scene.seat->number, &scene.part, &err) < 0)
        return -1;
    scene.seat->phase = SEAT_READY;
    scene.seat->generation = 3;
    scene.seat->heartbeat_us = NOW - 2000;
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    (void)munmap(scene->part.head, scene->herd.board.part_bytes);
    scene->herd.current = NULL;
    herd_fini(&scene->herd);
    settings_free(scene->settings);
    buf_fini(&scene->answer);
    return 0;
}

/* The whole answer, which must be JSON; then its only worker. */
static struct str tell(struct scene *scene)
{
    const struct status_about about = {.pid = 4711,
                                       .herd = &scene->herd,
                                       .listeners = &scene->listeners,
                                       .reload = &scene->reload,
                                       .upgrade = &scene->upgrade,
                                       .control_path = "/run/a.ctl"};
    struct json_out out = {.buf = &scene->answer};
    struct str value, worker;
    struct str at = {0};
    scene->answer.len = 0;
    json_out_open(&out, NULL, '{');
    status_tell(&about, &out);
    json_out_close(&out, '}');
    assert_false(out.is_failed);
    const char *wrong = json_value_check(str_make(scene->answer.data, scene->answer.len), &value);
    if (wrong)
        fail_msg("%s: %.*s", wrong, (int)scene->answer.len, scene->answer.data);
    assert_true(json_value_next(json_value_find(value, "workers"), &at, NULL, &worker));
    return worker;
}

static void assert_member(struct str object, const char *name, const char *expected)
{
    struct str value = json_value_find(object, name);
    if (!str_is_equal(value, str_of(expected)))
        fail_msg("%s is %.*s, expected %s", name, STR_ARG(value), expected);
}

static void write_entry(struct request_entry *entry, const char *target, uint64_t started_us)
{
    memcpy(entry->method, "GET", 4);
    entry->target_len = (uint16_t)strlen(target);
    memcpy(entry->target, target, entry->target_len);
    entry->started_us = started_us;
    entry->route = UINT16_MAX;
    entry->phase = ENTRY_DEFERRED;
}

static void a_worker_is_told_by_what_it_has_in_hand(void **state)
{
    struct scene *scene = *state;
    struct str worker = tell(scene);
    assert_member(worker, "state", "\"idle\"");
    assert_member(worker, "request", "null");
    assert_member(worker, "silent_ms", "2");
    assert_member(worker, "uptime_ms", "5000");
    write_entry(&scene->part.inflight[7], "/later", NOW - 3000);
    write_entry(&scene->part.inflight[2], "/sooner", NOW - 9000);
    scene->part.head->n_inflight = 2;
    worker = tell(scene);
    assert_member(worker, "state", "\"busy\"");
    struct str request = json_value_find(worker, "request");
    assert_member(request, "target", "\"/sooner\"");
    assert_member(request, "elapsed_ms", "9");
    assert_member(request, "phase", "\"deferred\"");
    assert_member(request, "route", "\"\"");
    write_entry(&scene->part.head->current, "/now\x1b\"", NOW - 1000);
    memcpy(scene->part.routes[1].name, "GET /:name", 11);
    scene->part.head->current.route = 1;
    request = json_value_find(tell(scene), "request");
    assert_member(request, "target", "\"/now\\u001b\\\"\"");
    assert_member(request, "route", "\"GET /:name\"");
}

static void every_phase_has_its_word(void **state)
{
    struct scene *scene = *state;
    static const char *const words[SEAT_PHASES] = {
        [SEAT_FORKING] = "booting",   [SEAT_BOOTING] = "booting",  [SEAT_READY] = "idle",
        [SEAT_DRAINING] = "draining", [SEAT_DRAINED] = "draining", [SEAT_ENDING] = "ending",
        [SEAT_MUTE] = "ending",       [SEAT_ABORTED] = "killed",   [SEAT_KILLED] = "killed",
        [SEAT_LOST] = "ending",       [SEAT_BURIED] = "ending"};
    for (int phase = SEAT_FREE + 1; phase < SEAT_PHASES; phase++) {
        scene->seat->phase = (enum seat_phase)phase;
        assert_string_equal(status_word(scene->seat, false), words[phase]);
    }
    scene->seat->phase = SEAT_READY;
    assert_string_equal(status_word(scene->seat, true), "busy");
    scene->seat->is_full = true;
    assert_string_equal(status_word(scene->seat, true), "full");
    scene->seat->is_hung = true;
    assert_string_equal(status_word(scene->seat, true), "hung");
}

static void who_hangs_is_not_ready(void **state)
{
    struct scene *scene = *state;
    scene->generation.n_workers = 1;
    scene->generation.workers = &(struct post){.seat = scene->seat};
    (void)tell(scene);
    struct str answer = str_make(scene->answer.data, scene->answer.len);
    assert_member(answer, "pid", "4711");
    assert_member(answer, "workers_ready", "1");
    assert_member(answer, "workers_hung", "0");
    scene->seat->is_hung = true;
    (void)tell(scene);
    answer = str_make(scene->answer.data, scene->answer.len);
    assert_member(answer, "workers_ready", "0");
    assert_member(answer, "workers_hung", "1");
    scene->generation.workers = NULL;
}

static void what_has_no_loop_has_no_lag(void **state)
{
    struct scene *scene = *state;
    scene->part.head->lag_us = 90000;
    assert_member(tell(scene), "lag_us", "90000");
    scene->settings->worker_class = WORKER_CLASS_SYNC;
    assert_member(tell(scene), "lag_us", "null");
    assert_member(tell(scene), "drift_us", "null");
}

/* What a wild write leaves: the answer is JSON all the same, and nothing is read beyond. */
static void nonsense_in_a_part_is_told_without_harm(void **state)
{
    struct scene *scene = *state;
    uint64_t seed = 88172645463325252u;
    size_t bytes = scene->herd.board.part_bytes;
    for (int round = 0; round < 50; round++) {
        unsigned char *p = (unsigned char *)scene->part.head;
        for (size_t i = 0; i < bytes; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            p[i] = round == 0 ? 0xff : (unsigned char)seed;
        }
        struct str worker = tell(scene);
        assert_member(worker, "slot", "0");
        assert_member(worker, "generation", "3");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_worker_is_told_by_what_it_has_in_hand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_phase_has_its_word, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_hangs_is_not_ready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_no_loop_has_no_lag, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_in_a_part_is_told_without_harm, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
