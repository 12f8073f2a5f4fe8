/* Graves. Process: master.
 *
 * What a web worker is told about a death it may find out long before: it reads its inbox empty
 * first, and sends what it has of the dead one's answers. One that has neither a task out nor an
 * answer lent, or died itself, holds nothing, and is not waited for: the handler that it is in may
 * take a minute. Of its own slice only compute workers read, and only while they have a task of it
 * in hand. So when none has, its records are emptied, and then it is looked again: who took such a
 * task before is seen now, in its seat, and who takes one later finds no record, and drops it
 * unrun. Only then the rest is emptied, so that no handler ever reads a body while it vanishes.
 *
 * Giving memory back takes a moment for each MiB, so a turn does a part. */
#include "server/graves.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/segment.h"
#include "ipc/task.h"
#include "server/herd.h"
#include "server/tasks.h"

#define CLEAR_BYTES (UINT64_C(4) << 20) /* a turn; 3 ms (ipc/segment.h) */
#define LOOK_AGAIN_US (20 * CLOCK_US_PER_MS)
#define LOOK_SELDOM_US CLOCK_US_PER_S /* at a task that is finished though its asker is dead */
#define NOBODY UINT32_MAX
#define SPARE_GRAVES 8U /* of a pool, besides two for each of its workers: a guess */

int graves_init(struct graves *graves, uint32_t n_seats)
{
    *graves =
        (struct graves){.n_seats = n_seats, .n_words = (n_seats + 63) / 64, .due_us = SEAT_NEVER};
    size_t n_bits = (size_t)n_seats * graves->n_words;
    graves->items = calloc(n_seats, sizeof *graves->items);
    graves->awaits = calloc(n_bits, sizeof *graves->awaits);
    graves->told = calloc(n_bits, sizeof *graves->told);
    if (graves->items && graves->awaits && graves->told)
        return 0;
    graves_fini(graves);
    return -ENOMEM;
}

void graves_fini(struct graves *graves)
{
    free(graves->items);
    free(graves->awaits);
    free(graves->told);
    *graves = (struct graves){0};
}

/* ---- bits ---- */

static uint64_t *row(const struct graves *graves, uint64_t *bits, uint32_t seat)
{
    return bits + (size_t)seat * graves->n_words;
}

static bool has(const struct graves *graves, uint64_t *bits, uint32_t seat, uint32_t web)
{
    return row(graves, bits, seat)[web / 64] >> (web % 64) & 1U;
}

static void put(const struct graves *graves, uint64_t *bits, uint32_t seat, uint32_t web,
                bool is_on)
{
    uint64_t bit = UINT64_C(1) << (web % 64);
    uint64_t *word = &row(graves, bits, seat)[web / 64];
    *word = is_on ? *word | bit : *word & ~bit;
}

/* The first from that seat on whose web worker has not let go. Returns NOBODY: all have */
static uint32_t find_awaited(const struct graves *graves, uint32_t seat, uint32_t from)
{
    uint64_t mask = UINT64_MAX << (from % 64);
    for (uint32_t i = from / 64; i < graves->n_words; i++, mask = UINT64_MAX) {
        uint64_t word = row(graves, graves->awaits, seat)[i] & mask;
        if (word != 0)
            return i * 64 + (uint32_t)__builtin_ctzll(word);
    }
    return NOBODY;
}

/* ---- who may hold something ---- */

/* By what it says: one that says too little only spoils its own answers. */
static bool has_something(const struct herd *herd, uint32_t web)
{
    return atomic_load(&scoreboard_peek(&herd->board, web).head->held) != 0;
}

/* One that has never been ready has asked for nothing. */
static bool may_hold(const struct herd *herd, const struct seat *web, const struct seat *dead)
{
    return web->role == ROLE_WEB && web->generation == dead->generation && web->ready_us != 0 &&
           web->phase < SEAT_LOST && has_something(herd, web->number);
}

/* Is anybody still waited for? Who has come to hold nothing is not, though it has not said so: it
 * may be in a handler for long. */
static bool look_at_holders(const struct herd *herd, uint32_t seat)
{
    const struct graves *graves = &herd->graves;
    for (uint32_t w = find_awaited(graves, seat, 0); w != NOBODY;
         w = find_awaited(graves, seat, w + 1))
        if (!has_something(herd, w))
            put(graves, graves->awaits, seat, w, false);
    return find_awaited(graves, seat, 0) != NOBODY;
}

/* Has a compute worker a task of this web worker in hand? */
static bool is_read(const struct herd *herd, const struct seat *web)
{
    struct task task;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->role == ROLE_COMPUTE && seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED &&
            seat->generation == web->generation &&
            task_peek(scoreboard_peek(&herd->board, i).task, &task) != TASK_NONE &&
            task_seat_of(task.id) == web->number)
            return true;
    }
    return false;
}

void graves_forget(struct herd *herd, const struct seat *web)
{
    for (uint32_t i = 0; herd->graves.n_open > 0 && i < herd->slots.n_used; i++)
        if (herd->slots.seats[i].phase == SEAT_BURIED)
            put(&herd->graves, herd->graves.awaits, i, web->number, false);
    herd->graves.due_us = herd->now_us;
}

bool graves_open(struct herd *herd, struct seat *seat, const struct msg *lost)
{
    struct graves *graves = &herd->graves;
    struct grave *grave = &graves->items[seat->number];
    const struct generation *g = herd_generation(herd, seat);
    if (seat->role == ROLE_WEB)
        graves_forget(herd, seat);
    if (!pools_are_used(&g->pools) || (seat->role != ROLE_WEB && seat->role != ROLE_COMPUTE))
        return false;
    *grave = (struct grave){.wait_us = LOOK_AGAIN_US, .is_sought = tasks_may_be_hidden(herd, seat)};
    memset(row(graves, graves->told, seat->number), 0, graves->n_words * sizeof(uint64_t));
    memset(row(graves, graves->awaits, seat->number), 0, graves->n_words * sizeof(uint64_t));
    for (uint32_t i = 0; seat->role == ROLE_COMPUTE && i < herd->slots.n_used; i++)
        if (may_hold(herd, &herd->slots.seats[i], seat))
            put(graves, graves->awaits, seat->number, i, true);
    if (lost) {
        grave->asker = task_seat_of((uint64_t)lost->value);
        grave->lost = *lost;
        grave->epoch =
            grave->asker < herd->slots.n_seats ? herd->slots.seats[grave->asker].epoch : 0;
    }
    fd_close(&seat->channel_fd);
    seat->phase = SEAT_BURIED;
    seat->deadline_us = SEAT_NEVER;
    seat->is_dead = false;
    graves->n_open++;
    graves->due_us = herd->now_us;
    return true;
}

bool graves_hear(struct herd *herd, const struct seat *web, const struct msg *msg)
{
    struct graves *graves = &herd->graves;
    if (web->role != ROLE_WEB || msg->seat >= graves->n_seats)
        return false;
    const struct seat *dead = slots_find_occupant(&herd->slots, msg->seat, msg->epoch);
    if (!dead) /* it was not waited for any more */
        return msg->epoch <= herd->slots.seats[msg->seat].epoch;
    if (dead->phase != SEAT_BURIED || !has(graves, graves->told, msg->seat, web->number))
        return false;
    put(graves, graves->awaits, msg->seat, web->number, false);
    graves->due_us = herd->now_us;
    return true;
}

/* ---- how many there may be ---- */

static bool is_one_of(const struct seat *seat, const struct generation *g, int pool)
{
    return seat->phase == SEAT_BURIED && seat->role == ROLE_COMPUTE &&
           seat->generation == g->number && seat->pool == pool;
}

/* Who has not let go of most of them, for the log. Returns its pid; 0: they are being emptied */
static pid_t find_holder(const struct herd *herd, const struct generation *g, int pool)
{
    pid_t pid = 0;
    uint32_t most = 0;
    for (uint32_t w = 0; w < herd->slots.n_used; w++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < herd->slots.n_used; i++)
            n += is_one_of(&herd->slots.seats[i], g, pool) &&
                 has(&herd->graves, herd->graves.awaits, i, w);
        if (n > most)
            pid = herd->slots.seats[w].pid;
        most = n > most ? n : most;
    }
    return pid;
}

static void tell_full(struct herd *herd, const struct generation *g, int pool, uint32_t n)
{
    if (herd->graves.told_full >> pool & 1U)
        return;
    herd->graves.told_full |= UINT32_C(1) << pool;
    log_warn("compute worker not hired",
             "pool=%s why=\"web workers still hold answers of %" PRIu32
             " dead ones\" one_of_them=%d does=\"wait until they have let go\"",
             pools_name(&g->pools, pool), n, (int)find_holder(herd, g, pool));
}

bool graves_are_full(struct herd *herd, const struct generation *g, int pool)
{
    struct graves *graves = &herd->graves;
    uint32_t n_workers = g->pools.items[pool].n_workers;
    uint32_t n = 0;
    uint32_t n_all = 0;
    for (uint32_t i = 0; graves->n_open > 0 && i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        n_all += seat->phase == SEAT_BURIED && seat->role == ROLE_COMPUTE;
        n += is_one_of(seat, g, pool);
    }
    if (n <= n_workers)
        graves->told_full &= ~(UINT32_C(1) << pool);
    if (n < 2 * n_workers + SPARE_GRAVES && n_all < POOLS_WORKERS_MAX)
        return false;
    tell_full(herd, g, pool, n);
    return true;
}

/* ---- turns ---- */

/* Was it heard, or will it never be? A channel without a reader is a dying worker's, which owes
 * nobody an answer; what the kernel had no memory for goes again. */
static bool is_settled(int rc)
{
    return rc == 0 || rc == -EPIPE || rc == -ECONNRESET;
}

/* Returns false: not yet */
static bool tell_lost(struct herd *herd, struct grave *grave)
{
    const struct seat *asker = slots_find_occupant(&herd->slots, grave->asker, grave->epoch);
    if (grave->lost.type == 0)
        return true;
    if (asker && asker->role == ROLE_WEB && asker->channel_fd >= 0 &&
        !is_settled(msg_send(asker->channel_fd, &grave->lost, NULL, 0)))
        return false;
    grave->lost.type = 0;
    return true;
}

static bool tell_gone(const struct herd *herd, const struct seat *web, const struct seat *dead)
{
    struct msg msg = msg_make(MSG_GONE);
    msg.seat = dead->number;
    msg.epoch = dead->epoch;
    if (herd->graves.items[dead->number].is_sought) {
        msg.about = 1;
        msg.slot = dead->pool;
    }
    return web->channel_fd < 0 || is_settled(msg_send(web->channel_fd, &msg, NULL, 0));
}

/* Returns whether everybody was told. */
static bool tell_all(struct herd *herd, const struct seat *dead)
{
    struct graves *graves = &herd->graves;
    bool is_told = true;
    for (uint32_t w = find_awaited(graves, dead->number, 0); w != NOBODY;
         w = find_awaited(graves, dead->number, w + 1)) {
        if (has(graves, graves->told, dead->number, w))
            continue;
        if (tell_gone(herd, &herd->slots.seats[w], dead))
            put(graves, graves->told, dead->number, w, true);
        else
            is_told = false;
    }
    return is_told;
}

/* A part of its slice; one part a turn, whoever else waits for it. Returns whether all is done */
static bool clear_part(struct herd *herd, const struct seat *seat, uint64_t bytes, bool is_all)
{
    const struct pools *pools = &herd_generation(herd, seat)->pools;
    if (herd->graves.has_cleared)
        return false;
    herd->graves.has_cleared = true;
    int rc = segment_clear(pools->segment_fd, pools->slice_bytes, seat->number, bytes);
    if (rc < 0) /* what was there can be read by its next occupant, of the same app */
        log_warn("slice not cleared", "seat=%" PRIu32 " why=\"%s\"", seat->number, strerror(-rc));
    return rc <= 0 || !is_all;
}

/* From now on who takes a task of this dead web worker drops it. Its records lie where its slice
 * begins. */
static bool clear_records(struct herd *herd, const struct seat *seat, struct grave *grave)
{
    uint64_t bytes = (uint64_t)herd->board.n_inflight * sizeof(struct task_record);
    grave->is_forgotten = grave->is_forgotten || clear_part(herd, seat, bytes, false);
    return grave->is_forgotten;
}

/* Returns whether its slice is empty, or will be nobody's: when no other process of its generation
 * can be made any more, the segment soon goes as a whole. */
static bool clear(struct herd *herd, const struct seat *seat, struct grave *grave)
{
    const struct generation *g = herd_generation(herd, seat);
    if (g->leaves_us != 0 && herd_count_web(herd, g) == 0)
        return true;
    grave->is_cleared = grave->is_cleared || clear_part(herd, seat, CLEAR_BYTES, true);
    return grave->is_cleared;
}

/* When to look again at what nobody will tell the end of: seldom, once it takes long. */
static uint64_t look_later(const struct herd *herd, struct grave *grave)
{
    uint64_t wait_us = grave->wait_us;
    grave->wait_us = 2 * wait_us < LOOK_SELDOM_US ? 2 * wait_us : LOOK_SELDOM_US;
    return herd->now_us + wait_us;
}

/* Returns when to look at it again. */
static uint64_t tend(struct herd *herd, struct seat *seat)
{
    struct grave *grave = &herd->graves.items[seat->number];
    if (!tell_lost(herd, grave) || !tell_all(herd, seat))
        return herd->now_us + LOOK_AGAIN_US;
    if (look_at_holders(herd, seat->number))
        return look_later(herd, grave); /* LET_GO, or a death, will be heard sooner */
    if (herd->graves.has_cleared) /* its turn comes: all that follows asks all compute workers */
        return herd->now_us;
    if (seat->role == ROLE_WEB) {
        tasks_abandon(herd, seat); /* one may have been taken just before it died */
        if (is_read(herd, seat))
            return look_later(herd, grave);
        if (!clear_records(herd, seat, grave))
            return herd->now_us;
        if (is_read(herd, seat))
            return look_later(herd, grave);
    }
    if (!clear(herd, seat, grave))
        return herd->now_us;
    herd->graves.n_open--;
    herd_release(herd, seat);
    return SEAT_NEVER;
}

void graves_turn(struct herd *herd)
{
    struct graves *graves = &herd->graves;
    if (graves->n_open == 0 || graves->due_us > herd->now_us)
        return;
    graves->due_us = SEAT_NEVER;
    graves->has_cleared = false;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        if (herd->slots.seats[i].phase != SEAT_BURIED)
            continue;
        uint64_t at = tend(herd, &herd->slots.seats[i]);
        graves->due_us = at < graves->due_us ? at : graves->due_us;
    }
}
