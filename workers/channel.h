/* A worker's end of its channel to the master. */
#ifndef REMUDA_WORKERS_CHANNEL_H
#define REMUDA_WORKERS_CHANNEL_H

#include "base/str.h"
#include "ipc/heritage.h"
#include "ipc/msg.h"
#include "ipc/task.h"

/* Waits for the next frame, without a loop.
 * Returns  as msg_receive(), but for -EAGAIN */
int channel_wait(int channel_fd, struct msg *out_msg, int *fds, size_t *out_n_fds)
    __attribute__((warn_unused_result));

/* Sends a frame that speaks of the sender, or of `about` (seat, epoch, role, slot) when not NULL.
 * Waits while the channel is full: the master reads all it gets, so that is short. Does nothing in
 * single mode (no channel).
 * text  NULL: none; cut to MSG_TEXT_MAX - 1 bytes */
void channel_tell(const struct heritage *heritage, enum msg_type type, const struct msg *about,
                  pid_t pid, int64_t value, const char *text);

/* READY of a loader. pools: bits of those in use */
void channel_tell_ready(const struct heritage *heritage, int64_t n_routes, uint32_t pools);

/* MSG_OVERDUE: whoever runs this task is to be killed. */
void channel_tell_overdue(const struct heritage *heritage, uint64_t task_id, enum task_loss loss);

/* MSG_DEADLY: the worker that had a request's task died. */
void channel_tell_deadly(const struct heritage *heritage, uint64_t print, enum task_loss loss,
                         struct str trace);

/* Obeys a MSG_LOGS: what it brought takes the place of the log files that this process has; then
 * the master is told. Lines that were gathered must have been written before.
 * fds      stay the caller's, to be closed */
void channel_take_logs(const struct heritage *heritage, const struct msg *msg, const int *fds,
                       size_t n_fds);

/* A frame came whose descriptors this process may not have (-EMFILE): tells the master, which sends
 * it again later, and logs it where the master has nothing to say about it. */
void channel_tell_lost(const struct heritage *heritage, const struct msg *msg);

#endif
