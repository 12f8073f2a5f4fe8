/* See desk.h. */
#include "workers/desk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "http/away.h"
#include "workers/breakers.h"
#include "workers/channel.h"
#include "workers/offload.h"

struct task_record *desk_record(const struct desk_slot *slot)
{
    return &slot->desk->records[slot - slot->desk->slots];
}

struct desk_slot *desk_take_slot(struct desk *d)
{
    if (d->n_free == 0)
        return NULL;
    uint32_t index = d->free[--d->n_free];
    struct desk_slot *slot = &d->slots[index];
    do
        slot->id = task_make_id(d->heritage->seat, index, ++d->count);
    while (slot->id == 0 || (d->count & ((UINT64_C(1) << TASK_COUNT_BITS) - 1)) == 0);
    slot->sent_us = d->web->env.now_us;
    return slot;
}

void desk_free_slot(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    if (slot->is_out || slot->is_lent || slot->ex)
        return;
    if (slot->is_probe)
        breakers_note(slot, BREAKER_UNTRIED, "it was not run");
    buf_fini(&slot->parts);
    *slot = (struct desk_slot){.desk = d, .put.spool_fd = -1, .seat = DESK_NO_SEAT};
    d->free[d->n_free++] = (uint32_t)(slot - d->slots);
}

static void count_held(struct desk *d, uint64_t n)
{
    (void)atomic_fetch_add(&d->web->part.head->held, n); /* UINT64_MAX: one less */
}

void desk_begin_task(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    task_begin(desk_record(slot), slot->id);
    slot->is_out = true;
    d->n_out++;
    count_held(d, 1);
}

void desk_end_task(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    RMD_ASSERT(slot->is_out);
    slot->is_out = false;
    d->n_out--;
    count_held(d, UINT64_MAX);
    d->n_left -= slot->is_left;
    slot->is_left = false;
    handover_end(&d->segment.slice, &slot->put);
    if (!slot->is_lent || slot->is_stream)
        task_end(desk_record(slot)); /* else its answer is to stay where it is: desk_take_back() */
}

void desk_lend(struct desk_slot *slot, uint32_t seat)
{
    slot->is_lent = true;
    slot->seat = seat;
    slot->desk->seats[seat].n_held++;
    count_held(slot->desk, 1);
}

void desk_take_back(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    slot->is_lent = false;
    task_end(desk_record(slot));
    d->seats[slot->seat].n_held--;
    count_held(d, UINT64_MAX);
    desk_let_go(d, slot->seat);
    desk_free_slot(slot);
}

void desk_turn_in(struct desk_slot *slot)
{
    struct exchange *ex = slot->ex;
    slot->ex = NULL;
    away_turn_in(ex);
}

void desk_fail(struct desk_slot *slot, int status, const char *why)
{
    struct exchange *ex = slot->ex;
    slot->ex = NULL;
    ex->task = NULL;
    away_fail(ex, status, why);
}

void desk_tell_overdue(struct desk_slot *slot, enum task_loss loss)
{
    if (!slot->is_told)
        channel_tell_overdue(slot->desk->heritage, slot->id, loss);
    slot->is_told = true;
}

void desk_abandon(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    const struct setting_pool *rules = &d->web->settings->compute_pools.items[slot->pool];
    if (slot->deadline_us <= d->web->env.now_us) {
        task_cancel(desk_record(slot));
        desk_tell_overdue(slot, TASK_LOSS_TIMEOUT);
        web_count(&d->web->part.head->overdue, 1);
    } else if (rules->on_disconnect == SETTING_ON_DISCONNECT_CANCEL) {
        task_cancel(desk_record(slot));
        slot->cancelled_us = d->web->env.now_us;
    }
}

struct desk_slot *desk_find(struct desk *d, uint64_t id)
{
    uint32_t index = task_record_of(id);
    if (index >= d->n_slots || d->slots[index].id != id || !d->slots[index].is_out)
        return NULL;
    return &d->slots[index];
}

void desk_produce(struct desk_slot *slot)
{
    away_produce(slot->ex);
    desk_turn_in(slot);
}

void desk_give_up(struct desk_slot *slot, int status, const char *why)
{
    if (slot->call) {
        offload_give_up(slot, status == 504 ? -ETIMEDOUT : -EIO);
        return;
    }
    if (slot->ex && !slot->ex->used)
        desk_account(slot->ex, status == 504 ? "timeout" : "killed", NULL);
    slot->is_broken = slot->is_stream;
    desk_end_task(slot);
    if (slot->ex && slot->is_stream)
        desk_produce(slot);
    else if (slot->ex)
        desk_fail(slot, status, why);
    desk_free_slot(slot);
}

void desk_let_go(struct desk *d, uint32_t index)
{
    struct desk_seat *seat = &d->seats[index];
    if (seat->gone_epoch == 0 || seat->n_held > 0)
        return;
    struct msg about = {.seat = index, .epoch = seat->gone_epoch, .role = ROLE_COMPUTE, .slot = -1};
    seat->gone_epoch = 0;
    channel_tell(d->heritage, MSG_LET_GO, &about, 0, 0, NULL);
}

void desk_set_retry(struct exchange *ex, uint64_t wait_us)
{
    ex->retry_s = (uint32_t)((wait_us + CLOCK_US_PER_S - 1) / CLOCK_US_PER_S);
    ex->has_more = true;
}

uint64_t desk_wait_us(const struct desk *d, int pool, int n)
{
    uint32_t n_workers = d->pools[pool].n_workers;
    return admission_wait_us(&d->pools[pool].admission, n > 0 ? (uint32_t)n : 0,
                             n_workers > 0 ? n_workers : 1, d->web->env.now_us);
}

void desk_expect(struct desk *d, uint64_t at_us)
{
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_us / CLOCK_US_PER_S),
                                               .tv_nsec = (long)(at_us % CLOCK_US_PER_S * 1000)}};
    if (d->due_fd < 0 || at_us >= d->due_us)
        return;
    if (timerfd_settime(d->due_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0) /* else the tick will do */
        d->due_us = at_us;
}

/* ---- who is let in ---- */

void desk_tell_full(struct desk *d, int index, const char *why)
{
    struct desk_pool *pool = &d->pools[index];
    web_count(&d->web->part.head->refused, 1);
    if (!pool->is_full)
        log_warn("compute pool takes no more", "pool=%s why=\"%s\" queue=%u does=\"answer 503\"",
                 d->web->settings->compute_pools.items[index].name, why, pool->queue.limit);
    pool->is_full = true;
}

/* Returns NULL; else why a task is not let in behind n others, *out_wait_us when it might be */
static const char *judge_queue(const struct desk *d, int index, int n, uint64_t deadline_us,
                               uint64_t *out_wait_us)
{
    const struct desk_pool *pool = &d->pools[index];
    uint64_t now_us = d->web->env.now_us;
    *out_wait_us = 0;
    if (n < 0)
        return strerror(-n);
    if (d->n_free == 0 || d->reply_fd < 0)
        return d->n_free == 0 ? "inflight" : "it has no inbox";
    *out_wait_us = desk_wait_us(d, index, n);
    if ((uint32_t)n >= pool->queue.limit)
        return "its queue is full";
    bool is_hopeless =
        *out_wait_us > 0 && deadline_us > now_us && *out_wait_us > deadline_us - now_us;
    return is_hopeless ? "it would wait past its time" : NULL;
}

bool desk_admit(struct desk *d, int index, int n, uint64_t deadline_us, uint64_t *out_wait_us)
{
    struct desk_pool *pool = &d->pools[index];
    const char *why = judge_queue(d, index, n, deadline_us, out_wait_us);
    if (why)
        desk_tell_full(d, index, why);
    else if ((uint32_t)n <= pool->queue.limit / 2)
        pool->is_full = false;
    return !why;
}

bool desk_has_room(const struct desk *d, int index, int n, uint64_t deadline_us)
{
    uint64_t wait_us;
    return !judge_queue(d, index, n, deadline_us, &wait_us);
}

void desk_count_copied(struct desk *d)
{
    uint64_t copied = __atomic_load_n(&d->segment.copied, __ATOMIC_RELAXED) + d->web->env.moved;
    if (copied != d->told_copied)
        web_count(&d->web->part.head->copied, copied - d->told_copied);
    d->told_copied = copied;
}

void desk_account(struct exchange *ex, const char *end, const struct account_used *used)
{
    static const struct account_used none;
    struct access_task *task = arena_alloc(&ex->arena, sizeof *task);
    if (!task)
        return; /* its line lacks it */
    const struct account_used *u = used ? used : &none;
    *task = (struct access_task){.end = end,
                                 .is_measured = used != NULL,
                                 .wait_us = u->wait_us,
                                 .wall_us = u->wall_us,
                                 .cpu_us = u->cpu_us,
                                 .faults = u->faults,
                                 .peak_bytes = u->peak_bytes};
    ex->used = task;
    ex->has_more = true;
}

void desk_log(const char *event, const struct desk_slot *slot, const char *reason)
{
    struct web *web = slot->desk->web;
    struct exchange *ex = slot->ex;
    const char *pool = web->settings->compute_pools.items[slot->pool].name;
    if (ex)
        log_error(event, "reason=\"%s\" pool=%s task=%016" PRIx64 " route=\"%s\" trace=%s", reason,
                  pool, slot->id, rmd_route_pattern(&ex->req), rmd_trace_id(&ex->req));
    else
        log_error(event, "reason=\"%s\" pool=%s task=%016" PRIx64, reason, pool, slot->id);
}
