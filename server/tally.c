/* Process: master. Numbers that stand for themselves, changed where something happens: who reads
 * one while it changes reads the one before. */
#include "server/tally.h"

#include "base/clock.h"

static uint64_t to_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * CLOCK_US_PER_S + (uint64_t)t.tv_usec;
}

void tally_count_restart(struct herd *herd, enum role role, enum ledger_reason reason)
{
    herd->ledger->page.restarts[role][reason]++;
}

void tally_count_used(struct herd *herd, enum role role, const struct rusage *used)
{
    struct ledger_used *sum = &herd->ledger->page.used[role];
    sum->cpu_us += to_us(used->ru_utime) + to_us(used->ru_stime);
    sum->minor_faults += (uint64_t)used->ru_minflt;
    sum->major_faults += (uint64_t)used->ru_majflt;
}

enum ledger_reason tally_reason(const struct seat *seat, enum cause cause)
{
    static const enum ledger_reason reasons[CAUSES] = {
        [CAUSE_IS_ORDERED] = LEDGER_EXIT,    [CAUSE_IS_MASTER] = LEDGER_HUNG,
        [CAUSE_IS_FAILED] = LEDGER_EXIT,     [CAUSE_IS_MEMORY] = LEDGER_MEMORY,
        [CAUSE_IS_REFUSED] = LEDGER_MEMORY,  [CAUSE_IS_OUTSIDE] = LEDGER_OUTSIDE,
        [CAUSE_IS_ASSERTION] = LEDGER_CRASH, [CAUSE_IS_CRASH] = LEDGER_CRASH,
        [CAUSE_IS_LIMIT] = LEDGER_LIMIT,     [CAUSE_IS_EXIT] = LEDGER_EXIT};
    if (seat->condemned != 0)
        return LEDGER_TASK;
    return seat->ready_us == 0 ? LEDGER_BOOT : reasons[cause];
}
