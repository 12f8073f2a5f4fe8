/* What the master counts of its processes for the ledger (ipc/ledger.h). */
#ifndef REMUDA_SERVER_TALLY_H
#define REMUDA_SERVER_TALLY_H

#include <sys/resource.h>

#include "ipc/ledger.h"
#include "server/cause.h"
#include "server/herd.h"

/* Somebody had to be replaced. */
void tally_count_restart(struct herd *herd, enum role role, enum ledger_reason reason);
enum ledger_reason tally_reason(const struct seat *seat, enum cause cause);

/* A process has been reaped, which used that. */
void tally_count_used(struct herd *herd, enum role role, const struct rusage *used);

#endif
