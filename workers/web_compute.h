/* The compute lane of a web worker: the connection machine's errands (http/away.h), handed over to
 * the processes of the compute pools (ipc/task.h), and what comes back from them. All of it runs on
 * the worker's own thread, in either class.
 *
 * Unlike a thread, a compute worker can't touch the exchange whose handler it runs: it has an image
 * of the request, and its answer is read from its slice of the segment. So an exchange that is away
 * here is taken back at any time, and nobody waits for a handler that takes too long. What stays
 * until the task's last word is its record and its payload. */
#ifndef REMUDA_WORKERS_WEB_COMPUTE_H
#define REMUDA_WORKERS_WEB_COMPUTE_H

#include "ipc/msg.h"
#include "ipc/task.h"
#include "workers/web.h"

struct err;
struct desk_slot;

/* ---- what the master hands over; before, and without it, there is no compute lane here ---- */

/* The segment: maps it, takes the records, opens the inbox.
 * heritage   outlives it: seat, table, channel
 * fd         may be closed afterwards
 * Returns    0; -errno, *err */
int web_compute_open(struct web *web, const struct heritage *heritage, int fd, uint32_t n_slices,
                     uint64_t slice_bytes, struct err *err) __attribute__((warn_unused_result));

/* The breakers of all routes. fd: may be closed afterwards. Returns 0; -errno, *err: none opens */
int web_compute_add_breakers(struct web *web, int fd, struct err *err)
    __attribute__((warn_unused_result));

/* The queue of a pool, or another one in its place.
 * pool       index in settings->compute_pools
 * n_workers  that it has; 0: as many as its settings allow
 * queue      queue.fd is owned from now on, also where it is of no use */
void web_compute_add_pool(struct web *web, uint32_t pool, uint32_t n_workers,
                          struct task_queue queue);

/* Behind the end of all connections. */
void web_compute_close(struct web *web);

/* ---- what comes in ---- */

/* Where replies come: to be watched for reading, the same as long as there is a lane; -1: there is
 * none */
int web_compute_inbox(const struct web *web);

/* Takes replies that are there. Exchanges that they are for come in by the worker's box. */
void web_compute_on_inbox(struct web *web);

/* Readable when the time of a call is over (workers/offload.h): to be watched, too; always the same
 * number. -1: the tick will do */
int web_compute_due_fd(const struct web *web);
void web_compute_on_due(struct web *web);

/* MSG_TASK_LOST, MSG_GONE. */
void web_compute_on_lost(struct web *web, const struct msg *msg);
void web_compute_on_gone(struct web *web, const struct heritage *heritage, const struct msg *msg);

/* Requests of a route that wait in a pool's queue are to be run by threads of this worker: those
 * that no compute worker has begun by the time that it takes them. */
void web_compute_withdraw(struct web *web, uint16_t route);

/* A task was dropped, unrun. Returns whether a thread runs it now; then the slot is free */
bool web_compute_take_home(struct desk_slot *slot);

/* A task that is out is lost: it goes to another worker, within the same deadline, where its route
 * is idempotent, nothing of an answer was sent, and it is the first time. Returns whether it does;
 * then the slot is free */
bool web_compute_go_again(struct desk_slot *slot, enum task_loss loss);

/* Now and then (half a second). */
void web_compute_on_tick(struct web *web);

/* Of that, what may be done in the middle of a request: looks after the tasks that are out. */
void web_compute_look(struct web *web);

/* Tasks that are to be finished although their client has left, and those that somebody waits
 * for. */
uint32_t web_compute_count(const struct web *web);

/* For tests, and for who measures: the worker's slice. There must be a lane */
struct segment_slice *web_compute_slice(const struct web *web);

/* ---- hooks of the connection machine (struct conn_hooks), for routes of this lane ---- */

enum conn_lane web_compute_choose(struct web *web, struct rmd_request *req);
void web_compute_send(struct web *web, struct exchange *ex);
bool web_compute_recall(struct web *web, struct exchange *ex);

#endif
