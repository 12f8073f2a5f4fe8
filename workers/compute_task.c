/* See compute_task.h. Process: compute workers, on the thread of the room. Reading order:
 * compute_task_run() → read_request() → run_handler() → finish(). */
#include "workers/compute_task.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/schedstat.h"
#include "base/title.h"
#include "config/settings.h"
#include "http/conn.h"
#include "http/image.h"
#include "workers/call.h"
#include "workers/confine.h"
#include "workers/crash.h"
#include "workers/entry.h"
#include "workers/measure.h"
#include "workers/pool_map.h"
#include "workers/profiling.h"
#include "workers/web.h"

#define IN_BYTES 4096U /* nothing is ever read into it */
#define LOOK_MS 100    /* how often one who waits for a ticket looks whether anybody else does */

/* A task in hand. */
struct hand {
    struct compute *c;
    const struct task *task;
    int inbox_fd;
    int spool_fd; /* until the exchange has it */
    const struct task_record *record;
    struct exchange *ex; /* NULL: none yet */
    struct compute_held *held;
    struct measure measure;
};

/* ---- set-up ---- */

/* Of the largest body that a route of this pool takes, and of what its tasks are called with, as
 * far as that is known: it comes by a file when a slice has no room for it. */
static uint64_t largest_body(const struct compute *c)
{
    uint64_t largest = 0;
    int pool = (int)(c->pool - c->settings->compute_pools.items);
    for (size_t i = 0; chain_task(c->app, i); i++)
        if (pool_map_of_task(c->settings, chain_task(c->app, i)) == pool)
            largest = c->segment.slice_bytes;
    for (size_t i = 0; i < router_count(c->app->router); i++) {
        const struct route *route = router_route(c->app->router, i);
        uint64_t limit = route->decl->body_limit > 0 ? route->decl->body_limit
                                                     : c->settings->limit_request_body_bytes;
        if (pool_map_of_route(c->settings, route) == pool && limit > largest)
            largest = limit;
    }
    return largest;
}

/* Of the hooks of the connection machine none is called: there is no connection. */
int compute_task_open(struct compute *c, struct err *err)
{
    static const struct conn_hooks none;
    struct http_limits limits;
    web_fill_limits(&limits, c->settings);
    if (conn_env_init(&c->env, &limits, c->app->router, &none, c, IN_BYTES) < 0)
        return err_set(err, ENOMEM, "no memory for the worker's buffers");
    int rc = deferred_open(&c->box);
    if (rc < 0)
        return err_set(err, -rc, "eventfd: %s", strerror(-rc));
    c->env.box = &c->box;
    c->env.id_header = str_of(c->settings->request_id_header);
    compute_reply_init(&c->reply, &c->segment, &c->env.pool);
    compute_spool_open(&c->spool, largest_body(c));
    c->schedstat_fd = schedstat_open(); /* without it the delay of tasks is not known */
    c->is_path_shown = c->settings->proc_title == PROC_TITLE_PATH;
    return 0;
}

void compute_task_drop_late(struct compute *c)
{
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&c->box); d; d = next) {
        next = d->next;
        deferred_give_back(d, false);
    }
}

/* ---- the request ---- */

/* What came is wrong, in the log: the asker has a bug, or its app has written into its memory. */
static int refuse(const struct hand *h, const char *why)
{
    log_error("task refused: what came with it is wrong",
              "why=\"%s\" seat=%u task=%016llx "
              "trace=%.*s",
              why, task_seat_of(h->task->id), (unsigned long long)h->task->id,
              (int)h->task->trace_len, h->task->trace);
    return -EBADMSG;
}

/* The body that does not lie in the image. Returns 0; -errno */
static int find_body(struct hand *h, struct str *out_body)
{
    const struct task *task = h->task;
    struct stat info;
    *out_body = (struct str){0};
    if (task->body == TASK_BODY_SLICE) {
        const struct segment_ref ref = {
            .seat = task_seat_of(task->id), .at = task->body_at, .len = task->body_len};
        const char *at = segment_at(&h->c->segment, ref);
        *out_body = str_make(at, (size_t)task->body_len);
        return at ? 0 : refuse(h, "its body is out of bounds");
    }
    if (task->body != TASK_BODY_SPOOL)
        return 0;
    if (fstat(h->spool_fd, &info) < 0 || !S_ISREG(info.st_mode) ||
        (uint64_t)info.st_size < task->body_len)
        return refuse(h, "its spool file does not hold its body");
    h->ex->body.fd = h->spool_fd; /* for rmd_body_fd() */
    h->spool_fd = -1;
    return compute_spool_map(&h->c->spool, h->ex->body.fd, task->body_len, out_body);
}

static int read_request(struct hand *h)
{
    const struct task *task = h->task;
    struct compute *c = h->c;
    const char *why = NULL;
    struct str body;
    const struct segment_ref ref = {
        .seat = task_seat_of(task->id), .at = task->image_at, .len = task->image_len};
    const char *image = segment_at(&c->segment, ref);
    if (!image)
        return refuse(h, "its image is out of bounds");
    h->ex = exchange_take(&c->env.pool);
    if (!h->ex)
        return -ENOMEM;
    int rc = find_body(h, &body);
    if (rc < 0)
        return rc;
    rc = image_read_request(str_make(image, task->image_len), body, &c->env, h->ex, &why);
    if (rc == -EBADMSG)
        return refuse(h, why);
    const struct route *route = h->ex->req.match.route;
    if (rc == 0 && (!route || route->index != task->route))
        return refuse(h, "it leads to another route than it says");
    if (rc == 0 && !(h->held = compute_reply_reserve(h->ex)))
        rc = -ENOMEM;
    h->ex->req.deadline_us = task->deadline_us;
    h->ex->cancel_word = &h->record->is_cancelled;
    h->ex->wanted_word = &h->record->id;
    h->ex->wanted = task->id;
    h->ex->is_io = h->ex->has_more = true; /* so that all of it is cleared when it is given back */
    return rc;
}

/* ---- the app's turn ---- */

/* The block in which a task counts: that of its route, or behind those that of a function of the
 * task table. It is named now, for those who look at what the worker has in hand, or had. One name
 * at a time: most never come here, and each page of the table is memory.
 * Returns  NULL: there is none */
static struct route_stats *find_stats(struct compute *c, const struct task *task)
{
    size_t n_routes = router_count(c->app->router);
    bool is_call = task->kind == TASK_CALL;
    size_t index = is_call ? n_routes + task->route : task->route;
    const rmd_task *row = is_call ? chain_task(c->app, task->route) : NULL;
    if (index >= c->settings->limit_routes || (is_call ? !row : index >= n_routes))
        return NULL;
    struct route_stats *stats = &c->part.routes[index];
    _Atomic uint32_t *n = &c->part.head->n_account_routes;
    const struct route *route = is_call ? NULL : router_route(c->app->router, index);
    if (stats->name[0] == '\0')
        profiling_name(stats, is_call ? "TASK" : route->method,
                       is_call ? row->name : route->pattern);
    if (index >= atomic_load_explicit(n, memory_order_relaxed))
        atomic_store_explicit(n, (uint32_t)index + 1, memory_order_relaxed);
    return stats;
}

static void enter_app(struct hand *h)
{
    struct request_entry *entry = &h->c->part.head->current;
    entry_fill(entry, &h->ex->req);
    crash_set_request(&h->ex->req);
    atomic_store_explicit(&entry->began_us, clock_now_us(), memory_order_relaxed);
    atomic_store_explicit(&entry->phase, ENTRY_HANDLER, memory_order_release);
    title_mark(true);
    if (h->c->is_path_shown) /* never the query: secrets travel there */
        title_set_detail(str_of(h->ex->req.method), h->ex->req.match.path);
    confine_task(h->c->pool);
    errno = 0; /* what it is when the worker dies tells memory from other causes */
}

/* A task: its name stands where a request's target would. */
static void enter_task(struct hand *h, const rmd_task *row)
{
    struct request_entry *entry = &h->c->part.head->current;
    size_t n = strnlen(row->name, sizeof entry->target);
    entry->route = UINT16_MAX;
    entry->started_us = h->task->started_us;
    entry->trace_len = h->task->trace_len;
    memcpy(entry->trace, h->task->trace, h->task->trace_len);
    memcpy(entry->method, "TASK", 5);
    entry->peer_family = AF_UNSPEC;
    memcpy(entry->target, row->name, n);
    entry->target_len = (uint16_t)n;
    crash_set_request(NULL);
    atomic_store_explicit(&entry->began_us, clock_now_us(), memory_order_relaxed);
    atomic_store_explicit(&entry->phase, ENTRY_HANDLER, memory_order_release);
    title_mark(true);
    if (h->c->is_path_shown)
        title_set_detail(STR("TASK"), str_make(row->name, n));
    confine_task(h->c->pool);
    errno = 0;
}

static void leave_app(struct hand *h)
{
    confine_rest(h->c->pool);
    atomic_store_explicit(&h->c->part.head->current.phase, ENTRY_FREE, memory_order_release);
    title_mark(false);
    if (h->c->is_path_shown)
        title_set_detail((struct str){0}, (struct str){0});
}

/* The ticket of this request, when it is among those that came in; the others are late. */
static struct rmd_deferred *take_ticket(struct hand *h)
{
    struct rmd_deferred *mine = NULL;
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&h->c->box); d; d = next) {
        next = d->next;
        if (d == h->ex->req.deferred)
            mine = d;
        else
            deferred_give_back(d, false);
    }
    return mine;
}

/* Returns 0; -ECANCELED nobody waits any more; -ETIMEDOUT */
static int await_ticket(struct hand *h)
{
    struct exchange *ex = h->ex;
    struct pollfd woken = {.fd = h->c->box.wake_fd, .events = POLLIN};
    for (;;) {
        struct rmd_deferred *ticket = take_ticket(h);
        if (ticket) {
            ex->req.deferred = NULL;
            chain_answer(h->c->app, &ex->req, &ex->res, ticket);
            deferred_give_back(ticket, true);
            return 0;
        }
        if (!task_is_wanted(h->record, h->task->id))
            return -ECANCELED;
        if (clock_now_us() >= h->task->deadline_us)
            return -ETIMEDOUT;
        (void)poll(&woken, 1, LOOK_MS);
    }
}

/* Filters and handler, and what it has put off: the body is here as a whole, so a consumer gets it
 * at once. Returns 0; -errno of await_ticket() */
static int run_handler(struct hand *h)
{
    struct rmd_request *req = &h->ex->req;
    bool has_had_body = false;
    int rc = 0;
    chain_handle(h->c->app, req, &h->ex->res);
    while (rc == 0 && request_is_put_off(req)) {
        if (req->deferred) {
            rc = await_ticket(h);
            continue;
        }
        struct str piece = has_had_body ? STR("") : req->body;
        has_had_body = true;
        if (piece.len == 0)
            req->is_consumed = true;
        chain_consume(h->c->app, req, &h->ex->res, piece);
    }
    return rc;
}

/* ---- the end ---- */

/* Somebody else has answered for it, and this process is about to be killed. */
_Noreturn static void await_kill(void)
{
    for (;;)
        (void)pause();
}

/* Returns 0; -errno of compute_reply_send() */
static int send_answer(const struct hand *h, struct compute_answer *answer)
{
    int rc = compute_reply_send(h->inbox_fd, &answer->frame, answer->file_fd);
    if (rc != -ETOOMANYREFS)
        return rc;
    struct compute_answer failure;
    compute_reply_fail(&h->c->reply, h->task->id, TASK_FAILED, EAGAIN, &failure);
    measure_end(&h->measure, h->task, &failure.frame.reply);
    log_warn("answer by a file refused: too many descriptors of this user are on their way",
             "task=%016llx nofile=%llu does=\"answer 503; raise nofile of the pool, or lower its "
             "queue\"",
             (unsigned long long)h->task->id, (unsigned long long)h->c->pool->nofile);
    return compute_reply_send(h->inbox_fd, &failure.frame, -1);
}

static void finish(struct hand *h, struct compute_answer *answer)
{
    struct compute *c = h->c;
    measure_end(&h->measure, h->task, &answer->frame.reply);
    if (!task_yield(c->part.task, h->task->id))
        await_kill();
    web_count(&c->part.head->tasks, 1);
    measure_note(&h->measure, &c->part, &answer->frame.reply);
    atomic_store_explicit(&c->part.head->copied, c->reply.copied, memory_order_relaxed);
    int rc = send_answer(h, answer);
    if (rc < 0 && rc != -EPIPE) {
        /* The app has closed what is not its own, say. It stays on record: the master tells who
         * asked. */
        log_error("task can't be answered, ending", "reason=\"%s\" task=%016llx", strerror(-rc),
                  (unsigned long long)h->task->id);
        panic_leave("its task could not be answered: has the app closed what is not its own?");
    }
    task_rest(c->part.task);
    compute_spool_unmap(&c->spool); /* what was sent of it is a copy */
    if (h->ex)
        compute_reply_keep(&c->reply, h->record, h->ex, h->held, answer);
    c->lowest_free_fd = fd_lowest_free(h->inbox_fd);
    fd_close(&h->inbox_fd);
    fd_close(&h->spool_fd);
}

/* A request: from its image to what is to be sent behind all else. */
static int run_request(struct hand *h, struct compute_answer *answer)
{
    struct compute *c = h->c;
    int rc = read_request(h);
    if (rc < 0) {
        compute_reply_fail(&c->reply, h->task->id, TASK_FAILED, -rc, answer);
        return rc;
    }
    const struct compute_asker asker = {h->task, h->record, h->inbox_fd};
    enter_app(h);
    rc = run_handler(h);
    if (rc < 0)
        compute_reply_fail(&c->reply, h->task->id, TASK_DROPPED, -rc, answer);
    else if (h->ex->res.kind == RESPONSE_STREAM)
        compute_reply_stream(&c->reply, &asker, h->ex, answer);
    else
        (void)compute_reply_make(&c->reply, &asker, h->ex, answer);
    leave_app(h);
    return 0;
}

/* A call of the app's task table. */
static int run_call(struct hand *h, struct compute_answer *answer)
{
    struct compute *c = h->c;
    const rmd_task *row = chain_task(c->app, h->task->route);
    struct str payload;
    h->ex = exchange_take(&c->env.pool);
    int rc = h->ex ? 0 : -ENOMEM;
    if (rc == 0)
        rc = row ? find_body(h, &payload) : refuse(h, "there is no such task");
    if (rc == 0 && !(h->held = compute_reply_reserve(h->ex)))
        rc = -ENOMEM;
    if (rc < 0) {
        compute_reply_fail(&c->reply, h->task->id, TASK_FAILED, -rc, answer);
        return rc;
    }
    const struct compute_asker asker = {h->task, h->record, h->inbox_fd};
    struct rmd_call call = {.arena = &h->ex->arena, .record = h->record, .task = h->task};
    enter_task(h, row);
    int error = row->run(&call, (rmd_slice){payload.p, payload.len});
    (void)compute_reply_result(&c->reply, &asker, error < 0 ? EINVAL : error, call.result, answer);
    leave_app(h);
    return 0;
}

/* Does anybody wait for it? Of an asker that has died the record stands for a while, but nobody has
 * its inbox to read any more. Where the pool says so, its tasks are finished all the same. */
static bool is_wanted(const struct hand *h)
{
    struct pollfd inbox = {.fd = h->inbox_fd};
    if (!h->record || !task_is_wanted(h->record, h->task->id))
        return false;
    return h->c->pool->on_disconnect == SETTING_ON_DISCONNECT_FINISH || poll(&inbox, 1, 0) <= 0;
}

/* Every worker judges by the tasks that it took itself: a queue that stands is the same for all. */
static bool is_shed(const struct hand *h)
{
    const struct task *task = h->task;
    struct compute *c = h->c;
    uint64_t now_us = h->measure.taken_us;
    struct pollfd queue = {.fd = c->queue_fd, .events = POLLIN};
    struct codel_turn turn = {.target_us = task->queue_target_us,
                              .wait_us = now_us > task->queued_us ? now_us - task->queued_us : 0,
                              .now_us = now_us};
    if (turn.target_us == 0 || task->kind != TASK_REQUEST)
        return false;
    if (turn.wait_us >= turn.target_us)
        turn.is_last = poll(&queue, 1, 0) <= 0;
    return codel_judge(&c->codel, &turn);
}

int compute_task_run(struct compute *c, const struct task *task, int fds[2])
{
    struct compute_answer answer;
    int rc = 0;
    struct hand h = {.c = c,
                     .task = task,
                     .inbox_fd = fds[0],
                     .spool_fd = fds[1],
                     .record = task_record(&c->segment, task->id)};
    measure_begin(&h.measure, &c->part, task, c->schedstat_fd, find_stats(c, task));
    c->env.now_us = h.measure.taken_us;
    if (!task_claim(c->part.task, task->id))
        await_kill();
    if (!is_wanted(&h) || task_is_withdrawn(h.record) || task_is_hopeless(task, h.measure.taken_us))
        compute_reply_fail(&c->reply, task->id, TASK_DROPPED, 0, &answer);
    else if (is_shed(&h))
        compute_reply_fail(&c->reply, task->id, TASK_SHED, 0, &answer);
    else if (task->kind == TASK_REQUEST)
        rc = run_request(&h, &answer);
    else
        rc = run_call(&h, &answer);
    finish(&h, &answer);
    return rc == -ENOMEM ? rc : 0;
}
