/* workers/sockets.c: what an idle sync worker is woken by, and by what not. */
#include "workers/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/harness/check.h"
#include "workers/accept.h"

static struct sockets sockets;
static int channel[2], signals[2];
static struct sockaddr_in address;

static int listen_somewhere(void)
{
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 10) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    return fd;
}

static int connect_to_it(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static int setup(void **state)
{
    (void)state;
    CHECK(pipe(channel) == 0 && pipe(signals) == 0);
    CHECK(sockets_init(&sockets, channel[0], signals[0]) == 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sockets_close(&sockets);
    for (int i = 0; i < 2; i++) {
        fd_close(&channel[i]);
        fd_close(&signals[i]);
    }
    return 0;
}

static void nobody_is_heard_before_it_is_open(void **state)
{
    (void)state;
    int fd = listen_somewhere();
    sockets_add(&sockets, fd, 7);
    int client = connect_to_it();
    CHECK(!sockets_has_waiting(&sockets));
    sockets_open(&sockets);
    CHECK(sockets_has_waiting(&sockets));
    CHECK_EQ(sockets.items[0].id, 7);
    fd_close(&client);
}

static void connections_are_told_from_channel_and_signals(void **state)
{
    (void)state;
    struct epoll_event events[SOCKETS_EVENTS_MAX];
    int fd = listen_somewhere();
    sockets_open(&sockets);
    sockets_add(&sockets, fd, 1);
    CHECK_EQ(sockets_wait(&sockets, 0, events), 0);
    CHECK(write(channel[1], "x", 1) == 1 && write(signals[1], "x", 1) == 1);
    CHECK_EQ(sockets_wait(&sockets, 0, events), 2);
    CHECK(!sockets_is_listener(&sockets, &events[0]) && !sockets_is_listener(&sockets, &events[1]));
    CHECK(!sockets_has_waiting(&sockets));
    int client = connect_to_it();
    CHECK(sockets_has_waiting(&sockets));
    fd_close(&client);
}

static void who_waits_is_taken_one_by_one(void **state)
{
    (void)state;
    struct sockaddr_storage from;
    int fd = listen_somewhere(), clients[2], taken;
    sockets_add(&sockets, fd, 1);
    sockets_open(&sockets);
    CHECK_EQ(accept_take(fd, &taken, &from), ACCEPT_EMPTY);
    for (int i = 0; i < 2; i++)
        clients[i] = connect_to_it();
    for (int i = 0; i < 2; i++) {
        CHECK(sockets_has_waiting(&sockets));
        CHECK_EQ(accept_take(fd, &taken, &from), ACCEPT_CLIENT);
        CHECK_EQ(from.ss_family, AF_INET);
        fd_close(&taken);
    }
    CHECK(!sockets_has_waiting(&sockets));
    CHECK_EQ(accept_take(fd, &taken, &from), ACCEPT_EMPTY);
    for (int i = 0; i < 2; i++)
        fd_close(&clients[i]);
}

/* Other workers have the same sockets: the end of our copy must be the end of our watch. */
static void what_is_removed_wakes_nobody_although_others_have_it(void **state)
{
    (void)state;
    int fd = listen_somewhere(), copy = dup(fd);
    CHECK(copy >= 0);
    sockets_add(&sockets, fd, 1);
    sockets_open(&sockets);
    int client = connect_to_it();
    CHECK(sockets_has_waiting(&sockets));
    sockets_remove_at(&sockets, 0);
    CHECK(!sockets_has_waiting(&sockets));
    CHECK_EQ(sockets.n, 0);
    fd_close(&client);
    fd_close(&copy);
}

static void the_inbox_wakes_and_is_no_listener(void **state)
{
    struct epoll_event events[SOCKETS_EVENTS_MAX];
    int inbox[2];
    (void)state;
    CHECK(pipe(inbox) == 0);
    sockets_open(&sockets);
    sockets_watch_inbox(&sockets, -1); /* none yet */
    sockets_watch_inbox(&sockets, inbox[0]);
    sockets_watch_inbox(&sockets, inbox[0]);
    CHECK_EQ(sockets_wait(&sockets, 0, events), 0);
    CHECK_EQ(write(inbox[1], "x", 1), 1);
    CHECK_EQ(sockets_wait(&sockets, 0, events), 1);
    CHECK_EQ(events[0].data.fd, inbox[0]);
    CHECK(!sockets_is_listener(&sockets, &events[0]) && !sockets_has_waiting(&sockets));
    for (int i = 0; i < 2; i++)
        fd_close(&inbox[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(nobody_is_heard_before_it_is_open),
        TEST(connections_are_told_from_channel_and_signals),
        TEST(the_inbox_wakes_and_is_no_listener),
        TEST(who_waits_is_taken_one_by_one),
        TEST(what_is_removed_wakes_nobody_although_others_have_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
