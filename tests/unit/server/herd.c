/* Tests of server/herd.c: who may name which pid, and what follows a death, with real children. */
#include "server/herd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "ipc/spawn.h"
#include "server/cli.h"
#include "server/listen.h"
#include "server/relief.h"
#include "server/steer.h"
#include "server/strangers.h"
#include "tests/unit/server/stage.h"

#define S UINT64_C(1000000)
#define NOW STAGE_NOW

/* The loader of these tests: lives until its channel ends. */
void loader_main(const struct heritage *heritage)
{
    struct pollfd wait = {.fd = heritage->channel_fd, .events = POLLIN};
    while (poll(&wait, 1, -1) < 0 || !(wait.revents & POLLHUP))
        wait.events = 0; /* orders are not read: only the end counts */
    _exit(0);
}

struct scene {
    struct settings *settings;
    struct herd herd;
};

static int set_up(void **state)
{
    static struct scene scene;
    stage_open_log();
    if (stage_open_herd(&scene.herd, &scene.settings, 2, 8) < 0)
        return -1;
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    (void)strangers_kill_all();
    herd_fini(&scene->herd);
    settings_free(scene->settings);
    stage_close_log();
    return 0;
}

static void idle_main(const struct heritage *heritage)
{
    (void)heritage;
    for (;;)
        (void)pause();
}

static void exit_main(const struct heritage *heritage)
{
    (void)heritage;
    _exit(5);
}

static pid_t make_child(struct scene *scene, spawn_main what)
{
    struct err err;
    pid_t pid = 0;
    struct heritage heritage = scene->herd.current->heritage;
    heritage.channel_fd = -1;
    assert_int_equal(spawn_child(&heritage, what, &pid, &err), 0);
    return pid;
}

/* A worker's seat as it is right after the order to fork. */
static struct seat *order_worker(struct scene *scene, uint32_t slot)
{
    struct seat *seat = slots_take(&scene->herd.slots, ROLE_WEB, (int)slot, NOW);
    assert_non_null(seat);
    seat->generation = 1;
    seat->deadline_us = NOW + 60 * S;
    scene->herd.current->workers[slot].seat = seat;
    return seat;
}

static void a_pid_that_is_not_our_child_is_not_believed(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    assert_false(herd_name(&scene->herd, seat, 1));
    assert_false(herd_name(&scene->herd, seat, 0));
    assert_false(herd_name(&scene->herd, seat, -1));
    assert_false(herd_name(&scene->herd, seat, getpid()));
    assert_false(herd_name(&scene->herd, seat, getppid()));
    assert_int_equal(seat->pid, 0);
    assert_int_equal(seat->phase, SEAT_FORKING);
}

static void a_child_is_named_once(void **state)
{
    struct scene *scene = *state;
    struct seat *a = order_worker(scene, 0);
    struct seat *b = order_worker(scene, 1);
    pid_t pid = make_child(scene, idle_main);
    assert_true(herd_name(&scene->herd, a, pid));
    assert_int_equal(a->phase, SEAT_BOOTING);
    assert_true(herd_name(&scene->herd, a, pid));  /* HELLO and FORKED both say it */
    assert_false(herd_name(&scene->herd, b, pid)); /* it sits elsewhere */
    assert_false(herd_name(&scene->herd, a, make_child(scene, idle_main)));
}

static void a_death_that_was_seen_before_its_name_counts(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    pid_t pid = make_child(scene, exit_main);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(slots_keep_unclaimed(&scene->herd.slots, pid, status), 0);
    assert_true(herd_name(&scene->herd, seat, pid));
    assert_true(seat->is_dead);
    assert_int_equal(WEXITSTATUS(seat->status), 5);
    assert_int_equal(herd_next_us(&scene->herd), 0); /* to be buried without waiting */
    herd_happen(&scene->herd, seat, DECIDE_KILL);    /* must not signal a pid that is gone */
    herd_bury(&scene->herd, seat);
    assert_int_equal(seat->phase, SEAT_FREE);
    assert_null(scene->herd.current->workers[0].seat);
    assert_non_null(strstr(stage_log(), "worker died slot=0"));
    assert_non_null(strstr(stage_log(), "exit=5"));
}

/* Orphans that the app left behind, or other workers: each may be the one that is named next. */
static void a_death_counts_however_many_there_were_since(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    pid_t pid = make_child(scene, exit_main);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(slots_keep_unclaimed(&scene->herd.slots, pid, status), 0);
    for (pid_t other = 1; other <= 1000; other++)
        assert_int_equal(slots_keep_unclaimed(&scene->herd.slots, (1 << 22) + other, 0), 0);
    assert_true(herd_name(&scene->herd, seat, pid));
    assert_true(seat->is_dead);
    assert_int_equal(WEXITSTATUS(seat->status), 5);
}

/* Told to end while the loader had not come to it: nothing went wrong. */
static void one_that_was_told_to_end_before_its_birth_is_no_loss(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    herd_dismiss(&scene->herd, seat, "fewer workers are wanted");
    herd_happen(&scene->herd, seat, DECIDE_DRAIN);
    herd_happen(&scene->herd, seat, DECIDE_CLOSED);
    scene->herd.now_us += DECIDE_MUTE_US;
    herd_happen(&scene->herd, seat, DECIDE_TIME);
    assert_int_equal(seat->phase, SEAT_FREE);
    assert_non_null(strstr(stage_log(), "worker leaves slot=0 generation=1"));
    assert_non_null(strstr(stage_log(), "worker ended slot=0 generation=1"));
    assert_null(strstr(stage_log(), "worker lost"));
}

static void a_death_of_long_ago_is_not_that_of_the_next_with_its_pid(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    pid_t pid = make_child(scene, idle_main);
    assert_int_equal(slots_keep_unclaimed(&scene->herd.slots, pid, 0), 0);
    assert_true(herd_name(&scene->herd, seat, pid));
    assert_false(seat->is_dead);
    assert_int_equal(seat->phase, SEAT_BOOTING);
    int status;
    assert_false(slots_take_unclaimed(&scene->herd.slots, pid, &status));
}

static void a_coroner_is_no_worker(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    pid_t pid = make_child(scene, idle_main);
    scene->herd.coroners.open[1].pid = pid;
    assert_false(herd_name(&scene->herd, seat, pid));
    assert_int_equal(seat->pid, 0);
}

static void a_ready_worker_that_dies_is_due_at_once(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 1);
    assert_true(herd_name(&scene->herd, seat, make_child(scene, idle_main)));
    herd_happen(&scene->herd, seat, DECIDE_READY);
    assert_int_equal(seat->phase, SEAT_READY);
    assert_non_null(strstr(stage_log(), "worker ready slot=1"));
    assert_int_equal(kill(seat->pid, SIGKILL), 0);
    assert_int_equal(waitpid(seat->pid, &seat->status, 0), seat->pid);
    seat->is_dead = true;
    herd_bury(&scene->herd, seat);
    assert_int_equal(scene->herd.current->workers[1].due_us, NOW);
    assert_non_null(strstr(stage_log(), "signal=KILL why=\"killed from outside\" respawn_ms=0"));
}

static void the_board_is_clear_for_the_next_occupant(void **state)
{
    struct scene *scene = *state;
    struct err err;
    struct scoreboard_part part;
    struct seat *seat = order_worker(scene, 0);
    assert_true(herd_name(&scene->herd, seat, make_child(scene, idle_main)));
    assert_int_equal(
        scoreboard_map_part(&scene->herd.board, scene->herd.board_fd, seat->number, &part, &err),
        0);
    part.head->requests = 12;
    assert_int_equal(kill(seat->pid, SIGKILL), 0);
    assert_int_equal(waitpid(seat->pid, &seat->status, 0), seat->pid);
    seat->is_dead = true;
    herd_bury(&scene->herd, seat);
    assert_int_equal(scene->herd.totals.requests, 12);
    assert_int_equal(scoreboard_peek(&scene->herd.board, 1).head->requests, 0);
    assert_int_equal(part.head->requests, 0);
    (void)munmap(part.head, scene->herd.board.part_bytes);
}

static void a_loader_whose_app_fails_stops_the_first_start(void **state)
{
    struct scene *scene = *state;
    herd_fill(&scene->herd);
    struct seat *loader = scene->herd.current->loader.seat;
    assert_non_null(loader);
    (void)memcpy(loader->reason, "no such symbol", 15);
    herd_happen(&scene->herd, loader, DECIDE_FAILED);
    fd_close(&loader->channel_fd);
    assert_int_equal(waitpid(loader->pid, &loader->status, 0), loader->pid);
    loader->is_dead = true;
    herd_bury(&scene->herd, loader);
    assert_int_equal(scene->herd.exit_code, CLI_CONFIG);
    assert_int_equal(scene->herd.stage, DECIDE_QUICK);
    assert_non_null(strstr(stage_log(), "cannot start exit=1 why=\"no such symbol\""));
    assert_null(strstr(stage_log(), "respawn_ms"));
    herd_fill(&scene->herd); /* and nothing is hired any more */
    assert_int_equal(slots_count(&scene->herd.slots), 0);
}

static void workers_that_cannot_boot_stop_the_first_start(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < DECIDE_TRIES; i++) {
        assert_int_equal(scene->herd.exit_code, CLI_OK);
        herd_refuse(&scene->herd, order_worker(scene, 0), EAGAIN);
    }
    assert_int_equal(scene->herd.exit_code, CLI_NO_BOOT);
    assert_non_null(strstr(stage_log(), "cannot start exit=4"));
    assert_non_null(strstr(stage_log(), strerror(EAGAIN)));
}

static void a_worker_that_drains_unasked_leaves_its_post(void **state)
{
    struct scene *scene = *state;
    struct seat *seat = order_worker(scene, 0);
    assert_true(herd_name(&scene->herd, seat, make_child(scene, idle_main)));
    herd_happen(&scene->herd, seat, DECIDE_READY);
    herd_happen(&scene->herd, seat, DECIDE_DRAINED);
    assert_null(scene->herd.current->workers[0].seat);
    assert_int_equal(scene->herd.current->workers[0].due_us, NOW);
    assert_int_equal(seat->phase, SEAT_DRAINED);
    assert_true(seat->is_leaving);
}

static void a_worker_that_drains_whenever_it_is_ready_is_replaced_later_and_later(void **state)
{
    struct scene *scene = *state;
    const struct post *post = &scene->herd.current->workers[0];
    static const uint64_t waits_ms[] = {0, 100, 200, 400, 800, 1000, 1000};
    scene->herd.current->has_been_ready = true;
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        struct seat *seat = order_worker(scene, 0);
        assert_true(herd_name(&scene->herd, seat, make_child(scene, idle_main)));
        herd_happen(&scene->herd, seat, DECIDE_READY);
        herd_happen(&scene->herd, seat, DECIDE_DRAINED);
        assert_null(post->seat);
        assert_int_equal(post->due_us, NOW + waits_ms[i] * 1000);
        assert_int_equal(kill(seat->pid, SIGKILL), 0);
        assert_int_equal(waitpid(seat->pid, &seat->status, 0), seat->pid);
        seat->is_dead = true;
        herd_bury(&scene->herd, seat);
        assert_int_equal(post->due_us, NOW + waits_ms[i] * 1000); /* it counts once */
    }
}

/* A worker in READY whose channel has no more room. */
struct deaf {
    struct seat *seat;
    int worker_fd;
    int n_frames; /* in the channel */
};

static struct deaf make_deaf(struct scene *scene)
{
    struct msg filler = msg_make(MSG_UNLISTEN);
    int ends[2];
    struct deaf deaf = {.seat = order_worker(scene, 0)};
    assert_true(herd_name(&scene->herd, deaf.seat, make_child(scene, idle_main)));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                     0);
    deaf.seat->channel_fd = ends[0];
    deaf.worker_fd = ends[1];
    herd_happen(&scene->herd, deaf.seat, DECIDE_READY);
    while (msg_send(ends[0], &filler, NULL, 0) == 0)
        deaf.n_frames++;
    return deaf;
}

static int hear(const struct deaf *deaf, struct msg *msg)
{
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    return msg_receive(deaf->worker_fd, 0, msg, fds, &n_fds);
}

static void hear_all(struct deaf *deaf)
{
    struct msg msg;
    while (deaf->n_frames-- > 0)
        assert_int_equal(hear(deaf, &msg), 1);
}

/* A worker that is busy reads its channel later, but must not miss what it was told. */
static void an_order_that_finds_no_room_is_sent_later(void **state)
{
    struct scene *scene = *state;
    struct msg msg;
    struct deaf deaf = make_deaf(scene);
    herd_happen(&scene->herd, deaf.seat, DECIDE_DRAIN);
    assert_int_equal(deaf.seat->phase, SEAT_DRAINING);
    assert_true(herd_next_us(&scene->herd) < NOW + S);
    hear_all(&deaf);
    herd_fill(&scene->herd);
    assert_int_equal(hear(&deaf, &msg), 1);
    assert_int_equal(msg.type, MSG_DRAIN);
    assert_int_equal(msg.value, MSG_DRAIN_LEAVE);
    herd_fill(&scene->herd);
    assert_int_equal(hear(&deaf, &msg), -EAGAIN);
    fd_close(&deaf.worker_fd);
}

/* The ids of these sockets are others' soon, so nothing that follows may overtake that. */
static void a_socket_that_could_not_be_given_up_is_given_up_before_all_that_follows(void **state)
{
    struct scene *scene = *state;
    struct msg msg;
    struct deaf deaf = make_deaf(scene);
    struct listener items[] = {{0, 0, 0}, {1, 0, 1}};
    struct listen_address addresses[] = {{.text = "a", .is_leaving = true},
                                         {.text = "b", .is_leaving = true}};
    struct listen_set set = {.items = items, .n = 2, .addresses = addresses, .n_addresses = 2};
    slots_set_held(deaf.seat, 0, true);
    slots_set_held(deaf.seat, 1, true);
    relief_retire(&scene->herd, &set);
    assert_false(slots_holds(deaf.seat, 0));
    assert_int_equal(steer_seat(&scene->herd.slots, deaf.seat, &set), -EAGAIN);
    herd_happen(&scene->herd, deaf.seat, DECIDE_DRAIN);
    assert_true(herd_next_us(&scene->herd) < NOW + S);
    hear_all(&deaf);
    herd_fill(&scene->herd);
    for (int64_t id = 0; id < 2; id++) {
        assert_int_equal(hear(&deaf, &msg), 1);
        assert_int_equal(msg.type, MSG_RETIRE);
        assert_int_equal(msg.value, id);
    }
    assert_int_equal(hear(&deaf, &msg), 1);
    assert_int_equal(msg.type, MSG_DRAIN);
    assert_int_equal(hear(&deaf, &msg), -EAGAIN);
    fd_close(&deaf.worker_fd);
}

static void strangers_are_known_by_birth(void **state)
{
    struct scene *scene = *state;
    pid_t pid = make_child(scene, idle_main);
    assert_true(strangers_is_child(pid));
    assert_false(strangers_is_child(getpid()));
    assert_false(strangers_is_child(1));
    assert_false(strangers_is_child(0));
    assert_false(strangers_is_child(-5));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(strangers_is_child(pid));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pid_that_is_not_our_child_is_not_believed),
        TEST(a_child_is_named_once),
        TEST(a_death_that_was_seen_before_its_name_counts),
        TEST(a_death_counts_however_many_there_were_since),
        TEST(one_that_was_told_to_end_before_its_birth_is_no_loss),
        TEST(a_death_of_long_ago_is_not_that_of_the_next_with_its_pid),
        TEST(a_coroner_is_no_worker),
        TEST(a_ready_worker_that_dies_is_due_at_once),
        TEST(the_board_is_clear_for_the_next_occupant),
        TEST(a_loader_whose_app_fails_stops_the_first_start),
        TEST(workers_that_cannot_boot_stop_the_first_start),
        TEST(a_worker_that_drains_unasked_leaves_its_post),
        TEST(a_worker_that_drains_whenever_it_is_ready_is_replaced_later_and_later),
        TEST(an_order_that_finds_no_room_is_sent_later),
        TEST(a_socket_that_could_not_be_given_up_is_given_up_before_all_that_follows),
        TEST(strangers_are_known_by_birth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
