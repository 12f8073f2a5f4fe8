/* See offload.h. Reading order: rmd_offload() → start() → offload_hand_over() → offload_take() →
 * finish() → give(); rmd_offload_wait() → wait_on_thread(), wait_here(). Many payloads at a time:
 * workers/offload_map.c.
 * Process: web workers; rmd_offload() on whatever thread has the request, all else on the loop's,
 * which a call reaches by the box, like a ticket of a request that has ended.
 *
 * What is large is not copied on the loop: a payload goes by a file that the caller's thread has
 * written, or that holds the request's body already; a result stays where the compute worker left
 * it until the thread that wants it has copied it from there. It is copied once, since whoever made
 * it has run app code and may write to it for as long as it lies there. */
#include "workers/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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
#define LARGE_BYTES 65536U /* more is not copied on the loop, which takes 10 µs for so much */
#define LOOK_US (CLOCK_US_PER_S / 10) /* how often one who waits looks whether anybody else does */

/* Of a call that is waited for: who waits frees it when it is over, else whoever finds that it was
 * left. */
struct offload_wait {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
    _Atomic bool is_left; /* nobody waits any more */
};

static struct web *_Atomic home; /* whose desk it is; NULL: there is none */

void offload_attach(struct web *web)
{
    home = web;
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

static void free_call(struct offload *call, bool is_on_loop)
{
    return_lent(call, is_on_loop);
    drop_payload(call);
    fd_close(&call->result_fd);
    free(call->result);
    free(call->back);
    if (call->wait) {
        (void)pthread_mutex_destroy(&call->wait->lock);
        (void)pthread_cond_destroy(&call->wait->over);
    }
    free(call->wait);
    free(call);
}

void offload_free(struct offload *call)
{
    if (call)
        free_call(call, true);
}

/* ---- the end of a call ---- */

static int read_file(int fd, char *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, out + at, len - at, (off_t)at);
        if (n <= 0 && errno != EINTR)
            return n < 0 ? -errno : -EPROTO;
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

/* Into memory of the request, on its thread. Returns as rmd_offloaded */
static int fetch(struct offload *call, rmd_request *req, rmd_slice *out_result)
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
    int error = req ? fetch(call, req, &result) : call->error;
    return_lent(call, is_on_loop); /* done() may take its time */
    call->done(req, res, error, result, call->arg);
    free_call(call, is_on_loop);
}

static void wake(struct offload *call)
{
    (void)pthread_mutex_lock(&call->wait->lock);
    bool is_left = call->wait->is_left;
    call->wait->is_over = true;
    (void)pthread_cond_signal(&call->wait->over);
    (void)pthread_mutex_unlock(&call->wait->lock);
    if (is_left) /* else it is not ours any more */
        free_call(call, true);
}

static void finish(struct offload *call, int error)
{
    call->error = error;
    if (call->map)
        offload_map_on_part(call->map);
    else if (call->wait)
        wake(call);
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
        web_count(&d->web->part.head->copied, call->len);
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
    task_begin(desk_record(slot), slot->id);
    if (rc == 0)
        rc = task_send(&d->pools[call->pool].queue, &task, d->reply_fd, slot->put.spool_fd);
    handover_sent(&slot->put);
    slot->is_out = true;
    d->n_out++;
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
    if (!desk_admit(d, call->pool, n, call->task.deadline_us, &wait_us))
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
static void start(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res;
    struct offload *call = arg;
    int rc = -ECANCELED;
    bool is_alone = offload_is_alone();
    if (call->wait)
        (void)pthread_mutex_lock(&call->wait->lock);
    if (!call->wait || !call->wait->is_left)
        rc = is_alone ? offload_run_here(call) : offload_hand_over(call);
    if (call->wait)
        (void)pthread_mutex_unlock(&call->wait->lock);
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

/* One in a file. Returns 0; -errno */
static int take_file(struct offload *call, int fd)
{
    struct stat info;
    if (fd < 0)
        return -EMFILE; /* it came, and there was no descriptor for it */
    call->result_fd = fd;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size < call->result_len)
        return -EPROTO;
    return call->map ? keep_result(call) : 0; /* one of many keeps no descriptor */
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
        return take_file(call, fd);
    fd_close(&fd);
    if (call->result_len == 0)
        return reply->error;
    if (reply->data_len > 0 && !segment_at(&d->segment, ref))
        return -EPROTO;
    call->ref = ref;
    if (reply->data_len > LARGE_BYTES && !call->map) {
        desk_lend(slot, reply->seat);
        call->lent = slot;
        return 0;
    }
    if (!(call->result = malloc(len)))
        return -ENOMEM;
    if (reply->data_len > 0)
        return segment_copy(&d->segment, ref, call->result);
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
    } else if (reply->kind == TASK_DROPPED) {
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
        [TASK_LOSS_CANCELLED] = -ECANCELED,
    };
    return (unsigned)loss < TASK_LOSSES && errors[loss] ? errors[loss] : -EIO;
}

bool offload_is_wanted(const struct offload *call)
{
    return call->wait ? !call->wait->is_left : rmd_is_wanted(call->ticket);
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

static uint64_t less_spare(uint64_t limit_us)
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
    return less_spare(limit_us);
}

/* Likewise, of a handler that goes on. At least 1: its time may be over. */
static uint64_t patience_of_handler_us(const rmd_request *req)
{
    uint64_t now_us = clock_now_us();
    if (req->deadline_us == 0 || req->deadline_us == TASK_NEVER_US)
        return 0;
    return req->deadline_us > now_us ? less_spare(req->deadline_us - now_us) + 1 : 1;
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
    if (ex->body.fd >= 0 && payload == req->body.p && len == req->body.len)
        return fcntl(ex->body.fd, F_DUPFD_CLOEXEC, 0);
    int fd = memfd_create("remuda-payload", MFD_CLOEXEC);
    if (fd >= 0 && fd_write_all(fd, payload, len) < 0)
        fd_close(&fd);
    return fd;
}

/* On the caller's thread. stays: until the call is over. Returns 0; -ENOMEM; -EMSGSIZE */
static int pack(struct offload *call, const rmd_request *req, const void *payload, size_t len,
                bool stays)
{
    const struct desk *d = home ? home->compute : NULL;
    if (d && len > d->segment.slice_bytes)
        return -EMSGSIZE; /* what a compute worker has addresses for: compute_task_open() */
    call->len = len;
    call->payload_fd = d && len > LARGE_BYTES ? file_of(req, payload, len) : -1;
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

/* Large results are copied where there is another thread for it, which then needs a way back. */
static int prepare_back(struct offload *call, rmd_request *req)
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
        rc = pack(call, req, payload, len, false);
    if (rc == 0)
        rc = prepare_back(call, req);
    if (rc == 0)
        rc = offload_put_off(call, req, start, call);
    if (rc < 0)
        free_call(call, true);
    return rc;
}

/* ---- where one may wait ---- */

static int begin_wait(struct offload *call)
{
    struct offload_wait *wait = calloc(1, sizeof *wait);
    pthread_condattr_t attributes;
    if (!wait)
        return -ENOMEM;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&wait->lock, NULL);
    (void)pthread_cond_init(&wait->over, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    call->wait = wait;
    return 0;
}

/* With the lock, for a moment or until somebody says that it is over. */
static void wait_a_moment(struct offload_wait *wait, uint64_t deadline_us)
{
    uint64_t until_us = clock_now_us() + LOOK_US;
    until_us = until_us < deadline_us ? until_us : deadline_us;
    const struct timespec until = {.tv_sec = (time_t)(until_us / CLOCK_US_PER_S),
                                   .tv_nsec = (long)(until_us % CLOCK_US_PER_S * 1000)};
    (void)pthread_cond_timedwait(&wait->over, &wait->lock, &until);
}

/* On a thread of the io lane. The loop ends the call; but it may be busy, and nobody is to wait for
 * that. Returns 0: it is over; -ETIMEDOUT, -ECANCELED: it has been left, and is the loop's */
static int wait_on_thread(struct offload *call, const rmd_request *req)
{
    struct offload_wait *wait = call->wait;
    int rc = 0;
    (void)pthread_mutex_lock(&wait->lock);
    while (!wait->is_over && rc == 0) {
        wait_a_moment(wait, call->task.deadline_us);
        if (rmd_cancelled(req))
            rc = -ECANCELED;
        if (clock_now_us() >= call->task.deadline_us)
            rc = -ETIMEDOUT;
    }
    rc = wait->is_over ? 0 : rc;
    wait->is_left = !wait->is_over;
    (void)pthread_mutex_unlock(&wait->lock);
    return rc;
}

/* In a worker that has no loop: here is where replies are taken. Returns likewise */
static int wait_here(struct web *web, struct offload *call)
{
    while (!call->wait->is_over && web->await())
        continue;
    call->wait->is_left = !call->wait->is_over;
    return call->wait->is_over ? 0 : -ECANCELED;
}

/* Returns 0: it is over; else the call is not ours any more */
static int run_and_wait(struct offload *call, struct rmd_deferred *errand, const rmd_request *req)
{
    struct web *web = home;
    if (errand) {
        deferred_turn_in(errand, start, call);
        return wait_on_thread(call, req);
    }
    start(NULL, NULL, call);
    return web && !call->wait->is_over ? wait_here(web, call) : 0;
}

int rmd_offload_wait(rmd_request *req, const char *task, const void *payload, size_t len,
                     unsigned timeout_ms, rmd_slice *out_result)
{
    struct web *web = home;
    bool is_on_thread = web && exchange_of(req)->is_io;
    rmd_slice result;
    if (web && !is_on_thread && !web->await)
        return -EDEADLK;
    struct offload *call = offload_new();
    if (!call)
        return -ENOMEM;
    struct rmd_deferred *errand = NULL;
    int rc = offload_fill(call, req, task, timeout_ms, patience_of_handler_us(req));
    if (rc == 0)
        rc = begin_wait(call);
    if (rc == 0)
        rc = pack(call, req, payload, len, true);
    if (rc == 0)
        rc = prepare_back(call, req);
    if (rc == 0 && is_on_thread && !(errand = deferred_new(web->env.box, NULL)))
        rc = -ENOMEM;
    if (rc == 0 && (rc = run_and_wait(call, errand, req)) < 0)
        return rc;
    if (rc == 0)
        rc = fetch(call, req, &result);
    if (rc == 0 && out_result)
        *out_result = result;
    free_call(call, !is_on_thread);
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
