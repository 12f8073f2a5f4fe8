/* The circuit breakers of the compute lane (ipc/breaker.h), as a web worker asks and feeds them:
 * which of its requests may go to a pool, and what became of them. */
#ifndef REMUDA_WORKERS_BREAKERS_H
#define REMUDA_WORKERS_BREAKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/breaker.h"
#include "workers/desk.h"

struct err;

/* Maps the words of all routes and tasks (struct desk: subjects). Without it no breaker ever opens.
 * fd       may be closed afterwards
 * Returns  0; -errno, *err */
int breakers_open(struct desk *d, int fd, struct err *err) __attribute__((warn_unused_result));
void breakers_close(struct desk *d);

/* May a request of this route, or a call of this task, go to its pool? One whose probe's sender is
 * dead counts that as a failure first.
 * out_wait_us  REFUSES: as breaker_judge() */
enum breaker_verdict breakers_ask(struct desk *d, uint16_t subject, uint64_t *out_wait_us);

/* The request of a slot is about to go; slot->subject is set. Where a probe is due, one of all that
 * ask is it from now on.
 * Returns  false: it may not, *out_wait_us as above */
bool breakers_enter(struct desk_slot *slot, uint64_t *out_wait_us);

/* What became of it. cause: of BREAKER_FAILED, a word for the log */
void breakers_note(struct desk_slot *slot, enum breaker_event event, const char *cause);

/* Likewise: the word of a final reply, or the beginning of a stream; the master's word, with what
 * it had used. Who ran out of time after more than a tenth of it in the queue has not failed. */
void breakers_hear_reply(struct desk_slot *slot, const struct task_reply *reply);
void breakers_hear_loss(struct desk_slot *slot, enum task_loss loss,
                        const struct account_used *used);

#endif
