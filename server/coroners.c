/* Process: master. The copy is made before the fork, once for all, since the dead process's part of
 * the shared table is cleared in the same turn; the child has it by copy-on-write. */
#include "server/coroners.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"
#include "ipc/inquiry.h"
#include "ipc/scoreboard.h"
#include "ipc/signals.h"
#include "ipc/spawn.h"
#include "workers/coroner.h"
#include "workers/tracer.h"

#define DUMPER_US (60 * CLOCK_US_PER_S)  /* and the tracer: they end themselves earlier */
#define CORONER_US (20 * CLOCK_US_PER_S) /* names have 5 s; the rest is for a slow disk */

int coroners_init(struct coroners *coroners)
{
    coroners->remains = calloc(1, sizeof *coroners->remains);
    log_set_ring(&coroners->log);
    return coroners->remains ? 0 : -ENOMEM;
}

void coroners_fini(struct coroners *coroners)
{
    log_set_ring(NULL);
    free(coroners->remains);
    coroners->remains = NULL;
}

bool coroners_take(struct coroners *coroners, const struct scoreboard_part *part, pid_t pid,
                   int status)
{
    struct remains *r = coroners->remains;
    if (!remains_take(part->remains, r))
        return false;
    bool is_its = r->pid == pid &&
                  (r->kind == REMAINS_EXIT ? WIFEXITED(status)
                                           : WIFSIGNALED(status) && WTERMSIG(status) == r->signal);
    if (!is_its)
        memset(r, 0, offsetof(struct remains, log)); /* of an earlier moment: it lived on */
    return is_its;
}

/* ---- the process ---- */

static void tell_without_names(const struct coroners *coroners, const struct settings *settings,
                               const char *why)
{
    const struct remains *r = coroners->remains;
    char line[REMAINS_LINE_MAX];
    char quoted[LOG_QUOTE_MAX + 8];
    int pid = (int)coroners->inquest.pid;
    uint32_t first = remains_first_frame(r);
    log_error("backtrace", "pid=%d frames=%u names=no why=%s", pid, r->n_frames - first,
              log_quote(quoted, why, strlen(why)));
    for (uint32_t i = first; i < r->n_frames; i++)
        log_error("frame", "pid=%d %s", pid,
                  remains_print_frame(r, i, settings->app, "", "", line));
}

static size_t find(const struct coroners *coroners, pid_t pid)
{
    size_t i = 0;
    while (i < CORONERS_ALL && coroners->open[i].pid != pid)
        i++;
    return i;
}

void coroners_send(struct coroners *coroners, const struct heritage *heritage, int app_fd,
                   const struct seat *seat, uint64_t now_us)
{
    struct err err;
    struct heritage child = *heritage;
    coroners->inquest.remains = coroners->remains;
    coroners->inquest.log = &coroners->log;
    child.role = ROLE_CORONER;
    child.slot = seat->slot;
    child.generation = seat->generation;
    child.channel_fd = -1;
    child.app_fd = app_fd < 0 ? 0 : app_fd;
    child.inquest = &coroners->inquest;
    size_t i = find(coroners, 0);
    if (i >= CORONERS_MAX) {
        tell_without_names(coroners, heritage->settings, "too many deaths at once");
        return;
    }
    if (spawn_child(&child, coroner_main, &coroners->open[i].pid, &err) < 0) {
        coroners->open[i].pid = 0;
        tell_without_names(coroners, heritage->settings, err.text);
        return;
    }
    coroners->open[i].subject = seat->pid;
    coroners->open[i].deadline_us = now_us + CORONER_US;
}

int coroners_trace(struct coroners *coroners, const struct heritage *heritage, int app_fd,
                   const struct inquiry *inquiry, uint64_t now_us, struct err *err)
{
    struct heritage child = *heritage;
    child.role = ROLE_TRACER;
    child.slot = inquiry->slot;
    child.channel_fd = -1;
    child.app_fd = app_fd < 0 ? 0 : app_fd;
    child.inquiry = inquiry;
    int rc = spawn_child(&child, tracer_main, &coroners->open[CORONERS_TRACER].pid, err);
    if (rc < 0) {
        coroners->open[CORONERS_TRACER].pid = 0;
        return rc;
    }
    coroners->open[CORONERS_TRACER].subject = inquiry->pid;
    coroners->open[CORONERS_TRACER].deadline_us = now_us + DUMPER_US;
    return 0;
}

int coroners_dump(struct coroners *coroners, const struct heritage *child, spawn_main main,
                  uint64_t now_us, struct err *err)
{
    if (coroners->open[CORONERS_DUMPER].pid > 0)
        return err_set(err, EBUSY, "a dump is being written already");
    int rc = spawn_child(child, main, &coroners->open[CORONERS_DUMPER].pid, err);
    if (rc < 0) {
        coroners->open[CORONERS_DUMPER].pid = 0;
        return rc;
    }
    coroners->open[CORONERS_DUMPER].subject = child->master_pid;
    coroners->open[CORONERS_DUMPER].deadline_us = now_us + DUMPER_US;
    return 0;
}

bool coroners_is_one(const struct coroners *coroners, pid_t pid)
{
    return pid > 0 && find(coroners, pid) < CORONERS_ALL;
}

bool coroners_reap(struct coroners *coroners, pid_t pid, int status)
{
    size_t i = find(coroners, pid);
    if (i == CORONERS_ALL)
        return false;
    coroners->open[i].pid = 0;
    if (i == CORONERS_TRACER)
        coroners->tracer_end = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (WIFSIGNALED(status))
        log_warn(i == CORONERS_DUMPER ? "dump not finished" : "backtrace not finished",
                 "pid=%d coroner=%d signal=%s", (int)coroners->open[i].subject, (int)pid,
                 signals_name(WTERMSIG(status)));
    return true;
}

void coroners_on_time(struct coroners *coroners, uint64_t now_us)
{
    for (size_t i = 0; i < CORONERS_ALL; i++)
        if (coroners->open[i].pid > 0 && coroners->open[i].deadline_us <= now_us) {
            (void)kill(coroners->open[i].pid, SIGKILL); /* ours, and not reaped yet */
            coroners->open[i].deadline_us = UINT64_MAX;
        }
}

uint64_t coroners_next_us(const struct coroners *coroners)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < CORONERS_ALL; i++)
        if (coroners->open[i].pid > 0 && coroners->open[i].deadline_us < next)
            next = coroners->open[i].deadline_us;
    return next;
}

unsigned coroners_count(const struct coroners *coroners)
{
    unsigned n = 0;
    for (size_t i = 0; i < CORONERS_ALL; i++)
        n += coroners->open[i].pid > 0;
    return n;
}
