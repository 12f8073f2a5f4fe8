/* See threads.h. Process: master. A worker's numbers are advice: they are bounded here, and what
 * comes of them is bounded by `threads` in the worker itself. A wild process can have itself given
 * too few threads or too many, within its settings; nobody else notices. */
#include "server/threads.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/meter.h"
#include "ipc/msg.h"
#include "server/herd.h"

#define LOOK_IDLE_US (CLOCK_US_PER_S / 2) /* nobody has anything to do */
#define GAUGE_OLD_US (2 * CLOCK_US_PER_S) /* and what is read then is of too long ago */

static uint64_t read_u64(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* The generation that serves, if its settings leave a choice. */
static struct generation *subject(const struct herd *herd)
{
    struct generation *g = herd->current;
    const struct settings *s = g->settings;
    bool is_on = herd->stage == DECIDE_RUNNING && g->leaves_us == 0 && s->adaptive &&
                 s->worker_class == WORKER_CLASS_EVENT && s->threads.min < s->threads.max;
    return is_on ? g : NULL;
}

/* ---- what a worker says ---- */

/* All web workers of a generation number their routes alike: one of them is asked. Without a route
 * that may run on threads there is nothing to look at. One that names none at all is wild: even an
 * app without routes has names for what is no route's. */
static void read_routes(struct threads *threads, const struct herd *herd,
                        const struct scoreboard_part *part)
{
    for (uint32_t i = 0; i < herd->board.n_routes && part->routes[i].name[0]; i++) {
        const struct route_stats *stats = &part->routes[i];
        bool is_io = atomic_load_explicit(&stats->lane, memory_order_relaxed) == PROFILE_IO;
        bool may_be = atomic_load_explicit(&stats->auto_pool, memory_order_relaxed) != 0;
        if ((is_io || may_be) && threads->n_routes < threads->cap_routes && i <= UINT16_MAX)
            threads->routes[threads->n_routes++] = (uint16_t)i;
    }
    threads->is_read = part->routes[0].name[0] != '\0';
}

static struct profile_sums sum_up(const struct threads *threads, const struct scoreboard_part *part)
{
    struct profile_sums sums = {0};
    for (uint32_t i = 0; i < threads->n_routes; i++) {
        const struct profile *p = &part->routes[threads->routes[i]].lanes[PROFILE_IO];
        if (read_u64(&p->calls) > 0)
            profile_add(&sums, p);
    }
    return sums;
}

static uint64_t risen(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

/* They are made when they are needed; so those that are missing then were refused. */
static uint32_t count_ready(const struct threads_slot *slot, const struct seat_head *head,
                            uint64_t present)
{
    uint32_t n = atomic_load_explicit(&head->io_threads, memory_order_relaxed);
    return present > slot->limit && n < slot->limit ? n : slot->limit;
}

/* p99 of both together is not known; it is no more than the two. */
static struct adapt_look look_at(const struct generation *g, struct threads_slot *slot,
                                 const struct seat_head *head, const struct profile_sums *sums,
                                 uint64_t now_us)
{
    uint64_t sent = read_u64(&head->io_sent);
    uint64_t done = read_u64(&head->io_done);
    uint64_t present = risen(sent, done);
    uint64_t most = (uint64_t)g->settings->inflight + g->settings->threads.max;
    present = present < most ? present : most;
    struct profile_sums d = profile_since(sums, &slot->then);
    uint32_t ready = count_ready(slot, head, present);
    uint32_t busy = present < ready ? (uint32_t)present : ready;
    uint64_t wait_p99_us = meter_quantile(d.wait, 990);
    struct adapt_look look = {.now_us = now_us,
                              .units = slot->limit,
                              .ready = ready,
                              .busy = busy,
                              .queued = (uint32_t)present - busy,
                              .arrivals = risen(sent, slot->sent),
                              .completions = d.calls,
                              .wall_ns = d.wall_ns,
                              .measured_wall_ns = d.measured_wall_ns,
                              .cpu_ns = d.cpu_ns,
                              .delay_ns = d.delay_ns,
                              .wait_p99_us = wait_p99_us,
                              .latency_p99_us = wait_p99_us + meter_quantile(d.wall, 990),
                              .cpu_share = -1,
                              .memory_pressure = -1,
                              .room = UINT32_MAX};
    slot->sent = sent;
    slot->then = *sums;
    return look;
}

/* ---- decisions ---- */

static void note_step(struct herd *herd, const struct seat *seat, const struct adapt_rules *rules,
                      const struct adapt_look *look, const struct adapt_verdict *v)
{
    char slot[16], from[16], to[16];
    (void)snprintf(slot, sizeof slot, "%d", seat->slot);
    (void)snprintf(from, sizeof from, "%" PRIu32, look->units);
    (void)snprintf(to, sizeof to, "%" PRIu32, v->units);
    struct decisions_figures figures;
    decisions_note(&herd->decisions, herd->now_us,
                   &(struct decisions_entry){.event = v->units > look->units ? "io threads grow"
                                                                             : "io threads shrink",
                                             .kind = "threads",
                                             .about = slot,
                                             .number = "slot",
                                             .from = from,
                                             .to = to,
                                             .why = adapt_reason_names[v->reason]},
                   "min=%" PRIu32 " max=%" PRIu32 "%s", rules->min, rules->max,
                   decisions_figures(&figures, look, v));
}

static void tell(struct threads_slot *slot, const struct seat *seat)
{
    struct msg msg = msg_make(MSG_THREADS);
    msg.value = slot->limit;
    slot->is_owed = msg_send(seat->channel_fd, &msg, NULL, 0) == -EAGAIN;
}

/* As many as whoever had the slot before, in this generation or in the one that leaves: the work is
 * the same. */
static uint32_t first_limit(const struct herd *herd, const struct generation *g,
                            const struct threads_slot *before, int number)
{
    const struct settings *s = g->settings;
    if (before->epoch == 0 && herd->leaving)
        before = &herd->leaving->threads.slots[number];
    uint32_t n = before->epoch != 0 ? before->limit : s->threads.n;
    n = n < s->threads.max ? n : s->threads.max;
    return n > s->threads.min ? n : s->threads.min;
}

/* From here on it goes by our word. */
static void begin(const struct herd *herd, const struct generation *g, struct threads_slot *slot,
                  const struct seat *seat, const struct seat_head *head,
                  const struct profile_sums *sums)
{
    *slot = (struct threads_slot){.seat = seat->number,
                                  .epoch = seat->epoch,
                                  .limit = first_limit(herd, g, slot, seat->slot),
                                  .sent = read_u64(&head->io_sent),
                                  .then = *sums};
    tell(slot, seat);
}

/* Of the machine; only while somebody has something to do. What the CPUs did since a read of long
 * ago is a mean over all of that, and says nothing of now. */
static void look_at_machine(struct herd *herd, struct adapt_look *look)
{
    struct gauge *gauge = &herd->gauge;
    bool is_old = herd->now_us - gauge->read_us > GAUGE_OLD_US;
    gauge_read(gauge, herd);
    if (is_old)
        gauge->cpu_share = -1;
    look->cpu_share = gauge->cpu_share;
    look->memory_pressure = gauge->memory_pressure;
}

static void turn_slot(struct herd *herd, struct generation *g, const struct seat *seat)
{
    const struct settings *s = g->settings;
    struct threads_slot *slot = &g->threads.slots[seat->slot];
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    struct profile_sums sums = sum_up(&g->threads, &part);
    if (slot->seat != seat->number || slot->epoch != seat->epoch) {
        begin(herd, g, slot, seat, part.head, &sums);
        slot->look_us = herd->now_us + adapt_interval_us(ADAPT_THREADS);
        return;
    }
    if (read_u64(&part.head->io_sent) == 0 && !slot->is_owed) {
        slot->look_us = herd->now_us + LOOK_IDLE_US; /* no job yet: nothing to go by */
        return;
    }
    const struct adapt_rules rules = {.kind = ADAPT_THREADS,
                                      .min = s->threads.min,
                                      .max = s->threads.max,
                                      .cpus = (double)s->cpus / (g->n_workers ? g->n_workers : 1)};
    struct adapt_look look = look_at(g, slot, part.head, &sums, herd->now_us);
    if (look.busy > 0)
        look_at_machine(herd, &look);
    struct adapt_verdict v = adapt_decide(&rules, &slot->adapt, &look);
    bool is_idle = look.busy == 0 && look.completions == 0 && v.units == s->threads.min;
    if (v.units != slot->limit) {
        note_step(herd, seat, &rules, &look, &v);
        slot->limit = v.units;
        slot->is_owed = true;
    }
    if (slot->is_owed)
        tell(slot, seat);
    slot->look_us = herd->now_us + (is_idle ? LOOK_IDLE_US : adapt_interval_us(ADAPT_THREADS));
}

void threads_turn(struct herd *herd)
{
    struct generation *g = subject(herd);
    if (!g || g->threads.look_us > herd->now_us)
        return;
    uint64_t next_us = herd->now_us + LOOK_IDLE_US;
    for (uint32_t i = 0; i < g->n_workers && i < GENERATION_WORKERS_MAX; i++) {
        const struct seat *seat = g->workers[i].seat;
        if (!seat || seat->phase != SEAT_READY || seat->channel_fd < 0)
            continue;
        struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
        if (!g->threads.is_read)
            read_routes(&g->threads, herd, &part);
        if (g->threads.n_routes == 0)
            continue;
        if (g->threads.slots[i].look_us <= herd->now_us)
            turn_slot(herd, g, seat);
        if (g->threads.slots[i].look_us < next_us)
            next_us = g->threads.slots[i].look_us;
    }
    g->threads.look_us = g->threads.is_read && g->threads.n_routes == 0 ? SEAT_NEVER : next_us;
}

uint64_t threads_next_us(const struct herd *herd)
{
    const struct generation *g = subject(herd);
    return g ? g->threads.look_us : SEAT_NEVER;
}
