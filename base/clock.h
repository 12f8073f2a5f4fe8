/* Time. Inside remuda: uint64_t microseconds of CLOCK_MONOTONIC; wall time only for people. */
#ifndef REMUDA_BASE_CLOCK_H
#define REMUDA_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_US_PER_MS UINT64_C(1000)
#define CLOCK_US_PER_S UINT64_C(1000000)
#define CLOCK_NS_PER_US UINT64_C(1000)
#define CLOCK_NS_PER_S UINT64_C(1000000000)

/* Microseconds since boot, never going back. No system call (vDSO). Safe in signal handlers. */
static inline uint64_t clock_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CLOCK_US_PER_S + (uint64_t)t.tv_nsec / 1000U;
}

/* The same in nanoseconds. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CLOCK_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* What a thread has computed, in nanoseconds, by its clock: CLOCK_THREAD_CPUTIME_ID for one's own.
 * A system call, half a microsecond and more. 0 when there is no such thread any more. */
static inline uint64_t clock_cpu_ns(clockid_t clock)
{
    struct timespec t = {0};
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CLOCK_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The processor's own count of time, in units of its own: for a stopwatch that costs next to
 * nothing. What a unit is must be measured, and a difference may be nonsense where the CPUs of a
 * machine don't agree: whoever acts on one asks a real clock first. */
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return clock_now_us();
#endif
}

/* Wall clock, microseconds since 1970-01-01 UTC. */
static inline uint64_t clock_wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * CLOCK_US_PER_S + (uint64_t)t.tv_nsec / 1000U;
}

#endif
