/* Gathering. What workers count is read while they change it; each number stands for itself. What
 * the dead counted comes from the ledger, whose copy and what was read of the living must be of one
 * moment as far as deaths go: else somebody's counts would be missing, or told twice, and a counter
 * would seem to fall. */
#include "workers/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ipc/task.h"
#include "workers/exposition.h"
#include "workers/metrics_families.h"

#define TRIES                                                                                      \
    100U /* 50 ms: a master that has to wait for a CPU takes longer than one that has it */
#define NAP_NS (500 * 1000) /* while the master buries somebody, which takes less */
#define PSS_LEAST_US (CLOCK_US_PER_S / 2)
#define EXEMPLAR_TRACE_MAX 100U /* OpenMetrics: 128 with the name of the label */
#define PSS_SHARE 100U          /* of the time that reading may take */

const char *const metrics_state_names[METRICS_STATES] = {
    [METRICS_BOOTING] = "booting", [METRICS_IDLE] = "idle",         [METRICS_BUSY] = "busy",
    [METRICS_HUNG] = "hung",       [METRICS_DRAINING] = "draining", [METRICS_ENDING] = "ending"};

static uint64_t read_u64(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint32_t read_u32(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

int metrics_open(struct metrics *m, const struct scoreboard *board, const struct ledger *ledger,
                 uint32_t own_seat)
{
    *m = (struct metrics){.board = board, .ledger = ledger, .own_seat = own_seat};
    int rc = ledger_copy_init(&m->copy, ledger);
    if (rc == 0)
        rc = totals_init(&m->sums, board->n_routes);
    m->pss = calloc(board->n_seats + 1, sizeof m->pss[0]);
    m->exemplars = calloc(m->sums.cap, sizeof m->exemplars[0]);
    if (rc == 0 && m->pss && m->exemplars)
        return 0;
    metrics_close(m);
    return -ENOMEM;
}

void metrics_close(struct metrics *m)
{
    ledger_copy_fini(&m->copy);
    totals_fini(&m->sums);
    free(m->pss);
    free(m->exemplars);
    m->pss = NULL;
    m->exemplars = NULL;
}

/* ---- the living */

static const struct ledger_seat *seat_at(const struct metrics *m, uint32_t i)
{
    return &m->copy.seats[i];
}

/* Whose numbers are in the table and not in the totals. */
static bool is_living(const struct ledger_seat *seat)
{
    return seat->state != LEDGER_FREE && seat->state != LEDGER_BURIED && seat->role < ROLE_COUNT;
}

static bool has_task(const struct scoreboard_part *part)
{
    struct task task;
    return task_peek(part->task, &task) != TASK_NONE;
}

/* While it has a task in hand a compute worker owes no heartbeat. */
static enum metrics_state judge(const struct metrics *m, const struct ledger_seat *seat,
                                const struct scoreboard_part *part)
{
    static const enum metrics_state states[LEDGER_STATES] = {[LEDGER_BOOTING] = METRICS_BOOTING,
                                                             [LEDGER_DRAINING] = METRICS_DRAINING,
                                                             [LEDGER_ENDING] = METRICS_ENDING};
    if (seat->state != LEDGER_READY)
        return states[seat->state];
    bool is_silent = readiness_is_hung(read_u64(&part->head->heartbeat_us), m->now_us);
    bool is_busy = seat->role == ROLE_COMPUTE
                       ? has_task(part)
                       : read_u32(&part->head->current.phase) != ENTRY_FREE ||
                             read_u32(&part->head->n_inflight) > 0;
    if (seat->role == ROLE_LOADER)
        return METRICS_IDLE;
    if (is_silent && !(seat->role == ROLE_COMPUTE && is_busy))
        return METRICS_HUNG;
    return is_busy ? METRICS_BUSY : METRICS_IDLE;
}

static void count_phase(struct metrics *m, const struct request_entry *entry)
{
    uint32_t phase = read_u32(&entry->phase);
    if (phase != ENTRY_FREE && phase < ENTRY_PHASES)
        m->inflight[phase]++;
}

/* Workers of class sync, and those that have just begun, do not tell what theirs wait for. */
static void add_connections(struct metrics *m, const struct seat_head *head)
{
    uint64_t told = 0;
    uint64_t open = read_u64(&head->connections);
    for (int i = 0; i < SCOREBOARD_CONNECTIONS; i++) {
        uint64_t n = read_u32(&head->clocks[i]);
        m->connections[i] += n;
        told += n;
    }
    if (told == 0)
        m->connections[SCOREBOARD_CONNECTION_APP] += open;
}

static bool read_exemplar(const struct route_exemplar *shared, struct metrics_exemplar *out)
{
    uint32_t before = atomic_load_explicit(&shared->version, memory_order_acquire);
    if (before == 0 || before % 2 != 0)
        return false;
    out->trace_len = shared->trace_len;
    memcpy(out->trace, shared->trace, sizeof out->trace);
    out->latency_us = shared->latency_us;
    out->wall_us = shared->wall_us;
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&shared->version, memory_order_relaxed) != before)
        return false;
    for (size_t i = 0; i < out->trace_len && i < sizeof out->trace; i++)
        if (!isalnum((unsigned char)out->trace[i]) && !strchr("._-=", out->trace[i]))
            return false;
    return out->trace_len > 0 && out->trace_len <= EXEMPLAR_TRACE_MAX && out->wall_us > 0;
}

/* Of several workers' the latest. Where a block is not at its place in the sums, there is none. */
static void add_exemplars(struct metrics *m, const struct scoreboard_part *part)
{
    for (uint32_t i = 0; i < m->sums.n_routes && i < m->board->n_routes; i++) {
        struct metrics_exemplar now;
        const struct route_stats *stats = &part->routes[i];
        if (strncmp(m->sums.routes[i].name, stats->name, sizeof stats->name - 1) == 0 &&
            read_exemplar(&stats->exemplar, &now) && now.wall_us > m->exemplars[i].wall_us)
            m->exemplars[i] = now;
    }
}

static void add_web(struct metrics *m, const struct scoreboard_part *part)
{
    const struct seat_head *head = part->head;
    totals_add(&m->sums, part, m->board->n_routes);
    add_exemplars(m, part);
    add_connections(m, head);
    m->io_threads += read_u32(&head->io_threads);
    m->io_queued += read_u32(&head->io_queued);
    count_phase(m, &head->current);
    uint32_t left = read_u32(&head->n_inflight);
    for (uint32_t i = 0; left > 0 && i < m->board->n_inflight; i++) {
        left -= read_u32(&part->inflight[i].phase) != ENTRY_FREE;
        count_phase(m, &part->inflight[i]);
    }
}

/* A web worker of a generation that has named its routes. NULL: there is none. */
static const struct route_stats *find_names(const struct metrics *m, int generation)
{
    for (uint32_t i = 0; i < m->copy.page.n_seats; i++) {
        const struct ledger_seat *seat = seat_at(m, i);
        if (seat->role == ROLE_WEB && seat->state >= LEDGER_READY && is_living(seat) &&
            seat->generation == generation)
            return scoreboard_peek(m->board, i).routes;
    }
    return NULL;
}

static void count_state(struct metrics *m, const struct ledger_seat *seat,
                        const struct scoreboard_part *part)
{
    enum metrics_state state = judge(m, seat, part);
    m->workers[seat->role][state]++;
    if (seat->role != ROLE_WEB || seat->generation != m->copy.page.generation)
        return;
    m->hung += state == METRICS_HUNG;
    m->ready += state == METRICS_IDLE || state == METRICS_BUSY;
}

static void clear(struct metrics *m)
{
    const int32_t generation = m->copy.page.generation;
    const struct scoreboard_part named = {
        .routes = (struct route_stats *)(uintptr_t)find_names(m, generation)};
    if (named.routes) {
        totals_clear(&m->sums, &named, m->board->n_routes);
        m->n_named = m->sums.n_routes;
        m->named_generation = generation;
    } else { /* all have died: its breakers are those of the same routes still */
        m->n_named = m->named_generation == generation ? m->n_named : 0;
        totals_clear_counts(&m->sums, m->n_named);
    }
    m->io_threads = m->io_queued = 0;
    memset(m->connections, 0, sizeof m->connections);
    memset(m->exemplars, 0, m->sums.cap * sizeof m->exemplars[0]);
    m->hung = m->ready = 0;
    memset(m->workers, 0, sizeof m->workers);
    memset(m->inflight, 0, sizeof m->inflight);
}

static void add_living(struct metrics *m)
{
    for (uint32_t i = 0; i < m->copy.page.n_seats && i < m->board->n_seats; i++) {
        const struct ledger_seat *seat = seat_at(m, i);
        if (!is_living(seat))
            continue;
        struct scoreboard_part part = scoreboard_peek(m->board, i);
        count_state(m, seat, &part);
        if (seat->role == ROLE_WEB)
            add_web(m, &part);
        else if (seat->role == ROLE_COMPUTE)
            totals_add_tasks(&m->sums, &part, find_names(m, seat->generation), m->board->n_routes,
                             seat->pool);
    }
}

static void nap(void)
{
    static const struct timespec pause = {.tv_nsec = NAP_NS};
    (void)nanosleep(&pause, NULL);
}

/* ---- what processes use */

static void add_usage(struct metrics *m, enum role role, pid_t pid, uint32_t seat, uint32_t epoch)
{
    struct usage usage;
    if (pid <= 0 || usage_read(pid, &usage) < 0)
        return; /* it is gone, or /proc hides it */
    struct metrics_used *used = &m->used[role];
    used->rss_bytes += usage.rss_bytes;
    used->cpu_us += usage.cpu_ms * 1000;
    used->minor_faults += usage.minor_faults;
    used->major_faults += usage.major_faults;
    used->n++;
    if (m->pss[seat].epoch == epoch && m->pss[seat].bytes > 0) {
        used->pss_bytes += m->pss[seat].bytes;
        used->n_read++;
    }
}

static pid_t master_pid(const struct metrics *m)
{
    return ((const struct scoreboard_head *)(const void *)m->board->base)->master_pid;
}

static pid_t own_pid(const struct metrics *m)
{
    return scoreboard_peek(m->board, m->own_seat).head->pid;
}

static void add_usages(struct metrics *m)
{
    memset(m->used, 0, sizeof m->used);
    for (uint32_t i = 0; i < m->copy.page.n_seats && i < m->board->n_seats; i++) {
        const struct ledger_seat *seat = seat_at(m, i);
        if (is_living(seat))
            add_usage(m, (enum role)seat->role, seat->pid, i, seat->epoch);
    }
    add_usage(m, ROLE_MASTER, master_pid(m), m->board->n_seats, 0);
    add_usage(m, ROLE_ADMIN, own_pid(m), m->own_seat, 0);
    for (int role = 0; role < ROLE_COUNT; role++)
        if (m->used[role].n_read > 0)
            m->used[role].pss_bytes =
                m->used[role].pss_bytes / m->used[role].n_read * m->used[role].n;
}

/* ---- all of it */

/* Returns false: the master has been at it for 10 ms, so it was stopped there: what there is must
 * do */
static bool read_ledger(struct metrics *m, uint64_t now_us)
{
    bool is_whole = false;
    for (unsigned i = 0; i < TRIES && !is_whole; i++) {
        if (i > 0)
            nap();
        is_whole = ledger_read(&m->copy, m->ledger);
    }
    m->now_us = now_us;
    m->silent_us = m->copy.beat_us < now_us ? now_us - m->copy.beat_us : 0;
    return is_whole;
}

void metrics_gather(struct metrics *m, uint64_t now_us)
{
    bool is_done = false;
    for (unsigned i = 0; i < TRIES && !is_done; i++) {
        bool is_whole = read_ledger(m, now_us);
        clear(m);
        add_living(m);
        add_usages(m); /* who is reaped meanwhile is buried, too */
        is_done = !is_whole || ledger_is_current(&m->copy, m->ledger);
    }
    totals_add_totals(&m->sums, &m->copy.page.totals);
}

void metrics_look(struct metrics *m, uint64_t now_us, struct readiness_view *out)
{
    if (!ledger_read(&m->copy, m->ledger))
        nap(); /* states of processes may be of before: good enough */
    m->now_us = now_us;
    m->hung = m->ready = 0;
    memset(m->workers, 0, sizeof m->workers);
    for (uint32_t i = 0; i < m->copy.page.n_seats && i < m->board->n_seats; i++) {
        struct scoreboard_part part = scoreboard_peek(m->board, i);
        if (is_living(seat_at(m, i)))
            count_state(m, seat_at(m, i), &part);
    }
    m->silent_us = m->copy.beat_us < now_us ? now_us - m->copy.beat_us : 0;
    *out = (struct readiness_view){.stage = scoreboard_stage(m->board),
                                   .wanted = m->copy.page.n_web,
                                   .ready = m->ready,
                                   .hung = m->hung,
                                   .master_silent_us = m->silent_us};
}

/* Whose place in m->pss it is; 0: nobody's. */
static pid_t pid_at(const struct metrics *m, uint32_t i)
{
    if (i == m->board->n_seats)
        return master_pid(m);
    if (i == m->own_seat)
        return own_pid(m);
    return i < m->copy.page.n_seats && is_living(seat_at(m, i)) ? seat_at(m, i)->pid : 0;
}

void metrics_on_tick(struct metrics *m, uint64_t now_us)
{
    if (now_us < m->pss_due_us)
        return;
    (void)ledger_read(&m->copy, m->ledger);
    const uint32_t n = m->board->n_seats + 1;
    uint32_t i = m->next_pss;
    while (i < n && pid_at(m, i) <= 0)
        i++;
    m->next_pss = i + 1 < n ? i + 1 : 0;
    if (i < n && usage_read_pss(pid_at(m, i), &m->pss[i].bytes) == 0)
        m->pss[i].epoch = i < m->copy.page.n_seats ? seat_at(m, i)->epoch : 0;
    uint64_t took_us = clock_now_us() - now_us;
    m->pss_due_us = now_us + PSS_LEAST_US + PSS_SHARE * took_us;
}

int metrics_render(struct metrics *m, bool is_open, struct buf *out)
{
    struct exposition e;
    exposition_begin(&e, out, is_open);
    metrics_families_write(m, &e);
    exposition_end(&e);
    return e.rc;
}
