/* See account.h. Numbers of a part are read while they change: each stands for itself. */
#include "ipc/account.h"

#include <stdbool.h>
#include <stddef.h>

#include "ipc/task.h"

_Static_assert(ACCOUNT_CRASH - 1 + TASK_LOSS_CRASH == ACCOUNT_CRASH &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_MEMORY == ACCOUNT_MEMORY &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_TIMEOUT == ACCOUNT_TIMEOUT &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_CPU == ACCOUNT_CPU_LIMIT &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_CANCELLED == ACCOUNT_CANCELLED &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_KILLED == ACCOUNT_KILLED &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_STARVED == ACCOUNT_STARVED &&
                   ACCOUNT_CRASH - 1 + TASK_LOSS_STOPPED == ACCOUNT_STOPPED &&
                   ACCOUNT_CRASH - 1 + TASK_LOSSES == ACCOUNT_ENDS,
               "one order");

const char *const account_names[ACCOUNT_NUMBERS] = {
    [ACCOUNT_ANSWERED] = "answered",     [ACCOUNT_FAILED] = "failed",
    [ACCOUNT_DROPPED] = "dropped",       [ACCOUNT_SHED] = "shed",
    [ACCOUNT_CRASH] = "crash",           [ACCOUNT_MEMORY] = "memory",
    [ACCOUNT_TIMEOUT] = "timeout",       [ACCOUNT_CPU_LIMIT] = "cpu_limit",
    [ACCOUNT_CANCELLED] = "cancelled",   [ACCOUNT_KILLED] = "killed",
    [ACCOUNT_STARVED] = "out_of_memory", [ACCOUNT_STOPPED] = "stopped",
    [ACCOUNT_WAIT_US] = "wait_us",       [ACCOUNT_WALL_US] = "wall_us",
    [ACCOUNT_CPU_US] = "cpu_us",         [ACCOUNT_FAULTS] = "faults",
    [ACCOUNT_PEAK_BYTES] = "peak_bytes"};

void account_count(struct account_sums *sums, enum account_number end,
                   const struct account_used *used)
{
    uint64_t *to = sums->numbers;
    to[end]++;
    to[ACCOUNT_WAIT_US] += used->wait_us;
    to[ACCOUNT_WALL_US] += used->wall_us;
    to[ACCOUNT_CPU_US] += used->cpu_us;
    to[ACCOUNT_FAULTS] += used->faults;
    if (used->peak_bytes > to[ACCOUNT_PEAK_BYTES])
        to[ACCOUNT_PEAK_BYTES] = used->peak_bytes;
}

static uint64_t load(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void store(_Atomic uint64_t *to, uint64_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

void account_merge(struct account_sums *sums, const struct account_sums *others)
{
    for (size_t i = 0; i < ACCOUNT_NUMBERS; i++) {
        uint64_t n = others->numbers[i];
        if (i != ACCOUNT_PEAK_BYTES)
            sums->numbers[i] += n;
        else if (n > sums->numbers[i])
            sums->numbers[i] = n;
    }
}

static struct account_sums read_all(const struct account *account)
{
    struct account_sums sums;
    for (size_t i = 0; i < ACCOUNT_NUMBERS; i++)
        sums.numbers[i] = load(&account->numbers[i]);
    return sums;
}

void account_add(struct account_sums *sums, const struct account *account)
{
    struct account_sums others = read_all(account);
    for (size_t i = 0; i < ACCOUNT_NUMBERS; i++)
        if (others.numbers[i] > ACCOUNT_BELIEVABLE_MAX)
            return;
    account_merge(sums, &others);
}

void account_note(struct account *account, enum account_number end, const struct account_used *used)
{
    struct account_sums sums = read_all(account);
    account_count(&sums, end, used);
    for (size_t i = 0; i < ACCOUNT_NUMBERS; i++)
        store(&account->numbers[i], sums.numbers[i]);
}

uint64_t account_tasks(const struct account_sums *sums)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ACCOUNT_ENDS; i++)
        n += sums->numbers[i];
    return n;
}

void account_begin(struct account_mark *mark, uint64_t id, uint64_t taken_us,
                   const struct account_used *before, uint64_t block)
{
    store(&mark->taken_us, taken_us);
    store(&mark->cpu_us, before->cpu_us);
    store(&mark->faults, before->faults);
    store(&mark->block, block);
    atomic_store_explicit(&mark->id, id, memory_order_release);
}

int64_t account_block(const struct account_mark *mark, uint64_t id, uint32_t n)
{
    bool is_begun = atomic_load_explicit(&mark->id, memory_order_acquire) == id;
    uint64_t block = load(&mark->block);
    return is_begun && block > 0 && block <= n ? (int64_t)block - 1 : -1;
}

static uint64_t since(uint64_t before, uint64_t now)
{
    return before < now ? now - before : 0;
}

struct account_used account_of_dead(const struct account_mark *mark, uint64_t id,
                                    uint64_t queued_us, uint64_t now_us,
                                    const struct account_used *life)
{
    bool is_begun = atomic_load_explicit(&mark->id, memory_order_acquire) == id;
    uint64_t taken_us = load(&mark->taken_us);
    if (!is_begun || taken_us > now_us)
        return (struct account_used){.wait_us = since(queued_us, now_us)};
    return (struct account_used){.wait_us = since(queued_us, taken_us),
                                 .wall_us = now_us - taken_us,
                                 .cpu_us = since(load(&mark->cpu_us), life->cpu_us),
                                 .faults = since(load(&mark->faults), life->faults),
                                 .peak_bytes = life->peak_bytes};
}
