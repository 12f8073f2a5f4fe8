/* What becomes of tasks. Process: master.
 *
 * A worker is killed for a task only when its claim could be swapped: then it is this task that
 * dies, and never the next one that it took in the meantime. Everything that is read in a seat was
 * written by a process with app code: task_peek() copies and checks it, and what it says may only
 * cost that process its life. Who asked tells the master when the time of its tasks is over; what
 * is seen here by the clock is for those whose asker is dead, or stopped. */
#include "server/tasks.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/herd.h"

#define LOOK_US CLOCK_US_PER_S /* at what they have in hand */
#define LOOK_IDLE_US                                                                               \
    (10 * CLOCK_US_PER_S)          /* when it was nothing: whoever has stopped its asker may
                                              wait, all others are heard */
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

/* For want of memory the page may be out of reach: then it is tried at each look. */
static void owe(struct seat *seat, uint64_t id, enum task_loss why, const struct err *err)
{
    if (seat->owed_id != id)
        log_warn("task not ended", "task=%016" PRIx64 " why=\"%s\" does=\"try again\"", id,
                 err->text);
    seat->owed_id = id;
    seat->owed_loss = why;
}

static void condemn(struct herd *herd, struct seat *seat, uint64_t id, enum task_loss why)
{
    struct err err;
    struct task_seat *place;
    if (scoreboard_map_task(&herd->board, herd->board_fd, seat->number, &place, &err) < 0) {
        owe(seat, id, why, &err);
        return;
    }
    seat->owed_id = 0;
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

/* Is it excused for being silent? Not for longer than any task may take, whatever its seat says;
 * and no heartbeat lies in the future. */
static bool is_excused(const struct herd *herd, const struct seat *seat)
{
    const struct seat_head *head = scoreboard_peek(&herd->board, seat->number).head;
    uint64_t beat_us = atomic_load_explicit(&head->heartbeat_us, memory_order_relaxed);
    if (beat_us < seat->ready_us || beat_us > herd->now_us + CLOCK_US_PER_S)
        beat_us = seat->ready_us;
    return herd->now_us < beat_us + LONGEST_US;
}

/* Only what runs is judged by the clock. Between taking and claiming a task there is nothing to be
 * silent for, and a look that falls into the taking sees the new one's id beside the old one's
 * time. */
void tasks_judge(struct herd *herd, struct seat *seat)
{
    struct task task;
    if (!is_at_work(seat))
        return;
    enum task_state state = tasks_peek(herd, seat, &task);
    if (state != TASK_NONE && seat->owed_id == task.id)
        condemn(herd, seat, task.id, seat->owed_loss);
    if (state != TASK_RUNNING || !is_at_work(seat))
        return;
    if (is_excused(herd, seat))
        seat->heartbeat_us = herd->now_us;
    seat->is_hung = false;
    if (task.deadline_us < herd->now_us && herd->now_us - task.deadline_us > BACKSTOP_US)
        condemn(herd, seat, task.id, TASK_LOSS_TIMEOUT);
}

uint64_t tasks_next_us(const struct herd *herd)
{
    struct task task;
    uint64_t next = SEAT_NEVER;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (!is_at_work(seat))
            continue;
        if (tasks_peek(herd, seat, &task) != TASK_NONE)
            return herd->now_us + LOOK_US;
        next = herd->now_us + LOOK_IDLE_US;
    }
    return next;
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

#define NAME_MAX_BYTES (SCOREBOARD_TARGET_MAX + 1)
_Static_assert(NAME_MAX_BYTES >= sizeof(((struct route_stats *)0)->name), "either fits");

/* A request's route; of a call its number is in another table, and the name stands where a
 * request's target would. Returns which it is */
static const char *print_name(const struct herd *herd, const struct seat *seat,
                              const struct task *task, char out[NAME_MAX_BYTES])
{
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    struct request_entry entry;
    if (task->kind == TASK_CALL) {
        if (scoreboard_read_entry(&part.head->current, &entry))
            (void)snprintf(out, NAME_MAX_BYTES, "%.*s", (int)entry.target_len, entry.target);
        return "call";
    }
    if (task->route < herd->board.n_routes)
        memcpy(out, part.routes[task->route].name, sizeof part.routes[0].name - 1);
    return "route";
}

const char *tasks_print(const struct herd *herd, const struct seat *seat, char out[TASKS_TEXT_MAX])
{
    struct task task;
    out[0] = '\0';
    if (tasks_is_garbled(herd, seat))
        (void)snprintf(out, TASKS_TEXT_MAX, " task=\"unknown: its seat was written to\"");
    if (tasks_peek(herd, seat, &task) == TASK_NONE)
        return out;
    char name[NAME_MAX_BYTES] = "";
    char quoted[LOG_QUOTE_MAX + 8];
    const char *what = print_name(herd, seat, &task, name);
    bool is_past = task.queued_us != 0 && task.queued_us < herd->now_us;
    (void)snprintf(out, TASKS_TEXT_MAX, " task=%016" PRIx64 " %s=%s%s%.*s since_ms=%" PRIu64,
                   task.id, what, log_quote(quoted, name, strlen(name)),
                   task.trace_len > 0 ? " trace=" : "", (int)task.trace_len, task.trace,
                   is_past ? (herd->now_us - task.queued_us) / CLOCK_US_PER_MS : 0);
    return out;
}

enum task_loss tasks_loss_of(enum task_loss condemned, enum cause cause)
{
    static const enum task_loss losses[CAUSES] = {
        [CAUSE_IS_ORDERED] = TASK_LOSS_KILLED,  [CAUSE_IS_MASTER] = TASK_LOSS_KILLED,
        [CAUSE_IS_FAILED] = TASK_LOSS_CRASH,    [CAUSE_IS_MEMORY] = TASK_LOSS_STARVED,
        [CAUSE_IS_REFUSED] = TASK_LOSS_MEMORY,  [CAUSE_IS_OUTSIDE] = TASK_LOSS_KILLED,
        [CAUSE_IS_ASSERTION] = TASK_LOSS_CRASH, [CAUSE_IS_CRASH] = TASK_LOSS_CRASH,
        [CAUSE_IS_LIMIT] = TASK_LOSS_CPU,       [CAUSE_IS_EXIT] = TASK_LOSS_CRASH};
    return condemned != 0 ? condemned : losses[cause];
}

static bool is_without_task(const struct herd *herd, const struct seat *seat)
{
    struct task task;
    return seat->role == ROLE_COMPUTE && seat->ready_us != 0 &&
           tasks_peek(herd, seat, &task) == TASK_NONE;
}

/* What it ran stands in two places, each a page of its own, and who it is where the first of them
 * begins: zeros in all of them are not what an idle worker leaves. */
bool tasks_is_garbled(const struct herd *herd, const struct seat *seat)
{
    struct scoreboard_part part = scoreboard_peek(&herd->board, seat->number);
    const struct seat_head *head = part.head;
    if (!is_without_task(herd, seat))
        return false;
    bool is_itself = head->layout == SCOREBOARD_LAYOUT && head->epoch == seat->epoch &&
                     head->pid == seat->pid && head->role == ROLE_COMPUTE;
    return !is_itself || part.task->task.id != 0 ||
           atomic_load_explicit(&head->current.phase, memory_order_relaxed) != ENTRY_FREE;
}

bool tasks_may_be_hidden(const struct herd *herd, const struct seat *seat)
{
    bool is_in_order = seat->is_leaving && seat->status == 0;
    return tasks_is_garbled(herd, seat) || (is_without_task(herd, seat) && !is_in_order);
}

/* What the master did about it as a whole, and which limit it was, the cause does not say. */
static enum task_loss judge_loss(const struct herd *herd, const struct seat *seat, enum cause cause)
{
    const struct pools *pools = &herd_generation(herd, seat)->pools;
    bool is_cpu = WIFSIGNALED(seat->status) && WTERMSIG(seat->status) == SIGXCPU &&
                  pools->items[seat->pool].settings->cpu_limit_us > 0;
    if (seat->condemned == 0 && cause == CAUSE_IS_LIMIT && !is_cpu)
        return TASK_LOSS_CRASH; /* of those that it was born with, or a signal that it was sent */
    if (seat->condemned == 0 && seat->is_leaving &&
        (cause == CAUSE_IS_ORDERED || cause == CAUSE_IS_MASTER))
        return TASK_LOSS_STOPPED;
    return tasks_loss_of(seat->condemned, cause);
}

/* Does one that lives say that it has the task? No two are ever given the same one, so the dead
 * one's seat was written by its handler, and that one will answer it. */
static bool is_anothers(const struct herd *herd, const struct seat *dead, uint64_t id)
{
    struct task task;
    for (uint32_t i = 0; i < herd->slots.n_used; i++) {
        const struct seat *seat = &herd->slots.seats[i];
        if (seat != dead && is_at_work(seat) && seat->generation == dead->generation &&
            tasks_peek(herd, seat, &task) != TASK_NONE && task.id == id)
            return true;
    }
    return false;
}

bool tasks_tell_loss(const struct herd *herd, const struct seat *seat, enum cause cause,
                     const char *why, struct msg *out_lost)
{
    struct task task;
    if (tasks_peek(herd, seat, &task) == TASK_NONE)
        return false;
    if (is_anothers(herd, seat, task.id)) {
        log_warn("task not given up",
                 "task=%016" PRIx64 " why=\"another worker has it: the seat of "
                 "the dead one was written to\"",
                 task.id);
        return false;
    }
    *out_lost = msg_make(MSG_TASK_LOST);
    out_lost->value = (int64_t)task.id;
    out_lost->about = (int32_t)judge_loss(herd, seat, cause);
    out_lost->seat = seat->number;
    out_lost->epoch = seat->epoch;
    out_lost->pid = seat->pid;
    (void)snprintf(out_lost->text, sizeof out_lost->text, "%s", why);
    return true;
}
