/* The control socket and the commands that use it: what they say, to whom, and how they exit. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/control.h"
#include "tests/harness/patience.h"
#include "tests/harness/server.h"

#define STATUS "{\"request\":\"status\"}"

/* ---- The socket ---- */

static void the_socket_is_the_owners_alone(void **state)
{
    (void)state;
    struct stat st;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    CHECK(lstat(control_socket(s), &st) == 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_EQ(st.st_mode & 07777, 0600);
    CHECK_EQ(st.st_uid, geteuid());
}

static void the_socket_goes_with_the_server(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(control_socket(s), F_OK) != 0);
}

/* Whoever has put his own file there meanwhile keeps it. */
static void a_file_that_is_no_longer_ours_stays(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    CHECK(unlink(control_socket(s)) == 0);
    (void)server_write_file(s, "control", "mine");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(access(control_socket(s), F_OK) == 0);
}

/* ---- Status ---- */

static void status_tells_what_is_there(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    free(client_get(s, "/", 200));
    free(client_get(s, "/nowhere", 404));
    control_wait_member(s, "requests", "2");
    char *answer = control_ask(s, STATUS);
    CHECK_TEXT(control_member(answer, "ok"), "true");
    CHECK_TEXT(control_member(answer, "state"), "running");
    CHECK_TEXT(control_member(answer, "app"), REMUDA_DEMO_SO);
    CHECK_TEXT(control_member(answer, "config"), "null");
    CHECK_TEXT(control_member(answer, "binds.0"), server_address(s, 0));
    CHECK_TEXT(control_member(answer, "control_socket"), control_socket(s));
    CHECK_EQ(control_number(answer, "pid"), s->pid);
    CHECK_EQ(control_number(answer, "generation"), 1);
    CHECK_EQ(control_number(answer, "workers_wanted"), 2);
    CHECK_EQ(control_number(answer, "workers_ready"), 2);
    CHECK_EQ(control_number(answer, "responses.2xx"), 1);
    CHECK_EQ(control_number(answer, "responses.4xx"), 1);
    CHECK(control_number(answer, "rss_bytes") > 100000);
    for (int slot = 0; slot < 2; slot++) {
        char path[64];
        (void)snprintf(path, sizeof path, "workers.%d.slot", slot);
        CHECK_EQ(control_number(answer, path), slot);
        (void)snprintf(path, sizeof path, "workers.%d.pid", slot);
        CHECK_EQ(control_number(answer, path), server_worker_pid(s, slot));
        (void)snprintf(path, sizeof path, "workers.%d.state", slot);
        CHECK_TEXT(control_member(answer, path), "idle");
        (void)snprintf(path, sizeof path, "workers.%d.rss_bytes", slot);
        CHECK(control_number(answer, path) > 100000);
        (void)snprintf(path, sizeof path, "workers.%d.request", slot);
        CHECK_TEXT(control_member(answer, path), "null");
    }
    CHECK_TEXT(control_member(answer, "loaders.0.state"), "ready");
    free(answer);
}

static void counts_of_a_worker_that_died_are_kept(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    s->is_violent = true;
    free(client_get(s, "/", 200));
    control_wait_member(s, "requests", "1");
    server_skip_log(s);
    CHECK(kill(server_worker_pid(s, 0), SIGKILL) == 0);
    (void)server_wait_log(s, "worker ready");
    free(client_get(s, "/", 200));
    control_wait_member(s, "requests", "2");
}

static void status_names_the_request_whose_handler_runs(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    client_send_text(c, "GET /block?ms=4000&x=%1b HTTP/1.1\r\nHost: a\r\nX-Request-ID: me\r\n\r\n");
    control_wait_member(s, "workers.0.request.route", "GET /block");
    char *answer = control_ask(s, STATUS);
    CHECK_TEXT(control_member(answer, "workers.0.request.target"), "/block?ms=4000&x=%1b");
    CHECK_TEXT(control_member(answer, "workers.0.request.method"), "GET");
    CHECK_TEXT(control_member(answer, "workers.0.request.phase"), "handler");
    CHECK_TEXT(control_member(answer, "workers.0.request.trace"), "me");
    CHECK_TEXT(control_member(answer, "workers.0.request.peer"), "127.0.0.1");
    free(answer);
    control_wait_member(s, "workers.0.state", "hung"); /* over a second without a heartbeat */
    control_wait_member(s, "workers.0.state", "idle");
}

/* Neither of them is what the worker's code runs: one waits in the table, the oldest is told. */
static void status_names_the_oldest_request_that_waits(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *first = client_to(s);
    struct client *second = client_to(s);
    client_send_text(first, "GET /stream?n=2&ms=60000&first HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "workers.0.inflight", "1");
    client_send_text(second, "GET /stream?n=2&ms=60000&second HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "workers.0.inflight", "2");
    char *answer = control_ask(s, STATUS);
    CHECK_TEXT(control_member(answer, "workers.0.state"), "busy");
    CHECK_TEXT(control_member(answer, "workers.0.request.target"), "/stream?n=2&ms=60000&first");
    CHECK_TEXT(control_member(answer, "workers.0.request.phase"), "stream");
    free(answer);
    client_abort(first);
    control_wait_member(s, "workers.0.inflight", "1");
    client_abort(second);
    control_wait_member(s, "workers.0.state", "idle");
}

/* Answers of the first worker that took 2^(from - 1) µs and more; 0: all. */
static uint64_t count_answers(const struct server *s, int from)
{
    char path[64];
    uint64_t n = 0;
    char *answer = control_ask(s, STATUS);
    for (int i = from; i < 28; i++) {
        (void)snprintf(path, sizeof path, "workers.0.latency_counts.%d", i);
        n += control_number(answer, path);
    }
    free(answer);
    return n;
}

static void check_latency(const char *worker_class)
{
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--workers", "1", "--worker-class", worker_class, NULL);
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (int i = 0; i < 3; i++)
        free(client_get(s, "/", 200));
    free(client_get(s, "/block?ms=200", 200));
    while (count_answers(s, 0) < 4) /* each has its time at the end of the turn that sent it */
        CHECK(patience_turn(deadline));
    control_wait_member(s, "requests", "4");
    CHECK_EQ(count_answers(s, 0), 4);
    CHECK(count_answers(s, 18) >= 1);
}

static void latency_is_counted_once_for_each_answer(void **state)
{
    (void)state;
    check_latency("event");
    check_latency("sync");
}

/* ---- Requests ---- */

static void requests_of_one_connection_are_answered_in_order(void **state)
{
    (void)state;
    char line[65536];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    int fd = control_connect(control_socket(s));
    CHECK(fd >= 0);
    control_send(fd, STATUS "\n{\"request\":\"nothing\"}\r\n" STATUS "\n" STATUS);
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_HAS(line, "\"workers\":[");
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_HAS(line, "\"ok\":false");
    CHECK_HAS(line, "this version");
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_HAS(line, "\"workers\":[");
    control_send(fd, "\n");
    CHECK(shutdown(fd, SHUT_WR) == 0); /* as `nc -N` does: what was asked is answered */
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_HAS(line, "\"workers\":[");
    CHECK_EQ(control_read_line(fd, line, sizeof line), -1);
    (void)close(fd);
}

static void a_stop_is_answered_at_once_and_seen_at_its_end(void **state)
{
    (void)state;
    char line[4096];
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    client_send_text(c, "GET /block?ms=3000 HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "workers.0.request.route", "GET /block");
    int fd = control_connect(control_socket(s));
    control_send(fd, "{\"request\":\"stop\"}\n");
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_HAS(line, "\"outcome\":\"accepted\"");
    control_wait_member(s, "state", "stopping gracefully");
    CHECK_EQ(control_read_line(fd, line, sizeof line), -1);
    CHECK_EQ(server_wait_exit(s), 0);
    struct reply reply;
    reply_init(&reply);
    client_read(c, &reply, false); /* what was in flight has its answer */
    CHECK_EQ(reply.status, 200);
    reply_fini(&reply);
    (void)close(fd);
}

static void a_quick_stop_waits_for_nobody(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--workers", "1", NULL);
    struct client *c = client_to(s);
    client_send_text(c, "GET /stream?n=2&ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "workers.0.inflight", "1");
    free(control_ask(s, "{\"request\":\"stop\",\"how\":\"quick\"}"));
    CHECK_EQ(server_wait_exit(s), 0);
}

static void reopen_opens_the_logs_anew(void **state)
{
    (void)state;
    struct server *s = server_new();
    char errorlog[128], old[128];
    (void)snprintf(errorlog, sizeof errorlog, "%s", server_path(s, "log"));
    (void)snprintf(old, sizeof old, "%s", server_path(s, "log.1"));
    const char *args[] = {"run", REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--workers",
                          "1",   "--errorlog",   errorlog, NULL};
    server_launch(s, &(struct server_options){.args = args});
    uint64_t deadline = patience_until(PATIENCE_MS);
    int fd = control_connect(control_socket(s));
    while (fd < 0 && patience_turn(deadline))
        fd = control_connect(control_socket(s));
    CHECK(fd >= 0);
    (void)close(fd);
    CHECK(rename(errorlog, old) == 0);
    free(control_ask(s, "{\"request\":\"reopen\"}"));
    CHECK(access(errorlog, F_OK) == 0);
}

/* ---- The commands ---- */

/* Runs a command against a server, in the server's folder, to its end. */
static struct server *run_for(const struct server *s, int code, const char *const *args)
{
    char variable[128];
    (void)snprintf(variable, sizeof variable, "REMUDA_CONTROL_SOCKET=%s", control_socket(s));
    const char *env[] = {variable, NULL};
    struct server *command =
        server_start(&(struct server_options){.args = args, .env = env, .folder = s->folder});
    int seen = server_run(command);
    CHECK_SAYING(seen == code, "remuda %s exits %d, expected %d", args[0], seen, code);
    return command;
}

#define RUN_FOR(s, code, ...) run_for(s, code, (const char *const[]){__VA_ARGS__, NULL})

static void status_is_for_people_or_for_programs(void **state)
{
    (void)state;
    char text[64];
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    struct server *people = RUN_FOR(s, 0, "status");
    (void)snprintf(text, sizeof text, "pid %d  running", (int)s->pid);
    CHECK_HAS(lines_text(&people->out), text);
    CHECK_HAS(lines_text(&people->out), server_address(s, 0));
    CHECK_HAS(lines_text(&people->out), "2 of 2 ready");
    struct server *programs = RUN_FOR(s, 0, "status", "--json");
    CHECK_EQ(control_number(lines_text(&programs->out), "pid"), s->pid);
    CHECK_TEXT(lines_text(&programs->log), "");
}

static void stop_comes_back_when_the_server_has_gone(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    struct server *command = RUN_FOR(s, 0, "stop");
    CHECK_HAS(lines_text(&command->out), "stopped");
    CHECK(access(control_socket(s), F_OK) != 0);
    CHECK_EQ(server_wait_exit(s), 0);
    s = server_start_app(REMUDA_DEMO_SO, NULL);
    (void)RUN_FOR(s, 0, "stop", "--quick", "--no-wait");
    CHECK_EQ(server_wait_exit(s), 0);
}

static void nothing_running_is_said_with_what_to_do(void **state)
{
    (void)state;
    static const char *const commands[] = {"status", "stop", "reopen"};
    struct server *s = server_new();
    (void)server_write_file(s, "remuda.yaml", "workers: 1\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct server *command = RUN_FOR(s, 5, commands[i]);
        CHECK_HAS(lines_text(&command->log), "no remuda is running for ");
        CHECK_HAS(lines_text(&command->log), control_socket(s));
        CHECK_HAS(lines_text(&command->log), "start it with `remuda run -c remuda.yaml`");
    }
}

static void a_server_without_a_socket_is_said_to_have_none(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--control-socket", "off", NULL);
    CHECK(access(control_socket(s), F_OK) != 0);
    struct server *command = RUN_FOR(s, 5, "status", "--control-socket", "off");
    CHECK_HAS(lines_text(&command->log), "control_socket is off, and no pid file");
}

static void wrong_arguments_are_usage(void **state)
{
    (void)state;
    struct server *s = server_new();
    (void)RUN_FOR(s, 2, "status", "--yaml");
    (void)RUN_FOR(s, 2, "stop", "now");
    struct server *help = RUN_FOR(s, 0, "stop", "--help");
    CHECK_HAS(lines_text(&help->out), "Exit codes: 0 done, 1 refused");
}

/* The same folder, or the same file by another name, leads to the same socket. */
static void auto_leads_both_sides_to_the_same_place(void **state)
{
    (void)state;
    struct server *s = server_new();
    char yaml[400], runtime[128], file[128];
    (void)snprintf(yaml, sizeof yaml, "app: %s\nbind: 127.0.0.1:0\nworkers: 1\nchdir: /\n",
                   REMUDA_DEMO_SO);
    (void)snprintf(file, sizeof file, "%s", server_write_file(s, "remuda.yaml", yaml));
    (void)snprintf(runtime, sizeof runtime, "XDG_RUNTIME_DIR=%s", s->folder);
    const char *const env[] = {"REMUDA_CONTROL_SOCKET=auto", runtime, NULL};
    const char *const run[] = {"run", NULL};
    server_launch(s, &(struct server_options){.args = run, .env = env});
    server_wait_ready(s);
    const char *const here[] = {"status", "--json", NULL};
    const char *const elsewhere[] = {"status", "--json", "-c", file, NULL};
    const struct server_options ways[] = {
        {.args = here, .env = env, .folder = s->folder},
        {.args = elsewhere, .env = env, .folder = "/"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct server *command = server_start(&ways[i]);
        CHECK_EQ(server_run(command), 0);
        CHECK_EQ(control_number(lines_text(&command->out), "pid"), s->pid);
    }
}

/* The file may be what somebody has just broken: that is when one wants to know. */
static void a_broken_file_hides_no_server(void **state)
{
    (void)state;
    struct server *s = server_new();
    char yaml[400], runtime[128];
    (void)snprintf(yaml, sizeof yaml, "app: %s\nbind: 127.0.0.1:0\nworkers: 1\n", REMUDA_DEMO_SO);
    (void)server_write_file(s, "remuda.yaml", yaml);
    (void)snprintf(runtime, sizeof runtime, "XDG_RUNTIME_DIR=%s", s->folder);
    const char *const env[] = {"REMUDA_CONTROL_SOCKET=auto", runtime, NULL};
    const char *const run[] = {"run", NULL};
    const char *const status[] = {"status", NULL};
    server_launch(s, &(struct server_options){.args = run, .env = env});
    server_wait_ready(s);
    static const char *const broken[] = {"app: [\n", "workres: 2\nworkers: many\n"};
    for (size_t i = 0; i < 2; i++) {
        (void)server_write_file(s, "remuda.yaml", broken[i]);
        struct server *command =
            server_start(&(struct server_options){.args = status, .env = env, .folder = s->folder});
        CHECK_EQ(server_run(command), 0);
    }
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    struct server *command =
        server_start(&(struct server_options){.args = status, .env = env, .folder = s->folder});
    CHECK_EQ(server_run(command), 5); /* now the mistakes may be why it is not found */
    CHECK_HAS(lines_text(&command->log), "workres");
    CHECK_HAS(lines_text(&command->log), "--control-socket PATH");
}

/* ---- Reload ---- */

/* Serves by a file in its own folder. */
static struct server *start_by_file(const char *app)
{
    char yaml[400];
    struct server *s = server_new();
    (void)snprintf(yaml, sizeof yaml, "app: %s\nbind: 127.0.0.1:0\nworkers: 1\n", app);
    (void)server_write_file(s, "remuda.yaml", yaml);
    const char *args[] = {"run", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static void a_reload_ends_with_its_outcome(void **state)
{
    (void)state;
    char line[4096];
    struct server *s = start_by_file(REMUDA_DEMO_SO);
    int fd = control_connect(control_socket(s));
    control_send(fd, "{\"request\":\"reload\"}\n" STATUS "\n");
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_TEXT(control_member(line, "outcome"), "accepted");
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_TEXT(control_member(line, "outcome"), "done");
    CHECK_EQ(control_number(line, "generation"), 2);
    CHECK(control_read_line(fd, line, sizeof line) > 0); /* the next request had to wait */
    CHECK_TEXT(control_member(line, "last_reload.outcome"), "done");
    (void)close(fd);
    struct server *command = RUN_FOR(s, 0, "reload");
    CHECK_HAS(lines_text(&command->out), "reloaded: generation 3 serves");
    (void)RUN_FOR(s, 0, "reload", "--no-wait");
    control_wait_member(s, "generation", "4");
    control_wait_member(s, "last_reload.number", "3");
}

static void a_refused_reload_says_why_everywhere(void **state)
{
    (void)state;
    struct server *s = start_by_file(REMUDA_DEMO_SO);
    (void)server_write_file(s, "remuda.yaml", "workers: many\n");
    struct server *command = RUN_FOR(s, 1, "reload");
    CHECK_HAS(lines_text(&command->log), "refused, generation 1 serves on: ");
    CHECK_HAS(lines_text(&command->log), "workers");
    char *answer = control_ask(s, STATUS);
    CHECK_TEXT(control_member(answer, "last_reload.outcome"), "refused");
    CHECK_HAS(control_member(answer, "last_reload.error"), "workers");
    CHECK_EQ(control_number(answer, "generation"), 1);
    free(answer);
    command = RUN_FOR(s, 0, "status");
    CHECK_HAS(lines_text(&command->out), "refused");
    free(client_get(s, "/", 200));
}

static void who_waits_for_a_reload_hears_of_a_stop(void **state)
{
    (void)state;
    char line[4096], yaml[400];
    struct server *s = start_by_file(REMUDA_DEMO_SO);
    (void)snprintf(yaml, sizeof yaml, "app: %s\nbind: 127.0.0.1:0\nworkers: 1\n",
                   REMUDA_TEST_APPS_DIR "/init_hangs.so");
    (void)server_write_file(s, "remuda.yaml", yaml);
    int fd = control_connect(control_socket(s));
    control_send(fd, "{\"request\":\"reload\"}\n");
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    control_wait_member(s, "last_reload.outcome", "running");
    server_signal(s, SIGTERM);
    CHECK(control_read_line(fd, line, sizeof line) > 0);
    CHECK_TEXT(control_member(line, "outcome"), "refused");
    CHECK_EQ(control_read_line(fd, line, sizeof line), -1);
    (void)close(fd);
    CHECK_EQ(server_wait_exit(s), 0);
}

/* ---- Scaling ---- */

static void scale_takes_a_number_or_a_step(void **state)
{
    (void)state;
    static const struct {
        const char *wish, *workers;
    } rows[] = {{"workers=3", "3"}, {"+1", "4"}, {"-2", "2"}, {"workers=-1", "1"}, {"-1", "1"}};
    struct server *s = server_start_app(REMUDA_DEMO_SO, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        struct server *command = RUN_FOR(s, 0, "scale", rows[i].wish);
        (void)snprintf(text, sizeof text, "workers: %s\n", rows[i].workers);
        CHECK_TEXT(lines_text(&command->out), text);
        control_wait_member(s, "workers_ready", rows[i].workers);
        free(client_get(s, "/", 200));
    }
    static const char *const wrong[] = {"0", "workers=0", "workers=513", "many", "workers=", "+-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct server *command = RUN_FOR(s, 2, "scale", wrong[i]);
        CHECK_HAS(lines_text(&command->log), "1 to 512");
        char quoted[32];
        (void)snprintf(quoted, sizeof quoted, "scale: \"%s\" is no number of workers", wrong[i]);
        CHECK_HAS(lines_text(&command->log), quoted);
    }
    (void)RUN_FOR(s, 2, "scale");
}

static void scale_says_what_becomes_of(struct server *s, const char *pool, const char *wish,
                                       const char *workers)
{
    char text[64];
    struct server *command = RUN_FOR(s, 0, "scale", "pool", pool, wish);
    (void)snprintf(text, sizeof text, "pool %s workers: %s\n", pool, workers);
    CHECK_TEXT(lines_text(&command->out), text);
}

/* They come and go at once, and what their settings say holds again from the next reload on. */
static void scale_takes_a_number_or_a_step_for_a_pool(void **state)
{
    (void)state;
    struct server *s = server_start_app(REMUDA_DEMO_SO, "--set", "compute.workers=1", NULL);
    scale_says_what_becomes_of(s, "default", "3", "3");
    control_wait_member(s, "pools.0.workers_ready", "3");
    scale_says_what_becomes_of(s, "default", "+1", "4");
    control_wait_member(s, "pools.0.workers_ready", "4");
    scale_says_what_becomes_of(s, "default", "-2", "2");
    (void)server_wait_log_text(s, "why=\"fewer workers are wanted\"");
    (void)server_wait_log(s, "compute worker ended");
    (void)server_wait_log(s, "compute worker ended");
    free(client_get(s, "/burn?ms=1", 200));
    scale_says_what_becomes_of(s, "default", "workers=-9", "1");
    scale_says_what_becomes_of(s, "default", "5", "5");
    server_signal(s, SIGHUP);
    (void)server_wait_log(s, "reloaded");
    control_wait_member(s, "pools.0.workers_wanted", "1");
    struct server *command = RUN_FOR(s, 1, "scale", "pool", "images", "2");
    CHECK_HAS(lines_text(&command->log), "no pool \"images\" is in use; there is default");
    command = RUN_FOR(s, 1, "scale", "pool", "default", "257");
    CHECK_HAS(lines_text(&command->log), "allowed: 1 to 256");
    command = RUN_FOR(s, 2, "scale", "pool", "a\"b", "2");
    CHECK_HAS(lines_text(&command->log), "letters, digits");
    (void)RUN_FOR(s, 2, "scale", "pool", "default");
    (void)RUN_FOR(s, 2, "scale", "pool", "default", "0");
    (void)RUN_FOR(s, 2, "scale", "pool", "default", "1", "2");
    (void)RUN_FOR(s, 2, "scale", "1", "2");
}

/* ---- No socket, but a pid file ---- */

static void a_pid_file_is_enough_for_what_signals_can_do(void **state)
{
    (void)state;
    char pidfile[128], yaml[500];
    struct server *s = server_new();
    (void)snprintf(yaml, sizeof yaml, "app: %s\nbind: 127.0.0.1:0\nworkers: 1\npidfile: run.pid\n",
                   REMUDA_DEMO_SO);
    (void)server_write_file(s, "remuda.yaml", yaml);
    (void)snprintf(pidfile, sizeof pidfile, "%s", server_path(s, "run.pid"));
    const char *args[] = {"run", "--control-socket", "off", NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    struct server *command = RUN_FOR(s, 1, "status");
    CHECK_HAS(lines_text(&command->log), "has no control socket");
    command = RUN_FOR(s, 0, "reload");
    CHECK_HAS(lines_text(&command->out), "HUP sent to pid ");
    (void)server_wait_log(s, "reloaded");
    (void)RUN_FOR(s, 0, "scale", "+1");
    (void)server_wait_log(s, "worker ready slot=1");
    (void)RUN_FOR(s, 1, "scale", "workers=5"); /* no signal says that */
    (void)RUN_FOR(s, 0, "reopen", "--control-socket", "off");
    (void)server_wait_log_text(s, "reopen"); /* there may be no file to open */
    command = RUN_FOR(s, 0, "stop");
    CHECK_HAS(lines_text(&command->out), "stopped");
    CHECK_EQ(server_wait_exit(s), 0);
    (void)RUN_FOR(s, 5, "reload"); /* the pid file has gone with it */
}

/* ---- Upgrade ---- */

static void an_upgrade_ends_with_the_new_master_at_the_same_place(void **state)
{
    (void)state;
    struct server *s = start_by_file(REMUDA_DEMO_SO);
    pid_t old = s->pid;
    struct client *c = client_to(s);
    client_send_text(c, "GET /stream?n=2&ms=3000 HTTP/1.1\r\nHost: a\r\n\r\n");
    control_wait_member(s, "workers.0.inflight", "1"); /* the old one leaves slowly */
    struct server *command = RUN_FOR(s, 0, "upgrade");
    CHECK_HAS(lines_text(&command->out), "upgraded: pid ");
    char *answer = control_ask(s, STATUS);
    pid_t now = (pid_t)control_number(answer, "pid");
    CHECK(now != old);
    CHECK_TEXT(control_member(answer, "state"), "running");
    CHECK_TEXT(control_member(answer, "control_socket"), control_socket(s));
    free(answer);
    CHECK_EQ(server_wait_succession(s), 0);
    CHECK_EQ(s->pid, now);
    answer = control_ask(s, STATUS); /* the old one has not taken the file with it */
    CHECK_EQ(control_number(answer, "pid"), now);
    free(answer);
    CHECK(access(server_path(s, "control.2"), F_OK) != 0);
}

static void a_refused_upgrade_says_why_and_changes_nothing(void **state)
{
    (void)state;
    struct server *s = start_by_file(REMUDA_DEMO_SO);
    (void)server_write_file(s, "remuda.yaml", "workers: many\n");
    struct server *command = RUN_FOR(s, 1, "upgrade");
    CHECK(lines_text(&command->log)[0] != '\0');
    char *answer = control_ask(s, STATUS);
    CHECK_EQ(control_number(answer, "pid"), s->pid);
    CHECK_TEXT(control_member(answer, "last_upgrade.outcome"), "refused");
    free(answer);
    free(client_get(s, "/", 200));
    CHECK(access(server_path(s, "control.2"), F_OK) != 0);
}

SERVER_MAIN(SERVER_TEST(the_socket_is_the_owners_alone),
            SERVER_TEST(the_socket_goes_with_the_server),
            SERVER_TEST(a_file_that_is_no_longer_ours_stays),
            SERVER_TEST(status_tells_what_is_there),
            SERVER_TEST(counts_of_a_worker_that_died_are_kept),
            SERVER_TEST(status_names_the_request_whose_handler_runs),
            SERVER_TEST(status_names_the_oldest_request_that_waits),
            SERVER_TEST(latency_is_counted_once_for_each_answer),
            SERVER_TEST(requests_of_one_connection_are_answered_in_order),
            SERVER_TEST(a_stop_is_answered_at_once_and_seen_at_its_end),
            SERVER_TEST(a_quick_stop_waits_for_nobody), SERVER_TEST(reopen_opens_the_logs_anew),
            SERVER_TEST(status_is_for_people_or_for_programs),
            SERVER_TEST(stop_comes_back_when_the_server_has_gone),
            SERVER_TEST(nothing_running_is_said_with_what_to_do),
            SERVER_TEST(a_server_without_a_socket_is_said_to_have_none),
            SERVER_TEST(wrong_arguments_are_usage),
            SERVER_TEST(auto_leads_both_sides_to_the_same_place),
            SERVER_TEST(a_broken_file_hides_no_server), SERVER_TEST(a_reload_ends_with_its_outcome),
            SERVER_TEST(a_refused_reload_says_why_everywhere),
            SERVER_TEST(who_waits_for_a_reload_hears_of_a_stop),
            SERVER_TEST(scale_takes_a_number_or_a_step),
            SERVER_TEST(scale_takes_a_number_or_a_step_for_a_pool),
            SERVER_TEST(a_pid_file_is_enough_for_what_signals_can_do),
            SERVER_TEST(an_upgrade_ends_with_the_new_master_at_the_same_place),
            SERVER_TEST(a_refused_upgrade_says_why_and_changes_nothing))
