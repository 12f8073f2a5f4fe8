/* The connections of an event worker. Reading order: client_open(), on_client(), client_turn(),
 * client_wait(). Each turn ends with what the machine waits for becoming what the loop watches;
 * there is no libev timer for each connection, only the lists of clocks, and one for a stream that
 * waits. */
#include "workers/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "workers/drain.h"

#define TURN_ROUNDS 16     /* writes a turn for one connection, so that others get theirs */
#define LOOKS_A_TIMEOUT 10 /* how often one who is sent an answer is asked in write_timeout */
#define LINGER_US (2 * CLOCK_US_PER_S)      /* without an octet */
#define LINGER_MAX_US (30 * CLOCK_US_PER_S) /* whatever comes; a guess, as others have it */

struct client {
    ev_io io;
    struct clients *all;
    struct conn conn;
    struct list link;     /* in all->clocks[clock] */
    uint64_t since_us;    /* when its clock was started */
    uint64_t linger_us;   /* when our side was shut */
    uint64_t blocked_us;  /* CLIENT_CLOCK_WRITE: since when it waits for the client */
    uint64_t given;       /* octets handed to the kernel since it waits */
    uint64_t taken;       /* and those that the client has taken, at the last look */
    uint64_t looked_us;   /* when that was */
    int queued;           /* octets in the socket when it began to wait */
    struct ev_timer *due; /* when its stream goes on; NULL until one waits */
    uint8_t clock;        /* enum client_clock */
    bool is_tcp;          /* and not of a unix socket */
    bool has_more; /* its stream waits, and it has sent more, or its next request, meanwhile */
};

static void on_client(struct ev_loop *loop, ev_io *watcher, int events);
static void on_due(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_tickets(struct ev_loop *loop, ev_io *watcher, int events);

int client_init(struct clients *all, struct ev_loop *loop, struct web *web, void (*on_closed)(void),
                void (*on_idle)(void))
{
    *all = (struct clients){.loop = loop, .web = web, .on_closed = on_closed, .on_idle = on_idle};
    for (int i = 0; i < CLIENT_CLOCKS; i++)
        list_init(&all->clocks[i]);
    const struct settings *settings = web->settings;
    all->limits_us[CLIENT_CLOCK_IDLE] = settings->keepalive_us;
    all->limits_us[CLIENT_CLOCK_HEAD] = settings->header_timeout_us;
    all->limits_us[CLIENT_CLOCK_BODY] = settings->body_timeout_us;
    all->limits_us[CLIENT_CLOCK_LINGER] = LINGER_US;
    all->tickets = calloc(1, sizeof *all->tickets);
    if (!all->tickets)
        return -ENOMEM;
    ev_io_init(all->tickets, on_tickets, web->box.wake_fd, EV_READ);
    all->tickets->data = all;
    ev_io_start(loop, all->tickets);
    return 0;
}

static void client_close(struct client *client)
{
    struct clients *all = client->all;
    conn_fini(&client->conn);
    ev_io_stop(client->all->loop, &client->io);
    if (client->due) {
        ev_timer_stop(client->all->loop, client->due);
        free(client->due);
    }
    list_unlink(&client->link);
    if (client->conn.is_broken) { /* an end without reset would look like that of the answer */
        struct linger reset = {.l_onoff = 1};
        (void)setsockopt(client->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    (void)close(client->io.fd);
    free(client);
    all->n--;
    atomic_store_explicit(&all->web->part.head->connections, all->n, memory_order_relaxed);
    all->on_closed();
}

static enum client_clock clock_for(const struct client *client, enum conn_wait wait)
{
    switch (wait) {
    case CONN_WAIT_REQUEST: /* a new connection owes its first request as one owes a head */
        return client->conn.n_requests == 0 && !client->all->is_draining ? CLIENT_CLOCK_HEAD
                                                                         : CLIENT_CLOCK_IDLE;
    case CONN_WAIT_HEAD:
        return CLIENT_CLOCK_HEAD;
    case CONN_WAIT_BODY:
        return CLIENT_CLOCK_BODY;
    case CONN_WAIT_WRITE:
        return CLIENT_CLOCK_WRITE;
    case CONN_WAIT_LINGER:
        return CLIENT_CLOCK_LINGER;
    default:
        return CLIENT_CLOCK_NONE;
    }
}

/* Lists are in the order of time. A clock that began earlier than others that are there has its
 * place before them; mostly that is the end. */
static void enlist(struct client *client)
{
    struct list *list = &client->all->clocks[client->clock];
    struct list *before = list;
    list_unlink(&client->link);
    while (before->prev != list &&
           LIST_ENTRY(before->prev, struct client, link)->since_us > client->since_us)
        before = before->prev;
    list_push(before, &client->link);
}

/* A head's clock runs from its first octet; the others start again with every progress, but one who
 * lingers has an end. */
static void client_set_clock(struct client *client, enum conn_wait wait)
{
    enum client_clock clock = clock_for(client, wait);
    uint64_t since_us = client->all->web->env.now_us;
    if (wait == CONN_WAIT_HEAD)
        since_us = client->conn.ex->req.started_us;
    if (clock == CLIENT_CLOCK_LINGER && since_us > client->linger_us + LINGER_MAX_US - LINGER_US)
        since_us = client->linger_us + LINGER_MAX_US - LINGER_US;
    if (clock == client->clock && clock == CLIENT_CLOCK_HEAD && since_us == client->since_us)
        return;
    if (clock == client->clock && clock == CLIENT_CLOCK_HEAD && wait == CONN_WAIT_REQUEST)
        return;
    if (clock == client->clock && clock == CLIENT_CLOCK_WRITE)
        return; /* check_writers() knows better whether the client takes anything */
    client->clock = (uint8_t)clock;
    client->since_us = since_us;
    enlist(client);
    if (clock == CLIENT_CLOCK_IDLE && client->all->wants_idle) {
        client->all->wants_idle = false;
        client->all->on_idle();
    }
}

static void client_watch(struct client *client, int events)
{
    if ((client->io.events & (EV_READ | EV_WRITE)) == events && ev_is_active(&client->io))
        return;
    int fd = client->io.fd;
    ev_io_stop(client->all->loop, &client->io);
    if (events == 0)
        return;
    ev_io_set(&client->io, fd, events);
    ev_io_start(client->all->loop, &client->io);
}

/* A stream that waits: one timer of its own, made at the first wait. */
static bool client_set_due(struct client *client)
{
    if (!client->due) {
        client->due = calloc(1, sizeof *client->due);
        if (!client->due)
            return false;
        ev_timer_init(client->due, on_due, 0., 0.);
        client->due->data = client;
    }
    uint64_t now_us = client->all->web->env.now_us;
    uint64_t resume_us = client->conn.resume_us;
    ev_timer_stop(client->all->loop, client->due);
    if (resume_us == CONN_NEVER_US)
        return true;
    double wait_s = resume_us > now_us ? (double)(resume_us - now_us) / 1e6 : 0.;
    ev_timer_set(client->due, wait_s, 0.);
    ev_timer_start(client->all->loop, client->due);
    return true;
}

/* Octets in the socket that the client has not taken. */
static int count_queued(const struct client *client)
{
    int n = 0;
    return ioctl(client->io.fd, SIOCOUTQ, &n) < 0 ? 0 : n;
}

static void begin_waiting(struct client *client)
{
    client->blocked_us = client->looked_us = client->all->web->env.now_us;
    client->queued = count_queued(client);
    client->given = client->taken = 0;
}

/* What the machine waits for becomes what the loop watches.
 * Returns false when the connection is over and the client freed */
static bool client_wait(struct client *client)
{
    enum conn_wait wait = conn_wait(&client->conn);
    int events = EV_READ;
    switch (wait) {
    case CONN_WAIT_CLOSE:
        client_close(client);
        return false;
    case CONN_WAIT_WRITE:
        if (client->clock != CLIENT_CLOCK_WRITE)
            begin_waiting(client);
        events = EV_WRITE;
        break;
    case CONN_WAIT_TIMER: /* readable: it may have left */
        events = client->has_more ? 0 : EV_READ;
        if (!client_set_due(client)) {
            client_close(client);
            return false;
        }
        break;
    case CONN_WAIT_LINGER:
        if (client->clock != CLIENT_CLOCK_LINGER) {
            (void)shutdown(client->io.fd, SHUT_WR); /* ENOTCONN: the client is gone already */
            client->linger_us = client->all->web->env.now_us;
        }
        break;
    default:
        break;
    }
    if (wait != CONN_WAIT_TIMER) {
        client->has_more = false;
        if (client->due)
            ev_timer_stop(client->all->loop, client->due);
    }
    client_set_clock(client, wait);
    client_watch(client, events);
    return true;
}

/* One system call's worth out of memory. *out_total: octets there were */
static ssize_t send_memory(const struct client *client, struct iovec *parts, int n,
                           size_t *out_total)
{
    int fd = client->io.fd;
    *out_total = parts[0].iov_len + (n > 1 ? parts[1].iov_len : 0);
    if (__builtin_expect(conn_output_has_file(&client->conn), 0)) { /* shares its last segment */
        struct msghdr head = {.msg_iov = parts, .msg_iovlen = (size_t)n};
        return sendmsg(fd, &head, MSG_MORE | MSG_NOSIGNAL);
    }
    return n == 1 ? write(fd, parts[0].iov_base, parts[0].iov_len) : writev(fd, parts, n);
}

/* And out of a file; one that has become shorter ends the connection. */
static ssize_t send_file(const struct client *client, struct conn_file *file, size_t *out_total)
{
    *out_total = file->len;
    ssize_t sent = sendfile(client->io.fd, file->fd, &file->offset, file->len);
    if (sent == 0)
        errno = EIO;
    return sent == 0 ? -1 : sent;
}

/* Writes what there is. Returns false when the socket takes no more or is broken */
static bool client_send(struct client *client)
{
    struct iovec parts[2];
    for (;;) {
        size_t total;
        ssize_t sent;
        struct conn_file file;
        int n = conn_output(&client->conn, parts);
        if (n > 0)
            sent = send_memory(client, parts, n, &total);
        else if (conn_output_file(&client->conn, &file))
            sent = send_file(client, &file, &total);
        else
            return true;
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                conn_fini(&client->conn);
            return false;
        }
        web_count(&client->all->web->part.head->bytes_out, (uint64_t)sent);
        client->given += (uint64_t)sent;
        conn_output_sent(&client->conn, (size_t)sent);
        if ((size_t)sent < total)
            return false; /* the socket's buffer is full: no need to be told with EAGAIN */
    }
}

static bool has_unread(const struct client *client)
{
    char octet;
    return recv(client->io.fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Returns false when the connection is over and the client freed. */
static bool client_turn(struct client *client)
{
    for (int round = 0; round < TURN_ROUNDS; round++) {
        conn_process(&client->conn);
        if (!client_send(client) || !conn_can_go_on(&client->conn))
            break;
    }
    bool is_cut = client->conn.state == CONN_CLOSED;
    conn_settle(&client->conn);
    if (!is_cut && !client->conn.is_broken && client->conn.state == CONN_CLOSED &&
        has_unread(client))
        conn_linger(&client->conn);
    return client_wait(client);
}

static void client_read(struct client *client)
{
    char *space;
    size_t room;
    conn_input_space(&client->conn, &space, &room);
    ssize_t n = room > 0 ? read(client->io.fd, space, room) : -1;
    if (n > 0) {
        web_count(&client->all->web->part.head->bytes_in, (uint64_t)n);
        conn_on_input(&client->conn, (size_t)n);
    } else if (n == 0) {
        conn_on_eof(&client->conn);
    } else if (room == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_fini(&client->conn); /* no memory, or a reset */
    }
}

/* While a stream waits nothing is read, but a client that leaves must be noticed before the next
 * write, which may be an hour away. One that only ends its side is taken as gone, as others do. */
static void client_peek(struct client *client)
{
    char octet;
    ssize_t n = recv(client->io.fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0)
        client->has_more = true;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        conn_on_eof(&client->conn);
}

static void on_client(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    struct client *client = (struct client *)(void *)watcher;
    /* Not conn_wait(): the stream's time may have come a moment before its timer. */
    uint8_t state = client->conn.state;
    bool is_waiting = state == CONN_STREAM || state == CONN_DEFERRED || state == CONN_AWAY;
    if ((events & EV_READ) && is_waiting)
        client_peek(client);
    else if (events & EV_READ)
        client_read(client);
    (void)client_turn(client);
}

static void on_due(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct client *client = watcher->data;
    RMD_ASSERT(client->conn.resume_us != CONN_NEVER_US);
    if (client->all->web->env.now_us < client->conn.resume_us)
        client->all->web->env.now_us =
            client->conn.resume_us; /* libev's clock and ours differ by little */
    (void)client_turn(client);
}

static struct client *client_of(struct conn *conn)
{
    return (struct client *)(void *)((char *)conn - offsetof(struct client, conn));
}

/* Answers that the app had put off and that came in. */
static void on_tickets(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct clients *all = watcher->data;
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&all->web->box); d; d = next) {
        next = d->next;
        struct conn *conn = conn_on_ticket(&all->web->env, d);
        if (conn)
            (void)client_turn(client_of(conn));
    }
}

/* Keeps what is known of the address; a mapped one of a dual-stack socket as the IPv4 address it
 * is. */
static struct peer peer_from(const struct sockaddr_storage *address)
{
    struct peer peer = {0};
    memcpy(&peer.address, address, sizeof peer.address);
    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.address.v6.sin6_addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = peer.address.v6.sin6_port};
        memcpy(&v4.sin_addr, &peer.address.v6.sin6_addr.s6_addr[12], 4);
        peer.address.v4 = v4;
    }
    return peer;
}

void client_open(struct clients *all, int fd, const struct sockaddr_storage *address)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        log_error("no memory for a connection", "open=%zu", all->n);
        (void)close(fd);
        return;
    }
    struct peer peer = peer_from(address);
    conn_init(&client->conn, &all->web->env, &peer);
    ev_io_init(&client->io, on_client, fd, EV_READ);
    list_init(&client->link);
    client->all = all;
    client->clock = CLIENT_CLOCK_NONE;
    client->is_tcp = address->ss_family != AF_UNIX;
    all->n++;
    struct seat_head *head = all->web->part.head;
    web_count(&head->accepted, 1);
    atomic_store_explicit(&head->connections, all->n, memory_order_relaxed);
    client_read(client); /* TCP_DEFER_ACCEPT: the request is usually here already */
    (void)client_turn(client);
}

bool client_has_idle(const struct clients *all)
{
    return !list_is_empty(&all->clocks[CLIENT_CLOCK_IDLE]);
}

/* After one more look whether a request is already there: a client that has just sent one must not
 * lose it. */
static void close_if_idle(struct client *client)
{
    list_unlink(&client->link);
    client->clock = CLIENT_CLOCK_NONE;
    if (client->conn.state == CONN_IDLE || client->conn.state == CONN_PROXY)
        client_read(client);
    if (client_turn(client) && conn_wait(&client->conn) == CONN_WAIT_REQUEST)
        client_close(client);
}

void client_close_oldest_idle(struct clients *all)
{
    close_if_idle(LIST_ENTRY(all->clocks[CLIENT_CLOCK_IDLE].next, struct client, link));
}

/* ---- time-outs ---- */

static void expire(struct clients *all, enum client_clock clock)
{
    struct list *list = &all->clocks[clock];
    uint64_t limit_us = all->limits_us[clock];
    while (limit_us > 0 && !list_is_empty(list)) {
        struct client *client = LIST_ENTRY(list->next, struct client, link);
        if (client->all->web->env.now_us < client->since_us + limit_us)
            return;
        if (conn_wait(&client->conn) == CONN_WAIT_REQUEST) {
            close_if_idle(client);
            continue;
        }
        list_unlink(&client->link); /* whatever follows, it is not looked at again in this loop */
        client->clock = CLIENT_CLOCK_NONE;
        conn_on_timeout(&client->conn);
        (void)client_turn(client);
    }
}

/* Has the client taken enough of its answer, and lately? What the kernel takes from us says little:
 * it makes its buffer larger on its own account, up to megabytes, and calls a socket writable only
 * when a third of it is free. So this counts what has left the buffer: for TCP what was
 * acknowledged. A unix socket counts its overhead too, but its buffer never grows, so there what it
 * took is what the client took. */
static bool is_taking(struct client *client)
{
    const struct settings *settings = client->all->web->settings;
    uint64_t now_us = client->all->web->env.now_us;
    int queued = count_queued(client);
    uint64_t taken = client->given;
    if (client->is_tcp || queued < client->queued)
        taken = (uint64_t)((int64_t)taken + client->queued - queued);
    if (taken > client->taken) {
        client->taken = taken;
        client->since_us = now_us;
    }
    uint64_t limit_us = settings->write_timeout_us;
    return now_us < client->since_us + limit_us &&
           !limits_is_too_slow(now_us - client->blocked_us, taken, limit_us,
                               (uint32_t)settings->write_min_rate_bytes);
}

/* Looks at those who are sent an answer and do not take it as fast as it comes, at each of them now
 * and then: a thousand system calls in one turn would be noticed by everybody else. Who is cut off
 * is reset: otherwise the kernel would keep what is queued, and try for minutes to deliver it. */
static void check_writers(struct clients *all)
{
    struct list *list = &all->clocks[CLIENT_CLOCK_WRITE];
    uint64_t now_us = all->web->env.now_us;
    uint64_t period_us = all->web->settings->write_timeout_us / LOOKS_A_TIMEOUT;
    while (!list_is_empty(list)) { /* whoever was looked at longest ago comes first */
        struct client *client = LIST_ENTRY(list->next, struct client, link);
        if (now_us < client->looked_us + period_us)
            return;
        list_unlink(&client->link);
        client->looked_us = now_us;
        if (is_taking(client)) {
            list_push(list, &client->link);
            continue;
        }
        client->clock = CLIENT_CLOCK_NONE;
        client->conn.is_broken = true;
        conn_on_timeout(&client->conn);
        (void)client_turn(client);
    }
}

void client_expire(struct clients *all)
{
    for (int clock = 0; clock < CLIENT_CLOCK_NONE; clock++)
        if (clock != CLIENT_CLOCK_WRITE)
            expire(all, (enum client_clock)clock);
    check_writers(all);
}

/* ---- the end ---- */

void client_drain(struct clients *all, uint64_t window_us)
{
    uint64_t now_us = all->web->env.now_us;
    struct list *idle = &all->clocks[CLIENT_CLOCK_IDLE];
    RMD_ASSERT(window_us > 0);
    all->is_draining = true;
    all->limits_us[CLIENT_CLOCK_IDLE] = window_us;
    LIST_FOREACH (link, idle)
        LIST_ENTRY(link, struct client, link)->since_us = now_us;
    LIST_FOREACH (link, &all->clocks[CLIENT_CLOCK_HEAD]) {
        struct client *client = LIST_ENTRY(link, struct client, link);
        if (conn_wait(&client->conn) != CONN_WAIT_REQUEST)
            continue; /* its head has begun */
        client->clock = CLIENT_CLOCK_IDLE;
        client->since_us = now_us;
        list_unlink(link);
        list_push(idle, link); /* in order: nobody's began later than now */
    }
}

void client_close_all(struct clients *all, const char *why)
{
    for (int clock = 0; clock < CLIENT_CLOCKS; clock++)
        while (!list_is_empty(&all->clocks[clock])) {
            struct client *client = LIST_ENTRY(all->clocks[clock].next, struct client, link);
            drain_log_cut(&client->conn, all->web->env.now_us, why);
            client_close(client);
        }
    if (all->tickets)
        ev_io_stop(all->loop, all->tickets);
    free(all->tickets);
    all->tickets = NULL;
}
