/* Tests of server/coroners.c: whose remains are believed, who is sent, who is killed for taking too
 * long, and what is told without anybody. */
#include "server/coroners.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"
#include "ipc/scoreboard.h"
#include "workers/coroner.h"
#include "workers/tracer.h"

#define S UINT64_C(1000000)
#define NOW (1000 * S)
#define PID 4711

/* The coroner of these tests: never comes to an end. */
void coroner_main(const struct heritage *heritage)
{
    (void)heritage;
    for (;;)
        (void)pause();
}

/* Nor does the tracer. */
void tracer_main(const struct heritage *heritage)
{
    coroner_main(heritage);
}

static struct scene {
    struct coroners coroners;
    struct remains remains; /* in the shared table */
    struct settings *settings;
    struct heritage heritage;
    struct seat seat;
    int log_fd;
    char log[32768];
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof scene);
    scene.settings = settings_new();
    if (!scene.settings || coroners_init(&scene.coroners) < 0)
        return -1;
    scene.settings->app = "/srv/app.so";
    scene.log_fd = memfd_create("log", MFD_CLOEXEC);
    log_init(scene.log_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    scene.heritage = (struct heritage){.master_pid = getpid(),
                                       .log_fd = STDERR_FILENO,
                                       .access_fd = -1,
                                       .settings = scene.settings};
    scene.seat = (struct seat){.role = ROLE_WEB, .pid = PID};
    scene.remains.kind = REMAINS_SIGNAL;
    scene.remains.pid = PID;
    scene.remains.signal = SIGSEGV;
    scene.remains.n_frames = 2;
    scene.remains.frames[0] = (struct remains_frame){0x1234, REMAINS_NO_MODULE, 1};
    scene.remains.frames[1] = (struct remains_frame){0x5678, REMAINS_NO_MODULE, 0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < CORONERS_MAX; i++)
        if (scene.coroners.open[i].pid > 0) {
            (void)kill(scene.coroners.open[i].pid, SIGKILL);
            (void)waitpid(scene.coroners.open[i].pid, NULL, 0);
        }
    coroners_fini(&scene.coroners);
    settings_free(scene.settings);
    log_init(STDERR_FILENO, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    fd_close(&scene.log_fd);
    return 0;
}

static bool take(pid_t pid, int status)
{
    struct scoreboard_part part = {.remains = &scene.remains};
    return coroners_take(&scene.coroners, &part, pid, status);
}

static const char *log_text(void)
{
    ssize_t n = pread(scene.log_fd, scene.log, sizeof scene.log - 1, 0);
    scene.log[n > 0 ? n : 0] = '\0';
    return scene.log;
}

static void send_one(void)
{
    scene.coroners.inquest.pid = PID;
    coroners_send(&scene.coroners, &scene.heritage, -1, &scene.seat, NOW);
}

static void remains_must_tell_of_the_same_end(void **state)
{
    (void)state;
    assert_true(take(PID, SIGSEGV));
    assert_true(take(PID, SIGSEGV | 0x80)); /* with a core dump */
    assert_int_equal(scene.coroners.remains->n_frames, 2);
    assert_false(take(PID, SIGKILL)); /* a fault that it had survived */
    assert_int_equal(scene.coroners.remains->kind, REMAINS_NONE);
    assert_int_equal(scene.coroners.remains->n_frames, 0);
    assert_false(take(PID, 3 << 8));
    assert_false(take(PID + 1, SIGSEGV)); /* an occupant's before */
    scene.remains.kind = REMAINS_EXIT;
    assert_true(take(PID, 3 << 8));
    assert_false(take(PID, SIGSEGV));
    scene.remains.kind = REMAINS_NONE;
    assert_false(take(PID, SIGSEGV));
}

static void one_that_takes_too_long_is_killed_and_missed(void **state)
{
    (void)state;
    int status;
    assert_true(take(PID, SIGSEGV));
    assert_int_equal(coroners_next_us(&scene.coroners), SEAT_NEVER);
    send_one();
    assert_int_equal(coroners_count(&scene.coroners), 1);
    uint64_t due_us = coroners_next_us(&scene.coroners);
    assert_true(due_us > NOW && due_us <= NOW + 60 * S);
    coroners_on_time(&scene.coroners, due_us - 1);
    pid_t pid = scene.coroners.open[0].pid;
    assert_int_equal(kill(pid, 0), 0);
    coroners_on_time(&scene.coroners, due_us);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(coroners_next_us(&scene.coroners), SEAT_NEVER);
    assert_false(coroners_reap(&scene.coroners, pid + 1, 0));
    assert_true(coroners_reap(&scene.coroners, pid, status));
    assert_int_equal(coroners_count(&scene.coroners), 0);
    assert_non_null(strstr(log_text(), "backtrace not finished pid=4711"));
}

/* A crash loop must not become a fork loop; what is known is told all the same. */
static void more_than_a_few_at_once_are_told_without_names(void **state)
{
    (void)state;
    assert_true(take(PID, SIGSEGV));
    for (int i = 0; i < CORONERS_MAX; i++)
        send_one();
    assert_int_equal(coroners_count(&scene.coroners), CORONERS_MAX);
    assert_string_equal(log_text(), "");
    send_one();
    assert_int_equal(coroners_count(&scene.coroners), CORONERS_MAX);
    assert_non_null(strstr(log_text(), "backtrace pid=4711 frames=2 names=no"));
    assert_non_null(strstr(log_text(), "frame pid=4711 n=0 address=0x1234\n"));
    assert_non_null(strstr(log_text(), "frame pid=4711 n=1 address=0x5678\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(remains_must_tell_of_the_same_end),
        TEST(one_that_takes_too_long_is_killed_and_missed),
        TEST(more_than_a_few_at_once_are_told_without_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
