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

struct compute_held {
    struct list link;
    const struct task_record *record;
    uint64_t id;
    struct exchange *ex;
    struct segment_run run;
};

/* ---- memory ---- */

/* A full slice is no reason to fail: then the answer is copied, or goes by a file. */
static void *take_block(void *owner, size_t bytes, size_t *out_bytes)
{
    struct compute_reply *r = owner;
    const struct arena_source slice = segment_source(&r->segment->slice);
    void *block = slice.take(slice.owner, bytes, out_bytes);
    if (!block) {
        compute_reply_reap(r);
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
    pool->source = &r->source;
}

/* Room of the slice that may be written. NULL: there is none */
static char *take_run(struct compute_reply *r, uint64_t bytes, struct segment_run *out_run)
{
    struct segment_slice *slice = &r->segment->slice;
    if (segment_take(slice, bytes, 0, out_run) < 0) {
        compute_reply_reap(r);
        if (segment_take(slice, bytes, 0, out_run) < 0)
            return NULL;
    }
    if (segment_ready(slice, out_run, 0, bytes) == 0)
        return segment_own(slice, out_run);
    segment_give(slice, out_run);
    return NULL;
}

/* ---- sending ---- */

int compute_reply_send(int inbox_fd, const struct task_frame *frame, int file_fd)
{
    for (;;) {
        int rc = task_reply(inbox_fd, frame, file_fd);
        if (rc != -EAGAIN)
            return rc;
        struct pollfd room = {.fd = inbox_fd, .events = POLLOUT};
        (void)poll(&room, 1, -1); /* whoever reads it takes all there is, or is dead soon */
    }
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

/* ---- an answer ---- */

/* The image, in the frame or in the slice. Returns 0; -ENOSPC */
static int put_image(struct compute_reply *r, const struct rmd_response *res, bool with_body,
                     struct compute_answer *out)
{
    struct task_reply *reply = &out->frame.reply;
    size_t bytes = image_answer_bytes(res, with_body);
    if (bytes <= TASK_INLINE_MAX) {
        image_put_answer(res, with_body, out->frame.octets);
        reply->inline_len = (uint32_t)bytes;
        return 0;
    }
    if (out->run.bytes > 0 || bytes > UINT32_MAX)
        return -ENOSPC; /* of either there is one run: huge fields with a body from elsewhere */
    char *at = take_run(r, bytes, &out->run);
    if (!at)
        return -ENOSPC;
    image_put_answer(res, with_body, at);
    reply->image_at = out->run.at;
    reply->image_len = (uint32_t)bytes;
    return 0;
}

/* Octets that lie elsewhere: where the asker can read it, they are copied to. */
static bool copy_octets(struct compute_reply *r, struct str octets, struct compute_answer *out)
{
    char *at = take_run(r, octets.len, &out->run);
    if (!at)
        return false;
    memcpy(at, octets.p, octets.len);
    r->copied += octets.len;
    out->frame.reply.data_at = out->run.at;
    out->frame.reply.data_len = octets.len;
    return true;
}

/* Octets that the asker reads, from where they lie if it can. Returns false: there is no room */
static bool put_octets(struct compute_reply *r, struct str octets, struct compute_answer *out)
{
    struct segment_ref ref;
    if (!segment_find(r->segment, octets.p, octets.len, &ref))
        return copy_octets(r, octets, out);
    out->frame.reply.data_at = ref.at;
    out->frame.reply.data_len = ref.len;
    out->is_read_here = true;
    return true;
}

/* No room for the body: it goes by a file without a name. Returns 0; -errno */
static int spool_body(struct compute_reply *r, const struct rmd_response *res,
                      struct compute_answer *out)
{
    const struct response_part whole = {.len = res->body_len};
    struct rmd_response file = *res;
    out->file_fd = memfd_create("remuda-answer", MFD_CLOEXEC);
    if (out->file_fd < 0)
        return -errno;
    out->is_file_ours = true;
    int rc = fd_write_all(out->file_fd, res->body, res->body_len);
    if (rc < 0)
        return rc;
    file.kind = RESPONSE_FILE;
    file.parts = &whole;
    file.n_parts = 1;
    return put_image(r, &file, false, out);
}

static int put_large(struct compute_reply *r, const struct rmd_response *res,
                     struct compute_answer *out)
{
    if (!put_octets(r, str_make(res->body, res->body_len), out))
        return spool_body(r, res, out);
    return put_image(r, res, false, out);
}

int compute_reply_make(struct compute_reply *r, uint64_t id, struct exchange *ex,
                       struct compute_answer *out)
{
    const struct rmd_response *res = &ex->res;
    int rc;
    *out = begin(r, TASK_ANSWER, id);
    if (res->kind == RESPONSE_BYTES && image_answer_bytes(res, true) > TASK_INLINE_MAX)
        rc = put_large(r, res, out);
    else
        rc = put_image(r, res, true, out);
    if (rc == 0 && res->kind == RESPONSE_FILE)
        out->file_fd = res->fd;
    if (rc < 0) {
        if (out->is_file_ours)
            fd_close(&out->file_fd);
        segment_give(&r->segment->slice, &out->run);
        compute_reply_fail(r, id, TASK_FAILED, -rc, out);
    }
    return rc;
}

/* ---- a result ---- */

/* It can't go by a file: what is being read by others makes room sooner or later. */
static bool await_room(struct compute_reply *r, const struct task *task, struct str result,
                       struct compute_answer *out)
{
    const struct task_record *record = task_record(r->segment, task->id);
    while (!put_octets(r, result, out)) {
        if (r->n_held == 0 || clock_now_us() >= task->deadline_us ||
            !task_is_wanted(record, task->id))
            return false;
        (void)poll(NULL, 0, LOOK_MS);
    }
    return true;
}

int compute_reply_result(struct compute_reply *r, const struct task *task, int error,
                         struct str result, struct compute_answer *out)
{
    *out = begin(r, TASK_RESULT, task->id);
    out->frame.reply.error = error;
    if (error != 0 || result.len == 0)
        return 0;
    if (result.len <= TASK_INLINE_MAX) {
        memcpy(out->frame.octets, result.p, result.len);
        out->frame.reply.inline_len = (uint32_t)result.len;
        return 0;
    }
    if (await_room(r, task, result, out))
        return 0;
    compute_reply_fail(r, task->id, TASK_FAILED, ENOSPC, out);
    return -ENOSPC;
}

/* ---- a stream ---- */

/* A stream on its way. Its parts lie in a ring in the slice, at their distance from the beginning,
 * modulo its size: what is not done with is never more than the ring holds. */
struct flow {
    struct compute_reply *r;
    const struct task *task;
    const struct task_record *record;
    int inbox_fd;
    char *ring;  /* NULL: there was no room, parts are small and go with their frames */
    uint64_t at; /* of the ring in the slice */
    uint64_t sent;
};

static int send_part(struct flow *flow, const char *data, size_t len)
{
    struct compute_answer part = begin(flow->r, TASK_PART, flow->task->id);
    if (len <= TASK_INLINE_MAX) {
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
    return compute_reply_send(flow->inbox_fd, &part.frame, -1);
}

static int send_parts(struct flow *flow, const char *data, size_t len)
{
    while (len > 0) {
        size_t until_end = (size_t)(WINDOW_BYTES - flow->sent % WINDOW_BYTES);
        size_t n = len < PART_BYTES ? len : PART_BYTES;
        if (n > until_end)
            n = until_end;
        if (!flow->ring && n > TASK_INLINE_MAX)
            n = TASK_INLINE_MAX;
        int rc = task_await_credit(flow->record, flow->task->id, flow->sent, WINDOW_BYTES - n,
                                   flow->task->deadline_us);
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
    for (;;) {
        ex->made.len = 0;
        int wait_ms = stream_produce(&ex->res, false, &ex->made);
        if (wait_ms == RMD_ABORT)
            return -EIO;
        int rc = send_parts(flow, ex->made.data, ex->made.len);
        if (rc == 0 && wait_ms == RMD_END)
            return 0;
        if (rc == 0)
            rc = task_sleep(flow->record, flow->task->id,
                            clock_now_us() + (uint64_t)wait_ms * CLOCK_US_PER_MS);
        if (rc == 0 && clock_now_us() >= flow->task->deadline_us)
            rc = -ETIMEDOUT;
        if (rc < 0)
            return rc;
    }
}

void compute_reply_stream(struct compute_reply *r, const struct task *task, int inbox_fd,
                          const struct task_record *record, struct exchange *ex,
                          struct compute_answer *out)
{
    struct compute_answer head = begin(r, TASK_BEGIN, task->id);
    struct flow flow = {.r = r, .task = task, .record = record, .inbox_fd = inbox_fd};
    *out = begin(r, TASK_END, task->id);
    int rc = put_image(r, &ex->res, false, &head);
    if (rc == 0)
        rc = compute_reply_send(inbox_fd, &head.frame, -1);
    if (head.run.bytes > 0)
        out->run = head.run; /* the image is read from there: then without a ring */
    else
        flow.ring = take_run(r, WINDOW_BYTES, &out->run);
    flow.at = out->run.at;
    if (rc == 0)
        rc = produce(&flow, ex);
    out->frame.reply.error = -rc;
}

/* ---- afterwards ---- */

static void release(struct compute_reply *r, struct exchange *ex, struct segment_run *run)
{
    segment_give(&r->segment->slice, run);
    exchange_settle(ex);
    exchange_give_back(r->pool, ex);
}

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

void compute_reply_reap(struct compute_reply *r)
{
    LIST_FOREACH (link, &r->held) {
        struct compute_held *held = LIST_ENTRY(link, struct compute_held, link);
        if (task_is_held(held->record, held->id))
            continue;
        struct segment_run run = held->run;
        struct exchange *ex = held->ex;
        list_unlink(&held->link);
        r->n_held--;
        release(r, ex, &run);
    }
}
