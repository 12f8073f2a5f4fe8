/* What the master sends with a descriptor reaches a process that may open no more of them, as with
 * an app that leaks: the process goes on, says so, and gets it when there is room again. Nobody
 * dies of it, and others do meanwhile what it can't. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define SHORT "worker may open no more descriptors: it accepts again when some are closed"
#define NOT_YET "log not reopened yet: this process may open no more descriptors"
#define ASK "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HELD 8

static struct reply r;

/* Standard streams are all that there is room for: whatever is asked for is refused. */
static void allow_no_more_descriptors(pid_t pid, struct rlimit *out_before)
{
    CHECK(prlimit(pid, RLIMIT_NOFILE, NULL, out_before) == 0);
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = out_before->rlim_max};
    CHECK(prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

static void allow_again(pid_t pid, const struct rlimit *before)
{
    CHECK(prlimit(pid, RLIMIT_NOFILE, before, NULL) == 0);
}

static pid_t loader_pid(struct server *s)
{
    const char *line = lines_find_last(&s->log, "loader ready");
    CHECK(line != NULL);
    return (pid_t)lines_number(line, "pid");
}

static void ask(struct client *c)
{
    client_exchange(c, &r, ASK);
    CHECK_EQ(r.status, 200);
}

static void hold_some(struct server *s, struct client *held[HELD])
{
    for (int i = 0; i < HELD; i++)
        ask(held[i] = client_to(s));
}

static void check_all_are_held(struct client *held[HELD])
{
    for (int i = 0; i < HELD; i++)
        ask(held[i]);
}

/* The kernel spreads them over all slots: every single one must be answered. */
static void check_everybody_is_served(struct server *s)
{
    enum { COUNT = 40 };
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_to(s);
        client_send_text(clients[i], "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_close(clients[i]);
    }
}

/* Its neighbour is stopped, so it is asked to cover, and can't take the socket; once it can, it
 * has it. Those that it holds never notice. */
static void cover_that_can_not_be_taken_costs_nobody(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    struct client *held[HELD];
    struct rlimit before;
    pid_t pid = server_worker_pid(s, 0), stopped = server_worker_pid(s, 1);
    s->is_violent = true;
    hold_some(s, held);
    allow_no_more_descriptors(pid, &before);
    CHECK(kill(stopped, SIGSTOP) == 0);
    CHECK_HAS(server_wait_log_text(s, SHORT), "limit_nofile=3");
    allow_again(pid, &before);
    check_everybody_is_served(s);
    CHECK_EQ(procs_state(stopped), 'T');
    CHECK(kill(stopped, SIGCONT) == 0);
    check_all_are_held(held);
    CHECK_EQ(server_worker_pid(s, 0), pid);
    (void)lines_take(&s->log);
    CHECK_EQ(lines_count(&s->log, SHORT), 1);
}

/* One is stopped and one may open nothing more: the third accepts for both. */
static void another_covers_for_one_that_can_not(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "3", NULL);
    struct client *held[HELD];
    struct rlimit before;
    pid_t pid = server_worker_pid(s, 2), stopped = server_worker_pid(s, 1);
    s->is_violent = true;
    hold_some(s, held);
    allow_no_more_descriptors(pid, &before); /* the first to be asked: the slot behind */
    CHECK(kill(stopped, SIGSTOP) == 0);
    (void)server_wait_log_text(s, SHORT);
    check_everybody_is_served(s);
    allow_again(pid, &before);
    CHECK(kill(stopped, SIGCONT) == 0);
    check_all_are_held(held);
    CHECK_EQ(server_worker_pid(s, 2), pid);
}

/* More than one worker takes at a time. */
static void ask_many(struct server *s)
{
    enum { COUNT = 16 };
    struct client *clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client_open(server_address(s, (size_t)i % s->n_addresses));
        client_send_text(clients[i], "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < COUNT; i++) {
        client_read(clients[i], &r, false);
        CHECK_EQ(r.status, 200);
        client_close(clients[i]);
    }
}

/* While it is short its neighbour looks after a socket that both have, and it closes its copy. If
 * epoll goes on to tell of that, libev wants another instance, which it may not have: that depends
 * on what comes first, so it is tried until it happens. */
static void socket_given_up_meanwhile_costs_nobody(void **state)
{
    (void)state;
    char bind[256];
    struct server *s = server_new();
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "socket"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--bind",
                          bind,  "--workers",    "2",      NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    struct client *held[HELD];
    struct rlimit before;
    pid_t pid = server_worker_pid(s, 0);
    const size_t n_epolls = procs_fd_count_like(pid, "[eventpoll]"); /* libev's is one of them */
    uint64_t end = patience_until(PATIENCE_MS);
    hold_some(s, held);
    for (size_t n = procs_fd_count_like(pid, "socket:");; allow_again(pid, &before)) {
        do
            CHECK(patience_turn(end)); /* it gets back what it gave up */
        while (procs_fd_count_like(pid, "socket:") < n);
        allow_no_more_descriptors(pid, &before);
        uint64_t soon = patience_until(50);
        ask_many(s);
        while (procs_fd_count_like(pid, "[eventpoll]") == n_epolls && patience_turn(soon))
            ask_many(s);
        if (procs_fd_count_like(pid, "[eventpoll]") < n_epolls)
            break;
    }
    allow_again(pid, &before);
    check_everybody_is_served(s);
    check_all_are_held(held);
    (void)lines_take(&s->log);
    CHECK_EQ(server_worker_pid(s, 0), pid);
}

static void sync_worker_gets_its_sockets_later(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", "--set",
                                        "worker_class=sync", "--set", "keepalive=0", NULL);
    struct rlimit before;
    pid_t pid = server_worker_pid(s, 0), others[2] = {server_worker_pid(s, 1)};
    s->is_violent = true;
    allow_no_more_descriptors(pid, &before);
    server_signal(s, SIGTTIN); /* a slot more, whose socket all of them watch */
    (void)server_wait_log_text(s, SHORT);
    if (!lines_find_last(&s->log, "worker ready slot=2"))
        (void)server_wait_log(s, "worker ready slot=2");
    others[1] = server_worker_pid(s, 2);
    allow_again(pid, &before);
    for (int i = 0; i < 2; i++)
        CHECK(kill(others[i], SIGSTOP) == 0);
    check_everybody_is_served(s);
    for (int i = 0; i < 2; i++)
        CHECK(kill(others[i], SIGCONT) == 0);
    CHECK_EQ(server_worker_pid(s, 0), pid);
}

static void log_files_that_can_not_be_taken_are_taken_later(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--set", "accesslog=access.log", NULL);
    struct rlimit before, loaders;
    pid_t pid = server_worker_pid(s, 0), loader = loader_pid(s);
    allow_no_more_descriptors(pid, &before);
    allow_no_more_descriptors(loader, &loaders);
    CHECK(rename(server_path(s, "access.log"), server_path(s, "access.log.1")) == 0);
    server_signal(s, SIGUSR1);
    for (int i = 0; i < 2; i++)
        CHECK_HAS(server_wait_log_text(s, NOT_YET), "limit_nofile=3");
    CHECK_EQ(procs_fd_count_like(pid, "/access.log.1"), 1);
    allow_again(pid, &before);
    allow_again(loader, &loaders);
    (void)server_wait_log(s, "logs reopened");
    CHECK_EQ(procs_fd_count_like(pid, "/access.log.1"), 0);
    CHECK_EQ(procs_fd_count_like(loader, "/access.log.1"), 0);
    free(client_get(s, "/", 200));
    CHECK(procs_is_alive(loader));
    CHECK_EQ(server_worker_pid(s, 0), pid);
    CHECK_EQ(lines_count(&s->log, NOT_YET), 2);
}

/* The channel of a worker that it shall fork comes with the order. */
static void loader_forks_later(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "2", NULL);
    struct rlimit before;
    pid_t victim = server_worker_pid(s, 0), loader = loader_pid(s);
    s->is_violent = true;
    server_skip_log(s);
    allow_no_more_descriptors(loader, &before);
    CHECK(kill(victim, SIGKILL) == 0);
    CHECK_HAS(server_wait_log(s, "fork refused"), "Too many open files");
    check_everybody_is_served(s);
    allow_again(loader, &before);
    (void)server_wait_log(s, "worker ready slot=0");
    CHECK_EQ(loader_pid(s), loader);
}

SERVER_MAIN(SERVER_TEST(cover_that_can_not_be_taken_costs_nobody),
            SERVER_TEST(another_covers_for_one_that_can_not),
            SERVER_TEST(socket_given_up_meanwhile_costs_nobody),
            SERVER_TEST(sync_worker_gets_its_sockets_later),
            SERVER_TEST(log_files_that_can_not_be_taken_are_taken_later),
            SERVER_TEST(loader_forks_later))
