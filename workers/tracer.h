/* The tracer: a process for one request that takes long. */
#ifndef REMUDA_WORKERS_TRACER_H
#define REMUDA_WORKERS_TRACER_H

#include "ipc/heritage.h"

/* Tells where the thread is that runs the request of heritage->inquiry, in `slowlog` or the error
 * log. Never returns; exits with enum inquiry_end. */
void tracer_main(const struct heritage *heritage);

#endif
