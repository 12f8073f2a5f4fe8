/* See desk_reply.h. Reading order: desk_reply_take() → take_reply() → take_last_word() →
 * give_answer(); begin_stream() → take_part() → produce_parts().
 *
 * Who answers has run app code. So a frame counts only when it is about a task that is out, and
 * comes from the process whose seat it names; an image is judged by http/image.h; octets of an
 * answer are never looked at where they lie, only the kernel sends them from there. */
#include "workers/desk_reply.h"
#include "workers/breakers.h"
#include "workers/offload.h"
#include "workers/web_compute.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "http/image.h"
#include "http/stream.h"
#include "workers/desk_inbox.h"

#define IMAGE_MAX_BYTES (1U << 20) /* of an answer, without its body: a guess, far above any */
#define REPLIES_A_TURN 256U        /* that are taken before others get theirs: a guess */
#define REPLIES_MAX 8192U          /* more than an inbox holds */
#define STRAYS_MAX 64U /* to tasks that were given up, from tick to tick: a guess, far above any */

/* ---- answers ---- */

/* res.done of an answer that is sent from another's slice. */
static void release_answer(void *arg)
{
    desk_take_back(arg);
}

static void lend_answer(struct desk_slot *slot, uint32_t seat)
{
    struct rmd_response *res = &slot->ex->res;
    res->kind = RESPONSE_LENT;
    res->done = release_answer;
    res->done_arg = slot;
    desk_lend(slot, seat);
}

/* The image of a frame, in private memory. Returns 0; -ENOMEM; -EBADMSG, *out_reason */
static int read_image(struct desk *d, struct arena *arena, struct str *out_image,
                      const char **out_reason)
{
    const struct task_reply *reply = &d->frame.reply;
    struct segment_ref ref = {.at = reply->image_at, .len = reply->image_len, .seat = reply->seat};
    if (reply->image_len == 0) {
        *out_image = str_make(d->frame.octets, reply->inline_len);
        return 0;
    }
    *out_reason = "its image is too large";
    if (reply->image_len > IMAGE_MAX_BYTES)
        return -EBADMSG;
    char *copy = arena_alloc_text(arena, reply->image_len);
    if (!copy)
        return -ENOMEM;
    *out_reason = "its image is out of bounds";
    int rc = segment_copy(&d->segment, ref, copy);
    *out_image = str_make(copy, reply->image_len);
    return rc == -ERANGE ? -EBADMSG : rc;
}

/* Fills the answer of the exchange that waits. Owns fd.
 * Returns 0; -ENOMEM; -EBADMSG, *out_reason */
static int read_answer(struct desk_slot *slot, int fd, const char **out_reason)
{
    struct desk *d = slot->desk;
    struct exchange *ex = slot->ex;
    const struct task_reply *reply = &d->frame.reply;
    struct segment_ref ref = {.at = reply->data_at, .len = reply->data_len, .seat = reply->seat};
    struct str image, body = {0};
    int rc = read_image(d, &ex->arena, &image, out_reason);
    if (rc == 0 && reply->data_len > 0) {
        body = str_make(segment_at(&d->segment, ref), (size_t)reply->data_len);
        *out_reason = "its body is out of bounds";
        rc = body.p ? 0 : -EBADMSG;
    }
    if (rc < 0) {
        fd_close(&fd);
        return rc;
    }
    rc = image_read_answer(image, body, fd, &ex->res, &ex->arena, out_reason);
    bool is_stream = rc == 0 && ex->res.kind == RESPONSE_STREAM;
    if (rc == 0 && is_stream != (reply->kind == TASK_BEGIN)) {
        response_drop_body(&ex->res);
        *out_reason = "a stream and not";
        rc = -EBADMSG;
    }
    return rc;
}

/* What it said can't be sent. */
static void refuse_answer(struct desk_slot *slot, int rc, const char *reason)
{
    desk_log("answer of a compute worker refused", slot, rc == -ENOMEM ? "no memory" : reason);
    desk_fail(slot, rc == -ENOMEM ? 503 : 500, NULL);
}

static void give_answer(struct desk_slot *slot, int fd)
{
    const struct task_reply *reply = &slot->desk->frame.reply;
    const char *reason = NULL;
    int rc = read_answer(slot, fd, &reason);
    if (rc < 0) {
        refuse_answer(slot, rc, reason);
        return;
    }
    if (reply->data_len > 0)
        lend_answer(slot, reply->seat);
    desk_turn_in(slot);
}

/* ---- streams ---- */

/* Octets of a stream were taken, or are for nobody: there is room for others. */
static void take_parts(struct desk_slot *slot)
{
    if (slot->is_out && slot->parts.len > 0)
        task_consume(desk_record(slot), slot->parts.len);
    slot->parts.len = 0;
}

static int produce_parts(struct rmd_writer *writer, void *arg)
{
    struct desk_slot *slot = arg;
    if (slot->is_broken || buf_append(writer->out, slot->parts.data, slot->parts.len) < 0)
        return RMD_ABORT;
    /* Here, and from there into the loop's output. */
    web_count(&slot->desk->web->part.head->copied, 2 * slot->parts.len);
    take_parts(slot);
    return slot->is_out ? 0 : RMD_END;
}

/* res.done of a stream: it has ended, or its client has. */
static void end_stream(void *arg)
{
    struct desk_slot *slot = arg;
    slot->is_lent = false;
    slot->streams = NULL;
    take_parts(slot);
    if (slot->is_out)
        desk_abandon(slot);
    desk_free_slot(slot);
}

static void begin_stream(struct desk_slot *slot)
{
    const char *reason = NULL;
    int rc = read_answer(slot, -1, &reason);
    breakers_hear_reply(slot, &slot->desk->frame.reply);
    if (rc < 0) {
        refuse_answer(slot, rc, reason);
        desk_abandon(slot);
        return;
    }
    struct rmd_response *res = &slot->ex->res;
    res->produce = produce_parts;
    res->done = end_stream;
    res->done_arg = slot;
    slot->is_lent = slot->is_stream = true;
    slot->streams = slot->ex;
    desk_turn_in(slot);
}

static int append_part(struct desk_slot *slot)
{
    struct desk *d = slot->desk;
    const struct task_reply *reply = &d->frame.reply;
    struct segment_ref ref = {.at = reply->data_at, .len = reply->data_len, .seat = reply->seat};
    uint64_t len = reply->data_len > 0 ? reply->data_len : reply->inline_len;
    if (len > TASK_WINDOW_BYTES - slot->parts.len)
        return -ENOBUFS;
    if (!slot->is_lent) { /* for nobody */
        task_consume(desk_record(slot), len);
        return 0;
    }
    if (reply->data_len == 0)
        return buf_append(&slot->parts, d->frame.octets, reply->inline_len);
    int rc = buf_reserve(&slot->parts, (size_t)reply->data_len);
    if (rc == 0)
        rc = segment_copy(&d->segment, ref, slot->parts.data + slot->parts.len);
    if (rc == 0)
        slot->parts.len += (size_t)reply->data_len;
    return rc;
}

/* Who sends it is not to go on. */
static void refuse_stream(struct desk_slot *slot, const char *reason)
{
    if (slot->is_broken)
        return;
    desk_log("stream of a compute worker refused", slot, reason);
    task_cancel(desk_record(slot));
    desk_tell_overdue(slot, TASK_LOSS_KILLED);
    slot->is_broken = true; /* no more of it is looked at */
    if (slot->is_stream && slot->ex)
        desk_produce(slot); /* behind it no client takes the answer for a whole one */
    else if (slot->ex)
        desk_fail(slot, 500, NULL);
}

static void take_part(struct desk_slot *slot)
{
    if (slot->is_broken)
        return;
    int rc = slot->is_stream ? append_part(slot) : -EPROTO;
    if (rc < 0)
        refuse_stream(slot, rc == -ENOBUFS  ? "more than it has credit for"
                            : rc == -EPROTO ? "a part of what has not begun"
                                            : strerror(-rc));
    else if (slot->ex)
        desk_produce(slot);
}

/* ---- replies ---- */

/* The last word is none that could be sent. */
static void fail_by_reply(struct desk_slot *slot, const struct task_reply *reply)
{
    bool is_late = slot->deadline_us <= slot->desk->web->env.now_us;
    bool is_shed = reply->kind == TASK_SHED;
    if (is_shed || reply->kind == TASK_DROPPED) {
        const struct desk_pool *pool = &slot->desk->pools[slot->pool];
        desk_set_retry(slot->ex,
                       desk_wait_us(slot->desk, slot->pool, task_count_queued(&pool->queue)));
        desk_fail(slot, is_late ? 504 : 503, is_shed ? OVERLOAD_WHY : NULL);
        return;
    }
    desk_log("task not run", slot, reply->error > 0 ? strerror(reply->error) : "no answer");
    desk_fail(slot, reply->error == ENOMEM || reply->error == EAGAIN ? 503 : 500, NULL);
}

static void note_used(const struct desk_slot *slot, const struct task_reply *reply)
{
    struct exchange *ex = slot->ex ? slot->ex : slot->streams;
    struct account_used used = task_used(reply);
    if (ex)
        desk_account(ex, account_names[task_end_of(reply)], &used);
}

static void take_last_word(struct desk_slot *slot, int fd)
{
    const struct task_reply *reply = &slot->desk->frame.reply;
    struct desk *d = slot->desk;
    if (reply->kind == TASK_ANSWER || reply->kind == TASK_END || reply->kind == TASK_RESULT) {
        uint64_t now_us = d->web->env.now_us;
        uint64_t since_us = now_us - slot->sent_us; /* others' waits are reckoned by it: no lies */
        uint64_t wall_us = reply->wall_us < since_us ? reply->wall_us : since_us;
        admission_note(&d->pools[slot->pool].admission, wall_us, now_us);
        admission_note(&d->times[slot->subject], wall_us, now_us);
    }
    if (reply->kind != TASK_DROPPED && reply->kind != TASK_SHED)
        profiling_note_task(&d->web->profiling, slot->subject, reply,
                            d->web->env.now_us - slot->sent_us);
    if (reply->kind == TASK_SHED)
        overload_note(&d->pools[slot->pool].overload, d->web, d->web->env.now_us - slot->sent_us,
                      d->web->env.now_us);
    breakers_hear_reply(slot, reply);
    if (reply->kind == TASK_DROPPED && web_compute_take_home(slot)) {
        fd_close(&fd);
        return;
    }
    note_used(slot, reply);
    if (slot->call) {
        offload_take(slot, fd);
        return;
    }
    if (slot->is_stream) { /* also an answer, which comes too late */
        slot->is_broken |= reply->kind != TASK_END || reply->error != 0;
        fd_close(&fd);
        desk_end_task(slot);
        if (slot->ex)
            desk_produce(slot);
        else if (!slot->is_lent)
            take_parts(slot);
    } else if (slot->ex && reply->kind == TASK_ANSWER) {
        give_answer(slot, fd);
        desk_end_task(slot);
    } else {
        fd_close(&fd);
        if (slot->ex)
            fail_by_reply(slot, reply);
        desk_end_task(slot);
    }
    desk_free_slot(slot);
}

/* Does it come from whoever sits where it says? His seat may lie about its pid, and spoils nothing
 * by that but what is his. */
static bool is_from(const struct desk *d, uint32_t seat, pid_t pid)
{
    if (seat >= d->segment.n_seats || seat >= d->heritage->board.n_seats)
        return false;
    const struct seat_head *head = scoreboard_peek(&d->heritage->board, seat).head;
    return pid > 0 && head->pid == pid && head->role == ROLE_COMPUTE;
}

/* Where a process sits, by what seats say of themselves. Returns DESK_NO_SEAT when nowhere */
static uint32_t find_seat(struct desk *d, pid_t pid)
{
    const uint32_t n = scoreboard_used(&d->heritage->board);
    uint32_t found = DESK_NO_SEAT;
    if (pid <= 0 || pid == d->nowhere_pid)
        return DESK_NO_SEAT; /* it may have sent thousands */
    for (uint32_t i = 0; found == DESK_NO_SEAT && i < n; i++) {
        uint32_t seat = (d->liar_seat + i) % n; /* mostly the one of before */
        const struct seat_head *head = scoreboard_peek(&d->heritage->board, seat).head;
        if (head->pid == pid && head->role == ROLE_COMPUTE)
            found = seat;
    }
    if (found == DESK_NO_SEAT)
        d->nowhere_pid = pid;
    return found;
}

/* Who writes what nobody may write has lost its senses, or its app is after us: when it has a task
 * of ours in hand, it is to be killed for it. Else it has kept what it was given with an earlier
 * one, and is left alone with that. */
static void judge_liar(struct desk *d, pid_t pid, const char *what)
{
    struct task task;
    struct desk_slot *slot = NULL;
    uint32_t seat = find_seat(d, pid);
    if (seat != DESK_NO_SEAT) {
        d->liar_seat = seat;
        if (task_peek(scoreboard_peek(&d->heritage->board, seat).task, &task) != TASK_NONE)
            slot = desk_find(d, task.id);
    }
    if (pid != d->liar_pid)
        log_warn("reply refused", "what=\"%s\" pid=%d does=\"%s\"", what, (int)pid,
                 slot ? "have it killed" : "take replies elsewhere");
    d->liar_pid = pid;
    if (slot)
        desk_tell_overdue(slot, TASK_LOSS_KILLED);
    else
        desk_inbox_leave(d);
}

/* Returns whether it is one that is awaited. */
static bool take_reply(struct desk *d, int fd, pid_t pid)
{
    const struct task_reply *reply = &d->frame.reply;
    struct desk_slot *slot = desk_find(d, reply->id);
    bool is_awaited = slot && is_from(d, reply->seat, pid);
    if (!is_awaited)
        fd_close(&fd);
    if (!slot) { /* it was given up */
        log_debug("reply to a task that is not out", "pid=%d task=%016" PRIx64, (int)pid,
                  reply->id);
        if (++d->n_strays > STRAYS_MAX)
            judge_liar(d, pid, "it is about no task");
    } else if (!is_awaited) {
        judge_liar(d, pid, "it is not from who it says");
    } else if (task_is_final(reply)) {
        take_last_word(slot, fd);
    } else if (reply->kind == TASK_PART) {
        take_part(slot);
    } else if (slot->is_stream) {
        refuse_stream(slot, "it has begun already");
    } else if (slot->ex) {
        begin_stream(slot);
    } else { /* it begins for nobody: its parts are taken as they come */
        slot->is_stream = true;
    }
    return is_awaited;
}

/* What was next in an inbox. */
enum taken { TAKEN_NOTHING, TAKEN_REPLY, TAKEN_RUBBISH };

static enum taken take_next(struct desk *d, bool is_left)
{
    int inbox_fd = is_left ? d->left_fd : d->inbox_fd, fd = -1;
    pid_t pid = 0;
    if (inbox_fd < 0)
        return TAKEN_NOTHING;
    int rc = task_receive_reply(inbox_fd, &d->frame, &fd, &pid);
    if (rc == 1 || rc == -EMFILE) /* without its file the answer is refused for that */
        return take_reply(d, fd, pid) ? TAKEN_REPLY : TAKEN_RUBBISH;
    if (rc == -EAGAIN)
        return TAKEN_NOTHING;
    if (rc == -EINTR)
        return TAKEN_REPLY;
    if (rc == 0) {
        desk_inbox_fail(d, is_left);
        return TAKEN_NOTHING;
    }
    judge_liar(d, pid, rc == -EPROTO ? "it is none" : strerror(-rc));
    return TAKEN_RUBBISH;
}

/* One that is rubbish is enough: who writes such may do nothing else. */
void desk_reply_take(struct desk *d)
{
    for (int is_left = 1; is_left >= 0; is_left--)
        for (unsigned i = 0; i < REPLIES_A_TURN && take_next(d, is_left) == TAKEN_REPLY; i++)
            ;
    desk_inbox_settle(d);
}

void desk_reply_take_all(struct desk *d)
{
    for (int is_left = 1; is_left >= 0; is_left--)
        for (unsigned i = 0; i < REPLIES_MAX && take_next(d, is_left) != TAKEN_NOTHING; i++)
            ;
    desk_inbox_settle(d);
}
