/* Tests of server/endpoint.c: this process has the sockets, and is looked for in /proc. */
#include "server/endpoint.h"

#include <arpa/inet.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

#undef fork /* tests start processes of their own; the ban is for the server's code */

/* Listens, and fills in the port that the kernel chose. */
static int listen_at(struct sockaddr_storage *address, socklen_t len)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)(const void *)address, len) < 0 ||
        listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *)(void *)address, &len) < 0) {
        fd_close(&fd);
        return -1;
    }
    return fd;
}

static struct sockaddr_storage v4(uint32_t host, uint16_t port)
{
    struct sockaddr_storage any = {0};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr = {htonl(host)}, .sin_port = htons(port)};
    memcpy(&any, &address, sizeof address);
    return any;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    struct sockaddr_in6 v6; /* the port is at the same place in both families */
    memcpy(&v6, address, sizeof v6);
    return ntohs(v6.sin6_port);
}

static void addresses_are_printed_as_in_the_log(void **state)
{
    (void)state;
    char text[ENDPOINT_TEXT_MAX];
    struct sockaddr_storage address = v4(0x7f000001, 8000);
    assert_string_equal(endpoint_print(text, &address, sizeof(struct sockaddr_in)),
                        "http://127.0.0.1:8000");
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(80)};
    memcpy(&address, &v6, sizeof v6);
    assert_string_equal(endpoint_print(text, &address, sizeof v6), "http://[::1]:80");
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/a"};
    memcpy(&address, &un, sizeof un);
    assert_string_equal(endpoint_print(text, &address, sizeof un), "unix:/run/a");
    struct sockaddr_un hidden = {.sun_family = AF_UNIX, .sun_path = "\0name"};
    memcpy(&address, &hidden, sizeof hidden);
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 5;
    assert_string_equal(endpoint_print(text, &address, len), "unix:@name");
    address.ss_family = AF_NETLINK;
    assert_non_null(endpoint_print(text, &address, sizeof address));
}

static void check_found(const struct sockaddr_storage *address)
{
    struct endpoint_holder holder;
    assert_true(endpoint_find_holder(address, &holder));
    assert_int_equal(holder.pid, getpid());
    assert_string_not_equal(holder.name, "");
    assert_true(holder.is_remuda); /* the same program as this one */
}

static void holder_of_a_port_is_found(void **state)
{
    (void)state;
    struct sockaddr_storage address = v4(INADDR_LOOPBACK, 0);
    struct endpoint_holder holder;
    int fd = listen_at(&address, sizeof(struct sockaddr_in));
    assert_true(fd >= 0);
    check_found(&address);
    struct sockaddr_storage everywhere = v4(INADDR_ANY, port_of(&address));
    check_found(&everywhere);
    struct sockaddr_storage elsewhere = v4(0x7f000002, port_of(&address));
    assert_false(endpoint_find_holder(&elsewhere, &holder));
    fd_close(&fd);
    assert_false(endpoint_find_holder(&address, &holder));
}

static void holder_of_every_address_is_found(void **state)
{
    (void)state;
    struct sockaddr_storage address = {0};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    memcpy(&address, &v6, sizeof v6);
    int fd = listen_at(&address, sizeof v6);
    if (fd < 0)
        skip(); /* no IPv6 here */
    check_found(&address);
    struct sockaddr_storage of_v4 = v4(INADDR_LOOPBACK, port_of(&address));
    check_found(&of_v4);
    fd_close(&fd);
}

static void holder_of_a_unix_socket_is_found(void **state)
{
    (void)state;
    struct sockaddr_storage address = {0};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(un.sun_path, sizeof un.sun_path, "/tmp/remuda-endpoint-%d", (int)getpid());
    memcpy(&address, &un, sizeof un);
    int fd = listen_at(&address, sizeof un);
    assert_true(fd >= 0);
    check_found(&address);
    fd_close(&fd);
    (void)unlink(un.sun_path);
}

static void of_parent_and_children_the_parent_is_named(void **state)
{
    (void)state;
    int gate[2];
    struct sockaddr_storage address = v4(INADDR_LOOPBACK, 0);
    int fd = listen_at(&address, sizeof(struct sockaddr_in));
    assert_true(fd >= 0);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char byte;
            (void)close(gate[1]);
            _exit(read(gate[0], &byte, 1) == 0 ? 0 : 1);
        }
    }
    check_found(&address);
    (void)close(gate[1]);
    (void)close(gate[0]);
    for (int i = 0; i < 3; i++)
        assert_true(wait(NULL) > 0);
    fd_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_printed_as_in_the_log),
        cmocka_unit_test(holder_of_a_port_is_found),
        cmocka_unit_test(holder_of_every_address_is_found),
        cmocka_unit_test(holder_of_a_unix_socket_is_found),
        cmocka_unit_test(of_parent_and_children_the_parent_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
