/* See handover.h. A small body goes with the image; a larger one was received where it can be read;
 * if not so, since it was chunked or the slice had no room then, it is copied behind the image; one
 * that is in a spool file goes by descriptor. A slice that is full makes a spool file of any
 * body: slower, and no failure. */
#include "workers/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "http/image.h"
#include "workers/blocks.h"

/* The block in which the body was received; NULL: it was not received into one. */
static struct block *block_of(const struct exchange *ex)
{
    struct str body = ex->req.body;
    return block_has(ex->body_block, body.p, body.len) ? ex->body_block
           : block_has(ex->block, body.p, body.len)    ? ex->block
                                                       : NULL;
}

#define WITH_IMAGE_MAX 4096U /* octets of a body: a page; what it costs to copy them is not felt */
#define BODY_ALIGN 64U       /* a line of the cache */

static uint64_t align(uint64_t bytes)
{
    return (bytes + BODY_ALIGN - 1) / BODY_ALIGN * BODY_ALIGN;
}

/* Room for so many octets that the CPU may write. */
static int take(struct segment_slice *slice, uint64_t bytes, struct segment_run *run)
{
    int rc = segment_take(slice, bytes, 0, run);
    if (rc < 0)
        return rc;
    rc = segment_ready(slice, run, 0, bytes);
    if (rc < 0)
        segment_give(slice, run);
    return rc;
}

static int spool(struct str body, int *out_fd)
{
    int fd = memfd_create("remuda-body", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fd_write_all(fd, body.p, body.len);
    if (rc < 0)
        fd_close(&fd);
    *out_fd = fd;
    return rc;
}

static void put_image(const struct segment_slice *slice, const struct rmd_request *req,
                      struct str inside, struct task *task, const struct handover *put)
{
    image_put_request(req, inside, segment_own(slice, &put->run));
    task->image_at = put->run.at;
    task->image_len = (uint32_t)image_request_bytes(req, inside.len);
}

/* Nothing is copied but the head. Returns 0; -ENOSPC, -ENOMEM */
static int put_where_it_lies(struct segment_slice *slice, const struct rmd_request *req,
                             struct block *block, struct task *task, struct handover *put)
{
    int rc = take(slice, image_request_bytes(req, 0), &put->run);
    if (rc < 0)
        return rc;
    put_image(slice, req, (struct str){0}, task, put);
    put->block = block_hold(block);
    task->body = TASK_BODY_SLICE;
    task->body_at = blocks_at(block, req->body.p);
    task->body_len = req->body.len;
    return 0;
}

/* A quarter of it is left to images, without which nothing goes out at all. */
bool handover_may_copy(const struct segment_slice *slice, uint64_t bytes)
{
    uint64_t most = slice->n_pages / 4 * 3;
    return slice->n_used < most && bytes / SEGMENT_PAGE < most - slice->n_used;
}

/* Returns 0; -ENOSPC, -ENOMEM */
static int put_beside(struct segment_slice *slice, const struct rmd_request *req, struct task *task,
                      struct handover *put)
{
    uint64_t at = align(image_request_bytes(req, 0));
    if (!handover_may_copy(slice, at + req->body.len))
        return -ENOSPC;
    int rc = take(slice, at + req->body.len, &put->run);
    if (rc < 0)
        return rc;
    put_image(slice, req, (struct str){0}, task, put);
    memcpy(segment_own(slice, &put->run) + at, req->body.p, req->body.len);
    task->body = TASK_BODY_SLICE;
    task->body_at = put->run.at + at;
    task->body_len = req->body.len;
    return 0;
}

static int put_spooled(struct segment_slice *slice, const struct exchange *ex, struct task *task,
                       struct handover *put)
{
    const struct rmd_request *req = &ex->req;
    int rc = take(slice, image_request_bytes(req, 0), &put->run);
    if (rc == 0 && ex->body.fd < 0)
        rc = spool(req->body, &put->spool_fd);
    else if (rc == 0) /* who comes after a worker that died of it gets what the client has sent */
        put->spool_fd = fd_reopen_to_read(ex->body.fd);
    if (rc < 0) {
        segment_give(slice, &put->run);
        return rc;
    }
    put_image(slice, req, (struct str){0}, task, put);
    task->body = TASK_BODY_SPOOL;
    task->body_len = req->body.len;
    return 0;
}

int handover_put(struct segment_slice *slice, const struct exchange *ex, struct task *task,
                 struct handover *out_put, uint64_t *out_copied)
{
    const struct rmd_request *req = &ex->req;
    struct handover put = {.spool_fd = -1};
    int rc;
    *out_copied = 0;
    if (req->body.len <= WITH_IMAGE_MAX) {
        rc = take(slice, image_request_bytes(req, req->body.len), &put.run);
        if (rc == 0)
            put_image(slice, req, req->body, task, &put);
    } else if (block_of(ex)) {
        rc = put_where_it_lies(slice, req, block_of(ex), task, &put);
    } else {
        rc = ex->body.fd < 0 ? put_beside(slice, req, task, &put) : -ENOSPC;
        if (rc == 0)
            *out_copied = req->body.len;
        else
            rc = put_spooled(slice, ex, task, &put);
    }
    if (rc == 0)
        *out_put = put;
    return rc;
}

int handover_fd(const struct handover *put, const struct exchange *ex)
{
    return put->spool_fd >= 0 ? put->spool_fd : ex->body.fd;
}

void handover_sent(struct handover *put)
{
    fd_close(&put->spool_fd);
}

void handover_end(struct segment_slice *slice, struct handover *put)
{
    fd_close(&put->spool_fd);
    segment_give(slice, &put->run);
    block_drop(&put->block);
}
