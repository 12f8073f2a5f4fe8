/* The control socket in bad company: nobody who may connect can hurt the server, and whoever may
 * not is told so. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#undef fork

#define STATUS "{\"request\":\"status\"}"
#define CROWD 200

static void two_hundred_clients_at_once_are_all_answered(void **state)
{
    (void)state;
    static int fds[CROWD];
    static char line[65536];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    size_t before = procs_fd_count(s->pid);
    size_t n = 0;
    for (size_t i = 0; i < CROWD; i++) {
        fds[i] = control_connect(control_socket(s));
        if (fds[i] == -EAGAIN) /* the queue is full: as many as there is room for */
            break;
        CHECK(fds[i] >= 0);
        control_send(fds[i], STATUS "\n");
        n++;
    }
    CHECK(n > 100);
    for (size_t i = 0; i < n; i++) {
        CHECK(control_read_line(fds[i], line, sizeof line) > 0);
        CHECK_HAS(line, "\"ok\":true");
        CHECK(close(fds[i]) == 0);
    }
    free(client_get(s, "/", 200));
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(s->pid) > before)
        CHECK(patience_turn(deadline));
}

static void garbage_gets_a_line_that_says_so(void **state)
{
    (void)state;
    static char line[65536];
    static const char *const garbage[] = {
        "\n",       "GET / HTTP/1.1\r\n",          "\x01\xff\xfe\n",
        "[[[[[[\n", "{\"request\":\"\\ud800\"}\n", "null\n"};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        int fd = control_connect(control_socket(s));
        control_send(fd, garbage[i]);
        CHECK(control_read_line(fd, line, sizeof line) > 0);
        CHECK_HAS(line, "\"ok\":false");
        (void)close(fd);
    }
    int fd = control_connect(control_socket(s));
    memset(line, 'x', 8192);
    line[8192] = '\0';
    (void)send(fd, line, 8192, MSG_NOSIGNAL);
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_HAS(line, "at most 4096 bytes");
    CHECK_EQ(control_read_line(fd, line, sizeof line), -1);
    (void)close(fd);
    free(control_ask(s, STATUS));
}

/* Sends requests and takes no answer until the server takes no more. */
static int fill_up(const struct server *s)
{
    int fd = control_connect(control_socket(s));
    CHECK(fd >= 0);
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (int idle = 0; idle < 20;) {
        ssize_t n = send(fd, STATUS "\n", sizeof STATUS, MSG_DONTWAIT | MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        CHECK(n > 0 || errno == EAGAIN);
        CHECK(n > 0 || patience_turn(deadline));
    }
    return fd;
}

static void wait_closed(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLHUP};
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (poll(&look, 1, 0) >= 0 && !(look.revents & (POLLHUP | POLLERR)))
        CHECK_SAYING(patience_turn(deadline), "a client that owes something is never closed");
    (void)close(fd);
}

/* All places taken by those who do nothing: they are closed after a while, and whoever waits behind
 * them gets an answer. The web is served all the time. */
static void who_does_nothing_blocks_nobody(void **state)
{
    (void)state;
    enum { PLACES = 16 };
    int fds[PLACES];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    fds[0] = fill_up(s);
    for (size_t i = 1; i < PLACES; i++) {
        fds[i] = control_connect(control_socket(s));
        CHECK(fds[i] >= 0);
        control_send(fds[i], i % 2 ? "{\"request\":" : "");
    }
    free(client_get(s, "/", 200));
    free(control_ask(s, STATUS));
    free(client_get(s, "/", 200));
    for (size_t i = 0; i < PLACES; i++)
        wait_closed(fds[i]);
}

static void who_leaves_in_the_middle_leaves_nothing_behind(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    size_t before = procs_fd_count(s->pid);
    for (int i = 0; i < 50; i++) {
        int fd = control_connect(control_socket(s));
        CHECK(fd >= 0);
        control_send(fd, i % 3 == 0 ? "{\"requ" : i % 3 == 1 ? STATUS "\n" : STATUS "\n" STATUS);
        (void)close(fd);
    }
    (void)close(fill_up(s));
    free(control_ask(s, STATUS));
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (procs_fd_count(s->pid) > before)
        CHECK(patience_turn(deadline));
}

/* What somebody else sees, in a process of its own. Returns its exit code */
_Noreturn static void be_another_user(const char *path, bool is_open)
{
    char line[4096] = "";
    if (setresuid(65534, 65534, 65534) != 0)
        _exit(9);
    int fd = control_connect(path);
    if (fd < 0)
        _exit(!is_open && fd == -EACCES ? 0 : 1);
    ssize_t n = recv(fd, line, sizeof line - 1, MSG_WAITALL); /* up to its end */
    _exit(is_open && n > 0 && strstr(line, "user 65534 may not") && strstr(line, "\"ok\":false") &&
                  line[n - 1] == '\n'
              ? 0
              : 2);
}

/* Another user, also on a socket whose mode somebody has changed: told who may, and closed. */
static void another_user_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* nobody else to be */
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    char path[128];
    (void)snprintf(path, sizeof path, "%s", control_socket(s));
    for (int is_open = 0; is_open < 2; is_open++) {
        CHECK(!is_open || chmod(path, 0666) == 0);
        (void)fflush(NULL);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            be_another_user(path, is_open);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_EQ(status, 0);
    }
    (void)server_wait_log(s, "control client refused");
}

/* ---- The path ---- */

static struct server *start_in(struct server *s, const char *path)
{
    const char *args[] = {"run", REMUDA_DEMO_SO,     "--bind", "127.0.0.1:0", "--workers",
                          "1",   "--control-socket", path,     NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static void the_socket_of_a_killed_server_is_replaced(void **state)
{
    (void)state;
    char path[128];
    struct server *dead = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)snprintf(path, sizeof path, "%s", control_socket(dead));
    dead->is_violent = true;
    server_signal(dead, SIGKILL);
    CHECK_EQ(server_wait_exit(dead), -SIGKILL);
    const char *args[] = {"status", "--control-socket", path, NULL};
    struct server *command = server_start(&(struct server_options){.args = args});
    CHECK_EQ(server_run(command), 5);
    CHECK_HAS(lines_text(&command->log), "left over from one that has died");
    struct server *next = start_in(server_new(), path);
    command = server_start(&(struct server_options){.args = args});
    CHECK_EQ(server_run(command), 0);
    CHECK_HAS_NOT(lines_text(&next->log), "no control socket");
}

/* Two servers want one path: the first keeps it, the second says whose it is, and serves. */
static void a_socket_in_use_is_not_taken(void **state)
{
    (void)state;
    char path[128], text[64];
    struct server *first = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)snprintf(path, sizeof path, "%s", control_socket(first));
    (void)snprintf(text, sizeof text, "the server with pid %d listens there", (int)first->pid);
    struct server *second = start_in(server_new(), path);
    CHECK_HAS(lines_text(&second->log), "no control socket");
    CHECK_HAS(lines_text(&second->log), text);
    free(client_get(second, "/", 200));
    server_signal(second, SIGTERM);
    CHECK_EQ(server_wait_exit(second), 0);
    char *answer = control_ask(first, STATUS);
    CHECK_EQ(control_number(answer, "pid"), first->pid);
    free(answer);
}

static void a_place_that_cannot_be_written_is_a_warning(void **state)
{
    (void)state;
    struct server *s = server_new();
    (void)server_write_file(s, "file", "not a socket");
    static const char *const names[] = {"file", "no/such/folder"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s", server_path(s, names[i]));
        struct server *other = start_in(server_new(), path);
        CHECK_HAS(lines_text(&other->log), "no control socket why=");
        free(client_get(other, "/", 200));
    }
    CHECK(access(server_path(s, "file"), F_OK) == 0);
    char deep[200];
    memset(deep, 'x', sizeof deep);
    (void)snprintf(deep + 150, 10, "%s", "");
    deep[0] = '/';
    struct server *other = start_in(server_new(), deep);
    CHECK_HAS(lines_text(&other->log), "at most 107 bytes");
}

static void a_stopped_master_is_said_to_be(void **state)
{
    (void)state;
    char path[128];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)snprintf(path, sizeof path, "%s", control_socket(s));
    server_signal(s, SIGSTOP);
    const char *args[] = {"status", "--control-socket", path, NULL};
    struct server *command = server_start(&(struct server_options){.args = args});
    CHECK_EQ(server_run(command), 1);
    CHECK_HAS(lines_text(&command->log), "is it stopped, or stuck?");
    server_signal(s, SIGCONT);
}

/* No memory for an answer costs the one who asked, and the next is answered. */
static void refused_memory_costs_one_client(void **state)
{
#ifndef REMUDA_DEBUG
    (void)state;
    skip(); /* fault points exist only in debug builds */
#else
    (void)state;
    static const char *const env[] = {"REMUDA_FAULT=control.answer:ENOMEM:1:1", NULL};
    static const char *const args[] = {
        "run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers", "1", NULL};
    char line[65536];
    struct server *s = server_start(&(struct server_options){.args = args, .env = env});
    server_wait_ready(s);
    free(control_ask(s, STATUS));
    int fd = control_connect(control_socket(s));
    control_send(fd, STATUS "\n");
    CHECK_EQ(control_read_line(fd, line, sizeof line), -1);
    (void)close(fd);
    (void)server_wait_log(s, "control client closed");
    free(control_ask(s, STATUS));
#endif
}

SERVER_MAIN(SERVER_TEST(two_hundred_clients_at_once_are_all_answered),
            SERVER_TEST(garbage_gets_a_line_that_says_so),
            SERVER_TEST(who_does_nothing_blocks_nobody),
            SERVER_TEST(who_leaves_in_the_middle_leaves_nothing_behind),
            SERVER_TEST(another_user_is_refused),
            SERVER_TEST(the_socket_of_a_killed_server_is_replaced),
            SERVER_TEST(a_socket_in_use_is_not_taken),
            SERVER_TEST(a_place_that_cannot_be_written_is_a_warning),
            SERVER_TEST(a_stopped_master_is_said_to_be),
            SERVER_TEST(refused_memory_costs_one_client))
