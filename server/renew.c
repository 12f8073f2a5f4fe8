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
#include "base/log.h"
#include "config/headroom.h"
#include "server/obituary.h"

#define NO_ROOM_US (5 * CLOCK_US_PER_S) /* until memory is looked at again; a guess */

enum renew_answer renew_decide(const struct renew_case *c)
{
    if (c->n_draining >= c->n_workers)
        return RENEW_TOO_MANY;
    return c->needs_bytes > c->room_bytes ? RENEW_NO_ROOM : RENEW_GO;
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

/* Worn longest, of those that can be replaced and `worn`, which may be NULL. */
static struct post *find_worn_of(struct post *posts, uint32_t n, struct post *worn)
{
    for (uint32_t slot = 0; slot < n; slot++) {
        struct post *post = &posts[slot];
        if (!post->seat || post->seat->phase != SEAT_READY || post->seat->worn_us == 0)
            continue;
        if (!worn || post->seat->worn_us < worn->seat->worn_us)
            worn = post;
    }
    return worn;
}

static struct post *find_worn(const struct herd *herd)
{
    const struct generation *g = herd->current;
    struct post *worn = find_worn_of(g->workers, g->n_workers, NULL);
    for (uint32_t i = 0; i < g->pools.n; i++)
        worn = find_worn_of(g->pools.items[i].workers, g->pools.items[i].n_workers, worn);
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

static uint32_t count_like(const struct herd *herd, const struct seat *worn)
{
    const struct generation *g = herd->current;
    return worn->role == ROLE_COMPUTE ? g->pools.items[worn->pool].n_workers : g->n_workers;
}

static struct renew_case look(const struct herd *herd, const struct seat *worn)
{
    struct machine machine;
    machine_read(&machine, "/proc", "/sys/fs/cgroup");
    uint64_t needs = headroom_of_process("/proc", worn->pid);
    return (struct renew_case){.needs_bytes = needs == HEADROOM_UNKNOWN ? 0 : needs,
                               .room_bytes = headroom_bytes(&machine, "/proc"),
                               .n_workers = count_like(herd, worn),
                               .n_draining = count_draining(herd, worn)};
}

/* Returns whether it may be begun; else it is looked at again later. */
static bool may_begin(struct renew *renew, const struct herd *herd, const struct seat *worn)
{
    struct renew_case c = look(herd, worn);
    enum renew_answer answer = renew_decide(&c);
    if (answer == RENEW_GO) {
        renew->is_short_told = false;
        return true;
    }
    renew->due_us = herd->now_us + (answer == RENEW_NO_ROOM ? NO_ROOM_US : CLOCK_US_PER_S);
    if (answer == RENEW_NO_ROOM && !renew->is_short_told)
        log_warn("worn worker not replaced",
                 "slot=%d pid=%d why=\"memory has no room for both\" needed_bytes=%" PRIu64
                 " room_bytes=%" PRIu64 " does=\"let it go on, look again\"",
                 worn->slot, (int)worn->pid, c.needs_bytes, c.room_bytes);
    renew->is_short_told |= answer == RENEW_NO_ROOM;
    return false;
}

static void begin(struct renew *renew, struct herd *herd, struct post *post)
{
    struct generation *g = herd->current;
    struct generation_means means = {&herd->slots, herd->logs, herd->board_fd, herd->now_us};
    struct err err;
    int rc = generation_hire_worker(g, post, &means, &err);
    if (rc < 0) {
        renew->failures += rc != -EAGAIN;
        renew->due_us = herd->now_us + decide_backoff_us(renew->failures + 1);
        return;
    }
    renew->is_busy = true;
    renew->seat = post->next->number;
    renew->epoch = post->next->epoch;
}

/* What became of the replacement. */
static void notice(struct renew *renew, struct herd *herd)
{
    const struct seat *seat = slots_find_occupant(&herd->slots, renew->seat, renew->epoch);
    if (seat && seat->phase < SEAT_READY)
        return;
    renew->is_busy = false;
    if (seat && seat->phase == SEAT_READY) {
        renew->failures = 0;
        renew->due_us = herd->now_us;
        return;
    }
    renew->failures++;
    renew->due_us = herd->now_us + decide_backoff_us(renew->failures);
}

void renew_turn(struct renew *renew, struct herd *herd)
{
    if (renew->is_busy)
        notice(renew, herd);
    const struct post *loader = &herd->current->loader;
    bool can_begin = herd->stage == DECIDE_RUNNING && !renew->is_busy && !herd->candidate &&
                     loader->seat && loader->seat->phase == SEAT_READY &&
                     renew->due_us <= herd->now_us;
    struct post *post = can_begin ? find_worn(herd) : NULL;
    if (post && may_begin(renew, herd, post->seat))
        begin(renew, herd, post);
}

uint64_t renew_next_us(const struct renew *renew, const struct herd *herd)
{
    bool is_waiting = herd->stage == DECIDE_RUNNING && !renew->is_busy && !herd->candidate &&
                      find_worn(herd) != NULL;
    return is_waiting && renew->due_us > herd->now_us ? renew->due_us : SEAT_NEVER;
}
