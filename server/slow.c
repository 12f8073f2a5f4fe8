/* Process: master. The shared table is read here as everywhere: copied, and believed only so far
 * that a request may be told that is none, or another thread of the same process looked at. The pid
 * is the master's own. */
#include "server/slow.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"
#include "ipc/inquiry.h"
#include "ipc/task.h"
#include "server/herd.h"
#include "server/tasks.h"

#define LOOK_MIN_US (10 * CLOCK_US_PER_MS)
#define LOOK_MAX_US (250 * CLOCK_US_PER_MS)
#define MINUTE_US (60 * CLOCK_US_PER_S)

/* ---- which are known ---- */

static void leave_out(struct slow_book *book)
{
    book->n_untold++;
    book->n_untold_since++;
}

/* Those that ended while others were told. */
static void drop_ended(struct slow_book *book)
{
    for (size_t i = 0; book->n_owed > 0 && i < SLOW_SETS * SLOW_WAYS; i++) {
        size_t set = i / SLOW_WAYS, way = i % SLOW_WAYS;
        if (!book->known[set][way].is_owed || book->look - book->known[set][way].look <= 1)
            continue;
        book->known[set][way].is_owed = false;
        book->n_owed--;
        leave_out(book);
    }
}

void slow_book_begin(struct slow_book *book)
{
    book->look++;
    drop_ended(book);
}

static bool may_tell(struct slow_book *book, uint64_t now_us)
{
    if (now_us - book->minute_us >= MINUTE_US) {
        book->minute_us = now_us;
        book->n_minute = 0;
    }
    return book->n_minute < SLOW_PER_MINUTE;
}

enum slow_verdict slow_book_judge(struct slow_book *book, uint64_t print, bool is_busy,
                                  uint64_t now_us)
{
    size_t set = print % SLOW_SETS;
    size_t way = SLOW_WAYS;
    for (size_t i = 0; i < SLOW_WAYS; i++) {
        if (book->known[set][i].print == print) {
            way = i;
            break;
        }
        if (book->known[set][i].print == 0 || book->look - book->known[set][i].look > 1)
            way = i;
    }
    if (way == SLOW_WAYS)
        return SLOW_PASS;
    bool is_new = book->known[set][way].print != print;
    if (is_new) {
        book->known[set][way].print = print;
        book->known[set][way].is_owed = true;
        book->n_owed++;
        book->n_seen++;
    }
    book->known[set][way].look = book->look;
    if (!book->known[set][way].is_owed || is_busy)
        return SLOW_PASS;
    book->known[set][way].is_owed = false;
    book->n_owed--;
    if (!may_tell(book, now_us)) {
        leave_out(book);
        return SLOW_PASS;
    }
    book->n_minute++;
    book->n_traced++;
    return SLOW_TRACE;
}

/* ---- limits ---- */

static uint64_t limit_of(const struct settings *s, const char *route)
{
    for (size_t i = 0; i < s->route_overrides.n; i++) {
        const struct setting_route *o = &s->route_overrides.items[i];
        if (o->slow_request_us > 0 && strcmp(o->route, route) == 0)
            return o->slow_request_us;
    }
    return s->slow_request_us;
}

/* The least of a generation, which says how often to look; 0: none. */
static uint64_t least_limit(const struct settings *s)
{
    uint64_t least = s->slow_request_us;
    for (size_t i = 0; i < s->route_overrides.n; i++) {
        uint64_t us = s->route_overrides.items[i].slow_request_us;
        if (us > 0 && (least == 0 || us < least))
            least = us;
    }
    return least;
}

static uint64_t period_us(const struct herd *herd)
{
    const struct generation *all[] = {herd->current, herd->leaving};
    uint64_t least = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint64_t us = all[i] ? least_limit(all[i]->settings) : 0;
        if (us > 0 && (least == 0 || us < least))
            least = us;
    }
    uint64_t period = least / 4;
    return least == 0             ? 0
           : period < LOOK_MIN_US ? LOOK_MIN_US
           : period > LOOK_MAX_US ? LOOK_MAX_US
                                  : period;
}

/* ---- one request ---- */

struct suspect {
    const struct seat *seat;
    const struct request_entry *shared;
    struct request_entry request; /* a copy, bounded */
    uint64_t running_us;
    pid_t tid;
    const char *lane;
};

/* FNV-1a over who and when. */
static uint64_t print_of(const struct suspect *s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const uint64_t words[] = {s->seat->number, s->seat->epoch, s->request.started_us};
    const unsigned char *octets = (const unsigned char *)words;
    for (size_t i = 0; i < sizeof words; i++)
        hash = (hash ^ octets[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < s->request.trace_len; i++)
        hash = (hash ^ (unsigned char)s->request.trace[i]) * UINT64_C(0x100000001b3);
    return hash ? hash : 1;
}

static void fill(const struct herd *herd, const struct suspect *s, const char *route,
                 uint64_t limit_us, struct inquiry *q)
{
    const struct request_entry *e = &s->request;
    *q = (struct inquiry){.role = s->seat->role,
                          .slot = s->seat->slot,
                          .pid = s->seat->pid,
                          .tid = s->tid,
                          .lane = s->lane,
                          .request = *e,
                          .shared = s->shared,
                          .running_us = s->running_us,
                          .slow_us = limit_us,
                          .n_untold = herd->slow.book.n_untold_since,
                          .is_refusal_told = herd->slow.is_refusal_told};
    (void)snprintf(q->route, sizeof q->route, "%s", route);
    if (e->started_us > 0 && e->started_us < herd->now_us)
        q->elapsed_us = herd->now_us - e->started_us;
}

/* Without a process for it the log says less. */
static void tell_without_calls(const struct inquiry *q, const char *why)
{
    char target[LOG_QUOTE_MAX + 8], route[LOG_QUOTE_MAX + 8], quoted[LOG_QUOTE_MAX + 8];
    log_warn("slow request",
             "pid=%d slot=%d route=%s target=%s trace=%.*s running_ms=%llu lane=%s frames=0 why=%s",
             (int)q->pid, q->slot, log_quote(route, q->route, strlen(q->route)),
             log_quote(target, q->request.target, q->request.target_len), (int)q->request.trace_len,
             q->request.trace, (unsigned long long)(q->running_us / CLOCK_US_PER_MS), q->lane,
             log_quote(quoted, why, strlen(why)));
}

static void judge(struct herd *herd, const struct suspect *s)
{
    struct slow *slow = &herd->slow;
    const struct generation *g = herd_generation(herd, s->seat);
    struct scoreboard_part part = scoreboard_peek(&herd->board, s->seat->number);
    char route[sizeof part.routes->name] = "";
    if (s->request.route < herd->board.n_routes)
        (void)snprintf(route, sizeof route, "%.*s", (int)sizeof route - 1,
                       part.routes[s->request.route].name);
    uint64_t limit_us = limit_of(g->settings, route);
    bool is_busy = herd->coroners.open[CORONERS_TRACER].pid > 0;
    if (limit_us == 0 || s->running_us < limit_us ||
        slow_book_judge(&slow->book, print_of(s), is_busy, herd->now_us) == SLOW_PASS)
        return;
    struct inquiry q;
    struct err err;
    fill(herd, s, route, limit_us, &q);
    slow->book.n_untold_since = 0;
    if (coroners_trace(&herd->coroners, &g->heritage, g->app_fd, &q, herd->now_us, &err) < 0)
        tell_without_calls(&q, err.text);
}

/* ---- all of them ---- */

/* What has passed since a worker's stopwatch said `ticks`, by the master's own measure. A worker
 * may have written anything there: then it is what the whole request took. */
static uint64_t since_ticks(const struct herd *herd, uint64_t ticks, uint64_t started_us)
{
    const struct slow *slow = &herd->slow;
    uint64_t now_us = clock_now_us();
    uint64_t now_ticks = clock_ticks();
    uint64_t whole_us = started_us > 0 && started_us < now_us ? now_us - started_us : 0;
    double per_us = now_us > slow->began_us ? (double)(now_ticks - slow->began_ticks) /
                                                  (double)(now_us - slow->began_us)
                                            : 0;
    if (ticks > now_ticks || per_us <= 0)
        return 0;
    double us = (double)(now_ticks - ticks) / per_us;
    return us < (double)whole_us ? (uint64_t)us : whole_us;
}

static uint64_t since_us(const struct herd *herd, uint64_t began_us)
{
    return began_us > 0 && began_us < herd->now_us ? herd->now_us - began_us : 0;
}

/* The request whose handler has the worker's one thread that serves. */
static void look_at_current(struct herd *herd, const struct seat *seat, const char *lane)
{
    const struct seat_head *head = scoreboard_peek(&herd->board, seat->number).head;
    struct suspect s = {.seat = seat, .shared = &head->current, .tid = seat->pid, .lane = lane};
    if (!scoreboard_read_entry(s.shared, &s.request) || s.request.phase != ENTRY_HANDLER)
        return;
    s.running_us =
        seat->role == ROLE_COMPUTE
            ? since_us(herd, s.request.began_us)
            : since_ticks(herd, atomic_load_explicit(&head->entered_ticks, memory_order_relaxed),
                          s.request.started_us);
    judge(herd, &s);
}

/* Those on threads. Entries are taken from the front, so a look ends soon, and makes no memory of
 * the table that is not there. */
static void look_at_threads(struct herd *herd, const struct seat *seat)
{
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    uint32_t n = atomic_load_explicit(&part.head->n_inflight, memory_order_relaxed);
    for (uint32_t i = 0; n > 0 && i < herd->board.n_inflight; i++) {
        const struct request_entry *shared = &part.inflight[i];
        struct suspect s = {.seat = seat, .shared = shared, .lane = "io"};
        uint32_t phase = atomic_load_explicit(&shared->phase, memory_order_acquire);
        n -= phase != ENTRY_FREE;
        if (phase != ENTRY_IO || since_us(herd, shared->began_us) < LOOK_MIN_US ||
            !scoreboard_read_entry(shared, &s.request) || s.request.phase != ENTRY_IO)
            continue;
        s.tid = s.request.tid;
        s.running_us = since_us(herd, s.request.began_us);
        if (s.tid > 0)
            judge(herd, &s);
    }
}

static void look(struct herd *herd)
{
    slow_book_begin(&herd->slow.book);
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        struct task task;
        if (seat->phase == SEAT_FREE || seat->phase == SEAT_BURIED || seat->pid <= 0 ||
            seat->is_dead)
            continue;
        bool is_sync = herd_generation(herd, seat)->settings->worker_class == WORKER_CLASS_SYNC;
        if (seat->role == ROLE_WEB) {
            look_at_current(herd, seat, is_sync ? "sync" : "inline");
            look_at_threads(herd, seat);
        } else if (tasks_peek(herd, seat, &task) == TASK_RUNNING) {
            look_at_current(herd, seat, "compute");
        }
    }
}

void slow_turn(struct herd *herd)
{
    struct slow *slow = &herd->slow;
    uint64_t period = period_us(herd);
    if (herd->coroners.tracer_end == INQUIRY_REFUSED)
        slow->is_refusal_told = true;
    if (slow->began_us == 0) {
        slow->began_us = clock_now_us();
        slow->began_ticks = clock_ticks();
    }
    if (period == 0 || herd->now_us < slow->look_us)
        return;
    slow->look_us = herd->now_us + period;
    look(herd);
}

uint64_t slow_next_us(const struct herd *herd)
{
    return period_us(herd) == 0 ? SEAT_NEVER : herd->slow.look_us;
}
