/* ROOM: the admin process.
 *
 * What it does: answers GET /metrics, /healthz and /readyz at the address that `admin` names, from
 * what stands in the shared table and in the ledger.
 * Who starts it: the master, with a single fork, and again when it dies. It survives reloads.
 * Inherits: standard streams, log, its channel; the master's memory as it was, of which it uses the
 * settings.
 * Gets over the channel: the shared table, the ledger, listening sockets.
 * May never: run or load app code; write anything that others read, but its own part of the shared
 * table; wait for another process, be it the master. So it answers also when all others are
 * stopped.
 * When the master dies it is killed (PR_SET_PDEATHSIG), and ends by itself when the channel closes;
 * when it dies, scrapes fail until there is another, and nobody else notices.
 *
 * It is the event worker's loop with an app of three routes, which is compiled in: connections,
 * limits and time-outs are those of every other connection. */
#include "workers/admin.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "include/remuda.h"
#include "ipc/ledger.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "ipc/spawn.h"
#include "workers/boot.h"
#include "workers/chain.h"
#include "workers/channel.h"
#include "workers/client.h"
#include "workers/exposition.h"
#include "workers/listeners.h"
#include "workers/metrics.h"
#include "workers/privileges.h"
#include "workers/web.h"

#define CONNECTIONS_MAX 256 /* a guess, above all that look at one server */
#define INFLIGHT 64         /* requests in the table that wait: none ever does */
#define TICK_S 0.5

static struct {
    struct ev_loop *loop;
    struct web web;
    struct app app;
    struct settings settings; /* the master's, but for what is not of this process */
    const struct heritage *heritage;
    struct scoreboard_part part;
    const struct ledger *ledger;
    struct metrics metrics;
    struct clients clients;
    struct listeners listeners;
    ev_io channel_io;
    ev_io signal_io;
    ev_timer tick;
    ev_check turn_begins;
    bool is_started; /* the master has sent everything */
    bool is_over;
} room;

static void take_seat(void);
static void set_up(void);
static void on_metrics(rmd_request *req, rmd_response *res);
static void on_healthz(rmd_request *req, rmd_response *res);
static void on_readyz(rmd_request *req, rmd_response *res);
static void on_turn_begins(struct ev_loop *loop, ev_check *watcher, int events);
static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_channel(struct ev_loop *loop, ev_io *watcher, int events);
static void on_signal(struct ev_loop *loop, ev_io *watcher, int events);

static const rmd_route routes[] = {
    {"GET", "/metrics", on_metrics},
    {"GET", "/healthz", on_healthz},
    {"GET", "/readyz", on_readyz},
    {0},
};
static const rmd_app decl = {.abi = RMD_ABI_VERSION,
                             .app_size = sizeof(rmd_app),
                             .route_size = sizeof(rmd_route),
                             .group_size = sizeof(rmd_group),
                             .task_size = sizeof(rmd_task),
                             .name = "admin",
                             .routes = routes};

void admin_main(const struct heritage *heritage)
{
    room.heritage = heritage;
    log_set_ring(NULL); /* the master's */
    title_set(heritage->settings->proc_name, NULL, "admin");
    take_seat();
    set_up();
    boot_ready(heritage, &room.part);
    if (!room.is_over)
        ev_run(room.loop, 0);
    listeners_close(&room.listeners);
    client_close_all(&room.clients, NULL);
    _exit(EXIT_SUCCESS); /* exit(3) would end what is the master's */
}

/* ---- before it serves ---- */

/* What is of the application or of its clients does not hold here. */
static void choose_settings(void)
{
    static const struct http_limits usual = LIMITS_DEFAULT;
    struct settings *s = &room.settings;
    *s = *room.heritage->settings;
    s->limit_request_line_bytes = usual.request_line;
    s->limit_request_fields = usual.fields;
    s->limit_request_field_size_bytes = usual.field_size;
    s->limit_request_head_bytes = usual.head;
    s->limit_pipelined = 1; /* a scrape a turn, however many are sent at once */
    s->worker_class = WORKER_CLASS_EVENT;
    s->worker_connections = CONNECTIONS_MAX;
    s->max_requests = 0;
    s->max_rss_bytes = 0;
    s->slow_callback_us = 0;
    s->static_mounts = (struct setting_mounts){0};
    s->route_overrides = (struct setting_routes){0};
    s->proxy_protocol = PROXY_PROTOCOL_OFF;
    s->deadline_header = "";
    s->health_check = "";
    s->spool_dir = NULL;
}

static _Noreturn void fail(const struct err *err)
{
    boot_fail(room.heritage, err->text);
}

static void obey(const struct msg *msg, int *fds, size_t n_fds)
{
    struct err err;
    switch ((enum msg_type)msg->type) {
    case MSG_LEDGER:
        if (ledger_map(fds[0], &room.ledger, &err) < 0)
            fail(&err);
        break;
    case MSG_LISTEN:
        listeners_add(&room.listeners, fds[0], msg->value);
        fds[0] = -1;
        break;
    case MSG_START:
        room.is_started = true;
        break;
    case MSG_STOP:
        room.is_over = true;
        ev_break(room.loop, EVBREAK_ALL);
        break;
    case MSG_LOGS:
        channel_take_logs(room.heritage, msg, fds, n_fds);
        break;
    default:
        log_warn("frame that the admin process does not expect", "type=%s", msg_names[msg->type]);
        break;
    }
    for (size_t i = 0; i < n_fds; i++)
        fd_close(&fds[i]);
}

static void hear_all(void)
{
    for (;;) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = msg_receive(room.heritage->channel_fd, 0, &msg, fds, &n_fds);
        if (rc == -EAGAIN)
            return;
        if (rc == -EMFILE) {
            channel_tell_lost(room.heritage, &msg);
            continue;
        }
        if (rc <= 0) {
            room.is_over = true;
            ev_break(room.loop, EVBREAK_ALL);
            return;
        }
        obey(&msg, fds, n_fds);
    }
}

static void take_seat(void)
{
    struct err err;
    boot_take_seat(room.heritage, &room.app, &room.part);
    if (privileges_drop(room.heritage->settings, &err) < 0)
        fail(&err);
    spawn_bind_life(room.heritage->master_pid); /* forgotten with a change of user */
}

static void nothing(void)
{
}

static void nothing_full(enum msg_full how)
{
    (void)how;
}

static void set_up(void)
{
    struct err err;
    choose_settings();
    if (chain_open(&room.app, &decl, sizeof routes / sizeof routes[0], "admin", &err) < 0)
        fail(&err);
    const struct scoreboard *board = &room.heritage->board;
    uint32_t n_inflight = board->n_inflight < INFLIGHT ? board->n_inflight : INFLIGHT;
    if (web_init(&room.web, &room.settings, &room.app, &room.part, n_inflight, board->n_routes, -1,
                 &err) < 0)
        fail(&err);
    room.loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    int signal_fd = room.loop ? boot_open_signals(true, &err) : err_set(&err, EMFILE, "no loop");
    if (signal_fd < 0)
        fail(&err);
    if (client_init(&room.clients, room.loop, &room.web, nothing, nothing) < 0 ||
        listeners_init(&room.listeners, &room.clients, CONNECTIONS_MAX, nothing_full, nothing) < 0)
        boot_fail(room.heritage, "out of memory");
    hear_all(); /* what it needs has been sent before it was born */
    if (!room.ledger)
        boot_fail(room.heritage, "no ledger came from the master");
    if (metrics_open(&room.metrics, board, room.ledger, room.heritage->seat) < 0)
        boot_fail(room.heritage, "out of memory");
    ev_check_init(&room.turn_begins, on_turn_begins);
    ev_set_priority(&room.turn_begins, EV_MAXPRI);
    ev_check_start(room.loop, &room.turn_begins);
    ev_timer_init(&room.tick, on_tick, TICK_S, TICK_S);
    ev_timer_start(room.loop, &room.tick);
    ev_io_init(&room.signal_io, on_signal, signal_fd, EV_READ);
    ev_io_start(room.loop, &room.signal_io);
    ev_io_init(&room.channel_io, on_channel, room.heritage->channel_fd, EV_READ);
    ev_io_start(room.loop, &room.channel_io);
    listeners_open(&room.listeners);
}

/* ---- requests ---- */

static void free_text(void *arg)
{
    struct buf *text = arg;
    buf_fini(text);
    free(text);
}

/* Scrapers name the parameter `escaping` since Prometheus 3, which changes nothing here: all names
 * are plain. */
static bool wants_open(rmd_request *req)
{
    static const char *const offers[] = {
        exposition_text_type, exposition_open_type,
        "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; escaping=underscores; charset=utf-8", NULL};
    return rmd_accept_type(req, offers) > 0;
}

static void on_metrics(rmd_request *req, rmd_response *res)
{
    bool is_open = wants_open(req);
    struct buf *text = calloc(1, sizeof *text);
    metrics_gather(&room.metrics, room.web.env.now_us);
    if (!text || metrics_render(&room.metrics, is_open, text) < 0) {
        if (text)
            free_text(text);
        rmd_text(res, 503, "out of memory\n");
        return;
    }
    (void)rmd_set_header(res, "Cache-Control", "no-store");
    (void)rmd_set_header(res, "Vary", "Accept");
    rmd_send_ref(res, 200, is_open ? exposition_open_type : exposition_text_type, text->data,
                 text->len, free_text, text);
}

/* The first line says it, the second what of. */
static void answer_health(rmd_response *res, int status, const char *verdict,
                          const struct readiness_view *view)
{
    (void)rmd_set_header(res, "Cache-Control", "no-store");
    rmd_text(res, status,
             "%s\nworkers_ready=%" PRIu32 " workers_hung=%" PRIu32 " workers_wanted=%" PRIu32
             " generation=%d master_silent_ms=%" PRIu64 "\n",
             verdict, view->ready, view->hung, view->wanted, room.metrics.copy.page.generation,
             view->master_silent_us / CLOCK_US_PER_MS);
}

static void on_healthz(rmd_request *req, rmd_response *res)
{
    struct readiness_view view;
    (void)req;
    metrics_look(&room.metrics, room.web.env.now_us, &view);
    answer_health(res, 200, "ok", &view);
}

static void on_readyz(rmd_request *req, rmd_response *res)
{
    struct readiness_view view;
    (void)req;
    metrics_look(&room.metrics, room.web.env.now_us, &view);
    const char *why = readiness_judge(&view);
    answer_health(res, why ? 503 : 200, why ? why : "ready", &view);
}

/* ---- a turn ---- */

static void on_turn_begins(struct ev_loop *loop, ev_check *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    web_on_turn(&room.web, clock_now_us());
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    web_on_tick(&room.web);
    client_expire(&room.clients);
    metrics_on_tick(&room.metrics, clock_now_us());
}

static void on_channel(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    hear_all();
}

static void on_signal(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)watcher;
    (void)events;
    if (signals_has(signals_take(), SIGTERM))
        ev_break(loop, EVBREAK_ALL);
}
