/* Sockets that systemd passes (sd_listen_fds(3)): the test holds them as systemd would. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/server.h"

#define ENVIRONMENT_SO REMUDA_TEST_APPS_DIR "/environment.so"

static int sockets[2] = {-1, -1};
static char addresses[2][160];

static void check_serves(const char *address)
{
    struct reply r;
    reply_init(&r);
    struct client *c = client_open(address);
    client_exchange(c, &r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_TEXT(r.body.data, "hello\n");
    client_close(c);
    reply_fini(&r);
}

static int open_tcp(char address[160])
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&in, len) == 0 && listen(fd, 128) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&in, &len) == 0);
    (void)snprintf(address, 160, "http://127.0.0.1:%u", ntohs(in.sin_port));
    return fd;
}

static int open_unix(const char *path, char address[160])
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof un) == 0 && listen(fd, 128) == 0);
    (void)snprintf(address, 160, "unix:%s", path);
    return fd;
}

/* A TCP socket, and a unix socket in the server's folder. */
static void open_both(const struct server *s)
{
    sockets[0] = open_tcp(addresses[0]);
    sockets[1] = open_unix(server_path(s, "passed"), addresses[1]);
}

static void launch(struct server *s, const char *app, size_t n, const char *more)
{
    const char *args[] = {"run", app, "--workers", "6", more, NULL};
    const char *env[] = {"LISTEN_FDNAMES=web:local", NULL};
    server_launch(
        s, &(struct server_options){.args = args, .env = env, .sockets = sockets, .n_sockets = n});
}

/* Sockets that are systemd's outlive the server, which the usual teardown would take for a leak. */
static int tear_down(void **state)
{
    for (int i = 0; i < 2; i++) {
        if (sockets[i] >= 0)
            (void)close(sockets[i]);
        sockets[i] = -1;
    }
    return server_teardown(state);
}

static void stop(struct server *s)
{
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    s->n_addresses = 0;
}

static void passed_sockets_take_the_place_of_bind(void **state)
{
    (void)state;
    struct server *s = server_new();
    open_both(s);
    launch(s, REMUDA_DEMO_SO, 2, NULL);
    server_wait_ready(s);
    CHECK_EQ(s->n_addresses, 2);
    CHECK_TEXT(server_address(s, 0), addresses[0]);
    CHECK_TEXT(server_address(s, 1), addresses[1]);
    for (int i = 0; i < 20; i++) {
        check_serves(addresses[0]);
        check_serves(addresses[1]);
    }
    stop(s);
}

static void bind_that_is_not_used_is_told(void **state)
{
    (void)state;
    struct server *s = server_new();
    open_both(s);
    launch(s, REMUDA_DEMO_SO, 1, "--bind=127.0.0.1:0");
    (void)server_wait_log(s, "bind not used");
    server_wait_ready(s);
    CHECK_EQ(s->n_addresses, 1);
    CHECK_TEXT(server_address(s, 0), addresses[0]);
    stop(s);
}

/* Who connects while the server is away waits, and is answered by the next one. */
static void sockets_outlive_the_server(void **state)
{
    (void)state;
    struct reply r;
    reply_init(&r);
    for (int round = 0; round < 2; round++) {
        struct server *s = server_new();
        if (round == 0)
            open_both(s);
        struct client *tcp = client_open(addresses[0]);
        struct client *local = client_open(addresses[1]);
        client_send_text(tcp, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client_send_text(local, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        launch(s, REMUDA_DEMO_SO, 2, NULL);
        server_wait_ready(s);
        client_read(tcp, &r, false);
        CHECK_TEXT(r.body.data, "hello\n");
        client_read(local, &r, false);
        CHECK_TEXT(r.body.data, "hello\n");
        client_close(tcp);
        client_close(local);
        stop(s);
        CHECK(access(addresses[1] + 5, F_OK) == 0);
    }
    reply_fini(&r);
}

static void single_mode_takes_them_too(void **state)
{
    (void)state;
    struct server *s = server_new();
    open_both(s);
    const char *args[] = {"run", "--single", REMUDA_DEMO_SO, NULL};
    server_launch(s, &(struct server_options){.args = args, .sockets = sockets, .n_sockets = 2});
    (void)server_wait_log(s, "listening");
    check_serves(addresses[0]);
    check_serves(addresses[1]);
    stop(s);
    CHECK(access(addresses[1] + 5, F_OK) == 0);
}

static void worker_that_dies_takes_nobody_else_along(void **state)
{
    (void)state;
    struct server *s = server_new();
    open_both(s);
    launch(s, REMUDA_DEMO_SO, 2, NULL);
    server_wait_ready(s);
    s->is_violent = true;
    struct load *load = load_start(addresses[0], 16, "/info", NULL);
    load_wait_settled(load);
    pid_t victim = server_worker_pid(s, 0);
    CHECK(kill(victim, SIGKILL) == 0);
    (void)server_wait_log(s, "worker ready slot=0");
    load_wait_answers(load, 200);
    struct load_result result = load_stop(load);
    load_check(&result, victim);
    stop(s);
}

static void check_refused(const char *why)
{
    struct server *s = server_new();
    launch(s, REMUDA_DEMO_SO, 1, NULL);
    CHECK_EQ(server_run(s), 3);
    CHECK_HAS(lines_text(&s->log), "descriptor 3 (web)");
    CHECK_HAS(lines_text(&s->log), why);
    (void)close(sockets[0]);
    sockets[0] = -1;
}

static void sockets_of_a_wrong_kind_are_refused(void **state)
{
    (void)state;
    int ends[2];
    sockets[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check_refused("datagram");
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    sockets[0] = ends[0];
    check_refused("Accept=yes");
    (void)close(ends[1]);
    CHECK(pipe(ends) == 0);
    sockets[0] = ends[0];
    check_refused("FIFO");
    (void)close(ends[1]);
}

/* Under load all the time: systemd's socket is nobody's to close. */
static void stops_and_upgrades_under_load_lose_nothing(void **state)
{
    (void)state;
    struct server *s = server_new();
    open_both(s);
    launch(s, REMUDA_DEMO_SO, 2, NULL);
    server_wait_ready(s);
    struct load *tcp = load_start(addresses[0], 8, "/", "hello\n");
    struct load *local = load_start(addresses[1], 8, "/", "hello\n");
    for (int i = 0; i < 3; i++) {
        load_wait_answers(tcp, 50);
        load_wait_answers(local, 50);
        server_signal(s, SIGUSR2);
        (void)server_wait_log(s, "new master ready");
        server_signal(s, SIGTERM);
        CHECK_EQ(server_wait_succession(s), 0);
        (void)server_wait_log(s, "old master gone");
    }
    stop(s);
    struct server *next = server_new();
    launch(next, REMUDA_DEMO_SO, 2, NULL);
    server_wait_ready(next);
    load_wait_answers(tcp, 50);
    load_wait_answers(local, 50);
    struct load_result result = load_finish(tcp);
    load_check(&result, 0);
    result = load_finish(local);
    load_check(&result, 0);
    stop(next);
}

static void app_is_told_nothing_of_them(void **state)
{
    (void)state;
    static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
    struct server *s = server_new();
    open_both(s);
    launch(s, ENVIRONMENT_SO, 2, NULL);
    server_wait_ready(s);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/env/%s", names[i]);
        char *text = client_get(s, target, 200);
        CHECK_TEXT(text, "(not set)\n");
        free(text);
    }
    stop(s);
}

#define ACTIVATION_TEST(function) cmocka_unit_test_teardown(function, tear_down)

SERVER_MAIN(ACTIVATION_TEST(passed_sockets_take_the_place_of_bind),
            ACTIVATION_TEST(bind_that_is_not_used_is_told),
            ACTIVATION_TEST(sockets_outlive_the_server),
            ACTIVATION_TEST(single_mode_takes_them_too),
            ACTIVATION_TEST(worker_that_dies_takes_nobody_else_along),
            ACTIVATION_TEST(sockets_of_a_wrong_kind_are_refused),
            ACTIVATION_TEST(stops_and_upgrades_under_load_lose_nothing),
            ACTIVATION_TEST(app_is_told_nothing_of_them))
