/* Who watches what: condition of the workers → plan → frames. Process: master. The plan is made by
 * cover.c; what differs from what a worker holds is sent frame by frame. A bit of seat->holds
 * changes only when its frame is in the channel, so a full channel delays and never loses. */
#include "server/steer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/msg.h"

#define HUNG_US CLOCK_US_PER_S              /* heartbeat so old: a neighbour covers */
#define LOOK_AGAIN_US (CLOCK_US_PER_S / 2)  /* at what hangs, to see it come back */
#define RETRY_US (10 * CLOCK_US_PER_MS)     /* a full channel empties in less, usually */
#define BOOT_EXCUSE_US (CLOCK_US_PER_S / 4) /* at the first start, before a slot is covered */

int steer_init(struct steer *steer, uint32_t max_slots)
{
    *steer = (struct steer){.cap = max_slots, .retry_us = SEAT_NEVER};
    steer->workers = calloc(max_slots, sizeof *steer->workers);
    steer->duties = calloc(max_slots, sizeof *steer->duties);
    steer->before = calloc(max_slots, sizeof *steer->before);
    steer->seats = calloc(max_slots, sizeof *steer->seats);
    if (!steer->workers || !steer->duties || !steer->before || !steer->seats) {
        steer_fini(steer);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < max_slots; i++)
        steer->duties[i].covered_by = COVER_NOBODY;
    return 0;
}

void steer_fini(struct steer *steer)
{
    free(steer->workers);
    free(steer->duties);
    free(steer->before);
    free(steer->seats);
    *steer = (struct steer){0};
}

/* ---- What the workers can do */

/* At the first start all workers come within moments; covering the slots of those that are a moment
 * behind would only make frames. */
static bool is_excused(const struct herd *herd, const struct seat *seat)
{
    return !herd->current->has_been_ready && seat && seat->phase <= SEAT_BOOTING &&
           herd->now_us < seat->born_us + BOOT_EXCUSE_US;
}

static struct cover_worker inspect(const struct herd *herd, const struct seat *seat)
{
    struct cover_worker worker = {.is_excused = is_excused(herd, seat)};
    if (!seat || seat->phase != SEAT_READY)
        return worker;
    worker.is_alive = true;
    worker.is_able = !seat->is_full && !seat->is_hung;
    worker.connections = atomic_load_explicit(
        &scoreboard_peek(&herd->board, seat->number).head->connections, memory_order_relaxed);
    return worker;
}

static const char *why_covered(const struct seat *seat)
{
    if (!seat)
        return "dead";
    return seat->phase != SEAT_READY ? slots_phase_names[seat->phase]
           : seat->is_hung           ? "hung"
                                     : "full";
}

static void log_changes(const struct steer *steer, const struct herd *herd)
{
    for (uint32_t i = 0; i < steer->n_slots; i++) {
        int32_t by = steer->duties[i].covered_by;
        const struct seat *seat = generation_worker(herd->current, i);
        if (by == steer->before[i].covered_by)
            continue;
        if (by == COVER_NOBODY)
            log_debug("slot not covered", "slot=%" PRIu32 " able=%d", i, steer->workers[i].is_able);
        else
            log_event(seat && seat->is_hung ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "slot covered",
                      "slot=%" PRIu32 " by=%" PRId32 " why=%s", i, by, why_covered(seat));
    }
}

/* ---- What each should hold */

/* Its own, from the first moment: it waits there when the worker is ready. All else only then. */
static void want_own(struct seat *seat, uint32_t id)
{
    if (seat)
        slots_set_wanted(seat, id);
}

static void want_ready(struct seat *seat, uint32_t id)
{
    if (seat && seat->phase == SEAT_READY)
        slots_set_wanted(seat, id);
}

/* Of each socket it is asked whose it is, not of each worker which are its own: there are hundreds
 * of both. */
void steer_want(const struct slots *slots, struct seat *const *seats,
                const struct cover_duty *duties, uint32_t n_slots,
                const struct listen_set *listeners)
{
    for (uint32_t i = 0; i < n_slots; i++)
        if (seats[i])
            slots_want_none(slots, seats[i]);
    bool is_watching_all = n_slots > 0 && duties[0].is_watching_all; /* or nobody does */
    for (uint32_t id = 0; id < listeners->n; id++) {
        const struct listener *listener = &listeners->items[id];
        if (listener->fd < 0)
            continue;
        if (listener->slot >= 0) {
            int32_t by = duties[listener->slot].covered_by;
            want_own(seats[listener->slot], id);
            want_ready(by != COVER_NOBODY ? seats[by] : NULL, id);
        }
        for (uint32_t i = 0; (is_watching_all || listener->slot < 0) && i < n_slots; i++)
            want_ready(is_watching_all || duties[i].is_sharing ? seats[i] : NULL, id);
    }
}

static int send_listen(const struct seat *seat, uint32_t id, const struct listener *listener)
{
    struct msg msg = msg_make(MSG_LISTEN);
    msg.value = (int64_t)id;
    msg.slot = listener->slot;
    return msg_send(seat->channel_fd, &msg, &listener->fd, 1);
}

static int send_unlisten(const struct seat *seat, uint32_t id)
{
    struct msg msg = msg_make(MSG_UNLISTEN);
    msg.value = (int64_t)id;
    return msg_send(seat->channel_fd, &msg, NULL, 0);
}

static int send_start(const struct seat *seat)
{
    struct msg msg = msg_make(MSG_START);
    return msg_send(seat->channel_fd, &msg, NULL, 0);
}

int steer_seat(const struct slots *slots, struct seat *seat, const struct listen_set *listeners)
{
    if (seat->n_retires > 0)
        return -EAGAIN; /* an id that it has yet to give up may be another socket's by now */
    for (uint32_t id = slots_find_unlike(slots, seat, 0); id < listeners->n;
         id = slots_find_unlike(slots, seat, id + 1)) {
        const struct listener *listener = &listeners->items[id];
        bool is_wanted = !slots_holds(seat, id);
        if (listener->fd < 0)
            continue;
        if (is_wanted && seat->is_short)
            continue; /* it could not take it; what has changed when it can is looked at then */
        int rc = is_wanted ? send_listen(seat, id, listener) : send_unlisten(seat, id);
        if (rc < 0)
            return rc;
        slots_set_held(seat, id, is_wanted);
    }
    if (!seat->is_started) {
        int rc = send_start(seat);
        if (rc < 0)
            return rc;
        seat->is_started = true;
    }
    return 0;
}

/* ---- All of them */

/* Those that have sockets, and those that have workers: it never falls, since a slot that had a
 * worker still has its sockets. */
static uint32_t count_slots(const struct steer *steer, const struct herd *herd,
                            const struct listen_set *listeners)
{
    uint32_t n = steer->n_slots;
    n = listeners->n_slots > n ? listeners->n_slots : n;
    n = herd->current->n_workers > n ? herd->current->n_workers : n;
    return n < steer->cap ? n : steer->cap;
}

void steer_workers(struct steer *steer, struct herd *herd, const struct listen_set *listeners)
{
    if (herd->stage != DECIDE_RUNNING)
        return; /* who drains keeps what it has and gives it back by itself */
    steer->n_slots = count_slots(steer, herd, listeners);
    for (uint32_t i = 0; i < steer->n_slots; i++)
        steer->workers[i] = inspect(herd, generation_worker(herd->current, i));
    memcpy(steer->before, steer->duties, steer->n_slots * sizeof *steer->duties);
    bool is_sync = herd->current->settings->worker_class == WORKER_CLASS_SYNC;
    for (uint32_t i = 0; i < steer->n_slots; i++)
        steer->duties[i].is_watching_all = is_sync;
    if (!is_sync && cover_plan(steer->workers, steer->duties, steer->n_slots)) {
        log_changes(steer, herd);
        herd->is_changed = true;
    }
    if (!herd->is_changed && herd->now_us < steer->retry_us)
        return;
    herd->is_changed = false;
    steer->retry_us = SEAT_NEVER;
    for (uint32_t i = 0; i < steer->n_slots; i++) {
        struct seat *seat = generation_worker(herd->current, i);
        steer->seats[i] = seat && seat->phase <= SEAT_READY ? seat : NULL;
    }
    steer_want(&herd->slots, steer->seats, steer->duties, steer->n_slots, listeners);
    for (uint32_t i = 0; i < steer->n_slots; i++) {
        struct seat *seat = steer->seats[i];
        int rc = seat ? steer_seat(&herd->slots, seat, listeners) : 0;
        /* Also for want of memory, or when too many descriptors are on their way (unix(7),
         * ETOOMANYREFS). A channel without a reader is its worker's end, and that will be seen. */
        if (rc < 0 && rc != -EPIPE && rc != -ECONNRESET)
            steer->retry_us = herd->now_us + RETRY_US;
    }
}

/* When a heartbeat that stays as it is makes its worker count as hung. */
static uint64_t hung_at(const struct herd *herd, const struct seat *seat)
{
    uint64_t at = seat->heartbeat_us + HUNG_US;
    return at < herd->excuse_us ? herd->excuse_us : at;
}

uint64_t steer_next_us(const struct steer *steer, const struct herd *herd)
{
    uint64_t next = steer->retry_us;
    if (herd->stage != DECIDE_RUNNING)
        return SEAT_NEVER;
    for (uint32_t i = 0; i < steer->n_slots; i++) {
        const struct seat *seat = generation_worker(herd->current, i);
        uint64_t at = SEAT_NEVER;
        if (seat && seat->phase == SEAT_READY)
            at = seat->is_hung ? herd->now_us + LOOK_AGAIN_US : hung_at(herd, seat);
        else if (is_excused(herd, seat))
            at = seat->born_us + BOOT_EXCUSE_US;
        next = at < next ? at : next;
    }
    return next;
}

bool steer_is_hung(const struct herd *herd, const struct seat *seat)
{
    return herd->now_us >= hung_at(herd, seat);
}

static bool is_anyone_started(const struct generation *g)
{
    for (uint32_t i = 0; i < g->n_workers; i++) {
        const struct seat *seat = generation_worker(g, i);
        if (seat && seat->phase == SEAT_READY && seat->is_started)
            return true;
    }
    return false;
}

bool steer_is_looked_after(const struct steer *steer, const struct herd *herd, uint32_t slot)
{
    const struct seat *seat = generation_worker(herd->current, slot);
    if (seat && seat->phase == SEAT_READY && seat->is_started)
        return true;
    if (herd->current->settings->worker_class == WORKER_CLASS_SYNC)
        return is_anyone_started(herd->current); /* each of them watches all sockets */
    return slot < steer->n_slots && steer->duties[slot].covered_by != COVER_NOBODY;
}
