/* The sync worker: one connection at a time. */
#ifndef REMUDA_WORKERS_WEB_SYNC_H
#define REMUDA_WORKERS_WEB_SYNC_H

#include <stddef.h>

#include "ipc/heritage.h"
#include "workers/chain.h"

struct err;

/* The worker's main, in a process that the loader forked. Never returns. */
void web_sync_main(const struct heritage *heritage, const struct app *app);

/* The same without master and channel, for `remuda run --single`; parameters and result as those of
 * web_event_run_single(). */
int web_sync_run_single(const struct settings *settings, const struct app *app, int access_fd,
                        void (*reopen_logs)(void), const int *fds, size_t n_fds, struct err *err)
    __attribute__((warn_unused_result));

#endif
