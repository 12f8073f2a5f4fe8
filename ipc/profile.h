/* What calls of a route take, lane by lane: noted by the web worker that answers, in its own part
 * of the shared table; whatever lane its handler ran in. Readers add up what workers have noted.
 *
 * Of the time from a call's begin to its end (wall), some is computing (C, the CPU time of its
 * thread or process), some is being ready to compute while others have the CPUs (delay), and what
 * is left is waiting (W). Without the delay a CPU that has too much to do would look like handlers
 * that wait, and more threads would seem to help. */
#ifndef REMUDA_IPC_PROFILE_H
#define REMUDA_IPC_PROFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/meter.h"

/* Where a handler ran. `auto` is not one of them: it chooses among them. */
enum profile_lane { PROFILE_INLINE, PROFILE_IO, PROFILE_COMPUTE, PROFILE_LANES };
extern const char *const profile_lane_names[PROFILE_LANES]; /* "inline", "io", "compute" */

/* Methods that are counted apart, so that their number is bounded. */
enum profile_method {
    PROFILE_GET,
    PROFILE_HEAD,
    PROFILE_POST,
    PROFILE_PUT,
    PROFILE_DELETE,
    PROFILE_PATCH,
    PROFILE_OPTIONS,
    PROFILE_OTHER,
    PROFILE_METHODS
};
extern const char *const profile_method_names[PROFILE_METHODS]; /* "GET" … "OPTIONS", "other" */

#define PROFILE_CLASSES 6 /* of statuses: [0] cut off without an answer, 1xx … 5xx */

/* One call. */
struct profile_call {
    uint64_t wait_ns;  /* in the lane's queue, before it began; inline: 0 */
    uint64_t wall_ns;  /* from its begin to its end */
    uint64_t cpu_ns;   /* of that, computing; */
    uint64_t delay_ns; /* and ready to, 0 where the kernel does not say (both only if measured) */
    bool is_measured;  /* cpu_ns and delay_ns are known */
};

/* In the shared table, written by one process; one of a route in a lane. */
struct profile {
    _Atomic uint64_t calls;
    _Atomic uint64_t due;     /* the writer's: no call before this one is measured, */
    _Atomic uint64_t due_us;  /* and none before this time */
    _Atomic uint64_t wall_ns; /* sums, these two of all calls */
    _Atomic uint64_t wait_ns;
    _Atomic uint64_t measured;         /* calls whose CPU time is known, */
    _Atomic uint64_t measured_wall_ns; /* and sums of those */
    _Atomic uint64_t cpu_ns;
    _Atomic uint64_t delay_ns;
    /* Moving averages, a call weighs 1/32 (the first one all); of measured calls but for wait. */
    _Atomic uint64_t mean_wall_ns;
    _Atomic uint64_t mean_cpu_ns;
    _Atomic uint64_t mean_delay_ns;
    _Atomic uint64_t mean_wait_ns;
    _Atomic uint64_t wall[METER_BUCKETS]; /* calls by their time, in µs; */
    _Atomic uint64_t wait[METER_BUCKETS]; /* those that waited, by that */
};

/* In private memory: what several have noted, added up. */
struct profile_sums {
    uint64_t calls;
    uint64_t wall_ns;
    uint64_t wait_ns;
    uint64_t measured;
    uint64_t measured_wall_ns;
    uint64_t cpu_ns;
    uint64_t delay_ns;
    uint64_t wall[METER_BUCKETS];
    uint64_t wait[METER_BUCKETS];
};

/* Of a method as it stands in a request, NUL-terminated; upper and lower case differ (RFC 9110). */
enum profile_method profile_method_of(const char *method);

/* Of one thread: it has not computed for longer than it took, nor been delayed for longer than is
 * left. The clocks are read one after another, and what that takes is in some of them. */
void profile_bound(struct profile_call *call);

/* The occupant, before a call that may be the next one to be measured: is it? A thread's CPU clock
 * takes system calls, so not all are: the first 16; then all that take 1 ms or more, 1 of 128 that
 * take less, 1 of 256 below 20 µs, by what they took so far; and one in 5 ms at most.
 * now_us  by base/clock.h, not quite */
bool profile_judge_due(struct profile *profile, uint64_t now_us);

/* The same, by a look at what was judged before. */
static inline bool profile_take_due(struct profile *profile, uint64_t now_us)
{
    uint64_t calls = atomic_load_explicit(&profile->calls, memory_order_relaxed);
    if (__builtin_expect(calls < atomic_load_explicit(&profile->due, memory_order_relaxed), 1))
        return false;
    return profile_judge_due(profile, now_us);
}

/* The occupant: a call has ended. */
void profile_note(struct profile *profile, const struct profile_call *call);

/* The same for one that has not waited in any queue, and was measured; */
void profile_note_inline(struct profile *profile, const struct profile_call *call);

/* or was not, in a few instructions. */
static inline void profile_note_wall(struct profile *profile, uint64_t wall_ns)
{
    meter_add(&profile->calls, 1);
    meter_add(&profile->wall_ns, wall_ns);
    meter_add(&profile->wall[meter_bucket(wall_ns / 1000U)], 1);
}

/* The occupant: begins anew. */
void profile_clear(struct profile *profile);

/* Adds what another process has noted. */
void profile_add(struct profile_sums *sums, const struct profile *profile);
void profile_merge(struct profile_sums *sums, const struct profile_sums *others);

/* What was noted between two looks at the same counters; where one fell, since somebody died who
 * has not been added to the totals yet, nothing of that one. */
struct profile_sums profile_since(const struct profile_sums *now, const struct profile_sums *then);

/* W: of all measured calls together, in ns: wall - CPU - delay, ≥ 0. */
uint64_t profile_waited_ns(const struct profile_sums *sums);

#endif
