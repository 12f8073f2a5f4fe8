/* Tests of server/renew.c: who is replaced when, over a loader's channel that nobody reads. */
#include "server/renew.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/posts.h"
#include "tests/unit/server/stage.h"

#define S UINT64_C(1000000)
#define NOW STAGE_NOW
#define N_WORKERS 3

void loader_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(0);
}

struct scene {
    struct settings *settings;
    struct herd herd;
    struct renew renew;
    int loader_fd; /* the loader's end */
};

static int set_up(void **state)
{
    static struct scene scene;
    int ends[2];
    scene = (struct scene){.loader_fd = -1};
    log_init(STDERR_FILENO, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (stage_open_herd(&scene.herd, &scene.settings, N_WORKERS, 12) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    struct generation *g = scene.herd.current;
    g->has_been_ready = true;
    g->loader.seat = slots_take(&scene.herd.slots, ROLE_LOADER, -1, NOW);
    g->loader.seat->phase = SEAT_READY;
    g->loader.seat->generation = 1;
    g->loader.seat->channel_fd = ends[0];
    scene.loader_fd = ends[1];
    for (int i = 0; i < N_WORKERS; i++) {
        struct seat *seat = slots_take(&scene.herd.slots, ROLE_WEB, i, NOW);
        seat->phase = SEAT_READY;
        seat->generation = 1;
        seat->ready_us = NOW;
        seat->pid = getpid(); /* for its memory only: nobody here signals */
        g->workers[i].seat = seat;
    }
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    fd_close(&scene->loader_fd);
    herd_fini(&scene->herd);
    settings_free(scene->settings);
    return 0;
}

static struct post *post_of(struct scene *scene, int slot)
{
    return &scene->herd.current->workers[slot];
}

static void wear(struct scene *scene, int slot)
{
    struct msg msg = msg_make(MSG_WORN);
    (void)snprintf(msg.text, sizeof msg.text, "max_requests 50 reached");
    assert_true(renew_hear(&scene->herd, post_of(scene, slot)->seat, &msg));
}

static unsigned count_orders(struct scene *scene)
{
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    unsigned n = 0;
    while (msg_receive(scene->loader_fd, 0, &msg, fds, &n_fds) == 1) {
        n += msg.type == MSG_FORK;
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&fds[i]);
    }
    return n;
}

static void pass(struct scene *scene, uint64_t us)
{
    scene->herd.now_us += us;
    renew_turn(&scene->renew, &scene->herd);
}

static void become_ready(struct scene *scene, struct seat *seat)
{
    seat->phase = SEAT_BOOTING;
    seat->pid = getpid();
    herd_happen(&scene->herd, seat, DECIDE_READY);
}

static void memory_and_those_on_their_way_out_decide(void **state)
{
    (void)state;
    struct renew_case c = {.needs_bytes = 100, .room_bytes = 100, .n_workers = 2};
    assert_int_equal(renew_decide(&c), RENEW_GO);
    c.room_bytes = 99;
    assert_int_equal(renew_decide(&c), RENEW_NO_ROOM);
    c.room_bytes = UINT64_MAX;
    c.n_draining = 1;
    assert_int_equal(renew_decide(&c), RENEW_GO);
    c.n_draining = 2;
    assert_int_equal(renew_decide(&c), RENEW_TOO_MANY);
    c = (struct renew_case){
        .needs_bytes = 100, .room_bytes = 99, .n_workers = 2, .n_ready = 2, .may_go_first = true};
    assert_int_equal(renew_decide(&c), RENEW_DOWN);
    c.n_draining = 1;
    assert_int_equal(renew_decide(&c), RENEW_NO_ROOM);
    c.n_draining = 0;
    c.n_ready = 1;
    assert_int_equal(renew_decide(&c), RENEW_NO_ROOM);
}

static void one_at_a_time_in_the_order_in_which_they_wore_out(void **state)
{
    struct scene *scene = *state;
    wear(scene, 2);
    scene->herd.now_us++;
    wear(scene, 0);
    for (int i = 0; i < 3; i++)
        pass(scene, S);
    assert_int_equal(count_orders(scene), 1);
    assert_non_null(post_of(scene, 2)->next);
    assert_null(post_of(scene, 0)->next);
    struct seat *worn = post_of(scene, 2)->seat;
    struct seat *next = post_of(scene, 2)->next;
    become_ready(scene, next);
    assert_ptr_equal(post_of(scene, 2)->seat, next);
    assert_null(post_of(scene, 2)->next);
    assert_int_equal(worn->dismissed_us, scene->herd.now_us);
    assert_int_equal(worn->phase, SEAT_READY); /* it serves until somebody else accepts */
    pass(scene, 0);
    assert_int_equal(count_orders(scene), 1);
    assert_non_null(post_of(scene, 0)->next);
}

static struct seat *add_compute(struct scene *scene, enum seat_phase phase)
{
    struct seat *seat = slots_take(&scene->herd.slots, ROLE_COMPUTE, 0, NOW);
    seat->phase = phase;
    seat->pool = 0;
    seat->generation = 1;
    seat->ready_us = NOW;
    seat->pid = getpid();
    return seat;
}

/* Its predecessor is on its way out, and may take long. */
static void one_that_can_not_be_replaced_now_holds_up_nobody(void **state)
{
    struct scene *scene = *state;
    struct pool *pool = &scene->herd.current->pools.items[0];
    struct msg msg = msg_make(MSG_WORN);
    pool->n_workers = 1;
    (void)add_compute(scene, SEAT_DRAINING);
    pool->workers[0].seat = add_compute(scene, SEAT_READY);
    assert_true(renew_hear(&scene->herd, pool->workers[0].seat, &msg));
    scene->herd.now_us++;
    wear(scene, 1);
    pass(scene, 0);
    assert_int_equal(count_orders(scene), 1);
    assert_non_null(post_of(scene, 1)->next);
    assert_null(pool->workers[0].next);
    become_ready(scene, post_of(scene, 1)->next);
    pass(scene, 0);
    assert_true(renew_next_us(&scene->renew, &scene->herd) == NOW + 1 + S);
    pass(scene, S);
    assert_int_equal(count_orders(scene), 0);
}

/* Nor does one whose replacements can't boot. */
static void one_whose_replacement_fails_holds_up_nobody(void **state)
{
    struct scene *scene = *state;
    wear(scene, 1);
    pass(scene, 0);
    assert_int_equal(count_orders(scene), 1);
    herd_refuse(&scene->herd, post_of(scene, 1)->next, EAGAIN);
    wear(scene, 2);
    pass(scene, 0);
    assert_int_equal(count_orders(scene), 1);
    assert_non_null(post_of(scene, 2)->next);
}

static void a_replacement_that_fails_is_tried_again_later(void **state)
{
    struct scene *scene = *state;
    struct seat *worn = post_of(scene, 1)->seat;
    wear(scene, 1);
    pass(scene, 0);
    for (unsigned failures = 1; failures < 4; failures++) {
        assert_int_equal(count_orders(scene), 1);
        herd_refuse(&scene->herd, post_of(scene, 1)->next, EAGAIN);
        assert_null(post_of(scene, 1)->next);
        assert_ptr_equal(post_of(scene, 1)->seat, worn);
        assert_int_equal(worn->dismissed_us, 0);
        pass(scene, 0);
        pass(scene, decide_backoff_us(failures) - 1);
        assert_int_equal(count_orders(scene), 0);
        assert_int_equal(renew_next_us(&scene->renew, &scene->herd), scene->herd.now_us + 1);
        pass(scene, 1);
    }
    assert_int_equal(count_orders(scene), 1);
}

static void nothing_is_begun_during_a_reload_or_a_stop(void **state)
{
    struct scene *scene = *state;
    struct generation candidate = {.number = 2};
    wear(scene, 0);
    scene->herd.candidate = &candidate;
    pass(scene, S);
    scene->herd.candidate = NULL;
    scene->herd.stage = DECIDE_GRACEFUL;
    pass(scene, S);
    assert_int_equal(count_orders(scene), 0);
    scene->herd.stage = DECIDE_RUNNING;
    pass(scene, S);
    assert_int_equal(count_orders(scene), 1);
}

static void only_a_web_worker_wears_out_and_once(void **state)
{
    struct scene *scene = *state;
    struct msg msg = msg_make(MSG_WORN);
    assert_false(renew_hear(&scene->herd, scene->herd.current->loader.seat, &msg));
    struct seat *seat = post_of(scene, 0)->seat;
    wear(scene, 0);
    scene->herd.now_us += S;
    wear(scene, 0);
    assert_int_equal(seat->worn_us, NOW);
    seat->phase = SEAT_BOOTING;
    assert_false(renew_hear(&scene->herd, seat, &msg));
    seat->phase = SEAT_DRAINING; /* crossed with our word */
    assert_true(renew_hear(&scene->herd, seat, &msg));
}

/* Whoever waits for a worker is not helped by a master that asks without a pause. */
static void a_loader_that_is_busy_is_asked_again_in_a_moment(void **state)
{
    struct scene *scene = *state;
    struct generation *g = scene->herd.current;
    struct msg msg = msg_make(MSG_STOP);
    struct post *post = post_of(scene, 1);
    post->seat->phase = SEAT_FREE;
    post->seat = NULL;
    post->due_us = NOW;
    g->loader.seat->deadline_us = SEAT_NEVER;
    while (msg_send(g->loader.seat->channel_fd, &msg, NULL, 0) == 0)
        ;
    herd_fill(&scene->herd);
    assert_null(post->seat);
    assert_true(posts_next_us(&scene->herd, g) == NOW + 10000);
    (void)count_orders(scene);
    herd_fill(&scene->herd);
    assert_null(post->seat);
    scene->herd.now_us += 10000;
    herd_fill(&scene->herd);
    assert_int_equal(count_orders(scene), 1);
    assert_non_null(post->seat);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_those_on_their_way_out_decide),
        TEST(one_at_a_time_in_the_order_in_which_they_wore_out),
        TEST(a_replacement_that_fails_is_tried_again_later),
        TEST(one_that_can_not_be_replaced_now_holds_up_nobody),
        TEST(one_whose_replacement_fails_holds_up_nobody),
        TEST(a_loader_that_is_busy_is_asked_again_in_a_moment),
        TEST(nothing_is_begun_during_a_reload_or_a_stop),
        TEST(only_a_web_worker_wears_out_and_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
