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

static void sockets_are_taken_with_their_names(void **state)
{
    (void)state;
    pass(listener(SOCK_STREAM));
    pass(unix_listener());
    (void)setenv("LISTEN_FDNAMES", "web:local", 1);
    assert_int_equal(take("2"), 0);
    assert_int_equal(in.from, INHERIT_SYSTEMD);
    assert_int_equal(in.n, 2);
    assert_string_equal(in.items[0].name, "web");
    assert_string_equal(in.items[1].name, "local");
    assert_int_equal(in.items[0].address.ss_family, AF_INET);
    assert_int_equal(in.items[1].address.ss_family, AF_UNIX);
    for (uint32_t i = 0; i < in.n; i++) {
        assert_int_equal(fcntl(in.items[i].fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(in.items[i].fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
}

static void names_may_be_missing(void **state)
{
    (void)state;
    pass(listener(SOCK_STREAM));
    pass(listener(SOCK_STREAM));
    (void)setenv("LISTEN_FDNAMES", "web", 1);
    assert_int_equal(take("2"), 0);
    assert_string_equal(in.items[1].name, "");
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
    assert_int_equal(in.n, 0);
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
        CASE(sockets_are_taken_with_their_names),
        CASE(names_may_be_missing),
        CASE(sockets_for_another_process_are_left_alone),
        CASE(count_that_is_none_is_refused),
        CASE(datagram_sockets_are_refused),
        CASE(sockets_that_do_not_listen_are_refused),
        CASE(other_files_are_refused),
        CASE(adopted_sockets_are_shared_by_all_and_stay_when_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
