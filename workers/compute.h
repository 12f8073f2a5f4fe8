/* The room of compute workers. */
#ifndef REMUDA_WORKERS_COMPUTE_H
#define REMUDA_WORKERS_COMPUTE_H

#include "ipc/heritage.h"

struct app;

/* Runs tasks of heritage->pool until it is told to end. Called by the loader's child. */
_Noreturn void compute_main(const struct heritage *heritage, const struct app *app);

#endif
