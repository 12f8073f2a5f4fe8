/* The connections of an event worker. Reading order: client_open(), on_client(), client_turn(),
 * client_wait(). Each turn ends with what the machine waits for becoming what the loop watches;
 * there is no libev timer for each connection, only the lists of clocks, and one for a stream that
 * waits. */
#include "workers/client.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "workers/drain.h"
#include "workers/report.h"
#include "workers/transfer.h"

struct client {
    ev_io io;
    struct clients *all;
    struct transfer transfer;
    struct list link;     /* in all->clocks[clock] */
    uint64_t since_us;    /* when its clock was started */
    uint64_t opened_us;   /* when it was accepted */
    uint64_t linger_us;   /* when our side was shut */
    struct ev_timer *due; /* when its stream goes on; NULL until one waits */
    uint8_t clock;        /* enum client_clock */
    bool has_more; /* its stream waits, and it has sent more, or its next request, meanwhile */
};

static void on_client(struct ev_loop *loop, ev_io *watcher, int events);
static void on_due(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_tickets(struct ev_loop *loop, ev_io *watcher, int events);
static void on_more(struct ev_loop *loop, ev_timer *watcher, int events);

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
    all->limits_us[CLIENT_CLOCK_LINGER] = TRANSFER_LINGER_US;
    all->tickets = calloc(1, sizeof *all->tickets);
    all->more = calloc(1, sizeof *all->more);
    if (!all->tickets || !all->more) {
        free(all->tickets);
        free(all->more);
        all->tickets = NULL;
        all->more = NULL;
        return -ENOMEM;
    }
    ev_timer_init(all->more, on_more, 0., 0.);
    all->more->data = all;
    ev_io_init(all->tickets, on_tickets, web->box.wake_fd, EV_READ);
    all->tickets->data = all;
    ev_io_start(loop, all->tickets);
    return 0;
}

/* Counted as it changes: there may be a million of them. */
static void change_clock(struct client *client, enum client_clock clock)
{
    if (client->clock == clock)
        return;
    client->all->counts[client->clock]--;
    client->all->counts[clock]++;
    client->clock = (uint8_t)clock;
}

static void show_counts(const struct clients *all)
{
    static const enum scoreboard_connection shown[CLIENT_CLOCKS] = {
        [CLIENT_CLOCK_IDLE] = SCOREBOARD_CONNECTION_IDLE,
        [CLIENT_CLOCK_HEAD] = SCOREBOARD_CONNECTION_HEAD,
        [CLIENT_CLOCK_BODY] = SCOREBOARD_CONNECTION_BODY,
        [CLIENT_CLOCK_WRITE] = SCOREBOARD_CONNECTION_WRITE,
        [CLIENT_CLOCK_LINGER] = SCOREBOARD_CONNECTION_LINGER,
        [CLIENT_CLOCK_NONE] = SCOREBOARD_CONNECTION_APP};
    for (int clock = 0; clock < CLIENT_CLOCKS; clock++)
        atomic_store_explicit(&all->web->part.head->clocks[shown[clock]], all->counts[clock],
                              memory_order_relaxed);
}

static void client_close(struct client *client)
{
    struct clients *all = client->all;
    ev_io_stop(client->all->loop, &client->io);
    if (client->due) {
        ev_timer_stop(client->all->loop, client->due);
        free(client->due);
    }
    list_unlink(&client->link);
    transfer_close(&client->transfer);
    all->counts[client->clock]--;
    free(client);
    all->n--;
    atomic_store_explicit(&all->web->part.head->connections, all->n, memory_order_relaxed);
    all->on_closed();
}

static enum client_clock clock_for(const struct client *client, enum conn_wait wait)
{
    switch (wait) {
    case CONN_WAIT_REQUEST: /* a new connection owes its first request as one owes a head */
        return client->transfer.conn.n_requests == 0 && !client->all->is_draining
                   ? CLIENT_CLOCK_HEAD
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
        since_us = client->transfer.conn.ex->req.started_us;
    if (clock == CLIENT_CLOCK_LINGER &&
        since_us > client->linger_us + TRANSFER_LINGER_MAX_US - TRANSFER_LINGER_US)
        since_us = client->linger_us + TRANSFER_LINGER_MAX_US - TRANSFER_LINGER_US;
    if (clock == client->clock && since_us == client->since_us &&
        (clock == CLIENT_CLOCK_HEAD || clock == CLIENT_CLOCK_LINGER))
        return; /* one who lingers near its end, too: its place is far from the list's end by now */
    if (clock == client->clock && clock == CLIENT_CLOCK_HEAD && wait == CONN_WAIT_REQUEST)
        return;
    if (clock == client->clock && clock == CLIENT_CLOCK_WRITE)
        return; /* check_writers() knows better whether the client takes anything */
    change_clock(client, clock);
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
    uint64_t resume_us = client->transfer.conn.resume_us;
    ev_timer_stop(client->all->loop, client->due);
    if (resume_us == CONN_NEVER_US)
        return true;
    double wait_s = resume_us > now_us ? (double)(resume_us - now_us) / 1e6 : 0.;
    ev_timer_set(client->due, wait_s, 0.);
    ev_timer_start(client->all->loop, client->due);
    return true;
}

/* It waited for a request, and nothing has to change for it to wait for the next. */
static bool is_as_before(const struct client *client)
{
    return client->clock == CLIENT_CLOCK_IDLE && ev_is_active(&client->io) &&
           (client->io.events & (EV_READ | EV_WRITE)) == EV_READ && !client->due &&
           !client->all->wants_idle && client->transfer.conn.n_requests > 0;
}

/* Its clock begins again, behind all others'. */
static void client_rest(struct client *client)
{
    struct list *list = &client->all->clocks[CLIENT_CLOCK_IDLE];
    client->has_more = false;
    client->since_us = client->all->web->env.now_us;
    if (client->link.next != list) {
        list_unlink(&client->link);
        list_push(list, &client->link);
    }
}

/* What the machine waits for becomes what the loop watches.
 * Returns false when the connection is over and the client freed */
static bool client_wait(struct client *client)
{
    enum conn_wait wait = conn_wait(&client->transfer.conn);
    int events = EV_READ;
    if (__builtin_expect(wait == CONN_WAIT_REQUEST && is_as_before(client), 1)) {
        client_rest(client);
        return true;
    }
    switch (wait) {
    case CONN_WAIT_CLOSE:
        client_close(client);
        return false;
    case CONN_WAIT_WRITE:
        if (client->clock != CLIENT_CLOCK_WRITE)
            transfer_begin_waiting(&client->transfer);
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

/* Returns false when the connection is over and the client freed. */
static bool client_turn(struct client *client)
{
    transfer_turn(&client->transfer);
    return client_wait(client);
}

static void on_client(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    struct client *client = (struct client *)(void *)watcher;
    if ((events & EV_READ) && transfer_read(&client->transfer))
        client->has_more = true;
    (void)client_turn(client);
}

static void on_due(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct client *client = watcher->data;
    RMD_ASSERT(client->transfer.conn.resume_us != CONN_NEVER_US);
    if (client->all->web->env.now_us < client->transfer.conn.resume_us)
        client->all->web->env.now_us =
            client->transfer.conn.resume_us; /* libev's clock and ours differ by little */
    (void)client_turn(client);
}

static struct client *client_of(struct conn *conn)
{
    return (struct client *)(void *)((char *)conn - offsetof(struct client, transfer.conn));
}

/* Answers that the app had put off and that came in. */
void client_take_tickets(struct clients *all)
{
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&all->web->box); d; d = next) {
        next = d->next;
        struct conn *conn = conn_on_ticket(&all->web->env, d);
        if (conn)
            (void)client_turn(client_of(conn));
    }
}

static void on_tickets(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    client_take_tickets(watcher->data);
}

void client_open(struct clients *all, int fd, const struct sockaddr_storage *address)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        log_error("no memory for a connection", "open=%zu", all->n);
        (void)close(fd);
        return;
    }
    ev_io_init(&client->io, on_client, fd, EV_READ);
    list_init(&client->link);
    client->all = all;
    client->opened_us = all->web->env.now_us;
    client->clock = CLIENT_CLOCK_NONE;
    all->counts[CLIENT_CLOCK_NONE]++;
    all->n++;
    atomic_store_explicit(&all->web->part.head->connections, all->n, memory_order_relaxed);
    transfer_open(&client->transfer, all->web, fd, address);
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
    change_clock(client, CLIENT_CLOCK_NONE);
    transfer_look_last(&client->transfer);
    if (client_wait(client) && conn_wait(&client->transfer.conn) == CONN_WAIT_REQUEST)
        client_close(client);
}

void client_close_oldest_idle(struct clients *all)
{
    close_if_idle(LIST_ENTRY(all->clocks[CLIENT_CLOCK_IDLE].next, struct client, link));
}

/* ---- time-outs ---- */

static void expire(struct clients *all, enum client_clock clock, unsigned *left)
{
    struct list *list = &all->clocks[clock];
    uint64_t limit_us = all->limits_us[clock];
    while (limit_us > 0 && !list_is_empty(list) && *left > 0) {
        struct client *client = LIST_ENTRY(list->next, struct client, link);
        if (client->all->web->env.now_us < client->since_us + limit_us)
            return;
        --*left;
        if (conn_wait(&client->transfer.conn) == CONN_WAIT_REQUEST) {
            close_if_idle(client);
            continue;
        }
        list_unlink(&client->link); /* whatever follows, it is not looked at again in this loop */
        change_clock(client, CLIENT_CLOCK_NONE);
        conn_on_timeout(&client->transfer.conn);
        (void)client_turn(client);
    }
}

/* Looks at those who are sent an answer and do not take it as fast as it comes, at each of them now
 * and then: a thousand system calls in one turn would be noticed by everybody else. Who is cut off
 * is reset: otherwise the kernel would keep what is queued, and try for minutes to deliver it. */
static void check_writers(struct clients *all, unsigned *left)
{
    struct list *list = &all->clocks[CLIENT_CLOCK_WRITE];
    uint64_t now_us = all->web->env.now_us;
    uint64_t period_us = all->web->settings->write_timeout_us / TRANSFER_LOOKS_A_TIMEOUT;
    while (!list_is_empty(list) && *left > 0) { /* who was looked at longest ago comes first */
        struct client *client = LIST_ENTRY(list->next, struct client, link);
        if (now_us < client->transfer.looked_us + period_us)
            return;
        --*left;
        list_unlink(&client->link);
        if (transfer_is_taking(&client->transfer)) {
            list_push(list, &client->link);
            continue;
        }
        change_clock(client, CLIENT_CLOCK_NONE);
        transfer_give_up(&client->transfer);
        (void)client_turn(client);
    }
}

/* Ten thousand that went idle together, or all of them at the end of a drain's window, would hold
 * up everybody else for 0.1 s: closing one takes some 12 us, most of it the kernel's. */
void client_expire(struct clients *all)
{
    unsigned left = CLIENT_EXPIRE_MOST;
    for (int clock = 0; clock < CLIENT_CLOCK_NONE; clock++)
        if (clock != CLIENT_CLOCK_WRITE)
            expire(all, (enum client_clock)clock, &left);
    check_writers(all, &left);
    show_counts(all);
    if (left > 0 || ev_is_active(all->more))
        return;
    ev_timer_set(all->more, 0., 0.);
    ev_timer_start(all->loop, all->more);
}

static void on_more(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    client_expire(watcher->data);
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
        if (conn_wait(&client->transfer.conn) != CONN_WAIT_REQUEST)
            continue; /* its head has begun */
        change_clock(client, CLIENT_CLOCK_IDLE);
        client->since_us = now_us;
        list_unlink(link);
        list_push(idle, link); /* in order: nobody's began later than now */
    }
}

void client_tell_all(const void *clients, struct buf *out)
{
    const struct clients *all = clients;
    uint64_t now_us = all->web->env.now_us;
    size_t n_told = 0;
    bool has_room = true;
    for (int clock = 0; clock < CLIENT_CLOCKS; clock++) {
        LIST_FOREACH (link, &all->clocks[clock]) {
            const struct client *client = LIST_ENTRY(link, struct client, link);
            has_room = has_room &&
                       report_connection(out, &client->transfer.conn, now_us - client->opened_us,
                                         now_us - client->since_us, now_us);
            n_told += has_room;
        }
    }
    (void)!buf_printf(out, "connections open=%zu told=%zu\n", all->n, n_told);
}

void client_close_all(struct clients *all, const char *why)
{
    for (int clock = 0; clock < CLIENT_CLOCKS; clock++)
        while (!list_is_empty(&all->clocks[clock])) {
            struct client *client = LIST_ENTRY(all->clocks[clock].next, struct client, link);
            drain_log_cut(&client->transfer.conn, all->web->env.now_us, why);
            client_close(client);
        }
    if (all->tickets)
        ev_io_stop(all->loop, all->tickets);
    if (all->more)
        ev_timer_stop(all->loop, all->more);
    free(all->tickets);
    free(all->more);
    all->tickets = NULL;
    all->more = NULL;
}
