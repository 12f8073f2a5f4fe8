/* The old master's part of a binary upgrade. Process: master.
 *
 * The new master is a child like none of the others: not forked by the loader, in no seat, not
 * bound to this one's life. It gets copies of the listening sockets, so the queues of the kernel
 * belong to both, and nobody who waits in them notices anything. It takes nothing from them before
 * all its workers are ready (server/successor.c); whatever fails until then costs nobody a request.
 *
 * From the moment it is started the sockets are shared: a stop must neither put filters on them nor
 * remove files of unix sockets. When it is gone they are this master's again.
 *
 * The file that is run is the one that is there now, under the name by which this process was
 * started: /proc/self/exe is of no use, since it leads to the file that was replaced. */
#include "server/upgrade.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/signals.h"
#include "ipc/spawn.h"
#include "server/decide.h"
#include "server/handover.h"
#include "server/listen.h"
#include "server/origin.h"
#include "server/pidfile.h"
#include "server/strangers.h"

#define WORDS_A_TURN 16
#define MARGIN_US (DECIDE_STOP_US + CLOCK_US_PER_S) /* its own clock is over first: it knows why */

const char *const upgrade_outcome_names[UPGRADE_OUTCOMES] = {
    [UPGRADE_UNDECIDED] = "undecided", [UPGRADE_DONE] = "done", [UPGRADE_REFUSED] = "refused"};

void upgrade_init(struct upgrade *u, const struct origin *origin, struct listen_set *listeners,
                  struct listen_set *admin, const char *pidfile)
{
    *u = (struct upgrade){.origin = origin,
                          .listeners = listeners,
                          .admin = admin,
                          .pidfile = pidfile,
                          .talk_fd = -1,
                          .deadline_us = UINT64_MAX};
}

void upgrade_fini(struct upgrade *u)
{
    fd_close(&u->talk_fd);
}

pid_t upgrade_pid(const struct upgrade *u)
{
    return u->pid;
}

/* ---- Asking */

int upgrade_ask(struct upgrade *u, const char *who, bool is_whole, uint64_t *out_number,
                struct err *err)
{
    if (getpid() == 1)
        return err_set(err, EPERM,
                       "this master is pid 1: when it ends, its container ends, and the new master "
                       "with it. Start a new container instead");
    if (u->stage == UPGRADE_UP)
        return err_set(err, EBUSY,
                       "the new master of the last upgrade is running (pid %d): this one is to be "
                       "stopped (TERM), or the new one, before there is another",
                       (int)u->main_pid);
    if (u->is_asked || u->stage != UPGRADE_NONE)
        return err_set(err, EBUSY, "an upgrade is under way already (new master: pid %d)",
                       (int)u->pid);
    (void)snprintf(u->asked_by, sizeof u->asked_by, "%s", who);
    u->is_asked = true;
    u->is_whole = is_whole;
    *out_number = ++u->n_asked;
    return 0;
}

/* ---- How it ends */

static void note(struct upgrade *u, enum upgrade_outcome outcome, const char *why, uint64_t now_us)
{
    if (u->last.number == u->n_asked)
        return; /* it came out before: what happens to a master that served is another story */
    u->last = (struct upgrade_result){.number = u->n_asked,
                                      .outcome = outcome,
                                      .pid = u->main_pid,
                                      .took_us = now_us - u->begun_us};
    (void)snprintf(u->last.why, sizeof u->last.why, "%s", why);
}

static void refuse(struct upgrade *u, const char *why, uint64_t now_us)
{
    char quoted[LOG_QUOTE_MAX + 8];
    note(u, UPGRADE_REFUSED, why, now_us);
    log_error("upgrade refused", "why=%s does=\"this master goes on\"",
              log_quote(quoted, why, strlen(why)));
}

void upgrade_withdraw(struct upgrade *u, uint64_t now_us)
{
    if (!u->is_asked)
        return;
    u->is_asked = false;
    u->main_pid = 0;
    u->begun_us = now_us;
    note(u, UPGRADE_REFUSED, "the server stops", now_us);
    log_notice("upgrade refused", "why=\"%s\"", u->last.why);
}

/* ---- Beginning */

/* Whether a variable is not for the new master: what the service manager passed to this process
 * alone, and what an earlier upgrade did. */
static bool is_left_out(const char *variable)
{
    static const char *const names[] = {
        "LISTEN_PID=",     "LISTEN_PIDFDID=", "LISTEN_FDS=",
        "LISTEN_FDNAMES=", "WATCHDOG_PID=",   HANDOVER_VARIABLE "="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The environment of this one's start, borrowed, and one variable more. NULL: no memory */
static char **make_environment(const struct origin *origin, char *variable)
{
    size_t n = 0;
    while (origin->environment[n])
        n++;
    char **environment = calloc(n + 2, sizeof *environment);
    size_t kept = 0;
    for (size_t i = 0; environment && i < n; i++)
        if (!is_left_out(origin->environment[i]))
            environment[kept++] = origin->environment[i];
    if (environment)
        environment[kept] = variable;
    return environment;
}

static char **make_arguments(const struct origin *origin)
{
    char **argv = calloc((size_t)origin->argc + 2, sizeof *argv);
    if (argv)
        argv[0] = origin->program;
    for (int i = 0; argv && i < origin->argc; i++)
        argv[i + 1] = origin->argv[i];
    return argv;
}

static int *list_descriptors(const struct upgrade *u, int talk_fd, size_t *out_n)
{
    const struct listen_set *sets[] = {u->listeners, u->admin};
    int *fds = calloc(u->listeners->n + u->admin->n + 1, sizeof *fds);
    size_t n = 0;
    if (fds)
        fds[n++] = talk_fd;
    for (size_t i = 0; fds && i < 2; i++)
        for (uint32_t id = 0; id < sets[i]->n; id++)
            if (sets[i]->items[id].fd >= 0)
                fds[n++] = sets[i]->items[id].fd;
    *out_n = n;
    return fds;
}

static int start(struct upgrade *u, int talk_fd, int generation, struct err *err)
{
    const struct handover about = {.from = getpid(), .talk_fd = talk_fd, .generation = generation};
    char *variable = handover_print(&about, u->listeners, u->admin, err);
    if (!variable)
        return -err->code;
    size_t n_fds = 0;
    char **environment = make_environment(u->origin, variable);
    char **argv = make_arguments(u->origin);
    int *fds = list_descriptors(u, talk_fd, &n_fds);
    int rc = environment && argv && fds ? 0 : err_set(err, ENOMEM, "out of memory");
    const struct spawn_program program = {.path = u->origin->program,
                                          .argv = argv,
                                          .environment = environment,
                                          .folder = u->origin->folder,
                                          .kept_fds = fds,
                                          .n_kept = n_fds,
                                          .report_fd = talk_fd};
    if (rc == 0)
        rc = spawn_program(&program, &u->pid, err);
    free(variable);
    free((void *)environment);
    free((void *)argv);
    free(fds);
    return rc;
}

/* What can be told without trying; the rest is found out by execve(2) in the child. */
static int check_program(const struct origin *origin, struct err *err)
{
    struct stat st;
    if (stat(origin->program, &st) < 0)
        return err_set(err, errno, "the program is gone: %s: %s", origin->program, strerror(errno));
    if (!S_ISREG(st.st_mode) || access(origin->program, X_OK) < 0)
        return err_set(err, EACCES, "%s is no program that may be run: %s", origin->program,
                       S_ISREG(st.st_mode) ? strerror(errno) : "it is no regular file");
    return 0;
}

static void begin(struct upgrade *u, const struct upgrade_view *view)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    int ends[2] = {-1, -1};
    u->is_asked = false;
    u->pid = u->main_pid = 0;
    u->failure[0] = '\0';
    u->begun_us = view->now_us;
    u->patience_us = view->patience_us + MARGIN_US;
    log_notice("upgrading", "why=%s program=%s", u->asked_by,
               log_quote(quoted, u->origin->program, strlen(u->origin->program)));
    int rc = check_program(u->origin, &err);
    if (rc == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        rc = err_set(&err, errno, "socketpair: %s", strerror(errno));
    if (rc == 0)
        rc = start(u, ends[1], view->generation, &err);
    fd_close(&ends[1]);
    if (rc < 0) {
        fd_close(&ends[0]);
        refuse(u, err.text, view->now_us);
        return;
    }
    u->main_pid = u->pid;
    u->talk_fd = ends[0];
    u->stage = UPGRADE_BOOTING;
    u->deadline_us = view->now_us + u->patience_us;
    strangers_spare(u->pid);
    listen_share(u->listeners, true);
    listen_share(u->admin, true);
    log_notice("new master started", "pid=%d", (int)u->pid);
}

/* ---- Hearing */

static void give_up(struct upgrade *u, const char *why, uint64_t now_us)
{
    if (u->failure[0] == '\0')
        (void)snprintf(u->failure, sizeof u->failure, "%s", why);
    u->stage = UPGRADE_FAILING;
    u->deadline_us = now_us + DECIDE_STOP_US;
    (void)kill(u->pid, SIGTERM); /* a child that was not reaped yet, so it is there */
}

static void hear_ready(struct upgrade *u, const char *pid, uint64_t now_us)
{
    uint64_t number;
    if (u->stage != UPGRADE_BOOTING)
        return;
    if (str_parse_u64(str_of(pid), INT32_MAX, &number) == 0 && number > 1)
        u->main_pid = (pid_t)number;
    u->stage = UPGRADE_UP;
    u->deadline_us = UINT64_MAX;
    u->news = UPGRADE_READY;
    note(u, UPGRADE_DONE, "", now_us);
    log_notice("new master ready", "pid=%d ms=%" PRIu64, (int)u->main_pid,
               u->last.took_us / CLOCK_US_PER_MS);
}

/* An address that the new configuration does not name stays this master's alone. */
static void hear_left(struct upgrade *u, const char *address)
{
    for (uint32_t i = 0; i < u->listeners->n_addresses; i++)
        if (strcmp(u->listeners->addresses[i].text, address) == 0)
            u->listeners->addresses[i].is_shared = false;
}

/* It gives the sockets back before its workers have left, so that somebody serves meanwhile. */
static void hear_stopping(struct upgrade *u)
{
    listen_share(u->listeners, false);
    listen_share(u->admin, false);
    u->news = UPGRADE_ALONE;
}

static const char *behind(const char *text, const char *word)
{
    size_t len = strlen(word);
    return strncmp(text, word, len) == 0 ? text + len : NULL;
}

static void hear_word(struct upgrade *u, const char *text, uint64_t now_us)
{
    const char *rest;
    if ((rest = behind(text, "failed "))) {
        if (u->failure[0] == '\0') /* the first reason; others follow from it */
            (void)snprintf(u->failure, sizeof u->failure, "%s", rest);
    } else if ((rest = behind(text, "left ")))
        hear_left(u, rest);
    else if ((rest = behind(text, "ready ")))
        hear_ready(u, rest, now_us);
    else if (strcmp(text, "booting") == 0 && u->stage == UPGRADE_BOOTING)
        u->deadline_us = now_us + u->patience_us;
    else if (strcmp(text, "stopping") == 0)
        hear_stopping(u);
}

static void hear(struct upgrade *u, uint64_t now_us)
{
    char text[ERR_TEXT_MAX + 64];
    for (int i = 0; i < WORDS_A_TURN && u->talk_fd >= 0; i++) {
        ssize_t n = recv(u->talk_fd, text, sizeof text - 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            fd_close(&u->talk_fd); /* its death, most likely, of which SIGCHLD tells */
            return;
        }
        text[n] = '\0';
        hear_word(u, text, now_us);
    }
}

void upgrade_tell(const struct upgrade *u, const char *word)
{
    if (u->talk_fd >= 0 && send(u->talk_fd, word, strlen(word), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("new master not told", "word=%s why=\"%s\"", word, strerror(errno));
}

/* ---- Turns */

static void judge_patience(struct upgrade *u, uint64_t now_us)
{
    if (now_us < u->deadline_us)
        return;
    if (u->stage == UPGRADE_BOOTING) {
        give_up(u, "the new master was not ready within boot_timeout", now_us);
    } else if (u->stage == UPGRADE_FAILING) {
        (void)kill(u->pid, SIGKILL);
        u->deadline_us = UINT64_MAX;
    }
}

enum upgrade_news upgrade_turn(struct upgrade *u, const struct upgrade_view *view)
{
    if (u->is_asked && !view->is_busy)
        begin(u, view);
    hear(u, view->now_us);
    judge_patience(u, view->now_us);
    enum upgrade_news news = u->news;
    u->news = UPGRADE_QUIET;
    return news;
}

static void print_end(char out[64], int status)
{
    if (WIFSIGNALED(status))
        (void)snprintf(out, 64, "the new master died of SIG%s", signals_name(WTERMSIG(status)));
    else
        (void)snprintf(out, 64, "the new master ended with exit code %d", WEXITSTATUS(status));
}

bool upgrade_bury(struct upgrade *u, pid_t pid, int status, uint64_t now_us)
{
    char end[64];
    if (pid != u->pid || u->pid == 0)
        return false;
    hear(u, now_us); /* what it said before it died */
    fd_close(&u->talk_fd);
    print_end(end, status);
    bool was_up = u->stage == UPGRADE_UP;
    strangers_spare(0);
    listen_share(u->listeners, false);
    listen_share(u->admin, false);
    u->stage = UPGRADE_NONE;
    u->pid = 0;
    u->deadline_us = UINT64_MAX;
    u->news = UPGRADE_ALONE;
    if (u->pidfile[0])
        pidfile_sweep(u->pidfile, pid);
    if (was_up)
        log_warn("new master gone", "pid=%d why=\"%s\" does=\"this master goes on\"",
                 (int)u->main_pid, end);
    else
        refuse(u, u->failure[0] ? u->failure : end, now_us);
    return true;
}

uint64_t upgrade_next_us(const struct upgrade *u)
{
    return u->deadline_us;
}
