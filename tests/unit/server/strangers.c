/* Tests of server/strangers.c: all children are found, however many, and only those. */
#include "server/strangers.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#undef fork

#define MANY 30000

static struct {
    int n;
    long sum;
} seen;

static void on_pid(void *context, pid_t pid)
{
    assert_null(context);
    seen.n++;
    seen.sum += pid;
}

/* A list that is longer than any buffer: numbers are cut where a piece ends. */
static void every_number_is_read_once(void **state)
{
    (void)state;
    long sum = 0;
    int fd = memfd_create("children", MFD_CLOEXEC);
    seen.n = 0;
    seen.sum = 0;
    for (int i = 0; i < MANY; i++) {
        sum += 2 + i * 7;
        assert_true(dprintf(fd, "%d ", 2 + i * 7) > 0);
    }
    assert_true(dprintf(fd, "4711") == 4); /* at the very end */
    assert_true(lseek(fd, 0, SEEK_END) > 65536);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(strangers_read(fd, on_pid, NULL), 0);
    assert_int_equal(seen.n, MANY + 1);
    assert_true(seen.sum == sum + 4711);
    assert_int_equal(close(fd), 0);
}

static void what_can_not_be_read_is_not_taken_for_nobody(void **state)
{
    (void)state;
    seen.n = 0;
    assert_true(strangers_read(-1, on_pid, NULL) < 0);
    assert_int_equal(seen.n, 0);
}

static pid_t make_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    while (pid == 0)
        (void)pause();
    return pid;
}

static bool is_ours(const void *context, pid_t pid)
{
    return pid == *(const pid_t *)context;
}

static void children_are_killed_but_for_ours_and_the_spared(void **state)
{
    (void)state;
    pid_t ours = make_child();
    pid_t spared = make_child();
    pid_t stranger = make_child();
    int status = 0;
    if (access("/proc/thread-self/children", R_OK) < 0)
        skip(); /* a kernel without it */
    strangers_spare(spared);
    assert_int_equal(strangers_kill(is_ours, &ours), 1);
    assert_int_equal(waitpid(stranger, &status, 0), stranger);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(strangers_kill(is_ours, &ours), 0);
    assert_int_equal(strangers_kill_all(), 1);
    assert_int_equal(waitpid(spared, &status, WNOHANG), 0);
    strangers_spare(0);
    assert_int_equal(strangers_kill_all(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_read_once),
        cmocka_unit_test(what_can_not_be_read_is_not_taken_for_nobody),
        cmocka_unit_test(children_are_killed_but_for_ours_and_the_spared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
