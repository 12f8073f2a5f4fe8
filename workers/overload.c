/* See overload.h. Process: web workers. */
#include "workers/overload.h"

#include "base/clock.h"
#include "base/log.h"
#include "workers/codel.h"
#include "workers/web.h"

#define QUIET_US                                                                                   \
    (5 * CLOCK_US_PER_S) /* without anybody shed, and it has ended: two lines in so
                                         long are no flood */

bool overload_is_health_check(const struct web *web, const struct rmd_request *req)
{
    return web->health_path.len > 0 && str_is_equal(req->match.path, web->health_path);
}

uint64_t overload_target_us(const struct web *web, const struct rmd_request *req,
                            uint64_t general_us)
{
    const struct route *route = req->match.route;
    uint64_t own_us = route ? route->queue_target_us : ROUTER_UNSAID;
    uint64_t target_us = own_us != ROUTER_UNSAID ? own_us : general_us;
    return target_us > 0 && overload_is_health_check(web, req) ? 0 : target_us;
}

void overload_note(struct overload *o, struct web *web, uint64_t wait_us, uint64_t now_us)
{
    uint64_t none = 0;
    uint64_t longest_us = atomic_load_explicit(&o->longest_us, memory_order_relaxed);
    while (wait_us > longest_us &&
           !atomic_compare_exchange_weak_explicit(&o->longest_us, &longest_us, wait_us,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    (void)atomic_compare_exchange_strong_explicit(&o->first_us, &none, now_us, memory_order_relaxed,
                                                  memory_order_relaxed);
    atomic_store_explicit(&o->last_us, now_us, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&o->shed, 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&web->part.head->shed, 1, memory_order_relaxed);
}

static unsigned long long ms(uint64_t us)
{
    return us / CLOCK_US_PER_MS;
}

static uint64_t read_us(const _Atomic uint64_t *of)
{
    return atomic_load_explicit(of, memory_order_relaxed);
}

static void tell_end(struct overload *o, const char *queue, uint64_t shed)
{
    uint64_t for_us = read_us(&o->last_us) - read_us(&o->first_us);
    log_notice("requests are not shed any more",
               "queue=%s shed=%llu for_ms=%llu longest_wait_ms=%llu", queue,
               (unsigned long long)(shed - o->told), ms(for_us), ms(read_us(&o->longest_us)));
    o->is_told = false;
    o->told = shed;
    atomic_store_explicit(&o->longest_us, 0, memory_order_relaxed);
    atomic_store_explicit(&o->first_us, 0, memory_order_relaxed);
}

void overload_on_tick(struct overload *o, const char *queue, uint64_t target_us, uint64_t now_us)
{
    uint64_t shed = read_us(&o->shed);
    uint64_t interval_us = codel_interval_us(target_us);
    if (shed == o->told)
        return;
    if (!o->is_told)
        log_warn("requests are shed",
                 "why=\"all wait for too long\" queue=%s wait_ms=%llu queue_target_ms=%llu "
                 "interval_ms=%llu does=\"answer 503\"",
                 queue, ms(read_us(&o->longest_us)), ms(target_us), ms(interval_us));
    o->is_told = true;
    if (now_us > read_us(&o->last_us) + QUIET_US + interval_us)
        tell_end(o, queue, shed);
}

void overload_end(struct overload *o, const char *queue)
{
    if (o->is_told)
        tell_end(o, queue, read_us(&o->shed));
}
