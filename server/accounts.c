/* See accounts.h. Process: master. What the kernel says of a dead process is of its whole life;
 * what of that was before its last task the process itself has noted, and is believed as far as it
 * makes sense. */
#include "server/accounts.h"

#include <string.h>

#include "ipc/msg.h"
#include "ipc/scoreboard.h"
#include "server/tasks.h"

bool accounts_of(const struct herd *herd, const struct seat *seat, struct account_used *out_used)
{
    struct task task;
    enum task_state state = tasks_peek(herd, seat, &task);
    if (state == TASK_NONE || state == TASK_REPLYING)
        return false; /* it has noted that one itself */
    const struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    *out_used =
        account_of_dead(&part.task->mark, task.id, task.queued_us, herd->now_us, &seat->life);
    return true;
}

/* As the worker has named it, else, of a request, as who asked has. "": neither */
static void name_route(const struct herd *herd, const struct seat *seat, const struct task *task,
                       char out[sizeof(((struct route_stats *)0)->name)])
{
    const struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    const struct route_stats *stats = NULL;
    int64_t block = account_block(&part.task->mark, task->id, herd->board.n_routes);
    if (block >= 0)
        stats = &part.routes[block];
    else if (task->kind == TASK_REQUEST && task->route < herd->board.n_routes &&
             task_seat_of(task->id) < herd->board.n_seats)
        stats = &scoreboard_peek(&herd->board, task_seat_of(task->id)).routes[task->route];
    out[0] = '\0';
    if (!stats)
        return;
    memcpy(out, stats->name, sizeof stats->name);
    out[sizeof stats->name - 1] = '\0';
}

void accounts_bury(struct herd *herd, const struct seat *seat, struct msg *lost)
{
    struct task task;
    char route[sizeof(((struct route_stats *)0)->name)];
    const char *pool = pools_name(&herd_generation(herd, seat)->pools, seat->pool);
    if (!accounts_of(herd, seat, &lost->used) || tasks_peek(herd, seat, &task) == TASK_NONE)
        return;
    name_route(herd, seat, &task, route);
    totals_count_lost(&herd->totals, route, pool ? pool : "",
                      (enum account_number)(ACCOUNT_CRASH + lost->about - TASK_LOSS_CRASH),
                      &lost->used);
}
