/* ROOM: the tracer.
 *
 * What it does: tells in the slow log where one request is that takes long.
 * Who starts it: the master, one at a time, with a single fork.
 * Inherits: standard streams, log, what the shared table says of the request, the app's copy.
 * May never: read a file whose contents an app can choose, or stop a thread itself; both are done
 * by children of its own (workers/stacks.h).
 * When the master dies it is killed, and its children with it; when it dies, so are they. Nobody
 * stays stopped then: the kernel lets go of who is traced by a process that ends. */
#include "workers/tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/title.h"
#include "config/settings.h"
#include "ipc/inquiry.h"
#include "workers/stacks.h"

static struct {
    const struct heritage *heritage;
    const struct inquiry *inquiry;
} room;

static void open_slowlog(void);
static bool is_still_there(const void *context);
static void tell(const struct stacks_thread *thread, const char *why);
static void tell_refusal(void);

void tracer_main(const struct heritage *heritage)
{
    const struct inquiry *q = heritage->inquiry;
    struct stacks stacks = {0};
    char why[160] = "";
    room.heritage = heritage;
    room.inquiry = q;
    log_identify("tracer", heritage->slot, heritage->generation);
    title_set_comm("remuda-tracer");
    title_set(heritage->settings->proc_name, NULL, "tracer of slot %d gen %d", heritage->slot,
              heritage->generation);
    log_set_ring(NULL);
    struct stacks_ask ask = {
        .heritage = heritage, .pid = q->pid, .tid = q->tid, .is_wanted = is_still_there};
    int rc = stacks_take(&ask, &stacks);
    if (rc == -EPERM)
        tell_refusal();
    open_slowlog();
    const struct stacks_thread *thread = rc == 0 ? &stacks.threads[0] : NULL;
    if (rc == 0)
        rc = thread->rc;
    if (rc < 0)
        (void)snprintf(why, sizeof why, "%s",
                       rc == -EPERM       ? "not allowed"
                       : rc == -ESRCH     ? "its thread is gone"
                       : rc == -ETIMEDOUT ? "it can't be stopped just now"
                       : rc == -ECHILD    ? "who stopped it has died"
                                          : strerror(-rc));
    else if (thread->is_other)
        (void)snprintf(why, sizeof why, "it ended before it was looked at");
    else if (!stacks.has_library)
        (void)snprintf(why, sizeof why, "libdw is not there, or has no right to read");
    tell(thread, why);
    _exit(rc == -EPERM ? INQUIRY_REFUSED : rc < 0 ? INQUIRY_NOT_DONE : INQUIRY_DONE);
}

/* Runs in the holder, while the thread stands still: is it in the same request? */
static bool is_still_there(const void *context)
{
    struct request_entry now;
    const struct request_entry *then = &room.inquiry->request;
    (void)context;
    return scoreboard_read_entry(room.inquiry->shared, &now) && now.phase == then->phase &&
           now.started_us == then->started_us && now.trace_len == then->trace_len &&
           memcmp(now.trace, then->trace, then->trace_len) == 0;
}

/* From here on this process's lines go there. Opened for each, so that it needs no reopening. */
static void open_slowlog(void)
{
    const char *path = room.heritage->settings->slowlog;
    char quoted[LOG_QUOTE_MAX + 8];
    if (!path || strcmp(path, "-") == 0)
        return;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0 || dup3(fd, room.heritage->log_fd, O_CLOEXEC) < 0)
        log_error("cannot open the slow log", "path=%s why=\"%s\" does=\"writes it here\"",
                  log_quote(quoted, path, strlen(path)), strerror(errno));
    fd_close(&fd);
}

/* Once for a master: it would be said of every request. */
static void tell_refusal(void)
{
    char remedy[STACKS_REMEDY_MAX];
    char quoted[LOG_QUOTE_MAX + 8];
    if (room.inquiry->is_refusal_told)
        return;
    (void)stacks_remedy(room.inquiry->pid, remedy);
    log_warn("processes can't be looked into",
             "why=\"ptrace is not allowed\" does=\"tells slow requests without their calls\" "
             "remedy=%s",
             log_quote(quoted, remedy, strlen(remedy)));
}

/* ---- the lines ---- */

static void print_thread(const struct stacks_thread *t, char *out, size_t cap)
{
    char quoted[LOG_QUOTE_MAX + 8];
    bool is_main = room.inquiry->tid == room.inquiry->pid;
    size_t len = (size_t)snprintf(out, cap, " tid=%d", (int)room.inquiry->tid);
    if (!t)
        return;
    len += (size_t)snprintf(out + len, cap - len, " thread=%s state=%c",
                            is_main ? "main" : log_quote(quoted, t->name, strlen(t->name)),
                            t->state > ' ' && t->state <= '~' ? t->state : '?');
    if (t->wchan[0])
        len += (size_t)snprintf(out + len, cap - len, " wchan=%s", t->wchan);
    if (t->rc == 0)
        (void)snprintf(out + len, cap - len, " stopped_us=%" PRIu64, t->stopped_us);
}

static void print_request(char *out, size_t cap)
{
    const struct inquiry *q = room.inquiry;
    const struct request_entry *e = &q->request;
    char route[LOG_QUOTE_MAX + 8], method[LOG_QUOTE_MAX + 8], target[LOG_QUOTE_MAX + 8];
    (void)snprintf(out, cap,
                   "route=%s method=%s target=%s trace=%.*s running_ms=%" PRIu64
                   " elapsed_ms=%" PRIu64 " slow_request_ms=%" PRIu64 " lane=%s",
                   log_quote(route, q->route, strnlen(q->route, sizeof q->route)),
                   log_quote(method, e->method, strlen(e->method)),
                   log_quote(target, e->target, e->target_len), (int)e->trace_len, e->trace,
                   q->running_us / CLOCK_US_PER_MS, q->elapsed_us / CLOCK_US_PER_MS,
                   q->slow_us / CLOCK_US_PER_MS, q->lane);
}

static void tell_frames(const struct stacks_thread *t, uint32_t end)
{
    char line[REMAINS_LINE_MAX];
    char more[32];
    uint32_t n;
    for (uint32_t i = 0; i < end; i += n) {
        n = remains_count_same(t->remains, i, end);
        more[0] = '\0';
        if (n > 1)
            (void)snprintf(more, sizeof more, " times=%u", n);
        log_warn("frame", "pid=%d %s%s", (int)room.inquiry->pid,
                 stacks_print(t, i, room.heritage->settings->app, line), more);
    }
}

/* thread  NULL: nothing is known of it
 * why     no frames; "": there are some */
static void tell(const struct stacks_thread *thread, const char *why)
{
    const struct inquiry *q = room.inquiry;
    char request[4 * LOG_QUOTE_MAX];
    char where[LOG_QUOTE_MAX + 200];
    char reason[240] = "";
    char untold[64] = "";
    const struct remains *r = thread ? thread->remains : NULL;
    uint32_t end = r ? remains_last_frame(r, room.heritage->settings->app) : 0;
    uint32_t shown = 0;
    for (uint32_t i = 0; i < end; i += remains_count_same(r, i, end))
        shown++;
    print_request(request, sizeof request);
    print_thread(thread, where, sizeof where);
    if (!why[0] && end == 0)
        why = "the stack can't be followed";
    if (why[0])
        (void)snprintf(reason, sizeof reason, " why=\"%s\"", why);
    if (q->n_untold > 0)
        (void)snprintf(untold, sizeof untold, " others_not_told=%" PRIu64, q->n_untold);
    log_warn("slow request", "pid=%d %s%s frames=%u shown=%u%s%s", (int)q->pid, request, where,
             r ? r->n_frames : 0, shown, reason, untold);
    tell_frames(thread, end);
}
