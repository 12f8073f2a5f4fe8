/* USR2: the program's file is started anew beside the running server, with its sockets. Each test
 * sees to it that no client notices, whatever becomes of the new one. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define CLIENTS 8
#define YAML "bind: 127.0.0.1:0\nworkers: 2\npidfile: run.pid\n"

static void copy_file(const char *from, const char *to)
{
    static char block[65536];
    (void)unlink(to); /* as package managers do: another file of the same name */
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n = read(in, block, sizeof block); n > 0; n = read(in, block, sizeof block))
        CHECK(write(out, block, (size_t)n) == n);
    (void)close(in);
    (void)close(out);
}

static void write_program(const char *path, const char *text)
{
    (void)unlink(path);
    FILE *file = fopen(path, "we");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK(chmod(path, 0755) == 0);
}

/* Serves by the file remuda.yaml in the folder of a server that isn't started yet. */
static struct server *launch(struct server *s, const char *app, const char *yaml,
                             struct server_options options)
{
    const char *args[] = {"run", "-c", server_write_file(s, "remuda.yaml", yaml), app, NULL};
    options.args = args;
    server_launch(s, &options);
    server_wait_ready(s);
    return s;
}

static struct server *start(const char *app, const char *yaml)
{
    return launch(server_new(), app, yaml, (struct server_options){0});
}

static char program[256]; /* of start_own(): a copy that a test may replace */

static struct server *start_own(const char *yaml)
{
    struct server *s = server_new();
    (void)snprintf(program, sizeof program, "%s", server_path(s, "remuda"));
    copy_file(REMUDA_BINARY, program);
    return launch(s, REMUDA_DEMO_SO, yaml, (struct server_options){.program = "./remuda"});
}

static void open_gate(struct server *s)
{
    (void)server_write_file(s, "gate", "");
}

/* Its app starts only while the gate is open. */
static struct server *start_gated(const char *yaml)
{
    char gate[300];
    struct server *s = server_new();
    (void)snprintf(gate, sizeof gate, "PROBE_GATE=%s", server_path(s, "gate"));
    const char *env[] = {gate, NULL};
    open_gate(s);
    (void)launch(s, REMUDA_TEST_APPS_DIR "/probe.so", yaml, (struct server_options){.env = env});
    CHECK(unlink(server_path(s, "gate")) == 0);
    return s;
}

/* A request whose handler waits for the file "go". */
static struct client *ask_waiting(struct server *s)
{
    struct client *c = client_to(s);
    char request[512];
    (void)snprintf(request, sizeof request, "GET /wait?file=%s HTTP/1.1\r\nHost: a\r\n\r\n",
                   server_path(s, "go"));
    client_send_text(c, request);
    (void)server_wait_log(s, "probe waits");
    return c;
}

static void finish_waiting(struct server *s, struct client *c)
{
    struct reply r;
    reply_init(&r);
    (void)server_write_file(s, "go", "");
    client_read(c, &r, false);
    CHECK_TEXT(r.body.data, "it came\n");
    reply_fini(&r);
}

/* Starts a new master and waits until it serves. Returns its pid */
static pid_t start_new(struct server *s)
{
    server_signal(s, SIGUSR2);
    pid_t pid = (pid_t)lines_number(server_wait_log(s, "new master ready"), "pid");
    CHECK_EQ(pid, server_new_master(s));
    return pid;
}

/* The old master goes, and the new one is the server. */
static void finish(struct server *s)
{
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_succession(s), 0);
    (void)server_wait_log(s, "old master gone");
}

static void upgrade(struct server *s)
{
    (void)start_new(s);
    finish(s);
}

/* The new master is refused, for this reason, and nothing is left of it. */
static void check_refused(struct server *s, const char *why)
{
    server_signal(s, SIGUSR2);
    const char *line = server_wait_log(s, "upgrade refused");
    CHECK_HAS(line, why);
    free(client_get(s, "/", 200));
    server_wait_processes(s, 3); /* a loader and two workers */
    CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
    CHECK(access(server_path(s, "run.pid.2"), F_OK) != 0);
}

static void end_load(struct load *l)
{
    load_wait_answers(l, 2 * CLIENTS);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

/* ---- That nobody notices */

static void upgrades_under_load_lose_nothing(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/churn.so", YAML);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 1, 500);
    load_wait_answers(l, 100);
    size_t fds = 0;
    for (int i = 0; i < 6; i++) {
        check_context("upgrade %d", i + 1);
        upgrade(s);
        load_wait_generation(l, i + 2);
        if (i == 0)
            fds = procs_fd_count_at_rest(s->pid);
    }
    check_context("%s", "");
    procs_wait_fds(s->pid, fds);
    struct load_result result = load_finish(l);
    load_check(&result, 0);
    CHECK_EQ(result.unasked, 0);
}

static void unix_sockets_pass_over(void **state)
{
    (void)state;
    char yaml[512];
    struct server *s = server_new();
    (void)snprintf(yaml, sizeof yaml, "bind: unix:%s\nworkers: 3\n", server_path(s, "socket"));
    (void)launch(s, REMUDA_TEST_APPS_DIR "/churn.so", yaml, (struct server_options){0});
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 2, 500);
    for (int i = 0; i < 3; i++) {
        upgrade(s);
        load_wait_generation(l, i + 2);
        CHECK(access(server_path(s, "socket"), F_OK) == 0);
    }
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

/* Generations of those who answer. */
static bool has_answer_of(struct server *s, long generation)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    do {
        char *info = client_get(s, "/info", 200);
        bool is_found = json_number(info, "generation") == generation;
        free(info);
        if (is_found)
            return true;
    } while (patience_turn(deadline));
    return false;
}

static void both_serve_until_one_is_told_to_go(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    (void)start_new(s);
    CHECK(has_answer_of(s, 1));
    CHECK(has_answer_of(s, 2));
    finish(s);
    for (int i = 0; i < 10; i++) {
        char *info = client_get(s, "/info", 200);
        CHECK_EQ(json_number(info, "generation"), 2);
        free(info);
    }
}

static void request_under_way_is_finished_by_the_old_one(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/probe.so", YAML);
    struct client *c = ask_waiting(s);
    (void)start_new(s);
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stopping");
    finish_waiting(s, c);
    CHECK_EQ(server_wait_succession(s), 0);
}

/* ---- Files and names */

static void pid_files_follow_gunicorns_protocol(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    for (int i = 0; i < 2; i++) {
        pid_t old = s->pid;
        pid_t pid = start_new(s);
        CHECK_EQ(server_read_pid(server_path(s, "run.pid")), old);
        CHECK_EQ(server_read_pid(server_path(s, "run.pid.2")), pid);
        finish(s);
        CHECK_EQ(server_read_pid(server_path(s, "run.pid")), pid);
        CHECK(access(server_path(s, "run.pid.2"), F_OK) != 0);
    }
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(server_path(s, "run.pid"), F_OK) != 0);
}

/* The harness names it "control", in the server's folder. */
static void control_socket_follows_the_same_protocol(void **state)
{
    (void)state;
    char pid[32];
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    for (int i = 0; i < 2; i++) {
        (void)start_new(s);
        CHECK(access(server_path(s, "control"), F_OK) == 0);
        CHECK(access(server_path(s, "control.2"), F_OK) == 0);
        finish(s);
        CHECK(access(server_path(s, "control.2"), F_OK) != 0);
        struct server *status = server_start_args("status", "--json", "--control-socket",
                                                  server_path(s, "control"), NULL);
        CHECK_EQ(server_run(status), 0);
        (void)snprintf(pid, sizeof pid, "\"pid\":%d,", (int)s->pid);
        CHECK_HAS(lines_text(&status->out), pid);
    }
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(server_path(s, "control"), F_OK) != 0);
}

static bool runs_program(pid_t pid, const char *path)
{
    char link[64];
    struct stat theirs;
    struct stat ours;
    (void)snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    CHECK(stat(link, &theirs) == 0 && stat(path, &ours) == 0);
    return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

/* A link that the deployment changed, a relative path, and a working folder that has moved on. */
static void file_that_is_there_now_is_started(void **state)
{
    (void)state;
    struct server *s = server_new();
    char first[256];
    char second[256];
    (void)snprintf(first, sizeof first, "%s", server_path(s, "first"));
    (void)snprintf(second, sizeof second, "%s", server_path(s, "second"));
    copy_file(REMUDA_BINARY, first);
    copy_file(REMUDA_BINARY, second);
    CHECK(symlink("first", server_path(s, "current")) == 0);
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--chdir", "/", NULL};
    server_launch(s, &(struct server_options){.args = args, .program = "./current"});
    server_wait_ready(s);
    CHECK(runs_program(s->pid, first));
    CHECK(unlink(server_path(s, "current")) == 0);
    CHECK(symlink("second", server_path(s, "current")) == 0);
    upgrade(s);
    CHECK(runs_program(s->pid, second));
    copy_file(REMUDA_BINARY, second); /* replaced, as by a package manager */
    CHECK(!runs_program(s->pid, second));
    upgrade(s);
    CHECK(runs_program(s->pid, second));
}

static void app_is_told_nothing_of_it(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/environment.so", YAML);
    upgrade(s);
    char *text = client_get(s, "/env/REMUDA_UPGRADE", 200);
    CHECK_TEXT(text, "(not set)\n");
    free(text);
}

/* ---- Another configuration */

static size_t count_listeners(struct server *s)
{
    unsigned long inodes[SERVER_LISTENERS_MAX];
    return procs_listener_inodes(server_port(s, 0), inodes, SERVER_LISTENERS_MAX);
}

static void more_and_fewer_workers(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    static const char *const workers[] = {"4", "1", "3"};
    static const size_t sockets[] = {4, 4, 4};
    for (size_t i = 0; i < 3; i++) {
        char yaml[128];
        (void)snprintf(yaml, sizeof yaml, "bind: 127.0.0.1:0\nworkers: %s\n", workers[i]);
        (void)server_write_file(s, "remuda.yaml", yaml);
        upgrade(s);
        load_wait_answers(l, 100);
        CHECK_EQ(count_listeners(s), sockets[i]);
    }
    end_load(l);
}

static void addresses_come_and_go(void **state)
{
    (void)state;
    char yaml[512];
    struct server *s = server_new();
    (void)snprintf(yaml, sizeof yaml, "bind: [\"127.0.0.1:0\", \"unix:%s\"]\nworkers: 2\n",
                   server_path(s, "before"));
    (void)launch(s, REMUDA_DEMO_SO, yaml, (struct server_options){0});
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    (void)snprintf(yaml, sizeof yaml, "bind: [\"127.0.0.1:0\", \"unix:%s\"]\nworkers: 2\n",
                   server_path(s, "behind"));
    (void)server_write_file(s, "remuda.yaml", yaml);
    (void)start_new(s);
    CHECK(access(server_path(s, "before"), F_OK) == 0);
    CHECK(access(server_path(s, "behind"), F_OK) == 0);
    finish(s);
    CHECK(access(server_path(s, "before"), F_OK) != 0);
    end_load(l);
    char address[300];
    (void)snprintf(address, sizeof address, "unix:%s", server_path(s, "behind"));
    CHECK_EQ(client_try(address), 0);
}

/* ---- A new one that fails */

static void program_that_is_another_is_refused(void **state)
{
    (void)state;
    struct server *s = start_own(YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    write_program(program, "#!/bin/sh\nexit 7\n");
    check_refused(s, "exit code 7");
    write_program(program, "#!/bin/sh\nkill -SEGV $$\n");
    check_refused(s, "SIGSEGV");
    write_program(program, "\x7f"
                           "ELF of another machine");
    check_refused(s, "Exec format error");
    CHECK(chmod(program, 0644) == 0);
    check_refused(s, geteuid() == 0 ? "Permission denied" : "no program that may be run");
    CHECK(unlink(program) == 0);
    check_refused(s, "is gone");
    CHECK(mkdir(program, 0755) == 0);
    check_refused(s, "no regular file");
    CHECK(rmdir(program) == 0);
    copy_file(REMUDA_BINARY, program);
    upgrade(s);
    end_load(l);
}

static void program_that_does_nothing_is_given_up(void **state)
{
    (void)state;
    struct server *s = start_own(YAML "boot_timeout: 3s\n");
    write_program(program, "#!/bin/sh\nexec sleep 1000\n");
    check_refused(s, "boot_timeout");
    write_program(program, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n");
    server_signal(s, SIGUSR2);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "boot_timeout");
    s->is_violent = true; /* the shell's own sleep is left to itself */
    free(client_get(s, "/", 200));
}

static void configuration_that_is_wrong_is_told(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    (void)server_write_file(s, "remuda.yaml", YAML "wrokers: 3\n");
    check_refused(s, "remuda.yaml:4:1: wrokers");
    (void)server_write_file(s, "remuda.yaml", YAML "bind: 192.0.2.1:0\n");
    check_refused(s, "bind");
    (void)server_write_file(s, "remuda.yaml", "bind: 192.0.2.1:0\nworkers: 2\npidfile: run.pid\n");
    check_refused(s, "192.0.2.1");
    (void)server_write_file(s, "remuda.yaml", YAML);
    upgrade(s);
}

/* The app as well is read anew. */
static void app_that_fails_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *app;
        const char *yaml;
        const char *why;
    } bad[] = {{"init_fails.so", YAML, "init"},
               {"init_crashes.so", YAML, "crashed"},
               {"unresolved.so", YAML, "symbol"},
               {"worker_init_fails.so", YAML, "worker_init"},
               {"init_hangs.so", YAML "boot_timeout: 1s\n", "longer than allowed"}};
    server_let_crash();
    struct server *s = server_new();
    char app[256];
    (void)snprintf(app, sizeof app, "%s", server_path(s, "app.so"));
    copy_file(REMUDA_DEMO_SO, app);
    (void)launch(s, app, YAML, (struct server_options){0});
    s->is_violent = true;
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char path[512];
        check_context("%s", bad[i].app);
        (void)snprintf(path, sizeof path, "%s/%s", REMUDA_TEST_APPS_DIR, bad[i].app);
        copy_file(path, app);
        (void)server_write_file(s, "remuda.yaml", bad[i].yaml);
        check_refused(s, bad[i].why);
    }
    check_context("%s", "");
    copy_file(REMUDA_DEMO_SO, app);
    (void)server_write_file(s, "remuda.yaml", YAML);
    upgrade(s);
    end_load(l);
}

/* ---- The command */

static struct server *start_command(struct server *s)
{
    return server_start_args("upgrade", "--control-socket", server_path(s, "control"), NULL);
}

static void command_does_all_of_it(void **state)
{
    (void)state;
    char expected[64];
    struct server *s = start(REMUDA_TEST_APPS_DIR "/churn.so", YAML);
    struct load *l = load_start_mixed(server_address(s, 0), 2 * LOAD_MANNERS, 3, 500);
    for (int i = 0; i < 3; i++) {
        load_wait_generation(l, i + 1);
        struct server *command = start_command(s);
        CHECK_EQ(server_run(command), 0);
        pid_t old = s->pid;
        CHECK_EQ(server_wait_succession(s), 0);
        (void)snprintf(expected, sizeof expected, "upgraded: pid %d serves", (int)s->pid);
        CHECK_HAS(lines_text(&command->out), expected);
        (void)snprintf(expected, sizeof expected, "pid %d has ended", (int)old);
        CHECK_HAS(lines_text(&command->out), expected);
        (void)server_wait_log(s, "old master gone");
    }
    struct load_result result = load_finish(l);
    load_check(&result, 0);
}

static void command_says_why_it_was_refused(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    (void)server_write_file(s, "remuda.yaml", YAML "wrokers: 3\n");
    struct server *command = start_command(s);
    CHECK_EQ(server_run(command), 1);
    CHECK_HAS(lines_text(&command->log), "serves on: ");
    CHECK_HAS(lines_text(&command->log), "wrokers");
    free(client_get(s, "/", 200));
    (void)server_write_file(s, "remuda.yaml", YAML);
    (void)start_new(s);
    command = start_command(s);
    CHECK_EQ(server_run(command), 1);
    CHECK_HAS(lines_text(&command->log), "is running");
    finish(s);
}

/* It has sent its workers home by then; one still has a request. */
static void workers_come_back_when_the_new_one_is_lost(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_TEST_APPS_DIR "/probe.so", YAML);
    struct client *c = ask_waiting(s);
    s->is_violent = true;
    struct server *command = start_command(s);
    (void)server_wait_log(s, "new master ready");
    (void)server_wait_log(s, "worker ended");
    CHECK(kill(server_new_master(s), SIGKILL) == 0);
    CHECK_EQ(server_run(command), 1);
    CHECK_HAS(lines_text(&command->log), "gone again");
    free(client_get(s, "/counts", 200));
    finish_waiting(s, c);
    upgrade(s);
}

/* ---- Signals at bad moments */

static void second_upgrade_waits_for_its_turn(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    pid_t pid = start_new(s);
    server_signal(s, SIGUSR2);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "is running");
    CHECK(kill(pid, SIGUSR2) == 0);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "still there");
    finish(s);
    upgrade(s);
}

static void new_one_that_is_stopped_leaves_the_old_one_as_it_was(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    static const int signals[] = {SIGTERM, SIGINT, SIGTERM};
    for (size_t i = 0; i < 3; i++) {
        pid_t pid = start_new(s);
        load_wait_answers(l, CLIENTS);
        if (signals[i] == SIGINT)
            end_load(l); /* it cuts what its workers have in hand */
        CHECK(kill(pid, signals[i]) == 0);
        (void)server_wait_log(s, "new master gone");
        CHECK(access(server_path(s, "run.pid.2"), F_OK) != 0);
        CHECK_EQ(server_read_pid(server_path(s, "run.pid")), s->pid);
        if (signals[i] == SIGINT)
            l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
        load_wait_answers(l, CLIENTS);
    }
    upgrade(s);
    end_load(l);
}

/* Gunicorn's way to try a new version: the old master stays without workers, just in case. */
static void workers_that_were_sent_home_come_back(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    (void)start_new(s);
    server_signal(s, SIGWINCH);
    for (int i = 0; i < 2; i++)
        (void)server_wait_log(s, "worker ended");
    load_wait_answers(l, CLIENTS);
    CHECK(kill(server_new_master(s), SIGTERM) == 0);
    (void)server_wait_log(s, "new master gone");
    load_wait_answers(l, CLIENTS);
    char *info = client_get(s, "/info", 200);
    CHECK_EQ(json_number(info, "generation"), 1);
    free(info);
    upgrade(s);
    end_load(l);
}

static void term_waits_for_a_new_one_that_boots(void **state)
{
    (void)state;
    struct server *s = start_gated(YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/counts", NULL);
    load_wait_answers(l, CLIENTS);
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master started");
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stop waits");
    load_wait_answers(l, 50);
    open_gate(s);
    CHECK_EQ(server_wait_succession(s), 0);
    end_load(l);
}

static void term_is_obeyed_when_the_new_one_fails(void **state)
{
    (void)state;
    struct server *s = start_own(YAML);
    write_program(program, "#!/bin/sh\nwhile [ ! -e gate ]; do sleep 0.01; done\nexit 1\n");
    server_signal(s, SIGUSR2);
    (void)server_wait_log(s, "new master started");
    server_signal(s, SIGTERM);
    (void)server_wait_log(s, "stop waits");
    free(client_get(s, "/", 200));
    open_gate(s);
    CHECK_EQ(server_wait_exit(s), 0);
}

static void term_waits_for_a_new_one_that_was_given_up(void **state)
{
    (void)state;
    struct server *s = start_own(YAML "boot_timeout: 3s\n");
    write_program(program, "#!/bin/sh\ntrap 'echo >given_up' TERM\n"
                           "while :; do sleep 0.05; done\n");
    server_signal(s, SIGUSR2);
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (access(server_path(s, "given_up"), F_OK) != 0)
        CHECK_SAYING(patience_turn(deadline), "%s", "the new master was not told to end");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, "upgrade refused"), 1); /* it saw the other one end */
}

static void term_wins_over_an_upgrade_that_waits_for_a_reload(void **state)
{
    (void)state;
    struct server *s = start_gated(YAML "drain_delay: 1h\n");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloading");
    server_signal(s, SIGUSR2);
    server_signal(s, SIGTERM);
    CHECK_HAS(server_wait_log(s, "upgrade refused"), "the server stops");
    open_gate(s);
    (void)server_wait_log(s, "generation gone");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(lines_count(&s->log, "new master started"), 0);
}

static void reload_and_upgrade_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    for (int i = 0; i < 3; i++) {
        server_signal(s, SIGHUP);
        server_signal(s, SIGUSR2);
        server_signal(s, SIGHUP);
        (void)server_wait_log(s, "new master ready");
        CHECK(kill(server_new_master(s), SIGHUP) == 0);
        finish(s);
        load_wait_answers(l, CLIENTS);
    }
    end_load(l);
}

static void storm_of_signals_makes_one_new_master(void **state)
{
    (void)state;
    static const int signals[] = {SIGUSR2, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGPIPE};
    struct server *s = start(REMUDA_DEMO_SO, YAML);
    struct load *l = load_start(server_address(s, 0), CLIENTS, "/", "hello\n");
    for (int i = 0; i < 3000; i++)
        CHECK(kill(s->pid, signals[i % 6]) == 0);
    (void)server_wait_log(s, "new master ready");
    CHECK_EQ(lines_count(&s->log, "new master started"), 1);
    finish(s);
    end_load(l);
}

SERVER_MAIN(SERVER_TEST(upgrades_under_load_lose_nothing), SERVER_TEST(unix_sockets_pass_over),
            SERVER_TEST(both_serve_until_one_is_told_to_go),
            SERVER_TEST(request_under_way_is_finished_by_the_old_one),
            SERVER_TEST(pid_files_follow_gunicorns_protocol),
            SERVER_TEST(control_socket_follows_the_same_protocol),
            SERVER_TEST(file_that_is_there_now_is_started), SERVER_TEST(app_is_told_nothing_of_it),
            SERVER_TEST(more_and_fewer_workers), SERVER_TEST(addresses_come_and_go),
            SERVER_TEST(program_that_is_another_is_refused),
            SERVER_TEST(program_that_does_nothing_is_given_up),
            SERVER_TEST(configuration_that_is_wrong_is_told), SERVER_TEST(app_that_fails_is_told),
            SERVER_TEST(command_does_all_of_it), SERVER_TEST(command_says_why_it_was_refused),
            SERVER_TEST(workers_come_back_when_the_new_one_is_lost),
            SERVER_TEST(second_upgrade_waits_for_its_turn),
            SERVER_TEST(new_one_that_is_stopped_leaves_the_old_one_as_it_was),
            SERVER_TEST(workers_that_were_sent_home_come_back),
            SERVER_TEST(term_waits_for_a_new_one_that_boots),
            SERVER_TEST(term_is_obeyed_when_the_new_one_fails),
            SERVER_TEST(term_waits_for_a_new_one_that_was_given_up),
            SERVER_TEST(term_wins_over_an_upgrade_that_waits_for_a_reload),
            SERVER_TEST(reload_and_upgrade_do_not_disturb_each_other),
            SERVER_TEST(storm_of_signals_makes_one_new_master))
