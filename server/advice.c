/* See advice.h. One row for each thing that can be said, the most pressing first; the first whose
 * conditions hold is said. The bounds are guesses, apart from what a hand-over costs: two wake-ups,
 * of some 50 µs each, to a thread or a compute worker and back. */
#include "server/advice.h"

#include <stddef.h>
#include <stdio.h>

#include "server/plain.h"

#define ENOUGH 16U        /* measured calls: fewer say nothing */
#define LOOP_US 500.0     /* that a call may hold a loop: others wait for as long */
#define COMPUTE_US 1000.0 /* of computing: less is not worth a process of its own */
#define HANDOVER_US 100.0 /* what a lane elsewhere costs by itself */
#define QUEUE_US 10000.0  /* in a queue: nobody notices less */
#define ERRORS_PERCENT 5U

/* Of a call, on average, in µs. */
struct means {
    double queued; /* in the lane's queue */
    double wall;
    double waited;
    double cpu;
    double delay;
};

static double mean(uint64_t sum_ns, uint64_t n)
{
    return n > 0 ? (double)sum_ns / (double)n / 1e3 : 0;
}

static struct means means_of(const struct profile_sums *sums)
{
    return (struct means){.queued = mean(sums->wait_ns, sums->calls),
                          .wall = mean(sums->measured_wall_ns, sums->measured),
                          .waited = mean(profile_waited_ns(sums), sums->measured),
                          .cpu = mean(sums->cpu_ns, sums->measured),
                          .delay = mean(sums->delay_ns, sums->measured)};
}

static unsigned percent(double part, double whole)
{
    return whole > 0 ? (unsigned)(100 * part / whole + 0.5) : 0;
}

/* ---- the rows: each returns whether it has something to say, and says it */

static bool waits_on_the_loop(const struct advice_case *c, const struct means *m, char *out)
{
    if (!c->has_loop || c->lane != PROFILE_INLINE || m->wall < LOOP_US || m->waited < m->wall / 2)
        return false;
    (void)snprintf(out, ADVICE_MAX, "waits %u %% of its time on the event loop: move it to io",
                   percent(m->waited, m->wall));
    return true;
}

static bool computes_on_the_loop(const struct advice_case *c, const struct means *m, char *out)
{
    char cpu[PLAIN_MAX];
    if (!c->has_loop || c->lane != PROFILE_INLINE || m->cpu < COMPUTE_US)
        return false;
    (void)snprintf(out, ADVICE_MAX, "computes %s on the event loop: move it to compute",
                   plain_us(cpu, (uint64_t)m->cpu));
    return true;
}

static bool computes_in_io(const struct advice_case *c, const struct means *m, char *out)
{
    char cpu[PLAIN_MAX];
    if (c->lane != PROFILE_IO || m->cpu < COMPUTE_US || m->cpu < m->waited)
        return false;
    (void)snprintf(out, ADVICE_MAX, "computes %s, more than it waits, in io: move it to compute",
                   plain_us(cpu, (uint64_t)m->cpu));
    return true;
}

static bool waits_in_compute(const struct advice_case *c, const struct means *m, char *out)
{
    if (c->lane != PROFILE_COMPUTE || m->waited < COMPUTE_US || m->waited < m->wall / 2)
        return false;
    (void)snprintf(out, ADVICE_MAX, "waits %u %% of its time in a compute worker: move it to io",
                   percent(m->waited, m->wall));
    return true;
}

static bool queues(const struct advice_case *c, const struct means *m, char *out)
{
    char queued[PLAIN_MAX];
    if (m->queued < QUEUE_US || m->queued < m->wall)
        return false;
    (void)snprintf(out, ADVICE_MAX, "waits %s for %s, longer than it runs: %s",
                   plain_us(queued, (uint64_t)m->queued),
                   c->lane == PROFILE_IO ? "a thread" : "a compute worker",
                   c->lane == PROFILE_IO ? "raise threads" : "give its pool more workers");
    return true;
}

static bool lacks_cpus(const struct advice_case *c, const struct means *m, char *out)
{
    (void)c;
    if (m->delay < COMPUTE_US || m->delay < m->wall / 2)
        return false;
    (void)snprintf(out, ADVICE_MAX,
                   "is ready but has no CPU for %u %% of its time: the CPUs have too much to do",
                   percent(m->delay, m->wall));
    return true;
}

static bool fails(const struct advice_case *c, const struct means *m, char *out)
{
    (void)m;
    if (c->answers < ENOUGH || c->errors * 100 < c->answers * ERRORS_PERCENT)
        return false;
    (void)snprintf(out, ADVICE_MAX, "%u %% of its answers are errors: see the log",
                   percent((double)c->errors, (double)c->answers));
    return true;
}

static bool is_small(const struct advice_case *c, const struct means *m, char *out)
{
    char wall[PLAIN_MAX];
    if (c->lane == PROFILE_INLINE || m->wall >= HANDOVER_US / 2)
        return false;
    (void)snprintf(
        out, ADVICE_MAX, "takes %s, less than the hand-over to %s: inline would be faster",
        plain_us(wall, (uint64_t)m->wall), c->lane == PROFILE_IO ? "a thread" : "a process");
    return true;
}

bool advice_give(const struct advice_case *c, char out[ADVICE_MAX])
{
    static bool (*const rows[])(const struct advice_case *, const struct means *, char *) = {
        waits_on_the_loop,
        computes_on_the_loop,
        computes_in_io,
        waits_in_compute,
        fails,
        queues,
        lacks_cpus,
        is_small,
    };
    const struct means m = means_of(c->sums);
    out[0] = '\0';
    if (c->sums->measured < ENOUGH)
        return fails(c, &m, out);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i](c, &m, out))
            return true;
    return false;
}
