/* Tasks of the compute pool, as the master sees them: what each compute worker has in hand, which
 * of it must end, and what became of it when its worker died. */
#ifndef REMUDA_SERVER_TASKS_H
#define REMUDA_SERVER_TASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "ipc/msg.h"
#include "ipc/task.h"
#include "server/cause.h"

struct herd;
struct seat;

/* A web worker says that a task must end, whoever runs it. Returns false: it may not say that */
bool tasks_hear(struct herd *herd, const struct seat *web, const struct msg *msg);

/* Looks at a compute worker that serves: while it has a task in hand it owes no heartbeat, but an
 * end when the task's time is over. To be called when the heartbeat has been read. */
void tasks_judge(struct herd *herd, struct seat *seat);

/* When to look at them again though nothing was heard; SEAT_NEVER: there are none. */
uint64_t tasks_next_us(const struct herd *herd);

/* A web worker has died: nobody waits for its tasks any more. */
void tasks_abandon(struct herd *herd, const struct seat *web);

/* What a compute worker has in hand. Returns TASK_NONE also for seats of others */
enum task_state tasks_peek(const struct herd *herd, const struct seat *seat, struct task *out_task);

/* Had a compute worker that is dead a task in hand, though its seat does not say which? Then it was
 * written to by a handler. */
bool tasks_is_garbled(const struct herd *herd, const struct seat *seat);

/* Could it have had one, though nothing says so? Also zeros in the right places say nothing: only
 * who ended in order certainly had none. */
bool tasks_may_be_hidden(const struct herd *herd, const struct seat *seat);

/* For the log, what it has in hand, with a blank in front: ` task=1f00… route="GET /burn" trace=…
 * since_ms=12`; "" for nothing. Returns out */
#define TASKS_TEXT_MAX (LOG_QUOTE_MAX + 320)
const char *tasks_print(const struct herd *herd, const struct seat *seat, char out[TASKS_TEXT_MAX]);

/* A compute worker is dead: makes the news for who asked for its task.
 * why      in words
 * Returns  false: it had none */
bool tasks_tell_loss(const struct herd *herd, const struct seat *seat, enum cause cause,
                     const char *why, struct msg *out_lost);

/* Why a task has no answer. Pure; condemned: what the master killed it for, 0: it did not. */
enum task_loss tasks_loss_of(enum task_loss condemned, enum cause cause);

#endif
