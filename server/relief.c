/* Who may go, and when. Process: master. A worker of a slot that the current generation has no able
 * worker for stays, since it is better than nobody; but not for longer than a moment, because the
 * sockets are the master's and what waits in them waits for the next worker. */
#include "server/relief.h"

#include "base/clock.h"
#include "server/tasks.h"

#define PATIENCE_US CLOCK_US_PER_S         /* what is not looked after by then hardly will be */
#define LONGEST_US (3600 * CLOCK_US_PER_S) /* no task may take longer, whatever its seat says */
#define BACKSTOP_US (2 * CLOCK_US_PER_S)   /* server/tasks.c ends it before */
#define REAR_US (20 * CLOCK_US_PER_MS)     /* how often it is looked whether a queue is empty */

static bool is_going(const struct herd *herd, const struct seat *seat)
{
    bool is_of_leaving = herd->leaving && seat->generation == herd->leaving->number;
    return seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED && !seat->is_leaving &&
           ((is_of_leaving && !herd_is_rear(herd, seat)) || seat->dismissed_us != 0);
}

static bool may_go(const struct herd *herd, const struct steer *steer, const struct seat *seat)
{
    if (seat->role != ROLE_WEB || seat->phase != SEAT_READY || herd->current->n_workers == 0)
        return true;
    return herd->now_us >= seat->dismissed_us + PATIENCE_US ||
           steer_is_looked_after(steer, herd, (uint32_t)seat->slot);
}

void relief_workers(struct herd *herd, const struct steer *steer)
{
    if (herd->stage > DECIDE_GRACEFUL)
        return; /* all have been told to end */
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        if (!is_going(herd, seat))
            continue;
        if (seat->dismissed_us == 0)
            seat->dismissed_us = herd->now_us;
        if (may_go(herd, steer, seat))
            herd_happen(herd, seat, seat->role == ROLE_LOADER ? DECIDE_STOP : DECIDE_DRAIN);
    }
}

static uint64_t later(uint64_t a_us, uint64_t b_us)
{
    return a_us > b_us ? a_us : b_us;
}

static uint64_t sooner(uint64_t a_us, uint64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

void relief_judge(const struct herd *herd, struct seat *seat)
{
    struct task task;
    if (seat->role != ROLE_COMPUTE || seat->phase != SEAT_DRAINING)
        return;
    const struct generation *g = herd_generation(herd, seat);
    if (g->leaves_us != 0) {
        uint64_t end_us =
            later(g->leaves_us + g->rules.graceful_us, seat->drains_us + DECIDE_STOP_US);
        seat->deadline_us = sooner(seat->deadline_us, end_us);
    } else if (tasks_peek(herd, seat, &task) != TASK_NONE) {
        uint64_t end_us = sooner(task.deadline_us, seat->drains_us + LONGEST_US) + BACKSTOP_US;
        seat->deadline_us = later(seat->deadline_us, end_us);
    }
}

/* ---- The rear ---- */

/* What waits for them is of nobody any more, but for what was to be finished all the same; and for
 * the workers of a pool that has none it waits in vain, since nobody is replaced now. */
static bool may_rear_go(const struct herd *herd, const struct generation *g)
{
    if (g->leaves_us == 0 || herd_count_web(herd, g) > 0)
        return false;
    return herd->now_us >= g->leaves_us + g->rules.graceful_us || !pools_has_work(&g->pools);
}

static bool is_rear_waiting(const struct herd *herd, const struct seat *seat)
{
    return herd->stage <= DECIDE_GRACEFUL && !seat->is_leaving && herd_is_rear(herd, seat);
}

/* The next seat from that index on in a generation's rear that waits. NULL: there is none */
static struct seat *find_rear(const struct herd *herd, const struct generation *g, uint32_t from)
{
    for (uint32_t i = from; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        if (seat->generation == g->number && is_rear_waiting(herd, seat))
            return seat;
    }
    return NULL;
}

/* Asked once of each generation, not by each of hundreds of compute workers. */
void relief_rear(struct herd *herd)
{
    const struct generation *all[] = {herd->current, herd->candidate, herd->leaving};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        if (!all[k] || !may_rear_go(herd, all[k]))
            continue;
        struct seat *seat = find_rear(herd, all[k], 0);
        for (; seat; seat = find_rear(herd, all[k], seat->number + 1))
            herd_happen(herd, seat, seat->role == ROLE_COMPUTE ? DECIDE_DRAIN : DECIDE_STOP);
    }
}

static bool is_rear_due(const struct herd *herd, const struct generation *g)
{
    return g && g->leaves_us != 0 && herd_count_web(herd, g) == 0 && find_rear(herd, g, 0);
}

uint64_t relief_next_us(const struct herd *herd)
{
    uint64_t next = SEAT_NEVER;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (herd->stage <= DECIDE_GRACEFUL && seat->phase == SEAT_READY && is_going(herd, seat) &&
            seat->dismissed_us + PATIENCE_US < next)
            next = seat->dismissed_us + PATIENCE_US;
    }
    if (is_rear_due(herd, herd->current) || is_rear_due(herd, herd->candidate) ||
        is_rear_due(herd, herd->leaving))
        next = sooner(next, herd->now_us + REAR_US);
    return next;
}

void relief_retire(struct herd *herd, const struct listen_set *listeners)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        bool may_hold = seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED;
        for (uint32_t id = 0; may_hold && id < listeners->n; id++) {
            if (listen_is_leaving(listeners, id) && slots_holds(seat, id))
                herd_retire(herd, seat, id);
        }
    }
}

void relief_discard(struct herd *herd, const struct generation *g)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        if (seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED &&
            seat->generation == g->number && !seat->is_leaving)
            herd_happen(herd, seat, DECIDE_STOP);
    }
}
