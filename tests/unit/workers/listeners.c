/* workers/listeners.c: when a socket that is given up is closed, in a worker that is full. */
#include "workers/listeners.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ev.h>

#include "base/err.h"
#include "base/fd.h"
#include "tests/harness/check.h"
#include "tests/harness/patience.h"

static struct {
    struct settings settings;
    struct seat_head head;
    struct web web;
    struct clients clients;
    struct listeners all;
    struct ev_loop *loop;
    struct router *router;
    enum msg_full told;
    struct sockaddr_in addresses[2]; /* of the sockets with ids 0 and 1 */
    int copies[2];                   /* what another worker has of them */
    int first;                       /* whoever the worker is full of */
} room;

static void on_closed(void)
{
    listeners_on_client_closed(&room.all);
}

static void on_idle(void)
{
    listeners_on_client_idle(&room.all);
}

static void on_full(enum msg_full how)
{
    room.told = how;
}

static void on_empty(void)
{
}

static void listen_somewhere(int id)
{
    socklen_t len = sizeof room.addresses[0];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr *address = (struct sockaddr *)&room.addresses[id];
    room.addresses[id] =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(fd, address, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, address, &len) == 0);
    room.copies[id] = dup(fd);
    CHECK(room.copies[id] >= 0);
    listeners_add(&room.all, fd, id);
}

static int connect_to(int id)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&room.addresses[id], sizeof room.addresses[id]) == 0);
    return fd;
}

#define RUN_UNTIL(condition)                                                                       \
    for (uint64_t deadline = patience_until(PATIENCE_MS); !(condition);) {                         \
        CHECK_SAYING(patience_turn(deadline), "not " #condition);                                  \
        ev_run(room.loop, EVRUN_NOWAIT);                                                           \
    }

/* With two sockets, and room for one client, who is there and has sent nothing. */
static int setup(void **state)
{
    static const rmd_route routes[] = {{0}};
    static const struct http_limits limits = LIMITS_DEFAULT;
    static const struct conn_hooks hooks = {0};
    struct err err;
    (void)state;
    memset(&room, 0, sizeof room);
    room.settings.header_timeout_us = room.settings.keepalive_us = 3600000000;
    room.web.settings = &room.settings;
    room.web.part.head = &room.head;
    room.loop = ev_loop_new(EVBACKEND_EPOLL);
    CHECK(room.loop != NULL);
    CHECK(router_new(&(rmd_app){.routes = routes}, 16, &room.router, &err) == 0);
    CHECK(conn_env_init(&room.web.env, &limits, room.router, &hooks, &room.web, 4096) == 0);
    room.web.env.now_us = 1000000;
    CHECK(deferred_open(&room.web.box) == 0);
    CHECK(client_init(&room.clients, room.loop, &room.web, on_closed, on_idle) == 0);
    CHECK(listeners_init(&room.all, &room.clients, 1, on_full, on_empty) == 0);
    for (int id = 0; id < 2; id++)
        listen_somewhere(id);
    listeners_open(&room.all);
    room.first = connect_to(0);
    RUN_UNTIL(room.clients.n == 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    listeners_close(&room.all);
    client_close_all(&room.clients, "test");
    fd_close(&room.first);
    for (int id = 0; id < 2; id++)
        fd_close(&room.copies[id]);
    conn_env_fini(&room.web.env);
    router_free(room.router);
    ev_loop_destroy(room.loop);
    deferred_close(&room.web.box);
    return 0;
}

static void full_worker_closes_what_is_given_up_when_nobody_waits_there(void **state)
{
    (void)state;
    listeners_retire(&room.all, 1);
    RUN_UNTIL(room.all.n == 1);
    CHECK_EQ(room.clients.n, 1);
}

static void who_waits_there_is_taken_when_there_is_room(void **state)
{
    (void)state;
    int late = connect_to(1);
    RUN_UNTIL(room.told == MSG_FULL_CONNECTIONS);
    listeners_retire(&room.all, 1);
    RUN_UNTIL(!ev_is_active(room.all.last_look));
    CHECK_EQ(room.all.n, 2);
    fd_close(&room.first);
    RUN_UNTIL(room.all.n == 1);
    CHECK_EQ(room.clients.n, 1);
    fd_close(&late);
    RUN_UNTIL(room.clients.n == 0);
}

/* Then no event tells that the queue is empty. */
static void who_waits_there_is_taken_by_another_worker(void **state)
{
    (void)state;
    int late = connect_to(1);
    RUN_UNTIL(room.told == MSG_FULL_CONNECTIONS);
    listeners_retire(&room.all, 1);
    RUN_UNTIL(!ev_is_active(room.all.last_look));
    int taken = accept(room.copies[1], NULL, NULL);
    CHECK(taken >= 0);
    fd_close(&room.first);
    RUN_UNTIL(room.all.n == 1);
    CHECK_EQ(room.clients.n, 0);
    fd_close(&taken);
    fd_close(&late);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(full_worker_closes_what_is_given_up_when_nobody_waits_there),
        TEST(who_waits_there_is_taken_when_there_is_room),
        TEST(who_waits_there_is_taken_by_another_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
