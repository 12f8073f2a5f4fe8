/* The reader: a process that looks names and unwind tables up in files that an app may have made,
 * for one that has the master's rights. It may crash or hang over them without harm. */
#ifndef REMUDA_WORKERS_READER_H
#define REMUDA_WORKERS_READER_H

#include "ipc/heritage.h"

#define READER_US (5 * UINT64_C(1000000)) /* what a coroner waits for it */

/* In the child, first thing: limits, no privileges, at low priority, and symbols_open().
 * heritage  master_pid is who started it
 * Returns   0; -errno: it can't read anything */
int reader_begin(const struct heritage *heritage) __attribute__((warn_unused_result));

#endif
