/* Gauges. Process: master. What workers have written is counted, never followed; a number that
 * fell, since somebody has died, is taken for none. */
#include "server/gauge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/usage.h"
#include "config/headroom.h"
#include "server/herd.h"
#include "server/tasks.h"

#define READ_US CLOCK_US_PER_S
#define CPUS_TEXT 65536U /* of /proc/stat: hundreds of CPUs, and the rest does not matter */
#define SETTLED_US (30 * CLOCK_US_PER_S) /* a web worker has what it needs by then: a guess */

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Returns bytes; -errno */
static ssize_t read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, out, size - 1);
    int rc = n < 0 ? -errno : 0;
    fd_close(&fd);
    if (rc < 0)
        return rc;
    out[n] = '\0';
    return n;
}

/* "some avg10=1.23 avg60=…": of our cgroup, else of the machine. */
static double read_pressure(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.pressure", "/proc/pressure/memory"};
    char text[256];
    double share;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (read_text(paths[i], text, sizeof text) > 0 &&
            sscanf(text, "some avg10=%lf", &share) == 1)
            return share;
    return -1;
}

static uint64_t ms_of(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000;
}

/* Of those who live, and of those who lived. */
static uint64_t sum_cpu_ms(const struct herd *herd)
{
    static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    uint64_t sum_ms = 0;
    for (size_t i = 0; i < sizeof whose / sizeof whose[0]; i++) {
        struct rusage used;
        if (getrusage(whose[i], &used) == 0)
            sum_ms += ms_of(&used.ru_utime) + ms_of(&used.ru_stime);
    }
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        struct usage usage;
        if (seat->phase != SEAT_FREE && seat->phase != SEAT_BURIED && seat->pid > 0 &&
            usage_read(seat->pid, &usage) == 0)
            sum_ms += usage.cpu_ms;
    }
    return sum_ms;
}

uint64_t gauge_parse_idle_ms(const char *text, const cpu_set_t *allowed, long ticks_a_second)
{
    uint64_t ticks = 0;
    int n = 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        unsigned cpu;
        uint64_t idle, waiting; /* for a disk: nobody computes meanwhile */
        line += *line == '\n';
        if (strncmp(line, "cpu", 3) != 0 || line[3] < '0' || line[3] > '9') /* the sum of all */
            continue;
        if (sscanf(line, "cpu%u %*u %*u %*u %" SCNu64 " %" SCNu64, &cpu, &idle, &waiting) != 3)
            continue;
        if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, allowed))
            continue;
        ticks += idle + waiting;
        n++;
    }
    return n == CPU_COUNT(allowed) ? ticks * 1000 / (uint64_t)ticks_a_second : UINT64_MAX;
}

static uint64_t read_idle_ms(void)
{
    static char text[CPUS_TEXT];
    cpu_set_t allowed;
    const long ticks_a_second = sysconf(_SC_CLK_TCK);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0 || ticks_a_second <= 0 ||
        read_text("/proc/stat", text, sizeof text) <= 0)
        return UINT64_MAX;
    return gauge_parse_idle_ms(text, &allowed, ticks_a_second);
}

static void read_free_cpus(struct gauge *gauge, double elapsed_ms, uint64_t own_ms)
{
    uint64_t idle_ms = read_idle_ms();
    bool is_known = gauge->read_us != 0 && idle_ms != UINT64_MAX && gauge->idle_ms != UINT64_MAX &&
                    idle_ms >= gauge->idle_ms && elapsed_ms > 0;
    gauge->free_cpus = is_known ? (double)(idle_ms - gauge->idle_ms + own_ms) / elapsed_ms : -1;
    gauge->idle_ms = idle_ms;
}

void gauge_read(struct gauge *gauge, const struct herd *herd)
{
    if (gauge->read_us != 0 && herd->now_us - gauge->read_us < READ_US)
        return;
    uint64_t cpu_ms = sum_cpu_ms(herd);
    double elapsed_ms = (double)(herd->now_us - gauge->read_us) / CLOCK_US_PER_MS;
    double cpus = herd->current->settings->cpus;
    read_free_cpus(gauge, elapsed_ms, minus(cpu_ms, gauge->cpu_ms));
    gauge->cpu_share = gauge->read_us == 0 || cpu_ms < gauge->cpu_ms || cpus < 1
                           ? -1
                           : (double)(cpu_ms - gauge->cpu_ms) / (elapsed_ms * cpus);
    gauge->memory_pressure = read_pressure();
    gauge->cpu_ms = cpu_ms;
    gauge->read_us = herd->now_us;
}

int gauge_read_thread(pid_t pid, struct gauge_thread *out)
{
    char path[40];
    char text[128];
    struct gauge_thread thread;
    (void)snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    ssize_t n = read_text(path, text, sizeof text);
    if (n < 0)
        return (int)n;
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &thread.run_ns, &thread.delay_ns) != 2)
        return -EINVAL;
    *out = thread;
    return 0;
}

int gauge_read_switches(pid_t pid, uint64_t *out)
{
    static const char name[] = "nonvoluntary_ctxt_switches:";
    char path[40];
    char text[4096];
    uint64_t n;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    ssize_t len = read_text(path, text, sizeof text);
    if (len < 0)
        return (int)len;
    const char *line = strstr(text, name);
    if (!line || sscanf(line + sizeof name - 1, "%" SCNu64, &n) != 1)
        return -EINVAL;
    *out = n;
    return 0;
}

/* ---- memory ---- */

/* Workers of a kind. */
struct crew {
    uint64_t needs_bytes; /* one of them, 0: not known */
    uint64_t lacks_bytes; /* all of them together, until they have that */
};

static uint64_t bytes_of(const struct seat *seat)
{
    uint64_t bytes = seat && seat->pid > 0 ? headroom_of_process("/proc", seat->pid) : 0;
    return bytes == HEADROOM_UNKNOWN ? 0 : bytes;
}

/* Pages of files and shared memory. */
static uint64_t shared_of(const struct seat *seat)
{
    struct usage usage;
    if (seat->pid <= 0 || usage_read(seat->pid, &usage) < 0)
        return 0;
    return minus(usage.rss_bytes, bytes_of(seat));
}

/* A web worker that has served for a while has what it needs, or else what one has that leaks would
 * be set aside for all of them. In a pool any of them may get a large task at any time. */
static bool is_settled(const struct herd *herd, const struct seat *seat)
{
    return seat && seat->role == ROLE_WEB && seat->phase == SEAT_READY &&
           herd->now_us - seat->ready_us >= SETTLED_US;
}

/* needs_bytes  what is known of it beside what they have
 * limit_bytes  0: there is none */
static struct crew measure(const struct herd *herd, const struct post *workers, uint32_t n,
                           uint64_t needs_bytes, uint64_t limit_bytes)
{
    struct crew crew = {.needs_bytes = needs_bytes};
    uint64_t has_bytes = 0;
    uint32_t n_open = 0; /* that may come to have more */
    for (uint32_t i = 0; i < n; i++) {
        uint64_t bytes = bytes_of(workers[i].seat);
        if (limit_bytes > 0 && bytes > limit_bytes)
            bytes = limit_bytes;
        if (bytes > crew.needs_bytes)
            crew.needs_bytes = bytes;
        if (is_settled(herd, workers[i].seat))
            continue;
        has_bytes += bytes;
        n_open++;
    }
    crew.lacks_bytes = n_open * crew.needs_bytes - has_bytes; /* none has more than it needs */
    return crew;
}

/* The most that a task had, of the dead of this generation, too. The kernel counts shared pages in
 * it, which another worker will not bring once more: those that a worker has now are taken off its
 * own; of the dead, the most that one of the living has. A pool without tasks so far is taken for
 * what it is: many never get one. */
static struct crew measure_pool(const struct herd *herd, const struct pool *pool)
{
    const uint64_t limit_bytes = pool->settings->memory_limit_bytes;
    uint64_t needs_bytes = 0, most_shared = 0;
    struct task task;
    bool has_task = false, is_known = pool->peak_bytes > 0;
    for (uint32_t i = 0; i < pool->n_workers; i++) {
        const struct seat *seat = pool->workers[i].seat;
        struct account_sums sums = {0};
        if (!seat)
            continue;
        account_add(&sums, &scoreboard_peek(&herd->board, seat->number).head->account);
        has_task |= tasks_peek(herd, seat, &task) != TASK_NONE;
        uint64_t peak = sums.numbers[ACCOUNT_PEAK_BYTES];
        uint64_t shared = shared_of(seat);
        is_known |= peak > 0;
        needs_bytes = most(needs_bytes, minus(peak, shared));
        most_shared = most(most_shared, shared);
    }
    needs_bytes = most(needs_bytes, minus(pool->peak_bytes, most_shared));
    if (!is_known && has_task)
        needs_bytes = limit_bytes;
    if (limit_bytes > 0 && needs_bytes > limit_bytes)
        needs_bytes = limit_bytes;
    return measure(herd, pool->workers, pool->n_workers, needs_bytes, limit_bytes);
}

struct gauge_room gauge_read_room(const struct herd *herd)
{
    struct machine machine;
    const struct generation *g = herd->current;
    struct crew crew = measure(herd, g->workers, g->n_workers, 0, 0);
    struct gauge_room room = {.web_bytes = crew.needs_bytes, .set_aside_bytes = crew.lacks_bytes};
    for (uint32_t i = 0; i < g->pools.n; i++) {
        if (!pools_is_used(&g->pools, (int)i))
            continue;
        crew = measure_pool(herd, &g->pools.items[i]);
        room.pool_bytes[i] = crew.needs_bytes;
        room.set_aside_bytes += crew.lacks_bytes;
    }
    machine_read(&machine, "/proc", "/sys/fs/cgroup");
    room.bytes = FAULT("growth.room") ? 0 : headroom_bytes(&machine, "/proc");
    if (room.bytes != HEADROOM_UNKNOWN)
        room.bytes = minus(room.bytes, room.set_aside_bytes);
    return room;
}

uint32_t gauge_count_fit(const struct gauge_room *room, uint64_t needs_bytes)
{
    uint64_t n = room->bytes / (needs_bytes > 0 ? needs_bytes : 1);
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

uint32_t gauge_take(struct gauge_room *room, uint64_t needs_bytes, uint32_t least, uint32_t at_most)
{
    uint32_t n = gauge_count_fit(room, needs_bytes);
    n = n < at_most ? n : at_most;
    n = n > least ? n : least;
    if (room->bytes != HEADROOM_UNKNOWN)
        room->bytes = minus(room->bytes, n * needs_bytes);
    return n;
}

/* ---- calls ---- */

static void add_worker(const struct herd *herd, const struct seat *seat, enum profile_lane lane,
                       struct profile_sums *sums)
{
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    for (uint32_t i = 0; i < herd->board.n_routes && part.routes[i].name[0] != '\0'; i++)
        if (atomic_load_explicit(&part.routes[i].lanes[lane].calls, memory_order_relaxed) > 0)
            profile_add(sums, &part.routes[i].lanes[lane]);
}

static uint64_t advance(uint64_t now, uint64_t *seen)
{
    uint64_t gained = now > *seen ? now - *seen : 0;
    *seen = now;
    return gained;
}

struct gauge_calls gauge_calls_since(const struct herd *herd, enum profile_lane lane,
                                     struct gauge_calls *seen)
{
    struct profile_sums sums = {0};
    struct gauge_calls calls;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->phase == SEAT_READY && seat->role == ROLE_WEB &&
            seat->generation == herd->current->number)
            add_worker(herd, seat, lane, &sums);
    }
    for (size_t i = 0; i < METER_BUCKETS; i++) {
        calls.wall[i] = advance(sums.wall[i], &seen->wall[i]);
        calls.wait[i] = advance(sums.wait[i], &seen->wait[i]);
    }
    return calls;
}
