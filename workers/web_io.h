/* The io lane of a web worker: the connection machine's errands (http/away.h), run by the threads
 * of a pool (workers/iopool.h). */
#ifndef REMUDA_WORKERS_WEB_IO_H
#define REMUDA_WORKERS_WEB_IO_H

#include "workers/web.h"

struct err;

/* Makes the pool, where the app has a route for it; without one every handler runs on the loop.
 * Returns  0; -errno, *err */
int web_io_open(struct web *web, struct err *err) __attribute__((warn_unused_result));

/* Behind the end of all connections: ends the pool's threads.
 * Returns  how many still run a handler: then the process must end at once, since they look at what
 *          belongs to it */
uint32_t web_io_close(struct web *web);

void web_io_on_tick(struct web *web);

/* An errand has come back from a thread. */
void web_io_on_back(struct web *web, struct exchange *ex);

/* MSG_THREADS: so many threads it may have from now on, as the master has decided. */
void web_io_obey(struct web *web, uint32_t limit);

/* Requests in the pool that somebody waits for, or whose client has left; those that took too long
 * are not waited for. */
uint32_t web_io_count(struct web *web);

/* Hooks of the connection machine (struct conn_hooks), for requests of this lane. */
enum conn_lane web_io_choose(void *owner, struct rmd_request *req);
void web_io_send(void *owner, struct exchange *ex);
bool web_io_recall(void *owner, struct exchange *ex);
void web_io_overdue(void *owner, struct exchange *ex);

#endif
