/* See web_compute.h. Reading order: web_compute_choose(), web_compute_send() → hand_over();
 * web_compute_on_inbox() → take_reply() → give_answer(), begin_stream(), take_part(), end_task();
 * what ends without a reply: web_compute_recall() → abandon(), web_compute_on_lost().
 *
 * A slot is a task in private memory; its record is what the compute worker sees of it. It is free
 * again when the task has had its last word, nothing of its answer is being sent, and nobody waits
 * for it, in whatever order that comes.
 *
 * Who answers has run app code. So a frame counts only when it is about a task that is out, and
 * comes from the process whose seat it names; an image is judged by http/image.h; octets of an
 * answer are never looked at where they lie, only the kernel sends them from there. A client that
 * leaves, and a time that is over, are told to the compute worker by the record, and to the master
 * where that is not enough. */
#include "workers/web_compute.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "http/away.h"
#include "http/image.h"
#include "http/stream.h"
#include "workers/blocks.h"
#include "workers/channel.h"
#include "workers/handover.h"
#include "workers/pools.h"

#define IMAGE_MAX_BYTES (1U << 20) /* of an answer, without its body: a guess, far above any */
#define REPLIES_MAX 4096U          /* that are read in one go: more than an inbox holds */
#define CANCEL_GRACE_US                                                                            \
    CLOCK_US_PER_S /* for a handler that asks whether it is cancelled: a guess */
#define SILENCE_US (10 * CLOCK_US_PER_S) /* a task without a last word so long after its time */
#define PERIOD_US (5 * CLOCK_US_PER_S)   /* of the slice: segment_turn() */
#define SHED_BYTES (UINT64_C(1) << 20)   /* of it at each tick */
#define NO_SEAT UINT32_MAX

/* A task of this worker's. */
struct slot {
    struct web_compute *desk;
    uint64_t id;         /* 0: free */
    struct exchange *ex; /* that waits for what comes next; NULL: nobody waits */
    struct handover put;
    uint64_t deadline_us;
    uint64_t cancelled_us; /* when its client left; 0: it has not */
    struct buf parts;      /* of a stream: came, and not yet taken for the client */
    uint32_t seat;         /* whose slice the answer lies in, while it is lent; NO_SEAT */
    uint8_t pool;
    bool is_out;    /* its last word is to come */
    bool is_lent;   /* its answer is with the connection machine, until res.done */
    bool is_stream; /* of parts */
    bool is_broken; /* that stream: it does not get to its end */
    bool is_told;   /* the master knows that it is to end */
};

struct pool {
    struct task_queue queue; /* fd -1: not handed over */
    bool is_full;            /* told in the log */
};

struct seat {
    uint32_t n_held;     /* answers that lie in its slice */
    uint32_t gone_epoch; /* its occupant is dead, and this is owed a LET_GO; 0: not so */
};

struct web_compute {
    struct web *web;
    const struct heritage *heritage;
    struct segment segment;
    struct block_source blocks; /* in which the worker receives */
    struct segment_run table;   /* the records */
    struct task_record *records;
    struct slot *slots; /* n_slots, one a record */
    uint32_t *free;     /* stack of free ones */
    uint32_t n_slots;
    uint32_t n_free;
    uint32_t n_out;
    uint64_t count; /* lower bits of the last id */
    int inbox_fd;
    int reply_fd;   /* its other end, which goes with each task; -1: there is none */
    pid_t liar_pid; /* told in the log */
    struct pool pools[SETTINGS_POOLS_MAX];
    int8_t *pool_of;    /* of each route */
    struct seat *seats; /* n_seats of the segment */
    uint64_t turned_us; /* the slice's last period began */
    struct task_frame frame;
};

/* ---- what the master hands over ---- */

static int open_table(struct web_compute *d, struct err *err)
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

static int open_slots(struct web_compute *d, struct err *err)
{
    const struct router *router = d->web->app->router;
    size_t n_routes = router_count(router);
    d->slots = calloc(d->n_slots, sizeof d->slots[0]);
    d->free = calloc(d->n_slots, sizeof d->free[0]);
    d->seats = calloc(d->segment.n_seats, sizeof d->seats[0]);
    d->pool_of = calloc(n_routes > 0 ? n_routes : 1, sizeof d->pool_of[0]);
    if (!d->slots || !d->free || !d->seats || !d->pool_of)
        return err_set(err, ENOMEM, "no memory for tasks");
    for (size_t i = 0; i < n_routes; i++)
        d->pool_of[i] = (int8_t)pools_of_route(d->web->settings, router_route(router, i));
    while (d->n_free < d->n_slots) {
        d->slots[d->n_free] = (struct slot){.desk = d, .put.spool_fd = -1, .seat = NO_SEAT};
        d->free[d->n_free] = d->n_slots - 1 - d->n_free;
        d->n_free++;
    }
    return 0;
}

static void close_desk(struct web_compute *d)
{
    for (size_t i = 0; i < SETTINGS_POOLS_MAX; i++)
        fd_close(&d->pools[i].queue.fd);
    for (uint32_t i = 0; d->slots && i < d->n_slots; i++) {
        buf_fini(&d->slots[i].parts);
        handover_end(&d->segment.slice, &d->slots[i].put);
    }
    fd_close(&d->inbox_fd);
    fd_close(&d->reply_fd);
    if (d->segment.base)
        segment_unmap(&d->segment);
    free(d->slots);
    free(d->free);
    free(d->seats);
    free(d->pool_of);
    free(d);
}

int web_compute_open(struct web *web, const struct heritage *heritage, int fd, uint32_t n_slices,
                     uint64_t slice_bytes, struct err *err)
{
    if (web->compute)
        return err_set(err, EEXIST, "there is a segment already");
    struct web_compute *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(err, ENOMEM, "no memory for the compute lane");
    *d = (struct web_compute){.web = web, .heritage = heritage, .inbox_fd = -1, .reply_fd = -1};
    for (size_t i = 0; i < SETTINGS_POOLS_MAX; i++)
        d->pools[i].queue.fd = -1;
    int rc = segment_map(fd, n_slices, slice_bytes, heritage->seat, &d->segment, err);
    if (rc == 0)
        rc = open_table(d, err);
    if (rc == 0)
        rc = open_slots(d, err);
    if (rc == 0 && (rc = task_open_inbox(&d->inbox_fd, &d->reply_fd)) < 0)
        (void)err_set(err, -rc, "inbox: %s", strerror(-rc));
    if (rc < 0) {
        close_desk(d);
        return rc;
    }
    if (getrandom(&d->count, sizeof d->count, 0) != (ssize_t)sizeof d->count)
        d->count = clock_now_us() << 8;
    d->turned_us = web->env.now_us;
    d->blocks = blocks_source(&d->segment.slice);
    conn_env_use_blocks(&web->env, &d->blocks);
    web->compute = d;
    return 0;
}

void web_compute_add_pool(struct web *web, uint32_t pool, struct task_queue queue)
{
    struct web_compute *d = web->compute;
    bool is_good =
        d && pool < web->settings->compute_pools.n && queue.charge > 0 && queue.limit > 0;
    if (!is_good) {
        log_error("queue of a pool is of no use", "pool=%u does=\"go on without\"", pool);
        fd_close(&queue.fd);
        return;
    }
    fd_close(&d->pools[pool].queue.fd);
    d->pools[pool] = (struct pool){.queue = queue};
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
    close_desk(web->compute);
    web->compute = NULL;
}

/* ---- slots ---- */

static struct task_record *record_of(const struct slot *slot)
{
    return &slot->desk->records[slot - slot->desk->slots];
}

static struct slot *take_slot(struct web_compute *d)
{
    if (d->n_free == 0)
        return NULL;
    uint32_t index = d->free[--d->n_free];
    struct slot *slot = &d->slots[index];
    do
        slot->id = task_make_id(d->heritage->seat, index, ++d->count);
    while (slot->id == 0 || (d->count & ((UINT64_C(1) << TASK_COUNT_BITS) - 1)) == 0);
    return slot;
}

static void free_if_done(struct slot *slot)
{
    struct web_compute *d = slot->desk;
    if (slot->is_out || slot->is_lent || slot->ex)
        return;
    buf_fini(&slot->parts);
    *slot = (struct slot){.desk = d, .put.spool_fd = -1, .seat = NO_SEAT};
    d->free[d->n_free++] = (uint32_t)(slot - d->slots);
}

/* Its last word has come, or none will: what it was given is not read any more. */
static void end_task(struct slot *slot)
{
    struct web_compute *d = slot->desk;
    RMD_ASSERT(slot->is_out);
    slot->is_out = false;
    d->n_out--;
    handover_end(&d->segment.slice, &slot->put);
    if (!slot->is_lent || slot->is_stream)
        task_end(record_of(slot)); /* else its answer is to stay where it is: release_answer() */
}

/* The exchange goes back, with an answer. */
static void turn_in(struct slot *slot)
{
    struct exchange *ex = slot->ex;
    slot->ex = NULL;
    away_turn_in(ex);
}

static void fail(struct slot *slot, int status, const char *why)
{
    struct exchange *ex = slot->ex;
    slot->ex = NULL;
    ex->task = NULL;
    away_fail(ex, status, why);
}

/* Who runs it is to be killed. */
static void tell_overdue(struct slot *slot, enum task_loss loss)
{
    if (!slot->is_told)
        channel_tell_overdue(slot->desk->heritage, slot->id, loss);
    slot->is_told = true;
}

/* Nobody waits for a task that is out. One whose time is over is killed at once; one whose client
 * has left gets a moment to find that out, where the pool does not say that it is finished. */
static void abandon(struct slot *slot)
{
    struct web_compute *d = slot->desk;
    const struct setting_pool *rules = &d->web->settings->compute_pools.items[slot->pool];
    if (slot->deadline_us <= d->web->env.now_us) {
        task_cancel(record_of(slot));
        tell_overdue(slot, TASK_LOSS_TIMEOUT);
        web_count(&d->web->part.head->overdue, 1);
    } else if (rules->on_disconnect == SETTING_ON_DISCONNECT_CANCEL) {
        task_cancel(record_of(slot));
        slot->cancelled_us = d->web->env.now_us;
    }
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
    return limit_us > 0 ? req->started_us + limit_us : CONN_NEVER_US;
}

static void tell_full(struct web_compute *d, int index, const char *why)
{
    struct pool *pool = &d->pools[index];
    web_count(&d->web->part.head->refused, 1);
    if (!pool->is_full)
        log_warn("compute pool takes no more", "pool=%s why=\"%s\" queue=%u does=\"answer 503\"",
                 d->web->settings->compute_pools.items[index].name, why, pool->queue.limit);
    pool->is_full = true;
}

enum conn_lane web_compute_choose(struct web *web, struct rmd_request *req)
{
    struct web_compute *d = web->compute;
    struct exchange *ex = exchange_of(req);
    int index = d->pool_of[req->match.route->index];
    if (index < 0)
        return CONN_LANE_FULL; /* refused by pools_check() */
    struct pool *pool = &d->pools[index];
    int n = pool->queue.fd >= 0 ? task_count_queued(&pool->queue) : -ENOTCONN;
    if (n < 0 || (uint32_t)n >= pool->queue.limit || d->n_free == 0 || d->reply_fd < 0) {
        tell_full(d, index,
                  n < 0            ? strerror(-n)
                  : d->n_free == 0 ? "inflight"
                                   : "its queue is full");
        return CONN_LANE_FULL;
    }
    if ((uint32_t)n <= pool->queue.limit / 2)
        pool->is_full = false;
    ex->is_task = true;
    ex->deadline_us = deadline_of(web, req, index);
    return CONN_LANE_AWAY;
}

static struct task make_task(const struct slot *slot, const struct exchange *ex, uint64_t now_us)
{
    struct task task = task_make(TASK_REQUEST, slot->id);
    task.started_us = ex->req.started_us;
    task.queued_us = now_us;
    task.deadline_us = slot->deadline_us;
    task.route = ex->req.match.route->index;
    task_set_trace(&task, ex->req.trace_id.p, ex->req.trace_id.len);
    return task;
}

/* Returns 0; -errno: it is not out */
static int send_task(struct slot *slot, const struct exchange *ex)
{
    struct web_compute *d = slot->desk;
    struct task task = make_task(slot, ex, d->web->env.now_us);
    uint64_t copied;
    int rc = handover_put(&d->segment.slice, ex, &task, &slot->put, &copied);
    if (rc < 0)
        return rc;
    web_count(&d->web->part.head->copied, copied);
    task_begin(record_of(slot), slot->id);
    rc = task_send(&d->pools[slot->pool].queue, &task, d->reply_fd,
                   task.body == TASK_BODY_SPOOL ? handover_fd(&slot->put, ex) : -1);
    handover_sent(&slot->put);
    slot->is_out = true;
    d->n_out++;
    if (rc < 0)
        end_task(slot);
    return rc;
}

static void hand_over(struct web_compute *d, struct exchange *ex)
{
    int index = d->pool_of[ex->req.match.route->index];
    struct slot *slot = take_slot(d);
    int rc = slot ? 0 : -EAGAIN;
    if (slot) {
        slot->pool = (uint8_t)index;
        slot->deadline_us = ex->deadline_us;
        rc = send_task(slot, ex);
    }
    if (rc < 0) {
        tell_full(d, index, rc == -EAGAIN ? "its queue is full" : strerror(-rc));
        if (slot)
            free_if_done(slot);
        away_fail(ex, 503, NULL);
        return;
    }
    slot->ex = ex;
    ex->task = slot;
    if (ex->req.board_entry != WEB_NO_ENTRY)
        atomic_store_explicit(&d->web->part.inflight[ex->req.board_entry].phase, ENTRY_COMPUTE,
                              memory_order_release);
}

/* What there is of a stream goes into ex->made. */
static void produce(struct slot *slot)
{
    away_produce(slot->ex);
    turn_in(slot);
}

/* Something to say for the client; else it waits. */
static bool has_news(const struct slot *slot)
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
    struct slot *slot = ex->task;
    if (!slot) { /* an error page that is a stream */
        away_produce(ex);
        away_turn_in(ex);
        return;
    }
    slot->ex = ex;
    if (has_news(slot))
        produce(slot);
}

bool web_compute_recall(struct web *web, struct exchange *ex)
{
    struct slot *slot = ex->task;
    (void)web;
    if (!slot || slot->ex != ex)
        return false; /* it has been turned in */
    slot->ex = NULL;
    ex->task = NULL;
    if (!slot->is_lent) /* else its connection ends with it: end_stream() */
        abandon(slot);
    return true;
}

/* ---- answers ---- */

static void let_go(struct web_compute *d, uint32_t index)
{
    struct seat *seat = &d->seats[index];
    if (seat->gone_epoch == 0 || seat->n_held > 0)
        return;
    struct msg about = {.seat = index, .epoch = seat->gone_epoch, .role = ROLE_COMPUTE, .slot = -1};
    seat->gone_epoch = 0;
    channel_tell(d->heritage, MSG_LET_GO, &about, 0, 0, NULL);
}

/* res.done of an answer that is sent from another's slice. */
static void release_answer(void *arg)
{
    struct slot *slot = arg;
    struct web_compute *d = slot->desk;
    slot->is_lent = false;
    task_end(record_of(slot));
    d->seats[slot->seat].n_held--;
    let_go(d, slot->seat);
    free_if_done(slot);
}

static void lend_answer(struct slot *slot, uint32_t seat)
{
    struct rmd_response *res = &slot->ex->res;
    res->kind = RESPONSE_LENT;
    res->done = release_answer;
    res->done_arg = slot;
    slot->is_lent = true;
    slot->seat = seat;
    slot->desk->seats[seat].n_held++;
}

static void log_task(const char *event, const struct slot *slot, const char *reason)
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

/* The image of a frame, in private memory. Returns 0; -ENOMEM; -EBADMSG, *out_reason */
static int read_image(struct web_compute *d, struct arena *arena, struct str *out_image,
                      const char **out_reason)
{
    const struct task_reply *reply = &d->frame.reply;
    struct segment_ref ref = {.at = reply->image_at, .len = reply->image_len, .seat = reply->seat};
    if (reply->image_len == 0) {
        *out_image = str_make(d->frame.octets, reply->inline_len);
        return 0;
    }
    *out_reason = "its image is too large";
    if (reply->image_len > IMAGE_MAX_BYTES)
        return -EBADMSG;
    char *copy = arena_alloc_text(arena, reply->image_len);
    if (!copy)
        return -ENOMEM;
    *out_reason = "its image is out of bounds";
    int rc = segment_copy(&d->segment, ref, copy);
    *out_image = str_make(copy, reply->image_len);
    return rc == -ERANGE ? -EBADMSG : rc;
}

/* Fills the answer of the exchange that waits. Owns fd.
 * Returns 0; -ENOMEM; -EBADMSG, *out_reason */
static int read_answer(struct slot *slot, int fd, const char **out_reason)
{
    struct web_compute *d = slot->desk;
    struct exchange *ex = slot->ex;
    const struct task_reply *reply = &d->frame.reply;
    struct segment_ref ref = {.at = reply->data_at, .len = reply->data_len, .seat = reply->seat};
    struct str image, body = {0};
    int rc = read_image(d, &ex->arena, &image, out_reason);
    if (rc == 0 && reply->data_len > 0) {
        body = str_make(segment_at(&d->segment, ref), (size_t)reply->data_len);
        *out_reason = "its body is out of bounds";
        rc = body.p ? 0 : -EBADMSG;
    }
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    rc = image_read_answer(image, body, fd, &ex->res, &ex->arena, out_reason);
    bool is_stream = rc == 0 && ex->res.kind == RESPONSE_STREAM;
    if (rc == 0 && is_stream != (reply->kind == TASK_BEGIN)) {
        response_drop_body(&ex->res);
        *out_reason = "a stream and not";
        rc = -EBADMSG;
    }
    return rc;
}

/* What it said can't be sent. */
static void refuse_answer(struct slot *slot, int rc, const char *reason)
{
    log_task("answer of a compute worker refused", slot, rc == -ENOMEM ? "no memory" : reason);
    fail(slot, rc == -ENOMEM ? 503 : 500, NULL);
}

static void give_answer(struct slot *slot, int fd)
{
    const struct task_reply *reply = &slot->desk->frame.reply;
    const char *reason = NULL;
    int rc = read_answer(slot, fd, &reason);
    if (rc < 0) {
        refuse_answer(slot, rc, reason);
        return;
    }
    if (reply->data_len > 0)
        lend_answer(slot, reply->seat);
    turn_in(slot);
}

/* ---- streams ---- */

/* Octets of a stream were taken, or are for nobody: there is room for others. */
static void take_parts(struct slot *slot)
{
    if (slot->is_out && slot->parts.len > 0)
        task_consume(record_of(slot), slot->parts.len);
    slot->parts.len = 0;
}

static int produce_parts(struct rmd_writer *writer, void *arg)
{
    struct slot *slot = arg;
    if (slot->is_broken || buf_append(writer->out, slot->parts.data, slot->parts.len) < 0)
        return RMD_ABORT;
    take_parts(slot);
    return slot->is_out ? 0 : RMD_END;
}

/* res.done of a stream: it has ended, or its client has. */
static void end_stream(void *arg)
{
    struct slot *slot = arg;
    slot->is_lent = false;
    take_parts(slot);
    if (slot->is_out)
        abandon(slot);
    free_if_done(slot);
}

static void begin_stream(struct slot *slot)
{
    const char *reason = NULL;
    int rc = read_answer(slot, -1, &reason);
    if (rc < 0) {
        refuse_answer(slot, rc, reason);
        abandon(slot);
        return;
    }
    struct rmd_response *res = &slot->ex->res;
    res->produce = produce_parts;
    res->done = end_stream;
    res->done_arg = slot;
    slot->is_lent = slot->is_stream = true;
    turn_in(slot);
}

/* Behind it no client takes the answer for a whole one. */
static void break_stream(struct slot *slot)
{
    slot->is_broken = true;
    if (slot->ex)
        produce(slot);
}

static int append_part(struct slot *slot)
{
    struct web_compute *d = slot->desk;
    const struct task_reply *reply = &d->frame.reply;
    struct segment_ref ref = {.at = reply->data_at, .len = reply->data_len, .seat = reply->seat};
    if (reply->data_len == 0)
        return buf_append(&slot->parts, d->frame.octets, reply->inline_len);
    if (reply->data_len > TASK_WINDOW_BYTES)
        return -ENOBUFS;
    int rc = buf_reserve(&slot->parts, (size_t)reply->data_len);
    if (rc == 0)
        rc = segment_copy(&d->segment, ref, slot->parts.data + slot->parts.len);
    if (rc == 0)
        slot->parts.len += (size_t)reply->data_len;
    return rc;
}

/* Who sends it is not to go on. */
static void refuse_stream(struct slot *slot, const char *reason)
{
    log_task("stream of a compute worker refused", slot, reason);
    task_cancel(record_of(slot));
    tell_overdue(slot, TASK_LOSS_KILLED);
    if (slot->is_stream)
        break_stream(slot);
    else if (slot->ex)
        fail(slot, 500, NULL);
}

static void take_part(struct slot *slot)
{
    int rc = slot->is_stream ? append_part(slot) : -EPROTO;
    if (rc == 0 && slot->parts.len > TASK_WINDOW_BYTES)
        rc = -ENOBUFS;
    if (rc < 0) {
        refuse_stream(slot, rc == -ENOBUFS  ? "more than it has credit for"
                            : rc == -EPROTO ? "a part of what has not begun"
                                            : strerror(-rc));
    } else if (!slot->is_lent) {
        take_parts(slot);
    } else if (slot->ex) {
        produce(slot);
    }
}

/* ---- replies ---- */

/* The last word is none that could be sent. */
static void fail_by_reply(struct slot *slot, const struct task_reply *reply)
{
    bool is_late = slot->deadline_us <= slot->desk->web->env.now_us;
    if (reply->kind == TASK_DROPPED) {
        fail(slot, is_late ? 504 : 503, NULL);
        return;
    }
    log_task("task not run", slot, reply->error > 0 ? strerror(reply->error) : "no answer");
    fail(slot, reply->error == ENOMEM ? 503 : 500, NULL);
}

static void take_last_word(struct slot *slot, int fd)
{
    const struct task_reply *reply = &slot->desk->frame.reply;
    if (slot->is_stream) { /* also an answer, which comes too late */
        slot->is_broken |= reply->kind != TASK_END || reply->error != 0;
        fd_close(&fd);
        end_task(slot);
        if (slot->ex)
            produce(slot);
        else if (!slot->is_lent)
            take_parts(slot);
    } else if (slot->ex && reply->kind == TASK_ANSWER) {
        give_answer(slot, fd);
        end_task(slot);
    } else {
        fd_close(&fd);
        if (slot->ex)
            fail_by_reply(slot, reply);
        end_task(slot);
    }
    free_if_done(slot);
}

static struct slot *find(struct web_compute *d, uint64_t id)
{
    uint32_t index = task_record_of(id);
    if (index >= d->n_slots || d->slots[index].id != id || !d->slots[index].is_out)
        return NULL;
    return &d->slots[index];
}

/* Does it come from whoever sits where it says? His seat may lie about its pid, and spoils nothing
 * by that but what is his. */
static bool is_from(const struct web_compute *d, uint32_t seat, pid_t pid)
{
    if (seat >= d->segment.n_seats || seat >= d->heritage->board.n_seats)
        return false;
    const struct seat_head *head = scoreboard_peek(&d->heritage->board, seat).head;
    return pid > 0 && head->pid == pid && head->role == ROLE_COMPUTE;
}

/* Who writes what nobody may write has lost its senses, or its app is after us: when it has a task
 * of ours in hand, it is to be killed for it. */
static void judge_liar(struct web_compute *d, pid_t pid, const char *what)
{
    struct task task;
    if (pid != d->liar_pid)
        log_warn("reply refused", "what=\"%s\" pid=%d does=\"have it killed\"", what, (int)pid);
    d->liar_pid = pid;
    for (uint32_t seat = 0; pid > 0 && seat < d->heritage->board.n_seats; seat++) {
        const struct scoreboard_part part = scoreboard_peek(&d->heritage->board, seat);
        if (part.head->pid != pid || part.head->role != ROLE_COMPUTE ||
            task_peek(part.task, &task) == TASK_NONE)
            continue;
        struct slot *slot = find(d, task.id);
        if (slot)
            tell_overdue(slot, TASK_LOSS_KILLED);
    }
}

static void take_reply(struct web_compute *d, int fd, pid_t pid)
{
    const struct task_reply *reply = &d->frame.reply;
    struct slot *slot = find(d, reply->id);
    if (!slot) { /* it was given up */
        log_debug("reply to a task that is not out", "pid=%d task=%016" PRIx64, (int)pid,
                  reply->id);
        fd_close(&fd);
    } else if (!is_from(d, reply->seat, pid)) {
        judge_liar(d, pid, "it is not from who it says");
        fd_close(&fd);
    } else if (task_is_final(reply)) {
        take_last_word(slot, fd);
    } else if (reply->kind == TASK_PART) {
        take_part(slot);
    } else if (slot->is_stream) {
        refuse_stream(slot, "it has begun already");
    } else if (slot->ex) {
        begin_stream(slot);
    } else { /* it begins for nobody: its parts are taken as they come */
        slot->is_stream = true;
    }
}

/* None of those that are out can reply any more. Their payload may be read all the same, which
 * spoils what nobody gets. */
static void fail_all(struct web_compute *d)
{
    for (uint32_t i = 0; i < d->n_slots; i++) {
        struct slot *slot = &d->slots[i];
        if (!slot->is_out)
            continue;
        task_cancel(record_of(slot));
        tell_overdue(slot, TASK_LOSS_KILLED);
        end_task(slot);
        slot->is_broken = slot->is_stream;
        if (slot->ex && slot->is_stream)
            produce(slot);
        else if (slot->ex)
            fail(slot, 500, NULL);
        free_if_done(slot);
    }
}

/* Somebody has shut it. The new one has another number, which tells who watches it. */
static void renew_inbox(struct web_compute *d)
{
    int read_fd = -1, write_fd = -1;
    int rc = task_open_inbox(&read_fd, &write_fd);
    if (d->inbox_fd >= 0)
        log_error("inbox was shut by a compute worker", "tasks=%u does=\"fail them, open another\"",
                  d->n_out);
    if (rc < 0 && d->inbox_fd >= 0)
        log_error("no other inbox", "reason=\"%s\" does=\"answer 503, try again\"", strerror(-rc));
    fail_all(d);
    fd_close(&d->inbox_fd);
    fd_close(&d->reply_fd);
    d->inbox_fd = read_fd;
    d->reply_fd = write_fd;
}

int web_compute_inbox(const struct web *web)
{
    return web->compute ? web->compute->inbox_fd : -1;
}

void web_compute_on_inbox(struct web *web)
{
    struct web_compute *d = web->compute;
    for (unsigned i = 0; d && d->inbox_fd >= 0 && i < REPLIES_MAX; i++) {
        int fd = -1;
        pid_t pid = 0;
        int rc = task_receive_reply(d->inbox_fd, &d->frame, &fd, &pid);
        if (rc == -EAGAIN)
            return;
        if (rc == 1 || rc == -EMFILE) { /* without its file the answer is refused for that */
            take_reply(d, fd, pid);
        } else if (rc == 0) {
            renew_inbox(d);
            return;
        } else if (rc != -EINTR) {
            judge_liar(d, pid, rc == -EPROTO ? "it is none" : strerror(-rc));
        }
    }
}

/* ---- the master's word ---- */

/* 503 where another try may help, or the operator; 500 where the handler is at fault. */
static void fail_by_loss(struct slot *slot, enum task_loss loss)
{
    const struct setting_pool *rules = &slot->desk->web->settings->compute_pools.items[slot->pool];
    struct arena *arena = &slot->ex->arena;
    const char *why = NULL;
    switch (loss) {
    case TASK_LOSS_MEMORY:
        why = rules->memory_limit_bytes == 0
                  ? "the handler was refused memory"
                  : arena_printf(arena, NULL,
                                 "the handler needs more than memory_limit (%" PRIu64
                                 " MiB) of its compute pool",
                                 rules->memory_limit_bytes >> 20);
        fail(slot, 503, why);
        break;
    case TASK_LOSS_CPU:
        why = arena_printf(arena, NULL,
                           "the handler needs more than cpu_limit (%" PRIu64
                           " s) of its compute pool",
                           rules->cpu_limit_us / CLOCK_US_PER_S);
        fail(slot, 503, why);
        break;
    case TASK_LOSS_TIMEOUT:
        fail(slot, 504, NULL);
        break;
    case TASK_LOSS_CANCELLED:
        fail(slot, 503, NULL);
        break;
    default:
        fail(slot, 500, NULL);
        break;
    }
}

void web_compute_on_lost(struct web *web, const struct msg *msg)
{
    struct web_compute *d = web->compute;
    web_compute_on_inbox(web); /* what it said before it died counts */
    struct slot *slot = d ? find(d, (uint64_t)msg->value) : NULL;
    if (!slot)
        return;
    if (slot->is_stream)
        slot->is_broken = true;
    end_task(slot);
    if (slot->ex && slot->is_stream)
        produce(slot);
    else if (slot->ex)
        fail_by_loss(slot, (enum task_loss)msg->about);
    free_if_done(slot);
}

void web_compute_on_gone(struct web *web, const struct msg *msg)
{
    struct web_compute *d = web->compute;
    web_compute_on_inbox(web); /* an answer that lies in its slice may be among that */
    if (!d || msg->seat >= d->segment.n_seats) {
        log_warn("a death that means nothing here", "seat=%u", msg->seat);
        return;
    }
    d->seats[msg->seat].gone_epoch = msg->epoch;
    let_go(d, msg->seat);
}

/* ---- now and then ---- */

static void look_after(struct slot *slot, uint64_t now_us)
{
    bool is_late = slot->deadline_us <= now_us;
    if (slot->cancelled_us > 0 && now_us >= slot->cancelled_us + CANCEL_GRACE_US)
        tell_overdue(slot, TASK_LOSS_CANCELLED);
    else if (is_late && !slot->ex && !slot->is_told)
        abandon(slot);
    if (!is_late || now_us - slot->deadline_us < SILENCE_US)
        return;
    log_task("task without a last word", slot, "its time was over long ago");
    slot->is_broken = slot->is_stream;
    end_task(slot);
    if (slot->ex && slot->is_stream)
        produce(slot);
    else if (slot->ex)
        fail(slot, 504, NULL);
    free_if_done(slot);
}

void web_compute_on_tick(struct web *web)
{
    struct web_compute *d = web->compute;
    if (!d)
        return;
    if (d->inbox_fd < 0)
        renew_inbox(d);
    web_compute_on_inbox(web); /* a sync worker without a client looks here alone */
    for (uint32_t i = 0; d->n_out > 0 && i < d->n_slots; i++)
        if (d->slots[i].is_out)
            look_after(&d->slots[i], web->env.now_us);
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
    const struct web_compute *d = web->compute;
    uint32_t n = 0;
    for (uint32_t i = 0; d && d->n_out > 0 && i < d->n_slots; i++)
        n += d->slots[i].is_out && d->slots[i].cancelled_us == 0 && !d->slots[i].is_told;
    return n;
}
