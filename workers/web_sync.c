/* ROOM: the sync worker.
 *
 * What it does: accepts a connection, serves it until it ends, then accepts the next. Every handler
 * runs here and may block, but for those of the compute lane, whose answers are waited for; nobody
 * else is held up by that but who waits to be accepted. For apps that are not written for a loop.
 * Who starts it: the loader forks it on the master's word; the master adopts it.
 * Inherits: standard streams, log, access log, its channel; the app's memory as the loader left it.
 * Gets over the channel: the shared table, and the listening sockets of all slots: who is idle
 * takes the next connection, wherever the kernel has queued it.
 * May never: keep a connection that has nothing to say while somebody waits.
 * When the master dies it is killed (PR_SET_PDEATHSIG), and ends by itself when the channel closes;
 * when it dies, one connection is lost.
 *
 * It waits in two places: wait_for_clients() while it has none (workers/sockets.h), and
 * wait_for_client() while it has one, in poll(2). In both it hears channel and signals, and beats
 * twice a second. A handler that blocks is judged by two clocks: the master's watchdog (timeout),
 * and a timer of the process (request_timeout, workers/overtime.h). */
#include "workers/web_sync.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "ipc/msg.h"
#include "workers/accept.h"
#include "workers/boot.h"
#include "workers/channel.h"
#include "workers/commands.h"
#include "workers/drain.h"
#include "workers/health.h"
#include "workers/lanes.h"
#include "workers/overtime.h"
#include "workers/sockets.h"
#include "workers/sync_client.h"
#include "workers/web_compute.h"

#define TICK_US (CLOCK_US_PER_S / 2)          /* heartbeat; the master calls 1 s without one hung */
#define ACCEPT_PAUSE_US (CLOCK_US_PER_S / 10) /* after the descriptors ran out */
#define NEVER_US SYNC_CLIENT_NEVER_US

static struct {
    struct web web;
    const struct heritage *heritage; /* NULL in single mode */
    int channel_fd;                  /* -1 in single mode */
    struct commands commands;
    int signal_fd;
    struct sockets sockets;
    bool is_retiring; /* one of them */
    uint64_t ticked_us;
    uint64_t looked_us;      /* at the tasks that are out, while a handler waits for one */
    unsigned n_turns;        /* of wait_for_clients() */
    uint64_t pause_until_us; /* 0: none; else nothing is accepted before */
    bool is_short;           /* may open no more descriptors; the master knows */

    struct sync_client client;

    struct conn_hooks hooks; /* those of workers/web.h, which run the app */
    uint64_t born_us;
    struct health health;     /* fd -1: no check is on */
    uint64_t health_until_us; /* when it must be over */
    bool is_draining;
    bool has_said_drained;
    bool is_over;
    const char *why_over;    /* for the log, when a request is under way then */
    uint64_t drain_began_us; /* valid in a drain */
} room;

static void serve(void);
static bool check_health(char out_why[MSG_TEXT_MAX]);
static int set_up(const struct settings *settings, const struct app *app,
                  const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
                  int access_fd, struct err *err);
static void tear_down(void);
static void wait_for_clients(void);
static enum accept_outcome accept_one(int fd);
static bool is_pausing(void);
static void become_short(int error);
static void wait_out_pause(void);
static void end_pause(void);
static void serve_client(int fd, const struct sockaddr_storage *address);
static void wait_for_client(void);
static void take_commands(const struct heritage *heritage, void (*reopen_logs)(void));
static void drain_sockets(void);
static void look_at_patience(void);

/* ---- main ---- */

void web_sync_main(const struct heritage *heritage, const struct app *app)
{
    struct scoreboard_part part;
    room.born_us = clock_now_us();
    take_commands(heritage, NULL);
    boot_begin(heritage, app, set_up, &part);
    commands_on_channel(&room.commands); /* what it needs has been sent before it was born */
    char why[MSG_TEXT_MAX];
    if (!check_health(why))
        boot_fail(heritage, why);
    if (!room.is_over) {
        boot_ready(heritage, &part);
        serve();
    }
    tear_down();
    boot_end_app(app, &room.web);
    exit(EXIT_SUCCESS);
}

int web_sync_run_single(const struct settings *settings, const struct app *app, int access_fd,
                        void (*reopen_logs)(void), const int *fds, size_t n_fds, struct err *err)
{
    struct scoreboard_part part;
    room.born_us = clock_now_us();
    take_commands(NULL, reopen_logs);
    int rc = boot_make_part(settings, &part, err);
    if (rc < 0)
        return rc;
    rc = set_up(settings, app, &part, settings->inflight,
                settings->limit_routes + SCOREBOARD_MORE_ROUTES, access_fd, err);
    if (rc == 0) {
        for (size_t i = 0; i < n_fds; i++)
            sockets_add(&room.sockets, fds[i], (int64_t)i);
        sockets_open(&room.sockets);
        char why[MSG_TEXT_MAX];
        if (!check_health(why))
            rc = err_set(err, ECANCELED, "%s", why);
        else if (!room.is_over)
            log_notice("ready", "workers=1");
        if (rc == 0)
            serve();
        tear_down();
    }
    boot_end_app(app, &room.web);
    boot_free_part(&part);
    return rc;
}

static void serve(void)
{
    web_check_memory(&room.web);
    web_show_state(room.web.settings, room.heritage, TITLE_IDLE);
    while (!room.is_over) {
        wait_for_clients();
        if (room.is_draining || room.is_retiring)
            drain_sockets();
    }
}

static void wrap_hooks(void);

static int set_up(const struct settings *settings, const struct app *app,
                  const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
                  int access_fd, struct err *err)
{
    room.health.fd = -1;
    int rc = web_init(&room.web, settings, app, part, n_inflight, n_routes, access_fd, err);
    room.web.has_pools = room.heritage != NULL;
    if (rc < 0)
        return rc;
    lanes_begin(&room.web);
    sync_client_init(&room.client, &room.web);
    rc = boot_open_signals(room.heritage != NULL, err);
    if (rc < 0)
        return rc;
    room.signal_fd = rc;
    rc = sockets_init(&room.sockets, room.channel_fd, room.signal_fd);
    if (rc < 0)
        return err_set(err, -rc, "epoll: %s", strerror(-rc));
    /* Each answer leaves before the next handler is called, since that may block. */
    room.web.env.limits.pipelined = 1;
    wrap_hooks();
    return 0;
}

/* ---- a turn ---- */

/* Before each wait: what the client has had is counted and logged. */
static void end_turn(void)
{
    web_on_turn_ended(&room.web, clock_now_us());
    web_flush_access(&room.web);
}

/* Somebody who waits is worth more than a connection that may have another request some time: the
 * answer says so, unless that request is here already. */
static void judge_keep_alive(void)
{
    room.web.env.is_draining = room.is_draining || sockets_has_waiting(&room.sockets);
}

/* Those of the compute lane don't pass end_app(): it may have been long ago that anybody looked. */
static void take_answers(void)
{
    judge_keep_alive();
    sync_client_take_tickets(&room.client);
}

static void begin_turn(void)
{
    uint64_t now_us = clock_now_us();
    web_on_turn(&room.web, now_us);
    if (room.is_draining)
        look_at_patience();
    if (is_pausing() && now_us >= room.pause_until_us)
        end_pause();
    if (now_us < room.ticked_us + TICK_US)
        return;
    room.ticked_us = now_us;
    web_on_tick(&room.web);
    take_answers(); /* also to requests that have ended without them */
    if (!room.is_draining)
        web_tell_if_worn(&room.web, room.heritage,
                         room.web.settings->max_rss_bytes > 0 ? recycle_read_rss() : 0);
}

/* Without a client. */
static void take_inbox(void)
{
    web_compute_on_inbox(&room.web);
    take_answers();
}

static void end(const char *why)
{
    room.is_over = true;
    room.why_over = why;
}

static int until_ms(uint64_t at_us)
{
    uint64_t now_us = room.web.env.now_us;
    uint64_t wait_us = at_us > now_us ? at_us - now_us : 0;
    if (wait_us > TICK_US)
        wait_us = TICK_US;
    return (int)((wait_us + CLOCK_US_PER_MS - 1) / CLOCK_US_PER_MS);
}

/* ---- without a client ---- */

/* One of those who knock is served; the others are still there the next time. */
static void wait_for_clients(void)
{
    struct epoll_event events[SOCKETS_EVENTS_MAX];
    if (is_pausing()) {
        wait_out_pause();
        return;
    }
    uint64_t until_us =
        room.is_draining ? room.drain_began_us + DRAIN_LAST_LOOK_US : room.web.env.now_us + TICK_US;
    sockets_watch_inbox(&room.sockets, web_compute_inbox(&room.web));
    int n = sockets_wait(&room.sockets, until_ms(until_us), events);
    begin_turn();
    for (int i = 0; i < n; i++)
        if (events[i].data.fd == room.signal_fd)
            commands_on_signal(&room.commands, room.is_draining);
        else if (events[i].data.fd == room.channel_fd)
            commands_on_channel(&room.commands);
        else if (events[i].data.fd == room.sockets.inbox_fd)
            take_inbox();
    /* All that are ready come in the same order each time: who is asked first takes turns, or the
     * others would starve behind a queue that is never empty. */
    room.n_turns++;
    for (int k = 0; k < n && !room.is_over && !room.is_draining; k++) {
        const struct epoll_event *event = &events[(room.n_turns + (unsigned)k) % (unsigned)n];
        if (sockets_is_listener(&room.sockets, event) &&
            accept_one(event->data.fd) == ACCEPT_CLIENT)
            return;
    }
    /* Who was woken in vain, for one that another worker took, looks for those that this one was
     * woken for and left: nobody else is woken for them. So does everybody at each tick. */
    int fd =
        room.is_over || room.is_draining ? -1 : sockets_find_waiting(&room.sockets, room.n_turns);
    if (fd >= 0)
        (void)accept_one(fd);
}

static enum accept_outcome accept_one(int fd)
{
    struct sockaddr_storage address;
    int client_fd;
    if (is_pausing())
        return ACCEPT_FAILED;
    enum accept_outcome outcome = accept_take(fd, &client_fd, &address);
    if (outcome == ACCEPT_CLIENT) {
        if (room.is_draining)
            drain_lift_sieve(client_fd, address.ss_family);
        serve_client(client_fd, &address);
    } else if (outcome == ACCEPT_SHORT) {
        become_short(errno);
    } else if (outcome == ACCEPT_FAILED) {
        log_error("can't accept, trying again in a moment", "reason=\"%s\"", strerror(errno));
        room.pause_until_us = room.web.env.now_us + ACCEPT_PAUSE_US;
    }
    return outcome;
}

/* ---- out of descriptors ---- */

static bool is_pausing(void)
{
    return room.pause_until_us > 0;
}

static void show_short(bool is_short)
{
    if (room.is_short == is_short)
        return;
    room.is_short = is_short;
    atomic_store_explicit(&room.web.part.head->is_full, is_short, memory_order_relaxed);
    channel_tell(room.heritage, MSG_FULL, NULL, getpid(),
                 is_short ? MSG_FULL_DESCRIPTORS : MSG_FULL_NOT, NULL);
}

/* The others accept meanwhile: they watch the same sockets. */
static void become_short(int error)
{
    accept_log_short(error, room.web.env.now_us);
    room.pause_until_us = room.web.env.now_us + ACCEPT_PAUSE_US;
    show_short(true);
}

/* Whoever knocks would wake us at once, again and again: only channel and signals are heard. */
static void wait_out_pause(void)
{
    struct pollfd polls[] = {{.fd = room.signal_fd, .events = POLLIN},
                             {.fd = room.channel_fd, .events = POLLIN}};
    int n = poll(polls, 2, until_ms(room.pause_until_us));
    begin_turn();
    if (n > 0 && polls[0].revents)
        commands_on_signal(&room.commands, room.is_draining);
    if (n > 0 && polls[1].revents)
        commands_on_channel(&room.commands);
}

static void end_pause(void)
{
    bool is_short = room.is_short && !fd_has_room();
    room.pause_until_us = is_short ? room.web.env.now_us + ACCEPT_PAUSE_US : 0;
    show_short(is_short);
}

/* ---- with a client ---- */

static void end_app(void)
{
    overtime_end();
    judge_keep_alive();
}

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    overtime_begin(req, room.client.transfer.fd);
    room.hooks.handle(owner, req, res);
    end_app();
}

static void on_consume(void *owner, struct rmd_request *req, struct rmd_response *res,
                       struct str piece)
{
    overtime_begin(req, room.client.transfer.fd);
    room.hooks.consume(owner, req, res, piece);
    end_app();
}

static void on_answer(void *owner, struct rmd_request *req, struct rmd_response *res,
                      const struct rmd_deferred *ticket)
{
    overtime_begin(req, room.client.transfer.fd);
    room.hooks.answer(owner, req, res, ticket);
    end_app();
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    room.hooks.error(owner, req, res, status);
    judge_keep_alive();
}

/* A handler waits for a task: only what may tell it something is heard meanwhile, also that its
 * client has left. The rest of a tick is not for the middle of a request. */
static bool await(void)
{
    struct pollfd polls[] = {{.fd = room.signal_fd, .events = POLLIN},
                             {.fd = room.channel_fd, .events = POLLIN},
                             {.fd = web_compute_inbox(&room.web), .events = POLLIN},
                             {.fd = web_compute_due_fd(&room.web), .events = POLLIN},
                             {.fd = room.client.transfer.fd, .events = POLLRDHUP}};
    int n = poll(polls, 5, TICK_US / CLOCK_US_PER_MS);
    web_on_turn(&room.web, clock_now_us());
    if (n > 0 && polls[0].revents)
        commands_on_signal(&room.commands, room.is_draining);
    if (n > 0 && polls[1].revents)
        commands_on_channel(&room.commands);
    if (n > 0 && polls[2].revents)
        web_compute_on_inbox(&room.web);
    if (n > 0 && polls[3].revents)
        web_compute_on_due(&room.web);
    if (room.web.env.now_us >= room.looked_us + TICK_US) {
        room.looked_us = room.web.env.now_us;
        web_compute_look(&room.web);
    }
    return !room.is_over && (n <= 0 || !polls[4].revents);
}

static void wrap_hooks(void)
{
    struct conn_hooks *hooks = &room.web.env.hooks;
    room.hooks = *hooks;
    hooks->handle = on_handle;
    hooks->consume = on_consume;
    hooks->answer = on_answer;
    hooks->error = on_error;
    room.web.await = await;
    if (room.heritage) /* else a debugger has the process: nothing is limited there */
        overtime_open(&room.web);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

enum { AT_CLIENT, AT_SIGNAL, AT_CHANNEL, AT_BOX, AT_INBOX, AT_DUE, AT_OTHERS, AT_HEALTH, AT_COUNT };

static void fill_polls(struct pollfd polls[AT_COUNT])
{
    bool is_idle = room.web.env.now_us >= sync_client_yields_at_us(&room.client);
    short events = sync_client_events(&room.client);
    polls[AT_CLIENT] =
        (struct pollfd){.fd = events ? room.client.transfer.fd : -1, .events = events};
    polls[AT_SIGNAL] = (struct pollfd){.fd = room.signal_fd, .events = POLLIN};
    polls[AT_CHANNEL] = (struct pollfd){.fd = room.channel_fd, .events = POLLIN};
    polls[AT_HEALTH] = (struct pollfd){.fd = room.health.fd, .events = POLLIN};
    polls[AT_BOX] = (struct pollfd){.fd = room.web.box.wake_fd, .events = POLLIN};
    polls[AT_INBOX] = (struct pollfd){.fd = web_compute_inbox(&room.web), .events = POLLIN};
    polls[AT_DUE] = (struct pollfd){.fd = web_compute_due_fd(&room.web), .events = POLLIN};
    polls[AT_OTHERS] =
        (struct pollfd){.fd = is_idle ? room.sockets.epoll_fd : -1, .events = POLLIN};
}

/* The client is idle, and somebody waits? Our epoll may say so; but the kernel tells one worker of
 * a connection, and that one may have taken another, or hang: who has nothing else to do looks. */
static bool is_wanted_by_others(bool is_woken, bool is_told)
{
    if (room.web.env.now_us < sync_client_yields_at_us(&room.client))
        return false;
    return is_told ? sockets_has_waiting(&room.sockets)
                   : !is_woken && sockets_find_waiting(&room.sockets, room.n_turns) >= 0;
}

/* Waits for the client, or for what it waits for, and does what can be done then. */
static void wait_for_client(void)
{
    struct pollfd polls[AT_COUNT];
    uint64_t deadline = sync_client_deadline_us(&room.client);
    end_turn();
    fill_polls(polls);
    uint64_t cut_us =
        room.is_draining ? room.drain_began_us + drain_cut_us(room.web.settings) : NEVER_US;
    if (room.health.fd >= 0)
        cut_us = room.health_until_us;
    uint64_t yields_at_us = sync_client_yields_at_us(&room.client);
    if (room.web.env.now_us < yields_at_us)
        cut_us = least(cut_us, yields_at_us);
    room.client.has_turned = false;
    int n = poll(polls, AT_COUNT, until_ms(least(deadline, cut_us)));
    begin_turn();
    if (n > 0 && polls[AT_SIGNAL].revents)
        commands_on_signal(&room.commands, room.is_draining);
    if (n > 0 && polls[AT_CHANNEL].revents)
        commands_on_channel(&room.commands);
    if (room.is_over)
        return;
    if (n > 0 && polls[AT_HEALTH].revents)
        (void)health_read(&room.health);
    if (n > 0 && polls[AT_INBOX].revents)
        web_compute_on_inbox(&room.web);
    if (n > 0 && polls[AT_DUE].revents)
        web_compute_on_due(&room.web);
    if (n > 0 && (polls[AT_BOX].revents || polls[AT_INBOX].revents || polls[AT_DUE].revents))
        take_answers();
    if (room.client.has_turned)
        return; /* what it may be asked for is another thing now than when it was polled */
    if (n > 0 && polls[AT_CLIENT].revents) {
        sync_client_on_ready(&room.client, polls[AT_CLIENT].events);
    } else if (is_wanted_by_others(n > 0, n > 0 && polls[AT_OTHERS].revents)) {
        sync_client_part(&room.client);
    } else if (room.web.env.now_us >= deadline) {
        sync_client_expire(&room.client);
    }
}

/* A check is on, and its client has seen enough, or waited long enough. */
static bool is_health_known(void)
{
    return room.health.fd >= 0 &&
           (room.health.is_over || room.web.env.now_us >= room.health_until_us);
}

static void serve_client(int fd, const struct sockaddr_storage *address)
{
    struct sync_client *c = &room.client;
    sync_client_open(c, fd, address);
    while (!room.is_over && !sync_client_is_over(c) && !is_health_known())
        wait_for_client();
    if (!sync_client_is_over(c) && room.health.fd < 0)
        drain_log_cut(&c->transfer.conn, room.web.env.now_us, room.why_over);
    sync_client_close(c);
    if (!room.is_draining)
        web_tell_if_worn(&room.web, room.heritage, 0);
    room.web.env.is_draining = room.is_draining;
    end_turn();
}

/* The first client is one of our own, whose other end is here too. Returns whether the worker may
 * serve, also when nobody asked for a check, and when it has to stop before it is over */
static bool check_health(char out_why[MSG_TEXT_MAX])
{
    const struct settings *settings = room.web.settings;
    const struct network_list *proxies = room.web.env.proxies;
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    int fd = -1;
    if (settings->health_check[0] == '\0')
        return true;
    int rc = health_open(&room.health, settings->health_check, &fd);
    if (rc < 0) {
        (void)snprintf(out_why, MSG_TEXT_MAX, "health check: %s", strerror(-rc));
        return false;
    }
    begin_turn();
    uint64_t limit_us = health_limit_us(settings, room.web.env.now_us - room.born_us);
    room.health_until_us = room.web.env.now_us + limit_us;
    room.web.is_rehearsing = true;
    room.web.env.proxies = NULL; /* it is no proxy, and sends no header of one's */
    serve_client(fd, &address);
    room.web.env.proxies = proxies;
    if (sync_client_is_over(&room.client))
        (void)health_read(&room.health); /* what came with the end */
    bool is_good = room.is_over || health_judge(&room.health, limit_us, out_why);
    health_close(&room.health);
    web_end_rehearsal(&room.web);
    return is_good;
}

/* ---- the drain ---- */

static void say_drained(void)
{
    if (!room.has_said_drained)
        channel_tell(room.heritage, MSG_DRAINED, NULL, getpid(), 0, NULL);
    room.has_said_drained = true;
}

/* When others go on with our sockets we only close our copies. When nobody does, each is accepted
 * from for a moment more, then until it is empty: who is in its queue was promised an answer. */
static void start_draining(bool do_others_go_on)
{
    bool is_urgent = room.is_draining;
    if (!room.is_draining) {
        room.is_draining = true;
        room.web.env.is_draining = true;
        room.drain_began_us = room.web.env.now_us;
        sync_client_drain(&room.client);
        web_show_state(room.web.settings, room.heritage, "draining");
        atomic_store_explicit(&room.web.part.head->state, SEAT_STATE_DRAINING,
                              memory_order_relaxed);
    }
    for (size_t i = room.sockets.n; do_others_go_on && i-- > 0;)
        if (is_urgent || !room.sockets.items[i].is_retired) /* with these nobody goes on */
            sockets_remove_at(&room.sockets, i);
    if (room.sockets.n == 0)
        say_drained();
}

/* Serves all who wait at a socket, unless something comes between.
 * Returns  whether nobody is left there */
static bool take_all(size_t i)
{
    enum accept_outcome last = ACCEPT_CLIENT;
    while (!room.is_over && i < room.sockets.n && (last == ACCEPT_CLIENT || last == ACCEPT_GONE)) {
        last = accept_one(room.sockets.items[i].fd);
        if (last != ACCEPT_EMPTY)
            begin_turn();
    }
    if (room.is_over || i >= room.sockets.n)
        return false;
    return last == ACCEPT_EMPTY || !accept_is_waiting(room.sockets.items[i].fd);
}

/* The connection in hand has ended: now those who are still in the queues, one after the other. */
static void drain_sockets(void)
{
    room.is_retiring = false;
    for (size_t i = room.sockets.n; i-- > 0 && !room.is_over;) {
        if (!room.is_draining && !room.sockets.items[i].is_retired)
            continue;
        bool is_empty = take_all(i);
        bool is_late =
            room.is_draining && room.web.env.now_us >= room.drain_began_us + DRAIN_LAST_LOOK_US;
        if (i >= room.sockets.n)
            continue;
        const struct sockets_listener *listener = &room.sockets.items[i];
        if (is_empty && (is_late || listener->is_retired || accept_is_shut(listener->fd)))
            sockets_remove_at(&room.sockets, i);
        else
            room.is_retiring |= listener->is_retired; /* looked at again */
    }
    if (!room.is_draining || room.sockets.n > 0 || room.is_over)
        return;
    say_drained();
    end("drained");
}

/* More may come than can be served: whoever is still in the queue at half-time then finds the port
 * closed, while the one who was accepted has time to be answered. */
static void look_at_patience(void)
{
    uint64_t cut_us = drain_cut_us(room.web.settings);
    uint64_t elapsed_us = room.web.env.now_us - room.drain_began_us;
    if (elapsed_us >= cut_us / 2 && room.sockets.n > 0) {
        if (sockets_has_waiting(&room.sockets))
            log_warn("sockets closed with connections waiting", "sockets=%zu", room.sockets.n);
        start_draining(true);
    }
    if (elapsed_us < cut_us || room.is_over)
        return;
    log_warn("graceful_timeout is over, what remains is cut",
             "graceful_timeout_ms=%" PRIu64 " connections=%d",
             room.web.settings->graceful_timeout_us / CLOCK_US_PER_MS, room.client.is_there);
    end("graceful_timeout");
}

/* ---- the master's word ---- */

static void listen_too(int fd, int64_t id)
{
    if (room.is_draining)
        (void)close(fd);
    else
        sockets_add(&room.sockets, fd, id);
}

static void unlisten(int64_t id)
{
    for (size_t i = room.sockets.n; i-- > 0;)
        if (room.sockets.items[i].id == id)
            sockets_remove_at(&room.sockets, i);
}

static void retire(int64_t id)
{
    for (size_t i = 0; i < room.sockets.n; i++)
        if (room.sockets.items[i].id == id)
            room.sockets.items[i].is_retired = room.is_retiring = true;
}

static void on_short(void)
{
    become_short(EMFILE);
}

static void start(void)
{
    sockets_open(&room.sockets);
}

static void take_commands(const struct heritage *heritage, void (*reopen_logs)(void))
{
    room.heritage = heritage;
    room.channel_fd = heritage ? heritage->channel_fd : -1;
    room.commands = (struct commands){
        .web = &room.web,
        .heritage = heritage,
        .reopen_logs = reopen_logs,
        .listen = listen_too,
        .unlisten = unlisten,
        .retire = retire,
        .start = start,
        .on_short = on_short,
        .drain = start_draining,
        .stop = end,
        .tell_connections = sync_client_tell,
        .connections = &room.client,
    };
}

/* ---- the end ---- */

static void tear_down(void)
{
    sockets_close(&room.sockets);
    overtime_close();
    web_fini(&room.web);
}
