/* The admin process: metrics and health, at an address of its own. */
#ifndef REMUDA_WORKERS_ADMIN_H
#define REMUDA_WORKERS_ADMIN_H

#include "ipc/heritage.h"

/* Takes the shared table, the ledger and its listening sockets from its channel, says READY, and
 * answers until it is told to stop. Never returns.
 * Safe  process: admin, forked by the master */
void admin_main(const struct heritage *heritage);

#endif
