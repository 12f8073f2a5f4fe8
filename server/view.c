/* Reading of a status. Process: commands. */
#include "server/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_value.h"
#include "server/plain.h"

static uint64_t number(struct str object, const char *name)
{
    uint64_t n;
    return json_value_u64(json_value_find(object, name), UINT64_MAX, &n) == 0 ? n : 0;
}

static void text(char *out, size_t cap, struct str object, const char *name)
{
    (void)plain_text(out, cap, json_value_find(object, name), PLAIN_NARROW);
}

static void read_request(struct view_worker *worker, struct str request)
{
    char method[24], target[128];
    worker->has_request = json_value_kind(request) == JSON_OBJECT;
    if (!worker->has_request)
        return;
    worker->elapsed_ms = number(request, "elapsed_ms");
    text(worker->request, sizeof worker->request, request, "route");
    if (worker->request[0])
        return;
    text(method, sizeof method, request, "method");
    text(target, sizeof target, request, "target");
    (void)snprintf(worker->request, sizeof worker->request, "%s %s", method, target);
}

static void read_call(struct view_worker *worker, struct str call)
{
    char route[128], kind[16];
    worker->call_us = number(call, "us");
    text(route, sizeof route, call, "route");
    text(kind, sizeof kind, call, "callback");
    (void)snprintf(worker->call, sizeof worker->call, "%s (%s)", route[0] ? route : "no route",
                   kind);
}

static void read_worker(struct view_worker *worker, struct str object)
{
    *worker = (struct view_worker){0};
    text(worker->pool, sizeof worker->pool, object, "pool");
    const struct {
        const char *name;
        uint64_t *to;
    } numbers[] = {
        {"slot", &worker->slot},
        {"pid", &worker->pid},
        {"generation", &worker->generation},
        {"epoch", &worker->epoch},
        {"uptime_ms", &worker->uptime_ms},
        {"silent_ms", &worker->silent_ms},
        {"rss_bytes", &worker->rss_bytes},
        {"cpu_ms", &worker->cpu_ms},
        {"connections", &worker->connections},
        {"inflight", &worker->inflight},
        {"lag_us", &worker->lag_us},
        {"drift_us", &worker->drift_us},
        {"io_threads", &worker->io_threads},
        {"io_queued", &worker->io_queued},
        {worker->pool[0] ? "tasks" : "requests", &worker->requests},
    };
    struct str at = {0};
    struct str value;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        *numbers[i].to = number(object, numbers[i].name);
    text(worker->state, sizeof worker->state, object, "state");
    worker->has_loop = json_value_kind(json_value_find(object, "lag_us")) == JSON_NUMBER;
    struct str counts = json_value_find(object, "latency_counts");
    for (size_t i = 0; i < METER_BUCKETS && json_value_next(counts, &at, NULL, &value); i++)
        if (json_value_u64(value, UINT64_MAX, &worker->latency[i]) < 0)
            worker->latency[i] = 0;
    memcpy(worker->recent, worker->latency, sizeof worker->recent);
    read_request(worker, json_value_find(object, "request"));
    read_call(worker, json_value_find(object, "longest_call"));
}

static size_t count(struct str array)
{
    struct str at = {0};
    struct str value;
    size_t n = 0;
    while (json_value_next(array, &at, NULL, &value))
        n++;
    return n;
}

static int read_workers(struct view *view, struct str web, struct str compute)
{
    struct str at = {0};
    struct str value;
    view->workers = calloc(count(web) + count(compute) + 1, sizeof *view->workers);
    if (!view->workers)
        return -ENOMEM;
    while (json_value_next(web, &at, NULL, &value))
        read_worker(&view->workers[view->n_workers++], value);
    view->n_web = view->n_workers;
    at = (struct str){0};
    while (json_value_next(compute, &at, NULL, &value))
        read_worker(&view->workers[view->n_workers++], value);
    return 0;
}

static void read_account(struct account_sums *account, struct str object)
{
    for (size_t i = 0; i < ACCOUNT_NUMBERS; i++)
        account->numbers[i] = number(object, account_names[i]);
}

static int read_pools(struct view *view, struct str array)
{
    struct str at = {0};
    struct str value;
    view->pools = calloc(count(array) + 1, sizeof *view->pools);
    if (!view->pools)
        return -ENOMEM;
    while (json_value_next(array, &at, NULL, &value)) {
        struct view_pool *pool = &view->pools[view->n_pools++];
        text(pool->name, sizeof pool->name, value, "name");
        pool->workers_wanted = number(value, "workers_wanted");
        pool->workers_ready = number(value, "workers_ready");
        pool->queued = number(value, "queued");
        pool->queue = number(value, "queue");
        read_account(&pool->account, json_value_find(value, "tasks"));
    }
    return 0;
}

static int read_routes(struct view *view, struct str array)
{
    struct str at = {0};
    struct str value;
    view->routes = calloc(count(array) + 1, sizeof *view->routes);
    if (!view->routes)
        return -ENOMEM;
    while (json_value_next(array, &at, NULL, &value)) {
        struct str tasks = json_value_find(value, "tasks");
        if (json_value_kind(tasks) != JSON_OBJECT)
            continue;
        struct view_route *route = &view->routes[view->n_routes++];
        text(route->name, sizeof route->name, value, "route");
        read_account(&route->account, tasks);
    }
    return 0;
}

static int read_breakers(struct view *view, struct str array)
{
    struct str at = {0};
    struct str value;
    view->breakers = calloc(count(array) + 1, sizeof *view->breakers);
    if (!view->breakers)
        return -ENOMEM;
    while (json_value_next(array, &at, NULL, &value)) {
        struct view_breaker *breaker = &view->breakers[view->n_breakers++];
        text(breaker->route, sizeof breaker->route, value, "route");
        text(breaker->state, sizeof breaker->state, value, "state");
        breaker->failures = number(value, "failures");
        breaker->open_ms = number(value, "open_ms");
    }
    return 0;
}

static void read_binds(char out[256], struct str array)
{
    struct str at = {0};
    struct str value;
    size_t len = 0;
    char bind[200];
    while (json_value_next(array, &at, NULL, &value)) {
        (void)plain_text(bind, sizeof bind, value, PLAIN_NARROW);
        int n = snprintf(out + len, 256 - len, "%s%s", len > 0 ? ", " : "", bind);
        if (n < 0 || (size_t)n >= 256 - len)
            return;
        len += (size_t)n;
    }
}

static void read_reload(struct view *view, struct str reload)
{
    view->has_reload = json_value_kind(reload) == JSON_OBJECT;
    if (!view->has_reload)
        return;
    text(view->reload_outcome, sizeof view->reload_outcome, reload, "outcome");
    text(view->reload_why, sizeof view->reload_why, reload, "error");
    view->reload_age_ms = number(reload, "age_ms");
    view->reload_number = number(reload, "number");
}

int view_read(struct view *view, struct str answer)
{
    *view = (struct view){0};
    text(view->version, sizeof view->version, answer, "version");
    text(view->state, sizeof view->state, answer, "state");
    text(view->app, sizeof view->app, answer, "app");
    text(view->config, sizeof view->config, answer, "config");
    read_binds(view->binds, json_value_find(answer, "binds"));
    struct str admin = json_value_find(answer, "admin");
    read_binds(view->admin, json_value_find(admin, "binds"));
    view->admin_pid = number(admin, "pid");
    view->admin_rss_bytes = number(admin, "rss_bytes");
    read_reload(view, json_value_find(answer, "last_reload"));
    view->pid = number(answer, "pid");
    view->uptime_ms = number(answer, "uptime_ms");
    view->generation = number(answer, "generation");
    view->workers_wanted = number(answer, "workers_wanted");
    view->workers_ready = number(answer, "workers_ready");
    view->workers_hung = number(answer, "workers_hung");
    view->rss_bytes = number(answer, "rss_bytes");
    view->cpu_ms = number(answer, "cpu_ms");
    view->connections = number(answer, "connections");
    view->requests = number(answer, "requests");
    view->errors = number(json_value_find(answer, "responses"), "5xx");
    view->log_dropped = number(answer, "log_dropped_bytes");
    view->shed = number(answer, "shed");
    view->refused = number(answer, "refused");
    int rc = read_workers(view, json_value_find(answer, "workers"),
                          json_value_find(answer, "compute_workers"));
    if (rc == 0)
        rc = read_pools(view, json_value_find(answer, "pools"));
    if (rc == 0)
        rc = read_routes(view, json_value_find(answer, "routes"));
    return rc < 0 ? rc : read_breakers(view, json_value_find(answer, "breakers"));
}

void view_fini(struct view *view)
{
    free(view->workers);
    free(view->pools);
    free(view->routes);
    free(view->breakers);
    *view = (struct view){0};
}

/* A loop that stands still notes nothing. */
uint64_t view_lag_us(const struct view_worker *worker)
{
    uint64_t noted_us = worker->lag_us > worker->drift_us ? worker->lag_us : worker->drift_us;
    uint64_t silent_us = worker->silent_ms < 1000 ? 0 : worker->silent_ms * 1000;
    return noted_us > silent_us ? noted_us : silent_us;
}

/* ---- Two of them */

static uint64_t per_second(uint64_t now, uint64_t before, uint64_t interval_ms)
{
    return now > before && interval_ms > 0 ? ((now - before) * 1000 + interval_ms / 2) / interval_ms
                                           : 0;
}

static const struct view_worker *find_same(const struct view *view,
                                           const struct view_worker *worker)
{
    static const struct view_worker nobody;
    for (size_t i = 0; i < view->n_workers; i++)
        if (view->workers[i].pid == worker->pid && view->workers[i].epoch == worker->epoch)
            return &view->workers[i];
    return &nobody;
}

void view_compare(struct view *now, const struct view *before)
{
    uint64_t interval_ms =
        now->uptime_ms > before->uptime_ms ? now->uptime_ms - before->uptime_ms : 0;
    if (now->pid != before->pid || interval_ms == 0)
        return;
    now->interval_ms = interval_ms;
    now->rps = per_second(now->requests, before->requests, interval_ms);
    now->errors_per_s = per_second(now->errors, before->errors, interval_ms);
    for (size_t i = 0; i < now->n_workers; i++) {
        struct view_worker *worker = &now->workers[i];
        const struct view_worker *then = find_same(before, worker);
        worker->rps = per_second(worker->requests, then->requests, interval_ms);
        for (size_t k = 0; k < METER_BUCKETS; k++)
            worker->recent[k] =
                worker->latency[k] -
                (worker->latency[k] >= then->latency[k] ? then->latency[k] : worker->latency[k]);
        worker->cpu_percent = per_second(worker->cpu_ms, then->cpu_ms, interval_ms) / 10;
    }
}

void view_sum_latency(const struct view *view, uint64_t out[METER_BUCKETS])
{
    for (size_t k = 0; k < METER_BUCKETS; k++)
        out[k] = 0;
    for (size_t i = 0; i < view->n_workers; i++)
        for (size_t k = 0; k < METER_BUCKETS; k++)
            out[k] += view->workers[i].recent[k];
}
