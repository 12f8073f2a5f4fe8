/* What an errand is to this worker. On a thread: run_errand() and what it calls; all else on the
 * loop.
 *
 * The shared table names a request by an entry of its own from before it is sent, so that whoever
 * dies with it is named. Its phase alone is changed by the thread that takes it up. */
#include "workers/web_io.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "http/away.h"
#include "workers/crash.h"

#define IDLE_US (30 * CLOCK_US_PER_S) /* a thread without work ends: a guess */

/* ---- on a thread ---- */

/* Not a store: the entry may be another request's by now, when this one took too long. */
static void mark_running(struct web *web, const struct exchange *ex)
{
    uint32_t queued = ENTRY_QUEUED;
    if (ex->req.board_entry != WEB_NO_ENTRY)
        (void)atomic_compare_exchange_strong_explicit(
            &web->part.inflight[ex->req.board_entry].phase, &queued, ENTRY_IO, memory_order_release,
            memory_order_relaxed);
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
    away_turn_in(ex);
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
        .threads_min = s->threads.is_auto ? SETTINGS_THREADS_AUTO_MIN : s->threads.n,
        .threads_max = s->threads.n,
        .cpus = s->cpus,
        .workers = s->workers.n,
        .idle_us = IDLE_US,
        .begin = begin_thread,
        .end = crash_leave_thread,
        .run = run_errand,
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

void web_io_on_tick(struct web *web)
{
    struct iopool_state state;
    if (!web->pool)
        return;
    away_expire(&web->env);
    iopool_on_tick(web->pool);
    iopool_peek(web->pool, &state);
    atomic_store_explicit(&web->part.head->io_threads, state.n_threads, memory_order_relaxed);
    atomic_store_explicit(&web->part.head->io_queued, state.n_queued, memory_order_relaxed);
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
    (void)req;
    if (!web->pool)
        return CONN_LANE_LOOP;
    uint32_t n = iopool_count(web->pool);
    if (n >= web->settings->inflight) {
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
    if (ex->req.board_entry != WEB_NO_ENTRY)
        atomic_store_explicit(&web->part.inflight[ex->req.board_entry].phase, ENTRY_QUEUED,
                              memory_order_release);
    iopool_post(web->pool, &ex->away_link);
}

bool web_io_recall(void *owner, struct exchange *ex)
{
    struct web *web = owner;
    return iopool_take_back(web->pool, &ex->away_link);
}

void web_io_overdue(void *owner, struct exchange *ex)
{
    struct web *web = owner;
    if (!iopool_give_up(web->pool, &ex->away_link))
        return; /* it has ended in this very moment */
    web_count(&web->part.head->overdue, 1);
    log_request("io thread left behind", "request_timeout is over", web, &ex->req);
    recycle_wear(&web->recycle, "request_timeout left a thread behind");
}
