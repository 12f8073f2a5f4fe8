/* ROOM: the loader.
 *
 * What it does: gives up privileges, loads the application once and runs its init, then forks
 * workers that share what init left in memory (copy-on-write), and nothing else.
 * Who starts it: the master, one for each generation, with a single fork.
 * Inherits: standard streams, log, access log, its channel, the settings.
 * Gets over the channel: the shared table, the sealed copy of the app, orders to fork.
 * May never: start threads (a fork would copy locks that nobody unlocks), serve requests.
 * When the master dies it is killed; when it dies, its workers live on and the master starts
 * another.
 *
 * The same file holds the other ways to an application, without any fork: single, call, routes. */
#include "workers/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/title.h"
#include "config/settings.h"
#include "http/access.h"
#include "http/parse.h"
#include "ipc/msg.h"
#include "ipc/spawn.h"
#include "workers/chain.h"
#include "workers/channel.h"
#include "workers/compute.h"
#include "workers/confine.h"
#include "workers/crash.h"
#include "workers/inproc.h"
#include "workers/mounts.h"
#include "workers/pool_map.h"
#include "workers/privileges.h"
#include "workers/replay.h"
#include "workers/symbols.h"
#include "workers/web.h"
#include "workers/web_event.h"
#include "workers/web_sync.h"

static struct {
    const struct heritage *heritage;
    struct app app;
    void *handle;                /* dlopen's, never closed: workers run in it */
    struct scoreboard_part part; /* this seat's, writable */
    bool is_ending;
} room;

static void serve_orders(void);
static int load(const struct settings *settings, int app_fd, void **out_handle, struct app *app,
                struct err *err);
static void unload(void *handle, struct app *app);
static int initialise(const struct app *app, struct err *err);
static void fork_worker(const struct msg *order, int channel_fd);

/* ---- main ---- */

/* The first two frames: the shared table, then the app. *out_app_fd is -1 for "load its path". */
static int receive_belongings(int *out_app_fd, struct err *err)
{
    bool has_board = false;
    for (;;) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = channel_wait(room.heritage->channel_fd, &msg, fds, &n_fds);
        if (rc == -EMFILE)
            return err_set(err, EMFILE, "frame %s can't be taken: %s", msg_names[msg.type],
                           strerror(EMFILE));
        if (rc <= 0)
            return err_set(err, rc < 0 ? -rc : EPIPE, "the master is gone");
        if (msg.type == MSG_BOARD) {
            rc = scoreboard_map_part(&room.heritage->board, fds[0], room.heritage->seat, &room.part,
                                     err);
            fd_close(&fds[0]);
            if (rc < 0)
                return rc;
            has_board = true;
        } else if (msg.type == MSG_APP && has_board) {
            *out_app_fd = n_fds > 0 ? fds[0] : -1;
            return 0;
        } else {
            for (size_t i = 0; i < n_fds; i++)
                fd_close(&fds[i]);
            if (msg.type == MSG_STOP)
                exit(EXIT_SUCCESS);
            return err_set(err, EPROTO, "unexpected frame %s before the app", msg_names[msg.type]);
        }
    }
}

static void announce_seat(void)
{
    struct seat_head *head = room.part.head;
    head->layout = SCOREBOARD_LAYOUT;
    head->epoch = room.heritage->epoch;
    head->role = (int32_t)ROLE_LOADER;
    head->slot = -1;
    head->generation = room.heritage->generation;
    head->pid = getpid();
    panic_set_area(head->last_words, sizeof head->last_words);
    crash_attach(room.part.remains, NULL);
}

static void set_process(const char *role, int generation, const struct settings *settings,
                        const struct app *app)
{
    chain_set_process(&(struct chain_process){.role = role,
                                              .slot = -1,
                                              .generation = generation,
                                              .config = settings->app_config,
                                              .config_file = settings->file,
                                              .app = app});
}

/* Where a route runs, auto as long as nothing else is found. A class without threads has none to
 * wait on. */
static enum rmd_lane lane_in_effect(const struct settings *settings, const struct route *route)
{
    bool needs_thread = route->lane == RMD_IO;
    return needs_thread && settings->worker_class == WORKER_CLASS_SYNC ? RMD_INLINE : route->lane;
}

/* Heavy handlers do the least harm where those are that wait. */
static void tell_of_lanes(void)
{
    const struct settings *settings = room.heritage->settings;
    size_t n = 0;
    for (size_t i = 0; i < router_count(room.app.router); i++) {
        const struct route *route = router_route(room.app.router, i);
        n += lane_in_effect(settings, route) != route->lane;
    }
    if (n > 0)
        log_notice("workers of class sync have no threads, lane io runs inline", "routes=%zu", n);
}

_Noreturn static void fail(const char *reason)
{
    channel_tell(room.heritage, MSG_FAILED, NULL, getpid(), 0, reason);
    exit(EXIT_FAILURE);
}

void loader_main(const struct heritage *heritage)
{
    struct err err = {0};
    int app_fd = -1;
    room.heritage = heritage;
    log_init(heritage->log_fd, heritage->settings->loglevel, heritage->settings->log_format);
    log_identify("loader", -1, heritage->generation);
    title_set_comm("remuda-loader");
    title_set(heritage->settings->proc_name, NULL, "loader gen %d", heritage->generation);
    (void)signal(SIGPIPE, SIG_IGN);
    static const int ignored[] = {SIGINT,  SIGQUIT, SIGHUP,  SIGTERM, SIGUSR1,
                                  SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN); /* the master says when to end, over the channel */
    channel_tell(room.heritage, MSG_HELLO, NULL, getpid(), 0, NULL);
    if (receive_belongings(&app_fd, &err) < 0)
        fail(err.text);
    crash_arm();
    announce_seat();
    set_process("loader", heritage->generation, heritage->settings, &room.app);
    if (privileges_drop(heritage->settings, &err) < 0)
        fail(err.text);
    spawn_bind_life(heritage->master_pid);
    if (load(heritage->settings, app_fd, &room.handle, &room.app, &err) < 0)
        fail(err.text);
    fd_close(&app_fd);
    if (initialise(&room.app, &err) < 0)
        fail(err.text);
    if (pool_map_call(&room.app, room.app.decl->pool_init, "pool_init", &err) < 0)
        fail(err.text);
    int threads = spawn_count_threads();
    if (threads > 1) {
        (void)err_set(&err, EINVAL,
                      "%s: init left %d threads running, and a fork copies only one: start "
                      "threads in worker_init",
                      heritage->settings->app, threads);
        fail(err.text);
    }
    tell_of_lanes();
    pool_map_tell_unused(heritage->settings, &room.app);
    atomic_store_explicit(&room.part.head->state, SEAT_STATE_READY, memory_order_relaxed);
    channel_tell_ready(room.heritage, (int64_t)router_count(room.app.router),
                       pool_map_in_use(heritage->settings, &room.app));
    serve_orders();
    exit(EXIT_SUCCESS);
}

/* The app's init, or a thread of it, has opened all that this process may open. The master asks
 * again, for either, after a while. */
static void miss_order(const struct msg *order)
{
    if (order->type == MSG_FORK)
        channel_tell(room.heritage, MSG_FORK_FAILED, order, 0, EMFILE, NULL);
    else
        channel_tell_lost(room.heritage, order);
}

static void serve_orders(void)
{
    while (!room.is_ending) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = channel_wait(room.heritage->channel_fd, &msg, fds, &n_fds);
        if (rc == -EMFILE) {
            miss_order(&msg);
            continue;
        }
        if (rc <= 0)
            return; /* no master, no orders */
        if (msg.type == MSG_FORK)
            fork_worker(&msg, fds[0]);
        else if (msg.type == MSG_LOGS)
            channel_take_logs(room.heritage, &msg, fds, n_fds);
        else if (msg.type == MSG_STOP)
            room.is_ending = true;
        else
            log_warn("frame that a loader does not expect", "type=%s", msg_names[msg.type]);
        for (size_t i = 0; i < n_fds; i++)
            fd_close(&fds[i]);
    }
}

/* ---- forking ---- */

/* In a child: it gets a seat of its own, and app code in it must not write to another's. */
static void leave_seat(void)
{
    panic_set_area(NULL, 0);
    crash_attach(NULL, NULL);
    (void)munmap(room.part.head, room.heritage->board.part_bytes);
    room.part = (struct scoreboard_part){0};
}

static void run_web_worker(const struct heritage *heritage)
{
    leave_seat();
    if (heritage->settings->worker_class == WORKER_CLASS_SYNC)
        web_sync_main(heritage, &room.app);
    web_event_main(heritage, &room.app);
}

static void run_compute_worker(const struct heritage *heritage)
{
    leave_seat();
    compute_main(heritage, &room.app);
}

static void fork_worker(const struct msg *order, int channel_fd)
{
    struct err err = {0};
    struct heritage child = *room.heritage;
    child.role = (enum role)order->role;
    child.seat = order->seat;
    child.epoch = order->epoch;
    child.slot = order->slot;
    child.pool = order->role == ROLE_COMPUTE ? (int)order->value : -1;
    child.channel_fd = channel_fd;
    if (order->role != ROLE_WEB && order->role != ROLE_COMPUTE) {
        channel_tell(room.heritage, MSG_FORK_FAILED, order, 0, EINVAL, "no such role");
        return;
    }
    pid_t pid = 0;
    int rc = spawn_grandchild(
        &child, order->role == ROLE_COMPUTE ? run_compute_worker : run_web_worker, &pid, &err);
    if (rc < 0)
        channel_tell(room.heritage, MSG_FORK_FAILED, order, 0, -rc, err.text);
    else
        channel_tell(room.heritage, MSG_FORKED, order, pid, 0, NULL);
}

/* ---- loading ---- */

/* What `env` says, for all code of the app: constructors of its libraries run when it is loaded. */
static int set_variables(const struct settings *settings, struct err *err)
{
    for (size_t i = 0; i < settings->variables.n; i++) {
        const struct setting_variable *item = &settings->variables.items[i];
        if (setenv(item->name, item->value, 1) < 0)
            return err_set(err, errno, "env: %s: %s", item->name, strerror(errno));
    }
    return 0;
}

/* Loads the sealed copy (or the path) and checks what it declares. */
static int open_app(const struct settings *settings, int app_fd, void **out_handle, struct app *app,
                    struct err *err)
{
    if (!settings->app)
        return err_set(err, EINVAL, "no app: name a shared object, as in `remuda run ./app.so`");
    int rc = set_variables(settings, err);
    if (rc < 0)
        return rc;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", app_fd);
    if (app_fd >= 0 && access(path, F_OK) < 0) {
        log_warn("app loaded from its path",
                 "why=\"no %s: /proc is not mounted\" does=\"don't "
                 "replace the file in place\"",
                 path);
        app_fd = -1;
    }
    const char *from = app_fd >= 0 ? path : settings->app;
    char *with_slash = NULL; /* dlopen(3) searches library folders for names without one */
    if (app_fd < 0 && !strchr(from, '/')) {
        if (asprintf(&with_slash, "./%s", from) < 0)
            return err_set(err, ENOMEM, "no memory to load %s", settings->app);
        from = with_slash;
    }
    void *handle = dlopen(from, RTLD_NOW | RTLD_LOCAL);
    free(with_slash);
    if (!handle) {
        const char *reason = dlerror();
        size_t skip = app_fd >= 0 && reason && strncmp(reason, path, strlen(path)) == 0
                          ? strlen(path) + strspn(reason + strlen(path), ": ")
                          : 0;
        return err_set(err, ENOEXEC, "can't load %s: %s", settings->app,
                       reason ? reason + skip : "unknown reason");
    }
    const rmd_app *decl = dlsym(handle, "rmd_app_entry");
    if (!decl) {
        (void)dlclose(handle);
        return err_set(err, ENOEXEC,
                       "%s defines no rmd_app_entry: an application ends with RMD_APP(…)",
                       settings->app);
    }
    rc = chain_open(app, decl, settings->limit_routes, settings->app, err);
    if (rc < 0) {
        (void)dlclose(handle);
        return rc;
    }
    /* Here, so that all workers share it. A system without a database has the built-in types. */
    (void)!mime_load(MIME_DATABASE, &app->mime);
    *out_handle = handle;
    return 0;
}

static enum rmd_lane lane_of(const struct setting_route *item)
{
    static const enum rmd_lane lanes[SETTING_LANES] = {[SETTING_LANE_INLINE] = RMD_INLINE,
                                                       [SETTING_LANE_IO] = RMD_IO,
                                                       [SETTING_LANE_COMPUTE] = RMD_COMPUTE,
                                                       [SETTING_LANE_AUTO] = RMD_AUTO};
    return lanes[item->lane];
}

/* Puts what the setting `routes` says into the app's routes. */
static int override_routes(const struct settings *settings, const struct app *app, struct err *err)
{
    const struct setting_routes *routes = &settings->route_overrides;
    for (size_t i = 0; i < routes->n; i++) {
        const struct setting_route *item = &routes->items[i];
        const struct router_override override = {
            .route = item->route,
            .body_limit = item->limit_request_body_bytes,
            .timeout_ms = (unsigned)(item->request_timeout_us / CLOCK_US_PER_MS),
            .has_lane = item->lane != SETTING_LANE_DECLARED,
            .lane = lane_of(item),
            .pool = item->pool,
            .has_queue_target = item->queue_target_us != SETTING_QUEUE_TARGET_UNSAID,
            .queue_target_us = item->queue_target_us,
        };
        if (router_override(app->router, &override, err) == 0)
            continue;
        return item->line > 0
                   ? err_wrap(err, "%s:%u:%u: routes", settings->file, item->line, item->column)
                   : err_wrap(err, "command line: --set routes");
    }
    return 0;
}

static int load(const struct settings *settings, int app_fd, void **out_handle, struct app *app,
                struct err *err)
{
    void *handle = NULL;
    int rc = open_app(settings, app_fd, &handle, app, err);
    if (rc == 0)
        rc = override_routes(settings, app, err);
    if (rc == 0)
        rc = pool_map_check(settings, app, err);
    if (rc == 0)
        *out_handle = handle;
    else
        unload(handle, app);
    return rc;
}

static int initialise(const struct app *app, struct err *err)
{
    int rc = app->decl->init ? app->decl->init() : 0;
    if (rc != 0)
        return err_set(err, ECANCELED, "the app's init returned %d", rc);
    return 0;
}

static void unload(void *handle, struct app *app)
{
    chain_close(app);
    if (handle)
        (void)dlclose(handle);
}

/* ---- without a loader ---- */

/* What a web worker and compute workers would have begun with. Returns 0; -errno, *err */
static int become_worker(const struct app *app, struct err *err)
{
    const rmd_app *decl = app->decl;
    int rc = pool_map_call(app, decl->pool_init, "pool_init", err);
    int failed = rc == 0 && decl->worker_init ? decl->worker_init() : 0;
    if (failed)
        rc = err_set(err, ECANCELED, "the app's worker_init returned %d", failed);
    return rc == 0 ? pool_map_call(app, decl->compute_init, "compute_init", err) : rc;
}

int loader_run_single(const struct settings *settings, int access_fd, void (*reopen_logs)(void),
                      const int *fds, size_t n_fds, struct err *err)
{
    void *handle = NULL;
    struct app app = {0};
    log_identify("single", -1, -1);
    web_show_state(settings, NULL, "booting");
    (void)signal(SIGUSR1, SIG_IGN); /* until there is a loop that hears it */
    set_process("single", 0, settings, &app);
    int rc = privileges_drop(settings, err);
    if (rc == 0)
        rc = load(settings, -1, &handle, &app, err);
    if (rc == 0)
        rc = initialise(&app, err);
    if (rc == 0)
        rc = become_worker(&app, err);
    if (rc == 0)
        rc = settings->worker_class == WORKER_CLASS_SYNC
                 ? web_sync_run_single(settings, &app, access_fd, reopen_logs, fds, n_fds, err)
                 : web_event_run_single(settings, &app, access_fd, reopen_logs, fds, n_fds, err);
    unload(NULL, &app); /* its code stays: threads of its own may still be in it */
    return rc;
}

static int write_out(const struct buf *head, const struct buf *body, int is_head_shown, FILE *out,
                     struct err *err)
{
    size_t head_len = is_head_shown && head->len > 0 ? head->len - 1 : 0; /* without its NUL */
    errno = 0;
    if ((head_len > 0 && fwrite(head->data, 1, head_len, out) != head_len) ||
        (body->len > 0 && fwrite(body->data, 1, body->len, out) != body->len) || fflush(out) != 0)
        return err_set(err, errno ? errno : EIO, "can't write the answer: %s", strerror(errno));
    return 0;
}

/* Has the request answered, here. Returns 0; -errno, *err */
static int exchange(const struct settings *settings, const struct app *app,
                    const struct loader_call *call, struct buf *answer, struct err *err)
{
    struct buf octets = {0};
    bool is_closing = false;
    struct http_limits limits;
    web_fill_limits(&limits, settings);
    struct inproc_request request = {call->method, call->target, call->headers, call->body};
    int rc = call->replay ? replay_read(call->replay, &octets, stderr, err)
                          : inproc_write_request(&request, &octets);
    if (rc == 0)
        rc = inproc_exchange(app, &limits, str_make(octets.data, octets.len), answer, &is_closing);
    if (rc == -ENOMEM)
        rc = err_set(err, ENOMEM, "no memory for the request");
    buf_fini(&octets);
    return rc;
}

static int call_app(const struct settings *settings, const struct app *app,
                    const struct loader_call *call, int is_head_shown, FILE *out, struct err *err)
{
    struct buf answer = {0};
    struct buf head = {0};
    struct buf body = {0};
    struct mounts mounts;
    int rc = mounts_open(&mounts, settings, &app->mime, err);
    if (rc < 0)
        return rc;
    chain_set_mounts(&mounts);
    int status = rc = exchange(settings, app, call, &answer, err);
    if (rc == 0)
        status = inproc_read_answer(str_make(answer.data, answer.len), &head, &body);
    if (rc == 0 && status < 0)
        rc = err_set(err, ENOMEM, "no memory for the answer");
    else if (rc == 0 && status == 0)
        rc = err_set(err, EPIPE, "the connection closed without an answer");
    else if (rc == 0)
        rc = write_out(&head, &body, is_head_shown, out, err);
    chain_set_mounts(NULL);
    mounts_close(&mounts);
    buf_fini(&answer);
    buf_fini(&head);
    buf_fini(&body);
    return rc < 0 ? rc : status;
}

int loader_call(const struct settings *settings, const struct loader_call *call, int is_head_shown,
                FILE *out, struct err *err)
{
    void *handle = NULL;
    struct app app = {0};
    set_process("single", 0, settings, &app);
    int rc = load(settings, -1, &handle, &app, err);
    if (rc == 0)
        rc = initialise(&app, err);
    if (rc == 0)
        rc = become_worker(&app, err);
    if (rc == 0) {
        rc = call_app(settings, &app, call, is_head_shown, out, err);
        if (app.decl->worker_exit)
            app.decl->worker_exit();
    }
    unload(handle, &app);
    return rc;
}

static const char *lane_name(enum rmd_lane lane)
{
    static const char *const names[] = {"inline", "io", "compute", "auto"};
    return names[lane];
}

/* What of a route is not as usual, or not as declared. */
static void print_notes(const struct settings *settings, const struct route *route, FILE *out)
{
    bool is_sync = settings->worker_class == WORKER_CLASS_SYNC;
    bool may_compute = pool_map_of_route(settings, route) != POOL_MAP_NONE;
    const rmd_route *row = route->decl;
    if (lane_in_effect(settings, route) != route->lane)
        (void)fprintf(out, " lane=%s, which class sync runs inline", lane_name(route->lane));
    else if (route->lane != row->lane)
        (void)fprintf(out, " declared=%s", lane_name(row->lane));
    if (route->lane == RMD_AUTO && may_compute)
        (void)fprintf(out, " %s or compute, as it is measured", is_sync ? "inline" : "io");
    else if (route->lane == RMD_AUTO)
        (void)fprintf(out, " %s", is_sync ? "inline" : "io");
    if (row->pool && may_compute)
        (void)fprintf(out, " pool=%s", row->pool);
    if (row->body_limit > 0)
        (void)fprintf(out, " limit_request_body=%zu", row->body_limit);
    if (row->timeout_ms > 0)
        (void)fprintf(out, " request_timeout=%ums", row->timeout_ms);
}

int loader_print_routes(const struct settings *settings, FILE *out, struct err *err)
{
    void *handle = NULL;
    struct app app = {0};
    int rc = open_app(settings, -1, &handle, &app, err);
    if (rc < 0)
        return rc;
    /* A wrong override is told behind the list, in which the right name stands. */
    rc = override_routes(settings, &app, err);
    size_t n = router_count(app.router);
    size_t widest = 7;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(router_route(app.router, i)->pattern);
        widest = len > widest ? len : widest;
    }
    (void)fprintf(out, "%-8s %-*s %-8s %s\n", "METHOD", (int)widest, "PATTERN", "LANE", "NOTE");
    for (size_t i = 0; i < n; i++) {
        const struct route *route = router_route(app.router, i);
        (void)fprintf(out, "%-8s %-*s %-8s", route->method, (int)widest, route->pattern,
                      lane_name(lane_in_effect(settings, route)));
        print_notes(settings, route, out);
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "%zu routes of %s\n", n, app.decl->name ? app.decl->name : settings->app);
    unload(handle, &app);
    if (rc < 0)
        return rc;
    return ferror(out) ? err_set(err, EIO, "can't write the routes") : 0;
}

int loader_open_format(const struct settings *settings, struct access_format **out_format,
                       struct err *err)
{
    return access_format_new(settings->access_log_format, out_format, err);
}

void loader_close_format(struct access_format *format)
{
    access_format_free(format);
}

int loader_check_format(const struct settings *settings, struct err *err)
{
    struct access_format *format = NULL;
    int rc = loader_open_format(settings, &format, err);
    loader_close_format(format);
    return rc;
}

size_t loader_render_lost(struct access_format *format, const struct loader_lost *lost, char *out,
                          size_t cap)
{
    struct access_entry entry = {
        .peer_address = lost->peer.len > 0 ? lost->peer : STR("-"),
        .method = lost->method,
        .target = lost->target,
        .elapsed_us = lost->elapsed_us,
        .wall_us = lost->wall_us,
        .pid = lost->pid,
        .trace_id = lost->trace_id,
        .note = lost->note,
    };
    return access_render(format, &entry, out, cap);
}

void loader_print_versions(FILE *out)
{
    (void)fprintf(out, "llhttp %s\n", parse_version());
    (void)fprintf(out, "libev %s\n", web_event_library());
    (void)fprintf(out, "libdw %s\n", symbols_library());
    if (!confine_has_memory_limit())
        (void)fprintf(out, "memory_limit of compute pools: not in effect, built with sanitizers\n");
}
