/* Talking to a running server. Process: the commands status, top, reload, stop, scale, upgrade,
 * reopen. */
#include "server/ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/json_value.h"
#include "config/settings.h"
#include "ipc/signals.h"
#include "server/cli.h"
#include "server/control.h"
#include "server/pidfile.h"
#include "server/plain.h"

#define ANSWER_MAX (64U << 20) /* of one answer; 512 workers need less than 1 MiB */

__attribute__((format(printf, 3, 4))) static int refuse(struct ctl *ctl, int code,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ctl->why, sizeof ctl->why, format, args);
    va_end(args);
    if (!ctl->is_quiet)
        (void)fprintf(stderr, "remuda %s: %s\n", ctl->command, ctl->why);
    return code;
}

/* ---- The command line */

static bool find_path(struct ctl *ctl, int *out_exit)
{
    struct err err;
    const struct settings *settings = ctl->merge.settings;
    if (control_path_find(settings, &ctl->path, &err) < 0) {
        *out_exit = refuse(ctl, CLI_CONFIG, "%s", err.text);
        return false;
    }
    /* Where relative paths begin, of the socket and of the pid file. */
    if (settings->chdir && chdir(settings->chdir) < 0 && ctl->path.is_explicit) {
        *out_exit = refuse(ctl, CLI_CONFIG, "chdir %s: %s", settings->chdir, strerror(errno));
        return false;
    }
    return true;
}

bool ctl_begin(struct ctl *ctl, const char *command, int argc, char **argv,
               struct merge_option *options, size_t max_rest, int *out_exit)
{
    struct merge_input in = {.argc = argc,
                             .argv = argv,
                             .environment = environ,
                             .options = options,
                             .keeps_settings = true};
    *ctl = (struct ctl){.command = command, .fd = -1};
    int rc = merge_settings(&in, &ctl->merge);
    if (ctl->merge.is_help_wanted) {
        cli_print_help(command, stdout);
        *out_exit = CLI_OK;
        return false;
    }
    if (rc < 0 && !ctl->merge.settings) {
        merge_print(&ctl->merge, stderr);
        *out_exit = ctl->merge.exit_code;
        return false;
    }
    if (ctl->merge.n_rest > max_rest) {
        *out_exit = cli_refuse_argument(command, ctl->merge.rest[max_rest]);
        return false;
    }
    return find_path(ctl, out_exit);
}

void ctl_end(struct ctl *ctl)
{
    ctl_disconnect(ctl);
    merge_fini(&ctl->merge);
}

/* ---- Finding the server */

/* What the user would call the server that is not there. */
static const char *name_server(const struct ctl *ctl)
{
    const char *file = ctl->merge.settings->file;
    return ctl->path.is_explicit ? ctl->path.places[0] : file ? file : "this folder";
}

static int connect_to(struct ctl *ctl, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = errno;
        fd_close(&fd);
        return -code;
    }
    struct ucred peer;
    socklen_t len = sizeof peer;
    /* Somebody else's socket under a name that is ours: not to be told anything, nor believed. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        (peer.uid != 0 && peer.uid != geteuid() && geteuid() != 0)) {
        fd_close(&fd);
        return -EPERM;
    }
    ctl->fd = fd;
    ctl->server_pid = peer.pid;
    (void)snprintf(ctl->socket, sizeof ctl->socket, "%s", path);
    return 0;
}

/* How much an error tells; the place with the most telling one is what is reported. */
static int weigh(int code)
{
    return code == ENOENT || code == ENOTDIR ? 0 : code == ECONNREFUSED ? 1 : 2;
}

int ctl_try_connect(struct ctl *ctl)
{
    int worst = 0;
    for (size_t i = 0; i < ctl->path.n; i++) {
        int rc = connect_to(ctl, ctl->path.places[i]);
        if (rc == 0)
            return 0;
        if (worst == 0 || weigh(-rc) > weigh(-worst)) {
            worst = rc;
            (void)snprintf(ctl->socket, sizeof ctl->socket, "%s", ctl->path.places[i]);
        }
    }
    return worst == 0 ? -ENOENT : worst;
}

static int explain(struct ctl *ctl, int code)
{
    const char *file = ctl->merge.settings->file;
    const char *with = file ? " -c " : " APP.so";
    struct stat st;
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        (void)refuse(ctl, CLI_NOBODY,
                     "no remuda is running for %s: nothing listens on %s; start it with "
                     "`remuda run%s%s`",
                     name_server(ctl), ctl->socket, with, file ? file : "");
        break;
    case ECONNREFUSED:
        (void)refuse(ctl, CLI_NOBODY,
                     "no remuda is running for %s: %s is left over from one that has died; start "
                     "it with `remuda run%s%s`, which replaces the file",
                     name_server(ctl), ctl->socket, with, file ? file : "");
        break;
    case EACCES:
    case EPERM:
        if (stat(ctl->socket, &st) == 0)
            return refuse(ctl, CLI_CONFIG,
                          "no permission to use %s: it belongs to user %u; be that user, or root",
                          ctl->socket, (unsigned)st.st_uid);
        return refuse(ctl, CLI_CONFIG, "no permission to use %s: be the server's user, or root",
                      ctl->socket);
    default:
        return refuse(ctl, CLI_CONFIG, "%s: %s", ctl->socket, strerror(code));
    }
    if (!mistakes_is_empty(&ctl->merge.mistakes) && !ctl->is_quiet) {
        mistakes_print(&ctl->merge.mistakes, "", stderr);
        (void)refuse(ctl, CLI_NOBODY,
                     "if %s names a control_socket, that could not be read: say --control-socket "
                     "PATH",
                     file ? file : "the environment");
    }
    return CLI_NOBODY;
}

/* The server that has no socket but a pid file; 0: there is none. */
static pid_t find_by_pidfile(const struct ctl *ctl)
{
    struct err err;
    pid_t pid;
    const char *path = ctl->merge.settings->pidfile;
    return path && path[0] && pidfile_read(path, &pid, &err) == 0 ? pid : 0;
}

int ctl_connect(struct ctl *ctl)
{
    int rc = ctl->path.is_off ? -ENOENT : ctl_try_connect(ctl);
    if (rc == 0)
        return 0;
    ctl->server_pid = weigh(-rc) < 2 ? find_by_pidfile(ctl) : 0;
    if (ctl->server_pid > 0)
        return refuse(
            ctl, CLI_CONFIG,
            "the server (pid %d, as %s says) has no control socket; signals reach it, see "
            "docs/signals.md",
            (int)ctl->server_pid, ctl->merge.settings->pidfile);
    if (ctl->path.is_off)
        return refuse(ctl, CLI_NOBODY,
                      "control_socket is off, and no pid file names a server: none can be asked");
    return explain(ctl, -rc);
}

void ctl_disconnect(struct ctl *ctl)
{
    fd_close(&ctl->fd);
    buf_fini(&ctl->in);
    ctl->taken = 0;
}

/* ---- Asking */

int ctl_send(struct ctl *ctl, const char *request)
{
    char line[CONTROL_LINE_MAX];
    int n = snprintf(line, sizeof line, "%s\n", request);
    if (n < 0 || (size_t)n >= sizeof line)
        return refuse(ctl, CLI_USAGE, "the request is too long");
    ssize_t sent = send(ctl->fd, line, (size_t)n, MSG_NOSIGNAL);
    /* It may have refused us already, and says why: then that is to be read. */
    if (sent != n && errno != EPIPE && errno != ECONNRESET)
        return refuse(ctl, CLI_CONFIG, "%s: %s", ctl->socket, strerror(errno));
    return 0;
}

/* Waits for more. Returns 1 something came; 0 the end; -ETIMEDOUT; -errno */
static int fill(struct ctl *ctl, uint64_t deadline_us)
{
    for (;;) {
        uint64_t now_us = clock_now_us();
        struct pollfd poll_fd = {.fd = ctl->fd, .events = POLLIN};
        uint64_t left_ms = deadline_us > now_us ? (deadline_us - now_us) / 1000 + 1 : 0;
        int n = poll(&poll_fd, 1,
                     deadline_us == CTL_FOREVER ? -1
                     : left_ms > 60000          ? 60000
                                                : (int)left_ms);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0 && clock_now_us() >= deadline_us)
            return -ETIMEDOUT;
        if (n <= 0)
            continue;
        if (ctl->in.len > ANSWER_MAX || buf_reserve(&ctl->in, 65536) < 0)
            return -ENOMEM;
        ssize_t got = recv(ctl->fd, ctl->in.data + ctl->in.len, ctl->in.cap - ctl->in.len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got > 0)
            ctl->in.len += (size_t)got;
        return got < 0 ? -errno : got > 0;
    }
}

static int receive_line(struct ctl *ctl, uint64_t timeout_us, struct str *out)
{
    uint64_t deadline_us = timeout_us == CTL_FOREVER ? CTL_FOREVER : clock_now_us() + timeout_us;
    buf_consume(&ctl->in, ctl->taken);
    ctl->taken = 0;
    size_t looked = 0;
    for (;;) {
        const char *end =
            ctl->in.len > looked ? memchr(ctl->in.data + looked, '\n', ctl->in.len - looked) : NULL;
        if (end) {
            *out = str_make(ctl->in.data, (size_t)(end - ctl->in.data));
            ctl->taken = out->len + 1;
            return 0;
        }
        looked = ctl->in.len;
        int rc = fill(ctl, deadline_us);
        if (rc <= 0)
            return rc == 0 ? -EPIPE : rc;
    }
}

int ctl_receive(struct ctl *ctl, uint64_t timeout_us, struct str *out_answer)
{
    struct str line;
    int rc = receive_line(ctl, timeout_us, &line);
    if (rc == -ETIMEDOUT)
        return refuse(ctl, CLI_CONFIG,
                      "the server (pid %d) has not answered for %d s: is it stopped, or stuck?",
                      (int)ctl->server_pid, (int)(timeout_us / CLOCK_US_PER_S));
    if (rc == -EPIPE || rc == -ECONNRESET)
        return refuse(ctl, CLI_CONFIG,
                      "the server (pid %d) has closed the connection without an "
                      "answer; its log may say why",
                      (int)ctl->server_pid);
    if (rc < 0)
        return refuse(ctl, CLI_CONFIG, "%s: %s", ctl->socket, strerror(-rc));
    const char *wrong = json_value_check(line, out_answer);
    if (wrong || json_value_kind(*out_answer) != JSON_OBJECT)
        return refuse(ctl, CLI_CONFIG, "what answers on %s is no remuda: %s", ctl->socket,
                      wrong ? wrong : "not an object");
    return 0;
}

int ctl_check(struct ctl *ctl, struct str answer)
{
    char why[sizeof ctl->why];
    char version[64];
    if (str_is_equal(json_value_find(answer, "ok"), STR("true")))
        return 0;
    (void)plain_text(why, sizeof why, json_value_find(answer, "error"), PLAIN_ANY);
    (void)plain_text(version, sizeof version, json_value_find(answer, "version"), PLAIN_ANY);
    bool is_other = version[0] && strcmp(version, REMUDA_VERSION) != 0;
    return refuse(ctl, CLI_CONFIG, "%s%s%s%s", why[0] ? why : "refused, and it does not say why",
                  is_other ? " (the server is of version " : "", is_other ? version : "",
                  is_other ? ", this command of " REMUDA_VERSION ")" : "");
}

int ctl_ask(struct ctl *ctl, const char *request, struct str *out_answer)
{
    int code = ctl_send(ctl, request);
    if (code == 0)
        code = ctl_receive(ctl, CTL_ANSWER_US, out_answer);
    return code == 0 ? ctl_check(ctl, *out_answer) : code;
}

static int send_signal(struct ctl *ctl, int number)
{
    const char *pidfile = ctl->merge.settings->pidfile;
    if (kill(ctl->server_pid, number) < 0)
        return refuse(ctl, errno == ESRCH ? CLI_NOBODY : CLI_CONFIG, "pid %d, as %s says: %s",
                      (int)ctl->server_pid, pidfile, strerror(errno));
    (void)printf("no control socket: %s sent to pid %d, as %s says; the server's log tells what "
                 "becomes of it\n",
                 signals_name(number), (int)ctl->server_pid, pidfile);
    return 0;
}

int ctl_order(struct ctl *ctl, const char *request, int number, struct str *out_answer,
              bool *out_is_signalled)
{
    *out_is_signalled = false;
    int rc = ctl->path.is_off ? -ENOENT : ctl_try_connect(ctl);
    if (rc == 0)
        return ctl_ask(ctl, request, out_answer);
    ctl->server_pid = number > 0 && weigh(-rc) < 2 ? find_by_pidfile(ctl) : 0;
    *out_is_signalled = ctl->server_pid > 0;
    return *out_is_signalled ? send_signal(ctl, number) : ctl_connect(ctl);
}

int ctl_wait_end(struct ctl *ctl)
{
    struct str line;
    int process_fd = (int)syscall(SYS_pidfd_open, ctl->server_pid, 0);
    int rc = ctl->fd >= 0 ? receive_line(ctl, CTL_FOREVER, &line) : -EPIPE;
    /* What the socket's end leaves open is whether the process is reaped: a moment. In another pid
     * namespace its number means nothing, and the end of the socket must do. */
    struct pollfd gone = {.fd = process_fd, .events = POLLIN};
    while (process_fd >= 0 && poll(&gone, 1, -1) < 0 && errno == EINTR)
        ;
    fd_close(&process_fd);
    return rc == -EPIPE || rc == -ECONNRESET
               ? 0
               : refuse(ctl, CLI_CONFIG, "%s: %s", ctl->socket, rc < 0 ? strerror(-rc) : "?");
}
