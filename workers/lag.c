/* See lag.h. Process: web workers. What runs for every call is in workers/web.c; all here is
 * rare. */
#include "workers/lag.h"

#include "base/clock.h"
#include "base/log.h"
#include "workers/web.h"

#define TICKS_US (100 * CLOCK_US_PER_MS) /* sooner it is less exact than what is known */

void lag_measure_ticks(struct web *web, uint64_t now_us)
{
    uint64_t slow_us = web->settings->slow_callback_us;
    double per_us = now_us > web->began_us ? (double)(clock_ticks() - web->began_ticks) /
                                                 (double)(now_us - web->began_us)
                                           : 0;
    bool is_on = web->has_loop && slow_us > 0;
    if (now_us - web->began_us >= TICKS_US)
        profiling_set_ticks(&web->profiling, per_us);
    web->lag.ticks_per_us = per_us;
    web->lag.slow_ticks = is_on ? (uint64_t)(per_us * (double)slow_us) : UINT64_MAX;
}

static void store_call(struct loop_call *to, const struct rmd_request *req,
                       enum loop_call_kind kind, uint64_t us, uint64_t at_us)
{
    const struct route *route = req ? req->match.route : NULL;
    atomic_store_explicit(&to->route, route ? route->index : UINT16_MAX, memory_order_relaxed);
    atomic_store_explicit(&to->kind, kind, memory_order_relaxed);
    atomic_store_explicit(&to->at_us, at_us, memory_order_relaxed);
    atomic_store_explicit(&to->us, us, memory_order_relaxed);
}

void lag_note_longest(struct web *web, const struct rmd_request *req, enum loop_call_kind kind,
                      uint64_t held_ticks)
{
    struct seat_head *head = web->part.head;
    uint64_t us =
        web->lag.ticks_per_us > 0 ? (uint64_t)((double)held_ticks / web->lag.ticks_per_us) : 0;
    web->lag.longest_ticks = held_ticks;
    if (web->is_rehearsing)
        return;
    if (us >= atomic_load_explicit(&head->longest.us, memory_order_relaxed))
        store_call(&head->longest, req, kind, us, web->env.now_us);
    if (us > atomic_load_explicit(&head->longest_ever.us, memory_order_relaxed))
        store_call(&head->longest_ever, req, kind, us, web->env.now_us);
}

/* Since the last tick; what is told of the second before goes when that is over. */
static void forget_longest(struct web *web, uint64_t now_us)
{
    struct loop_call *last = &web->part.head->longest;
    if (now_us - atomic_load_explicit(&last->at_us, memory_order_relaxed) > CLOCK_US_PER_S)
        store_call(last, NULL, LOOP_CALL_HANDLER, 0, now_us);
    web->lag.longest_ticks = web->has_loop ? 0 : UINT64_MAX;
}

void lag_judge_slow(struct web *web, struct rmd_request *req, enum loop_call_kind kind,
                    uint64_t held_ticks)
{
    char target[LOG_QUOTE_MAX + 8];
    struct str raw = req ? request_target(req) : STR("");
    uint64_t now_us = clock_now_us();
    lag_measure_ticks(web, now_us);
    if (held_ticks <= web->lag.slow_ticks ||
        now_us - web->env.now_us < web->settings->slow_callback_us)
        return;
    double share = (double)held_ticks / (double)(web->lag.slow_ticks + 1);
    uint64_t held_us = (uint64_t)(share * (double)web->settings->slow_callback_us);
    web_count(&web->part.head->slow, 1);
    log_warn("handler held the loop",
             "held_ms=%llu slow_callback_ms=%llu callback=%s route=\"%s\" method=%s "
             "target=%s trace=%s",
             (unsigned long long)(held_us / CLOCK_US_PER_MS),
             (unsigned long long)(web->settings->slow_callback_us / CLOCK_US_PER_MS),
             scoreboard_call_names[kind], req ? rmd_route_pattern(req) : "",
             req ? req->method : "-", log_quote(target, raw.p, raw.len),
             req ? rmd_trace_id(req) : "-");
}

void lag_note_drift(struct web *web, uint64_t late_us)
{
    web->lag.drift_us = late_us;
    web_count(&web->part.head->drift[meter_bucket(late_us)], 1);
    web_count(&web->part.head->drift_sum_us, late_us);
}

static void show_us(_Atomic uint32_t *to, uint64_t us, uint64_t before_us)
{
    uint64_t longer_us = us > before_us ? us : before_us;
    atomic_store_explicit(to, longer_us < UINT32_MAX ? (uint32_t)longer_us : UINT32_MAX,
                          memory_order_relaxed);
}

void lag_on_tick(struct web *web, uint64_t now_us)
{
    struct lag *lag = &web->lag;
    lag_measure_ticks(web, clock_now_us());
    forget_longest(web, now_us);
    if (web->has_loop) { /* else a turn is one client's, and holds nobody else up */
        show_us(&web->part.head->lag_us, lag->turn_us, lag->turn_before_us);
        show_us(&web->part.head->drift_us, lag->drift_us, lag->drift_before_us);
    }
    lag->turn_before_us = lag->turn_us;
    lag->drift_before_us = lag->drift_us;
    lag->turn_us = 0;
}
