/* See web_compute.h. Reading order: web_compute_choose(), web_compute_send() → hand_over(); what
 * comes back is in workers/desk_reply.c; what ends without a reply: web_compute_recall(),
 * web_compute_on_lost(), look_after().
 *
 * A client that leaves, and a time that is over, are told to the compute worker by the record, and
 * to the master where that is not enough. */
#include "workers/web_compute.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "http/away.h"
#include "workers/blocks.h"
#include "workers/breakers.h"
#include "workers/channel.h"
#include "workers/desk_inbox.h"
#include "workers/offload.h"
#include "workers/desk_reply.h"
#include "workers/desk_seek.h"
#include "workers/fingerprint.h"
#include "workers/pool_map.h"
#include "workers/web_io.h"

#define CANCEL_GRACE_US                                                                            \
    CLOCK_US_PER_S /* for a handler that asks whether it is cancelled: a guess */
#define SILENCE_US (10 * CLOCK_US_PER_S) /* a task without a last word so long after its time */
#define PERIOD_US (5 * CLOCK_US_PER_S)   /* of the slice: segment_turn() */
#define SHED_BYTES (UINT64_C(1) << 20)   /* of it at each tick */

/* ---- what the master hands over ---- */

static int open_table(struct desk *d, struct err *err)
{
    uint64_t most = d->segment.slice_bytes / 4 / sizeof(struct task_record);
    uint32_t n = d->web->settings->inflight;
    n = n < TASK_RECORDS_MAX ? n : TASK_RECORDS_MAX;
    n = n < most ? n : (uint32_t)most;
    uint64_t bytes = n * sizeof(struct task_record);
    int rc = segment_take(&d->segment.slice, bytes, 0, &d->table);
    if (rc == 0)
        rc = segment_ready(&d->segment.slice, &d->table, 0, bytes);
    if (rc < 0)
        return err_set(err, -rc, "no room for %u records of tasks: %s", n, strerror(-rc));
    RMD_ASSERT(d->table.at == 0); /* where task_record() looks for it */
    d->records = (struct task_record *)(void *)segment_own(&d->segment.slice, &d->table);
    d->n_slots = n;
    return 0;
}

static int open_slots(struct desk *d, struct err *err)
{
    const struct app *app = d->web->app;
    size_t n_routes = router_count(app->router);
    size_t n = n_routes + app->n_tasks;
    if (n > BREAKER_WORDS_MAX)
        return err_set(err, E2BIG, "%zu routes and %zu tasks; allowed: %u together", n_routes,
                       app->n_tasks, BREAKER_WORDS_MAX);
    d->n_routes = (uint16_t)n_routes;
    d->n_subjects = (uint16_t)n;
    d->slots = calloc(d->n_slots, sizeof d->slots[0]);
    d->free = calloc(d->n_slots, sizeof d->free[0]);
    d->seats = calloc(d->segment.n_seats, sizeof d->seats[0]);
    d->pool_of = calloc(n > 0 ? n : 1, sizeof d->pool_of[0]);
    d->times = calloc(n > 0 ? n : 1, sizeof d->times[0]);
    if (!d->slots || !d->free || !d->seats || !d->pool_of || !d->times)
        return err_set(err, ENOMEM, "no memory for tasks");
    for (size_t i = 0; i < n_routes; i++)
        d->pool_of[i] = (int8_t)pool_map_of_route(d->web->settings, router_route(app->router, i));
    for (size_t i = 0; i < app->n_tasks; i++)
        d->pool_of[n_routes + i] = (int8_t)pool_map_of_task(d->web->settings, chain_task(app, i));
    while (d->n_free < d->n_slots) {
        d->slots[d->n_free] =
            (struct desk_slot){.desk = d, .put.spool_fd = -1, .seat = DESK_NO_SEAT};
        d->free[d->n_free] = d->n_slots - 1 - d->n_free;
        d->n_free++;
    }
    return 0;
}

static void close_desk(struct desk *d)
{
    const struct setting_pools *pools = &d->web->settings->compute_pools;
    for (size_t i = 0; i < pools->n; i++)
        overload_end(&d->pools[i].overload, pools->items[i].name);
    for (size_t i = 0; i < SETTINGS_POOLS_MAX; i++)
        fd_close(&d->pools[i].queue.fd);
    for (uint32_t i = 0; d->slots && i < d->n_slots; i++) {
        buf_fini(&d->slots[i].parts);
        handover_end(&d->segment.slice, &d->slots[i].put);
    }
    desk_inbox_close(d);
    fd_close(&d->due_fd);
    breakers_close(d);
    if (d->segment.base)
        segment_unmap(&d->segment);
    free(d->slots);
    free(d->free);
    free(d->seats);
    free(d->pool_of);
    free(d->times);
    free(d);
}

int web_compute_open(struct web *web, const struct heritage *heritage, int fd, uint32_t n_slices,
                     uint64_t slice_bytes, struct err *err)
{
    if (web->compute)
        return err_set(err, EEXIST, "there is a segment already");
    struct desk *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(err, ENOMEM, "no memory for the compute lane");
    *d = (struct desk){.web = web,
                       .heritage = heritage,
                       .watch_fd = -1,
                       .inbox_fd = -1,
                       .reply_fd = -1,
                       .left_fd = -1,
                       .left_reply_fd = -1,
                       .due_fd = -1,
                       .due_us = TASK_NEVER_US};
    for (size_t i = 0; i < SETTINGS_POOLS_MAX; i++)
        d->pools[i].queue.fd = -1;
    int rc = segment_map(fd, n_slices, slice_bytes, heritage->seat, &d->segment, err);
    if (rc == 0)
        rc = open_table(d, err);
    if (rc == 0)
        rc = open_slots(d, err);
    if (rc == 0)
        rc = desk_inbox_open(d, err);
    if (rc < 0) {
        close_desk(d);
        return rc;
    }
    if (getrandom(&d->count, sizeof d->count, 0) != (ssize_t)sizeof d->count)
        d->count = clock_now_us() << 8;
    if (web->app->n_tasks > 0) /* for calls; what requests have is the connection machine's */
        d->due_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    d->turned_us = web->env.now_us;
    d->blocks = blocks_source(&d->segment.slice);
    conn_env_use_blocks(&web->env, &d->blocks);
    web->compute = d;
    offload_attach(web);
    return 0;
}

int web_compute_add_breakers(struct web *web, int fd, struct err *err)
{
    if (!web->compute)
        return err_set(err, ENOTCONN, "there is no compute lane");
    return breakers_open(web->compute, fd, err);
}

void web_compute_add_pool(struct web *web, uint32_t pool, uint32_t n_workers,
                          struct task_queue queue)
{
    struct desk *d = web->compute;
    bool is_good =
        d && pool < web->settings->compute_pools.n && queue.charge > 0 && queue.limit > 0;
    if (!is_good) {
        log_error("queue of a pool is of no use", "pool=%u does=\"go on without\"", pool);
        fd_close(&queue.fd);
        return;
    }
    fd_close(&d->pools[pool].queue.fd);
    d->pools[pool].queue = queue; /* what was measured there still holds */
    d->pools[pool].n_workers =
        n_workers > 0 ? n_workers : (uint32_t)web->settings->compute_pools.items[pool].workers_max;
}

void web_compute_close(struct web *web)
{
    struct rmd_deferred *next;
    if (!web->compute)
        return;
    for (struct rmd_deferred *t = deferred_take(&web->box); t; t = next) {
        next = t->next;
        (void)conn_on_ticket(&web->env, t); /* its connection has ended: it is given back */
    }
    conn_env_use_blocks(&web->env, NULL);
    offload_attach(NULL); /* first: what ends now begins nothing more */
    for (uint32_t i = 0; i < web->compute->n_slots; i++)
        if (web->compute->slots[i].call)
            offload_give_up(&web->compute->slots[i], -ECANCELED);
    offload_map_turn();
    close_desk(web->compute);
    web->compute = NULL;
}

/* ---- a request goes out ---- */

static uint64_t deadline_of(const struct web *web, const struct rmd_request *req, int pool)
{
    const struct route *route = req->match.route;
    uint64_t limit_us = web->settings->compute_pools.items[pool].timeout_us;
    uint64_t own_us = route->decl->timeout_ms > 0 ? route->decl->timeout_ms * CLOCK_US_PER_MS
                                                  : web->settings->request_timeout_us;
    if (own_us > 0 && (limit_us == 0 || own_us < limit_us))
        limit_us = own_us;
    uint64_t deadline_us = limit_us > 0 ? req->started_us + limit_us : CONN_NEVER_US;
    uint64_t client_us = exchange_of(req)->deadline_us;
    return client_us > 0 && client_us < deadline_us ? client_us : deadline_us;
}

/* There will be no task. */
static enum conn_lane refuse(struct exchange *ex, uint64_t wait_us)
{
    desk_set_retry(ex, wait_us);
    desk_account(ex, "refused", NULL);
    return CONN_LANE_FULL;
}

enum conn_lane web_compute_choose(struct web *web, struct rmd_request *req)
{
    struct desk *d = web->compute;
    struct exchange *ex = exchange_of(req);
    int index = d->pool_of[req->match.route->index];
    if (index < 0)
        return CONN_LANE_FULL; /* refused by pool_map_check() */
    uint64_t wait_us;
    if (breakers_ask(d, req->match.route->index, &wait_us) == BREAKER_REFUSES) {
        req->is_fallback = req->match.route->decl->fallback != NULL;
        return req->is_fallback ? CONN_LANE_LOOP : refuse(ex, wait_us);
    }
    const struct task_queue *queue = &d->pools[index].queue;
    int n = queue->fd >= 0 ? task_count_queued(queue) : -ENOTCONN;
    uint64_t deadline_us = deadline_of(web, req, index);
    if (deadline_us <= web->env.now_us) { /* its body took all of it */
        web_count(&web->part.head->overdue, 1);
        desk_account(ex, "timeout", NULL);
        return CONN_LANE_LATE;
    }
    if (!desk_admit(d, index, n, deadline_us, &wait_us))
        return refuse(ex, wait_us);
    ex->is_task = true;
    ex->deadline_us = deadline_us;
    return CONN_LANE_AWAY;
}

static struct task make_task(const struct desk_slot *slot, const struct exchange *ex,
                             uint64_t now_us)
{
    struct task task = task_make(TASK_REQUEST, slot->id);
    task.started_us = ex->req.started_us;
    task.queued_us = now_us;
    task.deadline_us = slot->deadline_us;
    task.route = ex->req.match.route->index;
    if (!slot->is_probe) /* the breaker waits for what becomes of it */
        task.queue_target_us = overload_target_us(
            slot->desk->web, &ex->req,
            slot->desk->web->settings->compute_pools.items[slot->pool].queue_target_us);
    task.usual_us = admission_usual_us(&slot->desk->times[task.route], now_us);
    task_set_trace(&task, ex->req.trace_id.p, ex->req.trace_id.len);
    return task;
}

/* Returns 0; -errno: it is not out */
static int send_task(struct desk_slot *slot, const struct exchange *ex)
{
    struct desk *d = slot->desk;
    struct task task = make_task(slot, ex, d->web->env.now_us);
    uint64_t copied;
    int rc = handover_put(&d->segment.slice, ex, &task, &slot->put, &copied);
    if (rc < 0)
        return rc;
    web_count(&d->web->part.head->copied, copied);
    desk_count_copied(d);
    desk_begin_task(slot);
    rc = task_send(&d->pools[slot->pool].queue, &task, d->reply_fd,
                   task.body == TASK_BODY_SPOOL ? handover_fd(&slot->put, ex) : -1);
    handover_sent(&slot->put);
    if (rc < 0)
        desk_end_task(slot);
    return rc;
}

static const char *limit_text(struct arena *arena, const char *limit, uint64_t n, const char *unit)
{
    return arena_printf(arena, NULL,
                        "the handler needs more than %s (%" PRIu64 " %s) of its compute pool",
                        limit, n, unit);
}

/* 503 where another try may help, or the operator; 500 where the handler is at fault. */
static int judge_loss(const struct desk *d, int pool, struct exchange *ex, enum task_loss loss,
                      const char **out_why)
{
    const struct setting_pool *rules = &d->web->settings->compute_pools.items[pool];
    struct arena *arena = ex ? &ex->arena : NULL;
    *out_why = NULL;
    switch (loss) {
    case TASK_LOSS_MEMORY:
        if (rules->memory_limit_bytes == 0)
            *out_why = "the handler was refused memory";
        else if (arena)
            *out_why = limit_text(arena, "memory_limit", rules->memory_limit_bytes >> 20, "MiB");
        return 503;
    case TASK_LOSS_CPU:
        if (arena)
            *out_why = limit_text(arena, "cpu_limit", rules->cpu_limit_us / CLOCK_US_PER_S, "s");
        return 503;
    case TASK_LOSS_STARVED:
        *out_why = "there was no memory left for the handler";
        return 503;
    case TASK_LOSS_TIMEOUT:
        return 504;
    case TASK_LOSS_CANCELLED:
    case TASK_LOSS_STOPPED:
        return 503;
    default:
        return 500;
    }
}

/* A request that has killed two workers is answered as they were, without a third. */
static bool refuse_poison(struct desk *d, struct exchange *ex)
{
    const char *why;
    enum task_loss loss = fingerprint_look_up(&d->heritage->board, &ex->req, d->web->env.now_us);
    if (loss == 0)
        return false;
    log_warn("request refused: it is poison", "route=\"%s\" trace=%s", rmd_route_pattern(&ex->req),
             rmd_trace_id(&ex->req));
    int status = judge_loss(d, d->pool_of[ex->req.match.route->index], ex, loss, &why);
    desk_account(ex, "refused", NULL);
    away_fail(ex, status, why);
    return true;
}

static void hand_over(struct desk *d, struct exchange *ex)
{
    uint64_t wait_us;
    if (refuse_poison(d, ex))
        return;
    int index = d->pool_of[ex->req.match.route->index];
    struct desk_slot *slot = desk_take_slot(d);
    int rc = slot ? 0 : -EAGAIN;
    if (slot) {
        slot->pool = (uint8_t)index;
        slot->subject = ex->req.match.route->index;
        slot->deadline_us = ex->deadline_us;
        if (!breakers_enter(slot, &wait_us)) { /* it has opened, or is being tried, since then */
            desk_free_slot(slot);
            desk_set_retry(ex, wait_us);
            desk_account(ex, "refused", NULL);
            away_fail(ex, 503, NULL);
            return;
        }
        rc = send_task(slot, ex);
    }
    if (rc < 0) {
        desk_tell_full(d, index, rc == -EAGAIN ? "its queue is full" : strerror(-rc));
        if (slot)
            desk_free_slot(slot);
        desk_account(ex, "refused", NULL);
        away_fail(ex, 503, NULL);
        return;
    }
    slot->ex = ex;
    ex->task = slot;
    if (ex->req.board_entry != WEB_NO_ENTRY)
        atomic_store_explicit(&d->web->part.inflight[ex->req.board_entry].phase, ENTRY_COMPUTE,
                              memory_order_release);
}

/* Something to say for the client; else it waits. */
static bool has_news(const struct desk_slot *slot)
{
    return slot->parts.len > 0 || !slot->is_out || slot->is_broken;
}

void web_compute_send(struct web *web, struct exchange *ex)
{
    if (ex->errand == ERRAND_HANDLE) {
        hand_over(web->compute, ex);
        return;
    }
    RMD_ASSERT(ex->errand == ERRAND_PRODUCE); /* bodies come whole, tickets stay over there */
    struct desk_slot *slot = ex->task;
    if (!slot) { /* an error page that is a stream */
        away_produce(ex);
        away_turn_in(ex);
        return;
    }
    slot->ex = ex;
    if (has_news(slot))
        desk_produce(slot);
}

bool web_compute_recall(struct web *web, struct exchange *ex)
{
    struct desk_slot *slot = ex->task;
    if (!slot || slot->ex != ex)
        return false; /* it has been turned in */
    slot->ex = NULL;
    ex->task = NULL;
    if (!ex->used)
        desk_account(ex, slot->deadline_us <= web->env.now_us ? "timeout" : "cancelled", NULL);
    if (!slot->is_lent) /* else its connection ends with it: end_stream() */
        desk_abandon(slot);
    return true;
}

int web_compute_inbox(const struct web *web)
{
    return web->compute ? web->compute->watch_fd : -1;
}

void web_compute_on_inbox(struct web *web)
{
    if (!web->compute)
        return;
    desk_reply_take(web->compute);
    offload_map_turn();
    desk_count_copied(web->compute);
}

/* ---- the master's word ---- */

/* One that kills again and again is to be known. */
static void report_deadly(const struct desk_slot *slot, enum task_loss loss)
{
    struct rmd_request *req = slot->ex ? &slot->ex->req : NULL;
    const struct heritage *heritage = slot->desk->heritage;
    if (req && (loss == TASK_LOSS_CRASH || loss == TASK_LOSS_MEMORY || loss == TASK_LOSS_STARVED))
        channel_tell_deadly(heritage, fingerprint_of(&heritage->board, req), loss,
                            request_trace_id(req));
}

/* Nothing of an answer has been sent, and the app says that it may run twice. */
static bool may_go_again(const struct desk_slot *slot, enum task_loss loss)
{
    const struct exchange *ex = slot->ex;
    bool is_death = loss == TASK_LOSS_CRASH || loss == TASK_LOSS_MEMORY ||
                    loss == TASK_LOSS_STARVED || loss == TASK_LOSS_KILLED;
    return is_death && ex && ex->errand == ERRAND_HANDLE && !slot->is_stream && !ex->is_second &&
           ex->req.match.route->decl->idempotent && slot->deadline_us > slot->desk->web->env.now_us;
}

bool web_compute_go_again(struct desk_slot *slot, enum task_loss loss)
{
    if (!may_go_again(slot, loss))
        return false;
    struct desk *d = slot->desk;
    struct exchange *ex = slot->ex;
    log_info("task goes to another worker", "task=%016" PRIx64 " route=\"%s\" trace=%s", slot->id,
             rmd_route_pattern(&ex->req), rmd_trace_id(&ex->req));
    slot->ex = NULL;
    ex->task = NULL;
    ex->is_second = true;
    ex->used = NULL;
    desk_end_task(slot);
    desk_free_slot(slot);
    hand_over(d, ex);
    return true;
}

/* Whoever takes one out of the queue begins it, or drops it, and says which. */
void web_compute_withdraw(struct web *web, uint16_t route)
{
    struct desk *d = web->compute;
    if (!d || !web->pool)
        return;
    for (uint32_t i = 0; i < d->n_slots; i++) {
        struct desk_slot *slot = &d->slots[i];
        bool may_go = slot->is_out && slot->ex && slot->subject == route && !slot->call &&
                      !slot->is_stream && slot->ex->errand == ERRAND_HANDLE && !slot->is_probe;
        if (!may_go)
            continue;
        slot->is_withdrawn = true;
        task_withdraw(desk_record(slot));
    }
}

bool web_compute_take_home(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    struct exchange *ex = slot->ex;
    if (!slot->is_withdrawn || !ex || slot->deadline_us <= d->web->env.now_us)
        return false;
    slot->ex = NULL;
    ex->task = NULL;
    ex->used = NULL;
    ex->is_task = false;
    ex->lane = PROFILE_IO;
    desk_end_task(slot);
    desk_free_slot(slot);
    web_io_send(d->web, ex);
    return true;
}

/* What it had used by then, as the master found out. */
static void note_lost(const struct desk_slot *slot, const struct msg *msg)
{
    struct exchange *ex = slot->ex ? slot->ex : slot->streams;
    bool is_known = msg->about > 0 && msg->about < TASK_LOSSES;
    if (ex && is_known)
        desk_account(ex, account_names[ACCOUNT_CRASH + msg->about - TASK_LOSS_CRASH], &msg->used);
}

/* How long tasks take is known also from those that never got to their end. */
static void note_killed(const struct desk_slot *slot, const struct msg *msg)
{
    struct desk *d = slot->desk;
    uint64_t now_us = d->web->env.now_us, since_us = now_us - slot->sent_us;
    uint64_t allowed_us = slot->deadline_us - slot->sent_us;
    bool is_known = msg->used.wall_us > 0 && msg->used.wall_us < since_us;
    uint64_t ran_us = is_known ? msg->used.wall_us : since_us;
    if (msg->about != TASK_LOSS_TIMEOUT)
        return;
    admission_note_killed(&d->pools[slot->pool].admission, ran_us, allowed_us, now_us);
    admission_note_killed(&d->times[slot->subject], ran_us, allowed_us, now_us);
}

void web_compute_on_lost(struct web *web, const struct msg *msg)
{
    const char *why = NULL;
    if (web->compute)
        desk_reply_take_all(web->compute); /* what it said before it died counts */
    struct desk_slot *slot = web->compute ? desk_find(web->compute, (uint64_t)msg->value) : NULL;
    if (!slot)
        return;
    breakers_hear_loss(slot, (enum task_loss)msg->about, &msg->used);
    note_killed(slot, msg);
    if (slot->call) {
        offload_give_up(slot, offload_judge((enum task_loss)msg->about));
        return;
    }
    note_lost(slot, msg);
    report_deadly(slot, (enum task_loss)msg->about);
    if (web_compute_go_again(slot, (enum task_loss)msg->about))
        return;
    int status = judge_loss(slot->desk, slot->pool, slot->ex, (enum task_loss)msg->about, &why);
    desk_give_up(slot, status, why);
}

void web_compute_on_gone(struct web *web, const struct heritage *heritage, const struct msg *msg)
{
    struct desk *d = web->compute;
    if (d)
        desk_reply_take_all(d); /* an answer that lies in its slice may be among that */
    if (!d || msg->seat >= d->segment.n_seats) {
        channel_tell(heritage, MSG_LET_GO, msg, 0, 0, NULL);
        return;
    }
    if (msg->about != 0)
        desk_seek_begin(d, msg);
    d->seats[msg->seat].gone_epoch = msg->epoch;
    desk_let_go(d, msg->seat);
}

/* ---- now and then ---- */

static void look_after(struct desk_slot *slot, uint64_t now_us)
{
    bool is_late = slot->deadline_us <= now_us;
    if (slot->call && is_late)
        offload_time_out(slot);
    if (slot->call && slot->cancelled_us == 0 && !offload_is_wanted(slot->call))
        desk_abandon(slot);
    if (slot->cancelled_us > 0 && now_us >= slot->cancelled_us + CANCEL_GRACE_US)
        desk_tell_overdue(slot, TASK_LOSS_CANCELLED);
    else if (is_late && !slot->ex && !slot->is_told)
        desk_abandon(slot);
    if (!is_late || now_us - slot->deadline_us < SILENCE_US)
        return;
    desk_log("task without a last word", slot, "its time was over long ago");
    desk_give_up(slot, 504, NULL);
}

int web_compute_due_fd(const struct web *web)
{
    return web->compute ? web->compute->due_fd : -1;
}

void web_compute_on_due(struct web *web)
{
    struct desk *d = web->compute;
    uint64_t count, next_us = TASK_NEVER_US;
    if (!d)
        return;
    ssize_t n = read(d->due_fd, &count, sizeof count); /* EAGAIN: it was set anew */
    (void)n;
    d->due_us = TASK_NEVER_US;
    for (uint32_t i = 0; d->n_out > 0 && i < d->n_slots; i++) {
        struct desk_slot *slot = &d->slots[i];
        if (slot->is_out)
            look_after(slot, web->env.now_us);
        if (slot->call && slot->deadline_us < next_us)
            next_us = slot->deadline_us;
    }
    desk_expect(d, next_us);
    offload_map_turn();
}

void web_compute_look(struct web *web)
{
    struct desk *d = web->compute;
    if (!d)
        return;
    d->n_strays = 0;
    d->nowhere_pid = 0;
    if (d->inbox_fd < 0)
        (void)desk_inbox_renew(d); /* it has been told */
    web_compute_on_inbox(web);
    desk_seek_turn(d);
    for (uint32_t i = 0; d->n_out > 0 && i < d->n_slots; i++)
        if (d->slots[i].is_out)
            look_after(&d->slots[i], web->env.now_us);
}

void web_compute_on_tick(struct web *web)
{
    struct desk *d = web->compute;
    if (!d)
        return;
    web_compute_look(web);
    for (size_t i = 0; i < web->settings->compute_pools.n; i++) {
        const struct setting_pool *rules = &web->settings->compute_pools.items[i];
        overload_on_tick(&d->pools[i].overload, rules->name, rules->queue_target_us,
                         web->env.now_us);
    }
    if (web->env.now_us >= d->turned_us + PERIOD_US) {
        d->turned_us = web->env.now_us;
        segment_turn(&d->segment.slice);
    }
    (void)segment_shed(&d->segment.slice, SHED_BYTES);
    conn_env_use_blocks(&web->env, &d->blocks); /* where there was no room before */
}

struct segment_slice *web_compute_slice(const struct web *web)
{
    return &web->compute->segment.slice;
}

uint32_t web_compute_count(const struct web *web)
{
    const struct desk *d = web->compute;
    uint32_t n = 0;
    for (uint32_t i = 0; d && d->n_out > 0 && i < d->n_slots; i++)
        n += d->slots[i].is_out && d->slots[i].cancelled_us == 0 && !d->slots[i].is_told;
    return n;
}
