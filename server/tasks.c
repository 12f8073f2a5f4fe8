/* What becomes of tasks. Process: master.
 *
 * A worker is killed for a task only when its claim could be swapped: then it is this task that
 * dies, and never the next one that it took in the meantime. Everything that is read in a seat was
 * written by a process with app code: task_peek() copies and checks it, and what it says may only
 * cost that process its life. Who asked tells the master when the time of its tasks is over; what
 * is seen here by the clock is for those whose asker is dead, or stopped. */
#include "server/tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/herd.h"

#define LOOK_US CLOCK_US_PER_S     /* at what they have in hand */
#define BACKSTOP_US CLOCK_US_PER_S /* who asked has so long to say it itself */
#define LONGEST_US                                                                                 \
    (3600 * CLOCK_US_PER_S + 2 * BACKSTOP_US) /* no task may take longer: the most
                                                               that `timeout` can be */

/* Why it was killed, for the log. */
static const char *const dooms[TASK_LOSSES] = {
    [TASK_LOSS_TIMEOUT] = "its task's time is over",
    [TASK_LOSS_CPU] = "its task used too much CPU time",
    [TASK_LOSS_CANCELLED] = "nobody waits for its task any more",
    [TASK_LOSS_KILLED] = "who asked for its task can't take its answer",
};

static bool is_at_work(const struct seat *seat)
{
    return seat->role == ROLE_COMPUTE && seat->pid > 0 && !seat->is_dead &&
           (seat->phase == SEAT_READY || seat->phase == SEAT_DRAINING);
}

enum task_state tasks_peek(const struct herd *herd, const struct seat *seat, struct task *out_task)
{
    if (seat->role != ROLE_COMPUTE || seat->phase == SEAT_FREE)
        return TASK_NONE;
    return task_peek(scoreboard_peek(&herd->board, seat->number).task, out_task);
}

/* ---- those that must end ---- */

static void condemn(struct herd *herd, struct seat *seat, uint64_t id, enum task_loss why)
{
    struct err err;
    struct task_seat *place;
    if (scoreboard_map_task(&herd->board, herd->board_fd, seat->number, &place, &err) < 0) {
        log_warn("task not ended", "task=%016" PRIx64 " why=\"%s\" does=\"look again\"", id,
                 err.text);
        return;
    }
    bool is_hit = task_condemn(place, id);
    (void)munmap(place, SCOREBOARD_TASK_BYTES);
    if (!is_hit)
        return; /* it was done */
    seat->condemned = why;
    seat->doom = dooms[why];
    herd_happen(herd, seat, DECIDE_CONDEMNED);
}

bool tasks_hear(struct herd *herd, const struct seat *web, const struct msg *msg)
{
    uint64_t id = (uint64_t)msg->value;
    if (web->role != ROLE_WEB || task_seat_of(id) != web->number || msg->about <= 0 ||
        msg->about >= TASK_LOSSES || !dooms[msg->about])
        return false;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        struct task task;
        if (is_at_work(seat) && seat->generation == web->generation &&
            tasks_peek(herd, seat, &task) != TASK_NONE && task.id == id)
            condemn(herd, seat, id, (enum task_loss)msg->about);
    }
    return true; /* one that is nowhere waits, and is dropped by who takes it; or it is done */
}

void tasks_judge(struct herd *herd, struct seat *seat)
{
    struct task task;
    if (!is_at_work(seat))
        return;
    enum task_state state = tasks_peek(herd, seat, &task);
    if (state != TASK_TAKEN && state != TASK_RUNNING)
        return;
    const struct seat_head *head = scoreboard_peek(&herd->board, seat->number).head;
    uint64_t beat_us = atomic_load_explicit(&head->heartbeat_us, memory_order_relaxed);
    if (herd->now_us < seat->ready_us + LONGEST_US || herd->now_us < beat_us + LONGEST_US)
        seat->heartbeat_us = herd->now_us; /* whatever its seat says, it is silent no longer */
    seat->is_hung = false;
    if (task.deadline_us < herd->now_us && herd->now_us - task.deadline_us > BACKSTOP_US)
        condemn(herd, seat, task.id, TASK_LOSS_TIMEOUT);
}

uint64_t tasks_next_us(const struct herd *herd)
{
    for (uint32_t i = 0; i < herd->slots.n_used; i++)
        if (is_at_work(&herd->slots.seats[i]))
            return herd->now_us + LOOK_US;
    return SEAT_NEVER;
}

void tasks_abandon(struct herd *herd, const struct seat *web)
{
    const struct pools *pools = &herd_generation(herd, web)->pools;
    for (uint32_t i = 0; web->role == ROLE_WEB && i < herd->slots.n_used; i++) {
        struct seat *seat = &herd->slots.seats[i];
        struct task task;
        if (!is_at_work(seat) || seat->generation != web->generation ||
            pools->items[seat->pool].settings->on_disconnect != SETTING_ON_DISCONNECT_CANCEL)
            continue;
        if (tasks_peek(herd, seat, &task) != TASK_NONE && task_seat_of(task.id) == web->number)
            condemn(herd, seat, task.id, TASK_LOSS_CANCELLED);
    }
}

/* ---- those whose worker died ---- */

const char *tasks_print(const struct herd *herd, const struct seat *seat, char out[TASKS_TEXT_MAX])
{
    struct task task;
    out[0] = '\0';
    if (tasks_peek(herd, seat, &task) == TASK_NONE)
        return out;
    char route[sizeof(((struct route_stats *)0)->name)] = "";
    char quoted[LOG_QUOTE_MAX + 8];
    if (task.route < herd->board.n_routes)
        memcpy(route, scoreboard_peek(&herd->board, seat->number).routes[task.route].name,
               sizeof route - 1);
    bool is_past = task.queued_us != 0 && task.queued_us < herd->now_us;
    (void)snprintf(out, TASKS_TEXT_MAX, " task=%016" PRIx64 " route=%s%s%.*s since_ms=%" PRIu64,
                   task.id, log_quote(quoted, route, strlen(route)),
                   task.trace_len > 0 ? " trace=" : "", (int)task.trace_len, task.trace,
                   is_past ? (herd->now_us - task.queued_us) / CLOCK_US_PER_MS : 0);
    return out;
}

enum task_loss tasks_loss_of(enum task_loss condemned, enum cause cause)
{
    static const enum task_loss losses[CAUSES] = {
        [CAUSE_IS_ORDERED] = TASK_LOSS_KILLED,  [CAUSE_IS_MASTER] = TASK_LOSS_KILLED,
        [CAUSE_IS_FAILED] = TASK_LOSS_CRASH,    [CAUSE_IS_MEMORY] = TASK_LOSS_MEMORY,
        [CAUSE_IS_REFUSED] = TASK_LOSS_MEMORY,  [CAUSE_IS_OUTSIDE] = TASK_LOSS_KILLED,
        [CAUSE_IS_ASSERTION] = TASK_LOSS_CRASH, [CAUSE_IS_CRASH] = TASK_LOSS_CRASH,
        [CAUSE_IS_LIMIT] = TASK_LOSS_CPU,       [CAUSE_IS_EXIT] = TASK_LOSS_CRASH};
    return condemned != 0 ? condemned : losses[cause];
}

bool tasks_tell_loss(const struct herd *herd, const struct seat *seat, enum cause cause,
                     const char *why, struct msg *out_lost)
{
    struct task task;
    if (tasks_peek(herd, seat, &task) == TASK_NONE)
        return false;
    *out_lost = msg_make(MSG_TASK_LOST);
    out_lost->value = (int64_t)task.id;
    out_lost->about = (int32_t)tasks_loss_of(seat->condemned, cause);
    out_lost->seat = seat->number;
    out_lost->epoch = seat->epoch;
    out_lost->pid = seat->pid;
    (void)snprintf(out_lost->text, sizeof out_lost->text, "%s", why);
    return true;
}
