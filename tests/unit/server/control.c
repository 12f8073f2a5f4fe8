/* Tests of server/control.c: what keeps the master's loop from sleeping, with real sockets. What
 * commands see is in tests/process/control.c. */
#include "server/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"

#define NOW (1000 * CLOCK_US_PER_S)

static char folder[64];
static char path[96];
static struct control control;

static int begin(void *context, enum control_order order, uint64_t *out_number, struct err *err)
{
    (void)context;
    (void)order;
    (void)err;
    *out_number = 1;
    return 0;
}

static bool never(void *context, enum control_order order, uint64_t number,
                  struct control_outcome *out)
{
    (void)context;
    (void)order;
    (void)number;
    (void)out;
    return false;
}

static int set_up(void **state)
{
    const struct control_host host = {.begin = begin, .outcome = never};
    struct err err;
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/remuda-control-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/ctl", folder);
    return control_init(&control, &host) < 0 || control_open(&control, path, &err) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    control_fini(&control);
    return rmdir(folder);
}

static int connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address),
                     0);
    return fd;
}

/* One turn of the loop. Returns whether poll(2) had to report anything */
static bool turn(uint64_t now_us)
{
    struct pollfd polls[CONTROL_POLLS];
    control_watch(&control, now_us, polls);
    bool is_any = poll(polls, CONTROL_POLLS, 0) > 0;
    control_serve(&control, polls, now_us);
    control_report(&control, now_us);
    return is_any;
}

static void send_text(int fd, const char *text, size_t len)
{
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void accepting_that_failed_is_tried_again_once(void **state)
{
    struct rlimit before;
    (void)state;
    int fd = connect_client();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    struct pollfd polls[CONTROL_POLLS];
    control_watch(&control, NOW, polls);
    assert_int_equal(poll(polls, CONTROL_POLLS, 0), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    control_serve(&control, polls, NOW);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    uint64_t again_us = control_next_us(&control);
    assert_true(again_us > NOW && again_us < UINT64_MAX);
    assert_false(turn(NOW)); /* a pause, not a race */
    fd_close(&fd);           /* valgrind's own limit has closed its other end */
    fd = connect_client();
    assert_true(turn(again_us));
    send_text(fd, "{\"request\":\"reload\"}\n", 21);
    assert_true(turn(again_us));
    assert_int_equal(control_next_us(&control), UINT64_MAX); /* it waits for the outcome alone */
    fd_close(&fd);
    assert_true(turn(again_us));
}

static void client_that_sent_too_much_and_left_is_let_go(void **state)
{
    char more[CONTROL_LINE_MAX];
    (void)state;
    memset(more, 'x', sizeof more);
    int fd = connect_client();
    assert_true(turn(NOW));
    send_text(fd, "{\"request\":\"reload\"}\n", 21);
    assert_true(turn(NOW));
    send_text(fd, more, sizeof more);
    assert_true(turn(NOW));
    fd_close(&fd);
    assert_true(turn(NOW));
    assert_false(turn(NOW)); /* else poll(2) would report its end for ever */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accepting_that_failed_is_tried_again_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(client_that_sent_too_much_and_left_is_let_go, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
