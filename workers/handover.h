/* A request becomes a task: its image, and its body where that does not go with the image, are put
 * where a compute worker finds them. */
#ifndef REMUDA_WORKERS_HANDOVER_H
#define REMUDA_WORKERS_HANDOVER_H

#include "http/exchange.h"
#include "ipc/segment.h"
#include "ipc/task.h"

/* What was put for a task, until its last word. */
struct handover {
    struct segment_run run; /* image, and what follows it; may be empty */
    struct block *block;    /* held: in which the body was received; NULL: it was not */
    int spool_fd;           /* a body that found no room, or its file for reading; below 0: none.
                             * Only until it was sent */
};

/* Puts the request of an exchange. The body stays the exchange's where it is in a spool file.
 * task        made; image and body are filled in
 * out_copied  octets of a body that were copied, beyond those that go with the image
 * Returns     0; -ENOSPC, -ENOMEM: there is no room, nothing was put; another -errno of a spool
 *             file */
int handover_put(struct segment_slice *slice, const struct exchange *ex, struct task *task,
                 struct handover *out_put, uint64_t *out_copied)
    __attribute__((warn_unused_result));

/* May so many octets be copied into the slice, or is what there is left for what can't go by a
 * file? */
bool handover_may_copy(const struct segment_slice *slice, uint64_t bytes);

/* The descriptor that goes with the task; -1: none. Borrowed */
int handover_fd(const struct handover *put, const struct exchange *ex);

/* It was sent, or will not be: the spool file of its own is closed. */
void handover_sent(struct handover *put);

/* The task's last word has come. */
void handover_end(struct segment_slice *slice, struct handover *put);

#endif
