/* Where the handler of a route that is not inline runs: hooks of the connection machine (struct
 * conn_hooks) that pass a request on to the threads of the io lane (workers/web_io.h) or to the
 * processes of the compute lane (workers/web_compute.h). */
#ifndef REMUDA_WORKERS_LANES_H
#define REMUDA_WORKERS_LANES_H

#include "workers/web.h"

struct msg;

/* Once web->has_pools and web->pool are known: shows in the table where routes run. */
void lanes_begin(struct web *web);

/* MSG_LANES: routes of the lane auto run where the master has decided. */
void lanes_obey(struct web *web, const struct msg *msg);

enum conn_lane lanes_choose(void *owner, struct rmd_request *req);
void lanes_send(void *owner, struct exchange *ex);
bool lanes_recall(void *owner, struct exchange *ex);
void lanes_overdue(void *owner, struct exchange *ex);

/* Handlers under way that a worker which drains waits for. */
uint32_t lanes_count(struct web *web);

#endif
