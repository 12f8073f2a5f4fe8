/* What hangs on who is the master. Process: master.
 *
 * Sockets are shared while there are two: what would be done to them on a stop (filters, closed
 * queues, removed files) would be done to the other one's as well. The pid file of a new master has
 * .2 behind its name until the old one has gone, as Gunicorn's. The service manager listens to one
 * process only, and the old one is it until it stops. */
#include "server/succession.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"
#include "server/daemon.h"
#include "server/herd.h"
#include "server/inherit.h"
#include "server/listen.h"
#include "server/relief.h"
#include "server/reload.h"
#include "server/scale.h"

void succession_init(struct succession *s, const struct settings *settings, struct herd *herd,
                     struct listen_set *listeners, struct listen_set *admin, struct scale *scale,
                     const struct origin *origin, const struct inherit *inherit)
{
    *s = (struct succession){.settings = settings,
                             .herd = herd,
                             .listeners = listeners,
                             .admin = admin,
                             .scale = scale,
                             .notify = {.fd = -1},
                             .pidfile = {.fd = -1}};
    upgrade_init(&s->upgrade, origin, listeners, admin, s->next_pidfile);
    successor_init(&s->successor, inherit->handover.talk_fd, inherit->handover.from);
}

/* ---- Start and end */

static int open_pidfile(struct succession *s, struct err *err)
{
    char path[PATH_MAX];
    bool is_second = successor_has_old(&s->successor);
    if (!s->settings->pidfile)
        return 0;
    if (snprintf(path, sizeof path, "%s%s", s->settings->pidfile, is_second ? ".2" : "") >=
        PATH_MAX)
        return err_set(err, ENAMETOOLONG, "pidfile: %s: %s", s->settings->pidfile,
                       strerror(ENAMETOOLONG));
    int rc = pidfile_open(&s->pidfile, path, err);
    if (rc < 0)
        return rc;
    size_t len = strlen(s->pidfile.path) - (is_second ? 2 : 0);
    (void)snprintf(s->base_pidfile, PATH_MAX, "%.*s", (int)len, s->pidfile.path);
    (void)snprintf(s->next_pidfile, PATH_MAX, "%.*s.2", (int)len, s->pidfile.path);
    return 0;
}

int succession_open(struct succession *s, struct err *err)
{
    char quoted[LOG_QUOTE_MAX + 8];
    if (notify_open(&s->notify, err) < 0)
        log_warn("service manager not told", "why=%s",
                 log_quote(quoted, err->text, strlen(err->text)));
    s->notify.is_silent = successor_has_old(&s->successor);
    return open_pidfile(s, err);
}

int succession_open_control(struct succession *s, struct control *control, const char *path,
                            struct err *err)
{
    char second[CONTROL_PATH_MAX + 2];
    (void)snprintf(second, sizeof second, "%s%s", path,
                   successor_has_old(&s->successor) ? ".2" : "");
    int rc = control_open(control, second, err);
    if (rc < 0)
        return rc;
    s->control = control;
    (void)snprintf(s->base_control, sizeof s->base_control, "%s", path);
    return 0;
}

void succession_begin(struct succession *s)
{
    for (uint32_t i = 0; i < s->listeners->n_addresses; i++)
        if (s->listeners->addresses[i].is_leaving)
            successor_tell(&s->successor, "left", s->listeners->addresses[i].text);
    listen_close_leaving(s->listeners);
    successor_tell(&s->successor, "booting", "");
}

void succession_fail(const struct succession *s, const char *why)
{
    if (successor_is_waiting(&s->successor))
        successor_tell(&s->successor, "failed", why[0] ? why : "the new master was stopped");
}

void succession_close(struct succession *s)
{
    pidfile_close(&s->pidfile);
    notify_close(&s->notify);
    upgrade_fini(&s->upgrade);
    successor_fini(&s->successor);
}

/* ---- Turns */

void succession_watch(const struct succession *s, struct pollfd polls[SUCCESSION_POLLS])
{
    polls[0] = (struct pollfd){.fd = s->upgrade.talk_fd, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = s->successor.talk_fd, .events = POLLIN};
}

bool succession_is_waiting(const struct succession *s)
{
    return successor_is_waiting(&s->successor);
}

bool succession_is_answering(const struct succession *s)
{
    return !successor_is_waiting(&s->successor) && s->upgrade.stage != UPGRADE_UP;
}

bool succession_is_passing(const struct succession *s)
{
    return s->upgrade.stage == UPGRADE_BOOTING || s->upgrade.stage == UPGRADE_FAILING ||
           s->n_resting > 0;
}

bool succession_is_alone(const struct succession *s)
{
    return s->upgrade.stage == UPGRADE_NONE && !successor_has_old(&s->successor);
}

bool succession_bury(struct succession *s, pid_t pid, int status)
{
    return upgrade_bury(&s->upgrade, pid, status, s->herd->now_us);
}

/* From when the old master leaves, whoever asks is to reach this one. */
static void take_control_name(struct succession *s)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    if (s->control && control_rename(s->control, s->base_control, s->successor.old_pid, &err) < 0)
        log_warn("control socket not renamed", "why=%s",
                 log_quote(quoted, err.text, strlen(err.text)));
}

static void own_sockets(struct succession *s)
{
    listen_share(s->listeners, false);
    listen_share(s->admin, false);
    take_control_name(s);
}

/* The old master has ended. Slots that it had no sockets for get theirs from now on, see
 * succession_is_alone(). */
static void become_the_only_one(struct succession *s)
{
    struct err err;
    char quoted[LOG_QUOTE_MAX + 8];
    listen_share(s->listeners, false);
    listen_share(s->admin, false);
    s->herd->is_changed = true;
    notify_take_over(&s->notify);
    if (s->pidfile.fd >= 0 && pidfile_rename(&s->pidfile, s->base_pidfile, &err) < 0)
        log_warn("pid file not renamed", "why=%s", log_quote(quoted, err.text, strlen(err.text)));
    take_control_name(s);
    log_notice("old master gone", "pid=%d does=\"this master is the only one\"",
               (int)s->successor.old_pid);
}

static void follow_old(struct succession *s)
{
    enum successor_news news;
    const struct generation *g = s->herd->current;
    if (g->loader.seat && g->loader.seat->phase == SEAT_READY)
        successor_tell_loaded(&s->successor);
    if (successor_is_waiting(&s->successor) && g->has_been_ready)
        successor_tell_ready(&s->successor);
    while ((news = successor_hear(&s->successor)) != SUCCESSOR_QUIET) {
        if (news == SUCCESSOR_MAIN)
            notify_take_over(&s->notify);
        else if (news == SUCCESSOR_OWNER)
            own_sockets(s);
        else
            become_the_only_one(s);
    }
}

static uint32_t count_workers(const struct herd *herd)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < herd->slots.n_used; i++)
        n += herd->slots.seats[i].phase != SEAT_FREE && herd->slots.seats[i].phase != SEAT_BURIED &&
             herd->slots.seats[i].role == ROLE_WEB;
    return n;
}

/* This master's workers leave to the new one's, and it stays until the last has: should the new one
 * fail meanwhile, they come back. */
static void rest(struct succession *s)
{
    s->n_resting = s->herd->current->n_workers;
    if (s->n_resting > 0)
        scale_for_upgrade(s->herd, 0);
}

/* Also where somebody sent them home (WINCH): nobody else serves any more, and the settings say how
 * many there are. */
static void resume(struct succession *s)
{
    struct generation *g = s->herd->current;
    const struct scale_wish wish = {.n = (int)g->settings->workers.n};
    uint32_t n = s->n_resting;
    s->n_resting = 0;
    if (g->n_workers > 0 || s->herd->stage != DECIDE_RUNNING)
        return;
    if (n > 0) {
        scale_for_upgrade(s->herd, n);
        return;
    }
    (void)scale_workers(s->scale, s->herd, wish, "upgrade");
    generation_set_range(g);
}

const char *succession_turn(struct succession *s)
{
    const struct upgrade_view view = {.now_us = s->herd->now_us,
                                      .patience_us = s->herd->current->settings->boot_timeout_us,
                                      .generation = s->herd->n_generations,
                                      .is_busy = reload_is_building(s->herd)};
    if (herd_is_leaving(s->herd))
        upgrade_withdraw(&s->upgrade, view.now_us);
    enum upgrade_news news = upgrade_turn(&s->upgrade, &view);
    follow_old(s);
    if (news == UPGRADE_ALONE)
        resume(s);
    if (news != UPGRADE_QUIET && s->is_stop_due)
        return "asked for before";
    if (news == UPGRADE_READY && s->upgrade.is_whole)
        rest(s);
    bool is_over = s->upgrade.stage == UPGRADE_UP && s->upgrade.is_whole && !s->herd->leaving &&
                   s->herd->current->n_workers == 0 && count_workers(s->herd) == 0;
    return is_over ? "upgrade" : NULL;
}

/* ---- Orders */

int succession_ask(struct succession *s, const char *who, bool is_whole, uint64_t *out_number,
                   struct err *err)
{
    if (herd_is_leaving(s->herd) || s->is_stop_due)
        return err_set(err, EBUSY, "this master is stopping");
    if (successor_has_old(&s->successor))
        return err_set(err, EBUSY,
                       "the old master of the last upgrade (pid %d) is still there: stop it first "
                       "(TERM)",
                       (int)s->successor.old_pid);
    return upgrade_ask(&s->upgrade, who, is_whole, out_number, err);
}

bool succession_outcome(const struct succession *s, uint64_t number, struct control_outcome *out)
{
    const struct upgrade_result *last = &s->upgrade.last;
    bool is_ready = last->number >= number && last->outcome == UPGRADE_DONE;
    if (last->number < number || (is_ready && s->n_resting > 0 && s->herd->stage == DECIDE_RUNNING))
        return false;
    *out = (struct control_outcome){.is_done = is_ready && s->herd->stage != DECIDE_RUNNING,
                                    .generation = s->herd->current->number,
                                    .ms = last->took_us / CLOCK_US_PER_MS,
                                    .why = is_ready ? "the new master has gone again, while this "
                                                      "one's workers were leaving"
                                                    : last->why};
    out->pid = out->is_done ? (int)last->pid : 0;
    return true;
}

/* What others have is left to them, as it is; of the rest nobody new gets in. */
static void give_up_listeners(struct succession *s)
{
    s->herd->leaves_sockets = listen_is_shared(s->listeners);
    if (!s->herd->leaves_sockets) {
        listen_refuse_new(s->listeners);
        return;
    }
    listen_leave_unshared(s->listeners);
    if (listen_retire(s->listeners) > 0)
        relief_retire(s->herd, s->listeners);
    listen_close_leaving(s->listeners);
}

/* A stop while the new master boots, or is given up and has not ended yet, would leave nobody who
 * serves what waits in the sockets: that is waited for, unless the stop is asked for once more, or
 * is a quick one. */
bool succession_stop(struct succession *s, enum decide_stage stage)
{
    bool is_undecided = s->upgrade.stage == UPGRADE_BOOTING || s->upgrade.stage == UPGRADE_FAILING;
    if (stage == DECIDE_GRACEFUL && is_undecided && !s->is_stop_due) {
        log_notice("stop waits", "why=\"the new master is not ready\" pid=%d", (int)s->upgrade.pid);
        s->is_stop_due = true;
        return false;
    }
    if (s->herd->stage != DECIDE_RUNNING)
        return true;
    upgrade_tell(&s->upgrade, "stopping");
    successor_tell(&s->successor, "stopping", "");
    if (stage == DECIDE_GRACEFUL)
        give_up_listeners(s);
    return true;
}

/* Nobody is told to go elsewhere while nobody was told to come, or while another master goes on. */
static bool is_put_off(const struct succession *s, enum decide_stage stage)
{
    const struct generation *g = s->herd->current;
    return stage == DECIDE_GRACEFUL && !herd_is_leaving(s->herd) && g->has_been_ready &&
           succession_is_alone(s) && g->settings->drain_delay_us > 0;
}

void succession_leave(struct succession *s, enum decide_stage stage, const char *why)
{
    if (is_put_off(s, stage)) {
        listen_hand_over_all(s->listeners);
        herd_leave(s->herd, s->herd->current->settings->drain_delay_us, why);
    } else if (succession_stop(s, stage)) {
        herd_stop(s->herd, stage, why);
    }
}

void succession_leave_when_due(struct succession *s)
{
    if (s->herd->leaves_us == 0 || s->herd->now_us < s->herd->leaves_us)
        return;
    s->herd->leaves_us = 0;
    if (succession_stop(s, DECIDE_GRACEFUL))
        herd_stop(s->herd, DECIDE_GRACEFUL, "drain_delay");
}

/* ---- The service manager */

static enum notify_phase phase_of(const struct succession *s)
{
    if (herd_is_leaving(s->herd))
        return NOTIFY_STOPPING;
    if (reload_is_building(s->herd))
        return NOTIFY_RELOADING;
    return s->herd->current->has_been_ready ? NOTIFY_READY : NOTIFY_BOOTING;
}

void succession_report(struct succession *s, unsigned n_reloads)
{
    static const char *const words[] = {[NOTIFY_NOTHING] = "",
                                        [NOTIFY_BOOTING] = "starting",
                                        [NOTIFY_READY] = "serving",
                                        [NOTIFY_RELOADING] = "reloading",
                                        [NOTIFY_STOPPING] = "stopping"};
    char status[NOTIFY_STATUS_MAX];
    const struct generation *g = s->herd->current;
    enum notify_phase phase = phase_of(s);
    s->has_more_to_tell = s->n_reloads_told != n_reloads && phase == NOTIFY_READY;
    if (s->has_more_to_tell)
        phase = NOTIFY_RELOADING; /* it has ended in the same turn: the next one says so */
    s->n_reloads_told = n_reloads;
    if (s->upgrade.stage == UPGRADE_UP)
        (void)snprintf(status, sizeof status, "%s, beside the new master with pid %d", words[phase],
                       (int)s->upgrade.main_pid);
    else
        (void)snprintf(status, sizeof status,
                       "%s, %" PRIu32 " of %" PRIu32 " workers ready, generation %d", words[phase],
                       generation_count_ready(g), g->n_workers, g->number);
    if (phase == NOTIFY_STOPPING && s->upgrade.stage == UPGRADE_UP && !s->notify.is_silent) {
        /* Not a word of stopping: the service goes on in another process. */
        if (notify_hand_over(&s->notify, s->upgrade.main_pid, s->herd->now_us) == 0)
            upgrade_tell(&s->upgrade, "main");
        return;
    }
    notify_turn(&s->notify, phase, status, s->herd->now_us);
    if (phase == NOTIFY_READY)
        daemon_ready();
}

uint64_t succession_next_us(const struct succession *s)
{
    uint64_t upgrade_us = upgrade_next_us(&s->upgrade);
    uint64_t notify_us = notify_next_us(&s->notify, phase_of(s));
    if (s->has_more_to_tell)
        return 0;
    return upgrade_us < notify_us ? upgrade_us : notify_us;
}
