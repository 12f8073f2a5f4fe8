/* See desk_seek.h. Process: web workers.
 *
 * Such a death is told without a task, since nobody knows it. But each web worker knows which of
 * its own are out, and a task that is out is in one of three places: in its pool's queue, in the
 * seat of who has it in hand, or its last word is in the inbox. The kernel clears its count of a
 * queue after the task was put into the seat, and a worker its seat after it has replied: so who
 * looks in this order, finds the queue empty and its task nowhere, has lost it. While others wait
 * in the queue it can't be told; in a queue that is never empty the task's deadline ends it. */
#include "workers/desk_seek.h"

#include <inttypes.h>

#include "base/log.h"
#include "ipc/scoreboard.h"
#include "ipc/task.h"
#include "workers/desk_reply.h"
#include "workers/web_compute.h"

void desk_seek_begin(struct desk *d, const struct msg *gone)
{
    for (uint32_t i = 0; i < d->n_slots; i++)
        d->slots[i].is_sought |= d->slots[i].is_out && d->slots[i].pool == gone->slot;
    d->is_seeking = true;
    desk_seek_turn(d);
}

/* One in the seat of a dead one is told by the master by itself. Who was hired since that death
 * counts, too: it has the task that waited. */
static bool is_in_a_seat(const struct desk *d, uint64_t id)
{
    const struct scoreboard *board = &d->heritage->board;
    struct task task;
    const uint32_t n = scoreboard_used(board);
    for (uint32_t i = 0; i < n; i++)
        if (task_peek(scoreboard_peek(board, i).task, &task) != TASK_NONE && task.id == id)
            return true;
    return false;
}

static void seek(struct desk *d, struct desk_slot *slot)
{
    uint64_t id = slot->id;
    if (task_count_queued(&d->pools[slot->pool].queue) != 0)
        return;
    if (is_in_a_seat(d, id)) {
        log_debug("task that was sought is in hand", "task=%016" PRIx64, id);
        slot->is_sought = false;
        return;
    }
    desk_reply_take_all(d);
    if (!desk_find(d, id))
        return;
    desk_log("task lost: its worker had written over what it had in hand", slot, "it is nowhere");
    struct msg lost = msg_make(MSG_TASK_LOST);
    lost.value = (int64_t)id;
    lost.about = TASK_LOSS_CRASH;
    web_compute_on_lost(d->web, &lost);
}

void desk_seek_turn(struct desk *d)
{
    bool is_left = false;
    for (uint32_t i = 0; d->is_seeking && i < d->n_slots; i++) {
        if (d->slots[i].is_out && d->slots[i].is_sought)
            seek(d, &d->slots[i]);
        is_left |= d->slots[i].is_out && d->slots[i].is_sought;
    }
    d->is_seeking = is_left;
}
