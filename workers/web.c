/* The hooks of the connection machine in a worker: every request is written into the shared table
 * before its handler runs, so that the master can say what a worker died of; counters and the
 * access log follow when the answer is complete. */
#include "workers/web.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/title.h"
#include "http/stream.h"
#include "workers/channel.h"
#include "workers/crash.h"
#include "workers/entry.h"
#include "workers/lanes.h"
#include "workers/web_compute.h"
#include "workers/web_io.h"

#define IN_BYTES 32768U
#define LINE_BYTES 16384U /* of a line of the access log in a file: a target and some fields */

void web_fill_limits(struct http_limits *limits, const struct settings *settings)
{
    *limits = (struct http_limits){
        .request_line = (uint32_t)settings->limit_request_line_bytes,
        .fields = settings->limit_request_fields,
        .field_size = (uint32_t)settings->limit_request_field_size_bytes,
        .head = (uint32_t)settings->limit_request_head_bytes,
        .body = settings->limit_request_body_bytes,
        .body_buffer = settings->body_buffer_size_bytes,
        .spool_dir = settings->spool_dir,
        .body_grace_us = settings->body_timeout_us,
        .body_min_rate = (uint32_t)settings->body_min_rate_bytes,
        .pipelined = settings->limit_pipelined,
        .answer_us = settings->request_timeout_us,
    };
}

/* ---- the shared table ---- */

/* Every user of the machine can read titles, and secrets travel in queries: only the path. */
static void show_path(const struct rmd_request *req)
{
    title_set_detail(str_of(req->method), req->match.path.len > 0 ? req->match.path : STR("-"));
}

/* A worker is busy while a handler runs or a request waits for something. */
static inline void show_business(const struct web *web)
{
    title_mark(web->n_free_entries < web->n_inflight);
}

/* From here on the app's code runs for this request, until leave_app(). */
static inline void enter_app(struct web *web, struct rmd_request *req)
{
    struct request_entry *entry = &web->part.head->current;
    entry_fill(entry, req);
    crash_set_request(req);
    atomic_store_explicit(&entry->phase, ENTRY_HANDLER, memory_order_release);
    title_mark(true);
    if (__builtin_expect(web->is_path_shown, false))
        show_path(req);
    profiling_enter(&web->profiling, req, web->env.now_us);
    atomic_store_explicit(&web->part.head->entered_ticks, web->profiling.began_ticks,
                          memory_order_relaxed);
}

/* The loop was with the app for so long. */
static inline void judge_call(struct web *web, struct rmd_request *req, enum loop_call_kind kind,
                              uint64_t held_ticks)
{
    if (__builtin_expect(held_ticks > web->lag.longest_ticks, 0))
        lag_note_longest(web, req, kind, held_ticks);
    if (__builtin_expect(held_ticks > web->lag.slow_ticks, 0))
        lag_judge_slow(web, req, kind, held_ticks);
}

static inline void leave_app(struct web *web, struct rmd_request *req, enum loop_call_kind kind)
{
    uint64_t held_ticks = profiling_leave(&web->profiling);
    atomic_store_explicit(&web->part.head->current.phase, ENTRY_FREE, memory_order_release);
    show_business(web);
    if (__builtin_expect(web->is_path_shown, false))
        title_set_detail((struct str){0}, (struct str){0});
    judge_call(web, req, kind, held_ticks);
}

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    struct web *web = owner;
    if (__builtin_expect(web->mounts.n > 0, 0))
        req->is_static = mounts_choose(&web->mounts, req) != NULL;
    enter_app(web, req);
    chain_handle(web->app, req, res);
    leave_app(web, req, LOOP_CALL_HANDLER);
}

static void on_consume(void *owner, struct rmd_request *req, struct rmd_response *res,
                       struct str piece)
{
    struct web *web = owner;
    enter_app(web, req);
    chain_consume(web->app, req, res, piece);
    leave_app(web, req, LOOP_CALL_CONSUMER);
}

static void on_answer(void *owner, struct rmd_request *req, struct rmd_response *res,
                      const struct rmd_deferred *ticket)
{
    struct web *web = owner;
    enter_app(web, req);
    chain_answer(web->app, req, res, ticket);
    leave_app(web, req, LOOP_CALL_ANSWER);
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    struct web *web = owner;
    enter_app(web, req);
    profiling_disown(&web->profiling);
    chain_error_why(web->app, req, res, status, exchange_of(req)->why);
    leave_app(web, req, LOOP_CALL_ERROR_PAGE);
}

static void on_producing(void *owner, struct rmd_request *req, bool is_about_to)
{
    struct web *web = owner;
    if (is_about_to)
        enter_app(web, req);
    else
        leave_app(web, req, LOOP_CALL_PRODUCER);
}

/* What releases a body, say. It is told like a handler where there is a request to name. */
static void on_settling(void *owner, struct rmd_request *req, bool is_about_to)
{
    struct web *web = owner;
    if (req && is_about_to) {
        enter_app(web, req);
        profiling_disown(&web->profiling);
    } else if (req) {
        leave_app(web, req, LOOP_CALL_DONE);
    } else if (is_about_to) {
        web->lag.settling_ticks = clock_ticks();
    } else {
        judge_call(web, NULL, LOOP_CALL_DONE, clock_ticks() - web->lag.settling_ticks);
    }
}

static enum conn_lane on_choose(void *owner, struct rmd_request *req)
{
    struct exchange *ex = exchange_of(req);
    enum conn_lane lane = lanes_choose(owner, req);
    if (lane == CONN_LANE_LOOP)
        ex->lane = PROFILE_INLINE;
    ex->has_more = true; /* so that it is cleared */
    return lane;
}

static void on_back(void *owner, struct exchange *ex)
{
    struct web *web = owner;
    if (!ex->is_task)
        web_io_on_back(web, ex);
    profiling_note_errand(&web->profiling, ex);
}

/* Loud once: the next request of the same route says the same. */
static void on_paced(void *owner, struct rmd_request *req)
{
    struct web *web = owner;
    char target[LOG_QUOTE_MAX + 8];
    struct str raw = request_target(req);
    log_event(web->has_warned_pace ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
              "producer returns 0 again and again and has written nothing",
              "route=\"%s\" calls=%u does=\"call it every %d ms\" should=\"return how many ms to "
              "wait\" target=%s trace=%s",
              rmd_route_pattern(req), STREAM_EMPTY_MAX, STREAM_PACE_MS,
              log_quote(target, raw.p, raw.len), rmd_trace_id(req));
    web->has_warned_pace = true;
}

static void on_spool_failed(void *owner, struct rmd_request *req, int error)
{
    const struct web *web = owner;
    char target[LOG_QUOTE_MAX + 8];
    struct str raw = request_target(req);
    log_error("request body can't be kept", "reason=\"%s\" spool_dir=\"%s\" target=%s trace=%s",
              strerror(-error), web->settings->spool_dir ? web->settings->spool_dir : "(memory)",
              log_quote(target, raw.p, raw.len), rmd_trace_id(req));
}

static void on_given_up(void *owner, const struct peer *peer)
{
    (void)owner;
    char text[PEER_TEXT_MAX];
    (void)request_format_peer(peer, true, text);
    log_error("connection closed: no memory for its request", "peer=%s", text);
}

/* Loud once: whoever connects can make more of these. */
static void on_proxy_refused(void *owner, const struct peer *peer, const char *reason)
{
    struct web *web = owner;
    char text[PEER_TEXT_MAX];
    (void)request_format_peer(peer, true, text);
    log_event(web->has_warned_proxy ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
              "connection closed: no PROXY protocol header that is allowed",
              "peer=%s reason=\"%s\"", text, reason);
    web->has_warned_proxy = true;
}

static void show_inflight(struct web *web)
{
    atomic_store_explicit(&web->part.head->n_inflight, web->n_inflight - web->n_free_entries,
                          memory_order_relaxed);
}

static void on_parked(void *owner, struct rmd_request *req)
{
    struct web *web = owner;
    if (req->board_entry == WEB_NO_ENTRY) {
        if (web->n_free_entries == 0)
            return; /* more requests wait than the table can name: served all the same */
        req->board_entry = web->free_entries[--web->n_free_entries];
        entry_fill(&web->part.inflight[req->board_entry], req);
    }
    struct request_entry *entry = &web->part.inflight[req->board_entry];
    atomic_store_explicit(&entry->phase, req->deferred ? ENTRY_DEFERRED : ENTRY_STREAM,
                          memory_order_release);
    show_business(web);
    show_inflight(web);
}

/* ---- the access log ---- */

static struct str find_request_header(void *context, struct str name)
{
    const struct rmd_request *req = context;
    const struct field *field = req->base ? request_find(req, name, NULL) : NULL;
    return field ? request_value(req, field) : (struct str){0};
}

static struct str find_response_header(void *context, struct str name)
{
    const struct rmd_request *req = context;
    if (str_is_equal_nocase(name, STR("content-type")))
        return req->res->type;
    const struct response_field *field = response_find(req->res, name);
    return field ? field->value : (struct str){0};
}

/* Of a request of the compute lane; what nothing was said of ended with its client. */
static const struct access_task *task_of(const struct rmd_request *req)
{
    static const struct access_task cancelled = {.end = "cancelled"};
    const struct exchange *ex = exchange_of(req);
    return ex->used ? ex->used : ex->is_task ? &cancelled : NULL;
}

static void log_access(struct web *web, struct rmd_request *req, struct rmd_response *res)
{
    uint64_t now_us = clock_now_us();
    char peer[PEER_TEXT_MAX];
    size_t peer_len = request_format_peer(&req->peer, false, peer);
    bool is_known = req->head.bytes > 0;
    struct access_entry entry = {
        .peer_address = peer_len > 0 ? str_make(peer, peer_len) : STR("-"),
        .method = str_of(req->method),
        .target = is_known ? request_target(req) : (struct str){0},
        .protocol = !is_known              ? (struct str){0}
                    : req->head.minor == 0 ? STR("HTTP/1.0")
                                           : STR("HTTP/1.1"),
        .path = req->match.path,
        .query = req->query,
        .status = res->status,
        .body_bytes = res->body_sent,
        .elapsed_us = now_us > req->started_us ? now_us - req->started_us : 0,
        .wall_us = (int64_t)now_us + web->wall_offset_us,
        .pid = getpid(),
        .trace_id = access_has_trace(web->access) ? request_trace_id(req) : (struct str){0},
        .task = task_of(req),
        .request_header = find_request_header,
        .response_header = find_response_header,
        .context = req,
    };
    _Atomic uint32_t *len = &web->part.head->batch_len;
    uint32_t used = atomic_load_explicit(len, memory_order_relaxed);
    if (SCOREBOARD_BATCH_BYTES - used < web->access_line_bytes) {
        web_flush_access(web);
        used = 0;
    }
    size_t n = access_render(web->access, &entry, web->part.batch + used, web->access_line_bytes);
    /* Released after the bytes: the master reads so many when this process is dead. */
    atomic_store_explicit(len, used + (uint32_t)n, memory_order_release);
}

void web_on_access_opened(struct web *web)
{
    struct stat st;
    bool is_file = fstat(web->access_fd, &st) == 0 && S_ISREG(st.st_mode);
    web->access_line_bytes = is_file ? LINE_BYTES : PIPE_BUF;
}

void web_flush_access(struct web *web)
{
    if (web->access_fd < 0)
        return;
    _Atomic uint32_t *len = &web->part.head->batch_len;
    uint32_t used = atomic_load_explicit(len, memory_order_relaxed);
    if (used == 0)
        return;
    size_t written = log_write(web->access_fd, web->part.batch, used);
    if (written < used) {
        if (atomic_load_explicit(&web->part.head->log_dropped, memory_order_relaxed) == 0)
            log_warn("access log does not take all lines, the rest is counted and dropped",
                     "bytes=%u", used - (uint32_t)written);
        web_count(&web->part.head->log_dropped, used - (uint32_t)written);
    }
    atomic_store_explicit(len, 0, memory_order_release);
}

/* ---- an answer is complete ---- */

static void count_latency(struct web *web, uint64_t now_us)
{
    for (uint32_t i = 0; i < web->n_answered; i++) {
        uint64_t began_us = web->answered_us[i];
        if (began_us == 0 || began_us > now_us)
            continue;
        unsigned bucket = meter_bucket(now_us - began_us);
        web_count(&web->part.head->latency[bucket], 1);
        web_count(&web->answered[i]->latency[bucket], 1);
        web_count(&web->answered[i]->latency_us, now_us - began_us);
    }
    web->n_answered = 0;
}

static inline void note_answered(struct web *web, const struct rmd_request *req,
                                 struct route_stats *stats)
{
    if (web->n_answered == WEB_ANSWERED_MAX)
        count_latency(web, clock_now_us());
    web->answered[web->n_answered] = stats;
    web->answered_us[web->n_answered++] = req->started_us;
}

void web_on_turn_ended(struct web *web, uint64_t now_us)
{
    uint64_t turn_us = now_us > web->env.now_us ? now_us - web->env.now_us : 0;
    if (turn_us > web->lag.turn_us)
        web->lag.turn_us = turn_us;
    if (web->n_answered > 0)
        count_latency(web, now_us);
}

static void count_answer(struct web *web, struct rmd_request *req, const struct rmd_response *res)
{
    struct seat_head *head = web->part.head;
    struct route_stats *stats = profiling_block(&web->profiling, req);
    const unsigned class = (unsigned)res->status / 100;
    note_answered(web, req, stats);
    web_count(&head->requests, 1);
    web_count(&head->responses[class], 1);
    profiling_answered(&web->profiling, stats, req, web->env.now_us, web->wall_offset_us);
    web_count(&stats->requests, 1);
    web_count(profiling_answers(stats, req) + class, 1);
    if (class == 5 || class == 0)
        web_count(&stats->errors, 1);
}

static void on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    struct web *web = owner;
    if (!web->is_rehearsing)
        count_answer(web, req, res);
    if (req->board_entry != WEB_NO_ENTRY) {
        atomic_store_explicit(&web->part.inflight[req->board_entry].phase, ENTRY_FREE,
                              memory_order_release);
        web->free_entries[web->n_free_entries++] = req->board_entry;
        req->board_entry = WEB_NO_ENTRY;
        show_business(web);
        show_inflight(web);
    }
    if (web->access && !web->is_rehearsing)
        log_access(web, req, res);
}

void web_end_rehearsal(struct web *web)
{
    struct seat_head *head = web->part.head;
    web->is_rehearsing = false;
    profiling_clear(&web->profiling);
    atomic_store_explicit(&head->accepted, 0, memory_order_relaxed);
    atomic_store_explicit(&head->bytes_in, 0, memory_order_relaxed);
    atomic_store_explicit(&head->bytes_out, 0, memory_order_relaxed);
}

/* ---- whom to believe ---- */

/* Gunicorn's three, or those of the YAML. Returns 0; -ENOMEM */
static int fill_schemes(struct web *web)
{
    const struct settings_node *map = web->settings->secure_scheme_headers;
    size_t n = 0;
    if (map->n == 0)
        return 0;
    web->schemes = calloc(map->n, sizeof web->schemes[0]);
    if (!web->schemes)
        return -ENOMEM;
    for (const struct settings_node *node = map->first; node; node = node->next)
        web->schemes[n++] =
            (struct forwarded_scheme){str_of(node->key), str_make(node->text, node->len)};
    return 0;
}

static int fill_trust(struct web *web)
{
    static const enum forwarded_look looks[] = {
        [FORWARDED_HEADER_ANY] = FORWARDED_LOOK_ANY,
        [FORWARDED_HEADER_RFC7239] = FORWARDED_LOOK_RFC7239,
        [FORWARDED_HEADER_X] = FORWARDED_LOOK_X,
    };
    static const enum proxy_version versions[] = {
        [PROXY_PROTOCOL_OFF] = PROXY_VERSION_ANY,
        [PROXY_PROTOCOL_V1] = PROXY_VERSION_1,
        [PROXY_PROTOCOL_V2] = PROXY_VERSION_2,
        [PROXY_PROTOCOL_AUTO] = PROXY_VERSION_ANY,
    };
    const struct settings *settings = web->settings;
    int rc = fill_schemes(web);
    forwarded_rules_init(&web->forwarded, &settings->forwarded_allow_ips, web->schemes,
                         web->schemes ? settings->secure_scheme_headers->n : 0,
                         looks[settings->forwarded_header]);
    if (settings->deadline_header[0])
        forwarded_rules_watch_deadline(&web->forwarded, str_of(settings->deadline_header));
    web->env.forwarded = &web->forwarded;
    web->env.proxy_version = versions[settings->proxy_protocol];
    if (settings->proxy_protocol != PROXY_PROTOCOL_OFF)
        web->env.proxies = &settings->proxy_allow_ips;
    web->env.id_header = str_of(settings->request_id_header);
    return rc;
}

/* ---- a worker's life ---- */

void web_show_state(const struct settings *settings, const struct heritage *heritage,
                    const char *state)
{
    const char *shown = settings->proc_title == PROC_TITLE_NAME ? NULL : state;
    if (heritage)
        title_set(settings->proc_name, shown, "web worker %d gen %d", heritage->slot,
                  heritage->generation);
    else
        title_set(settings->proc_name, shown, "single process");
}

/* What may be refused; web_fini() gives back what was there by then. */
static int open_parts(struct web *web, struct err *err)
{
    static const struct conn_hooks hooks = {.handle = on_handle,
                                            .consume = on_consume,
                                            .answer = on_answer,
                                            .error = on_error,
                                            .producing = on_producing,
                                            .settling = on_settling,
                                            .paced = on_paced,
                                            .spool_failed = on_spool_failed,
                                            .proxy_refused = on_proxy_refused,
                                            .given_up = on_given_up,
                                            .finished = on_finished,
                                            .parked = on_parked,
                                            .choose = on_choose,
                                            .send = lanes_send,
                                            .back = on_back,
                                            .recall = lanes_recall,
                                            .overdue = lanes_overdue};
    const struct settings *settings = web->settings;
    const struct app *app = web->app;
    struct http_limits limits;
    web_fill_limits(&limits, settings);
    int rc = conn_env_init(&web->env, &limits, app->router, &hooks, web, IN_BYTES);
    if (rc == 0)
        rc = fill_trust(web);
    web->free_entries = calloc(web->n_inflight, sizeof web->free_entries[0]);
    if (rc < 0 || !web->free_entries)
        return err_set(err, ENOMEM, "no memory for the worker's buffers");
    rc = deferred_open(&web->box);
    if (rc < 0)
        return err_set(err, -rc, "eventfd: %s", strerror(-rc));
    web->env.box = &web->box;
    rc = mounts_open(&web->mounts, settings, &app->mime, err);
    if (rc < 0)
        return rc;
    chain_set_mounts(web->mounts.n > 0 ? &web->mounts : NULL);
    while (web->n_free_entries < web->n_inflight) {
        web->free_entries[web->n_free_entries] = web->n_inflight - 1 - web->n_free_entries;
        web->n_free_entries++;
    }
    if (web->access_fd >= 0) {
        rc = access_format_new(settings->access_log_format, &web->access, err);
        if (rc < 0)
            return rc;
        web_on_access_opened(web);
    }
    return 0;
}

int web_init(struct web *web, const struct settings *settings, const struct app *app,
             const struct scoreboard_part *part, uint32_t n_inflight, uint32_t n_routes,
             int access_fd, struct err *err)
{
    *web = (struct web){.settings = settings,
                        .app = app,
                        .part = *part,
                        .n_inflight = n_inflight,
                        .n_routes = n_routes,
                        .access_fd = access_fd,
                        .health_path =
                            str_make(settings->health_check, strcspn(settings->health_check, "?")),
                        .server_header = str_of(settings->server_header),
                        .is_path_shown = settings->proc_title == PROC_TITLE_PATH};
    int rc = open_parts(web, err);
    if (rc < 0) {
        web_fini(web);
        return rc;
    }
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = clock_now_us() ^ ((uint64_t)getpid() << 32);
    conn_env_set_seed(&web->env, seed);
    recycle_init(&web->recycle, settings, clock_now_us(), seed);
    web->env.is_keep_alive_off = settings->keepalive_us == 0;
    web->has_loop = settings->worker_class == WORKER_CLASS_EVENT;
    web->began_us = clock_now_us();
    web->began_ticks = clock_ticks();
    profiling_init(&web->profiling, app, part, n_routes);
    web_on_tick(web);
    web_on_turn(web, clock_now_us());
    return 0;
}

void web_fini(struct web *web)
{
    web_compute_close(web);
    web_flush_access(web);
    if (web->env.box)
        deferred_close(web->env.box);
    conn_env_fini(&web->env);
    access_format_free(web->access);
    web->access = NULL;
    free(web->free_entries);
    web->free_entries = NULL;
    chain_set_mounts(NULL);
    mounts_close(&web->mounts);
    free(web->schemes);
    web->schemes = NULL;
    profiling_fini(&web->profiling);
}

void web_on_tick(struct web *web)
{
    web->wall_offset_us = (int64_t)clock_wall_us() - (int64_t)clock_now_us();
    web_io_on_tick(web);
    web_compute_on_tick(web);
    lag_on_tick(web, web->env.now_us);
    exchange_shed(&web->env.pool);
}

void web_check_memory(struct web *web)
{
    uint64_t limit_bytes = web->settings->max_rss_bytes;
    uint64_t rss_bytes = limit_bytes > 0 ? recycle_read_rss() : 0;
    if (rss_bytes > 0 && recycle_give_up_rss(&web->recycle, rss_bytes))
        log_warn("max_rss has no effect, since a new worker has more",
                 "max_rss_kib=%" PRIu64 " rss_kib=%" PRIu64, limit_bytes / 1024, rss_bytes / 1024);
}

void web_tell_if_worn(struct web *web, const struct heritage *heritage, uint64_t rss_bytes)
{
    char why[MSG_TEXT_MAX];
    if (!recycle_judge(&web->recycle, web_count_requests(web), rss_bytes, web->env.now_us, why))
        return;
    if (!heritage) /* else it is the master's to log, with what it does about it */
        log_notice("worker is worn", "why=\"%s\" does=\"nothing: there is no other process\"", why);
    channel_tell(heritage, MSG_WORN, NULL, getpid(), 0, why);
}

void web_on_turn(struct web *web, uint64_t now_us)
{
    /* Never back: a timer of libev's may have come a moment early, and then the turn before was
     * taken to be at the moment that it was set for (client.c). What began then would be older than
     * the world: 408 for a body that has just begun. */
    if (now_us < web->env.now_us)
        now_us = web->env.now_us;
    web->env.now_us = now_us;
    web->profiling.example_us = PROFILING_SLOW_US;
    if (__builtin_expect(web->profiling.tick_ns == 0, 0)) /* it is the first ones */
        lag_measure_ticks(web, now_us);
    atomic_store_explicit(&web->part.head->heartbeat_us, now_us, memory_order_relaxed);
    conn_env_set_time(&web->env, ((int64_t)now_us + web->wall_offset_us) / (int64_t)CLOCK_US_PER_S,
                      web->server_header);
}
