/* See compute_reply.h. Process: compute workers, on the thread of the room. */
#include "workers/compute_reply.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "http/image.h"
#include "http/stream.h"
#include "include/remuda.h"

#define WINDOW_BYTES (256U * 1024U) /* of a stream's body that is sent and not done with: a guess */
#define LOOK_MS 5                   /* how often one who waits for room looks */
#define PART_BYTES (64U * 1024U)    /* of one part, at most */
#define RESERVE_BYTES (64U * 1024U) /* fields that are larger may find no room */
#define CROWDED_MAX 256U /* octets that go with a frame into an inbox with many: most heads do */
#define LINE_BYTES 64U   /* of the cache */
#define REFS_MS 200      /* for how long a file waits for others to arrive: a guess */

struct compute_held {
    struct list link;
    const struct task_record *record;
    uint64_t id;
    struct exchange *ex;
    struct segment_run run;
};

/* ---- memory ---- */

/* Unless it is there, or has no room now: then later. */
static void take_reserve(struct compute_reply *r)
{
    if (r->reserve.bytes == 0)
        (void)!segment_take(&r->segment->slice, RESERVE_BYTES, 0, &r->reserve);
}

static void release(struct compute_reply *r, struct exchange *ex, struct segment_run *run)
{
    segment_give(&r->segment->slice, run);
    exchange_settle(ex);
    exchange_give_back(r->pool, ex);
    take_reserve(r);
}

/* with_app: also what the app is called for when it is given back, which may do anything. Else that
 * waits: handlers hold locks, and a call in the midst of one would be charged to it. */
static void reap(struct compute_reply *r, bool with_app)
{
    LIST_FOREACH (link, &r->held) {
        struct compute_held *held = LIST_ENTRY(link, struct compute_held, link);
        if (task_is_held(held->record, held->id) || (!with_app && exchange_is_owed(held->ex)))
            continue;
        struct segment_run run = held->run;
        struct exchange *ex = held->ex;
        list_unlink(&held->link);
        r->n_held--;
        release(r, ex, &run);
    }
}

void compute_reply_reap(struct compute_reply *r)
{
    reap(r, true);
}

/* A full slice is no reason to fail: then the answer is copied, or goes by a file. */
static void *take_block(void *owner, size_t bytes, size_t *out_bytes)
{
    struct compute_reply *r = owner;
    const struct arena_source slice = segment_source(&r->segment->slice);
    void *block = slice.take(slice.owner, bytes, out_bytes);
    if (!block) {
        reap(r, false);
        block = slice.take(slice.owner, bytes, out_bytes);
    }
    if (block)
        return block;
    *out_bytes = bytes;
    return malloc(bytes);
}

static void give_block(void *owner, void *memory, size_t bytes)
{
    struct compute_reply *r = owner;
    struct segment_ref ref;
    const struct arena_source slice = segment_source(&r->segment->slice);
    if (segment_find(r->segment, memory, bytes, &ref))
        slice.give(slice.owner, memory, bytes);
    else
        free(memory);
}

void compute_reply_init(struct compute_reply *r, struct segment *segment,
                        struct exchange_pool *pool)
{
    *r = (struct compute_reply){.segment = segment, .pool = pool};
    r->source = (struct arena_source){take_block, give_block, r};
    list_init(&r->held);
    take_reserve(r);
    pool->source = &r->source;
}

/* Makes room that was taken writable; else gives it back. */
static char *ready_run(struct compute_reply *r, uint64_t bytes, struct segment_run *run)
{
    struct segment_slice *slice = &r->segment->slice;
    if (segment_ready(slice, run, 0, bytes) == 0)
        return segment_own(slice, run);
    segment_give(slice, run);
    *run = (struct segment_run){0};
    return NULL;
}

/* Room of the slice that may be written. NULL: there is none */
static char *take_run(struct compute_reply *r, uint64_t bytes, struct segment_run *out_run)
{
    struct segment_slice *slice = &r->segment->slice;
    if (segment_take(slice, bytes, 0, out_run) < 0) {
        reap(r, false);
        if (segment_take(slice, bytes, 0, out_run) < 0)
            return NULL;
    }
    return ready_run(r, bytes, out_run);
}

/* What can't go any other way than by the slice: there is the reserve, and what others are reading
 * makes room sooner or later. NULL: not while it is waited for */
static char *await_run(struct compute_reply *r, const struct compute_asker *asker, uint64_t bytes,
                       struct segment_run *out_run)
{
    for (;;) {
        char *at = take_run(r, bytes, out_run);
        if (at)
            return at;
        if (bytes <= r->reserve.bytes) {
            *out_run = r->reserve;
            r->reserve = (struct segment_run){0};
            return ready_run(r, bytes, out_run);
        }
        if (r->n_held == 0 || clock_now_us() >= asker->task->deadline_us ||
            !task_is_wanted(asker->record, asker->task->id))
            return NULL;
        (void)poll(NULL, 0, LOOK_MS);
        compute_reply_reap(r);
    }
}

/* ---- sending ---- */

/* Descriptors of a user that are on their way may be too many for another, unix(7): those that wait
 * in queues count, too, so that it may last. */
int compute_reply_send(int inbox_fd, const struct task_frame *frame, int file_fd)
{
    int left_ms = REFS_MS;
    for (;;) {
        int rc = task_reply(inbox_fd, frame, file_fd);
        struct pollfd room = {.fd = inbox_fd, .events = POLLOUT};
        if (rc == -EAGAIN) {
            (void)poll(&room, 1, -1); /* whoever reads it takes all there is, or is dead soon */
        } else if (rc == -ETOOMANYREFS && left_ms > 0) {
            (void)poll(NULL, 0, LOOK_MS);
            left_ms -= LOOK_MS;
        } else {
            return rc;
        }
    }
}

/* Octets that go with the next frame, at most. One who does not read his inbox just now should not
 * hold up those who answer him, and with them all who wait behind: so what lies there is to be
 * small, as long as it can lie elsewhere. */
static size_t inline_max(int inbox_fd)
{
    return task_is_crowded(inbox_fd) ? CROWDED_MAX : TASK_INLINE_MAX;
}

static struct compute_answer begin(const struct compute_reply *r, enum task_reply_kind kind,
                                   uint64_t id)
{
    struct compute_answer answer;
    answer.frame.reply = task_make_reply(kind, id, r->segment->seat);
    answer.run = (struct segment_run){0};
    answer.file_fd = -1;
    answer.is_file_ours = answer.is_read_here = false;
    return answer;
}

void compute_reply_fail(const struct compute_reply *r, uint64_t id, enum task_reply_kind kind,
                        int error, struct compute_answer *out)
{
    *out = begin(r, kind, id);
    out->frame.reply.error = error;
}

/* It could not be made: what it has goes. */
static int give_up(struct compute_reply *r, uint64_t id, int rc, struct compute_answer *out)
{
    if (out->is_file_ours)
        fd_close(&out->file_fd);
    segment_give(&r->segment->slice, &out->run);
    compute_reply_fail(r, id, TASK_FAILED, -rc, out);
    return rc;
}

/* ---- an answer ---- */

static uint64_t align(uint64_t bytes)
{
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

/* The image, with its frame: it is no larger than TASK_INLINE_MAX. */
static void put_inline(const struct rmd_response *res, bool with_body, struct compute_answer *out)
{
    image_put_answer(res, with_body, out->frame.octets);
    out->frame.reply.inline_len = (uint32_t)image_answer_bytes(res, with_body);
}

/* What the image takes of room in the slice, if it is there that it may have to go. */
static size_t image_room(const struct rmd_response *res)
{
    size_t bytes = image_answer_bytes(res, false);
    return bytes > CROWDED_MAX ? bytes : 0;
}

/* The image without a body, in the frame or in the slice. Returns 0; -ENOSPC
 * offset  in the answer's run, where that was taken for it, too; else there is no run yet */
static int put_image(struct compute_reply *r, const struct compute_asker *asker,
                     const struct rmd_response *res, uint64_t offset, struct compute_answer *out)
{
    struct task_reply *reply = &out->frame.reply;
    size_t bytes = image_answer_bytes(res, false);
    char *at = NULL;
    if (bytes <= inline_max(asker->inbox_fd)) {
        put_inline(res, false, out);
        return 0;
    }
    if (out->run.bytes > 0)
        at = segment_own(&r->segment->slice, &out->run) + offset;
    else if (bytes <= TASK_INLINE_MAX)
        at = take_run(r, bytes, &out->run);
    else if (bytes <= UINT32_MAX)
        at = await_run(r, asker, bytes, &out->run);
    if (at) {
        image_put_answer(res, false, at);
        reply->image_at = out->run.at + offset;
        reply->image_len = (uint32_t)bytes;
    } else if (bytes <= TASK_INLINE_MAX) {
        put_inline(res, false, out);
    } else {
        return -ENOSPC;
    }
    return 0;
}

/* Octets that the asker reads: from where they lie if it can, else from a copy where it can, with
 * room for `more` behind them. Returns false: there is no room */
static bool put_octets(struct compute_reply *r, struct str octets, uint64_t more,
                       struct compute_answer *out)
{
    struct segment_ref ref;
    out->is_read_here = segment_find(r->segment, octets.p, octets.len, &ref);
    if (!out->is_read_here) {
        char *at = take_run(r, more > 0 ? align(octets.len) + more : octets.len, &out->run);
        if (!at)
            return false;
        memcpy(at, octets.p, octets.len);
        r->copied += octets.len;
        ref.at = out->run.at;
    }
    out->frame.reply.data_at = ref.at;
    out->frame.reply.data_len = octets.len;
    return true;
}

/* No room for octets: they go by a file without a name. Returns 0; -errno */
static int spool(struct str octets, struct compute_answer *out)
{
    out->file_fd = memfd_create("remuda-answer", MFD_CLOEXEC);
    if (out->file_fd < 0)
        return -errno;
    out->is_file_ours = true;
    return fd_write_all(out->file_fd, octets.p, octets.len);
}

static int spool_body(struct compute_reply *r, const struct compute_asker *asker,
                      const struct rmd_response *res, struct compute_answer *out)
{
    const struct response_part whole = {.len = res->body_len};
    struct rmd_response file = *res;
    int rc = spool(str_make(res->body, res->body_len), out);
    file.kind = RESPONSE_FILE;
    file.parts = &whole;
    file.n_parts = 1;
    return rc < 0 ? rc : put_image(r, asker, &file, 0, out);
}

static int put_bytes(struct compute_reply *r, const struct compute_asker *asker,
                     const struct rmd_response *res, struct compute_answer *out)
{
    const struct str body = str_make(res->body, res->body_len);
    const size_t whole = image_answer_bytes(res, true);
    if (whole <= inline_max(asker->inbox_fd)) {
        put_inline(res, true, out);
        return 0;
    }
    if (body.len == 0)
        return put_image(r, asker, res, 0, out);
    if (put_octets(r, body, image_room(res), out))
        return put_image(r, asker, res, out->run.bytes > 0 ? align(body.len) : 0, out);
    if (whole > TASK_INLINE_MAX)
        return spool_body(r, asker, res, out);
    put_inline(res, true, out);
    return 0;
}

int compute_reply_make(struct compute_reply *r, const struct compute_asker *asker,
                       struct exchange *ex, struct compute_answer *out)
{
    const struct rmd_response *res = &ex->res;
    *out = begin(r, TASK_ANSWER, asker->task->id);
    int rc = res->kind == RESPONSE_BYTES ? put_bytes(r, asker, res, out)
                                         : put_image(r, asker, res, 0, out);
    if (rc == 0 && res->kind == RESPONSE_FILE)
        out->file_fd = res->fd;
    return rc < 0 ? give_up(r, asker->task->id, rc, out) : 0;
}

/* ---- a result ---- */

static int spool_result(const struct compute_reply *r, struct str result,
                        struct compute_answer *out)
{
    int rc = result.len <= r->segment->slice_bytes ? spool(result, out) : -EMSGSIZE;
    if (rc < 0)
        fd_close(&out->file_fd);
    out->frame.reply.data_at = rc < 0 ? 0 : TASK_AT_FILE;
    out->frame.reply.data_len = rc < 0 ? 0 : result.len;
    return rc;
}

int compute_reply_result(struct compute_reply *r, const struct compute_asker *asker, int error,
                         struct str result, struct compute_answer *out)
{
    *out = begin(r, TASK_RESULT, asker->task->id);
    out->frame.reply.error = error;
    if (error != 0 || result.len == 0)
        return 0;
    if (asker->task->by_file && result.len > TASK_LARGE_BYTES && spool_result(r, result, out) == 0)
        return 0;
    if (result.len > inline_max(asker->inbox_fd) && put_octets(r, result, 0, out))
        return 0;
    if (result.len <= TASK_INLINE_MAX) {
        memcpy(out->frame.octets, result.p, result.len);
        out->frame.reply.inline_len = (uint32_t)result.len;
        return 0;
    }
    int rc = spool_result(r, result, out);
    return rc < 0 ? give_up(r, asker->task->id, rc, out) : 0;
}

/* ---- a stream ---- */

/* A stream on its way. Its parts lie in a ring in the slice, at their distance from the beginning,
 * modulo its size: what is not done with is never more than the ring holds. */
struct flow {
    struct compute_reply *r;
    const struct compute_asker *asker;
    char *ring;  /* NULL: there was no room, parts are small and go with their frames */
    uint64_t at; /* of the ring in the slice */
    uint64_t sent;
};

static int send_part(struct flow *flow, const char *data, size_t len)
{
    const struct compute_asker *asker = flow->asker;
    struct compute_answer part = begin(flow->r, TASK_PART, asker->task->id);
    if (len <= TASK_INLINE_MAX && (!flow->ring || len <= inline_max(asker->inbox_fd))) {
        memcpy(part.frame.octets, data, len);
        part.frame.reply.inline_len = (uint32_t)len;
    } else {
        uint64_t at = flow->sent % WINDOW_BYTES;
        memcpy(flow->ring + at, data, len);
        flow->r->copied += len;
        part.frame.reply.data_at = flow->at + at;
        part.frame.reply.data_len = len;
    }
    flow->sent += len;
    return compute_reply_send(asker->inbox_fd, &part.frame, -1);
}

static int send_parts(struct flow *flow, const char *data, size_t len)
{
    const struct task *task = flow->asker->task;
    while (len > 0) {
        size_t until_end = (size_t)(WINDOW_BYTES - flow->sent % WINDOW_BYTES);
        size_t n = len < PART_BYTES ? len : PART_BYTES;
        if (n > until_end)
            n = until_end;
        if (!flow->ring && n > TASK_INLINE_MAX)
            n = TASK_INLINE_MAX;
        int rc = task_await_credit(flow->asker->record, task->id, flow->sent, WINDOW_BYTES - n,
                                   task->deadline_us);
        if (rc == 0)
            rc = send_part(flow, data, n);
        if (rc < 0)
            return rc;
        data += n;
        len -= n;
    }
    return 0;
}

/* Calls the producer until it ends. Returns 0; -errno: broken off */
static int produce(struct flow *flow, struct exchange *ex)
{
    const struct task *task = flow->asker->task;
    for (;;) {
        ex->made.len = 0;
        int wait_ms = stream_produce(&ex->res, false, &ex->made);
        if (wait_ms == RMD_ABORT)
            return -EIO;
        int rc = send_parts(flow, ex->made.data, ex->made.len);
        if (rc == 0 && wait_ms == RMD_END)
            return 0;
        if (rc == 0)
            rc = task_sleep(flow->asker->record, task->id,
                            clock_now_us() + (uint64_t)wait_ms * CLOCK_US_PER_MS);
        if (rc == 0 && clock_now_us() >= task->deadline_us)
            rc = -ETIMEDOUT;
        if (rc < 0)
            return rc;
    }
}

/* The image of the head, where it is large, lies behind the ring; without one in its own room. */
void compute_reply_stream(struct compute_reply *r, const struct compute_asker *asker,
                          struct exchange *ex, struct compute_answer *out)
{
    struct compute_answer head = begin(r, TASK_BEGIN, asker->task->id);
    struct flow flow = {.r = r, .asker = asker};
    const bool is_head = memcmp(ex->req.method, "HEAD", 5) == 0;
    *out = begin(r, TASK_END, asker->task->id);
    if (!is_head)
        flow.ring = take_run(r, WINDOW_BYTES + image_room(&ex->res), &head.run);
    int rc = put_image(r, asker, &ex->res, WINDOW_BYTES, &head);
    out->run = head.run;
    flow.at = out->run.at;
    if (rc == 0)
        rc = compute_reply_send(asker->inbox_fd, &head.frame, -1);
    if (rc == 0 && !is_head)
        rc = produce(&flow, ex);
    out->frame.reply.error = -rc;
}

/* ---- afterwards ---- */

struct compute_held *compute_reply_reserve(struct exchange *ex)
{
    return arena_alloc(&ex->arena, sizeof(struct compute_held));
}

void compute_reply_keep(struct compute_reply *r, const struct task_record *record,
                        struct exchange *ex, struct compute_held *held,
                        struct compute_answer *answer)
{
    if (answer->is_file_ours)
        fd_close(&answer->file_fd);
    if (!answer->is_read_here)
        exchange_settle(ex); /* what others read is a copy */
    if (!held || (!answer->is_read_here && answer->run.bytes == 0)) {
        release(r, ex, &answer->run);
        return;
    }
    *held = (struct compute_held){
        .record = record, .id = answer->frame.reply.id, .ex = ex, .run = answer->run};
    list_push(&r->held, &held->link);
    r->n_held++;
}
