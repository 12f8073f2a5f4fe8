/* server/reopen.c and server/logfile.c: which files, which frames to whom, over real channels. */
#include "server/reopen.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"
#include "server/logfile.h"

#define N_SEATS 3

struct scene {
    struct settings settings;
    struct generation generation;
    struct herd herd;
    struct reopen reopen;
    int child_fds[N_SEATS]; /* the other ends of the seats' channels */
    char folder[32];
    char error_log[64], access_log[64];
    int log_fd; /* of this test's own log */
};

static int set_up(void **state)
{
    static struct scene scene;
    struct err err;
    scene = (struct scene){.folder = "/tmp/remuda-reopen.XXXXXX"};
    if (!mkdtemp(scene.folder))
        return -1;
    (void)snprintf(scene.error_log, sizeof scene.error_log, "%s/error", scene.folder);
    (void)snprintf(scene.access_log, sizeof scene.access_log, "%s/access", scene.folder);
    scene.settings.errorlog = scene.error_log;
    scene.settings.accesslog = scene.access_log;
    struct heritage *h = &scene.generation.heritage;
    h->settings = &scene.settings;
    scene.generation.number = 1;
    scene.generation.settings = &scene.settings;
    scene.herd.current = &scene.generation;
    if (logfile_open(scene.error_log, STDERR_FILENO, &h->log_fd, &err) < 0 ||
        logfile_open(scene.access_log, STDOUT_FILENO, &h->access_fd, &err) < 0 ||
        slots_init(&scene.herd.slots, N_SEATS, 1) < 0)
        return -1;
    scene.herd.now_us = 1000;
    for (int i = 0; i < N_SEATS; i++) {
        int ends[2];
        struct seat *seat = slots_take(&scene.herd.slots, i ? ROLE_WEB : ROLE_LOADER, i - 1, 1);
        if (!seat ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
            return -1;
        seat->phase = SEAT_READY;
        seat->generation = 1;
        seat->channel_fd = ends[0];
        scene.child_fds[i] = ends[1];
    }
    scene.log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_init(scene.log_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    char command[64];
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (uint32_t i = 0; i < N_SEATS; i++) {
        slots_release(&scene->herd.slots, &scene->herd.slots.seats[i]);
        fd_close(&scene->child_fds[i]);
    }
    slots_fini(&scene->herd.slots);
    logfile_close(&scene->generation.heritage.log_fd);
    logfile_close(&scene->generation.heritage.access_fd);
    fd_close(&scene->log_fd);
    (void)snprintf(command, sizeof command, "rm -r %s", scene->folder);
    return system(command) == 0 ? 0 : -1; /* NOLINT: the folder is our own */
}

static struct seat *seat_of(struct scene *scene, int i)
{
    return &scene->herd.slots.seats[i];
}

static bool is_same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino;
}

static void move(const char *path)
{
    char to[80];
    (void)snprintf(to, sizeof to, "%s.1", path);
    assert_int_equal(rename(path, to), 0);
}

/* The child must have exactly one frame with that number, and files that are there now. */
static void expect_logs(struct scene *scene, int i, int64_t number)
{
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    assert_int_equal(msg_receive(scene->child_fds[i], 0, &msg, fds, &n_fds), 1);
    assert_int_equal(msg.type, MSG_LOGS);
    assert_int_equal(msg.value, number);
    assert_int_equal(n_fds, 2);
    assert_true(is_same_file(fds[0], scene->error_log));
    assert_true(is_same_file(fds[1], scene->access_log));
    while (n_fds > 0)
        fd_close(&fds[--n_fds]);
    assert_int_equal(msg_receive(scene->child_fds[i], 0, &msg, fds, &n_fds), -EAGAIN);
}

static void expect_silence(struct scene *scene, int i)
{
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    assert_int_equal(msg_receive(scene->child_fds[i], 0, &msg, fds, &n_fds), -EAGAIN);
}

static bool answer(struct scene *scene, int i, int64_t number)
{
    struct msg msg = msg_make(MSG_REOPENED);
    msg.value = number;
    return reopen_hear(seat_of(scene, i), &msg);
}

static void files_are_reopened_under_their_numbers(void **state)
{
    struct scene *scene = *state;
    struct heritage *h = &scene->generation.heritage;
    int log_fd = h->log_fd;
    assert_int_equal(write(h->access_fd, "old\n", 4), 4);
    move(scene->access_log);
    assert_int_equal(reopen_files(&scene->settings, h->log_fd, h->access_fd), 2);
    assert_int_equal(h->log_fd, log_fd);
    assert_true(is_same_file(h->access_fd, scene->access_log));
    assert_true(is_same_file(h->log_fd, scene->error_log)); /* it was not moved: the same again */
    assert_true(fcntl(h->access_fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(h->access_fd, F_GETFL) & O_APPEND);
    struct stat st;
    assert_int_equal(fstat(h->access_fd, &st), 0);
    assert_int_equal(st.st_size, 0);
}

static void file_that_can_not_be_opened_stays_as_it_is(void **state)
{
    struct scene *scene = *state;
    struct heritage *h = &scene->generation.heritage;
    struct err err = {0};
    char old[80];
    move(scene->access_log);
    assert_int_equal(mkdir(scene->access_log, 0755), 0);
    assert_int_equal(logfile_reopen(scene->access_log, h->access_fd, &err), -EISDIR);
    assert_non_null(strstr(err.text, scene->access_log));
    (void)snprintf(old, sizeof old, "%s.1", scene->access_log);
    assert_true(is_same_file(h->access_fd, old));
    reopen_logs(&scene->reopen, &scene->herd); /* the other one can */
    assert_int_equal(scene->herd.logs, 1);
    assert_true(is_same_file(h->access_fd, old));
}

static void standard_streams_are_left_alone(void **state)
{
    struct scene *scene = *state;
    struct heritage *h = &scene->generation.heritage;
    int access_fd = h->access_fd, log_fd = h->log_fd;
    struct err err;
    assert_int_equal(logfile_reopen("-", STDOUT_FILENO, &err), 0);
    assert_int_equal(logfile_reopen(NULL, -1, &err), 0);
    h->log_fd = STDERR_FILENO;
    h->access_fd = -1;
    reopen_logs(&scene->reopen, &scene->herd);
    assert_int_equal(scene->herd.logs, 0);
    assert_int_equal(reopen_next_us(&scene->reopen), SEAT_NEVER);
    reopen_tell(&scene->reopen, &scene->herd);
    for (int i = 0; i < N_SEATS; i++)
        expect_silence(scene, i);
    h->log_fd = log_fd;
    h->access_fd = access_fd;
}

/* Whose reader is not there: it must neither wait nor be taken. */
static void fifo_without_a_reader_is_refused_at_once(void **state)
{
    struct scene *scene = *state;
    struct err err = {0};
    int fd = -1;
    char path[80];
    (void)snprintf(path, sizeof path, "%s/fifo", scene->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(logfile_open(path, STDOUT_FILENO, &fd, &err), -ENXIO);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(err.text, "FIFO"));
}

static void everyone_is_told_and_waited_for(void **state)
{
    struct scene *scene = *state;
    move(scene->access_log);
    reopen_logs(&scene->reopen, &scene->herd);
    assert_int_equal(scene->herd.logs, 1);
    for (int turn = 0; turn < 3; turn++)
        reopen_tell(&scene->reopen, &scene->herd);
    for (int i = 0; i < N_SEATS; i++) {
        expect_logs(scene, i, 1);
        assert_true(scene->reopen.since_us != 0);
        assert_true(answer(scene, i, 1));
        reopen_tell(&scene->reopen, &scene->herd);
    }
    assert_int_equal(scene->reopen.since_us, 0);
    for (int i = 0; i < N_SEATS; i++)
        expect_silence(scene, i);
}

/* One frame is under way to each; whoever has answered gets the latest next, nothing between. */
static void storm_makes_one_frame_at_a_time(void **state)
{
    struct scene *scene = *state;
    for (int i = 0; i < 500; i++) {
        reopen_logs(&scene->reopen, &scene->herd);
        reopen_tell(&scene->reopen, &scene->herd);
        if (i == 0)
            move(scene->access_log);
    }
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    for (int i = 0; i < N_SEATS; i++) {
        assert_int_equal(msg_receive(scene->child_fds[i], 0, &msg, fds, &n_fds), 1);
        assert_int_equal(msg.value, 1);
        while (n_fds > 0)
            fd_close(&fds[--n_fds]);
        assert_true(answer(scene, i, 1));
    }
    reopen_tell(&scene->reopen, &scene->herd);
    for (int i = 0; i < N_SEATS; i++) {
        expect_logs(scene, i, 500);
        assert_true(answer(scene, i, 500));
    }
    reopen_tell(&scene->reopen, &scene->herd);
    assert_int_equal(scene->reopen.since_us, 0);
}

static void full_channel_delays_and_loses_nothing(void **state)
{
    struct scene *scene = *state;
    struct msg filler = msg_make(MSG_STOP);
    int n_filled = 0;
    while (msg_send(seat_of(scene, 1)->channel_fd, &filler, NULL, 0) == 0)
        n_filled++;
    reopen_logs(&scene->reopen, &scene->herd);
    reopen_tell(&scene->reopen, &scene->herd);
    assert_true(reopen_next_us(&scene->reopen) > scene->herd.now_us);
    assert_true(reopen_next_us(&scene->reopen) != SEAT_NEVER);
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    while (n_filled-- > 0)
        assert_int_equal(msg_receive(scene->child_fds[1], 0, &msg, fds, &n_fds), 1);
    reopen_tell(&scene->reopen, &scene->herd);
    assert_int_equal(reopen_next_us(&scene->reopen), SEAT_NEVER);
    expect_logs(scene, 1, 1);
}

/* Sent again after a while, to the one that could not take the files, and not before. */
static void files_that_could_not_be_taken_are_sent_again(void **state)
{
    struct scene *scene = *state;
    struct msg lost = msg_make(MSG_LOST);
    lost.about = MSG_LOGS;
    lost.value = 1;
    assert_false(reopen_hear_lost(seat_of(scene, 1), &lost, scene->herd.now_us)); /* not sent */
    reopen_logs(&scene->reopen, &scene->herd);
    reopen_tell(&scene->reopen, &scene->herd);
    for (int i = 0; i < N_SEATS; i++)
        expect_logs(scene, i, 1);
    assert_true(answer(scene, 0, 1) && answer(scene, 2, 1));
    assert_true(reopen_hear_lost(seat_of(scene, 1), &lost, scene->herd.now_us));
    assert_false(reopen_hear_lost(seat_of(scene, 1), &lost, scene->herd.now_us));
    reopen_tell(&scene->reopen, &scene->herd);
    expect_silence(scene, 1);
    uint64_t next_us = reopen_next_us(&scene->reopen);
    assert_true(next_us > scene->herd.now_us && next_us != SEAT_NEVER);
    scene->herd.now_us = next_us;
    reopen_tell(&scene->reopen, &scene->herd);
    expect_logs(scene, 1, 1);
    assert_true(scene->reopen.since_us != 0);
    assert_true(answer(scene, 1, 1));
    reopen_tell(&scene->reopen, &scene->herd);
    assert_int_equal(scene->reopen.since_us, 0);
}

/* Gone, or its channel is: it writes no more, or will not for long. */
static void who_is_gone_is_not_waited_for(void **state)
{
    struct scene *scene = *state;
    reopen_logs(&scene->reopen, &scene->herd);
    reopen_tell(&scene->reopen, &scene->herd);
    assert_true(answer(scene, 0, 1));
    slots_release(&scene->herd.slots, seat_of(scene, 1));
    fd_close(&seat_of(scene, 2)->channel_fd);
    reopen_tell(&scene->reopen, &scene->herd);
    assert_int_equal(scene->reopen.since_us, 0);
}

static void answer_to_what_nobody_sent_breaks_the_protocol(void **state)
{
    struct scene *scene = *state;
    assert_false(answer(scene, 0, 0));
    assert_false(answer(scene, 0, 1));
    reopen_logs(&scene->reopen, &scene->herd);
    assert_false(answer(scene, 0, 1)); /* not sent yet */
    reopen_tell(&scene->reopen, &scene->herd);
    assert_false(answer(scene, 0, 2));
    assert_false(answer(scene, 0, INT64_C(0x100000001)));
    assert_true(answer(scene, 0, 1));
    assert_false(answer(scene, 0, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_reopened_under_their_numbers),
        TEST(file_that_can_not_be_opened_stays_as_it_is),
        TEST(standard_streams_are_left_alone),
        TEST(fifo_without_a_reader_is_refused_at_once),
        TEST(everyone_is_told_and_waited_for),
        TEST(storm_makes_one_frame_at_a_time),
        TEST(full_channel_delays_and_loses_nothing),
        TEST(files_that_could_not_be_taken_are_sent_again),
        TEST(who_is_gone_is_not_waited_for),
        TEST(answer_to_what_nobody_sent_breaks_the_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
