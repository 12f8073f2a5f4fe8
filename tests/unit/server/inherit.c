/* Tests of server/inherit.c: descriptors from 3 on and variables, as systemd passes them. */
#include "server/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/listen.h"

#define PASSED_MAX 4

static struct inherit in;
static struct listen_set set;
static struct settings settings;
static struct err err;
static int n_passed;
static char unix_path[64];

static int set_up(void **state)
{
    (void)state;
    log_init(STDERR_FILENO, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    (void)unsetenv("LISTEN_FDNAMES");
    (void)snprintf(unix_path, sizeof unix_path, "/tmp/remuda-inherit-%d", (int)getpid());
    n_passed = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    inherit_fini(&in);
    listen_close(&set);
    for (int fd = 3; fd < 3 + PASSED_MAX; fd++)
        (void)close(fd);
    (void)unlink(unix_path);
    return 0;
}

/* As the next of the descriptors from 3 on. */
static void pass(int fd)
{
    int number = 3 + n_passed++;
    assert_true(fd >= 0);
    if (fd != number) {
        assert_int_equal(dup2(fd, number), number);
        (void)close(fd);
    }
}

static int listener(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int unix_listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", unix_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int take(const char *count)
{
    char pid[32];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", count, 1);
    int rc = inherit_take(&in, &err);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    return rc;
}

static void nothing_passed_is_nothing_taken(void **state)
{
    (void)state;
    assert_int_equal(inherit_take(&in, &err), 0);
    assert_int_equal(in.from, INHERIT_NONE);
    assert_int_equal(take("0"), 0);
    assert_int_equal(in.from, INHERIT_NONE);
}

static void sockets_are_taken(void **state)
{
    (void)state;
    pass(listener(SOCK_STREAM));
    pass(unix_listener());
    assert_int_equal(take("2"), 0);
    assert_int_equal(in.from, INHERIT_SYSTEMD);
    assert_int_equal(in.set.n, 2);
    assert_int_equal(in.set.addresses[0].where.ss_family, AF_INET);
    assert_int_equal(in.set.addresses[1].where.ss_family, AF_UNIX);
    for (uint32_t i = 0; i < in.set.n; i++) {
        int fd = in.set.items[i].fd;
        assert_int_equal(fd, 3 + (int)i);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
}

/* Of three names and four sockets the last has none. */
static void names_are_for_those_who_look_for_a_mistake(void **state)
{
    (void)state;
    static const char *const expected[] = {"3 (web)", "4 (local)", "5 (last)", "6,"};
    for (int wrong = 0; wrong < 4; wrong++) {
        n_passed = 0;
        for (int i = 0; i < wrong; i++)
            pass(listener(SOCK_STREAM));
        pass(open("/dev/null", O_RDONLY));
        (void)setenv("LISTEN_FDNAMES", "web:local:last", 1);
        assert_true(take("4") < 0);
        assert_non_null(strstr(err.text, expected[wrong]));
        (void)close(3 + wrong);
    }
}

/* A shell between systemd and us, or an app's child: they were meant for somebody else. */
static void sockets_for_another_process_are_left_alone(void **state)
{
    (void)state;
    pass(listener(SOCK_STREAM));
    (void)setenv("LISTEN_PID", "1", 1);
    (void)setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(inherit_take(&in, &err), 0);
    assert_int_equal(in.from, INHERIT_NONE);
    assert_int_equal(fcntl(3, F_GETFD), 0);
    assert_null(getenv("LISTEN_FDS"));
}

static void count_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"two", "-1", "", "1 ", "99999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(take(bad[i]), -EINVAL);
        assert_non_null(strstr(err.text, "LISTEN_FDS"));
    }
}

/* The error names number, name, what it is, and what would be right. */
static void check_refused(const char *kind)
{
    (void)setenv("LISTEN_FDNAMES", "wrong", 1);
    assert_true(take("1") < 0);
    assert_int_equal(in.set.n, 0);
    assert_non_null(strstr(err.text, "descriptor 3 (wrong)"));
    assert_non_null(strstr(err.text, kind));
    assert_non_null(strstr(err.text, "ListenStream="));
}

static void datagram_sockets_are_refused(void **state)
{
    (void)state;
    pass(listener(SOCK_DGRAM));
    check_refused("datagram");
}

static void sockets_that_do_not_listen_are_refused(void **state)
{
    (void)state;
    pass(socket(AF_INET, SOCK_STREAM, 0));
    check_refused("Accept=yes");
}

static void other_files_are_refused(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    (void)close(ends[1]);
    pass(ends[0]);
    check_refused("FIFO");
    n_passed = 0;
    pass(open("/dev/null", O_RDONLY));
    check_refused("no socket");
    (void)close(3);
    check_refused("not open");
}

/* What a reload of the settings changes has nothing to do with systemd's sockets. */
static void reload_does_not_touch_them(void **state)
{
    (void)state;
    struct listen_change change;
    struct setting_bind bind = {
        .kind = SETTING_BIND_TCP, .text = "127.0.0.1:0", .host = "127.0.0.1", .port = 0};
    settings.bind.items = &bind;
    settings.bind.n = 1;
    pass(listener(SOCK_STREAM));
    assert_int_equal(take("1"), 0);
    assert_int_equal(inherit_listen(&in, &settings, 2, &set, &err), 0);
    assert_int_equal(listen_prepare(&set, &settings, &change, &err), 0);
    assert_int_equal(listen_commit(&set, &change, 4, &err), 0);
    assert_int_equal(set.n, 1);
    assert_false(set.addresses[0].is_leaving);
    settings.bind.n = 0;
}

static void adopted_sockets_are_shared_by_all_and_stay_when_closed(void **state)
{
    (void)state;
    pass(listener(SOCK_STREAM));
    pass(unix_listener());
    assert_int_equal(take("2"), 0);
    assert_int_equal(inherit_listen(&in, &settings, 8, &set, &err), 0);
    assert_int_equal(set.n, 2);
    assert_int_equal(set.items[0].slot, -1);
    assert_int_equal(set.items[1].slot, -1);
    assert_int_equal(strncmp(set.addresses[0].text, "http://127.0.0.1:", 17), 0);
    assert_int_equal(strncmp(set.addresses[1].text, "unix:/tmp/", 10), 0);
    inherit_fini(&in);
    assert_true(fcntl(set.items[0].fd, F_GETFD) >= 0);
    listen_close(&set);
    assert_int_equal(access(unix_path, F_OK), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nothing_passed_is_nothing_taken),
        CASE(sockets_are_taken),
        CASE(names_are_for_those_who_look_for_a_mistake),
        CASE(sockets_for_another_process_are_left_alone),
        CASE(count_that_is_none_is_refused),
        CASE(datagram_sockets_are_refused),
        CASE(sockets_that_do_not_listen_are_refused),
        CASE(other_files_are_refused),
        CASE(reload_does_not_touch_them),
        CASE(adopted_sockets_are_shared_by_all_and_stay_when_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
