/* Renewing. Process: master.
 *
 * A worn worker serves on until its replacement is ready; then it is dismissed and relief.c drains
 * it. A replacement that fails costs nothing but the try: the worn one goes on, and it is tried
 * again later and later. Who is worn in a generation that leaves needs no replacement. */
#include "server/renew.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "config/headroom.h"
#include "server/obituary.h"

#define NO_ROOM_US (5 * CLOCK_US_PER_S) /* until memory is looked at again; a guess */

enum renew_answer renew_decide(const struct renew_case *c)
{
    if (c->n_draining >= c->n_workers)
        return RENEW_TOO_MANY;
    if (c->needs_bytes <= c->room_bytes)
        return RENEW_GO;
    if (c->may_go_first && c->n_draining == 0 && c->n_ready >= c->n_workers)
        return RENEW_DOWN;
    return RENEW_NO_ROOM;
}

bool renew_hear(struct herd *herd, struct seat *seat, const struct msg *msg)
{
    if ((seat->role != ROLE_WEB && seat->role != ROLE_COMPUTE) || seat->phase < SEAT_READY)
        return false;
    if (seat->worn_us != 0 || seat->phase != SEAT_READY || seat->dismissed_us != 0)
        return true; /* crossed with our word, or said twice */
    char quoted[LOG_QUOTE_MAX + 8];
    seat->worn_us = herd->now_us;
    char event[48];
    (void)snprintf(event, sizeof event, "%s worn", obituary_noun(seat));
    log_info(event, "slot=%d pid=%d why=%s", seat->slot, (int)seat->pid,
             log_quote(quoted, msg->text, strlen(msg->text)));
    return true;
}

/* A post whose worker is worn; it may be that it can't be replaced now. */
static bool is_worn(const struct post *post)
{
    return post->seat && post->seat->phase == SEAT_READY && post->seat->worn_us != 0;
}

/* Worn longest, of those that are due and `worn`, which may be NULL. */
static struct post *find_worn_of(struct post *posts, uint32_t n, struct post *worn, uint64_t now_us)
{
    for (uint32_t slot = 0; slot < n; slot++) {
        struct post *post = &posts[slot];
        if (is_worn(post) && post->seat->renew_again_us <= now_us &&
            (!worn || post->seat->worn_us < worn->seat->worn_us))
            worn = post;
    }
    return worn;
}

static struct post *find_worn(const struct herd *herd)
{
    const struct generation *g = herd->current;
    struct post *worn = find_worn_of(g->workers, g->n_workers, NULL, herd->now_us);
    for (uint32_t i = 0; i < g->pools.n; i++)
        worn = find_worn_of(g->pools.items[i].workers, g->pools.items[i].n_workers, worn,
                            herd->now_us);
    return worn;
}

static uint32_t count_draining(const struct herd *herd, const struct seat *worn)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        n += seat->phase >= SEAT_DRAINING && seat->phase != SEAT_BURIED &&
             seat->role == worn->role && seat->pool == worn->pool &&
             seat->generation == herd->current->number;
    }
    return n;
}

static struct renew_case look(const struct herd *herd, const struct seat *worn)
{
    const struct generation *g = herd->current;
    bool is_compute = worn->role == ROLE_COMPUTE;
    struct machine machine;
    machine_read(&machine, "/proc", "/sys/fs/cgroup");
    uint64_t needs = headroom_of_process("/proc", worn->pid);
    return (struct renew_case){
        .needs_bytes = needs == HEADROOM_UNKNOWN ? 0 : needs,
        .room_bytes = FAULT("renew.room") ? 0 : headroom_bytes(&machine, "/proc"),
        .n_workers = is_compute ? g->pools.items[worn->pool].n_workers : g->n_workers,
        .n_ready = is_compute ? pools_count_ready_of(&g->pools.items[worn->pool])
                              : generation_count_ready(g),
        .n_draining = count_draining(herd, worn),
        .may_go_first = is_compute};
}

static void tell_no_room(struct renew *renew, const struct seat *worn, const struct renew_case *c)
{
    char event[48];
    if (renew->is_short_told)
        return;
    renew->is_short_told = true;
    (void)snprintf(event, sizeof event, "worn %s not replaced", obituary_noun(worn));
    log_warn(event,
             "slot=%d pid=%d why=\"memory has no room for both\" needed_bytes=%" PRIu64
             " room_bytes=%" PRIu64 " does=\"let it go on, look again\"",
             worn->slot, (int)worn->pid, c->needs_bytes, c->room_bytes);
}

/* It keeps its post, which is filled when it is gone; what comes meanwhile waits in the queue. */
static void send_ahead(struct herd *herd, struct seat *worn, const struct renew_case *c)
{
    log_info("compute worker leaves",
             "slot=%d pid=%d why=\"worn, and memory has no room for another beside it\""
             " needed_bytes=%" PRIu64 " room_bytes=%" PRIu64,
             worn->slot, (int)worn->pid, c->needs_bytes, c->room_bytes);
    herd_happen(herd, worn, DECIDE_DRAIN);
}

/* Returns whether its replacement may be begun; else it is looked at again later, so that others
 * have their turn. */
static bool may_begin(struct renew *renew, struct herd *herd, struct seat *worn)
{
    struct renew_case c = look(herd, worn);
    enum renew_answer answer = renew_decide(&c);
    if (answer == RENEW_GO) {
        renew->is_short_told = false;
        return true;
    }
    worn->renew_again_us = herd->now_us + (answer == RENEW_TOO_MANY ? CLOCK_US_PER_S : NO_ROOM_US);
    if (answer == RENEW_NO_ROOM)
        tell_no_room(renew, worn, &c);
    if (answer == RENEW_DOWN)
        send_ahead(herd, worn, &c);
    return false;
}

static void put_off(struct seat *worn, uint64_t now_us)
{
    worn->renew_failures += worn->renew_failures < 1000;
    worn->renew_again_us = now_us + decide_backoff_us(worn->renew_failures);
}

static void begin(struct renew *renew, struct herd *herd, struct post *post)
{
    struct generation *g = herd->current;
    struct generation_means means = {&herd->slots, herd->logs, herd->board_fd, herd->now_us};
    struct err err;
    if (post->role == ROLE_COMPUTE && graves_are_full(herd, g, post->pool)) {
        renew->due_us = herd->now_us + CLOCK_US_PER_S;
        return;
    }
    int rc = generation_hire_worker(g, post, &means, &err);
    if (rc == -EAGAIN) {
        renew->due_us = herd->now_us + DECIDE_BACKOFF_US;
        return;
    }
    if (rc < 0) {
        put_off(post->seat, herd->now_us);
        return;
    }
    renew->is_busy = true;
    renew->seat = post->next->number;
    renew->epoch = post->next->epoch;
    renew->worn = post->seat->number;
    renew->worn_epoch = post->seat->epoch;
}

/* What became of the replacement. */
static void notice(struct renew *renew, struct herd *herd)
{
    const struct seat *seat = slots_find_occupant(&herd->slots, renew->seat, renew->epoch);
    if (seat && seat->phase < SEAT_READY)
        return;
    renew->is_busy = false;
    struct seat *worn = slots_find_occupant(&herd->slots, renew->worn, renew->worn_epoch);
    if (worn && !(seat && seat->phase == SEAT_READY))
        put_off(worn, herd->now_us);
}

static bool can_begin(const struct renew *renew, const struct herd *herd)
{
    return herd->stage == DECIDE_RUNNING && !renew->is_busy && !herd->candidate;
}

void renew_turn(struct renew *renew, struct herd *herd)
{
    if (renew->is_busy)
        notice(renew, herd);
    const struct post *loader = &herd->current->loader;
    if (!can_begin(renew, herd) || renew->due_us > herd->now_us || !loader->seat ||
        loader->seat->phase != SEAT_READY)
        return;
    for (struct post *post; !renew->is_busy && (post = find_worn(herd)) != NULL;)
        if (may_begin(renew, herd, post->seat)) {
            begin(renew, herd, post);
            return;
        }
}

static uint64_t next_of(const struct post *posts, uint32_t n, uint64_t next_us, uint64_t now_us)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_worn(&posts[i]) && posts[i].seat->renew_again_us > now_us &&
            posts[i].seat->renew_again_us < next_us)
            next_us = posts[i].seat->renew_again_us;
    return next_us;
}

uint64_t renew_next_us(const struct renew *renew, const struct herd *herd)
{
    const struct generation *g = herd->current;
    if (!can_begin(renew, herd))
        return SEAT_NEVER;
    uint64_t next_us = next_of(g->workers, g->n_workers, SEAT_NEVER, herd->now_us);
    for (uint32_t i = 0; i < g->pools.n; i++)
        next_us =
            next_of(g->pools.items[i].workers, g->pools.items[i].n_workers, next_us, herd->now_us);
    if (renew->due_us > herd->now_us && renew->due_us < next_us && find_worn(herd))
        next_us = renew->due_us;
    return next_us;
}
