/* See metrics_families.h. docs/metrics.md says the same to those who read it. */
#include "workers/metrics_families.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/breaker.h"

#define COUNTER EXPOSITION_COUNTER
#define GAUGE EXPOSITION_GAUGE
#define TICK_US (CLOCK_US_PER_S / 2) /* between two of a loop's timer: workers/web_event.c */

static void one(struct exposition *e, uint64_t value)
{
    exposition_sample(e, "");
    exposition_u64(e, value);
}

static void labelled(struct exposition *e, const char *name, const char *label, uint64_t value)
{
    exposition_sample(e, "");
    exposition_label(e, name, label);
    exposition_u64(e, value);
}

static void labelled2(struct exposition *e, const char *name, const char *label, const char *name2,
                      const char *label2, uint64_t value)
{
    exposition_sample(e, "");
    exposition_label(e, name, label);
    exposition_label(e, name2, label2);
    exposition_u64(e, value);
}

/* ---- the server */

static void write_server(const struct metrics *m, struct exposition *e)
{
    const struct ledger_page *page = &m->copy.page;
    exposition_family(e, "remuda_build", EXPOSITION_INFO, NULL, "Version of the server.");
    labelled(e, "version", REMUDA_VERSION, 1);
    exposition_family(e, "remuda_start_time_seconds", GAUGE, "seconds",
                      "When the server was started, since 1970.");
    exposition_sample(e, "");
    exposition_us(e, (uint64_t)page->started_wall_us);
    exposition_family(
        e, "remuda_generation", GAUGE, NULL,
        "Number of the generation that serves; a reload that is done begins another.");
    one(e, (uint64_t)page->generation);
    exposition_family(e, "remuda_master_silent_seconds", GAUGE, "seconds",
                      "Since the master's last turn; it turns twice a second at least.");
    exposition_sample(e, "");
    exposition_us(e, m->silent_us);
    exposition_family(e, "remuda_ready", GAUGE, NULL, "What /readyz says: 1 for 200, 0 for 503.");
    struct readiness_view view = {.stage = scoreboard_stage(m->board),
                                  .wanted = page->n_web,
                                  .ready = m->ready,
                                  .hung = m->hung};
    one(e, readiness_judge(&view) == NULL);
}

/* ---- processes */

static bool is_told(enum role role)
{
    return role == ROLE_WEB || role == ROLE_COMPUTE || role == ROLE_LOADER;
}

static void write_workers(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_workers", GAUGE, NULL, "Processes by role and state.");
    for (int role = 0; role < ROLE_COUNT; role++)
        for (int state = 0; is_told((enum role)role) && state < METRICS_STATES; state++)
            labelled2(e, "role", role_table[role].name, "state", metrics_state_names[state],
                      m->workers[role][state]);
    exposition_family(e, "remuda_workers_wanted", GAUGE, NULL, "Processes that there should be.");
    labelled(e, "role", role_table[ROLE_WEB].name, m->copy.page.n_web);
    uint64_t compute = 0;
    for (uint32_t i = 0; i < m->copy.page.n_pools; i++)
        compute += m->copy.page.pools[i].n_workers;
    labelled(e, "role", role_table[ROLE_COMPUTE].name, compute);
    exposition_family(e, "remuda_restarts", COUNTER, NULL,
                      "Processes that were replaced, by why the one before went.");
    for (int role = 0; role < ROLE_COUNT; role++)
        for (int why = 0; (is_told((enum role)role) || role == ROLE_ADMIN) && why < LEDGER_REASONS;
             why++)
            labelled2(e, "role", role_table[role].name, "reason", ledger_reason_names[why],
                      m->copy.page.restarts[role][why]);
}

static const struct {
    const char *role;
    enum role id;
} users[] = {{"master", ROLE_MASTER},
             {"loader", ROLE_LOADER},
             {"web", ROLE_WEB},
             {"compute", ROLE_COMPUTE},
             {"admin", ROLE_ADMIN}};

#define N_USERS (sizeof users / sizeof users[0])

static void write_usage(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_process_resident_memory_bytes", GAUGE, "bytes",
                      "Resident memory of all processes of a role; shared pages count in each.");
    for (size_t i = 0; i < N_USERS; i++)
        labelled(e, "role", users[i].role, m->used[users[i].id].rss_bytes);
    exposition_family(e, "remuda_process_proportional_memory_bytes", GAUGE, "bytes",
                      "Likewise, where a page that n processes share counts as 1/n (PSS); read a "
                      "process at a time.");
    for (size_t i = 0; i < N_USERS; i++)
        if (m->used[users[i].id].pss_bytes > 0)
            labelled(e, "role", users[i].role, m->used[users[i].id].pss_bytes);
    exposition_family(e, "remuda_process_cpu_seconds", COUNTER, "seconds",
                      "CPU time of all processes of a role, those that have ended included.");
    for (size_t i = 0; i < N_USERS; i++) {
        exposition_sample(e, "");
        exposition_label(e, "role", users[i].role);
        exposition_us(e, m->used[users[i].id].cpu_us + m->copy.page.used[users[i].id].cpu_us);
    }
    exposition_family(e, "remuda_process_page_faults", COUNTER, NULL,
                      "Page faults likewise; major ones waited for a disk.");
    for (size_t i = 0; i < N_USERS; i++) {
        const struct metrics_used *now = &m->used[users[i].id];
        const struct ledger_used *dead = &m->copy.page.used[users[i].id];
        labelled2(e, "role", users[i].role, "kind", "minor",
                  now->minor_faults + dead->minor_faults);
        labelled2(e, "role", users[i].role, "kind", "major",
                  now->major_faults + dead->major_faults);
    }
}

/* ---- what the master does */

static void write_changes(const struct metrics *m, struct exposition *e)
{
    const struct ledger_page *page = &m->copy.page;
    exposition_family(e, "remuda_reloads", COUNTER, NULL, "Reloads by how they came out.");
    for (int i = 0; i < LEDGER_OUTCOMES; i++)
        labelled(e, "outcome", ledger_outcome_names[i], page->reloads[i]);
    exposition_family(e, "remuda_last_reload_successful", GAUGE, NULL,
                      "Whether the last one was done; 1 where there was none.");
    one(e, page->reloads[LEDGER_DONE] + page->reloads[LEDGER_REFUSED] == 0 ||
               page->is_last_reload_good);
    exposition_family(e, "remuda_config_time_seconds", GAUGE, "seconds",
                      "Since when the configuration in force is it, since 1970.");
    exposition_sample(e, "");
    exposition_us(
        e, (uint64_t)(page->reloaded_wall_us > 0 ? page->reloaded_wall_us : page->started_wall_us));
    exposition_family(e, "remuda_controller_decisions", COUNTER, NULL,
                      "Steps of the controller: workers, compute workers, threads, lanes.");
    one(e, page->decisions);
    exposition_family(e, "remuda_upgrades", COUNTER, NULL,
                      "Binary upgrades that this master began, by how they came out.");
    for (int i = 0; i < LEDGER_OUTCOMES; i++)
        labelled(e, "outcome", ledger_outcome_names[i], page->upgrades[i]);
}

/* ---- connections and requests */

static void write_connections(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_connections", GAUGE, NULL,
                      "Open connections by what they wait for: another request (idle), the rest of "
                      "a head or body, the client to take an answer (write) or to close (linger), "
                      "the application (app).");
    for (int i = 0; i < SCOREBOARD_CONNECTIONS; i++)
        labelled(e, "state", scoreboard_connection_names[i], m->connections[i]);
    exposition_family(e, "remuda_connections_accepted", COUNTER, NULL, "Connections accepted.");
    one(e, m->sums.accepted);
    exposition_family(e, "remuda_received_bytes", COUNTER, "bytes", "Octets read from clients.");
    one(e, m->sums.bytes_in);
    exposition_family(e, "remuda_sent_bytes", COUNTER, "bytes", "Octets written to clients.");
    one(e, m->sums.bytes_out);
    exposition_family(e, "remuda_requests_in_flight", GAUGE, NULL,
                      "Requests under way by phase: their handler runs on the loop (handler), on a "
                      "thread (io), in a compute worker or its queue (compute); they wait for a "
                      "thread (queued), for the app (deferred), or are being sent (stream).");
    for (int i = ENTRY_FREE + 1; i < ENTRY_PHASES; i++)
        labelled(e, "phase", scoreboard_phase_names[i], m->inflight[i]);
}

static void write_answers(const struct totals_route *route, struct exposition *e)
{
    static const char *const classes[PROFILE_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (int lane = 0; lane < PROFILE_LANES; lane++)
        for (int method = 0; method < PROFILE_METHODS; method++)
            for (int class = 0; class < PROFILE_CLASSES; class ++) {
                uint64_t n = route->answers[lane][method][class];
                if (n == 0)
                    continue;
                exposition_sample(e, "");
                exposition_label(e, "route", route->name);
                exposition_label(e, "method", profile_method_names[method]);
                exposition_label(e, "status", classes[class]);
                exposition_label(e, "lane", profile_lane_names[lane]);
                exposition_u64(e, n);
            }
}

static uint64_t sum_of(const uint64_t counts[METER_BUCKETS])
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < METER_BUCKETS; i++)
        sum += counts[i];
    return sum;
}

static void write_latency(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_request_duration_seconds", EXPOSITION_HISTOGRAM, "seconds",
                      "From a request's first octet to the end of the turn in which its answer was "
                      "complete.");
    for (uint32_t i = 0; i < m->sums.n_routes; i++) {
        const struct totals_route *route = &m->sums.routes[i];
        const struct metrics_exemplar *last = &m->exemplars[i];
        const struct exposition_exemplar exemplar = {.trace_id =
                                                         str_make(last->trace, last->trace_len),
                                                     .us = last->latency_us,
                                                     .wall_us = last->wall_us};
        const struct exposition_labels labels = {.name = "route", .value = route->name};
        if (sum_of(route->latency) > 0)
            exposition_histogram(e, &labels, route->latency, route->latency_us * 1000, &exemplar);
    }
}

static void write_requests(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_requests", COUNTER, NULL,
                      "Requests answered. Status none: cut off without an answer; route static: a "
                      "file of a mount, none: no route was found.");
    for (uint32_t i = 0; i < m->sums.n_routes; i++)
        write_answers(&m->sums.routes[i], e);
    write_latency(m, e);
    exposition_family(e, "remuda_requests_refused", COUNTER, NULL,
                      "Requests answered 503 since the queue of the lane io was full.");
    one(e, m->sums.refused);
    exposition_family(e, "remuda_requests_shed", COUNTER, NULL,
                      "Requests answered 503 since all in their queue had waited for too long: "
                      "queue_target.");
    one(e, m->sums.shed);
    exposition_family(e, "remuda_requests_overdue", COUNTER, NULL,
                      "Requests that were not waited for to their end: request_timeout.");
    one(e, m->sums.overdue);
    exposition_family(e, "remuda_slow_callbacks", COUNTER, NULL,
                      "Calls of the app that held an event loop for slow_callback.");
    one(e, m->sums.slow);
    exposition_family(e, "remuda_access_log_dropped_bytes", COUNTER, "bytes",
                      "Octets of the access log that it did not take.");
    one(e, m->sums.log_dropped);
}

/* ---- what the app's calls take */

static void write_lane_histogram(const struct metrics *m, struct exposition *e, bool is_wait)
{
    for (uint32_t i = 0; i < m->sums.n_routes; i++)
        for (int lane = 0; lane < PROFILE_LANES; lane++) {
            const struct totals_route *route = &m->sums.routes[i];
            const struct profile_sums *sums = &route->lanes[lane];
            const struct exposition_labels labels = {.name = "route",
                                                     .value = route->name,
                                                     .name2 = "lane",
                                                     .value2 = profile_lane_names[lane]};
            if (sums->calls == 0 || (is_wait && lane == PROFILE_INLINE))
                continue;
            if (is_wait)
                exposition_histogram(e, &labels, sums->wait, sums->wait_ns, NULL);
            else
                exposition_histogram(e, &labels, sums->wall, sums->wall_ns, NULL);
        }
}

enum part_of_calls { MEASURED_WALL, MEASURED_CPU, MEASURED_DELAY };

static void write_measured(const struct metrics *m, struct exposition *e, const char *name,
                           const char *help, enum part_of_calls which)
{
    exposition_family(e, name, COUNTER, "seconds", help);
    for (uint32_t i = 0; i < m->sums.n_routes; i++)
        for (int lane = 0; lane < PROFILE_LANES; lane++) {
            const struct profile_sums *sums = &m->sums.routes[i].lanes[lane];
            if (sums->calls == 0)
                continue;
            exposition_sample(e, "");
            exposition_label(e, "route", m->sums.routes[i].name);
            exposition_label(e, "lane", profile_lane_names[lane]);
            exposition_ns(e, which == MEASURED_WALL  ? sums->measured_wall_ns
                             : which == MEASURED_CPU ? sums->cpu_ns
                                                     : sums->delay_ns);
        }
}

static void write_calls(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_queue_wait_seconds", EXPOSITION_HISTOGRAM, "seconds",
                      "What calls waited in the queue of their lane before they began.");
    write_lane_histogram(m, e, true);
    exposition_family(e, "remuda_handler_duration_seconds", EXPOSITION_HISTOGRAM, "seconds",
                      "What calls of the app took from their begin to their end.");
    write_lane_histogram(m, e, false);
    write_measured(m, e, "remuda_handler_measured_seconds",
                   "The same, summed up for those calls whose CPU time was measured.",
                   MEASURED_WALL);
    write_measured(m, e, "remuda_handler_cpu_seconds",
                   "Of that, computing. What is left of it without delay is waiting.",
                   MEASURED_CPU);
    write_measured(m, e, "remuda_handler_delay_seconds",
                   "Of that, ready to compute while others had the CPUs.", MEASURED_DELAY);
}

/* ---- loops and threads */

/* Web workers of the generation that serves: the next one from i on. Returns n_seats: none */
static uint32_t next_loop(const struct metrics *m, uint32_t i)
{
    for (; i < m->copy.page.n_seats; i++) {
        const struct ledger_seat *seat = &m->copy.seats[i];
        if (seat->role == ROLE_WEB && seat->state == LEDGER_READY &&
            seat->generation == m->copy.page.generation)
            break;
    }
    return i;
}

static void begin_loop(const struct metrics *m, struct exposition *e, uint32_t i)
{
    char slot[16];
    (void)snprintf(slot, sizeof slot, "%d", m->copy.seats[i].slot);
    exposition_sample(e, "");
    exposition_label(e, "slot", slot);
}

static const struct seat_head *head_of(const struct metrics *m, uint32_t i)
{
    return scoreboard_peek(m->board, i).head;
}

static void write_longest_calls(const struct metrics *m, struct exposition *e)
{
    const uint32_t n = m->copy.page.n_seats;
    char route[sizeof(((struct route_stats *)0)->name)];
    exposition_family(e, "remuda_loop_longest_call_seconds", GAUGE, "seconds",
                      "Longest call of the app on a web worker's loop in the last second, and of "
                      "which route.");
    for (uint32_t i = next_loop(m, 0); i < n; i = next_loop(m, i + 1)) {
        const struct loop_call *call = &head_of(m, i)->longest;
        uint64_t us = atomic_load_explicit(&call->us, memory_order_relaxed);
        uint32_t kind = atomic_load_explicit(&call->kind, memory_order_relaxed);
        uint32_t index = atomic_load_explicit(&call->route, memory_order_relaxed);
        if (us == 0 || kind >= LOOP_CALL_KINDS)
            continue;
        (void)snprintf(route, sizeof route, "none");
        if (index < m->board->n_routes)
            memcpy(route, scoreboard_peek(m->board, i).routes[index].name, sizeof route);
        route[sizeof route - 1] = '\0';
        begin_loop(m, e, i);
        exposition_label(e, "route", route);
        exposition_label(e, "kind", scoreboard_call_names[kind]);
        exposition_us(e, us);
    }
}

/* A loop that hangs can't say so: then its timer is late by what its heart has missed. */
static uint64_t find_lag_us(const struct metrics *m, const struct seat_head *head)
{
    uint64_t told_us = atomic_load_explicit(&head->drift_us, memory_order_relaxed);
    uint64_t beat_us = atomic_load_explicit(&head->heartbeat_us, memory_order_relaxed);
    uint64_t n_ticks = 0;
    for (unsigned i = 0; i < METER_BUCKETS; i++)
        n_ticks += atomic_load_explicit(&head->drift[i], memory_order_relaxed);
    bool is_late = n_ticks > 0 && beat_us + TICK_US < m->now_us; /* no ticks: it has no loop */
    uint64_t late_us = is_late ? m->now_us - beat_us - TICK_US : 0;
    return late_us > told_us ? late_us : told_us;
}

static void write_lags(const struct metrics *m, struct exposition *e)
{
    const struct exposition_labels none = {0};
    exposition_family(e, "remuda_loop_lag_seconds", GAUGE, "seconds",
                      "By how much the timer of a web worker's loop was late, at most, in the last "
                      "second, or is by now, by slot.");
    for (uint32_t i = next_loop(m, 0); i < m->copy.page.n_seats; i = next_loop(m, i + 1)) {
        begin_loop(m, e, i);
        exposition_us(e, find_lag_us(m, head_of(m, i)));
    }
    exposition_family(e, "remuda_loop_timer_delay_seconds", EXPOSITION_HISTOGRAM, "seconds",
                      "By how much the timers of all loops were late, two times a second each.");
    exposition_histogram(e, &none, m->sums.drift, m->sums.drift_us * 1000, NULL);
}

static void write_loops(const struct metrics *m, struct exposition *e)
{
    const uint32_t n = m->copy.page.n_seats;
    write_lags(m, e);
    exposition_family(e, "remuda_loop_longest_turn_seconds", GAUGE, "seconds",
                      "Longest turn of that loop in the last second.");
    for (uint32_t i = next_loop(m, 0); i < n; i = next_loop(m, i + 1)) {
        begin_loop(m, e, i);
        exposition_us(e, atomic_load_explicit(&head_of(m, i)->lag_us, memory_order_relaxed));
    }
    write_longest_calls(m, e);
    exposition_family(e, "remuda_io_threads", GAUGE, NULL,
                      "Threads of the lane io, of all workers.");
    one(e, m->io_threads);
    exposition_family(e, "remuda_io_queued_requests", GAUGE, NULL, "Requests that wait for one.");
    one(e, m->io_queued);
}

/* ---- the compute lane */

static void write_outcomes(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_tasks", COUNTER, NULL,
                      "Tasks that have ended, by pool and outcome; answered: as the app wished.");
    for (uint32_t i = 0; i < m->sums.n_pools; i++)
        for (int end = 0; end < ACCOUNT_ENDS; end++)
            labelled2(e, "pool", m->sums.pools[i].name, "outcome", account_names[end],
                      m->sums.pools[i].account.numbers[end]);
    exposition_family(e, "remuda_route_tasks", COUNTER, NULL,
                      "The same by route, or function of the task table; those that there were.");
    for (uint32_t i = 0; i < m->sums.n_routes; i++)
        for (int end = 0; end < ACCOUNT_ENDS; end++)
            if (m->sums.routes[i].account.numbers[end] > 0)
                labelled2(e, "route", m->sums.routes[i].name, "outcome", account_names[end],
                          m->sums.routes[i].account.numbers[end]);
}

static void write_used(const struct metrics *m, struct exposition *e)
{
    static const struct {
        const char *name;
        const char *help;
        enum account_number number;
    } used[] = {
        {"remuda_task_wait_seconds", "What tasks waited in their queue, by pool.", ACCOUNT_WAIT_US},
        {"remuda_task_run_seconds", "What they took from taken to their end.", ACCOUNT_WALL_US},
        {"remuda_task_cpu_seconds", "CPU time that they used.", ACCOUNT_CPU_US},
    };
    for (size_t k = 0; k < sizeof used / sizeof used[0]; k++) {
        exposition_family(e, used[k].name, COUNTER, "seconds", used[k].help);
        for (uint32_t i = 0; i < m->sums.n_pools; i++) {
            exposition_sample(e, "");
            exposition_label(e, "pool", m->sums.pools[i].name);
            exposition_us(e, m->sums.pools[i].account.numbers[used[k].number]);
        }
    }
    exposition_family(e, "remuda_task_peak_memory_bytes", GAUGE, "bytes",
                      "The most that a worker of the pool had resident after a task, ever.");
    for (uint32_t i = 0; i < m->sums.n_pools; i++)
        labelled(e, "pool", m->sums.pools[i].name,
                 m->sums.pools[i].account.numbers[ACCOUNT_PEAK_BYTES]);
}

static void write_pools(const struct metrics *m, struct exposition *e)
{
    const struct ledger_page *page = &m->copy.page;
    exposition_family(e, "remuda_pool_workers_wanted", GAUGE, NULL,
                      "Compute workers that there should be, by pool; 0: it is not in use.");
    for (uint32_t i = 0; i < page->n_pools; i++)
        labelled(e, "pool", page->pools[i].name, page->pools[i].n_workers);
    exposition_family(e, "remuda_pool_queued_tasks", GAUGE, NULL, "Tasks that wait, by pool.");
    for (uint32_t i = 0; i < page->n_pools; i++)
        labelled(e, "pool", page->pools[i].name, page->pools[i].n_queued);
    exposition_family(e, "remuda_pool_queue_limit_tasks", GAUGE, NULL, "Tasks that may wait.");
    for (uint32_t i = 0; i < page->n_pools; i++)
        labelled(e, "pool", page->pools[i].name, page->pools[i].queue);
    exposition_family(e, "remuda_pool_memory_limit_bytes", GAUGE, "bytes",
                      "What a worker of the pool may allocate; 0: there is no limit.");
    for (uint32_t i = 0; i < page->n_pools; i++)
        labelled(e, "pool", page->pools[i].name, page->pools[i].memory_limit_bytes);
}

static void write_breakers(const struct metrics *m, struct exposition *e)
{
    exposition_family(e, "remuda_breaker_state", GAUGE, NULL,
                      "Circuit breakers of routes that have had tasks: 1 for the state that each "
                      "is in.");
    for (uint32_t i = 0; i < m->copy.page.n_breakers && i < m->n_named; i++) {
        const struct totals_route *route = &m->sums.routes[i];
        struct breaker breaker = breaker_unpack(m->copy.breakers[i]);
        if (m->copy.breakers[i] == 0 && account_tasks(&route->account) == 0)
            continue;
        for (int state = 0; state < BREAKER_STATES; state++)
            labelled2(e, "route", route->name, "state", breaker_state_names[state],
                      (int)breaker.state == state);
    }
}

static void write_compute(const struct metrics *m, struct exposition *e)
{
    const struct exposition_labels none = {0};
    write_outcomes(m, e);
    write_used(m, e);
    write_pools(m, e);
    write_breakers(m, e);
    exposition_family(e, "remuda_task_handoff_seconds", EXPOSITION_HISTOGRAM, "seconds",
                      "What handing a task over and back took, beside its wait and its run.");
    exposition_histogram(e, &none, m->sums.handoff, m->sums.handoff_us * 1000, NULL);
    exposition_family(e, "remuda_task_copied_bytes", COUNTER, "bytes",
                      "Octets of payloads that were copied in user space.");
    one(e, m->sums.copied);
}

/* ---- the configuration in force */

/* name, value, source, one behind the other */
static void write_settings(const struct metrics *m, struct exposition *e)
{
    const char *at = m->copy.settings;
    const char *end = at + m->copy.page.settings_len;
    exposition_family(e, "remuda_setting", EXPOSITION_INFO, NULL,
                      "Settings in force and where each came from, but for what may be secret.");
    while (at < end) {
        const char *texts[3];
        for (int i = 0; i < 3; i++) {
            texts[i] = at;
            at += strnlen(at, (size_t)(end - at)) + 1;
            if (at > end)
                return;
        }
        exposition_sample(e, "");
        exposition_label(e, "name", texts[0]);
        exposition_label(e, "value", texts[1]);
        exposition_label(e, "source", texts[2]);
        exposition_u64(e, 1);
    }
}

void metrics_families_write(const struct metrics *m, struct exposition *e)
{
    write_server(m, e);
    write_workers(m, e);
    write_changes(m, e);
    write_connections(m, e);
    write_requests(m, e);
    write_calls(m, e);
    write_loops(m, e);
    write_compute(m, e);
    write_usage(m, e);
    write_settings(m, e);
}
