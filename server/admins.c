/* Process: master. One process more, kept as workers are: it says READY, its heartbeat is watched,
 * it is replaced with the same back-off. That it is down costs scrapes and nothing else, so no
 * failure of it stops the server.
 *
 * While two masters are there (server/upgrade.h) both have its sockets, and the one whose workers
 * serve answers. */
#include "server/admins.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/settings.h"
#include "ipc/msg.h"
#include "ipc/signals.h"
#include "ipc/spawn.h"
#include "server/books.h"
#include "server/decide.h"
#include "server/tally.h"
#include "workers/admin.h"

#define TELL_US (CLOCK_US_PER_S / 2) /* the ledger is written so often at least */
#define FRAMES_A_TURN 64 /* so that it does not keep us busy; it sends one in its life */

/* ---- set-up ---- */

static uint32_t seat_of(const struct admins *a)
{
    return a->herd->slots.n_seats; /* behind those of the table */
}

/* Sockets of the old master, where it has passed those that are named now. */
static int listen_at(struct admins *a, const struct settings *settings,
                     struct listen_set *inherited, struct err *err)
{
    struct settings only = *settings;
    only.bind = (struct setting_binds){settings->admin_bind, 1};
    if (inherited->n == 0)
        return listen_open(&only, 1, &a->listeners, err);
    struct listen_change change;
    inherited->backlog = settings->backlog;
    int rc = listen_prepare(inherited, &only, &change, err);
    if (rc == 0)
        rc = listen_commit(inherited, &change, 1, err);
    if (rc < 0)
        return rc;
    a->listeners = *inherited;
    *inherited = (struct listen_set){0};
    listen_close_leaving(&a->listeners);
    return 0;
}

int admins_open(struct admins *a, const struct settings *settings, struct herd *herd,
                const struct reload *reload, const struct upgrade *upgrade,
                struct listen_set *inherited, struct err *err)
{
    *a = (struct admins){.herd = herd,
                         .reload = reload,
                         .upgrade = upgrade,
                         .is_on = settings->admin_bind != NULL,
                         .channel_fd = -1,
                         .killed_us = SEAT_NEVER};
    if (!a->is_on) { /* the old master's: nobody would answer there */
        listen_close(inherited);
        return 0;
    }
    int rc = listen_at(a, settings, inherited, err);
    if (rc < 0)
        return err_wrap(err, "admin");
    for (uint32_t i = 0; i < a->listeners.n_addresses; i++)
        if (a->listeners.addresses[i].text[0])
            log_notice("admin listening", "address=%s", a->listeners.addresses[i].text);
    return 0;
}

void admins_close(struct admins *a)
{
    fd_close(&a->channel_fd);
    listen_close(&a->listeners);
}

/* ---- its birth ---- */

/* What it needs is in its channel before it is born. */
static int send_means(struct admins *a)
{
    struct msg board = msg_make(MSG_BOARD);
    struct msg ledger = msg_make(MSG_LEDGER);
    struct msg start = msg_make(MSG_START);
    int rc = msg_send(a->channel_fd, &board, &a->herd->board_fd, 1);
    if (rc == 0)
        rc = msg_send(a->channel_fd, &ledger, &a->herd->ledger_fd, 1);
    for (uint32_t id = 0; rc == 0 && id < a->listeners.n; id++) {
        struct msg listen = msg_make(MSG_LISTEN);
        listen.value = (int64_t)id;
        if (a->listeners.items[id].fd >= 0)
            rc = msg_send(a->channel_fd, &listen, &a->listeners.items[id].fd, 1);
    }
    return rc == 0 ? msg_send(a->channel_fd, &start, NULL, 0) : rc;
}

static void fail(struct admins *a, bool was_ready, uint64_t ready_us)
{
    struct decide_loss loss = {.role = ROLE_ADMIN,
                               .failures = a->failures,
                               .was_ready = was_ready,
                               .ready_us = ready_us,
                               .is_anyone_serving = true};
    struct decide_replacement next = decide_replace(&loss);
    a->failures = next.failures;
    a->due_us = a->herd->now_us + next.delay_us;
}

static void hire(struct admins *a)
{
    struct err err;
    const struct generation *g = a->herd->current;
    struct heritage heritage = g->heritage;
    int ends[2];
    int rc = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        rc = err_set(&err, errno, "socketpair: %s", strerror(errno));
    } else {
        heritage.role = ROLE_ADMIN;
        heritage.seat = seat_of(a);
        heritage.epoch = ++a->epoch;
        heritage.slot = -1;
        heritage.access_fd = -1;
        heritage.channel_fd = ends[1];
        a->channel_fd = ends[0];
        rc = send_means(a);
        if (rc < 0)
            (void)err_set(&err, -rc, "its channel: %s", strerror(-rc));
        else
            rc = spawn_child(&heritage, admin_main, &a->pid, &err);
        fd_close(&ends[1]);
    }
    if (rc < 0) {
        fd_close(&a->channel_fd);
        a->pid = 0;
        fail(a, false, 0);
        log_warn("admin process not made", "why=\"%s\" respawn_ms=%" PRIu64, err.text,
                 (a->due_us - a->herd->now_us) / CLOCK_US_PER_MS);
        return;
    }
    a->herd->admin_pid = a->pid;
    a->born_us = a->herd->now_us;
    a->ready_us = 0;
    a->killed_us = SEAT_NEVER;
    a->is_leaving = false;
    a->doom = NULL;
    a->logs = a->herd->logs;
    a->log_generation = g->number;
}

/* ---- its life ---- */

static void hear(struct admins *a)
{
    for (int i = 0; i < FRAMES_A_TURN && a->channel_fd >= 0; i++) {
        struct msg msg;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        int rc = msg_receive(a->channel_fd, 1, &msg, fds, &n_fds);
        if (rc == -EAGAIN)
            return;
        if (rc <= 0) {
            fd_close(&a->channel_fd); /* it ends, or has ended */
            a->killed_us = a->herd->now_us + DECIDE_STOP_US;
        } else if (msg.type == MSG_READY && a->ready_us == 0) {
            a->ready_us = a->herd->now_us;
            log_info("admin process ready", "pid=%d boot_ms=%" PRIu64, (int)a->pid,
                     (a->ready_us - a->born_us) / CLOCK_US_PER_MS);
        }
    }
}

static void end(struct admins *a, int signal_number, const char *why)
{
    a->doom = why;
    a->killed_us = a->herd->now_us + DECIDE_STOP_US;
    (void)kill(a->pid, signal_number); /* ours and not reaped yet */
}

static uint64_t hung_us(const struct admins *a)
{
    const struct settings *s = a->herd->current->settings;
    const struct seat_head *head = scoreboard_peek(&a->herd->board, seat_of(a)).head;
    uint64_t beat_us = atomic_load_explicit(&head->heartbeat_us, memory_order_relaxed);
    if (a->ready_us == 0)
        return a->born_us + s->boot_timeout_us;
    if (s->timeout_us == 0)
        return SEAT_NEVER;
    beat_us = beat_us > a->ready_us ? beat_us : a->ready_us;
    uint64_t at = beat_us + s->timeout_us;
    return at > a->herd->excuse_us ? at : a->herd->excuse_us;
}

static void judge(struct admins *a)
{
    uint64_t now_us = a->herd->now_us;
    if (now_us >= a->killed_us) {
        (void)kill(a->pid, SIGKILL);
        a->killed_us = SEAT_NEVER;
    } else if (a->killed_us == SEAT_NEVER && !a->doom && now_us >= hung_us(a)) {
        log_error("admin process does not answer", "pid=%d does=\"replace it\"", (int)a->pid);
        end(a, SIGABRT, a->ready_us ? "timeout" : "boot_timeout");
    }
}

static void send_away(struct admins *a)
{
    struct msg stop = msg_make(MSG_STOP);
    if (a->is_leaving)
        return;
    a->is_leaving = true;
    a->killed_us = a->herd->now_us + DECIDE_STOP_US;
    if (a->channel_fd < 0 || msg_send(a->channel_fd, &stop, NULL, 0) < 0)
        (void)kill(a->pid, SIGKILL);
}

/* Its log is what that of the generation is that serves. */
static void send_logs(struct admins *a)
{
    const struct generation *g = a->herd->current;
    struct msg msg = msg_make(MSG_LOGS);
    msg.value = (int64_t)a->herd->logs;
    if (a->logs == a->herd->logs && a->log_generation == g->number)
        return;
    int rc = 0;
    if (g->heritage.log_fd > STDERR_FILENO && a->channel_fd >= 0)
        rc = msg_send(a->channel_fd, &msg, &g->heritage.log_fd, 1);
    if (rc == -EAGAIN)
        return; /* in another turn */
    a->logs = a->herd->logs;
    a->log_generation = g->number;
}

bool admins_reap(struct admins *a, pid_t pid, int status)
{
    char end_text[48];
    struct herd *herd = a->herd;
    if (a->pid == 0 || pid != a->pid)
        return false;
    hear(a);
    fd_close(&a->channel_fd);
    a->pid = 0;
    herd->admin_pid = 0;
    int rc = scoreboard_clear(&herd->board, herd->board_fd, seat_of(a));
    (void)rc; /* the next one writes all anew */
    if (a->is_leaving) {
        a->due_us = herd->now_us;
        return true;
    }
    fail(a, a->ready_us != 0, a->ready_us != 0 ? herd->now_us - a->ready_us : 0);
    bool is_from_outside =
        WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    if (WIFSIGNALED(status))
        (void)snprintf(end_text, sizeof end_text, "signal=%s", signals_name(WTERMSIG(status)));
    else
        (void)snprintf(end_text, sizeof end_text, "exit=%d", WEXITSTATUS(status));
    log_warn("admin process died", "pid=%d %s why=\"%s\" respawn_ms=%" PRIu64, (int)pid, end_text,
             a->doom           ? a->doom
             : is_from_outside ? "killed from outside"
                               : "",
             (a->due_us - herd->now_us) / CLOCK_US_PER_MS);
    tally_count_restart(herd, ROLE_ADMIN,
                        a->doom             ? LEDGER_HUNG
                        : !a->ready_us      ? LEDGER_BOOT
                        : WIFEXITED(status) ? LEDGER_EXIT
                        : is_from_outside   ? LEDGER_OUTSIDE
                                            : LEDGER_CRASH);
    return true;
}

/* ---- turns ---- */

/* When nobody is left of whom it could tell something. */
static bool is_over(const struct admins *a)
{
    return a->herd->stage != DECIDE_RUNNING && slots_count(&a->herd->slots) == 0;
}

void admins_watch(const struct admins *a, struct pollfd *out_poll)
{
    *out_poll = (struct pollfd){.fd = a->channel_fd, .events = POLLIN};
}

void admins_turn(struct admins *a, bool may_serve)
{
    if (!a->is_on)
        return;
    books_write(a);
    if (a->pid > 0) {
        hear(a);
        if (is_over(a) || !may_serve)
            send_away(a);
        if (a->herd->stage == DECIDE_AT_ONCE)
            (void)kill(a->pid, SIGKILL);
        judge(a);
        send_logs(a);
    } else if (may_serve && a->herd->stage <= DECIDE_GRACEFUL && !is_over(a) &&
               a->due_us <= a->herd->now_us) {
        hire(a);
    }
}

bool admins_have_ended(const struct admins *a)
{
    return a->pid == 0;
}

uint64_t admins_next_us(const struct admins *a)
{
    if (!a->is_on)
        return SEAT_NEVER;
    uint64_t next = a->told_us + TELL_US;
    if (a->pid > 0)
        next = a->killed_us < next ? a->killed_us : next;
    return a->pid == 0 && a->due_us > a->herd->now_us && a->due_us < next ? a->due_us : next;
}
