/* Tests of server/notify.c, with a socket in the place of the service manager's. */
#include "server/notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#define START_US (1000 * CLOCK_US_PER_S)

static char folder[64];
static char path[96];
static int manager_fd;
static struct notify notify;
static struct err err;

static int listen_at(const struct sockaddr_un *address, size_t len)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)address, (socklen_t)len), 0);
    return fd;
}

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-notify-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/notify", folder);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    manager_fd = listen_at(&address, sizeof address);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    (void)setenv("NOTIFY_SOCKET", path, 1);
    notify.fd = -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    notify_close(&notify);
    fd_close(&manager_fd);
    (void)unlink(path);
    return rmdir(folder);
}

/* The next datagram; "" when there is none. */
static const char *hear(void)
{
    static char text[4096];
    ssize_t n = recv(manager_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void open_all(void)
{
    assert_int_equal(notify_open(&notify, &err), 0);
    assert_true(notify.fd >= 0);
}

static void nobody_is_told_without_a_socket(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    (void)setenv("WATCHDOG_USEC", "1000000", 1);
    assert_int_equal(notify_open(&notify, &err), 0);
    notify_turn(&notify, NOTIFY_READY, "serving", START_US);
    assert_true(notify_next_us(&notify, NOTIFY_READY) == UINT64_MAX);
    assert_int_equal(notify_hand_over(&notify, 1, START_US), 0);
    assert_string_equal(hear(), "");
}

static void variables_leave_the_environment(void **state)
{
    (void)state;
    (void)setenv("WATCHDOG_USEC", "1000000", 1);
    (void)setenv("WATCHDOG_PID", "1", 1);
    open_all();
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
}

static void addresses_that_are_none_are_refused(void **state)
{
    (void)state;
    char longest[200];
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {"run/notify", "@", "/", "vsock:2:1234", longest};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)setenv("NOTIFY_SOCKET", bad[i], 1);
        assert_true(notify_open(&notify, &err) < 0);
        assert_non_null(strstr(err.text, "NOTIFY_SOCKET"));
        assert_int_equal(notify.fd, -1);
        assert_null(getenv("NOTIFY_SOCKET"));
    }
}

static void abstract_socket_is_reached(void **state)
{
    (void)state;
    char name[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(name, sizeof name, "@remuda-notify-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, (size_t)len - 1);
    fd_close(&manager_fd);
    manager_fd = listen_at(&address, offsetof(struct sockaddr_un, sun_path) + (size_t)len);
    (void)setenv("NOTIFY_SOCKET", name, 1);
    open_all();
    notify_turn(&notify, NOTIFY_READY, "", START_US);
    assert_string_equal(hear(), "READY=1\n");
}

static void each_change_is_told_once(void **state)
{
    (void)state;
    open_all();
    notify_turn(&notify, NOTIFY_BOOTING, "starting", START_US);
    assert_string_equal(hear(), "STATUS=starting\nEXTEND_TIMEOUT_USEC=30000000\n");
    notify_turn(&notify, NOTIFY_BOOTING, "starting", START_US + 1);
    assert_string_equal(hear(), "");
    notify_turn(&notify, NOTIFY_READY, "serving\nREADY=0", START_US + 2);
    assert_string_equal(hear(), "READY=1\nSTATUS=serving\n");
    notify_turn(&notify, NOTIFY_READY, "serving", START_US + 3);
    assert_string_equal(hear(), "");
    notify_turn(&notify, NOTIFY_RELOADING, "serving", START_US + 4);
    assert_string_equal(hear(), "RELOADING=1\nMONOTONIC_USEC=1000000004\n"
                                "EXTEND_TIMEOUT_USEC=30000000\n");
    notify_turn(&notify, NOTIFY_READY, "serving", START_US + 5);
    assert_string_equal(hear(), "READY=1\n");
    notify_turn(&notify, NOTIFY_STOPPING, "stopping", START_US + 6);
    assert_string_equal(hear(), "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=30000000\n");
    notify_turn(&notify, NOTIFY_STOPPING, "stopping", START_US + 7);
    assert_string_equal(hear(), "");
}

static void more_time_is_asked_for_while_the_loop_turns(void **state)
{
    (void)state;
    open_all();
    notify_turn(&notify, NOTIFY_BOOTING, "", START_US);
    (void)hear();
    uint64_t next_us = notify_next_us(&notify, NOTIFY_BOOTING);
    assert_true(next_us > START_US && next_us < START_US + 30 * CLOCK_US_PER_S);
    notify_turn(&notify, NOTIFY_BOOTING, "", next_us - 1);
    assert_string_equal(hear(), "");
    notify_turn(&notify, NOTIFY_BOOTING, "", next_us);
    assert_string_equal(hear(), "EXTEND_TIMEOUT_USEC=30000000\n");
    assert_true(notify_next_us(&notify, NOTIFY_READY) == UINT64_MAX);
}

static void watchdog_is_fed_twice_in_its_time(void **state)
{
    (void)state;
    char pid[32];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    (void)setenv("WATCHDOG_USEC", "4000000", 1);
    (void)setenv("WATCHDOG_PID", pid, 1);
    open_all();
    notify_turn(&notify, NOTIFY_READY, "", START_US);
    assert_string_equal(hear(), "READY=1\nWATCHDOG=1\n");
    assert_true(notify_next_us(&notify, NOTIFY_READY) == START_US + 2 * CLOCK_US_PER_S);
    notify_turn(&notify, NOTIFY_READY, "", START_US + 2 * CLOCK_US_PER_S - 1);
    assert_string_equal(hear(), "");
    notify_turn(&notify, NOTIFY_READY, "", START_US + 2 * CLOCK_US_PER_S);
    assert_string_equal(hear(), "WATCHDOG=1\n");
}

static void watchdog_of_another_process_or_nonsense_is_not_fed(void **state)
{
    (void)state;
    static const char *const usec[] = {"4000000", "", "soon", "-1", "18446744073709551615"};
    for (size_t i = 0; i < sizeof usec / sizeof usec[0]; i++) {
        (void)setenv("NOTIFY_SOCKET", path, 1);
        (void)setenv("WATCHDOG_USEC", usec[i], 1);
        (void)setenv("WATCHDOG_PID", "1", 1);
        open_all();
        notify_turn(&notify, NOTIFY_READY, "", START_US);
        assert_string_equal(hear(), "READY=1\n");
        notify_close(&notify);
    }
}

static void what_a_full_socket_does_not_take_is_told_later(void **state)
{
    (void)state;
    open_all();
    uint64_t now_us = START_US;
    for (int i = 0; i < 100000 && notify.retry_us == UINT64_MAX; i++) {
        char status[32];
        (void)snprintf(status, sizeof status, "%d", i);
        notify_turn(&notify, NOTIFY_BOOTING, status, now_us++);
    }
    assert_true(notify.retry_us > now_us && notify.retry_us != UINT64_MAX);
    assert_true(notify_next_us(&notify, NOTIFY_READY) == notify.retry_us);
    notify_turn(&notify, NOTIFY_READY, "late", now_us);
    assert_int_equal(notify.told, NOTIFY_BOOTING);
    while (hear()[0])
        ;
    notify_turn(&notify, NOTIFY_READY, "late", notify.retry_us);
    assert_non_null(strstr(hear(), "READY=1\nSTATUS=late\n"));
}

static void manager_that_is_gone_is_tried_again(void **state)
{
    (void)state;
    open_all();
    fd_close(&manager_fd);
    (void)unlink(path);
    notify_turn(&notify, NOTIFY_READY, "", START_US);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    manager_fd = listen_at(&address, sizeof address);
    notify_turn(&notify, NOTIFY_READY, "", notify_next_us(&notify, NOTIFY_READY));
    assert_string_equal(hear(), "READY=1\n");
}

static void only_the_main_process_speaks(void **state)
{
    (void)state;
    open_all();
    notify_turn(&notify, NOTIFY_READY, "", START_US);
    (void)hear();
    assert_int_equal(notify_hand_over(&notify, 4711, START_US + 1), 0);
    assert_string_equal(hear(), "MAINPID=4711\n");
    notify_turn(&notify, NOTIFY_STOPPING, "stopping", START_US + 1);
    assert_string_equal(hear(), "");
    assert_true(notify_next_us(&notify, NOTIFY_STOPPING) == UINT64_MAX);
    notify_take_over(&notify);
    notify_turn(&notify, NOTIFY_READY, "again", START_US + 2);
    assert_string_equal(hear(), "STATUS=again\n");
}

static void hand_over_that_fails_is_tried_again(void **state)
{
    (void)state;
    open_all();
    notify_turn(&notify, NOTIFY_RELOADING, "", START_US);
    notify_turn(&notify, NOTIFY_READY, "", START_US + 1);
    assert_int_equal(unlink(path), 0);
    uint64_t later_us = START_US + 60 * CLOCK_US_PER_S;
    assert_int_equal(notify_hand_over(&notify, 4711, later_us), -ENOENT);
    uint64_t next_us = notify_next_us(&notify, NOTIFY_STOPPING);
    assert_true(next_us > later_us && next_us < later_us + CLOCK_US_PER_S); /* no racing loop */
    assert_int_equal(notify_hand_over(&notify, 4711, next_us - 1), -EAGAIN);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    fd_close(&manager_fd);
    manager_fd = listen_at(&address, sizeof address);
    assert_int_equal(notify_hand_over(&notify, 4711, next_us), 0);
    assert_string_equal(hear(), "MAINPID=4711\n");
    assert_true(notify_next_us(&notify, NOTIFY_STOPPING) == UINT64_MAX);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nobody_is_told_without_a_socket),
        CASE(variables_leave_the_environment),
        CASE(addresses_that_are_none_are_refused),
        CASE(abstract_socket_is_reached),
        CASE(each_change_is_told_once),
        CASE(more_time_is_asked_for_while_the_loop_turns),
        CASE(watchdog_is_fed_twice_in_its_time),
        CASE(watchdog_of_another_process_or_nonsense_is_not_fed),
        CASE(what_a_full_socket_does_not_take_is_told_later),
        CASE(manager_that_is_gone_is_tried_again),
        CASE(only_the_main_process_speaks),
        CASE(hand_over_that_fails_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
