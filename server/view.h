/* The status of a server as the commands hold it: read from the JSON of the control socket, with
 * rates worked out from two of them. */
#ifndef REMUDA_SERVER_VIEW_H
#define REMUDA_SERVER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/meter.h"
#include "base/str.h"
#include "ipc/account.h"

#define VIEW_LONG_CALL_US 10000U /* of the app on a loop, worth a word: a guess */

/* Of web workers first, then of compute workers. */
struct view_worker {
    char pool[32]; /* compute workers: which one; else "" */
    uint64_t slot, pid, generation, epoch;
    char state[16];
    uint64_t uptime_ms, silent_ms, rss_bytes, cpu_ms;
    uint64_t connections, requests; /* compute workers: requests are tasks */
    uint64_t inflight, lag_us, io_threads, io_queued;
    bool has_loop;     /* else there is no lag */
    uint64_t drift_us; /* of its loop's timer: also what it had to wait for a CPU */
    uint64_t call_us;  /* longest call of the app on its loop in the last second; 0: none */
    char call[160];    /* "GET /hello/:name (handler)" */
    uint64_t latency[METER_BUCKETS]; /* answers by time, since its start */
    uint64_t recent[METER_BUCKETS]; /* after view_compare(): those of the interval; else the same */
    bool has_request;
    char request[160]; /* "GET /hello/:name", or the target where no route matched */
    uint64_t elapsed_ms;
    /* By view_compare(): of the interval, else 0. */
    uint64_t rps, cpu_percent;
};

/* A compute pool that is in use. */
struct view_pool {
    char name[32];
    uint64_t workers_wanted, workers_ready;
    uint64_t queued, queue; /* tasks that wait, that may */
    struct account_sums account;
};

/* A route that has run as a task. */
struct view_route {
    char name[96];
    struct account_sums account;
};

/* A circuit breaker of which there is something to tell. */
struct view_breaker {
    char route[96], state[16];
    uint64_t failures, open_ms;
};

struct view {
    char version[32], state[32], app[256], config[256], binds[256];
    char admin[256];                     /* addresses of the admin process; "": there is none */
    uint64_t admin_pid, admin_rss_bytes; /* 0: it is down */
    uint64_t pid, uptime_ms, generation, workers_wanted, workers_ready, workers_hung;
    uint64_t rss_bytes, cpu_ms, connections, requests, errors, log_dropped, shed, refused;
    bool has_reload;
    char reload_outcome[16], reload_why[256];
    uint64_t reload_age_ms, reload_number;
    struct view_worker *workers; /* heap, n_workers */
    size_t n_workers;            /* all of them, */
    size_t n_web;                /* the first of which are web workers */
    struct view_pool *pools;     /* heap, n_pools */
    size_t n_pools;
    struct view_route *routes; /* heap, n_routes */
    size_t n_routes;
    struct view_breaker *breakers; /* heap, n_breakers */
    size_t n_breakers;
    /* By view_compare(). */
    uint64_t interval_ms; /* 0: there is no interval */
    uint64_t rps, errors_per_s;
};

/* Reads an answer to "status". Members that are missing are 0 or "".
 * Returns  0; -ENOMEM */
int view_read(struct view *view, struct str answer) __attribute__((warn_unused_result));
void view_fini(struct view *view);

/* Fills the rates of `now` from what has changed since `before`. A worker that was not there before
 * counts from its start. */
void view_compare(struct view *now, const struct view *before);

/* What others had to wait for its loop, in the last second, or have to while it stands still. */
uint64_t view_lag_us(const struct view_worker *worker);

/* Of all workers together: the sum of their `recent`. */
void view_sum_latency(const struct view *view, uint64_t out[METER_BUCKETS]);

#endif
