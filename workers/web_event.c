/* ROOM: the event worker.
 *
 * What it does: accepts connections from the listening sockets that the master hands it, drives one
 * connection machine (http/conn.h) per connection, runs handlers of the inline lane on this loop
 * and those of the io lane on threads (workers/web_io.h), hands those of the compute lane to other
 * processes (workers/web_compute.h).
 * Who starts it: the loader forks it on the master's word; the master adopts it.
 * Inherits: standard streams, log, access log, its channel; the app's memory as the loader left it.
 * Gets over the channel: the shared table, listening sockets (its own, those it covers), segment
 * and queues of the compute pools.
 * May never: wait for anything but its loop; hold a listening socket open after the master said no.
 * When the master dies it is killed (PR_SET_PDEATHSIG), and ends by itself when the channel closes;
 * when it dies, only the connections that it held are lost.
 *
 * One turn of the loop: wait; read the clock once; then connections, channel, signals as they come.
 * Input and output buffers belong to the loop, so a connection's turn is finished before the
 * next. */
#include "workers/web_event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/title.h"
#include "ipc/msg.h"
#include "workers/accept.h"
#include "workers/boot.h"
#include "workers/channel.h"
#include "workers/client.h"
#include "workers/commands.h"
#include "workers/drain.h"
#include "workers/health.h"
#include "workers/lanes.h"
#include "workers/listeners.h"
#include "workers/web.h"
#include "workers/web_compute.h"
#include "workers/web_io.h"

#define REFUSED_NAP_MS 10
#define TICK_S 0.5 /* heartbeat and time-outs; the master calls 1 s without one hung */

static struct {
    struct ev_loop *loop;
    struct web web;
    const struct heritage *heritage; /* NULL in single mode */
    ev_io channel_io;
    ev_io signal_io;
    ev_io inbox_io; /* replies of compute workers; inactive: there is no compute lane */
    ev_io due_io;   /* the time of a call that one of them runs is over; likewise */
    ev_timer tick;
    double turn_began;    /* by libev's clock */
    uint64_t tick_due_us; /* 0: not known */
    struct clients clients;
    struct listeners listeners;
    uint64_t born_us;
    struct health health; /* the client of the health check, while that is on */
    bool is_started;      /* the master has sent everything */
    bool is_serving;      /* may accept: it has said that it is ready */
    bool is_draining;
    bool has_said_drained;   /* all listening sockets are closed */
    uint64_t drain_began_us; /* valid in a drain */
    ev_timer cut;
    const char *why_cut; /* for the log, when the loop ends with requests under way */
    struct commands commands;
} room;

static void take_commands(const struct heritage *heritage, void (*reopen_logs)(void));
static bool check_health(char out_why[MSG_TEXT_MAX]);
static void run_loop(void);
static int set_up(const struct settings *settings, const struct app *app,
                  const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
                  int access_fd, struct err *err);
static void tear_down(void);
static void on_refused(const char *what);
static void on_turn(struct ev_loop *loop);
static void on_wait_begins(struct ev_loop *loop);
static void on_health(struct ev_loop *loop, ev_io *watcher, int events);
static void on_health_late(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_full(enum msg_full how);
static void on_client_closed(void);
static void on_client_idle(void);
static void say_drained(void);
static void give_up_accepting(void);
static void look_worn(uint64_t rss_bytes);
static void start_draining(bool do_others_go_on);
static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_channel(struct ev_loop *loop, ev_io *watcher, int events);
static void watch_inbox(void);
static void on_inbox(struct ev_loop *loop, ev_io *watcher, int events);
static void on_due(struct ev_loop *loop, ev_io *watcher, int events);
static void on_signal(struct ev_loop *loop, ev_io *watcher, int events);
static void on_cut(struct ev_loop *loop, ev_timer *watcher, int events);

/* ---- main ---- */

static void tell_master(enum msg_type type, int64_t value, const char *text)
{
    channel_tell(room.heritage, type, NULL, getpid(), value, text);
}

void web_event_main(const struct heritage *heritage, const struct app *app)
{
    struct scoreboard_part part;
    room.born_us = clock_now_us();
    take_commands(heritage, NULL);
    boot_begin(heritage, app, set_up, &part);
    on_channel(NULL, NULL, 0); /* what it needs has been sent before it was born */
    char why[MSG_TEXT_MAX];
    if (!room.why_cut && !check_health(why))
        boot_fail(heritage, why);
    if (!room.why_cut) {
        boot_ready(heritage, &part);
        run_loop();
    }
    tear_down(); /* first: it pays what is owed to the app's streams and bodies */
    boot_end_app(app, &room.web);
    exit(EXIT_SUCCESS);
}

int web_event_run_single(const struct settings *settings, const struct app *app, int access_fd,
                         void (*reopen_logs)(void), const int *fds, size_t n_fds, struct err *err)
{
    room.born_us = clock_now_us();
    take_commands(NULL, reopen_logs);
    struct scoreboard_part part;
    int rc = boot_make_part(settings, &part, err);
    if (rc < 0)
        return rc;
    rc = set_up(settings, app, &part, settings->inflight,
                settings->limit_routes + SCOREBOARD_MORE_ROUTES, access_fd, err);
    if (rc == 0) {
        for (size_t i = 0; i < n_fds; i++)
            listeners_add(&room.listeners, fds[i], (int64_t)i);
        room.is_started = true;
        ev_io_start(room.loop, &room.signal_io); /* Ctrl-C ends the check as well */
        char why[MSG_TEXT_MAX];
        if (!check_health(why)) {
            rc = err_set(err, ECANCELED, "%s", why);
            room.why_cut = "health_check";
        }
        if (!room.why_cut) {
            log_notice("ready", "workers=1");
            run_loop();
        }
        tear_down();
    }
    boot_end_app(app, &room.web);
    boot_free_part(&part);
    return rc;
}

static void run_loop(void)
{
    web_check_memory(&room.web);
    web_show_state(room.web.settings, room.heritage, TITLE_IDLE);
    room.is_serving = true;
    ev_io_start(room.loop, &room.signal_io);
    if (room.is_started)
        listeners_open(&room.listeners);
    ev_run(room.loop, 0);
}

static int set_up(const struct settings *settings, const struct app *app,
                  const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
                  int access_fd, struct err *err)
{
    int rc = web_init(&room.web, settings, app, part, n_inflight, n_routes, access_fd, err);
    room.web.has_pools = room.heritage != NULL;
    if (rc == 0)
        rc = web_io_open(&room.web, err);
    if (rc == 0)
        lanes_begin(&room.web);
    if (rc < 0)
        return rc;
    ev_set_syserr_cb(on_refused);
    room.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (!room.loop)
        return err_set(err, EMFILE, "libev gives no epoll loop: %s", strerror(errno));
    int signal_fd = boot_open_signals(room.heritage != NULL, err);
    if (signal_fd < 0)
        return signal_fd;
    if (client_init(&room.clients, room.loop, &room.web, on_client_closed, on_client_idle) < 0 ||
        listeners_init(&room.listeners, &room.clients, settings->worker_connections, on_full,
                       say_drained) < 0)
        return err_set(err, ENOMEM, "no memory for the worker's connections");
    ev_set_invoke_pending_cb(room.loop, on_turn);
    room.turn_began = ev_now(room.loop);
    ev_set_loop_release_cb(room.loop, on_wait_begins, NULL);
    ev_timer_init(&room.tick, on_tick, TICK_S, TICK_S);
    ev_timer_start(room.loop, &room.tick);
    ev_timer_init(&room.cut, on_cut, (double)drain_cut_us(settings) / 1e6, 0);
    /* Watched when it serves: a worker that drains before it was ready would confuse the master. */
    ev_io_init(&room.signal_io, on_signal, signal_fd, EV_READ);
    ev_io_init(&room.inbox_io, on_inbox, -1, EV_READ);
    ev_io_init(&room.due_io, on_due, -1, EV_READ);
    if (room.heritage) {
        ev_io_init(&room.channel_io, on_channel, room.heritage->channel_fd, EV_READ);
        ev_io_start(room.loop, &room.channel_io);
    }
    return 0;
}

/* ---- before it serves ---- */

static void on_health(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)watcher;
    (void)events;
    if (health_read(&room.health))
        ev_break(loop, EVBREAK_ALL);
}

static void on_health_late(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)watcher;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

/* The check's own connection is the only one, so the loop can be run for it alone; the master may
 * say stop meanwhile. */
static void run_health_check(int fd, uint64_t limit_us)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    const struct network_list *proxies = room.web.env.proxies;
    ev_io answer;
    ev_timer late;
    ev_io_init(&answer, on_health, room.health.fd, EV_READ);
    ev_io_start(room.loop, &answer);
    ev_timer_init(&late, on_health_late, (double)limit_us / 1e6, 0);
    ev_now_update(room.loop);
    ev_timer_start(room.loop, &late);
    web_on_turn(&room.web, clock_now_us());
    room.web.env.proxies = NULL; /* it is no proxy, and sends no header of one's */
    client_open(&room.clients, fd, &address);
    room.web.env.proxies = proxies;
    ev_run(room.loop, 0);
    ev_io_stop(room.loop, &answer);
    ev_timer_stop(room.loop, &late);
}

/* Returns whether the worker may serve, also when nobody asked. room.why_cut: it must stop first */
static bool check_health(char out_why[MSG_TEXT_MAX])
{
    const struct settings *settings = room.web.settings;
    int fd = -1;
    if (settings->health_check[0] == '\0')
        return true;
    int rc = health_open(&room.health, settings->health_check, &fd);
    if (rc < 0) {
        (void)snprintf(out_why, MSG_TEXT_MAX, "health check: %s", strerror(-rc));
        return false;
    }
    uint64_t limit_us = health_limit_us(settings, clock_now_us() - room.born_us);
    room.web.is_rehearsing = true;
    run_health_check(fd, limit_us);
    bool is_good = room.why_cut || health_judge(&room.health, limit_us, out_why);
    health_close(&room.health);
    while (is_good && !room.why_cut && room.clients.n > 0) /* it finds its client gone */
        ev_run(room.loop, EVRUN_ONCE);
    web_end_rehearsal(&room.web);
    return is_good;
}

/* ---- a turn ---- */

/* In place of libev's own call of what is due: watchers of its kinds "check" and "prepare" around
 * it would cost more. */
static void on_turn(struct ev_loop *loop)
{
    web_on_turn(&room.web, clock_now_us());
    room.turn_began = ev_now(loop);
    if (__builtin_expect(web_count_requests(&room.web) >= room.web.recycle.requests, 0))
        look_worn(0);
    ev_invoke_pending(loop);
    if (room.web.access)
        web_flush_access(&room.web);
}

/* libev has just read the clock, after all that there was to do: reading it again would cost as
 * much as the rest of what is measured. */
static void on_wait_begins(struct ev_loop *loop)
{
    double turn_s = ev_now(loop) - room.turn_began;
    uint64_t turn_us = turn_s > 0 ? (uint64_t)(turn_s * 1e6) : 0;
    web_on_turn_ended(&room.web, room.web.env.now_us + turn_us);
}

/* The kernel refuses what the loop needs; libev asks again when this returns. After a
 * socket was closed here that other processes have too, libev takes a new epoll instance for the
 * old one, and there may be no descriptor for it: aborting would cost all connections. Meanwhile
 * nothing beats, so neighbours accept, and the watchdog sees to it that it does not last. */
static void on_refused(const char *what)
{
    static const struct timespec nap = {.tv_nsec = REFUSED_NAP_MS * 1000 * 1000};
    int error = errno;
    if (error != EMFILE && error != ENFILE) {
        log_error("the loop can't go on", "what=\"%s\" reason=\"%s\"", what, strerror(error));
        abort();
    }
    accept_log_short(error, clock_now_us());
    (void)nanosleep(&nap, NULL);
}

/* ---- connections and their sockets ---- */

static void end_loop(const char *why)
{
    room.why_cut = why;
    ev_break(room.loop, EVBREAK_ALL);
}

/* Also when a handler of the io lane still runs whose client has left: it is let finish. */
static void end_if_drained(void)
{
    if (room.has_said_drained && room.clients.n == 0 && lanes_count(&room.web) == 0)
        end_loop("drained");
}

static void on_client_closed(void)
{
    listeners_on_client_closed(&room.listeners);
    end_if_drained();
}

static void on_client_idle(void)
{
    listeners_on_client_idle(&room.listeners);
}

static void on_full(enum msg_full how)
{
    tell_master(MSG_FULL, how, NULL);
}

/* How much later than it was due the timer has come: turns that were long, those of its own turn
 * before it, and what the process had to wait for a CPU, or stood still. */
static void note_drift(void)
{
    uint64_t now_us = clock_now_us();
    if (room.tick_due_us > 0)
        lag_note_drift(&room.web, now_us > room.tick_due_us ? now_us - room.tick_due_us : 0);
    room.tick_due_us =
        room.web.env.now_us + (uint64_t)(ev_timer_remaining(room.loop, &room.tick) * 1e6);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    note_drift();
    web_on_tick(&room.web);
    client_expire(&room.clients);
    give_up_accepting();
    look_worn(room.web.settings->max_rss_bytes > 0 ? recycle_read_rss() : 0);
    end_if_drained();
}

static void look_worn(uint64_t rss_bytes)
{
    if (!room.is_draining)
        web_tell_if_worn(&room.web, room.heritage, rss_bytes);
}

/* ---- the drain ---- */

/* When others go on with our sockets we only close our copies; when nobody does, who is in their
 * queues was promised an answer. */
static void start_draining(bool do_others_go_on)
{
    if (!room.is_draining) {
        room.is_draining = true;
        room.web.env.is_draining = true;
        web_show_state(room.web.settings, room.heritage, "draining");
        room.drain_began_us = room.web.env.now_us;
        atomic_store_explicit(&room.web.part.head->state, SEAT_STATE_DRAINING,
                              memory_order_relaxed);
        client_drain(&room.clients, drain_last_chance_us(room.web.settings));
        ev_timer_start(room.loop, &room.cut);
    }
    listeners_drain(&room.listeners, do_others_go_on);
}

static void say_drained(void)
{
    if (!room.has_said_drained)
        tell_master(MSG_DRAINED, 0, NULL);
    room.has_said_drained = true;
    end_if_drained();
}

/* More come than can be accepted: whoever is still in the queue then finds the port closed, while
 * those who were accepted have time to be answered. */
static void give_up_accepting(void)
{
    if (!room.is_draining || room.listeners.n == 0 ||
        room.web.env.now_us < room.drain_began_us + drain_cut_us(room.web.settings) / 2)
        return;
    log_warn("sockets closed with connections waiting", "sockets=%zu", room.listeners.n);
    listeners_drain(&room.listeners, true);
}

static void on_cut(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    log_warn("graceful_timeout is over, what remains is cut",
             "graceful_timeout_ms=%" PRIu64 " connections=%zu sockets=%zu",
             room.web.settings->graceful_timeout_us / CLOCK_US_PER_MS, room.clients.n,
             room.listeners.n);
    end_loop("graceful_timeout");
}

/* ---- the master's word ---- */

static void listen_too(int fd, int64_t id)
{
    if (room.is_draining)
        (void)close(fd);
    else
        listeners_add(&room.listeners, fd, id);
}

static void unlisten(int64_t id)
{
    listeners_remove(&room.listeners, id);
}

static void retire(int64_t id)
{
    listeners_retire(&room.listeners, id);
}

static void start(void)
{
    room.is_started = true;
    if (room.is_serving)
        listeners_open(&room.listeners);
}

static void on_short(void)
{
    listeners_on_short(&room.listeners);
}

static void on_channel(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    commands_on_channel(&room.commands);
    watch_inbox();
}

/* ---- the compute pools' word ---- */

static void watch(ev_io *watcher, int fd)
{
    if (fd < 0 || ev_is_active(watcher))
        return;
    ev_io_set(watcher, fd, EV_READ);
    ev_io_start(room.loop, watcher);
}

/* It is there from the frame that brings the segment. */
static void watch_inbox(void)
{
    watch(&room.inbox_io, web_compute_inbox(&room.web));
    watch(&room.due_io, web_compute_due_fd(&room.web));
}

static void on_due(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    web_compute_on_due(&room.web);
}

static void on_inbox(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    web_compute_on_inbox(&room.web);
    client_take_tickets(&room.clients);
}

static void on_signal(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    commands_on_signal(&room.commands, room.is_draining);
}

static void take_commands(const struct heritage *heritage, void (*reopen_logs)(void))
{
    room.heritage = heritage;
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
        .stop = end_loop,
        .tell_connections = client_tell_all,
        .connections = &room.clients,
    };
}

/* ---- the end ---- */

const char *web_event_library(void)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "%d.%d", ev_version_major(), ev_version_minor());
    return text;
}

static void tear_down(void)
{
    listeners_close(&room.listeners);
    client_close_all(&room.clients, room.why_cut);
    uint32_t n_left = web_io_close(&room.web);
    if (n_left > 0) { /* they look at what would be freed here, and at what the app frees */
        log_warn("handlers of the io lane are cut off with their worker", "handlers=%u", n_left);
        web_flush_access(&room.web);
        quick_exit(EXIT_SUCCESS); /* not exit(3), which would end the app's objects; with --single
                                   * there is more to leave in order (run_single()) */
    }
    web_fini(&room.web);
    ev_loop_destroy(room.loop);
    room.loop = NULL;
}
