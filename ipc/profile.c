/* See profile.h. One writer for each counter: plain loads and stores, no locked instruction. */
#include "ipc/profile.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_US 1000U
#define FIRST_CALLS 16U
#define INTERVAL_US 5000U /* at 10 µs a measurement, a five-hundredth of a CPU */
#define WEIGHT_SHIFT 5    /* a call weighs 1/32 in a moving average */

const char *const profile_lane_names[PROFILE_LANES] = {
    [PROFILE_INLINE] = "inline", [PROFILE_IO] = "io", [PROFILE_COMPUTE] = "compute"};

const char *const profile_method_names[PROFILE_METHODS] = {
    [PROFILE_GET] = "GET",         [PROFILE_HEAD] = "HEAD",     [PROFILE_POST] = "POST",
    [PROFILE_PUT] = "PUT",         [PROFILE_DELETE] = "DELETE", [PROFILE_PATCH] = "PATCH",
    [PROFILE_OPTIONS] = "OPTIONS", [PROFILE_OTHER] = "other"};

enum profile_method profile_method_of(const char *method)
{
    for (int i = 0; i < PROFILE_OTHER; i++)
        if (strcmp(method, profile_method_names[i]) == 0)
            return (enum profile_method)i;
    return PROFILE_OTHER;
}

static inline uint64_t load(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static inline void average(_Atomic uint64_t *mean, uint64_t value, bool is_first)
{
    int64_t old = (int64_t)load(mean);
    int64_t step = ((int64_t)value - old) / (1 << WEIGHT_SHIFT);
    atomic_store_explicit(mean, is_first ? value : (uint64_t)(old + step), memory_order_relaxed);
}

void profile_bound(struct profile_call *call)
{
    if (call->cpu_ns > call->wall_ns)
        call->cpu_ns = call->wall_ns;
    if (call->delay_ns > call->wall_ns - call->cpu_ns)
        call->delay_ns = call->wall_ns - call->cpu_ns;
}

/* As many calls are passed over as their length makes worth while. */
static void set_due(struct profile *p)
{
    uint64_t calls = load(&p->calls), mean_ns = load(&p->mean_wall_ns);
    uint64_t after = calls < FIRST_CALLS || mean_ns >= 1000 * NS_PER_US ? 0
                     : mean_ns >= 20 * NS_PER_US                        ? 128
                                                                        : 256;
    atomic_store_explicit(&p->due, calls + after, memory_order_relaxed);
}

bool profile_judge_due(struct profile *p, uint64_t now_us)
{
    if (load(&p->calls) >= FIRST_CALLS && now_us < load(&p->due_us))
        return false;
    set_due(p);
    atomic_store_explicit(&p->due_us, now_us + INTERVAL_US, memory_order_relaxed);
    return true;
}

static void note_measured(struct profile *p, const struct profile_call *call)
{
    bool is_first = load(&p->measured) == 0;
    meter_add(&p->measured, 1);
    meter_add(&p->measured_wall_ns, call->wall_ns);
    meter_add(&p->cpu_ns, call->cpu_ns);
    meter_add(&p->delay_ns, call->delay_ns);
    average(&p->mean_wall_ns, call->wall_ns, is_first);
    average(&p->mean_cpu_ns, call->cpu_ns, is_first);
    average(&p->mean_delay_ns, call->delay_ns, is_first);
    set_due(p); /* by what is known now */
}

void profile_note(struct profile *p, const struct profile_call *call)
{
    bool is_first = load(&p->calls) == 0;
    profile_note_wall(p, call->wall_ns);
    meter_add(&p->wait_ns, call->wait_ns);
    meter_add(&p->wait[meter_bucket(call->wait_ns / NS_PER_US)], 1);
    average(&p->mean_wait_ns, call->wait_ns, is_first);
    if (call->is_measured)
        note_measured(p, call);
}

void profile_note_inline(struct profile *p, const struct profile_call *call)
{
    profile_note_wall(p, call->wall_ns);
    note_measured(p, call);
}

void profile_clear(struct profile *p)
{
    _Atomic uint64_t *numbers = (_Atomic uint64_t *)p;
    for (size_t i = 0; i < sizeof *p / sizeof *numbers; i++)
        atomic_store_explicit(&numbers[i], 0, memory_order_relaxed);
}

void profile_add(struct profile_sums *sums, const struct profile *p)
{
    sums->calls += load(&p->calls);
    sums->wall_ns += load(&p->wall_ns);
    sums->wait_ns += load(&p->wait_ns);
    sums->measured += load(&p->measured);
    sums->measured_wall_ns += load(&p->measured_wall_ns);
    sums->cpu_ns += load(&p->cpu_ns);
    sums->delay_ns += load(&p->delay_ns);
    for (size_t i = 0; i < METER_BUCKETS; i++) {
        sums->wall[i] += load(&p->wall[i]);
        sums->wait[i] += load(&p->wait[i]);
    }
}

/* All of a struct profile_sums is numbers of one kind. */
#define NUMBERS (sizeof(struct profile_sums) / sizeof(uint64_t))

void profile_merge(struct profile_sums *sums, const struct profile_sums *others)
{
    uint64_t *to = (uint64_t *)sums;
    const uint64_t *from = (const uint64_t *)others;
    for (size_t i = 0; i < NUMBERS; i++)
        to[i] += from[i];
}

struct profile_sums profile_since(const struct profile_sums *now, const struct profile_sums *then)
{
    struct profile_sums out;
    uint64_t *to = (uint64_t *)&out;
    const uint64_t *a = (const uint64_t *)now;
    const uint64_t *b = (const uint64_t *)then;
    for (size_t i = 0; i < NUMBERS; i++)
        to[i] = a[i] > b[i] ? a[i] - b[i] : 0;
    return out;
}

uint64_t profile_waited_ns(const struct profile_sums *sums)
{
    uint64_t busy_ns = sums->cpu_ns + sums->delay_ns;
    return sums->measured_wall_ns > busy_ns ? sums->measured_wall_ns - busy_ns : 0;
}
