/* What handing a payload to a compute worker costs on this machine: by the queue, segment and inbox
 * that tasks use (ipc/task.h), from one process to another that has the nice value of the pool. */
#ifndef REMUDA_SERVER_DOCTOR_HANDOFF_H
#define REMUDA_SERVER_DOCTOR_HANDOFF_H

#include <stdint.h>
#include <stdio.h>

#define DOCTOR_HANDOFF_SIZES 6U
#define DOCTOR_HANDOFF_SLOW_US 15000U /* a hand-off that takes longer is called out */

struct err;
struct json_out;

struct doctor_handoff_row {
    uint64_t bytes; /* of the payload */
    uint32_t rounds;
    uint64_t p50_us, p99_us, max_us;
};

struct doctor_handoff {
    uint32_t nice; /* of the receiver, above ours, as in a pool */
    struct doctor_handoff_row rows[DOCTOR_HANDOFF_SIZES];
};

/* Measures, for some seconds at most. One round: the task is sent to a process that sleeps, which
 * reads all of the payload and replies; both were idle for half a millisecond before.
 * Returns  0; -errno, *err: it can't be measured */
int doctor_handoff_measure(uint32_t nice, struct doctor_handoff *out, struct err *err)
    __attribute__((warn_unused_result));

/* Half of its hand-offs take longer than DOCTOR_HANDOFF_SLOW_US, of any size. */
int doctor_handoff_is_slow(const struct doctor_handoff *handoff);

void doctor_handoff_print(const struct doctor_handoff *handoff, FILE *out);
void doctor_handoff_print_json(const struct doctor_handoff *handoff, struct json_out *out);

#endif
