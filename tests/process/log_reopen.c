/* Log files that somebody moves away under load, and USR1: every request has its line, in the old
 * file or in the new one, whole and once; and who can't open a log goes on with the one it has.
 *
 * Each line bears the trace id of its request, so a line that is there twice is found; the number
 * of requests is what the master says at its end. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/json.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"
#include "tests/harness/server.h"

#define PROBE_SO REMUDA_TEST_APPS_DIR "/probe.so"
#define TRACE_LEN 32
#define FORMAT "access_log_format=%({trace_id}x)s %(p)s \"%(r)s\" %(s)s %(B)s"

/* ---- What the files hold ---- */

struct traces {
    char (*ids)[TRACE_LEN];
    size_t n, room;
};

static void add_trace(struct traces *traces, const char *id)
{
    if (traces->n == traces->room) {
        traces->room = 2 * traces->room + 1024;
        traces->ids = realloc(traces->ids, traces->room * sizeof traces->ids[0]);
        CHECK(traces->ids != NULL);
    }
    memcpy(traces->ids[traces->n++], id, TRACE_LEN);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, TRACE_LEN);
}

/* `0123… <4711> "GET / HTTP/1.1" 200 6`, or an object. */
static void check_line(struct traces *traces, char *line, size_t len, bool is_json)
{
    char trace[TRACE_LEN + 1];
    CHECK_SAYING(len > 0 && line[len - 1] == '\n', "no end: %s", line);
    line[--len] = '\0';
    CHECK_SAYING(strlen(line) == len, "a NUL in: %s", line);
    if (is_json) {
        json_must(line, len);
        CHECK_SAYING(json_member(line, "trace_id", trace, sizeof trace), "%s", line);
        CHECK(json_number(line, "bytes") == 6 && json_number(line, "status") == 200);
    } else {
        int pid, end = 0;
        CHECK_SAYING(
            sscanf(line, "%32[0-9a-f] <%d> \"GET / HTTP/1.1\" 200 6%n", trace, &pid, &end) == 2 &&
                (size_t)end == len,
            "torn: %s", line);
    }
    CHECK_EQ(strlen(trace), TRACE_LEN);
    add_trace(traces, trace);
}

/* Returns how many lines there are */
static size_t read_lines(struct traces *traces, const char *path, bool is_json)
{
    char *line = NULL;
    size_t cap = 0;
    size_t before = traces->n;
    ssize_t len;
    FILE *file = fopen(path, "re");
    CHECK_SAYING(file, "%s: %s", path, strerror(errno));
    while ((len = getline(&line, &cap, file)) > 0)
        check_line(traces, line, (size_t)len, is_json);
    CHECK(feof(file));
    (void)fclose(file);
    free(line);
    return traces->n - before;
}

static void check_traces(struct traces *traces, unsigned long requests)
{
    CHECK_EQ(traces->n, requests);
    qsort(traces->ids, traces->n, sizeof traces->ids[0], compare);
    for (size_t i = 1; i < traces->n; i++)
        CHECK_SAYING(compare(traces->ids[i - 1], traces->ids[i]) != 0, "twice: %.*s", TRACE_LEN,
                     traces->ids[i]);
    free(traces->ids);
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static char *read_file(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        (void)fclose(file);
    text[n] = '\0';
    return text;
}

/* Waits until a file has so many lines; fails the test when it has more. */
static void wait_lines(const char *path, unsigned expected)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (;;) {
        unsigned n = 0;
        for (const char *at = read_file(path); (at = strchr(at, '\n')); at++)
            n++;
        CHECK_SAYING(n <= expected, "%s has %u lines", path, n);
        if (n == expected)
            return;
        CHECK_SAYING(patience_turn(deadline), "%s has %u lines", path, n);
    }
}

static const char *wait_file_has(const char *path, const char *part)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    while (!strstr(read_file(path), part))
        CHECK_SAYING(patience_turn(deadline), "%s lacks \"%s\" and is:\n%s", path, part,
                     read_file(path));
    return read_file(path);
}

/* ---- The server ---- */

/* how, how_much: "--workers", a number; or "--single", NULL */
static struct server *start(const char *format, const char *how, const char *how_much)
{
    struct server *s = server_new();
    char access_log[300];
    (void)snprintf(access_log, sizeof access_log, "accesslog=%s", server_path(s, "access.log"));
    const char *args[] = {"run",      REMUDA_DEMO_SO, "--bind", "127.0.0.1:0", "--set",
                          access_log, "--set",        format,   "--set",       "compute.workers=1",
                          how,        how_much,       NULL};
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

static struct load *start_load(const struct server *s, unsigned count)
{
    return load_start(server_address(s, 0), count, "/", "hello\n");
}

static void stop_load(struct load *load, unsigned long *out_answered)
{
    struct load_result result = load_stop(load);
    load_check(&result, 0);
    *out_answered = result.answered;
}

/* Stops it. Returns how many requests it has answered */
static unsigned long stop(struct server *s)
{
    server_signal(s, SIGTERM);
    const char *line = server_wait_log(s, "stopped");
    unsigned long requests = (unsigned long)lines_number(line, "requests");
    CHECK_EQ(server_wait_exit(s), 0);
    return requests;
}

/* Where a file of the server's folder goes: "access.log.7". Valid for three further calls */
static const char *moved(const struct server *s, const char *name, int number)
{
    static char paths[4][256];
    static size_t next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s.%d", server_path(s, name), number);
    return path;
}

/* Moves it there. Returns its new path */
static const char *move_away(const struct server *s, const char *name, int number)
{
    const char *to = moved(s, name, number);
    CHECK(rename(server_path(s, name), to) == 0);
    return to;
}

static void reopen(struct server *s)
{
    server_signal(s, SIGUSR1);
    (void)server_wait_log(s, "logs reopened");
}

static bool holds(pid_t pid, const char *path)
{
    char folder[64];
    char name[256];
    bool found = false;
    (void)snprintf(folder, sizeof folder, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(folder);
    if (!dir)
        return false; /* it has ended */
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, name, sizeof name - 1);
        name[n > 0 ? n : 0] = '\0';
        found |= strcmp(name, path) == 0;
    }
    (void)closedir(dir);
    return found;
}

/* How many of the server's processes have a file open */
static unsigned count_holders(const struct server *s, const char *path)
{
    pid_t pids[PROCS_MAX];
    size_t n = procs_below(s->pid, pids);
    unsigned holders = holds(s->pid, path);
    for (size_t i = 0; i < n; i++)
        holders += holds(pids[i], path);
    return holders;
}

/* ---- Many writers ---- */

static void check_many_writers(const char *format, bool is_json)
{
    struct server *s = start(format, "--workers", "4");
    struct traces traces = {0};
    unsigned long answered;
    struct load *load = start_load(s, 32);
    load_wait_answers(load, 6000);
    stop_load(load, &answered);
    unsigned long requests = stop(s);
    CHECK(requests >= answered && requests <= answered + 32);
    (void)read_lines(&traces, server_path(s, "access.log"), is_json);
    check_traces(&traces, requests);
}

static void lines_of_many_workers_are_whole(void **state)
{
    (void)state;
    check_many_writers(FORMAT, false);
}

static void objects_of_many_workers_are_whole(void **state)
{
    (void)state;
    check_many_writers("access_log_format=json", true);
}

/* ---- Rotation ---- */

static void rotation_under_load_loses_nothing(void **state)
{
    (void)state;
    enum { ROTATIONS = 30 };
    struct server *s = start(FORMAT, "--workers", "4");
    struct traces traces = {0};
    off_t sizes[ROTATIONS];
    unsigned long answered;
    struct load *load = start_load(s, 32);
    for (int i = 0; i < ROTATIONS; i++) {
        load_wait_answers(load, 200);
        const char *old = move_away(s, "access.log", i);
        reopen(s);
        sizes[i] = size_of(old); /* that was a promise: nobody writes there any more */
        CHECK(sizes[i] > 0);
        CHECK_EQ(count_holders(s, old), 0);
        CHECK_EQ(count_holders(s, server_path(s, "access.log")), 7); /* one is a compute worker */
    }
    load_wait_answers(load, 200);
    stop_load(load, &answered);
    unsigned long requests = stop(s);
    CHECK(requests >= answered && requests <= answered + 32);
    for (int i = 0; i < ROTATIONS; i++) {
        CHECK_EQ(size_of(moved(s, "access.log", i)), sizes[i]);
        CHECK(read_lines(&traces, moved(s, "access.log", i), false) > 0);
    }
    CHECK(read_lines(&traces, server_path(s, "access.log"), false) > 0);
    check_traces(&traces, requests);
}

/* Nobody waits for anything between two signals, and files are moved while they come. */
static void storm_of_signals_loses_nothing(void **state)
{
    (void)state;
    enum { SIGNALS = 2000, ROTATIONS = SIGNALS / 100 };
    struct server *s = start(FORMAT, "--workers", "4");
    struct traces traces = {0};
    unsigned long answered;
    struct load *load = start_load(s, 32);
    load_wait_answers(load, 500);
    int n = 0;
    for (int i = 0; i < SIGNALS; i++) {
        if (i % 100 == 0 && access(server_path(s, "access.log"), F_OK) == 0)
            (void)move_away(s, "access.log", n++);
        server_signal(s, SIGUSR1);
    }
    CHECK(n > 0 && n <= ROTATIONS);
    load_wait_answers(load, 500);
    stop_load(load, &answered);
    server_skip_log(s);
    reopen(s);
    unsigned long requests = stop(s);
    CHECK(requests >= answered && requests <= answered + 32);
    CHECK_EQ(lines_count(&s->log, "worker died"), 0);
    for (int i = 0; i < n; i++)
        (void)read_lines(&traces, moved(s, "access.log", i), false);
    (void)read_lines(&traces, server_path(s, "access.log"), false);
    check_traces(&traces, requests);
}

/* Signals and forks at the same time: who is asked for before the loader has the new files gets
 * them on its own channel, who is asked for later inherits them; who leaves writes what it has. */
static void rotation_while_workers_are_replaced_loses_nothing(void **state)
{
    (void)state;
    enum { ROTATIONS = 30 };
    struct server *s = start(FORMAT, "--workers", "4");
    struct traces traces = {0};
    struct load *load = start_load(s, 16);
    for (int i = 0; i < ROTATIONS; i++) {
        load_wait_answers(load, 50);
        pid_t leaving = server_worker_pid(s, i % 4);
        CHECK(kill(leaving, SIGTERM) == 0);
        if (i % 2 == 0) /* else at the same moment */
            (void)server_wait_log(s, "worker leaves");
        const char *old = move_away(s, "access.log", i);
        CHECK(kill(-s->pid, SIGUSR1) == 0); /* to all, as supervisors may do, those just born too */
        (void)server_wait_log(s, "logs reopened");
        (void)procs_wait_gone(leaving, PATIENCE_MS);
        CHECK_EQ(count_holders(s, old), 0);
        uint64_t deadline = patience_until(PATIENCE_MS);
        while (server_worker_pid(s, i % 4) == leaving)
            CHECK(patience_turn(deadline));
        CHECK_EQ(count_holders(s, old), 0);
    }
    /* A worker that drains closes idle connections, on which a request may be under way. */
    struct load_result result = load_stop(load);
    CHECK_EQ(result.wrong, 0);
    unsigned long requests = stop(s);
    CHECK_SAYING(requests >= result.answered && requests <= result.answered + result.broken + 16,
                 "%lu requests, %lu answered, %lu broken", requests, result.answered,
                 result.broken);
    for (int i = 0; i < ROTATIONS; i++)
        (void)read_lines(&traces, moved(s, "access.log", i), false);
    (void)read_lines(&traces, server_path(s, "access.log"), false);
    check_traces(&traces, requests);
}

/* A worker that does not run is waited for by nobody; when it runs again it has one frame to obey,
 * however many reopenings there were, and ends up with the latest files. */
static void stopped_worker_gets_the_latest_files_later(void **state)
{
    (void)state;
    enum { REOPENINGS = 400 };
    struct server *s = start(FORMAT, "--workers", "2");
    pid_t stopped = server_worker_pid(s, 0);
    CHECK(kill(stopped, SIGSTOP) == 0);
    for (int i = 0; i < REOPENINGS; i++) {
        server_signal(s, SIGUSR1);
        (void)server_wait_log(s, "reopening logs");
    }
    const char *old = move_away(s, "access.log", 0);
    server_signal(s, SIGUSR1);
    (void)server_wait_log(s, "reopening logs");
    CHECK(holds(stopped, old));
    CHECK_EQ(lines_count(&s->log, "logs reopened"), 0);
    CHECK(kill(stopped, SIGCONT) == 0);
    (void)server_wait_log(s, "logs reopened processes=5");
    CHECK_EQ(count_holders(s, old), 0);
    CHECK(holds(stopped, server_path(s, "access.log")));
    CHECK_EQ(server_worker_pid(s, 0), stopped);
    free(client_get(s, "/", 200));
    (void)stop(s);
}

static void single_process_reopens_as_well(void **state)
{
    (void)state;
    enum { ROTATIONS = 10 };
    struct server *s = start(FORMAT, "--single", NULL);
    struct traces traces = {0};
    unsigned long answered;
    struct load *load = start_load(s, 16);
    for (int i = 0; i < ROTATIONS; i++) {
        load_wait_answers(load, 100);
        const char *old = move_away(s, "access.log", i);
        reopen(s);
        CHECK(!holds(s->pid, old));
    }
    load_wait_answers(load, 100);
    stop_load(load, &answered);
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    for (int i = 0; i < ROTATIONS; i++)
        CHECK(read_lines(&traces, moved(s, "access.log", i), false) > 0);
    CHECK(read_lines(&traces, server_path(s, "access.log"), false) > 0);
    CHECK(traces.n >= answered && traces.n <= answered + 16);
    check_traces(&traces, traces.n);
}

/* ---- The server's own log ---- */

/* It goes to a file, where the harness does not look: the socket's path is known all the same. One
 * and two: settings, or NULL. */
static struct server *start_with_errorlog(const char *one, const char *two)
{
    struct server *s = server_new();
    char error_log[300], access_log[300], bind[300];
    (void)snprintf(error_log, sizeof error_log, "errorlog=%s", server_path(s, "error.log"));
    (void)snprintf(access_log, sizeof access_log, "accesslog=%s", server_path(s, "access.log"));
    (void)snprintf(bind, sizeof bind, "unix:%s", server_path(s, "socket"));
    const char *args[] = {
        "run",   PROBE_SO,   "--bind", bind,   "--workers",          "2", "--set", error_log,
        "--set", access_log, "--set",  FORMAT, one ? "--set" : NULL, one, "--set", two,
        NULL};
    server_launch(s, &(struct server_options){.args = args});
    (void)snprintf(s->addresses[0], sizeof s->addresses[0], "%s", bind);
    s->n_addresses = 1;
    (void)wait_file_has(server_path(s, "error.log"), ": ready ");
    return s;
}

static const char *pid_in_log(const char *path, const char *event)
{
    static char line[512];
    const char *at = strstr(read_file(path), event);
    CHECK(at != NULL);
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

/* Master, workers, and a worker that the loader forks afterwards. */
static void everyone_writes_to_the_new_error_log(void **state)
{
    (void)state;
    struct server *s = start_with_errorlog(NULL, NULL);
    s->is_violent = true;
    pid_t victim =
        (pid_t)lines_number(pid_in_log(server_path(s, "error.log"), "worker ready slot=0"), "pid");
    free(client_get(s, "/say?text=before", 200));
    const char *old = move_away(s, "error.log", 0);
    const char *old_access = move_away(s, "access.log", 0);
    server_signal(s, SIGUSR1);
    (void)wait_file_has(server_path(s, "error.log"), ": logs reopened processes=4");
    off_t size = size_of(old);
    const char *text = read_file(old);
    CHECK_HAS(text, "probe says before");
    CHECK_TEXT(text + strlen(text) - strlen(": reopening logs\n"), ": reopening logs\n");
    CHECK_EQ(count_holders(s, old) + count_holders(s, old_access), 0);
    free(client_get(s, "/say?text=after", 200));
    (void)wait_file_has(server_path(s, "error.log"), "probe says after");
    CHECK(kill(victim, SIGKILL) == 0);
    (void)wait_file_has(server_path(s, "error.log"), "worker ready slot=0");
    CHECK_EQ(count_holders(s, old) + count_holders(s, old_access), 0);
    CHECK_EQ(count_holders(s, server_path(s, "error.log")), 4);
    CHECK_EQ(count_holders(s, server_path(s, "access.log")), 4);
    for (int i = 0; i < 20; i++)
        free(client_get(s, "/say?text=again", 200));
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK_EQ(size_of(old), size);
    CHECK_HAS(read_file(server_path(s, "error.log")), ": stopped ");
    CHECK_EQ(s->log.text.len, 0);
}

/* Workers that may not open the files get them all the same; they stay root's. */
static void log_that_workers_may_not_open_is_reopened(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct stat st;
    struct server *s = start_with_errorlog("user=65534", "group=65534");
    const char *old = move_away(s, "error.log", 0);
    const char *old_access = move_away(s, "access.log", 0);
    server_signal(s, SIGUSR1);
    (void)wait_file_has(server_path(s, "error.log"), ": logs reopened processes=4");
    CHECK_EQ(count_holders(s, old) + count_holders(s, old_access), 0);
    CHECK(stat(server_path(s, "access.log"), &st) == 0 && st.st_uid == 0);
    free(client_get(s, "/say?text=after", 200));
    (void)wait_file_has(server_path(s, "error.log"), "probe says after");
    server_signal(s, SIGTERM);
    CHECK_EQ(server_wait_exit(s), 0);
    CHECK(size_of(server_path(s, "access.log")) > 0);
}

/* ---- What does not work ---- */

static void log_that_can_not_be_opened_stays_the_old_one(void **state)
{
    (void)state;
    struct server *s = start(FORMAT, "--workers", "2");
    free(client_get(s, "/", 200));
    const char *old = move_away(s, "access.log", 0);
    CHECK(mkdir(server_path(s, "access.log"), 0755) == 0);
    server_signal(s, SIGUSR1);
    const char *line = server_wait_log(s, "log not reopened");
    CHECK_HAS(line, server_path(s, "access.log"));
    CHECK_HAS(line, "Is a directory");
    free(client_get(s, "/", 200));
    wait_lines(old, 2);
    CHECK(rmdir(server_path(s, "access.log")) == 0);
    reopen(s);
    free(client_get(s, "/", 200));
    CHECK_EQ(stop(s), 3);
    wait_lines(old, 2);
    wait_lines(server_path(s, "access.log"), 1);
}

static void standard_output_is_left_alone(void **state)
{
    (void)state;
    struct server *s =
        server_start_app(REMUDA_DEMO_SO, "--set", "accesslog=-", "--set", FORMAT, NULL);
    free(client_get(s, "/", 200));
    server_signal(s, SIGUSR1);
    (void)server_wait_log(s, "no log is a file, nothing to reopen");
    free(client_get(s, "/", 200));
    CHECK_EQ(stop(s), 2);
    (void)lines_finish(&s->out, patience_until(PATIENCE_MS));
    unsigned n = 0;
    for (const char *at = lines_text(&s->out); (at = strchr(at, '\n')); at++)
        n++;
    CHECK_EQ(n, 2);
}

/* What to reopen is for the master to say: a worker may lack the rights to open anything. */
static void worker_ignores_the_signal(void **state)
{
    (void)state;
    struct server *s = start(FORMAT, "--workers", "1");
    pid_t pid = server_worker_pid(s, 0);
    const char *old = move_away(s, "access.log", 0);
    CHECK(kill(pid, SIGUSR1) == 0);
    free(client_get(s, "/", 200));
    CHECK_EQ(server_worker_pid(s, 0), pid);
    CHECK(holds(pid, old));
    CHECK_EQ(stop(s), 1);
    CHECK(size_of(old) > 0);
    CHECK_EQ(size_of(server_path(s, "access.log")), -1);
}

SERVER_MAIN(SERVER_TEST(lines_of_many_workers_are_whole),
            SERVER_TEST(objects_of_many_workers_are_whole),
            SERVER_TEST(rotation_under_load_loses_nothing),
            SERVER_TEST(storm_of_signals_loses_nothing),
            SERVER_TEST(rotation_while_workers_are_replaced_loses_nothing),
            SERVER_TEST(stopped_worker_gets_the_latest_files_later),
            SERVER_TEST(single_process_reopens_as_well),
            SERVER_TEST(everyone_writes_to_the_new_error_log),
            SERVER_TEST(log_that_workers_may_not_open_is_reopened),
            SERVER_TEST(log_that_can_not_be_opened_stays_the_old_one),
            SERVER_TEST(standard_output_is_left_alone), SERVER_TEST(worker_ignores_the_signal))
