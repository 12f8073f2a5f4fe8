/* The event worker: a libev loop that serves HTTP. */
#ifndef REMUDA_WORKERS_WEB_EVENT_H
#define REMUDA_WORKERS_WEB_EVENT_H

#include <stddef.h>

#include "ipc/heritage.h"
#include "workers/chain.h"

struct err;

/* The worker's main, in a process that the loader forked. Never returns. */
void web_event_main(const struct heritage *heritage, const struct app *app);

/* The same loop without master and channel, for `remuda run --single`: serves until TERM, INT or
 * QUIT, then calls the app's worker_exit.
 * access_fd    -1: no access log
 * reopen_logs  called at USR1, between two batches
 * fds      listening sockets, non-blocking; closed before it returns
 * Returns  0; -errno, *err */
int web_event_run_single(const struct settings *settings, const struct app *app, int access_fd,
                         void (*reopen_logs)(void), const int *fds, size_t n_fds, struct err *err)
    __attribute__((warn_unused_result));

/* Version of libev in use: "4.33". Static text. */
const char *web_event_library(void);

#endif
