/* What the task of a dead compute worker has used. */
#ifndef REMUDA_SERVER_ACCOUNTS_H
#define REMUDA_SERVER_ACCOUNTS_H

#include <stdbool.h>

#include "server/herd.h"

/* Of a compute worker that was reaped with a task in hand that it had not finished.
 * Returns  false: it had none */
bool accounts_of(const struct herd *herd, const struct seat *seat, struct account_used *out_used)
    __attribute__((warn_unused_result));

/* Statistics blocks, named as all workers of a generation name theirs, of a web worker. NULL: there
 * is none left */
const struct route_stats *accounts_names(const struct herd *herd, int generation);

/* Adds to the totals what a compute worker that is dead has counted; of one whose seat was written
 * over, the task that it must have had, and nothing else. */
void accounts_close(struct herd *herd, const struct seat *seat);

/* Adds that to the totals of route and pool. lost: of tasks_tell_loss(); `used` is filled in */
void accounts_bury(struct herd *herd, const struct seat *seat, struct msg *lost);

#endif
