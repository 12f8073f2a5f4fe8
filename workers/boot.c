/* See boot.h. */
#include "workers/boot.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/title.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "workers/channel.h"
#include "workers/crash.h"
#include "workers/pool_map.h"

enum {
    TURN_NS = 100 * 1000, /* the shortest slice that sched_setattr(2) takes */
};

/* The first frame hands over the shared table. */
static int receive_board(const struct heritage *h, struct scoreboard_part *part, struct err *err)
{
    struct msg msg;
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    int rc = channel_wait(h->channel_fd, &msg, fds, &n_fds);
    if (rc <= 0 || msg.type != MSG_BOARD) {
        for (size_t i = 0; rc > 0 && i < n_fds; i++)
            fd_close(&fds[i]);
        return rc == -EMFILE
                   ? err_set(err, EMFILE, "the shared table can't be taken: %s", strerror(EMFILE))
                   : err_set(err, EPROTO, "expected the shared table from the master, got %s",
                             rc > 0 ? msg_names[msg.type] : "nothing");
    }
    rc = scoreboard_map_part(&h->board, fds[0], h->seat, part, err);
    fd_close(&fds[0]);
    return rc;
}

static void announce_seat(const struct heritage *h, const struct scoreboard_part *part)
{
    struct seat_head *head = part->head;
    head->layout = SCOREBOARD_LAYOUT;
    head->epoch = h->epoch;
    head->role = (int32_t)h->role;
    head->slot = h->slot;
    head->generation = h->generation;
    head->pid = getpid();
    panic_set_area(head->last_words, sizeof head->last_words);
    crash_attach(part->remains, &head->current);
}

_Noreturn void boot_fail(const struct heritage *heritage, const char *reason)
{
    char quoted[LOG_QUOTE_MAX + 8];
    log_error("worker can't start", "reason=%s", log_quote(quoted, reason, strlen(reason)));
    channel_tell(heritage, MSG_FAILED, NULL, getpid(), 0, reason);
    exit(EXIT_FAILURE);
}

void boot_init_app(const struct heritage *heritage, const struct app *app)
{
    int rc = app->decl->worker_init ? app->decl->worker_init() : 0;
    if (rc != 0) {
        char reason[80];
        (void)snprintf(reason, sizeof reason, "the app's worker_init returned %d", rc);
        boot_fail(heritage, reason);
    }
}

/* Under kernel.yama.ptrace_scope=1 a process is looked into only by whom it allows to, or by its
 * parents: here by the master, whose child is the tracer. It allows it to all others below the
 * master as well, so only where slow requests are to be told. Elsewhere it is refused, and needed
 * by nobody. */
static void let_master_look(const struct heritage *heritage)
{
    const struct settings *s = heritage->settings;
    bool is_asked_for = s->slow_request_us > 0;
    for (size_t i = 0; i < s->route_overrides.n; i++)
        is_asked_for |= s->route_overrides.items[i].slow_request_us > 0;
    if (is_asked_for)
        (void)prctl(PR_SET_PTRACER, (unsigned long)heritage->master_pid, 0, 0, 0);
}

void boot_take_seat(const struct heritage *heritage, const struct app *app,
                    struct scoreboard_part *out_part)
{
    struct err err = {0};
    const char *role = role_table[heritage->role].name;
    char comm[16];
    (void)snprintf(comm, sizeof comm, "remuda-%s", role);
    log_identify(role, heritage->slot, heritage->generation);
    title_set_comm(comm);
    channel_tell(heritage, MSG_HELLO, NULL, getpid(), 0, NULL);
    if (receive_board(heritage, out_part, &err) < 0)
        boot_fail(heritage, err.text);
    announce_seat(heritage, out_part);
    let_master_look(heritage);
    chain_set_process(&(struct chain_process){.role = role,
                                              .slot = heritage->slot,
                                              .generation = heritage->generation,
                                              .config = heritage->settings->app_config,
                                              .config_file = heritage->settings->file,
                                              .app = app});
}

/* Beside compute workers on the same CPU, light requests are to be answered at once. A lower `nice`
 * of those gives a web worker more of the CPU, but not sooner: whoever runs is let alone up to the
 * end of its slice. Who asks for short slices goes first when it wakes up (Linux 6.12 and later;
 * before, it changes nothing). Threads that are made from here on inherit it; what the kernel
 * refuses is done without. The C library has no function for either call (sched_setattr(2)). */
static void ask_for_short_turns(void)
{
    struct sched_attr attr = {.size = sizeof attr};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) < 0)
        return;
    if (attr.sched_policy != SCHED_NORMAL) /* somebody has chosen for it */
        return;
    attr.sched_runtime = TURN_NS;
    (void)syscall(SYS_sched_setattr, 0, &attr, 0);
}

void boot_begin(const struct heritage *heritage, const struct app *app, boot_set_up *set_up,
                struct scoreboard_part *out_part)
{
    struct err err = {0};
    web_show_state(heritage->settings, heritage, "booting");
    boot_take_seat(heritage, app, out_part);
    if (pool_map_in_use(heritage->settings, app) != 0)
        ask_for_short_turns();
    if (set_up(heritage->settings, app, out_part, heritage->board.n_inflight,
               heritage->board.n_routes, heritage->access_fd, &err) < 0)
        boot_fail(heritage, err.text);
    boot_init_app(heritage, app);
}

void boot_ready(const struct heritage *heritage, const struct scoreboard_part *part)
{
    atomic_store_explicit(&part->head->state, SEAT_STATE_READY, memory_order_relaxed);
    channel_tell(heritage, MSG_READY, NULL, getpid(), 0, NULL);
}

int boot_open_signals(bool has_master, struct err *err)
{
    static const int obeyed[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1};
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGHUP, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH};
    const unsigned n_obeyed = sizeof obeyed / sizeof obeyed[0];
    /* The master also opens log files (USR1), for which a worker may lack the rights. */
    int fd = signals_open(obeyed, has_master ? 1 : n_obeyed);
    if (fd < 0)
        return err_set(err, -fd, "signals: %s", strerror(-fd));
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)sigaction(ignored[i], &ignore, NULL);
    for (unsigned i = 1; has_master && i < n_obeyed; i++)
        (void)sigaction(obeyed[i], &ignore, NULL);
    return fd;
}

int boot_make_part(const struct settings *settings, struct scoreboard_part *out_part,
                   struct err *err)
{
    *out_part = (struct scoreboard_part){
        .head = calloc(1, sizeof *out_part->head),
        .inflight = calloc(settings->inflight, sizeof *out_part->inflight),
        .routes = calloc(settings->limit_routes + SCOREBOARD_MORE_ROUTES, sizeof *out_part->routes),
        .batch = calloc(1, SCOREBOARD_BATCH_BYTES),
    };
    if (out_part->head && out_part->inflight && out_part->routes && out_part->batch)
        return 0;
    boot_free_part(out_part);
    return err_set(err, ENOMEM, "no memory for the worker's table");
}

void boot_free_part(struct scoreboard_part *part)
{
    free(part->head);
    free(part->inflight);
    free(part->routes);
    free(part->batch);
    *part = (struct scoreboard_part){0};
}

void boot_end_app(const struct app *app, struct web *web)
{
    if (app->decl->worker_exit)
        app->decl->worker_exit();
    if (web->env.box)
        deferred_close(web->env.box); /* its threads have ended: what they turned in last */
}
