/* The real binary, started by a test: in a folder of its own, on ports that the kernel chooses, its
 * output caught. Nothing outlives the test: the server gets SIGKILL when the test program dies, and
 * server_teardown() fails a test whose server does not stop in an orderly way or leaves a process
 * or a listening socket behind. */
#ifndef REMUDA_TESTS_HARNESS_SERVER_H
#define REMUDA_TESTS_HARNESS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tests/harness/check.h"
#include "tests/harness/lines.h"

#define SERVER_ADDRESSES_MAX 8
#define SERVER_LISTENERS_MAX 64

struct server_options {
    const char *const *args;  /* behind the program's name, NULL-terminated */
    const char *const *env;   /* "NAME=value", NULL-terminated; NULL: none */
    const char *folder;       /* where it runs; NULL: its own */
    const char *program;      /* another than the build's, such as a copy that a test replaces */
    void (*prepare)(void *p); /* in the new process, before exec: limits, namespaces; NULL: none */
    void *prepare_arg;
    const int *sockets; /* passed as systemd does: descriptors from 3 on; NULL: none */
    size_t n_sockets;
    bool is_unread; /* nobody reads its standard error once it is ready: a pipe of the usual size */
};

struct server {
    pid_t pid;        /* 0: has ended and was reaped */
    int wait_status;  /* of waitpid(2), valid then */
    bool is_violent;  /* set by tests that kill or crash: deaths in the log are no failure then */
    char folder[64];  /* its own, gone after the test */
    struct lines out; /* standard output */
    struct lines log; /* standard error */
    char addresses[SERVER_ADDRESSES_MAX][160]; /* of its `listening` lines, in order */
    size_t n_addresses;
    unsigned long inodes[SERVER_LISTENERS_MAX]; /* of its TCP listeners */
    size_t n_inodes;
};

/* A test that starts servers of its own. */
#define SERVER_TEST(function) cmocka_unit_test_teardown(function, server_teardown)
#define SERVER_MAIN(...)                                                                           \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct CMUnitTest tests[] = {__VA_ARGS__};                                    \
        server_choose_tests();                                                                     \
        return cmocka_run_group_tests(tests, server_setup_group, NULL);                            \
    }
/* Tests that share one server, which a function of the test file starts after
 * server_setup_group(). */
#define SERVER_SHARED_TEST(function) cmocka_unit_test_teardown(function, server_teardown_clients)
#define SERVER_SHARED_MAIN(start, ...)                                                             \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct CMUnitTest tests[] = {__VA_ARGS__};                                    \
        server_choose_tests();                                                                     \
        return cmocka_run_group_tests(tests, start, server_teardown);                              \
    }

/* REMUDA_TEST_FILTER="*pattern*" in the environment runs only tests with such names;
 * REMUDA_TEST_CLASS=sync serves with workers of that class where a test asks for none. */
void server_choose_tests(void);

/* Group set-up: adopts orphans, prints logs behind failures. Returns 0 */
int server_setup_group(void **state);

/* Closes connections that a test left open. Returns 0 */
int server_teardown_clients(void **state);

/* Servers started from now on by this test program crash as they would without sanitizers, which
 * else turn a signal into an exit. */
void server_let_crash(void);

/* Stops all servers of a test with TERM and looks for what is left. Returns 0; -1 fails the test */
int server_teardown(void **state);

/* Starts the binary. Fails the test when that is impossible; never returns NULL. */
struct server *server_start(const struct server_options *options);

/* Starts `remuda` with the arguments given, without waiting for anything; the last is NULL. */
struct server *server_start_args(const char *first, ...) __attribute__((sentinel));

/* Serves an app (path of its .so) on 127.0.0.1, port 0, with two workers and whatever arguments
 * follow (the last is NULL; a later --workers wins), and waits until it is ready. */
struct server *server_start_app(const char *app, ...) __attribute__((sentinel));

/* Starts it again, after it has ended, in the same folder, with the arguments given (the last is
 * NULL), and waits until it is ready. Its log begins anew. */
void server_relaunch(struct server *s, const char *first, ...) __attribute__((sentinel));

/* Runs a command to its end, and reads all its output. Returns its exit code; -N: signal N */
int server_run(struct server *s);

/* Waits for `ready` and learns the addresses. */
void server_wait_ready(struct server *s);

/* Waits for an event of the log; fails the test when it doesn't come. See lines_wait(). */
const char *server_wait_log(struct server *s, const char *event);
const char *server_wait_log_text(struct server *s, const char *text);

/* Puts the search of server_wait_log() behind everything that was logged so far. */
void server_skip_log(struct server *s);

/* Its address i: "http://127.0.0.1:4711", "unix:/path". */
const char *server_address(const struct server *s, size_t i);
unsigned server_port(const struct server *s, size_t i);

/* Pid of the worker that was last reported ready in a slot; 0: none was. */
pid_t server_worker_pid(struct server *s, int slot);

/* Processes below a master: loaders and web workers. Compute workers are not counted, for how many
 * there are follows from the machine, where a test does not say it. */
size_t server_count_processes(pid_t master);

/* Waits until there are so many. */
void server_wait_processes(struct server *s, size_t n);

/* What a pid file says; fails the test when there is none. */
pid_t server_read_pid(const char *path);

/* Sends a signal to the master. */
void server_signal(struct server *s, int signal);

/* Waits until the master has ended. Returns its exit code; -N: signal N */
int server_wait_exit(struct server *s);

/* Pid of the master that was started last, by an upgrade; fails the test when there was none. */
pid_t server_new_master(struct server *s);

/* As server_wait_exit(), for a master that has a successor: that one is the server from now on. */
int server_wait_succession(struct server *s);

/* Fails the test unless, within a deadline, no process of this server lives and nothing listens on
 * its addresses. Call after server_wait_exit(); orderly: a unix socket's file must be gone, too. */
void server_check_gone(struct server *s, bool is_orderly);

/* A path inside the server's folder; static text, valid for four further calls. */
const char *server_path(const struct server *s, const char *name);

/* Writes a file into the server's folder and returns its path, as server_path(). */
const char *server_write_file(const struct server *s, const char *name, const char *text);

/* A server that isn't started yet: makes only its folder, so that files can be put there first.
 * server_launch() then starts it. */
struct server *server_new(void);
void server_launch(struct server *s, const struct server_options *options);

#endif
