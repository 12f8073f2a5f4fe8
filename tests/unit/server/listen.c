/* Tests of server/listen.c, with real sockets on the loopback interface and ports that the kernel
 * chooses. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

#undef fork /* clients that have descriptors of their own */

#define N_SLOTS 4
#define BINDS_MAX 3

struct scene {
    char folder[64];
    char path[96];
    char text[128];
    struct settings settings;
    struct setting_bind binds[BINDS_MAX];
    struct listen_set set;
    struct err err;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (!scene)
        return -1;
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/remuda-listen-XXXXXX");
    if (!mkdtemp(scene->folder))
        return -1;
    (void)snprintf(scene->path, sizeof scene->path, "%s/socket", scene->folder);
    (void)snprintf(scene->text, sizeof scene->text, "unix:%s", scene->path);
    scene->settings.backlog = 16;
    scene->settings.bind.items = scene->binds;
    log_init(STDERR_FILENO, LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    listen_close(&scene->set);
    (void)unlink(scene->path);
    int rc = rmdir(scene->folder);
    free(scene);
    return rc;
}

static void bind_tcp(struct scene *scene, const char *text, const char *host, uint16_t port)
{
    scene->binds[scene->settings.bind.n++] =
        (struct setting_bind){.kind = SETTING_BIND_TCP, .text = text, .host = host, .port = port};
}

static void bind_unix(struct scene *scene)
{
    scene->binds[scene->settings.bind.n++] =
        (struct setting_bind){.kind = SETTING_BIND_UNIX, .text = scene->text, .path = scene->path};
}

static int open_all(struct scene *scene)
{
    return listen_open(&scene->settings, N_SLOTS, &scene->set, &scene->err);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in6 address = {0}; /* the port is at the same place in both families */
    socklen_t len = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&address, &len), 0);
    return ntohs(address.sin6_port);
}

static int connect_to(int family, uint16_t port)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = family == AF_INET ? connect(fd, (const struct sockaddr *)(const void *)&v4, sizeof v4)
                               : connect(fd, (const struct sockaddr *)(const void *)&v6, sizeof v6);
    if (rc < 0) {
        (void)close(fd);
        return -errno;
    }
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address);
    if (rc < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    return fd;
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has =
        fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0;
    if (fd >= 0)
        (void)close(fd);
    return has;
}

static void every_slot_gets_a_socket_on_the_same_port(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    assert_int_equal(scene->set.n, N_SLOTS);
    assert_int_equal(scene->set.n_addresses, 1);
    uint16_t port = port_of(scene->set.items[0].fd);
    assert_true(port > 0);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "http://127.0.0.1:%u", port);
    assert_string_equal(scene->set.addresses[0].text, expected);
    for (int i = 0; i < N_SLOTS; i++) {
        int fd = scene->set.items[i].fd;
        int is_listening = 0;
        socklen_t len = sizeof is_listening;
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len), 0);
        assert_true(is_listening);
        assert_int_equal(scene->set.items[i].slot, i);
        assert_int_equal(port_of(fd), port);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
}

static void connections_reach_every_slot(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    uint16_t port = port_of(scene->set.items[0].fd);
    struct pollfd polls[N_SLOTS];
    bool has_been_reached[N_SLOTS] = {false};
    int n_reached = 0;
    for (int i = 0; i < N_SLOTS; i++)
        polls[i] = (struct pollfd){.fd = scene->set.items[i].fd, .events = POLLIN};
    for (int tries = 0; tries < 1000 && n_reached < N_SLOTS; tries++) {
        int client = connect_to(AF_INET, port);
        assert_true(client >= 0);
        assert_int_equal(write(client, "x", 1), 1); /* TCP_DEFER_ACCEPT waits for it */
        assert_true(poll(polls, N_SLOTS, 10000) > 0);
        for (int i = 0; i < N_SLOTS; i++) {
            if (!(polls[i].revents & POLLIN))
                continue;
            int server = accept(polls[i].fd, NULL, NULL);
            assert_true(server >= 0);
            int is_at_once = 0;
            socklen_t len = sizeof is_at_once;
            assert_int_equal(getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &is_at_once, &len), 0);
            assert_true(is_at_once);
            (void)close(server);
            n_reached += !has_been_reached[i];
            has_been_reached[i] = true;
        }
        (void)close(client);
    }
    assert_int_equal(n_reached, N_SLOTS);
}

static void a_port_in_use_is_an_error_that_names_it(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    char text[32];
    uint16_t port = port_of(scene->set.items[0].fd);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    struct setting_bind bind = {.kind = SETTING_BIND_TCP, .text = text, .host = "127.0.0.1"};
    bind.port = port;
    struct settings other = scene->settings;
    other.bind.items = &bind;
    struct listen_set set = {0};
    assert_int_equal(listen_open(&other, N_SLOTS, &set, &scene->err), -EADDRINUSE);
    assert_non_null(strstr(scene->err.text, text));
    assert_non_null(strstr(scene->err.text, "in use"));
    assert_int_equal(set.n, 0);
}

static void a_failure_leaves_no_earlier_bind_behind(void **state)
{
    struct scene *scene = *state;
    bind_unix(scene);
    bind_tcp(scene, "192.0.2.1:0", "192.0.2.1", 0); /* RFC 5737: nobody's */
    assert_int_equal(open_all(scene), -EADDRNOTAVAIL);
    assert_non_null(strstr(scene->err.text, "192.0.2.1:0"));
    assert_int_equal(access(scene->path, F_OK), -1);
}

static void a_port_is_free_again_after_close(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    uint16_t port = port_of(scene->set.items[0].fd);
    listen_close(&scene->set);
    assert_int_equal(connect_to(AF_INET, port), -ECONNREFUSED);
    listen_close(&scene->set); /* twice is fine */
}

static void the_wildcard_of_ipv6_serves_ipv4_too(void **state)
{
    struct scene *scene = *state;
    if (!has_ipv6())
        skip();
    bind_tcp(scene, "[::]:0", "::", 0);
    assert_int_equal(open_all(scene), 0);
    uint16_t port = port_of(scene->set.items[0].fd);
    int v4 = connect_to(AF_INET, port);
    int v6 = connect_to(AF_INET6, port);
    assert_true(v4 >= 0);
    assert_true(v6 >= 0);
    (void)close(v4);
    (void)close(v6);
}

static void both_wildcards_share_a_port_when_both_are_named(void **state)
{
    struct scene *scene = *state;
    if (!has_ipv6())
        skip();
    bind_tcp(scene, "0.0.0.0:0", "0.0.0.0", 0);
    assert_int_equal(open_all(scene), 0); /* finds a port that is free */
    uint16_t port = port_of(scene->set.items[0].fd);
    listen_close(&scene->set);
    scene->settings.bind.n = 0;
    bind_tcp(scene, "[::]:P", "::", port);
    bind_tcp(scene, "0.0.0.0:P", "0.0.0.0", port);
    assert_int_equal(open_all(scene), 0);
    assert_int_equal(scene->set.n, 2 * N_SLOTS);
}

static void a_unix_socket_is_one_for_all_and_goes_with_the_stop(void **state)
{
    struct scene *scene = *state;
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    assert_int_equal(scene->set.n, 1);
    assert_int_equal(scene->set.items[0].slot, -1);
    int client = connect_unix(scene->path);
    assert_true(client >= 0);
    (void)close(client);
    listen_close(&scene->set);
    assert_int_equal(access(scene->path, F_OK), -1);
}

static void the_umask_is_for_the_socket_file_only(void **state)
{
    struct scene *scene = *state;
    struct stat st;
    mode_t before = umask(0022);
    scene->settings.umask = 0117;
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    assert_int_equal(umask(before), 0022);
    assert_int_equal(stat(scene->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

static void a_stale_unix_socket_is_replaced(void **state)
{
    struct scene *scene = *state;
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    (void)close(scene->set.items[0].fd); /* as if the server had been killed */
    free(scene->set.items);
    free(scene->set.addresses[0].bind);
    free(scene->set.addresses[0].path);
    free(scene->set.addresses);
    assert_int_equal(access(scene->path, F_OK), 0);
    assert_int_equal(connect_unix(scene->path), -ECONNREFUSED);
    assert_int_equal(open_all(scene), 0);
    int client = connect_unix(scene->path);
    assert_true(client >= 0);
    (void)close(client);
}

static void a_file_that_is_anothers_by_now_stays(void **state)
{
    struct scene *scene = *state;
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    struct listen_set old = scene->set;
    assert_int_equal(unlink(scene->path), 0);
    assert_int_equal(open_all(scene), 0);
    listen_close(&old);
    int client = connect_unix(scene->path);
    assert_true(client >= 0);
    (void)close(client);
}

static void a_live_unix_socket_is_an_error(void **state)
{
    struct scene *scene = *state;
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    struct listen_set second = {0};
    assert_int_equal(listen_open(&scene->settings, 1, &second, &scene->err), -EADDRINUSE);
    assert_non_null(strstr(scene->err.text, "another server"));
    assert_int_equal(access(scene->path, F_OK), 0);
    int client = connect_unix(scene->path);
    assert_true(client >= 0);
    (void)close(client);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct scene *scene = *state;
    int fd = open(scene->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    (void)close(fd);
    bind_unix(scene);
    assert_int_equal(open_all(scene), -EADDRINUSE);
    assert_non_null(strstr(scene->err.text, "not a socket"));
    struct stat st;
    assert_int_equal(stat(scene->path, &st), 0);
    assert_int_equal(st.st_size, 4);
}

/* A second of the kernel's own retransmission, no more: the connect must not succeed, and whoever
 * came before must still be accepted. Also where socket filters are kept for privileged users. */
static void before_a_stop_old_connections_arrive_and_new_ones_do_not(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(listen_open(&scene->settings, 1, &scene->set, &scene->err), 0);
    int server = scene->set.items[0].fd;
    uint16_t port = port_of(server);
    int early = connect_to(AF_INET, port);
    assert_true(early >= 0);
    listen_refuse_new(&scene->set);
    assert_int_equal(write(early, "x", 1), 1); /* TCP_DEFER_ACCEPT hands it over only now */
    struct pollfd ready = {.fd = server, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    int accepted = accept(server, NULL, NULL);
    assert_true(accepted >= 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(late, (const struct sockaddr *)(const void *)&address, sizeof address);
    assert_true(rc < 0 && errno == EINPROGRESS); /* without the filter, loopback connects at once */
    listen_close(&scene->set);
    ready = (struct pollfd){.fd = late, .events = POLLOUT};
    assert_int_equal(poll(&ready, 1, 30000), 1);
    int failed = 0;
    socklen_t len = sizeof failed;
    assert_int_equal(getsockopt(late, SOL_SOCKET, SO_ERROR, &failed, &len), 0);
    assert_int_equal(failed, ECONNREFUSED);
    char byte;
    assert_int_equal(read(accepted, &byte, 1), 1); /* the old one still works */
    (void)close(late);
    (void)close(early);
    (void)close(accepted);
}

static void an_unknown_name_is_told(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "not a name:80", "not a name", 80); /* no resolver is asked for that */
    assert_int_equal(open_all(scene), -EADDRNOTAVAIL);
    assert_non_null(strstr(scene->err.text, "\"not a name\" has no address"));
}

/* ---- Changes */

static int prepare(struct scene *scene, struct listen_change *change)
{
    return listen_prepare(&scene->set, &scene->settings, change, &scene->err);
}

/* As a reload would, with nobody to be told. */
static void change_to(struct scene *scene, uint32_t n_slots)
{
    struct listen_change change;
    assert_int_equal(prepare(scene, &change), 0);
    assert_int_equal(listen_commit(&scene->set, &change, n_slots, &scene->err), 0);
    (void)listen_retire(&scene->set);
    listen_close_leaving(&scene->set);
}

static uint32_t count_open(const struct listen_set *set)
{
    uint32_t n = 0;
    for (uint32_t id = 0; id < set->n; id++)
        n += set->items[id].fd >= 0;
    return n;
}

static void what_stays_keeps_its_sockets_and_ids(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    uint32_t n = scene->set.n;
    int fds[N_SLOTS + 1];
    for (uint32_t id = 0; id < n; id++)
        fds[id] = scene->set.items[id].fd;
    change_to(scene, N_SLOTS - 1); /* fewer workers close nothing */
    assert_int_equal(scene->set.n, n);
    assert_int_equal(count_open(&scene->set), n);
    for (uint32_t id = 0; id < n; id++)
        assert_int_equal(scene->set.items[id].fd, fds[id]);
    change_to(scene, N_SLOTS + 2);
    assert_int_equal(count_open(&scene->set), n + 2);
    for (uint32_t id = 0; id < n; id++)
        assert_int_equal(scene->set.items[id].fd, fds[id]);
    assert_int_equal(scene->set.n_slots, N_SLOTS + 2);
}

static void an_added_bind_is_reachable_only_after_the_commit(void **state)
{
    struct scene *scene = *state;
    struct listen_change change;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    bind_unix(scene);
    assert_int_equal(prepare(scene, &change), 0);
    assert_int_equal(connect_unix(scene->path), -ECONNREFUSED);
    listen_discard(&change);
    listen_discard(&change); /* twice is fine */
    assert_int_equal(access(scene->path, F_OK), -1);
    assert_int_equal(prepare(scene, &change), 0);
    assert_int_equal(listen_commit(&scene->set, &change, N_SLOTS, &scene->err), 0);
    int client = connect_unix(scene->path);
    assert_true(client >= 0);
    (void)close(client);
}

static void a_bind_that_leaves_is_closed_and_its_ids_are_used_again(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    bind_unix(scene);
    assert_int_equal(open_all(scene), 0);
    uint16_t port = port_of(scene->set.items[0].fd);
    scene->binds[0] = scene->binds[1];
    scene->settings.bind.n = 1;
    change_to(scene, N_SLOTS);
    assert_int_equal(count_open(&scene->set), 1);
    assert_true(connect_to(AF_INET, port) < 0);
    uint32_t n = scene->set.n;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    change_to(scene, N_SLOTS);
    assert_int_equal(scene->set.n, n);
    assert_int_equal(count_open(&scene->set), n);
    scene->binds[0] = scene->binds[1];
    scene->settings.bind.n = 1;
    change_to(scene, N_SLOTS);
    assert_int_equal(access(scene->path, F_OK), -1);
}

static void a_bind_that_is_taken_changes_nothing(void **state)
{
    struct scene *scene = *state;
    struct listen_change change;
    struct listen_set other = {0};
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    assert_int_equal(listen_open(&scene->settings, 1, &other, &scene->err), 0);
    uint16_t port = port_of(other.items[0].fd);
    bind_unix(scene);
    bind_tcp(scene, "taken", "127.0.0.1", port);
    assert_int_equal(prepare(scene, &change), -EADDRINUSE);
    assert_non_null(strstr(scene->err.text, "cannot listen on taken: the port is in use"));
    assert_int_equal(count_open(&scene->set), N_SLOTS);
    assert_int_equal(access(scene->path, F_OK), -1);
    listen_close(&other);
}

/* From one address to all of them and back, on one port: there is no moment without a listener. */
static void a_bind_moves_between_one_address_and_all(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    uint16_t port = port_of(scene->set.items[0].fd);
    scene->binds[0] = (struct setting_bind){
        .kind = SETTING_BIND_TCP, .text = "all", .host = "0.0.0.0", .port = port};
    change_to(scene, N_SLOTS);
    int client = connect_to(AF_INET, port);
    assert_true(client >= 0);
    (void)close(client);
    scene->binds[0].text = "one";
    scene->binds[0].host = "127.0.0.1";
    change_to(scene, N_SLOTS);
    client = connect_to(AF_INET, port);
    assert_true(client >= 0);
    (void)close(client);
    assert_int_equal(count_open(&scene->set), N_SLOTS);
}

/* Connects N_CLIENTS times, sends an octet each, tells that it has, and looks at all of them when
 * the other side has closed its end. Exit code: 0 nobody was reset, 1 somebody was. */
#define N_CLIENTS 400

static void client_main(uint16_t port, int talk_fd)
{
    static int clients[N_CLIENTS];
    char octet;
    int n_reset = 0;
    for (int i = 0; i < N_CLIENTS; i++) {
        clients[i] = connect_to(AF_INET, port);
        n_reset += clients[i] < 0 || send(clients[i], "x", 1, MSG_NOSIGNAL) != 1;
    }
    if (write(talk_fd, "", 1) != 1 || read(talk_fd, &octet, 1) != 0)
        _exit(2);
    for (int i = 0; i < N_CLIENTS; i++)
        n_reset +=
            clients[i] >= 0 && recv(clients[i], &octet, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN;
    _exit(n_reset > 0);
}

static pid_t start_clients(uint16_t port, int *out_talk_fd)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        assert_int_equal(fd_set_nonblock(ends[1], false), 0);
        client_main(port, ends[1]);
    }
    (void)close(ends[1]);
    *out_talk_fd = ends[0];
    return pid;
}

/* As many descriptors as are open, and `more`. */
static void limit_descriptors(struct rlimit *out_before, rlim_t more)
{
    int lowest_free = dup(STDERR_FILENO);
    assert_true(lowest_free >= 0 && getrlimit(RLIMIT_NOFILE, out_before) == 0);
    (void)close(lowest_free);
    struct rlimit limit = {(rlim_t)lowest_free + more, out_before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Sockets of a group that had listened for a moment would have taken connections with them. */
static void slots_that_find_no_descriptors_cost_no_connection(void **state)
{
    struct scene *scene = *state;
    struct listen_change change;
    struct rlimit before;
    int talk_fd, status, n_tries = 0;
    char octet;
    scene->settings.backlog = 4 * N_CLIENTS;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    pid_t pid = start_clients(port_of(scene->set.items[0].fd), &talk_fd);
    limit_descriptors(&before, 32);
    for (; recv(talk_fd, &octet, 1, 0) < 0 && errno == EAGAIN; n_tries++) {
        assert_int_equal(prepare(scene, &change), 0);
        assert_int_equal(listen_commit(&scene->set, &change, N_SLOTS + 40, &scene->err), -EMFILE);
        assert_int_equal(count_open(&scene->set), N_SLOTS);
        assert_int_equal(scene->set.n_slots, N_SLOTS);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)close(talk_fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(n_tries > 0);
    assert_int_equal(status, 0);
}

static void one_more_slot_is_opened_once(void **state)
{
    struct scene *scene = *state;
    bind_tcp(scene, "127.0.0.1:0", "127.0.0.1", 0);
    assert_int_equal(open_all(scene), 0);
    assert_int_equal(listen_open_slot(&scene->set, N_SLOTS + 1, &scene->err), 0);
    assert_int_equal(listen_open_slot(&scene->set, N_SLOTS + 1, &scene->err), 0);
    assert_int_equal(count_open(&scene->set), N_SLOTS + 1);
    assert_int_equal(port_of(scene->set.items[N_SLOTS].fd), port_of(scene->set.items[0].fd));
    assert_int_equal(scene->set.items[N_SLOTS].slot, N_SLOTS + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_slot_gets_a_socket_on_the_same_port),
        TEST(connections_reach_every_slot),
        TEST(a_port_in_use_is_an_error_that_names_it),
        TEST(a_failure_leaves_no_earlier_bind_behind),
        TEST(a_port_is_free_again_after_close),
        TEST(the_wildcard_of_ipv6_serves_ipv4_too),
        TEST(both_wildcards_share_a_port_when_both_are_named),
        TEST(a_unix_socket_is_one_for_all_and_goes_with_the_stop),
        TEST(the_umask_is_for_the_socket_file_only),
        TEST(a_stale_unix_socket_is_replaced),
        TEST(a_file_that_is_anothers_by_now_stays),
        TEST(a_live_unix_socket_is_an_error),
        TEST(a_file_that_is_no_socket_is_left_alone),
        TEST(before_a_stop_old_connections_arrive_and_new_ones_do_not),
        TEST(an_unknown_name_is_told),
        TEST(what_stays_keeps_its_sockets_and_ids),
        TEST(an_added_bind_is_reachable_only_after_the_commit),
        TEST(a_bind_that_leaves_is_closed_and_its_ids_are_used_again),
        TEST(a_bind_that_is_taken_changes_nothing),
        TEST(a_bind_moves_between_one_address_and_all),
        TEST(slots_that_find_no_descriptors_cost_no_connection),
        TEST(one_more_slot_is_opened_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
