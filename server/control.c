/* The control socket. Process: master.
 *
 * Everybody who connects is root or the server's own user, and yet may be slow, stopped or mad: a
 * client has one line of fixed size, CLIENT_US to finish a request and CLIENT_US to take an answer;
 * there are CONTROL_CLIENTS places, and who finds none waits in the socket's queue. Only the answer
 * is allocated, when it is asked for, and freed when it is sent; if that memory is refused, that
 * costs the client. */
#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/json_out.h"
#include "base/log.h"
#include "server/control_request.h"

#define BACKLOG 128
#define CLIENT_US (10 * CLOCK_US_PER_S)
#define ACCEPT_PAUSE_US CLOCK_US_PER_S /* after descriptors ran out */
#define LOCK_TRIES 100
#define LOCK_PAUSE_NS 10000000L

enum wait { WAIT_NOTHING, WAIT_OUTCOME, WAIT_END };

struct control_client {
    int fd; /* -1: free */
    char line[CONTROL_LINE_MAX];
    size_t n;             /* bytes in line */
    struct buf out;       /* what is being sent; empty: nothing is */
    size_t sent;          /* of out */
    uint64_t deadline_us; /* to have sent its request, or taken its answer; UINT64_MAX: it waits */
    enum wait wait;
    enum control_order order; /* with WAIT_OUTCOME */
    uint64_t number;          /* with WAIT_OUTCOME */
    bool is_ended;            /* it sends nothing more */
    bool is_last;             /* to be closed when it has taken its answer */
    bool is_answered;         /* it has had one: when others wait, its place is theirs */
};

int control_init(struct control *control, const struct control_host *host)
{
    *control = (struct control){.host = *host, .listen_fd = -1};
    control->clients = calloc(CONTROL_CLIENTS, sizeof *control->clients);
    if (!control->clients)
        return -ENOMEM;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        control->clients[i].fd = -1;
    return 0;
}

/* ---- The socket */

/* Who listens there. Returns 1 somebody, *out_pid; 0 nobody any more; -errno can't tell */
static int probe(const struct sockaddr_un *address, pid_t *out_pid)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        *out_pid = peer.pid;
    fd_close(&fd);
    if (rc == 0 || rc == -EAGAIN) /* its queue is full: it is there */
        return 1;
    return rc == -ECONNREFUSED ? 0 : rc;
}

static int bind_socket(int fd, const struct sockaddr_un *address)
{
    mode_t inherited = umask(S_IRWXG | S_IRWXO | S_IXUSR); /* unix(7): the file's mode */
    int rc = bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
    (void)umask(inherited);
    return rc;
}

/* The file is there already: a dead server's is replaced. */
static int replace(int fd, const struct sockaddr_un *address, struct err *err)
{
    struct stat st;
    pid_t pid = 0;
    const char *path = address->sun_path;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(err, EEXIST, "%s: there is a file that is no socket", path);
    int rc = probe(address, &pid);
    if (rc > 0)
        return err_set(err, EADDRINUSE, "%s: the server with pid %d listens there", path, (int)pid);
    if (rc < 0 && rc != -ENOENT)
        return err_set(err, -rc, "%s: %s", path, strerror(-rc));
    (void)unlink(path); /* a refusal shows in the bind that follows */
    rc = bind_socket(fd, address);
    return rc < 0 ? err_set(err, -rc, "%s: %s", path, strerror(-rc)) : 0;
}

/* Two servers that start at once must not each take the other's new socket for a dead one's. The
 * lock is a courtesy: whoever could hold it for ever may write to the folder anyway. */
static int lock_folder(const char *path)
{
    char copy[CONTROL_PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        (void)nanosleep(&pause, NULL);
    return fd;
}

int control_open(struct control *control, const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
                       sizeof address.sun_path - 1);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, errno, "socket: %s", strerror(errno));
    int lock_fd = lock_folder(path);
    int rc = bind_socket(fd, &address);
    if (rc == -EADDRINUSE)
        rc = replace(fd, &address, err);
    else if (rc < 0)
        rc = err_set(err, -rc, "%s: %s", path, strerror(-rc));
    if (rc == 0 && (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0))
        rc = err_set(err, errno, "%s: %s", path, strerror(errno));
    fd_close(&lock_fd);
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    control->listen_fd = fd; /* commit */
    control->device = st.st_dev;
    control->inode = st.st_ino;
    (void)snprintf(control->path, sizeof control->path, "%s", path);
    return 0;
}

int control_rename(struct control *control, const char *path, pid_t leaver, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pid_t pid = 0;
    if (control->listen_fd < 0 || strcmp(control->path, path) == 0)
        return 0;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (probe(&address, &pid) > 0 && (pid == 0 || pid != leaver))
        return err_set(err, EADDRINUSE, "%s: the server with pid %d listens there", path, (int)pid);
    if (rename(control->path, path) < 0)
        return err_set(err, errno, "%s: %s", path, strerror(errno));
    (void)snprintf(control->path, sizeof control->path, "%s", path);
    return 0;
}

/* ---- Clients */

static void close_client(struct control_client *client)
{
    fd_close(&client->fd);
    buf_fini(&client->out);
    *client = (struct control_client){.fd = -1};
}

void control_close(struct control *control)
{
    struct stat st;
    if (control->listen_fd >= 0 && lstat(control->path, &st) == 0 && st.st_dev == control->device &&
        st.st_ino == control->inode)
        (void)unlink(control->path);
    fd_close(&control->listen_fd);
    control->path[0] = '\0';
    for (size_t i = 0; control->clients && i < CONTROL_CLIENTS; i++)
        close_client(&control->clients[i]);
}

void control_fini(struct control *control)
{
    control_close(control);
    free(control->clients);
    control->clients = NULL;
}

/* Sends what the socket takes. Then the client is closed, or has time for its next request. */
static void flush(struct control_client *client, uint64_t now_us)
{
    while (client->sent < client->out.len) {
        ssize_t n = send(client->fd, client->out.data + client->sent,
                         client->out.len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close_client(client);
            return;
        }
        client->sent += (size_t)n;
    }
    buf_fini(&client->out);
    client->sent = 0;
    client->is_answered = true;
    if (client->is_last || (client->is_ended && client->wait == WAIT_NOTHING && client->n == 0))
        close_client(client);
    else
        client->deadline_us = client->wait == WAIT_NOTHING ? now_us + CLIENT_US : UINT64_MAX;
}

/* ---- Answers */

static struct json_out begin_answer(struct control_client *client, bool is_ok)
{
    struct json_out out = {.buf = &client->out, .is_failed = FAULT("control.answer") != 0};
    json_out_open(&out, NULL, '{');
    json_out_bool(&out, "ok", is_ok);
    json_out_u64(&out, "protocol", CONTROL_PROTOCOL);
    json_out_text(&out, "version", STR(REMUDA_VERSION));
    return out;
}

static void send_answer(struct control_client *client, struct json_out *out, uint64_t now_us)
{
    json_out_close(out, '}');
    if (out->is_failed || buf_append(&client->out, "\n", 1) < 0) {
        log_warn("control client closed", "why=\"no memory for its answer\"");
        close_client(client);
        return;
    }
    client->deadline_us = now_us + CLIENT_US;
    flush(client, now_us);
}

static void refuse(struct control_client *client, const char *why, uint64_t now_us)
{
    struct json_out out = begin_answer(client, false);
    json_out_text(&out, "error", str_of(why));
    send_answer(client, &out, now_us);
}

static void tell_outcome(struct control_client *client, const struct control_outcome *outcome,
                         uint64_t now_us)
{
    struct json_out out = begin_answer(client, outcome->is_done);
    json_out_text(&out, "outcome", outcome->is_done ? STR("done") : STR("refused"));
    json_out_u64(&out, "generation", (uint64_t)outcome->generation);
    if (outcome->pid > 0)
        json_out_u64(&out, "pid", (uint64_t)outcome->pid);
    json_out_u64(&out, "ms", outcome->ms);
    if (!outcome->is_done)
        json_out_text(&out, "error", str_of(outcome->why));
    client->wait = WAIT_NOTHING;
    send_answer(client, &out, now_us);
}

/* ---- Requests */

static void obey_status(struct control *control, struct control_client *client,
                        const struct control_request *request, uint64_t now_us)
{
    (void)request;
    struct json_out out = begin_answer(client, true);
    control->host.status(control->host.context, &out);
    send_answer(client, &out, now_us);
}

static void obey_routes(struct control *control, struct control_client *client,
                        const struct control_request *request, uint64_t now_us)
{
    (void)request;
    if (!control->host.routes) {
        refuse(client, "this version cannot do that", now_us);
        return;
    }
    struct json_out out = begin_answer(client, true);
    control->host.routes(control->host.context, &out);
    send_answer(client, &out, now_us);
}

static void begin_order(struct control *control, struct control_client *client,
                        enum control_order order, const struct control_request *request,
                        uint64_t now_us)
{
    struct err err;
    if (!control->host.begin) {
        refuse(client, "this version cannot do that", now_us);
        return;
    }
    if (control->host.begin(control->host.context, order, &client->number, &err) < 0) {
        refuse(client, err.text, now_us);
        return;
    }
    struct json_out out = begin_answer(client, true);
    json_out_text(&out, "outcome", STR("accepted"));
    json_out_u64(&out, "number", client->number);
    client->order = order;
    client->wait = request->wants_outcome ? WAIT_OUTCOME : WAIT_NOTHING;
    send_answer(client, &out, now_us);
}

static void obey_reload(struct control *control, struct control_client *client,
                        const struct control_request *request, uint64_t now_us)
{
    begin_order(control, client, CONTROL_RELOAD, request, now_us);
}

static void obey_upgrade(struct control *control, struct control_client *client,
                         const struct control_request *request, uint64_t now_us)
{
    begin_order(control, client, CONTROL_UPGRADE, request, now_us);
}

static void obey_stop(struct control *control, struct control_client *client,
                      const struct control_request *request, uint64_t now_us)
{
    struct err err;
    if (control->host.stop(control->host.context, request->is_quick, &err) < 0) {
        refuse(client, err.text, now_us);
        return;
    }
    struct json_out out = begin_answer(client, true);
    json_out_text(&out, "outcome", STR("accepted"));
    client->wait = request->wants_outcome ? WAIT_END : WAIT_NOTHING;
    send_answer(client, &out, now_us);
}

static void obey_reopen(struct control *control, struct control_client *client,
                        const struct control_request *request, uint64_t now_us)
{
    struct err err;
    (void)request;
    if (control->host.reopen(control->host.context, &err) < 0) {
        refuse(client, err.text, now_us);
        return;
    }
    struct json_out out = begin_answer(client, true);
    json_out_text(&out, "outcome", STR("done"));
    send_answer(client, &out, now_us);
}

static void obey_scale(struct control *control, struct control_client *client,
                       const struct control_request *request, uint64_t now_us)
{
    struct err err;
    uint32_t workers = 0;
    if (!control->host.scale) {
        refuse(client, "this version cannot do that", now_us);
        return;
    }
    const char *pool = request->pool[0] ? request->pool : NULL;
    if (control->host.scale(control->host.context, pool, request->is_relative, request->workers,
                            &workers, &err) < 0) {
        refuse(client, err.text, now_us);
        return;
    }
    struct json_out out = begin_answer(client, true);
    json_out_text(&out, "outcome", STR("done"));
    if (pool)
        json_out_text(&out, "pool", str_of(pool));
    json_out_u64(&out, "workers", workers);
    send_answer(client, &out, now_us);
}

static void obey_dump(struct control *control, struct control_client *client,
                      const struct control_request *request, uint64_t now_us)
{
    struct err err;
    (void)request;
    if (!control->host.dump)
        refuse(client, "this version cannot do that", now_us);
    else if (control->host.dump(control->host.context, client->fd, &err) < 0)
        refuse(client, err.text, now_us);
    else
        close_client(client); /* the other's copy stays open */
}

static void obey_line(struct control *control, struct control_client *client, struct str line,
                      uint64_t now_us)
{
    static void (*const obey[])(struct control *, struct control_client *,
                                const struct control_request *, uint64_t) = {
        [CONTROL_REQUEST_STATUS] = obey_status,   [CONTROL_REQUEST_RELOAD] = obey_reload,
        [CONTROL_REQUEST_STOP] = obey_stop,       [CONTROL_REQUEST_SCALE] = obey_scale,
        [CONTROL_REQUEST_UPGRADE] = obey_upgrade, [CONTROL_REQUEST_REOPEN] = obey_reopen,
        [CONTROL_REQUEST_ROUTES] = obey_routes,   [CONTROL_REQUEST_DUMP] = obey_dump,
    };
    struct control_request request;
    struct err err;
    if (control_request_parse(line, &request, &err) < 0) {
        refuse(client, err.text, now_us);
        return;
    }
    if (request.kind != CONTROL_REQUEST_STATUS && request.kind != CONTROL_REQUEST_ROUTES)
        log_notice("control request", "request=%s", control_request_names[request.kind]);
    obey[request.kind](control, client, &request, now_us);
}

/* Whether a request could be obeyed now: while an answer is on its way or owed, the next waits. */
static bool can_obey(const struct control_client *client)
{
    return client->fd >= 0 && client->out.len == 0 && client->wait == WAIT_NOTHING;
}

static bool has_line(const struct control_client *client)
{
    return can_obey(client) && memchr(client->line, '\n', client->n) != NULL;
}

/* One request a turn, so that nobody who sends many at once keeps the master from its work. */
static void obey_next(struct control *control, struct control_client *client, uint64_t now_us)
{
    if (!can_obey(client))
        return;
    const char *end = memchr(client->line, '\n', client->n);
    if (end) {
        char line[CONTROL_LINE_MAX]; /* the answer may close the client, and clears it */
        size_t len = (size_t)(end - client->line);
        memcpy(line, client->line, len);
        client->n -= len + 1;
        memmove(client->line, client->line + len + 1, client->n);
        obey_line(control, client, str_make(line, len), now_us);
    } else if (client->n == sizeof client->line) {
        client->is_last = true;
        refuse(client, "a request is one line of at most 4096 bytes", now_us);
    } else if (client->is_ended) {
        close_client(client);
    }
}

static void hear_client(struct control *control, struct control_client *client, short events,
                        uint64_t now_us)
{
    if (client->out.len > 0)
        flush(client, now_us);
    if (client->fd >= 0 && events & (POLLIN | POLLHUP | POLLERR) && !client->is_ended &&
        client->n < sizeof client->line) {
        ssize_t n = recv(client->fd, client->line + client->n, sizeof client->line - client->n,
                         MSG_DONTWAIT);
        if (n > 0)
            client->n += (size_t)n;
        client->is_ended = n == 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            close_client(client);
    }
    bool is_over =
        client->is_ended || client->n == sizeof client->line; /* no room to hear it end */
    if (client->fd >= 0 && events & (POLLHUP | POLLERR) && is_over) {
        close_client(client); /* nobody is there any more to take an answer */
        return;
    }
    obey_next(control, client, now_us);
}

/* ---- Accepting */

/* A free place, else that of the one who was answered longest ago and asks for nothing. */
static struct control_client *find_place(const struct control *control)
{
    struct control_client *best = NULL;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        if (client->fd < 0)
            return client;
        if (can_obey(client) && client->is_answered && client->n == 0 &&
            (!best || client->deadline_us < best->deadline_us))
            best = client;
    }
    return best;
}

/* The mode of the file keeps others out; should somebody have changed that, this does. */
static bool is_allowed(int fd, char why[128])
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        (void)snprintf(why, 128, "the kernel does not say who you are: %s", strerror(errno));
        return false;
    }
    (void)snprintf(why, 128, "user %u may not control this server, only root and user %u may",
                   (unsigned)peer.uid, (unsigned)geteuid());
    return peer.uid == 0 || peer.uid == geteuid();
}

static void accept_clients(struct control *control, uint64_t now_us)
{
    for (;;) {
        struct control_client *client = find_place(control);
        if (!client)
            return;
        int fd = accept4(control->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                log_warn("control socket can't accept", "why=\"%s\" does=\"try again in a second\"",
                         strerror(errno));
                control->accept_us = now_us + ACCEPT_PAUSE_US;
            }
            return;
        }
        char why[128];
        close_client(client);
        client->fd = fd;
        client->deadline_us = now_us + CLIENT_US;
        if (is_allowed(fd, why))
            continue;
        log_warn("control client refused", "why=\"%s\"", why);
        client->is_last = true;
        refuse(client, why, now_us);
    }
}

/* ---- The master's turn */

void control_watch(const struct control *control, uint64_t now_us,
                   struct pollfd polls[CONTROL_POLLS])
{
    bool can_accept =
        control->listen_fd >= 0 && now_us >= control->accept_us && find_place(control) != NULL;
    polls[0] = (struct pollfd){.fd = can_accept ? control->listen_fd : -1, .events = POLLIN};
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        const struct control_client *client = &control->clients[i];
        bool wants_input =
            client->out.len == 0 && !client->is_ended && client->n < CONTROL_LINE_MAX;
        polls[1 + i] = (struct pollfd){
            .fd = client->fd,
            .events = (short)((client->out.len > 0 ? POLLOUT : 0) | (wants_input ? POLLIN : 0))};
    }
}

void control_serve(struct control *control, const struct pollfd polls[CONTROL_POLLS],
                   uint64_t now_us)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        if (polls[1 + i].revents != 0 || has_line(&control->clients[i]))
            hear_client(control, &control->clients[i], polls[1 + i].revents, now_us);
    if (now_us >= control->accept_us)
        control->accept_us = 0;
    if (polls[0].fd >= 0 && polls[0].revents != 0)
        accept_clients(control, now_us);
}

void control_report(struct control *control, uint64_t now_us)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        struct control_outcome outcome;
        if (client->fd < 0)
            continue;
        if (client->wait == WAIT_OUTCOME && client->out.len == 0 &&
            control->host.outcome(control->host.context, client->order, client->number, &outcome))
            tell_outcome(client, &outcome, now_us);
        else if (now_us >= client->deadline_us)
            close_client(client); /* nothing whole came or went in its time */
    }
}

uint64_t control_next_us(const struct control *control)
{
    uint64_t next =
        control->accept_us > 0 && control->listen_fd >= 0 ? control->accept_us : UINT64_MAX;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        const struct control_client *client = &control->clients[i];
        uint64_t at = has_line(client) ? 0 : client->deadline_us;
        if (client->fd >= 0 && at < next)
            next = at;
    }
    return next;
}
