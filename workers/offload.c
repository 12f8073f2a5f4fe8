/* See offload.h. Reading order: rmd_offload() → offload_start() → offload_hand_over() →
 * offload_take() → finish() → give(). Who waits instead: workers/offload_wait.c; many payloads at a
 * time: workers/offload_map.c.
 * Process: web workers; rmd_offload() on whatever thread has the request, all else on the loop's,
 * which a call reaches by the box, like a ticket of a request that has ended.
 *
 * What is large is not copied on the loop for who has a thread: a payload goes by a file that the
 * caller's thread has written, or that holds the request's body already; a result stays where the
 * compute worker left it until the thread that wants it has copied it from there. It is copied
 * once, since whoever made it has run app code and may write to it for as long as it lies there. */
#include "workers/offload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "http/conn.h"
#include "workers/breakers.h"
#include "workers/call.h"
#include "workers/offload_call.h"
#include "workers/pool_map.h"

#define SPARE_US (CLOCK_US_PER_S / 10) /* of a request's time, for what follows a call: a guess */

static struct web *_Atomic home; /* whose desk it is; NULL: there is none */

void offload_attach(struct web *web)
{
    home = web;
}

struct web *offload_home(void)
{
    return home;
}

bool offload_is_alone(void)
{
    return !home && strcmp(rmd_role(), "web") != 0;
}

/* ---- a call ---- */

struct offload *offload_new(void)
{
    struct offload *call = calloc(1, sizeof *call);
    if (call)
        call->payload_fd = call->result_fd = -1;
    return call;
}

static void drop_payload(struct offload *call)
{
    if (call->is_payload_ours)
        free((void *)(uintptr_t)call->payload);
    call->payload = NULL;
    call->is_payload_ours = false;
    fd_close(&call->payload_fd);
}

static void take_back(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res;
    desk_take_back(arg);
}

/* What was lent goes back: by the box, where this is not the loop's thread. */
static void return_lent(struct offload *call, bool is_on_loop)
{
    struct desk_slot *slot = call->lent;
    call->lent = NULL;
    if (!slot)
        return;
    if (is_on_loop || !call->back) {
        desk_take_back(slot);
        return;
    }
    deferred_turn_in(call->back, take_back, slot);
    call->back = NULL;
}

void offload_free(struct offload *call, bool is_on_loop)
{
    if (!call)
        return;
    return_lent(call, is_on_loop);
    drop_payload(call);
    fd_close(&call->result_fd);
    free(call->result);
    free(call->back);
    offload_wait_free(call->wait);
    free(call);
}

/* ---- the end of a call ---- */

static int read_file(int fd, char *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, out + at, len - at, (off_t)at);
        if (n == 0)
            return -EPROTO; /* its maker has cut it off */
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* The result, from wherever it is. Returns 0; -errno */
static int copy_result(struct offload *call, char *out)
{
    if (call->lent)
        return segment_copy(&call->lent->desk->segment, call->ref, out);
    if (call->result_fd >= 0)
        return read_file(call->result_fd, out, call->result_len);
    memcpy(out, call->result, call->result_len);
    return 0;
}

int offload_fetch(struct offload *call, rmd_request *req, rmd_slice *out_result)
{
    *out_result = (rmd_slice){NULL, 0};
    if (call->error != 0 || call->result_len == 0)
        return call->error;
    char *octets = arena_alloc(req->arena, call->result_len);
    int rc = octets ? copy_result(call, octets) : -ENOMEM;
    if (rc == 0)
        *out_result = (rmd_slice){octets, call->result_len};
    return rc;
}

/* On the thread of the request's lane; without one on the loop's. */
static void give(rmd_request *req, rmd_response *res, void *arg)
{
    struct offload *call = arg;
    rmd_slice result = {NULL, 0};
    bool is_on_loop = !req || !exchange_of(req)->is_io;
    int error = req ? offload_fetch(call, req, &result) : call->error;
    return_lent(call, is_on_loop); /* done() may take its time */
    call->done(req, res, error, result, call->arg);
    offload_free(call, is_on_loop);
}

static void finish(struct offload *call, int error)
{
    call->error = error;
    if (call->map)
        offload_map_on_part(call->map);
    else if (call->wait)
        offload_wait_wake(call);
    else
        rmd_complete(call->ticket, give, call);
}

/* ---- out ---- */

/* Into the slice, or where that is full into a file. Returns 0; -errno */
static int put_payload(struct desk *d, struct offload *call, struct task *task,
                       struct handover *put)
{
    struct segment_slice *slice = &d->segment.slice;
    if (call->len == 0)
        return 0;
    task->body_len = call->len;
    task->body = TASK_BODY_SPOOL;
    put->spool_fd = call->payload_fd;
    call->payload_fd = -1;
    if (put->spool_fd >= 0)
        return 0;
    int rc = handover_may_copy(slice, call->len) ? segment_take(slice, call->len, 0, &put->run)
                                                 : -ENOSPC;
    if (rc == 0 && (rc = segment_ready(slice, &put->run, 0, call->len)) < 0)
        segment_give(slice, &put->run);
    if (rc == 0) {
        memcpy(segment_own(slice, &put->run), call->payload, call->len);
        /* Its caller may have copied it, too. */
        web_count(&d->web->part.head->copied, call->len * (call->is_payload_ours ? 2 : 1));
        task->body = TASK_BODY_SLICE;
        task->body_at = put->run.at;
        return 0;
    }
    put->spool_fd = memfd_create("remuda-payload", MFD_CLOEXEC);
    return put->spool_fd < 0 ? -errno : fd_write_all(put->spool_fd, call->payload, call->len);
}

/* Returns 0; -errno: it is not out */
static int send_call(struct desk *d, struct offload *call, struct desk_slot *slot)
{
    struct task task = call->task;
    uint64_t wait_us;
    slot->pool = (uint8_t)call->pool;
    slot->subject = (uint16_t)(d->n_routes + task.route);
    slot->deadline_us = task.deadline_us;
    if (!breakers_enter(slot, &wait_us))
        return -ECONNREFUSED;
    task.id = slot->id;
    task.queued_us = clock_now_us();
    task.usual_us = admission_usual_us(&d->times[slot->subject], task.queued_us);
    int rc = put_payload(d, call, &task, &slot->put);
    desk_begin_task(slot);
    if (rc == 0)
        rc = task_send(&d->pools[call->pool].queue, &task, d->reply_fd, slot->put.spool_fd);
    if (rc == -EAGAIN && call->map) { /* which comes again */
        call->payload_fd = slot->put.spool_fd;
        slot->put.spool_fd = -1;
    }
    handover_sent(&slot->put);
    if (rc < 0)
        desk_end_task(slot);
    return rc;
}

int offload_hand_over(struct offload *call)
{
    struct desk *d = home ? home->compute : NULL;
    uint64_t wait_us;
    if (!d || d->reply_fd < 0 || d->pools[call->pool].queue.fd < 0)
        return -ENOTCONN;
    if (call->task.deadline_us <= d->web->env.now_us)
        return -ETIMEDOUT;
    int n = task_count_queued(&d->pools[call->pool].queue);
    bool is_in = call->map /* which comes again */
                     ? desk_has_room(d, call->pool, n, call->task.deadline_us)
                     : desk_admit(d, call->pool, n, call->task.deadline_us, &wait_us);
    if (!is_in)
        return n < 0 ? n : -EAGAIN;
    struct desk_slot *slot = desk_take_slot(d);
    if (!slot)
        return -EAGAIN;
    int rc = send_call(d, call, slot);
    if (rc < 0) {
        desk_free_slot(slot);
        return rc;
    }
    slot->call = call;
    desk_expect(d, slot->deadline_us);
    drop_payload(call);
    return 0;
}

int offload_run_here(struct offload *call)
{
    const rmd_task *row = chain_task(chain_get_process()->app, call->task.route);
    struct arena arena;
    struct task_record record = {.id = 1};
    call->task.id = 1;
    arena_init(&arena, 4096);
    struct rmd_call here = {.arena = &arena, .record = &record, .task = &call->task};
    int error = row->run(&here, (rmd_slice){call->payload, call->len});
    if (error == 0 && here.result.len > 0) {
        call->result = malloc(here.result.len);
        error = call->result ? 0 : -ENOMEM;
        call->result_len = call->result ? here.result.len : 0;
    }
    if (call->result)
        memcpy(call->result, here.result.p, here.result.len);
    arena_fini(&arena);
    return error;
}

/* The loop has the call: no request, no answer. Who waits for it lends it the payload, until he has
 * left. */
void offload_start(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res;
    struct offload *call = arg;
    bool is_alone = offload_is_alone();
    int rc = -ECANCELED;
    if (offload_wait_enter(call->wait))
        rc = is_alone ? offload_run_here(call) : offload_hand_over(call);
    offload_wait_leave(call->wait);
    if (rc != 0 || is_alone)
        finish(call, rc);
}

/* ---- back ---- */

/* Into memory of the call. Returns 0; -errno */
static int keep_result(struct offload *call)
{
    char *octets = malloc(call->result_len);
    int rc = octets ? copy_result(call, octets) : -ENOMEM;
    fd_close(&call->result_fd);
    if (rc == 0)
        call->result = octets;
    else
        free(octets);
    return rc;
}

/* One in a file, which costs its maker nothing if it is a hole. Returns 0; -errno */
static int take_file(struct offload *call, int fd, uint64_t most)
{
    struct stat info;
    if (fd < 0)
        return -EMFILE; /* it came, and there was no descriptor for it */
    call->result_fd = fd;
    if (call->result_len > most) /* nor does who keeps to the rules send one: compute_reply.c */
        return -EPROTO;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size < call->result_len)
        return -EPROTO;
    return call->map && !offload_map_may_keep(call) ? keep_result(call) : 0;
}

/* What lies over there is copied before anybody looks at it. Owns fd. Returns 0; -errno */
static int take_result(struct desk_slot *slot, int fd)
{
    struct desk *d = slot->desk;
    struct offload *call = slot->call;
    const struct task_reply *reply = &d->frame.reply;
    const struct segment_ref ref = {
        .seat = reply->seat, .at = reply->data_at, .len = reply->data_len};
    size_t len = reply->data_len > 0 ? (size_t)reply->data_len : reply->inline_len;
    call->result_len = reply->error == 0 ? len : 0;
    if (call->result_len > 0 && reply->data_len > 0 && reply->data_at == TASK_AT_FILE)
        return take_file(call, fd, d->segment.slice_bytes);
    fd_close(&fd);
    if (call->result_len == 0)
        return reply->error;
    if (reply->data_len > 0 && !segment_at(&d->segment, ref))
        return -EPROTO;
    call->ref = ref;
    if (reply->data_len > TASK_LARGE_BYTES && !call->map) {
        desk_lend(slot, reply->seat);
        call->lent = slot;
        return 0;
    }
    if (!(call->result = malloc(len)))
        return -ENOMEM;
    if (reply->data_len > 0) {
        web_count(&d->web->part.head->copied, len); /* once more, into memory of the request */
        return segment_copy(&d->segment, ref, call->result);
    }
    memcpy(call->result, d->frame.octets, len);
    return 0;
}

void offload_give_up(struct desk_slot *slot, int error)
{
    struct offload *call = slot->call;
    slot->call = NULL;
    desk_end_task(slot);
    desk_free_slot(slot);
    finish(call, error);
}

/* Whoever runs it is killed for it; the slot waits for that, and nobody else does. */
void offload_time_out(struct desk_slot *slot)
{
    struct offload *call = slot->call;
    slot->call = NULL;
    finish(call, -ETIMEDOUT);
}

void offload_take(struct desk_slot *slot, int fd)
{
    const struct task_reply *reply = &slot->desk->frame.reply;
    int error = -EPROTO;
    if (reply->kind == TASK_RESULT) {
        error = take_result(slot, fd);
        fd = -1;
    } else if (reply->kind == TASK_DROPPED || reply->kind == TASK_SHED) {
        error = slot->cancelled_us > 0 ? -ECANCELED : -ETIMEDOUT; /* or it would have been late */
    } else if (reply->kind == TASK_FAILED && reply->error > 0) {
        error = -reply->error;
    }
    fd_close(&fd);
    offload_give_up(slot, error);
}

int offload_judge(enum task_loss loss)
{
    static const int errors[TASK_LOSSES] = {
        [TASK_LOSS_MEMORY] = -ENOMEM,       [TASK_LOSS_STARVED] = -ENOMEM,
        [TASK_LOSS_TIMEOUT] = -ETIMEDOUT,   [TASK_LOSS_CPU] = -ETIME,
        [TASK_LOSS_CANCELLED] = -ECANCELED, [TASK_LOSS_STOPPED] = -ECANCELED,
    };
    return (unsigned)loss < TASK_LOSSES && errors[loss] ? errors[loss] : -EIO;
}

bool offload_is_wanted(const struct offload *call)
{
    return call->wait ? !offload_wait_is_left(call->wait) : rmd_is_wanted(call->ticket);
}

/* ---- the app's side ---- */

static const rmd_task *find_task(const char *name, uint16_t *out_index)
{
    const struct app *app = chain_get_process()->app;
    const rmd_task *row;
    for (size_t i = 0; app && (row = chain_task(app, i)); i++) {
        if (strcmp(row->name, name) != 0)
            continue;
        *out_index = (uint16_t)i;
        return row;
    }
    return NULL;
}

uint64_t offload_less_spare(uint64_t limit_us)
{
    return limit_us - (limit_us / 10 < SPARE_US ? limit_us / 10 : SPARE_US);
}

uint64_t offload_patience_us(const rmd_request *req)
{
    const struct route *route = req->match.route;
    uint64_t limit_us = route && route->decl->timeout_ms > 0
                            ? route->decl->timeout_ms * CLOCK_US_PER_MS
                            : req->env->limits.answer_us;
    uint64_t client_us = exchange_of(req)->deadline_us; /* its own deadline */
    uint64_t now_us = clock_now_us();
    uint64_t left_us = client_us > now_us ? client_us - now_us : 1;
    if (client_us > 0 && (limit_us == 0 || left_us < limit_us))
        limit_us = left_us;
    return offload_less_spare(limit_us);
}

int offload_fill(struct offload *call, rmd_request *req, const char *task, unsigned timeout_ms,
                 uint64_t patience_us)
{
    uint16_t index;
    const struct web *web = home; /* its loop may end while a thread is here */
    const rmd_task *row = find_task(task, &index);
    if (!row)
        return -ENOENT;
    if (strcmp(rmd_role(), "compute") == 0)
        return -EOPNOTSUPP;
    call->pool = web ? pool_map_of_task(web->settings, row) : POOL_MAP_NONE;
    const uint64_t limits[] = {patience_us, timeout_ms * CLOCK_US_PER_MS,
                               row->timeout_ms * CLOCK_US_PER_MS,
                               web ? web->settings->compute_pools.items[call->pool].timeout_us : 0};
    uint64_t least_us = 0;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i] > 0 && (least_us == 0 || limits[i] < least_us))
            least_us = limits[i];
    call->task = task_make(TASK_CALL, 0);
    call->task.route = index;
    call->task.started_us = req->started_us;
    call->task.deadline_us = least_us > 0 ? clock_now_us() + least_us : TASK_NEVER_US;
    struct str trace = request_trace_id(req);
    task_set_trace(&call->task, trace.p, trace.len);
    return 0;
}

/* The file that holds the octets, or will. -1: there is none, and none can be made */
static int file_of(const rmd_request *req, const void *payload, size_t len)
{
    const struct exchange *ex = exchange_of(req);
    bool is_body = ex->body.fd >= 0 && payload == req->body.p && len == req->body.len;
    int fd = is_body ? fd_reopen_to_read(ex->body.fd) : -1;
    if (fd >= 0)
        return fd;
    fd = memfd_create("remuda-payload", MFD_CLOEXEC);
    if (fd >= 0 && fd_write_all(fd, payload, len) < 0)
        fd_close(&fd);
    return fd;
}

bool offload_is_too_large(size_t len)
{
    const struct desk *d = home ? home->compute : NULL;
    return d && len > d->segment.slice_bytes; /* compute_task_open() */
}

int offload_pack(struct offload *call, const rmd_request *req, const void *payload, size_t len,
                 bool stays)
{
    const struct desk *d = home ? home->compute : NULL;
    if (offload_is_too_large(len))
        return -EMSGSIZE;
    call->len = len;
    call->payload_fd = d && len > TASK_LARGE_BYTES ? file_of(req, payload, len) : -1;
    call->payload = payload;
    if (call->payload_fd >= 0 || stays || len == 0)
        return 0;
    char *copy = malloc(len);
    call->payload = copy;
    call->is_payload_ours = true;
    if (!copy)
        return -ENOMEM;
    memcpy(copy, payload, len);
    return 0;
}

int offload_prepare_back(struct offload *call, rmd_request *req)
{
    struct web *web = home;
    if (web && exchange_of(req)->is_io && !(call->back = deferred_new(web->env.box, NULL)))
        return -ENOMEM;
    return 0;
}

int offload_put_off(struct offload *call, rmd_request *req, rmd_answer begin, void *arg)
{
    struct web *web = home;
    struct rmd_deferred *errand = web ? deferred_new(web->env.box, NULL) : NULL;
    if (web && !errand)
        return -ENOMEM;
    call->ticket = rmd_defer(req);
    if (!call->ticket) {
        free(errand);
        return -EBUSY;
    }
    if (web)
        deferred_turn_in(errand, begin, arg);
    else
        begin(NULL, NULL, arg);
    return 0;
}

int rmd_offload(rmd_request *req, const char *task, const void *payload, size_t len,
                unsigned timeout_ms, rmd_offloaded done, void *arg)
{
    struct offload *call = offload_new();
    if (!call)
        return -ENOMEM;
    call->done = done;
    call->arg = arg;
    int rc = offload_fill(call, req, task, timeout_ms, offload_patience_us(req));
    if (rc == 0)
        rc = offload_pack(call, req, payload, len, false);
    if (rc == 0)
        rc = offload_prepare_back(call, req);
    if (rc == 0)
        rc = offload_put_off(call, req, offload_start, call);
    if (rc < 0)
        offload_free(call, true);
    return rc;
}

size_t offload_window(const struct offload *call)
{
    const struct web *web = home;
    if (!web)
        return 1;
    const struct setting_pool *pool = &web->settings->compute_pools.items[call->pool];
    uint64_t most = pool->queue / 4 > 0 ? pool->queue / 4 : 1;
    return (size_t)(2 * pool->workers_max < most ? 2 * pool->workers_max : most);
}
