/* Tests of server/steer.c: which frames a worker gets, over a real channel. */
#include "server/steer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "config/settings.h"
#include "ipc/msg.h"

#define N_SLOTS 2

/* Ids 0 and 1: the slots' sockets; 2: shared. */
struct scene {
    struct slots slots;
    struct seat *seat; /* slot 0 */
    struct listener items[3];
    struct listen_set set;
    struct cover_duty duties[N_SLOTS];
    int worker_fd; /* the worker's end */
};

static int set_up(void **state)
{
    static struct scene scene;
    int ends[2];
    scene = (struct scene){.worker_fd = -1};
    if (slots_init(&scene.slots, 2, 3) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    scene.seat = slots_take(&scene.slots, ROLE_WEB, 0, 1);
    scene.seat->channel_fd = ends[0];
    scene.worker_fd = ends[1];
    for (int i = 0; i < 3; i++)
        scene.items[i] =
            (struct listener){open("/dev/null", O_RDONLY | O_CLOEXEC), i < 2 ? i : -1, 0};
    scene.set = (struct listen_set){.items = scene.items, .n = 3, .n_slots = N_SLOTS};
    for (int i = 0; i < N_SLOTS; i++)
        scene.duties[i].covered_by = COVER_NOBODY;
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    slots_fini(&scene->slots);
    fd_close(&scene->worker_fd);
    for (int i = 0; i < 3; i++)
        fd_close(&scene->items[i].fd);
    return 0;
}

static int steer(struct scene *scene)
{
    struct seat *seats[N_SLOTS] = {scene->seat};
    steer_want(&scene->slots, seats, scene->duties, N_SLOTS, &scene->set);
    return steer_seat(&scene->slots, scene->seat, &scene->set);
}

static void expect_frame(struct scene *scene, enum msg_type type, int64_t value)
{
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    assert_int_equal(msg_receive(scene->worker_fd, 0, &msg, fds, &n_fds), 1);
    assert_int_equal(msg.type, type);
    assert_int_equal(msg.value, value);
    assert_int_equal(n_fds, type == MSG_LISTEN ? 1 : 0);
    for (size_t i = 0; i < n_fds; i++)
        fd_close(&fds[i]);
}

static void expect_silence(struct scene *scene)
{
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    assert_int_equal(msg_receive(scene->worker_fd, 0, &msg, fds, &n_fds), -EAGAIN);
}

static void a_new_worker_gets_its_own_socket_then_start(void **state)
{
    struct scene *scene = *state;
    scene->duties[0].is_sharing = true; /* not before it is ready */
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 0);
    expect_frame(scene, MSG_START, 0);
    expect_silence(scene);
    assert_int_equal(steer(scene), 0);
    expect_silence(scene);
}

static void a_ready_worker_gets_what_it_covers_and_shares_and_gives_it_back(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 0);
    expect_frame(scene, MSG_START, 0);
    scene->seat->phase = SEAT_READY;
    scene->duties[0].is_sharing = true;
    scene->duties[1].covered_by = 0;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 1);
    expect_frame(scene, MSG_LISTEN, 2);
    expect_silence(scene);
    scene->duties[0].is_sharing = false;
    scene->duties[1].covered_by = COVER_NOBODY;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_UNLISTEN, 1);
    expect_frame(scene, MSG_UNLISTEN, 2);
    expect_silence(scene);
}

static void one_that_watches_all_gets_the_sockets_of_every_slot(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < N_SLOTS; i++)
        scene->duties[i].is_watching_all = true;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 0);
    expect_frame(scene, MSG_START, 0);
    expect_silence(scene);
    scene->seat->phase = SEAT_READY;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 1);
    expect_frame(scene, MSG_LISTEN, 2);
    expect_silence(scene);
}

/* An id without a socket is neither given nor asked back. */
static void an_id_that_is_free_is_passed_over(void **state)
{
    struct scene *scene = *state;
    fd_close(&scene->items[0].fd);
    scene->seat->phase = SEAT_READY;
    slots_set_held(scene->seat, 1, true);
    fd_close(&scene->items[1].fd);
    scene->duties[0].is_sharing = true;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 2);
    expect_frame(scene, MSG_START, 0);
    expect_silence(scene);
}

static void a_full_channel_delays_and_loses_nothing(void **state)
{
    struct scene *scene = *state;
    struct msg filler = msg_make(MSG_STOP);
    int n_filled = 0;
    while (msg_send(scene->seat->channel_fd, &filler, NULL, 0) == 0)
        n_filled++;
    assert_int_equal(steer(scene), -EAGAIN);
    assert_false(slots_holds(scene->seat, 0));
    for (int i = 0; i < n_filled; i++)
        expect_frame(scene, MSG_STOP, 0);
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 0);
    expect_frame(scene, MSG_START, 0);
    expect_silence(scene);
}

/* Who may open no more descriptors could not take it: it is not asked again and again. */
static void one_that_is_short_of_descriptors_gets_its_sockets_later(void **state)
{
    struct scene *scene = *state;
    scene->seat->is_short = true;
    assert_int_equal(steer(scene), 0);
    assert_false(slots_holds(scene->seat, 0));
    expect_frame(scene, MSG_START, 0);
    expect_silence(scene);
    scene->seat->is_short = false;
    assert_int_equal(steer(scene), 0);
    expect_frame(scene, MSG_LISTEN, 0);
    expect_silence(scene);
}

static void a_channel_without_a_reader_is_an_error_that_returns(void **state)
{
    struct scene *scene = *state;
    fd_close(&scene->worker_fd);
    int rc = steer(scene);
    assert_true(rc < 0 && rc != -EAGAIN);
}

/* unix(7): ETOOMANYREFS, ENOMEM … Here it is the descriptor itself that can't be sent yet. */
static void what_the_kernel_refuses_is_sent_later(void **state)
{
    struct scene *scene = *state;
    struct settings *settings = settings_new();
    assert_non_null(settings);
    struct post post = {.role = ROLE_WEB, .seat = scene->seat};
    struct generation g = {
        .settings = settings, .workers = &post, .n_workers = 1, .has_been_ready = true};
    struct herd herd = {.current = &g, .slots = scene->slots, .now_us = 1000, .is_changed = true};
    struct steer all;
    assert_int_equal(steer_init(&all, N_SLOTS), 0);
    int fd = scene->items[0].fd;
    scene->items[0].fd = INT_MAX;
    steer_workers(&all, &herd, &scene->set);
    expect_silence(scene);
    scene->items[0].fd = fd;
    uint64_t again_us = steer_next_us(&all, &herd);
    assert_true(again_us > herd.now_us && again_us != SEAT_NEVER);
    herd.now_us = again_us;
    steer_workers(&all, &herd, &scene->set);
    expect_frame(scene, MSG_LISTEN, 0);
    expect_frame(scene, MSG_START, 0);
    assert_true(steer_next_us(&all, &herd) == SEAT_NEVER);
    steer_fini(&all);
    settings_free(settings);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_worker_gets_its_own_socket_then_start),
        TEST(a_ready_worker_gets_what_it_covers_and_shares_and_gives_it_back),
        TEST(one_that_watches_all_gets_the_sockets_of_every_slot),
        TEST(an_id_that_is_free_is_passed_over),
        TEST(a_full_channel_delays_and_loses_nothing),
        TEST(one_that_is_short_of_descriptors_gets_its_sockets_later),
        TEST(a_channel_without_a_reader_is_an_error_that_returns),
        TEST(what_the_kernel_refuses_is_sent_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
