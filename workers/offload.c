/* See offload.h. Reading order: rmd_offload() → start() → offload_take() → finish() → give().
 * Process: web workers; rmd_offload() on whatever thread has the request, all else on the loop's,
 * which a call reaches by the box, like a ticket of a request that has ended. */
#include "workers/offload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "http/conn.h"
#include "http/deferred.h"
#include "workers/breakers.h"
#include "workers/call.h"
#include "workers/pools.h"

#define MAP_MAX 100000U                /* a guess */
#define SPARE_US (CLOCK_US_PER_S / 10) /* of a request's time, for what follows a call: a guess */

struct offload_map;

struct offload {
    rmd_deferred *ticket; /* of its request */
    rmd_offloaded done;
    void *arg;
    struct offload_map *map; /* it is one of several; NULL: it is not, or it is the one for all */
    struct task task;        /* but for its identity and payload */
    int pool;
    char *payload; /* until it was handed over */
    size_t len;
    int error;
    char *result;
    size_t result_len;
};

/* Several payloads for one task: the calls that are out, and what became of the others. */
struct offload_map {
    struct offload *lead; /* stands for all of them: ticket, task, payloads behind each other */
    rmd_mapped done;
    size_t n, next, n_out, window;
    size_t *lens;           /* of payloads, n of them */
    size_t at;              /* of the next one in lead->payload */
    struct offload **calls; /* n of them, until the end; NULL: memory was refused */
    rmd_outcome *outcomes;
};

static struct web *_Atomic home; /* whose desk it is; NULL: there is none */

void offload_attach(struct web *web)
{
    home = web;
}

/* ---- the end of a call ---- */

static void free_call(struct offload *call)
{
    free(call->payload);
    free(call->result);
    free(call);
}

/* On the thread of the request's lane. */
static void give(rmd_request *req, rmd_response *res, void *arg)
{
    struct offload *call = arg;
    call->done(req, res, call->error, (rmd_slice){call->result, call->result_len}, call->arg);
    free_call(call);
}

static void on_part_done(struct offload_map *map);

static void finish(struct offload *call, int error)
{
    call->error = error;
    if (call->map)
        on_part_done(call->map);
    else
        rmd_complete(call->ticket, give, call);
}

/* ---- out ---- */

/* Into the slice, or where that is full into a file. Returns 0; -errno */
static int put_payload(struct desk *d, const struct offload *call, struct task *task,
                       struct handover *put)
{
    struct segment_slice *slice = &d->segment.slice;
    if (call->len == 0)
        return 0;
    task->body_len = call->len;
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
    task->body = TASK_BODY_SPOOL;
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

/* Where there is no other process. Returns as rmd_offloaded */
static int run_here(struct offload *call)
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

/* Returns 0; -errno: it is not out, and may be tried again */
static int hand_over(struct offload *call)
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
    free(call->payload);
    call->payload = NULL;
    return 0;
}

/* The loop has the call: no request, no answer. */
static void start(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res;
    struct offload *call = arg;
    if (!home && call->pool == POOLS_NONE) {
        finish(call, run_here(call));
        return;
    }
    int rc = hand_over(call);
    if (rc < 0)
        finish(call, rc);
}

/* ---- back ---- */

/* Whoever answered may have sent any descriptor, and may change what is in it. Returns 0; -errno */
static int read_result(int fd, char *out, size_t len)
{
    struct stat info;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size < len)
        return -EPROTO;
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, out + at, len - at, (off_t)at);
        if (n == 0)
            return -EPROTO;
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* What lies over there is copied before anybody looks at it.
 * fd       of the file that it is in; -1: it is in the other's slice, or the frame
 * Returns  0; -errno */
static int take_result(struct desk *d, struct offload *call, int fd)
{
    const struct task_reply *reply = &d->frame.reply;
    const struct segment_ref ref = {
        .seat = reply->seat, .at = reply->data_at, .len = reply->data_len};
    size_t len = reply->data_len > 0 ? (size_t)reply->data_len : reply->inline_len;
    if (reply->error != 0 || len == 0)
        return reply->error;
    if (reply->data_len > d->segment.slice_bytes || !(call->result = malloc(len)))
        return reply->data_len > d->segment.slice_bytes ? -EPROTO : -ENOMEM;
    call->result_len = len;
    if (reply->data_len == 0) {
        memcpy(call->result, d->frame.octets, len);
        return 0;
    }
    return fd >= 0 ? read_result(fd, call->result, len)
                   : segment_copy(&d->segment, ref, call->result);
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
    struct desk *d = slot->desk;
    int error = -EPROTO;
    if (d->frame.reply.kind == TASK_RESULT)
        error = take_result(d, slot->call, fd);
    else if (d->frame.reply.kind == TASK_DROPPED)
        error = slot->cancelled_us > 0 ? -ECANCELED : -ETIMEDOUT; /* or it would have been late */
    else if (d->frame.reply.kind == TASK_FAILED && d->frame.reply.error > 0)
        error = -d->frame.reply.error;
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
    return rmd_is_wanted(call->ticket);
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

/* How long the answer is waited for that is put off now, less what its handler may need to give
 * one. 0: without end */
static uint64_t patience_of(const rmd_request *req)
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
    return limit_us - (limit_us / 10 < SPARE_US ? limit_us / 10 : SPARE_US);
}

/* The least of what request, caller, task and pool allow. */
static uint64_t deadline_of(const rmd_request *req, const struct web *web, const rmd_task *row,
                            int pool, unsigned timeout_ms)
{
    const uint64_t limits[] = {patience_of(req), timeout_ms * CLOCK_US_PER_MS,
                               row->timeout_ms * CLOCK_US_PER_MS,
                               web ? web->settings->compute_pools.items[pool].timeout_us : 0};
    uint64_t least = 0;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i] > 0 && (least == 0 || limits[i] < least))
            least = limits[i];
    return least > 0 ? clock_now_us() + least : TASK_NEVER_US;
}

static struct offload *new_call(const void *payload, size_t len)
{
    struct offload *call = calloc(1, sizeof *call);
    if (!call || (len > 0 && !(call->payload = malloc(len)))) {
        free(call);
        return NULL;
    }
    if (len > 0)
        memcpy(call->payload, payload, len);
    call->len = len;
    return call;
}

/* Fills a call and puts the answer off. begin: what the loop does then. Returns as rmd_offload() */
static int ask(rmd_request *req, struct offload *call, const char *task, unsigned timeout_ms,
               rmd_answer begin, void *arg)
{
    uint16_t index;
    struct web *web = home; /* its loop may end while a thread is here */
    const rmd_task *row = find_task(task, &index);
    if (!row)
        return -ENOENT;
    if (strcmp(rmd_role(), "compute") == 0)
        return -EOPNOTSUPP;
    struct rmd_deferred *errand = web ? deferred_new(web->env.box, NULL) : NULL;
    if (web && !errand)
        return -ENOMEM;
    call->ticket = rmd_defer(req);
    if (!call->ticket) {
        free(errand);
        return -EBUSY;
    }
    call->pool = web ? pools_of_task(web->settings, row) : POOLS_NONE;
    call->task = task_make(TASK_CALL, 0);
    call->task.route = index;
    call->task.started_us = req->started_us;
    call->task.deadline_us = deadline_of(req, web, row, call->pool, timeout_ms);
    struct str trace = request_trace_id(req);
    task_set_trace(&call->task, trace.p, trace.len);
    if (web)
        deferred_turn_in(errand, begin, arg);
    else
        begin(NULL, NULL, arg);
    return 0;
}

int rmd_offload(rmd_request *req, const char *task, const void *payload, size_t len,
                unsigned timeout_ms, rmd_offloaded done, void *arg)
{
    struct offload *call = new_call(payload, len);
    if (!call)
        return -ENOMEM;
    call->done = done;
    call->arg = arg;
    int rc = ask(req, call, task, timeout_ms, start, call);
    if (rc < 0)
        free_call(call);
    return rc;
}

/* ---- many payloads ---- */

static void free_map(struct offload_map *map)
{
    for (size_t i = 0; map->calls && i < map->n; i++)
        if (map->calls[i])
            free_call(map->calls[i]);
    if (map->lead)
        free_call(map->lead);
    free(map->lens);
    free(map->calls);
    free(map->outcomes);
    free(map);
}

/* On the thread of the request's lane. */
static void give_all(rmd_request *req, rmd_response *res, void *arg)
{
    struct offload_map *map = arg;
    for (size_t i = 0; i < map->n; i++) {
        const struct offload *call = map->calls[i];
        map->outcomes[i] = call ? (rmd_outcome){call->error, {call->result, call->result_len}}
                                : (rmd_outcome){-ENOMEM, {NULL, 0}};
    }
    map->done(req, res, map->outcomes, map->n, map->lead->arg);
    free_map(map);
}

/* Returns 0; -EAGAIN: there is no room in the queue, but there will be when another part is back */
static int launch_one(struct offload_map *map)
{
    size_t i = map->next;
    struct offload *call = map->calls[i];
    if (!call)
        call = map->calls[i] = new_call(map->lead->payload + map->at, map->lens[i]);
    if (call) {
        call->ticket = map->lead->ticket;
        call->pool = map->lead->pool;
        call->task = map->lead->task;
        call->map = map;
        if (!home && call->pool == POOLS_NONE)
            call->error = run_here(call);
        else
            call->error = hand_over(call);
    }
    if (call && call->error == -EAGAIN && map->n_out > 0)
        return -EAGAIN;
    map->n_out += call && call->error == 0 && home;
    map->at += map->lens[i];
    map->next++;
    return 0;
}

/* As many as may be out; those that fail at once make room for the next. */
static void launch(struct offload_map *map)
{
    if (!offload_is_wanted(map->lead))
        map->next = map->n;
    while (map->next < map->n && map->n_out < map->window && launch_one(map) == 0)
        continue;
    if (map->n_out == 0)
        rmd_complete(map->lead->ticket, give_all, map);
}

static void on_part_done(struct offload_map *map)
{
    map->n_out--;
    launch(map);
}

static void start_map(rmd_request *req, rmd_response *res, void *arg)
{
    (void)req, (void)res;
    struct offload_map *map = arg;
    struct web *web = home;
    map->window = 1;
    if (web) {
        const struct setting_pool *pool = &web->settings->compute_pools.items[map->lead->pool];
        uint64_t most = pool->queue / 4 > 0 ? pool->queue / 4 : 1;
        map->window = (size_t)(2 * pool->workers_max < most ? 2 * pool->workers_max : most);
    }
    launch(map);
}

static struct offload_map *new_map(const rmd_slice *payloads, size_t n)
{
    size_t bytes = 0;
    struct offload_map *map = calloc(1, sizeof *map);
    if (!map)
        return NULL;
    for (size_t i = 0; i < n; i++)
        bytes += payloads[i].len;
    map->n = n;
    map->lens = calloc(n, sizeof map->lens[0]);
    map->calls = calloc(n, sizeof map->calls[0]);
    map->outcomes = calloc(n, sizeof map->outcomes[0]);
    map->lead = calloc(1, sizeof *map->lead);
    if (!map->lens || !map->calls || !map->outcomes || !map->lead ||
        !(map->lead->payload = malloc(bytes > 0 ? bytes : 1))) {
        free_map(map);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (payloads[i].len > 0)
            memcpy(map->lead->payload + map->lead->len, payloads[i].data, payloads[i].len);
        map->lead->len += map->lens[i] = payloads[i].len;
    }
    return map;
}

int rmd_offload_map(rmd_request *req, const char *task, const rmd_slice *payloads, size_t n,
                    unsigned timeout_ms, rmd_mapped done, void *arg)
{
    if (n == 0 || n > MAP_MAX)
        return -EINVAL;
    struct offload_map *map = new_map(payloads, n);
    if (!map)
        return -ENOMEM;
    map->done = done;
    map->lead->arg = arg;
    int rc = ask(req, map->lead, task, timeout_ms, start_map, map);
    if (rc < 0)
        free_map(map);
    return rc;
}
