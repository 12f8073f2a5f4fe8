/* Growth of the herd of web workers. Process: master. A loop that is busy all the time has no queue
 * that could be seen from here, but for connections that nobody accepts; so its main thread is
 * asked how long it ran, and was ready to. Time that handlers wait on the loop is what they took
 * beyond that. */
#include "server/growth_web.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "server/adapt.h"
#include "server/crowd.h"
#include "server/herd.h"
#include "server/listen.h"
#include "server/posts.h"
#include "server/scale.h"

#define BELIEVABLE (UINT64_C(1) << 50) /* of what a worker says it did since a look */
#define WORKERS_EACH                                                                               \
    32U /* so many more double the time between looks, which takes as much longer */

void growth_web_inherit(const struct herd *herd, struct generation *g, struct gauge_room *room)
{
    const struct generation *from = herd->current;
    uint32_t n = from->n_workers < g->web.n_max ? from->n_workers : g->web.n_max;
    if (g->web.is_by_cpus && from->web.is_by_cpus && g->web.n_max == from->web.n_max) {
        g->n_workers = n;
        g->web.crowd = crowd_inherit(&from->web.crowd);
    }
    if (g->web.n_min == g->web.n_max)
        return;
    g->n_workers = g->web.n_min;
    if (n > g->web.n_min)
        g->n_workers += gauge_take(room, room->web_bytes, 0, n - g->web.n_min);
}

static bool can_change(const struct herd *herd)
{
    const struct generation *g = herd->current;
    return herd->stage == DECIDE_RUNNING && g->leaves_us == 0 && !herd->candidate &&
           generation_workers_min(g) < g->web.n_max && g->n_workers > 0;
}

/* ---- looking ---- */

/* Since the last look; of somebody new, since its birth. */
static uint64_t gain(uint64_t now, uint64_t *seen)
{
    uint64_t gained = now > *seen ? now - *seen : 0;
    *seen = now;
    return gained < BELIEVABLE ? gained : BELIEVABLE;
}

/* Since the last look that could read it. What somebody new had before is of its coming up: as
 * work, one that came would call for another. */
static uint64_t gain_on(uint64_t now, uint64_t *seen)
{
    if (*seen == 0)
        *seen = now;
    return gain(now, seen);
}

static uint64_t sum_inline_ns(const struct herd *herd, const struct scoreboard_part *part)
{
    uint64_t sum_ns = 0;
    for (uint32_t i = 0; i < herd->board.n_routes && part->routes[i].name[0] != '\0'; i++)
        sum_ns += atomic_load_explicit(&part->routes[i].lanes[PROFILE_INLINE].wall_ns,
                                       memory_order_relaxed);
    return sum_ns;
}

static uint64_t read_u64(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void look_at_worker(const struct herd *herd, struct post *post, struct adapt_look *look,
                           uint64_t latency[METER_BUCKETS])
{
    const struct seat *seat = post->seat;
    struct post_seen *seen = &post->seen;
    struct gauge_thread thread;
    struct request_entry entry;
    uint64_t switches;
    if (!seat || seat->phase != SEAT_READY)
        return;
    if (seen->seat != seat->number || seen->epoch != seat->epoch)
        *seen = (struct post_seen){.seat = seat->number, .epoch = seat->epoch};
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    for (size_t i = 0; i < METER_BUCKETS; i++)
        latency[i] += read_u64(&part.head->latency[i]);
    look->completions += gain(read_u64(&part.head->requests), &seen->jobs);
    look->busy += scoreboard_read_entry(&part.head->current, &entry);
    bool is_known = gauge_read_thread(seat->pid, &thread) == 0;
    uint64_t run_ns = is_known ? gain_on(thread.run_ns, &seen->cpu) : 0;
    uint64_t delay_ns = is_known ? gain_on(thread.delay_ns, &seen->delay) : 0;
    uint64_t inline_ns = gain(sum_inline_ns(herd, &part), &seen->wall);
    uint64_t ready_ns = run_ns + delay_ns;
    uint64_t wall_ns = inline_ns > ready_ns ? inline_ns : ready_ns;
    look->wall_ns += wall_ns;
    if (gauge_read_switches(seat->pid, &switches) == 0)
        look->switches += gain_on(switches, &seen->switches);
    if (!is_known)
        return;
    look->measured_wall_ns += wall_ns;
    look->cpu_ns += run_ns;
    look->delay_ns += delay_ns;
}

/* Connections that wait to be accepted: of a listening socket the kernel tells them where others
 * have what was not acknowledged; of a unix socket only whether there are any. */
static uint32_t count_waiting(const struct listen_set *listeners)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < listeners->n; i++) {
        struct tcp_info info = {0};
        socklen_t len = sizeof info;
        struct pollfd end = {.fd = listeners->items[i].fd, .events = POLLIN};
        if (end.fd >= 0 && getsockopt(end.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
            n += info.tcpi_unacked;
        else if (end.fd >= 0 && poll(&end, 1, 0) == 1)
            n += (end.revents & POLLIN) != 0;
    }
    return n;
}

static struct adapt_look observe(struct herd *herd, const struct listen_set *listeners)
{
    struct generation *g = herd->current;
    uint64_t sums[METER_BUCKETS] = {0};
    uint64_t recent[METER_BUCKETS];
    struct adapt_look look = {
        .now_us = herd->now_us,
        .units = g->n_workers,
        .ready = generation_count_ready(g),
        .queued = count_waiting(listeners),
        .missing = g->has_been_ready ? posts_count_missing(g->workers, g->n_workers) : 0,
        .room = UINT32_MAX};
    gauge_read(&herd->gauge, herd);
    look.cpu_share = herd->gauge.cpu_share;
    look.memory_pressure = herd->gauge.memory_pressure;
    for (uint32_t i = 0; i < g->n_workers; i++)
        look_at_worker(herd, &g->workers[i], &look, sums);
    for (size_t i = 0; i < METER_BUCKETS; i++)
        recent[i] = gain(sums[i], &g->web.latency[i]);
    look.latency_p99_us = meter_quantile(recent, 990);
    uint32_t in_hand = look.busy + look.queued;
    uint64_t came = look.completions + in_hand;
    look.arrivals = came > g->web.in_hand ? came - g->web.in_hand : 0;
    g->web.in_hand = in_hand;
    return look;
}

/* ---- acting ---- */

static struct adapt_verdict judge(const struct herd *herd, struct generation *g,
                                  struct adapt_look *look)
{
    const struct adapt_rules rules = {.kind = ADAPT_WEB,
                                      .min = g->web.n_min,
                                      .max = g->web.n_max,
                                      .cpus = herd->current->settings->cpus};
    struct adapt_state before = g->web.adapt;
    struct adapt_verdict v = adapt_decide(&rules, &g->web.adapt, look);
    if (v.units <= look->units)
        return v;
    struct gauge_room room = gauge_read_room(herd);
    look->room = gauge_count_fit(&room, room.web_bytes);
    g->web.adapt = before;
    return adapt_decide(&rules, &g->web.adapt, look);
}

static void change(struct herd *herd, uint32_t n, const char *why, const char *figures)
{
    struct generation *g = herd->current;
    char from[DECISIONS_VALUE_BYTES], to[DECISIONS_VALUE_BYTES];
    (void)snprintf(from, sizeof from, "%" PRIu32, g->n_workers);
    (void)snprintf(to, sizeof to, "%" PRIu32, n);
    const struct decisions_entry entry = {.event = n > g->n_workers ? "web workers grow"
                                                                    : "web workers shrink",
                                          .kind = "workers",
                                          .about = "web",
                                          .from = from,
                                          .to = to,
                                          .why = why};
    decisions_note(&herd->decisions, herd->now_us, &entry, "min=%" PRIu32 " max=%" PRIu32 "%s",
                   generation_workers_min(g), g->web.n_max, figures);
    scale_resize(herd, n, "fewer workers are needed");
}

/* One for each CPU that others leave. */
static void turn_by_cpus(struct herd *herd, const struct adapt_look *seen, uint64_t elapsed_us)
{
    struct generation *g = herd->current;
    const double wanted_ns = (double)(seen->cpu_ns + seen->delay_ns);
    enum crowd_reason reason;
    if (elapsed_us == 0)
        return;
    const struct crowd_look look = {
        .now_us = herd->now_us,
        .units = g->n_workers,
        .ready = seen->ready,
        .free_cpus = herd->gauge.free_cpus,
        .load = wanted_ns / 1e3 / (double)elapsed_us,
        .delay_share = wanted_ns > 0 ? (double)seen->delay_ns / wanted_ns : 0,
        .rate = (double)seen->completions * CLOCK_US_PER_S / (double)elapsed_us,
        .p99_us = seen->latency_p99_us};
    uint32_t n = crowd_decide(g->web.n_max, &g->web.crowd, &look, &reason);
    if (n == g->n_workers)
        return;
    char figures[160];
    (void)snprintf(
        figures, sizeof figures,
        " free_cpus=%.2f load=%.2f delay_percent=%.0f completions_s=%.1f p99_us=%" PRIu64,
        look.free_cpus, look.load, look.delay_share * 100, look.rate, look.p99_us);
    change(herd, n, crowd_reason_names[reason], figures);
}

void growth_web_turn(struct herd *herd, const struct listen_set *listeners)
{
    struct generation *g = herd->current;
    if (!can_change(herd) || g->web.look_us > herd->now_us)
        return;
    struct adapt_look look = observe(herd, listeners);
    if (g->web.is_by_cpus) {
        turn_by_cpus(herd, &look, g->web.looked_us > 0 ? herd->now_us - g->web.looked_us : 0);
    } else {
        struct decisions_figures figures;
        struct adapt_verdict v = judge(herd, g, &look);
        if (v.units != g->n_workers)
            change(herd, v.units, adapt_reason_names[v.reason],
                   decisions_figures(&figures, &look, &v));
    }
    g->web.looked_us = herd->now_us;
    g->web.look_us =
        herd->now_us + adapt_interval_us(ADAPT_WEB) * (1 + g->n_workers / WORKERS_EACH);
}

uint64_t growth_web_next_us(const struct herd *herd)
{
    return can_change(herd) ? herd->current->web.look_us : SEAT_NEVER;
}
