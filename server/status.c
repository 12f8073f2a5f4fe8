/* The status of the server. Process: master, on a control client's request.
 *
 * Counters of the living are read from the shared table while they change; each stands for itself,
 * so sums may be off by the requests of this moment. What the master knows itself (pids, phases,
 * slots) comes from its private memory. */
#include "server/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "config/settings.h"
#include "ipc/breaker.h"
#include "server/accounts.h"
#include "server/listen.h"
#include "server/profiles.h"
#include "server/reload.h"
#include "server/sums.h"
#include "server/tasks.h"
#include "server/upgrade.h"
#include "base/usage.h"

#define ROUTE_NAME_BYTES sizeof(((struct route_stats *)0)->name)

static uint64_t read_u64(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void tell_responses(struct json_out *out, const uint64_t responses[6])
{
    static const char *const names[6] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    json_out_open(out, "responses", '{');
    for (size_t i = 0; i < 6; i++)
        json_out_u64(out, names[i], responses[i]);
    json_out_close(out, '}');
}

/* As the admin process does: who hangs is not ready. */
static uint64_t count_hung(const struct generation *g)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->n_workers; i++) {
        const struct seat *seat = generation_worker(g, i);
        n += seat && seat->phase == SEAT_READY && seat->is_hung;
    }
    return n;
}

static void tell_server(const struct status_about *about, struct json_out *out)
{
    static const char *const stages[] = {[DECIDE_RUNNING] = "running",
                                         [DECIDE_GRACEFUL] = "stopping gracefully",
                                         [DECIDE_QUICK] = "stopping",
                                         [DECIDE_AT_ONCE] = "killing"};
    const struct herd *herd = about->herd;
    const struct settings *settings = herd->current->settings;
    const struct scoreboard_head *board = (const void *)herd->board.base;
    const struct totals *sums = herd->sums;
    uint64_t connections = sums_add_up(herd);
    uint64_t n_hung = count_hung(herd->current);
    struct usage usage;
    if (usage_read(about->pid, &usage) < 0)
        usage = (struct usage){0}; /* no /proc */
    json_out_u64(out, "pid", (uint64_t)about->pid);
    json_out_text(out, "state",
                  herd->leaves_us != 0 ? STR("leaving") : str_of(stages[herd->stage]));
    json_out_u64(out, "uptime_ms", (herd->now_us - board->started_us) / CLOCK_US_PER_MS);
    json_out_u64(out, "generation", (uint64_t)herd->current->number);
    json_out_text(out, "app", str_of(settings->app));
    if (settings->file)
        json_out_text(out, "config", str_of(settings->file));
    else
        json_out_null(out, "config");
    json_out_text(out, "control_socket", str_of(about->control_path));
    json_out_open(out, "binds", '[');
    for (uint32_t i = 0; i < about->listeners->n_addresses; i++)
        if (about->listeners->addresses[i].text[0])
            json_out_text(out, NULL, str_of(about->listeners->addresses[i].text));
    json_out_close(out, ']');
    json_out_u64(out, "workers_wanted", herd->current->n_workers);
    json_out_u64(out, "workers_min", generation_workers_min(herd->current));
    json_out_u64(out, "workers_max", herd->current->web.n_max);
    json_out_u64(out, "workers_ready", generation_count_ready(herd->current) - n_hung);
    json_out_u64(out, "workers_hung", n_hung);
    json_out_u64(out, "rss_bytes", usage.rss_bytes);
    json_out_u64(out, "cpu_ms", usage.cpu_ms);
    json_out_u64(out, "connections", connections);
    json_out_u64(out, "accepted", sums->accepted);
    json_out_u64(out, "requests", sums->requests);
    tell_responses(out, sums->responses);
    json_out_u64(out, "bytes_in", sums->bytes_in);
    json_out_u64(out, "bytes_out", sums->bytes_out);
    json_out_u64(out, "log_dropped_bytes", sums->log_dropped);
    json_out_u64(out, "refused", sums->refused);
    json_out_u64(out, "shed", sums->shed);
    json_out_u64(out, "overdue", sums->overdue);
    json_out_u64(out, "slow", sums->slow);
    json_out_u64(out, "tasks", sums->tasks);
    json_out_u64(out, "copied_bytes", sums->copied);
}

/* The latest: one that goes on, else the one that ended last. */
static void tell_reload(const struct status_about *about, struct json_out *out)
{
    const struct reload_result *last = reload_last(about->reload);
    bool is_running = reload_is_building(about->herd);
    if (!is_running && last->number == 0) {
        json_out_null(out, "last_reload");
        return;
    }
    int64_t age_us = (int64_t)clock_wall_us() - last->ended_wall_us;
    json_out_open(out, "last_reload", '{');
    json_out_u64(out, "number", is_running ? about->reload->n_begun : last->number);
    json_out_text(out, "outcome",
                  is_running ? STR("running") : str_of(reload_outcome_names[last->outcome]));
    if (is_running) {
        json_out_u64(out, "generation", (uint64_t)about->herd->candidate->number);
    } else {
        json_out_u64(out, "generation", (uint64_t)last->generation);
        json_out_u64(out, "ms", last->took_us / CLOCK_US_PER_MS);
        json_out_u64(out, "age_ms", age_us > 0 ? (uint64_t)age_us / CLOCK_US_PER_MS : 0);
        if (last->why[0])
            json_out_text(out, "error", str_of(last->why));
    }
    json_out_close(out, '}');
}

static void tell_upgrade(const struct upgrade *upgrade, struct json_out *out)
{
    const struct upgrade_result *last = &upgrade->last;
    bool is_running = upgrade->stage == UPGRADE_BOOTING;
    if (!is_running && last->number == 0) {
        json_out_null(out, "last_upgrade");
        return;
    }
    json_out_open(out, "last_upgrade", '{');
    json_out_text(out, "outcome",
                  is_running ? STR("running") : str_of(upgrade_outcome_names[last->outcome]));
    json_out_u64(out, "pid", (uint64_t)(is_running ? upgrade->pid : last->pid));
    if (!is_running && last->why[0])
        json_out_text(out, "error", str_of(last->why));
    json_out_close(out, '}');
}

/* ---- One worker */

const char *status_word(const struct seat *seat, bool has_request)
{
    switch (seat->phase) {
    case SEAT_FORKING:
    case SEAT_BOOTING:
        return "booting";
    case SEAT_READY:
        return seat->is_hung ? "hung" : seat->is_full ? "full" : has_request ? "busy" : "idle";
    case SEAT_DRAINING:
    case SEAT_DRAINED:
        return "draining";
    case SEAT_ABORTED:
    case SEAT_KILLED:
        return "killed";
    default:
        return "ending";
    }
}

/* The request that is in hand: the one whose handler runs, else the oldest that waits. Returns
 * false: there is none */
static bool find_request(const struct herd *herd, const struct scoreboard_part *part,
                         struct request_entry *out)
{
    if (scoreboard_read_entry(&part->head->current, out))
        return true;
    uint32_t n_left = atomic_load_explicit(&part->head->n_inflight, memory_order_relaxed);
    bool is_found = false;
    for (uint32_t i = 0; n_left > 0 && i < herd->board.n_inflight; i++) {
        struct request_entry entry;
        if (!scoreboard_read_entry(&part->inflight[i], &entry))
            continue;
        n_left--;
        if (!is_found || entry.started_us < out->started_us)
            *out = entry;
        is_found = true;
    }
    return is_found;
}

static void tell_request(const struct herd *herd, const struct scoreboard_part *part,
                         const struct request_entry *entry, struct json_out *out)
{
    char peer[SCOREBOARD_PEER_MAX];
    char route[sizeof part->routes->name] = "";
    if (entry->route < herd->board.n_routes) {
        memcpy(route, part->routes[entry->route].name, sizeof route);
        route[sizeof route - 1] = '\0';
    }
    scoreboard_peer(entry, peer);
    bool is_past = entry->started_us != 0 && entry->started_us <= herd->now_us;
    uint64_t elapsed_us = is_past ? herd->now_us - entry->started_us : 0;
    json_out_open(out, "request", '{');
    json_out_text(out, "route", str_of(route));
    json_out_text(out, "method", str_of(entry->method));
    json_out_text(out, "target", str_make(entry->target, entry->target_len));
    json_out_text(out, "peer", str_of(peer));
    json_out_text(out, "trace", str_make(entry->trace, entry->trace_len));
    json_out_text(out, "phase", str_of(scoreboard_phase(entry)));
    json_out_u64(out, "elapsed_ms", elapsed_us / CLOCK_US_PER_MS);
    json_out_close(out, '}');
}

static void tell_latency(const struct seat_head *head, struct json_out *out)
{
    json_out_open(out, "latency_counts", '[');
    for (size_t i = 0; i < METER_BUCKETS; i++)
        json_out_u64(out, NULL, read_u64(&head->latency[i]));
    json_out_close(out, ']');
}

/* What there is to tell of any worker. */
static void tell_seat(const struct herd *herd, const struct seat *seat, bool is_busy,
                      struct json_out *out)
{
    struct usage usage;
    uint64_t silent_us = seat->heartbeat_us > 0 ? herd->now_us - seat->heartbeat_us : 0;
    if (seat->pid == 0 || usage_read(seat->pid, &usage) < 0)
        usage = (struct usage){0}; /* it is gone, or there is no /proc */
    json_out_u64(out, "slot", (uint64_t)seat->slot);
    json_out_u64(out, "pid", (uint64_t)seat->pid);
    json_out_u64(out, "generation", (uint64_t)seat->generation);
    json_out_u64(out, "seat", seat->number);
    json_out_u64(out, "epoch", seat->epoch);
    json_out_text(out, "state", str_of(status_word(seat, is_busy)));
    json_out_u64(out, "uptime_ms", (herd->now_us - seat->born_us) / CLOCK_US_PER_MS);
    json_out_u64(out, "silent_ms", silent_us / CLOCK_US_PER_MS);
    json_out_u64(out, "rss_bytes", usage.rss_bytes);
    json_out_u64(out, "cpu_ms", usage.cpu_ms);
}

/* Nothing in it is believed but that it is text. */
static void tell_call(const struct herd *herd, const struct scoreboard_part *part, const char *name,
                      const struct loop_call *call, struct json_out *out)
{
    uint64_t us = read_u64(&call->us), at_us = read_u64(&call->at_us);
    uint32_t route = atomic_load_explicit(&call->route, memory_order_relaxed);
    uint32_t kind = atomic_load_explicit(&call->kind, memory_order_relaxed);
    char text[ROUTE_NAME_BYTES] = "";
    if (us == 0) {
        json_out_null(out, name);
        return;
    }
    if (route < herd->board.n_routes)
        memcpy(text, part->routes[route].name, ROUTE_NAME_BYTES - 1);
    text[ROUTE_NAME_BYTES - 1] = '\0';
    json_out_open(out, name, '{');
    json_out_text(out, "route", str_of(text));
    json_out_text(out, "callback",
                  str_of(kind < LOOP_CALL_KINDS ? scoreboard_call_names[kind] : "?"));
    json_out_u64(out, "us", us);
    json_out_u64(out, "age_ms",
                 herd->now_us > at_us ? (herd->now_us - at_us) / CLOCK_US_PER_MS : 0);
    json_out_close(out, '}');
}

/* A worker of class sync has no loop: what it does takes as long as it takes. */
static void tell_lag(const struct generation *g, const struct seat_head *head, struct json_out *out)
{
    if (g->settings->worker_class == WORKER_CLASS_SYNC) {
        json_out_null(out, "lag_us");
        json_out_null(out, "drift_us");
        return;
    }
    json_out_u64(out, "lag_us", atomic_load_explicit(&head->lag_us, memory_order_relaxed));
    json_out_u64(out, "drift_us", atomic_load_explicit(&head->drift_us, memory_order_relaxed));
}

static void tell_worker(const struct herd *herd, const struct seat *seat, struct json_out *out)
{
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    const struct seat_head *head = part.head;
    struct request_entry request;
    bool has_request = find_request(herd, &part, &request);
    json_out_open(out, NULL, '{');
    tell_seat(herd, seat, has_request, out);
    json_out_u64(out, "connections", read_u64(&head->connections));
    json_out_u64(out, "accepted", read_u64(&head->accepted));
    json_out_u64(out, "requests", read_u64(&head->requests));
    json_out_u64(out, "inflight", atomic_load_explicit(&head->n_inflight, memory_order_relaxed));
    json_out_u64(out, "bytes_in", read_u64(&head->bytes_in));
    json_out_u64(out, "bytes_out", read_u64(&head->bytes_out));
    tell_lag(herd_generation(herd, seat), head, out);
    json_out_u64(out, "io_threads", atomic_load_explicit(&head->io_threads, memory_order_relaxed));
    json_out_u64(out, "io_queued", atomic_load_explicit(&head->io_queued, memory_order_relaxed));
    json_out_u64(out, "copied_bytes", read_u64(&head->copied));
    tell_latency(head, out);
    tell_call(herd, &part, "longest_call", &head->longest, out);
    tell_call(herd, &part, "longest_call_ever", &head->longest_ever, out);
    if (has_request)
        tell_request(herd, &part, &request, out);
    else
        json_out_null(out, "request");
    json_out_close(out, '}');
}

static int count_slots(const struct slots *slots, enum role role, int pool)
{
    int n = 0;
    for (uint32_t i = 0; i < slots->n_used; i++) {
        const struct seat *seat = &slots->seats[i];
        if (seat->phase != SEAT_FREE && seat->role == role && seat->pool == pool && seat->slot >= n)
            n = seat->slot + 1;
    }
    return n;
}

/* In the order of slots; of one slot the oldest first, so that lines keep their places. */
static void tell_workers(const struct herd *herd, struct json_out *out)
{
    const struct slots *slots = &herd->slots;
    int n_slots = count_slots(slots, ROLE_WEB, -1);
    json_out_open(out, "workers", '[');
    for (int slot = 0; slot < n_slots; slot++)
        for (uint32_t i = 0; i < slots->n_used; i++)
            if (slots->seats[i].phase != SEAT_FREE && slots->seats[i].phase != SEAT_BURIED &&
                slots->seats[i].role == ROLE_WEB && slots->seats[i].slot == slot)
                tell_worker(herd, &slots->seats[i], out);
    json_out_close(out, ']');
}

static void tell_loaders(const struct herd *herd, struct json_out *out)
{
    json_out_open(out, "loaders", '[');
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->phase == SEAT_FREE || seat->role != ROLE_LOADER)
            continue;
        json_out_open(out, NULL, '{');
        json_out_u64(out, "pid", (uint64_t)seat->pid);
        json_out_u64(out, "generation", (uint64_t)seat->generation);
        json_out_text(out, "state",
                      str_of(seat->phase == SEAT_READY ? "ready" : status_word(seat, false)));
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}

/* null: the settings have none */
static void tell_admin(const struct herd *herd, const struct listen_set *listeners,
                       struct json_out *out)
{
    struct usage usage;
    if (!listeners || listeners->n == 0) {
        json_out_null(out, "admin");
        return;
    }
    if (herd->admin_pid == 0 || usage_read(herd->admin_pid, &usage) < 0)
        usage = (struct usage){0};
    json_out_open(out, "admin", '{');
    json_out_u64(out, "pid", (uint64_t)herd->admin_pid);
    json_out_open(out, "binds", '[');
    for (uint32_t i = 0; i < listeners->n_addresses; i++)
        if (listeners->addresses[i].text[0])
            json_out_text(out, NULL, str_of(listeners->addresses[i].text));
    json_out_close(out, ']');
    json_out_u64(out, "rss_bytes", usage.rss_bytes);
    json_out_u64(out, "cpu_ms", usage.cpu_ms);
    json_out_close(out, '}');
}

/* ---- Routes, and what tasks have used */

static void tell_account(const struct account_sums *account, struct json_out *out)
{
    json_out_open(out, "tasks", '{');
    for (size_t i = 0; i < ACCOUNT_NUMBERS; i++)
        json_out_u64(out, account_names[i], account->numbers[i]);
    json_out_close(out, '}');
}

/* What its calls took, in each lane that it was called in. */
static void tell_lanes(const struct totals_route *route, struct json_out *out)
{
    json_out_open(out, "lanes", '{');
    for (int i = 0; i < PROFILE_LANES; i++) {
        const struct profile_sums *sums = &route->lanes[i];
        if (sums->calls == 0)
            continue;
        json_out_open(out, profile_lane_names[i], '{');
        profiles_tell_sums(sums, out);
        json_out_close(out, '}');
    }
    json_out_close(out, '}');
}

/* Of one whose lane is auto: where it runs now. */
static void tell_auto(const struct generation *g, const char *name, struct json_out *out)
{
    const struct lane_route *route = lane_table_find(&g->lanes, name);
    if (!route)
        return;
    json_out_text(out, "auto_lane", str_of(profile_lane_names[route->state.lane]));
    json_out_u64(out, "auto_wait_us", (uint64_t)route->state.wait_us);
    json_out_u64(out, "auto_cpu_us", (uint64_t)route->state.cpu_us);
}

/* Those of which anything was counted. */
static void tell_routes(const struct herd *herd, struct json_out *out)
{
    const struct totals *sums = herd->sums;
    json_out_open(out, "routes", '[');
    for (uint32_t i = 0; i < sums->n_routes; i++) {
        const struct totals_route *route = &sums->routes[i];
        bool has_tasks = account_tasks(&route->account) > 0;
        if (!has_tasks && !totals_is_used(route))
            continue;
        json_out_open(out, NULL, '{');
        json_out_text(out, "route", str_of(route->name));
        json_out_u64(out, "requests", route->requests);
        json_out_u64(out, "errors", route->errors);
        tell_lanes(route, out);
        tell_auto(herd->current, route->name, out);
        if (has_tasks)
            tell_account(&route->account, out);
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}

/* ---- Compute pools */

static void tell_pools(const struct pools *pools, const struct totals *sums, struct json_out *out)
{
    static const struct account_sums none;
    json_out_open(out, "pools", '[');
    for (uint32_t i = 0; i < pools->n; i++) {
        const struct pool *pool = &pools->items[i];
        int n_queued = pools_is_used(pools, (int)i) ? task_count_queued(&pool->queue) : -1;
        if (n_queued < 0)
            continue;
        json_out_open(out, NULL, '{');
        json_out_text(out, "name", str_of(pool->settings->name));
        json_out_u64(out, "workers_wanted", pool->n_workers);
        json_out_u64(out, "workers_ready", pools_count_ready_of(pool));
        json_out_u64(out, "workers_min", pool->n_min);
        json_out_u64(out, "workers_max", pool->n_max);
        json_out_u64(out, "queued", (uint64_t)n_queued);
        json_out_u64(out, "queue", pool->queue.limit);
        json_out_u64(out, "memory_limit_bytes", pool->settings->memory_limit_bytes);
        const struct totals_pool *used = totals_find_pool(sums, pool->settings->name);
        tell_account(used ? &used->account : &none, out);
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}

/* ---- Decisions */

/* The last one first. */
static void tell_decisions(const struct herd *herd, struct json_out *out)
{
    const struct decision *d;
    json_out_open(out, "decisions", '[');
    for (uint64_t i = 0; (d = decisions_peek(&herd->decisions, i)); i++) {
        json_out_open(out, NULL, '{');
        json_out_u64(out, "number", d->number);
        json_out_u64(out, "age_ms", (herd->now_us - d->at_us) / CLOCK_US_PER_MS);
        json_out_text(out, "kind", str_of(d->kind));
        json_out_text(out, "about", str_of(d->about));
        json_out_text(out, "from", str_of(d->from));
        json_out_text(out, "to", str_of(d->to));
        json_out_text(out, "why", str_of(d->why));
        json_out_text(out, "figures", str_of(d->figures));
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}

/* As a web worker of the generation names it; "" when there is none. */
static void name_route(const struct herd *herd, uint32_t index, char out[ROUTE_NAME_BYTES])
{
    struct scoreboard_part named;
    out[0] = '\0';
    if (!sums_find_named(herd, &named))
        return;
    memcpy(out, named.routes[index].name, ROUTE_NAME_BYTES - 1);
    out[ROUTE_NAME_BYTES - 1] = '\0';
}

static void tell_breaker(const struct herd *herd, uint32_t index, uint64_t word,
                         struct json_out *out)
{
    struct breaker b = breaker_unpack(word);
    char route[ROUTE_NAME_BYTES];
    uint64_t now_ms = herd->now_us / CLOCK_US_PER_MS;
    name_route(herd, index, route);
    json_out_open(out, NULL, '{');
    json_out_text(out, "route", str_of(route));
    json_out_text(out, "state", str_of(breaker_state_names[b.state]));
    json_out_u64(out, "failures", b.failures);
    json_out_u64(out, "open_ms",
                 b.state == BREAKER_OPEN && b.since_ms < now_ms ? now_ms - b.since_ms : 0);
    json_out_close(out, '}');
}

/* Those of which there is something to tell: open, or after failures. */
static void tell_breakers(const struct herd *herd, struct json_out *out)
{
    uint64_t words[64];
    const struct pools *pools = &herd->current->pools;
    uint32_t n =
        herd->board.n_routes < BREAKER_WORDS_MAX ? herd->board.n_routes : BREAKER_WORDS_MAX;
    json_out_open(out, "breakers", '[');
    for (uint32_t first = 0; pools->breaker_fd >= 0 && first < n; first += 64) {
        uint32_t part = n - first < 64 ? n - first : 64;
        if (breaker_read(pools->breaker_fd, first, part, words) < 0)
            break;
        for (uint32_t i = 0; i < part; i++)
            if (words[i] != 0)
                tell_breaker(herd, first + i, words[i], out);
    }
    json_out_close(out, ']');
}

/* Its task, as the master knows it, and what it says about it itself. */
static void tell_compute_worker(const struct herd *herd, const struct seat *seat,
                                struct json_out *out)
{
    char id[24];
    struct task task;
    struct request_entry request;
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    const char *pool = pools_name(&herd_generation(herd, seat)->pools, seat->pool);
    bool has_task = tasks_peek(herd, seat, &task) != TASK_NONE;
    json_out_open(out, NULL, '{');
    json_out_text(out, "pool", str_of(pool ? pool : "?"));
    tell_seat(herd, seat, has_task, out);
    json_out_u64(out, "tasks", read_u64(&part.head->tasks));
    json_out_u64(out, "copied_bytes", read_u64(&part.head->copied));
    if (has_task) {
        (void)snprintf(id, sizeof id, "%016" PRIx64, task.id);
        json_out_text(out, "task", str_of(id));
    } else {
        json_out_null(out, "task");
    }
    if (has_task && scoreboard_read_entry(&part.head->current, &request))
        tell_request(herd, &part, &request, out);
    else
        json_out_null(out, "request");
    json_out_close(out, '}');
}

/* By pools and slots; of one slot the oldest first. */
static void tell_compute_workers(const struct herd *herd, struct json_out *out)
{
    const struct slots *slots = &herd->slots;
    json_out_open(out, "compute_workers", '[');
    for (int pool = 0; pool < SETTINGS_POOLS_MAX; pool++)
        for (int slot = 0, n = count_slots(slots, ROLE_COMPUTE, pool); slot < n; slot++)
            for (uint32_t i = 0; i < slots->n_used; i++)
                if (slots->seats[i].role == ROLE_COMPUTE && slots->seats[i].pool == pool &&
                    slots->seats[i].slot == slot && slots->seats[i].phase != SEAT_BURIED)
                    tell_compute_worker(herd, &slots->seats[i], out);
    json_out_close(out, ']');
}

void status_tell(const struct status_about *about, struct json_out *out)
{
    tell_server(about, out);
    tell_reload(about, out);
    tell_upgrade(about->upgrade, out);
    tell_loaders(about->herd, out);
    tell_admin(about->herd, about->upgrade->admin, out);
    tell_workers(about->herd, out);
    tell_routes(about->herd, out);
    tell_pools(&about->herd->current->pools, about->herd->sums, out);
    tell_breakers(about->herd, out);
    tell_decisions(about->herd, out);
    tell_compute_workers(about->herd, out);
}
