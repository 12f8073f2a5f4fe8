/* The coroner: a process for one death. */
#ifndef REMUDA_WORKERS_CORONER_H
#define REMUDA_WORKERS_CORONER_H

#include "ipc/heritage.h"

/* Finds the names for the backtrace that heritage->inquest holds and logs it. Never returns. */
void coroner_main(const struct heritage *heritage);

#endif
