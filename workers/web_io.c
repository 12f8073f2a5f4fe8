/* What an errand is to this worker. On a thread: run_errand() and what it calls; all else on the
 * loop.
 *
 * The shared table names a request by an entry of its own from before it is sent, so that whoever
 * dies with it is named. Its phase alone is changed by the thread that takes it up. */
#include "workers/web_io.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "http/away.h"
#include "workers/crash.h"

#define IDLE_US (30 * CLOCK_US_PER_S) /* a thread without work ends: a guess */
#define HEALTH_SPARE 8U /* health checks that may wait although `inflight` is reached: a guess */

/* ---- on a thread ---- */

/* Not a store: the entry may be another request's by now, when this one took too long. */
static void mark_running(struct web *web, const struct exchange *ex)
{
    static _Thread_local pid_t tid;
    uint32_t queued = ENTRY_QUEUED;
    if (ex->req.board_entry == WEB_NO_ENTRY)
        return;
    struct request_entry *entry = &web->part.inflight[ex->req.board_entry];
    if (!atomic_compare_exchange_strong_explicit(&entry->phase, &queued, ENTRY_IO,
                                                 memory_order_release, memory_order_relaxed))
        return;
    if (tid == 0)
        tid = gettid();
    atomic_store_explicit(&entry->tid, tid, memory_order_relaxed);
    atomic_store_explicit(&entry->began_us, clock_now_us(), memory_order_release); /* behind tid */
}

static void begin_thread(void)
{
    if (crash_enter_thread() < 0)
        log_warn("io thread has no stack for crashes", "does=\"go on without\"");
}

static void run_errand(void *owner, struct list *job)
{
    struct web *web = owner;
    struct exchange *ex = LIST_ENTRY(job, struct exchange, away_link);
    uint32_t number = ex->req.board_entry;
    crash_subject = (struct crash_subject){
        .req = &ex->req, .entry = number != WEB_NO_ENTRY ? &web->part.inflight[number] : NULL};
    mark_running(web, ex);
    switch ((enum errand)ex->errand) {
    case ERRAND_HANDLE:
        chain_handle(web->app, &ex->req, &ex->res);
        break;
    case ERRAND_CONSUME:
        chain_consume(web->app, &ex->req, &ex->res, ex->piece);
        break;
    case ERRAND_ANSWER:
        chain_answer(web->app, &ex->req, &ex->res, ex->answering);
        break;
    case ERRAND_PRODUCE:
        away_produce(ex);
        break;
    }
    crash_subject = (struct crash_subject){0};
    profiling_end_errand(ex);
    away_turn_in(ex);
}

static bool is_due(void *owner, const struct list *job)
{
    (void)owner;
    return LIST_ENTRY(job, const struct exchange, away_link)->cost.is_due;
}

/* Who stood in the queue for longest is not begun, rather than one who comes anew: nobody knows
 * better than he how long the queue is. The pool is locked. */
static bool shed_errand(void *owner, struct list *job, bool is_last)
{
    struct web *web = owner;
    struct exchange *ex = LIST_ENTRY(job, struct exchange, away_link);
    if (ex->queue_target_us == 0)
        return false;
    uint64_t now_us = clock_now_us();
    const struct codel_turn turn = {.target_us = ex->queue_target_us,
                                    .wait_us = now_us - ex->queued_us,
                                    .now_us = now_us,
                                    .is_last = is_last};
    if (!codel_judge(&web->io_codel, &turn))
        return false;
    overload_note(&web->io_overload, web, turn.wait_us, now_us);
    ex->retry_s = (uint32_t)((turn.wait_us + CLOCK_US_PER_S - 1) / CLOCK_US_PER_S);
    away_fail(ex, 503, OVERLOAD_WHY);
    return true;
}

/* ---- the loop's side ---- */

static bool has_lane(const struct app *app)
{
    for (size_t i = 0; i < router_count(app->router); i++)
        if (router_route(app->router, i)->lane != RMD_INLINE)
            return true;
    return false;
}

int web_io_open(struct web *web, struct err *err)
{
    const struct settings *s = web->settings;
    struct iopool_rules rules = {
        .threads_min = s->adaptive ? s->threads.min : s->threads.n,
        .threads_max = s->adaptive ? s->threads.max : s->threads.n,
        .cpus = s->cpus,
        .workers = s->workers.n,
        .idle_us = IDLE_US,
        .begin = begin_thread,
        .end = crash_leave_thread,
        .shed = shed_errand,
        .run = run_errand,
        .is_due = is_due,
        .owner = web,
    };
    if (!has_lane(web->app))
        return 0;
    int rc = iopool_open(&rules, &web->pool);
    return rc < 0 ? err_set(err, -rc, "io threads: %s", strerror(-rc)) : 0;
}

/* Of a request that runs on: only what its errand does not write to. */
static void log_request(const char *event, const char *why, const struct web *web,
                        struct rmd_request *req)
{
    char target[LOG_QUOTE_MAX + 8];
    struct str raw = request_target(req);
    struct str trace = request_trace_id(req); /* made before it was sent */
    uint64_t elapsed_us = web->env.now_us - req->started_us;
    log_warn(event, "why=\"%s\" route=\"%s\" method=%s target=%s elapsed_ms=%llu trace=%.*s", why,
             rmd_route_pattern(req), req->method, log_quote(target, raw.p, raw.len),
             (unsigned long long)(elapsed_us / CLOCK_US_PER_MS), STR_ARG(trace));
}

static void tell_abandoned(void *owner, struct rmd_request *req)
{
    log_request("handler cut off", "its worker ends", owner, req);
}

uint32_t web_io_close(struct web *web)
{
    uint32_t n_left = iopool_close(web->pool);
    overload_end(&web->io_overload, "io");
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&web->box); d; d = next) {
        next = d->next;
        (void)conn_on_ticket(&web->env, d); /* its connection has ended: it is given back */
    }
    if (n_left > 0)
        away_abandon(&web->env, tell_abandoned);
    else
        web->pool = NULL;
    return n_left;
}

/* The master goes by it, where more requests wait than there are threads. */
static void show_threads(struct web *web)
{
    struct iopool_state state;
    iopool_peek(web->pool, &state);
    atomic_store_explicit(&web->part.head->io_threads, state.n_threads - state.n_given_up,
                          memory_order_relaxed);
    atomic_store_explicit(&web->part.head->io_queued, state.n_queued, memory_order_relaxed);
    atomic_store_explicit(&web->part.head->io_limit, state.limit, memory_order_relaxed);
}

void web_io_on_tick(struct web *web)
{
    if (!web->pool)
        return;
    away_expire(&web->env);
    iopool_on_tick(web->pool);
    overload_on_tick(&web->io_overload, "io", web->settings->queue_target_us, web->env.now_us);
    show_threads(web);
}

void web_io_on_back(struct web *web, struct exchange *ex)
{
    if (!ex->is_left_behind)
        web_count(&web->part.head->io_done, 1);
    ex->is_left_behind = false;
}

void web_io_obey(struct web *web, uint32_t limit)
{
    if (!web->pool)
        return;
    iopool_set_limit(web->pool, limit);
    show_threads(web);
}

uint32_t web_io_count(struct web *web)
{
    struct iopool_state state = {0};
    if (web->pool)
        iopool_peek(web->pool, &state);
    return state.n_queued + state.n_running;
}

static void tell_full(struct web *web, uint32_t n)
{
    web_count(&web->part.head->refused, 1);
    if (!web->is_io_full)
        log_warn("io queue full", "requests=%u inflight=%u does=\"answer 503\"", n,
                 web->settings->inflight);
    web->is_io_full = true;
}

enum conn_lane web_io_choose(void *owner, struct rmd_request *req)
{
    struct web *web = owner;
    if (!web->pool)
        return CONN_LANE_LOOP;
    uint32_t n = iopool_count(web->pool);
    uint32_t spare = overload_is_health_check(web, req) ? HEALTH_SPARE : 0;
    if (n >= web->settings->inflight + spare) {
        tell_full(web, n);
        return CONN_LANE_FULL;
    }
    if (n < web->settings->inflight / 2)
        web->is_io_full = false;
    return iopool_prepare(web->pool) < 0 ? CONN_LANE_FULL : CONN_LANE_AWAY;
}

void web_io_send(void *owner, struct exchange *ex)
{
    struct web *web = owner;
    uint64_t target_us = web->settings->queue_target_us;
    ex->queued_us = web->env.now_us;
    ex->queue_target_us = /* what has begun is to come to its end */
        ex->errand == ERRAND_HANDLE ? overload_target_us(web, &ex->req, target_us) : 0;
    if (ex->req.board_entry != WEB_NO_ENTRY) {
        struct request_entry *entry = &web->part.inflight[ex->req.board_entry];
        atomic_store_explicit(&entry->began_us, 0, memory_order_relaxed);
        atomic_store_explicit(&entry->phase, ENTRY_QUEUED, memory_order_release);
    }
    profiling_send_errand(&web->profiling, ex, web->env.now_us);
    web_count(&web->part.head->io_sent, 1);
    uint32_t n_threads = iopool_post(web->pool, &ex->away_link);
    atomic_store_explicit(&web->part.head->io_threads, n_threads, memory_order_relaxed);
}

bool web_io_recall(void *owner, struct exchange *ex)
{
    struct web *web = owner;
    bool is_back = iopool_take_back(web->pool, &ex->away_link);
    if (is_back)
        web_count(&web->part.head->io_done, 1);
    return is_back;
}

void web_io_overdue(void *owner, struct exchange *ex)
{
    struct web *web = owner;
    if (!iopool_give_up(web->pool, &ex->away_link))
        return; /* it has ended in this very moment */

    /* Its thread does not count against the limit any more: nor is it a busy one for the master. */
    ex->is_left_behind = true;
    web_count(&web->part.head->io_done, 1);
    web_count(&web->part.head->overdue, 1);
    log_request("io thread left behind", "request_timeout is over", web, &ex->req);
    recycle_wear(&web->recycle, "request_timeout left a thread behind");
}
