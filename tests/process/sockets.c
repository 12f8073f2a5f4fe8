/* Addresses to listen on: several at once, IPv6, unix sockets with all that a path brings along,
 * and ports that are taken. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <signal.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/server.h"

static struct reply r;

static bool has_ipv6(void)
{
    FILE *file = fopen("/proc/net/if_inet6", "re");
    char line[256];
    bool is_found = false;
    while (file && fgets(line, sizeof line, file))
        is_found = is_found || strstr(line, " lo\n");
    if (file)
        (void)fclose(file);
    return is_found;
}

static void check_serves(const char *address)
{
    struct client *c = client_open(address);
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "hello\n");
    client_close(c);
}

/* Starts a server in the folder of s with one --bind. */
static void launch(struct server *s, const char *bind, const char *setting)
{
    const char *args[] = {"run", REMUDA_DEMO_SO,           "--workers", "1", "--bind",
                          bind,  setting ? "--set" : NULL, setting,     NULL};
    server_launch(s, &(struct server_options){.args = args});
}

static void several_addresses_at_once(void **state)
{
    (void)state;
    struct server *s = server_new();
    char unix_bind[256];
    (void)snprintf(unix_bind, sizeof unix_bind, "unix:%s", server_path(s, "socket"));
    const char *args[] = {"run",    REMUDA_DEMO_SO, "--workers", "2",       "--bind", "127.0.0.1:0",
                          "--bind", "127.0.0.1:0",  "--bind",    unix_bind, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    CHECK_EQ(s->n_addresses, 3);
    CHECK(server_port(s, 0) != server_port(s, 1));
    CHECK_TEXT(server_address(s, 2), unix_bind);
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 5; k++)
            check_serves(server_address(s, i));
}

static void ipv6_loopback(void **state)
{
    (void)state;
    if (!has_ipv6())
        skip();
    struct server *s = server_new();
    launch(s, "[::1]:0", NULL);
    server_wait_ready(s);
    CHECK_HAS(server_address(s, 0), "http://[::1]:");
    check_serves(server_address(s, 0));
    char *info = client_get(s, "/info", 200);
    CHECK_HAS(info, "\"peer\":\"[::1]:");
    free(info);
}

static void ipv6_wildcard_also_takes_ipv4(void **state)
{
    (void)state;
    if (!has_ipv6())
        skip();
    char address[64];
    struct server *s = server_new();
    launch(s, "[::]:0", NULL);
    server_wait_ready(s);
    check_serves(server_address(s, 0));
    (void)snprintf(address, sizeof address, "http://127.0.0.1:%u", server_port(s, 0));
    check_serves(address);
}

static void port_alone_means_every_ipv4_address(void **state)
{
    (void)state;
    struct server *s = server_new();
    launch(s, ":0", NULL);
    server_wait_ready(s);
    CHECK_HAS(server_address(s, 0), "http://0.0.0.0:");
    check_serves(server_address(s, 0));
}

static void name_of_this_host(void **state)
{
    (void)state;
    struct server *s = server_new();
    launch(s, "localhost:0", NULL);
    server_wait_ready(s);
    for (size_t i = 0; i < s->n_addresses; i++)
        check_serves(server_address(s, i));
}

/* Bound by somebody else, without SO_REUSEPORT. Returns the listening descriptor. */
static int take_port(unsigned *out_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&in, len) == 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    *out_port = ntohs(in.sin_port);
    return fd;
}

static void port_in_use_is_exit_3(void **state)
{
    (void)state;
    unsigned port;
    char bind[64];
    int fd = take_port(&port);
    struct server *s = server_new();
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", port);
    launch(s, bind, NULL);
    CHECK_EQ(server_run(s), 3);
    CHECK_HAS(lines_text(&s->log), bind);
    CHECK_HAS(lines_text(&s->log), "in use");
    (void)snprintf(bind, sizeof bind, "by pid %d (", (int)getpid());
    CHECK_HAS(lines_text(&s->log), bind);
    (void)close(fd);
}

static void port_in_use_is_exit_3_in_single_mode_too(void **state)
{
    (void)state;
    unsigned port;
    char bind[64];
    int fd = take_port(&port);
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", port);
    struct server *s = server_start_args("run", "--single", REMUDA_DEMO_SO, "--bind", bind, NULL);
    CHECK_EQ(server_run(s), 3);
    (void)close(fd);
}

/* Two of us must not share a port by accident, although our own sockets do. */
static void port_of_another_remuda_is_exit_3(void **state)
{
    (void)state;
    char bind[64];
    struct server *first = server_start_app(REMUDA_DEMO_SO, NULL);
    struct server *second = server_new();
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(first, 0));
    launch(second, bind, NULL);
    CHECK_EQ(server_run(second), 3);
    CHECK_HAS(lines_text(&second->log), bind);
    CHECK_HAS(lines_text(&second->log), "remuda reload");
    (void)snprintf(bind, sizeof bind, "with pid %d,", (int)first->pid);
    CHECK_HAS(lines_text(&second->log), bind);
    check_serves(server_address(first, 0));
}

/* A supervisor starts it again in the moment of its death, when workers may hold its sockets. */
static void address_of_a_server_that_dies_is_waited_for(void **state)
{
    (void)state;
    char bind[256];
    for (int is_unix = 0; is_unix <= 1; is_unix++) {
        struct server *first = server_new();
        (void)snprintf(bind, sizeof bind, "unix:%s", server_path(first, "socket"));
        launch(first, is_unix ? bind : "127.0.0.1:0", NULL);
        server_wait_ready(first);
        first->is_violent = true;
        if (!is_unix)
            (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(first, 0));
        struct server *second = server_new();
        launch(second, bind, NULL);
        const char *line = server_wait_log(second, "address in use");
        CHECK_EQ(lines_number(line, "pid"), first->pid);
        CHECK(kill(first->pid, SIGKILL) == 0);
        server_wait_ready(second);
        CHECK_EQ(lines_count(&second->log, "address in use"), 1);
        check_serves(server_address(second, 0));
        CHECK_EQ(server_wait_exit(first), -SIGKILL);
        server_signal(second, SIGTERM);
        CHECK_EQ(server_wait_exit(second), 0);
    }
}

/* Long before it has served anybody, and without its files left behind. */
static void stop_while_an_address_is_waited_for(void **state)
{
    (void)state;
    char bind[32];
    struct server *first = server_new();
    launch(first, "127.0.0.1:0", NULL);
    server_wait_ready(first);
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(first, 0));
    const int stops[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        struct server *second = server_new();
        const char *pidfile = server_path(second, "run.pid");
        const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", bind, "--pidfile", pidfile, NULL};
        server_launch(second, &(struct server_options){.args = args});
        (void)server_wait_log(second, "address in use");
        CHECK_EQ(server_read_pid(pidfile), second->pid);
        server_signal(second, stops[i]);
        CHECK_EQ(server_wait_exit(second), 3);
        CHECK(access(pidfile, F_OK) != 0);
    }
    check_serves(server_address(first, 0));
}

/* One bad address among good ones: nothing is started. */
static void one_port_in_use_among_others_is_exit_3(void **state)
{
    (void)state;
    unsigned port;
    char taken[64];
    int fd = take_port(&port);
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%u", port);
    struct server *s =
        server_start_args("run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--bind", taken, NULL);
    CHECK_EQ(server_run(s), 3);
    CHECK_EQ(lines_count(&s->log, "ready"), 0);
    (void)close(fd);
}

static void address_of_somebody_else_is_exit_3(void **state)
{
    (void)state;
    struct server *s = server_new();
    launch(s, "192.0.2.1:0", NULL); /* RFC 5737: nobody's */
    CHECK_EQ(server_run(s), 3);
    CHECK_HAS(lines_text(&s->log), "192.0.2.1");
}

static void port_is_free_at_once_after_a_stop(void **state)
{
    (void)state;
    char bind[64];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)snprintf(bind, sizeof bind, "127.0.0.1:%u", server_port(s, 0));
    check_serves(server_address(s, 0)); /* leaves a connection in TIME_WAIT on one side */
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    struct server *again = server_new();
    launch(again, bind, NULL);
    server_wait_ready(again);
    check_serves(server_address(again, 0));
}

static void unix_socket_is_served_and_removed_at_the_end(void **state)
{
    (void)state;
    char bind[256];
    struct stat st;
    struct server *s = server_new();
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "socket"));
    launch(s, bind, NULL);
    server_wait_ready(s);
    CHECK_TEXT(server_address(s, 0), bind);
    check_serves(bind);
    CHECK(stat(server_path(s, "socket"), &st) == 0 && S_ISSOCK(st.st_mode));
    CHECK_EQ(st.st_mode & 0777, 0777);
    char *info = client_get(s, "/info", 200);
    CHECK_HAS(info, "\"peer\":\"unix:\"");
    free(info);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(server_path(s, "socket"), F_OK) != 0);
}

static void umask_rules_the_mode_of_a_unix_socket(void **state)
{
    (void)state;
    char bind[256];
    struct stat st;
    struct server *s = server_new();
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "socket"));
    launch(s, bind, "umask=0117");
    server_wait_ready(s);
    CHECK(stat(server_path(s, "socket"), &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0660);
}

/* What a killed server leaves: a socket file on which nobody listens. */
static void stale_unix_socket_is_replaced(void **state)
{
    (void)state;
    char bind_arg[256];
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct server *s = server_new();
    const char *path = server_path(s, "socket");
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof un) == 0);
    (void)close(fd);
    (void)snprintf(bind_arg, sizeof bind_arg, "unix:%s", path);
    launch(s, bind_arg, NULL);
    server_wait_ready(s);
    check_serves(bind_arg);
}

static void live_unix_socket_is_refused_and_left_alone(void **state)
{
    (void)state;
    char bind_arg[256];
    struct server *first = server_new();
    (void)snprintf(bind_arg, sizeof bind_arg, "unix:%s", server_path(first, "socket"));
    launch(first, bind_arg, NULL);
    server_wait_ready(first);
    struct server *second = server_new();
    launch(second, bind_arg, NULL);
    CHECK_EQ(server_run(second), 3);
    CHECK_HAS(lines_text(&second->log), server_path(first, "socket"));
    check_serves(bind_arg);
}

static void file_that_is_no_socket_is_refused_and_left_alone(void **state)
{
    (void)state;
    char bind_arg[256];
    struct stat st;
    struct server *s = server_new();
    const char *path = server_write_file(s, "precious", "data\n");
    (void)snprintf(bind_arg, sizeof bind_arg, "unix:%s", path);
    launch(s, bind_arg, NULL);
    CHECK_EQ(server_run(s), 3);
    CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 5);
}

static void unix_socket_in_a_missing_folder_is_a_mistake_of_the_configuration(void **state)
{
    (void)state;
    char bind_arg[256];
    struct server *s = server_new();
    (void)snprintf(bind_arg, sizeof bind_arg, "unix:%s", server_path(s, "missing/socket"));
    launch(s, bind_arg, NULL);
    CHECK_EQ(server_run(s), 1);
    CHECK_HAS(lines_text(&s->log), "/missing\"");
}

/* Somebody has put another socket at our path: it is not ours to remove. */
static void unix_socket_of_somebody_else_is_not_removed_at_the_end(void **state)
{
    (void)state;
    char bind_arg[256];
    struct server *first = server_new();
    const char *path = server_path(first, "socket");
    (void)snprintf(bind_arg, sizeof bind_arg, "unix:%s", path);
    launch(first, bind_arg, NULL);
    server_wait_ready(first);
    CHECK(unlink(path) == 0);
    struct server *second = server_new();
    launch(second, bind_arg, NULL);
    server_wait_ready(second);
    server_signal(first, SIGTERM);
    CHECK_EQ(server_wait_exit(first), 0);
    first->n_addresses = 0; /* the path is the second one's now */
    check_serves(bind_arg);
}

/* At most four workers watch a shared socket; all of it must work with more of them. */
static void many_workers_share_a_unix_socket(void **state)
{
    (void)state;
    char bind_arg[256];
    struct server *s = server_new();
    (void)snprintf(bind_arg, sizeof bind_arg, "unix:%s", server_path(s, "socket"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--workers", "6", "--bind", bind_arg, NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    for (int i = 0; i < 50; i++)
        check_serves(bind_arg);
}

SERVER_MAIN(SERVER_TEST(several_addresses_at_once), SERVER_TEST(ipv6_loopback),
            SERVER_TEST(ipv6_wildcard_also_takes_ipv4),
            SERVER_TEST(port_alone_means_every_ipv4_address), SERVER_TEST(name_of_this_host),
            SERVER_TEST(port_in_use_is_exit_3),
            SERVER_TEST(port_in_use_is_exit_3_in_single_mode_too),
            SERVER_TEST(port_of_another_remuda_is_exit_3),
            SERVER_TEST(address_of_a_server_that_dies_is_waited_for),
            SERVER_TEST(stop_while_an_address_is_waited_for),
            SERVER_TEST(one_port_in_use_among_others_is_exit_3),
            SERVER_TEST(address_of_somebody_else_is_exit_3),
            SERVER_TEST(port_is_free_at_once_after_a_stop),
            SERVER_TEST(unix_socket_is_served_and_removed_at_the_end),
            SERVER_TEST(umask_rules_the_mode_of_a_unix_socket),
            SERVER_TEST(stale_unix_socket_is_replaced),
            SERVER_TEST(live_unix_socket_is_refused_and_left_alone),
            SERVER_TEST(file_that_is_no_socket_is_refused_and_left_alone),
            SERVER_TEST(unix_socket_in_a_missing_folder_is_a_mistake_of_the_configuration),
            SERVER_TEST(unix_socket_of_somebody_else_is_not_removed_at_the_end),
            SERVER_TEST(many_workers_share_a_unix_socket))
