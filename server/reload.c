/* Carries out what decide_turnover() says about generations. Process: master.
 *
 * Begin: file, environment and command line are read again, checked as `remuda check` does, the app
 * is copied, new addresses are bound without listening, log files with other names are opened. All
 * of it beside what runs; the first thing that fails ends it. From then on the candidate's posts
 * are filled like any other's, but its workers get no sockets, and one failure is enough: whoever
 * deploys wants to hear it now, while the old generation serves.
 *
 * Commit: one place, below. The new workers get their sockets in the same turn of the master's loop
 * (steer.c), then the old ones are told to leave (relief.c). The queues of the sockets are the
 * kernel's and pass over untouched: who waits in them does not notice.
 *
 * Reading files and looking up names of new binds may hold the master up for as long as the file
 * system or the resolver does. Nobody is hurt by that: workers serve, and no heartbeat is judged
 * before they had time to be seen (see excuse_heartbeats() in master.c). */
#include "server/reload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/title.h"
#include "config/restart.h"
#include "server/growth.h"
#include "server/logfile.h"
#include "server/nofile.h"
#include "server/relief.h"
#include "server/sizing.h"

const char *const reload_outcome_names[RELOAD_OUTCOMES] = {
    [RELOAD_NONE] = "none", [RELOAD_DONE] = "done", [RELOAD_REFUSED] = "refused"};

void reload_init(struct reload *reload, const struct origin *origin, const struct settings *start)
{
    *reload = (struct reload){.origin = origin, .start = start};
}

unsigned reload_ask(struct reload *reload, const char *who)
{
    if (!reload->is_asked)
        (void)snprintf(reload->asked_by, sizeof reload->asked_by, "%s", who);
    reload->is_asked = true;
    return reload->n_begun + 1;
}

const struct reload_result *reload_last(const struct reload *reload)
{
    return &reload->last;
}

bool reload_is_building(const struct herd *herd)
{
    return herd->candidate != NULL;
}

/* ---- The end of one */

static void note(struct reload *reload, enum reload_outcome outcome, int generation,
                 const char *why)
{
    reload->last = (struct reload_result){.number = reload->n_begun,
                                          .outcome = outcome,
                                          .generation = generation,
                                          .ended_wall_us = (int64_t)clock_wall_us(),
                                          .took_us = clock_now_us() - reload->begun_us};
    (void)snprintf(reload->last.why, sizeof reload->last.why, "%s", why);
}

static void refuse(struct reload *reload, const struct herd *herd, int generation, const char *why)
{
    char quoted[LOG_QUOTE_MAX + 8];
    bool is_stopping = herd->stage != DECIDE_RUNNING; /* then nobody has to act */
    note(reload, RELOAD_REFUSED, generation, why);
    log_event(is_stopping ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "reload refused",
              "generation=%d why=%s does=\"generation %d goes on\" ms=%" PRIu64, generation,
              log_quote(quoted, why, strlen(why)), herd->current->number,
              reload->last.took_us / CLOCK_US_PER_MS);
}

/* Log files that no other generation has. */
static void close_logs(const struct generation *g, const struct generation *other)
{
    int log_fd = g->heritage.log_fd;
    int access_fd = g->heritage.access_fd;
    if (log_fd != other->heritage.log_fd)
        logfile_close(&log_fd);
    if (access_fd != other->heritage.access_fd)
        logfile_close(&access_fd);
}

/* ---- Begin */

/* Logs every mistake, and puts the first into *err. */
static int tell_mistakes(const struct merge_result *r, struct err *err)
{
    char quoted[LOG_QUOTE_MAX + 8];
    const struct mistakes *m = &r->mistakes;
    if (m->n == 0)
        return err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; m->n + m->n_more > 1 && i < m->n; i++)
        log_error("configuration", "text=%s",
                  log_quote(quoted, m->items[i].text, strlen(m->items[i].text)));
    if (m->n + m->n_more == 1)
        return err_set(err, EINVAL, "%s", m->items[0].text);
    return err_set(err, EINVAL, "%s (and %zu more mistakes, logged before this line)",
                   m->items[0].text, m->n + m->n_more - 1);
}

static void tell_warnings(const struct mistakes *warnings)
{
    char quoted[LOG_QUOTE_MAX + 8];
    for (size_t i = 0; i < warnings->n; i++)
        log_warn("configuration", "text=%s",
                 log_quote(quoted, warnings->items[i].text, strlen(warnings->items[i].text)));
}

/* *out: settings of one's own, in which stands for good what a reload can't change. */
static int read_settings(const struct reload *reload, const struct settings *running,
                         struct settings **out, struct err *err)
{
    struct merge_result r;
    char names[RESTART_NAMES_MAX];
    int rc = origin_read(reload->origin, reload->start, running, &r);
    if (rc < 0) {
        rc = tell_mistakes(&r, err);
    } else {
        tell_warnings(&r.warnings);
        if (restart_keep(r.settings, reload->start, names) > 0)
            log_warn("settings that take a restart stay as they were", "settings=\"%s\"", names);
        *out = merge_take_settings(&r);
    }
    merge_fini(&r);
    return rc;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* A log with the same name in the same folder is the one that is open. */
static int open_log(const char *path, const char *present, bool is_same_folder, int present_fd,
                    int standard, int *out_fd, struct err *err)
{
    if (is_same_text(path, present) && (is_same_folder || !path || path[0] == '/')) {
        *out_fd = present_fd;
        return 0;
    }
    return logfile_open(path, standard, out_fd, err);
}

static int open_logs(const struct settings *s, const struct generation *current, int *out_log_fd,
                     int *out_access_fd, struct err *err)
{
    const struct settings *present = current->settings;
    const struct heritage *h = &current->heritage;
    bool is_same_folder = is_same_text(s->chdir, present->chdir);
    int log_fd = -1;
    int rc = open_log(s->errorlog ? s->errorlog : "-", present->errorlog ? present->errorlog : "-",
                      is_same_folder, h->log_fd, STDERR_FILENO, &log_fd, err);
    if (rc < 0)
        return rc;
    rc = open_log(s->accesslog, present->accesslog, is_same_folder, h->access_fd, STDOUT_FILENO,
                  out_access_fd, err);
    if (rc < 0 && log_fd != h->log_fd)
        logfile_close(&log_fd);
    if (rc == 0)
        *out_log_fd = log_fd;
    return rc;
}

/* Listening sockets that there will be at most while both are there. */
static uint32_t count_listeners(const struct listen_set *set, const struct listen_change *change,
                                uint32_t n_workers)
{
    uint32_t n_slots = n_workers > set->n_slots ? n_workers : set->n_slots;
    return (set->n_addresses + change->added.n_addresses) * (n_slots + 1);
}

/* Each step undoes itself when it fails; the caller undoes those before it. */
static int build(struct reload *reload, struct herd *herd, const struct listen_set *listeners,
                 struct generation_plan *plan, struct err *err)
{
    struct generation *g = NULL;
    int rc = open_logs(plan->settings, herd->current, &plan->log_fd, &plan->access_fd, err);
    if (rc == 0)
        rc = listen_prepare(listeners, plan->settings, &reload->change, err);
    if (rc == 0)
        rc = nofile_raise(plan->owned,
                          count_listeners(listeners, &reload->change, plan->settings->workers.n) +
                              2 * plan->settings->workers.n + slots_count(&herd->slots) +
                              pools_count_files(plan->settings) + 8,
                          err);
    struct settings *owned = plan->owned;
    if (rc == 0) {
        plan->owned = NULL; /* generation_new() frees them also when it fails */
        struct generation_plan given = *plan;
        given.owned = owned;
        rc = generation_new(&given, &g, err);
    }
    if (rc == 0) {
        growth_inherit(herd, g);
        herd->candidate = g;
    }
    return rc;
}

static void begin(struct reload *reload, struct herd *herd, struct listen_set *listeners)
{
    struct err err;
    const struct heritage *h = &herd->current->heritage;
    struct generation_plan plan = {.number = ++herd->n_generations,
                                   .log_fd = h->log_fd,
                                   .access_fd = h->access_fd,
                                   .board = &herd->board,
                                   .now_us = herd->now_us};
    reload->is_asked = false;
    reload->n_begun++;
    reload->begun_us = herd->now_us;
    log_notice("reloading", "generation=%d why=%s", plan.number, reload->asked_by);
    int rc = read_settings(reload, herd->current->settings, &plan.owned, &err);
    plan.settings = plan.owned;
    if (rc == 0)
        sizing_tell(plan.owned, herd->current->settings, plan.number);
    if (rc == 0)
        rc = build(reload, herd, listeners, &plan, &err);
    generation_enter_folder(herd->current);
    if (rc == 0)
        return;
    if (plan.log_fd != h->log_fd)
        logfile_close(&plan.log_fd);
    if (plan.access_fd != h->access_fd)
        logfile_close(&plan.access_fd);
    listen_discard(&reload->change);
    settings_free(plan.owned);
    refuse(reload, herd, plan.number, err.text);
}

/* ---- Discard */

/* What was built goes as soon as its processes have: they are told to end here. */
static void discard(struct reload *reload, struct herd *herd)
{
    struct generation *g = herd->candidate;
    bool is_stopping = herd_is_leaving(herd);
    herd->candidate = NULL;
    herd->leaving = g;
    reload->left_us = herd->now_us;
    g->leaves_us = herd->now_us;
    listen_discard(&reload->change);
    refuse(reload, herd, g->number,
           g->failure.code != 0 ? g->failure.text
           : is_stopping        ? "the server stops"
                                : "it was given up");
    relief_discard(herd, g);
}

/* ---- Commit */

/* Returns whether it is done. */
static bool commit(struct reload *reload, struct herd *herd, struct listen_set *listeners)
{
    struct generation *g = herd->candidate;
    struct generation *old = herd->current;
    struct err err;
    int rc = slots_grow(&herd->slots, count_listeners(listeners, &reload->change, g->n_workers));
    if (rc < 0)
        (void)err_set(&err, -rc, "out of memory");
    else
        rc = listen_commit(listeners, &reload->change,
                           listen_is_shared(listeners) ? listeners->n_slots : g->n_workers, &err);
    if (rc < 0) {
        g->failure = err;
        discard(reload, herd);
        return false;
    }
    /* commit */
    herd->current = g;
    poison_forget(herd);
    herd->leaving = old;
    herd->candidate = NULL;
    herd->is_changed = true;
    g->has_been_ready = true;
    reload->left_us = herd->now_us;
    old->leaves_us = herd->now_us;
    const struct settings *s = g->settings;
    generation_enter_folder(g);
    if (listen_retire(listeners) > 0)
        relief_retire(herd, listeners);
    note(reload, RELOAD_DONE, g->number, "");
    log_notice("reloaded", "generation=%d workers=%" PRIu32 " ms=%" PRIu64 " leaving=%d", g->number,
               g->n_workers, reload->last.took_us / CLOCK_US_PER_MS, old->number);
    log_init(g->heritage.log_fd, s->loglevel, s->log_format);
    log_identify("master", -1, g->number);
    title_set(s->proc_name, NULL, "master");
    listen_announce(listeners);
    listen_close_leaving(listeners);
    return true;
}

/* ---- Sweep */

static void sweep(struct reload *reload, struct herd *herd)
{
    struct generation *g = herd->leaving;
    int number = g->number;
    close_logs(g, herd->current);
    herd->leaving = NULL;
    generation_free(g);
    log_notice("generation gone", "generation=%d ms=%" PRIu64, number,
               (herd->now_us - reload->left_us) / CLOCK_US_PER_MS);
}

/* ---- Turns */

static enum decide_step next_step(const struct reload *reload, const struct herd *herd)
{
    const struct generation *candidate = herd->candidate;
    struct decide_turnover t = {
        .is_stopping = herd_is_leaving(herd),
        .is_asked = reload->is_asked && !reload->is_held,
        .is_current_up = herd->current->has_been_ready || generation_count_ready(herd->current) > 0,
        .has_candidate = candidate != NULL,
        .is_candidate_ready = candidate && generation_is_complete(candidate),
        .has_failed = candidate && candidate->failure.code != 0,
        .has_leaving = herd->leaving != NULL,
        .is_leaving_gone = herd->leaving && herd_count(herd, herd->leaving) == 0,
    };
    return decide_turnover(&t);
}

bool reload_turn(struct reload *reload, struct herd *herd, struct listen_set *listeners)
{
    switch (next_step(reload, herd)) {
    case DECIDE_BEGIN:
        begin(reload, herd, listeners);
        break;
    case DECIDE_COMMIT:
        return commit(reload, herd, listeners);
    case DECIDE_DISCARD:
        discard(reload, herd);
        break;
    case DECIDE_SWEEP:
        sweep(reload, herd);
        break;
    case DECIDE_STAY:
        break;
    }
    return false;
}

uint64_t reload_next_us(const struct reload *reload, const struct herd *herd)
{
    return next_step(reload, herd) == DECIDE_STAY ? SEAT_NEVER : 0;
}

void reload_fini(struct reload *reload, struct herd *herd)
{
    struct generation *others[] = {herd->candidate, herd->leaving};
    listen_discard(&reload->change);
    for (size_t i = 0; i < 2; i++)
        if (others[i] && herd->current)
            close_logs(others[i], herd->current);
}
