/* Starts, watches and stops the real binary. All servers of the running test are in one table, so
 * that a test may fail anywhere and its servers still go. The test program is a subreaper: whatever
 * outlives a master becomes its child, and is found and named. */
#include "tests/harness/server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/client.h"
#include "tests/harness/load.h"
#include "tests/harness/patience.h"
#include "tests/harness/procs.h"

#undef fork /* tests start processes of their own; the ban is for the server's code */

#define SERVERS_MAX 32

static struct server *servers[SERVERS_MAX];
static size_t n_servers;

/* ---- Failure: what the servers said -------------------------------------------------------- */

static void explain(void)
{
    for (size_t i = 0; i < n_servers; i++) {
        struct server *s = servers[i];
        (void)fprintf(stderr, "---- server %zu, pid %d, standard error:\n%s", i + 1, (int)s->pid,
                      lines_text(&s->log));
        if (s->out.text.len > 0 && s->out.text.len < 4096)
            (void)fprintf(stderr, "---- standard output:\n%s", lines_text(&s->out));
        (void)fprintf(stderr, "----\n");
    }
}

void server_choose_tests(void)
{
    const char *pattern = getenv("REMUDA_TEST_FILTER");
    if (pattern)
        cmocka_set_test_filter(pattern);
}

int server_setup_group(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    procs_adopt_orphans();
    check_on_failure(explain);
    return 0;
}

/* ---- Start --------------------------------------------------------------------------------- */

struct server *server_new(void)
{
    CHECK(n_servers < SERVERS_MAX);
    struct server *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->out.fd = s->log.fd = -1;
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/remuda-test.XXXXXX");
    CHECK(mkdtemp(s->folder) != NULL);
    CHECK(chmod(s->folder, 0755) == 0); /* workers may run as another user */
    CHECK(buf_reserve(&s->out.text, 1) == 0);
    CHECK(buf_reserve(&s->log.text, 1) == 0);
    s->out.text.data[0] = s->log.text.data[0] = '\0';
    servers[n_servers++] = s;
    return s;
}

/* The settings of whoever runs the tests are not the test's. */
static void clean_environment(void)
{
    extern char **environ;
    char name[64];
    for (bool has_more = true; has_more;) {
        has_more = false;
        for (char **e = environ; e && *e && !has_more; e++) {
            size_t n = strcspn(*e, "=");
            if (strncmp(*e, "REMUDA_", 7) != 0 || n >= sizeof name)
                continue;
            memcpy(name, *e, n);
            name[n] = '\0';
            (void)unsetenv(name);
            has_more = true;
        }
    }
}

/* sd_listen_fds(3). Returns the first number that nobody passes. */
static unsigned pass_sockets(const struct server_options *o)
{
    static char pid[32], count[32];
    int high[16] = {0};
    for (size_t i = 0; i < o->n_sockets && i < 16; i++) /* out of each other's way … */
        high[i] = fcntl(o->sockets[i], F_DUPFD_CLOEXEC, 100);
    for (size_t i = 0; i < o->n_sockets; i++) /* … then to their numbers */
        if (i >= 16 || dup2(high[i], 3 + (int)i) < 0)
            _exit(126);
    if (o->n_sockets > 0) {
        (void)snprintf(pid, sizeof pid, "LISTEN_PID=%d", (int)getpid());
        (void)snprintf(count, sizeof count, "LISTEN_FDS=%zu", o->n_sockets);
        (void)putenv(pid);
        (void)putenv(count);
    }
    return 3 + (unsigned)o->n_sockets;
}

_Noreturn static void become(const struct server *s, const struct server_options *o, pid_t parent,
                             int out_fd, int log_fd)
{
    const char *program = o->program ? o->program : REMUDA_BINARY;
    const char *argv[64] = {program};
    int in_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || setpgid(0, 0) != 0 ||
        in_fd < 0 || dup2(in_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0 || close_range(pass_sockets(o), ~0U, 0) != 0 ||
        chdir(o->folder ? o->folder : s->folder) != 0)
        _exit(126);
    (void)signal(SIGPIPE, SIG_DFL);
    const char *class = getenv("REMUDA_TEST_CLASS");
    char class_setting[64];
    (void)snprintf(class_setting, sizeof class_setting, "REMUDA_WORKER_CLASS=%s",
                   class ? class : "");
    clean_environment();
    if (class)
        (void)putenv(class_setting);
    char control[128]; /* not where those of real servers are */
    (void)snprintf(control, sizeof control, "REMUDA_CONTROL_SOCKET=%s/control", s->folder);
    (void)putenv(control);
    for (size_t i = 0; o->env && o->env[i]; i++)
        (void)putenv((char *)o->env[i]);
    for (size_t i = 0; o->args && o->args[i] && i < 62; i++)
        argv[i + 1] = o->args[i];
    if (o->prepare)
        o->prepare(o->prepare_arg);
    (void)execv(program, (char *const *)argv);
    _exit(127);
}

void server_launch(struct server *s, const struct server_options *options)
{
    int out[2], log[2];
    CHECK(s->pid == 0);
    CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(log, O_CLOEXEC) == 0);
    (void)fcntl(out[1], F_SETPIPE_SZ, 1 << 20); /* a test that looks away must not lose lines */
    if (!options->is_unread)
        (void)fcntl(log[1], F_SETPIPE_SZ, 1 << 20);
    pid_t parent = getpid();
    (void)fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        become(s, options, parent, out[1], log[1]);
    s->pid = pid;
    (void)close(out[1]);
    (void)close(log[1]);
    lines_fini(&s->out);
    lines_fini(&s->log);
    lines_init(&s->out, out[0]);
    lines_init(&s->log, log[0]);
}

struct server *server_start(const struct server_options *options)
{
    struct server *s = server_new();
    server_launch(s, options);
    return s;
}

/* Appends the arguments of a NULL-terminated list. */
static size_t collect(const char **args, size_t n, size_t cap, va_list list)
{
    for (const char *arg = va_arg(list, const char *); arg; arg = va_arg(list, const char *)) {
        CHECK(n + 1 < cap);
        args[n++] = arg;
    }
    args[n] = NULL;
    return n;
}

struct server *server_start_args(const char *first, ...)
{
    const char *args[48] = {first};
    va_list list;
    va_start(list, first);
    (void)collect(args, 1, 48, list);
    va_end(list);
    return server_start(&(struct server_options){.args = args});
}

struct server *server_start_app(const char *app, ...)
{
    /* Compute workers that give way to all else would wait for other tests, until their time is
     * over. */
    const char *args[48] = {"run",       app, "--bind", "127.0.0.1:0",
                            "--workers", "2", "--set",  "compute.nice=0"};
    va_list list;
    va_start(list, app);
    (void)collect(args, 8, 48, list);
    va_end(list);
    struct server *s = server_start(&(struct server_options){.args = args});
    server_wait_ready(s);
    return s;
}

void server_relaunch(struct server *s, const char *first, ...)
{
    const char *args[48] = {first};
    va_list list;
    va_start(list, first);
    (void)collect(args, 1, 48, list);
    va_end(list);
    s->n_addresses = s->n_inodes = 0;
    server_launch(s, &(struct server_options){.args = args});
    server_wait_ready(s);
}

void server_let_crash(void)
{
    static const char ours[] = "handle_segv=0:handle_sigfpe=0:handle_sigbus=0";
    char options[512];
    const char *before = getenv("ASAN_OPTIONS");
    if (before && strstr(before, ours))
        return;
    (void)snprintf(options, sizeof options, "%s%s%s", before ? before : "", before ? ":" : "",
                   ours);
    CHECK(setenv("ASAN_OPTIONS", options, 1) == 0);
}

/* ---- What it says -------------------------------------------------------------------------- */

const char *server_wait_log(struct server *s, const char *event)
{
    const char *line = lines_wait(&s->log, event, patience_until(PATIENCE_MS));
    CHECK_SAYING(line, "the log has no \"%s\"%s", event,
                 s->log.fd < 0 ? ", and everybody has closed it" : " within the deadline");
    return line;
}

const char *server_wait_log_text(struct server *s, const char *text)
{
    const char *line = lines_wait_text(&s->log, text, patience_until(PATIENCE_MS));
    CHECK_SAYING(line, "standard error has no \"%s\"%s", text,
                 s->log.fd < 0 ? ", and everybody has closed it" : " within the deadline");
    return line;
}

void server_skip_log(struct server *s)
{
    (void)lines_take(&s->log);
    s->log.seen = s->log.text.len;
}

/* From the lines before `ready`; the search for events goes on behind that. */
static void learn_addresses(struct server *s)
{
    size_t after = s->log.seen;
    s->log.seen = 0;
    while (s->n_addresses < SERVER_ADDRESSES_MAX) {
        const char *line = lines_wait(&s->log, "listening", 0);
        if (!line || s->log.seen > after)
            break;
        char *address = s->addresses[s->n_addresses];
        CHECK_SAYING(lines_pair(line, "address", address, sizeof s->addresses[0]),
                     "no address= in: %s", line);
        unsigned port = server_port(s, s->n_addresses++);
        if (port > 0)
            s->n_inodes += procs_listener_inodes(port, s->inodes + s->n_inodes,
                                                 SERVER_LISTENERS_MAX - s->n_inodes);
    }
    s->log.seen = after;
    CHECK_SAYING(s->n_addresses > 0, "ready, but no \"listening address=\" in the log");
}

void server_wait_ready(struct server *s)
{
    (void)server_wait_log(s, "ready");
    if (s->n_addresses == 0)
        learn_addresses(s);
}

const char *server_address(const struct server *s, size_t i)
{
    CHECK(i < s->n_addresses);
    return s->addresses[i];
}

unsigned server_port(const struct server *s, size_t i)
{
    const char *colon = strrchr(s->addresses[i], ':');
    return strncmp(s->addresses[i], "http://", 7) == 0 && colon ? (unsigned)atoi(colon + 1) : 0;
}

pid_t server_worker_pid(struct server *s, int slot)
{
    char event[48];
    (void)snprintf(event, sizeof event, "worker ready slot=%d", slot);
    const char *line = lines_find_last(&s->log, event);
    return line ? (pid_t)lines_number(line, "pid") : 0;
}

size_t server_count_processes(pid_t master)
{
    pid_t below[PROCS_MAX];
    char name[32];
    size_t n = 0;
    for (size_t i = procs_below(master, below); i > 0; i--)
        n += strcmp(procs_name(below[i - 1], name, sizeof name), "remuda-compute") != 0;
    return n;
}

void server_wait_processes(struct server *s, size_t n)
{
    uint64_t deadline = patience_until(PATIENCE_MS);
    for (size_t seen = server_count_processes(s->pid); seen != n;
         seen = server_count_processes(s->pid))
        CHECK_SAYING(patience_turn(deadline), "%zu processes below the master, expected %zu", seen,
                     n);
}

pid_t server_read_pid(const char *path)
{
    int pid = 0;
    FILE *file = fopen(path, "re");
    CHECK_SAYING(file, "no pid file %s", path);
    CHECK(fscanf(file, "%d\n", &pid) == 1);
    (void)fclose(file);
    return (pid_t)pid;
}

/* ---- Files --------------------------------------------------------------------------------- */

const char *server_path(const struct server *s, const char *name)
{
    static char paths[5][256];
    static size_t next;
    char *path = paths[next++ % 5];
    (void)snprintf(path, sizeof paths[0], "%s/%s", s->folder, name);
    return path;
}

const char *server_write_file(const struct server *s, const char *name, const char *text)
{
    const char *path = server_path(s, name);
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
    return path;
}

/* ---- End ----------------------------------------------------------------------------------- */

void server_signal(struct server *s, int signal)
{
    CHECK(s->pid > 0);
    CHECK(kill(s->pid, signal) == 0);
}

static int outcome_of(const struct server *s)
{
    return WIFEXITED(s->wait_status) ? WEXITSTATUS(s->wait_status) : -WTERMSIG(s->wait_status);
}

/* Waits without failing the test; both pipes are read meanwhile, so that the end is never held up
 * by its own output. Returns false when the deadline has passed */
static bool wait_end(struct server *s, uint64_t deadline)
{
    while (s->pid > 0) {
        pid_t pid = waitpid(s->pid, &s->wait_status, WNOHANG);
        if (pid == s->pid)
            s->pid = 0;
        (void)lines_take(&s->out);
        (void)lines_take(&s->log);
        if (s->pid > 0 && !patience_turn(deadline))
            return false;
    }
    return true;
}

int server_wait_exit(struct server *s)
{
    CHECK_SAYING(wait_end(s, patience_until(PATIENCE_MS)), "the server does not end");
    return outcome_of(s);
}

pid_t server_new_master(struct server *s)
{
    const char *line = lines_find_last(&s->log, "new master started");
    CHECK(line != NULL);
    return (pid_t)lines_number(line, "pid");
}

/* The new master was the old one's child, and is this program's now, which adopts orphans. */
int server_wait_succession(struct server *s)
{
    pid_t pid = server_new_master(s);
    int code = server_wait_exit(s);
    s->pid = pid;
    return code;
}

int server_run(struct server *s)
{
    int code = server_wait_exit(s);
    uint64_t deadline = patience_until(PATIENCE_MS);
    CHECK(lines_finish(&s->out, deadline) && lines_finish(&s->log, deadline));
    return code;
}

/* Processes below this program that belong to no server that still runs. */
static size_t find_strays(pid_t out_pids[PROCS_MAX])
{
    pid_t all[PROCS_MAX], theirs[PROCS_MAX], alive[SERVERS_MAX];
    size_t n_alive = 0, n_strays = 0;
    for (size_t i = 0; i < n_servers; i++)
        if (servers[i]->pid > 0)
            alive[n_alive++] = servers[i]->pid;
    procs_reap_strays(alive, n_alive);
    size_t n = procs_below(getpid(), all);
    for (size_t i = 0; i < n; i++) {
        bool is_owned = false;
        for (size_t k = 0; k < n_alive && !is_owned; k++) {
            is_owned = all[i] == alive[k];
            size_t n_theirs = procs_below(alive[k], theirs);
            for (size_t m = 0; m < n_theirs && !is_owned; m++)
                is_owned = all[i] == theirs[m];
        }
        if (!is_owned)
            out_pids[n_strays++] = all[i];
    }
    return n_strays;
}

static bool has_listener(const struct server *s, bool is_orderly)
{
    for (size_t i = 0; i < s->n_addresses; i++) {
        unsigned port = server_port(s, i);
        const char *path = s->addresses[i] + strlen("unix:");
        if (port > 0 ? procs_is_listening(port, s->inodes, s->n_inodes)
                     : procs_is_unix_listening(path) || (is_orderly && access(path, F_OK) == 0))
            return true;
    }
    return false;
}

/* Returns false, with the reason printed, when something is left at the deadline. */
static bool is_gone(struct server *s, bool is_orderly)
{
    pid_t strays[PROCS_MAX];
    uint64_t deadline = patience_until(10000);
    size_t n = find_strays(strays);
    while ((n > 0 || has_listener(s, is_orderly)) && patience_turn(deadline))
        n = find_strays(strays);
    for (size_t i = 0; i < n; i++) {
        char command[256];
        print_error("left behind: pid %d: %s\n", (int)strays[i],
                    procs_command(strays[i], command, sizeof command));
        (void)kill(strays[i], SIGKILL);
    }
    bool is_listening = has_listener(s, is_orderly);
    if (is_listening)
        print_error("left behind: a listening socket\n");
    return n == 0 && !is_listening;
}

void server_check_gone(struct server *s, bool is_orderly)
{
    CHECK(is_gone(s, is_orderly));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* What no server may say in any test, and what only violent tests may cause. */
static bool has_complaint(struct server *s)
{
    static const char *const always[] = {"LeakSanitizer: ", "heap-buffer-overflow",
                                         "use-after-free",  "assertion",
                                         "runtime error: ", /* undefined behaviour, told */
                                         "signal=ILL"};     /* and as a trap */
    static const char *const unless_violent[] = {"AddressSanitizer", "worker died"};
    const char *text = lines_text(&s->log);
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (strstr(text, always[i]))
            return true;
    for (size_t i = 0; i < sizeof unless_violent / sizeof unless_violent[0]; i++)
        if (!s->is_violent && strstr(text, unless_violent[i]))
            return true;
    return false;
}

/* Returns false when the server did not stop as it should. */
static bool stop_one(struct server *s)
{
    bool is_good = true;
    bool was_running = s->pid > 0;
    if (was_running) {
        (void)kill(s->pid, SIGTERM);
        (void)kill(s->pid, SIGCONT);
        if (!wait_end(s, patience_until(PATIENCE_MS))) {
            print_error("the server does not stop on TERM\n");
            (void)kill(s->pid, SIGKILL);
            (void)wait_end(s, patience_until(PATIENCE_MS));
            is_good = false;
        } else if (outcome_of(s) != 0) {
            print_error("the server's exit after TERM is %d, expected 0\n", outcome_of(s));
            is_good = false;
        }
    }
    is_good = is_gone(s, was_running && is_good) && is_good;
    if (has_complaint(s)) {
        print_error("the log has what it should not have\n");
        is_good = false;
    }
    return is_good;
}

int server_teardown_clients(void **state)
{
    (void)state;
    check_context("%s", "");
    load_stop_all();
    client_close_all();
    return 0;
}

int server_teardown(void **state)
{
    bool is_good = true;
    (void)server_teardown_clients(state);
    for (size_t i = 0; i < n_servers; i++)
        is_good = stop_one(servers[i]) && is_good;
    if (!is_good)
        explain();
    while (n_servers > 0) {
        struct server *s = servers[--n_servers];
        lines_fini(&s->out);
        lines_fini(&s->log);
        (void)nftw(s->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(s);
    }
    return is_good ? 0 : -1;
}
