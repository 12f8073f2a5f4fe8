/* A worker at worker_connections accepts no more: idle connections make room, its neighbour covers
 * its slot, and when all are full, who comes waits until somebody leaves. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/client.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"
#define BODIES_SO REMUDA_TEST_APPS_DIR "/bodies.so"
#define LIMIT 8

static struct reply r;

/* A connection that is in use for as long as the client keeps it: its answer never ends. */
static struct client *open_busy(struct server *s)
{
    struct client *c = client_to(s);
    client_send_text(c, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    return c;
}

static void check_is_served(struct client *c)
{
    client_read_head(c, &r);
    CHECK_EQ(r.status, 200);
}

/* As many as both workers can hold together, wherever the kernel puts them: each must be served by
 * one that has room. */
static void neighbour_takes_what_is_over(void **state)
{
    (void)state;
    struct server *s = server_start_app(PROBE_SO, "--set", "worker_connections=8", NULL);
    for (int round = 0; round < 5; round++) {
        struct client *clients[2 * LIMIT];
        for (int i = 0; i < 2 * LIMIT; i++) {
            clients[i] = open_busy(s);
            check_is_served(clients[i]);
        }
        for (int i = 0; i < 2 * LIMIT; i++)
            client_close(clients[i]);
    }
}

static void limit_holds_and_who_waits_is_served_when_others_leave(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "worker_connections=8", NULL);
    struct client *clients[LIMIT], *late[LIMIT];
    pid_t pid = server_worker_pid(s, 0);
    size_t before = procs_fd_count(pid);
    for (int i = 0; i < LIMIT; i++) {
        clients[i] = open_busy(s);
        check_is_served(clients[i]);
    }
    for (int i = 0; i < LIMIT; i++)
        late[i] = open_busy(s);
    (void)server_wait_log_text(s, "worker is full");
    CHECK(procs_fd_count(pid) <= before + LIMIT);
    for (int i = 0; i < LIMIT; i++)
        CHECK(client_is_quiet(late[i]));
    for (int i = 0; i < LIMIT; i++)
        client_close(clients[i]);
    for (int i = 0; i < LIMIT; i++)
        check_is_served(late[i]);
}

static void connection_that_was_idle_longest_makes_room(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "worker_connections=8", NULL);
    struct client *idle[LIMIT];
    for (int i = 0; i < LIMIT; i++) {
        idle[i] = client_to(s);
        client_exchange(idle[i], &r, "GET /counts HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(r.status, 200);
    }
    struct client *c = open_busy(s);
    check_is_served(c);
    client_expect_close(idle[0]);
    for (int i = 1; i < LIMIT; i++) {
        client_exchange(idle[i], &r, "GET /counts HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_EQ(r.status, 200);
    }
}

/* All idle ones go before anybody has to wait, oldest first; one that is in use stays. And it is
 * said once, however often the worker is full again. */
static void idle_connections_go_first_and_it_is_said_once(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "worker_connections=8", NULL);
    struct client *idle[LIMIT - 1], *busy[LIMIT], *first = open_busy(s);
    check_is_served(first);
    for (int i = 0; i < LIMIT - 1; i++) {
        idle[i] = client_to(s);
        client_exchange(idle[i], &r, "GET /counts HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < LIMIT - 1; i++) {
        busy[i] = open_busy(s);
        check_is_served(busy[i]);
        client_expect_close(idle[i]);
    }
    CHECK(client_is_quiet(first) || first->in.len > 0); /* chunks may have come, no end */
    for (int round = 0; round < 20; round++) {
        int i = round % (LIMIT - 1), k = (round + 1) % (LIMIT - 1);
        struct client *late[] = {open_busy(s), open_busy(s)};
        client_close(busy[i]);
        client_close(busy[k]);
        check_is_served(busy[i] = late[0]);
        check_is_served(busy[k] = late[1]);
    }
    (void)lines_take(&s->log);
    CHECK_EQ(lines_count(&s->log, "worker is full: it accepts no more until connections close"), 1);
}

/* Full of connections in use, a worker stops accepting; when one of them is idle later, it makes
 * room for who waits, long before its own keepalive ends. */
static void connection_that_becomes_idle_makes_room(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(BODIES_SO, "--workers", "1", "--set", "worker_connections=8", NULL);
    char request[400];
    struct client *held[LIMIT];
    (void)snprintf(request, sizeof request, "GET /hold?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    for (int i = 0; i < LIMIT; i++) {
        held[i] = client_to(s);
        client_send_text(held[i], request);
        (void)server_wait_log(s, "holds");
    }
    struct client *late = client_to(s);
    client_send_text(late, "GET /back HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)server_wait_log_text(s, "worker is full");
    CHECK(client_is_quiet(late));
    (void)server_write_file(s, "go", "");
    for (int i = 0; i < LIMIT; i++) {
        client_read(held[i], &r, false);
        CHECK_EQ(r.status, 200);
    }
    client_read(late, &r, false);
    CHECK_EQ(r.status, 200);
}

static void one_connection_at_a_time(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(PROBE_SO, "--workers", "1", "--set", "worker_connections=1", NULL);
    for (int i = 0; i < 50; i++)
        free(client_get(s, "/counts", 200));
}

SERVER_MAIN(SERVER_TEST(neighbour_takes_what_is_over),
            SERVER_TEST(limit_holds_and_who_waits_is_served_when_others_leave),
            SERVER_TEST(connection_that_was_idle_longest_makes_room),
            SERVER_TEST(idle_connections_go_first_and_it_is_said_once),
            SERVER_TEST(connection_that_becomes_idle_makes_room),
            SERVER_TEST(one_connection_at_a_time))
