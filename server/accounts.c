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

const struct route_stats *accounts_names(const struct herd *herd, int generation)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat->role == ROLE_WEB && seat->phase != SEAT_FREE && seat->ready_us != 0 &&
            seat->generation == generation)
            return scoreboard_peek(&herd->board, i).routes;
    }
    return NULL;
}

static const char *name_pool(const struct herd *herd, const struct seat *seat)
{
    const char *name = pools_name(&herd_generation(herd, seat)->pools, seat->pool);
    return name ? name : "";
}

/* For what another may come to have (server/gauge.h). */
static void keep_peak(struct herd *herd, const struct seat *seat, uint64_t bytes)
{
    struct pools *pools = &herd_generation(herd, seat)->pools;
    if (pools_name(pools, seat->pool) && bytes > pools->items[seat->pool].peak_bytes)
        pools->items[seat->pool].peak_bytes = bytes;
}

void accounts_close(struct herd *herd, const struct seat *seat)
{
    static const struct account_used unknown;
    const struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    struct account_sums sums = {0};
    if (tasks_is_garbled(herd, seat)) {
        totals_count_lost(&herd->totals, "", name_pool(herd, seat), ACCOUNT_CRASH, &unknown);
        return;
    }
    totals_add_tasks(&herd->totals, &part, accounts_names(herd, seat->generation),
                     herd->board.n_routes, name_pool(herd, seat));
    account_add(&sums, &part.head->account);
    keep_peak(herd, seat, sums.numbers[ACCOUNT_PEAK_BYTES]);
}

/* By the block in which the worker counts it, else, of a request, by its route. "": neither */
static void name_route(const struct herd *herd, const struct seat *seat, const struct task *task,
                       char out[sizeof(((struct route_stats *)0)->name)])
{
    const struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    const struct route_stats *names = accounts_names(herd, seat->generation);
    int64_t block = account_block(&part.task->mark, task->id, herd->board.n_routes);
    if (block < 0 && task->kind == TASK_REQUEST && task->route < herd->board.n_routes)
        block = task->route;
    out[0] = '\0';
    if (!names || block < 0)
        return;
    memcpy(out, names[block].name, sizeof names->name);
    out[sizeof names->name - 1] = '\0';
}

void accounts_bury(struct herd *herd, const struct seat *seat, struct msg *lost)
{
    struct task task;
    char route[sizeof(((struct route_stats *)0)->name)];
    if (!accounts_of(herd, seat, &lost->used) || tasks_peek(herd, seat, &task) == TASK_NONE)
        return;
    name_route(herd, seat, &task, route);
    totals_count_lost(&herd->totals, route, name_pool(herd, seat),
                      (enum account_number)(ACCOUNT_CRASH + lost->about - TASK_LOSS_CRASH),
                      &lost->used);
    keep_peak(herd, seat, lost->used.peak_bytes);
}
