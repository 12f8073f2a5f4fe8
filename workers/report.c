/* Process: web and compute workers, between two turns. Who hangs does not come here: its stacks
 * are seen from outside. */
#include "workers/report.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/conn.h"
#include "ipc/msg.h"
#include "ipc/report.h"

#define CONNECTIONS_BYTES (REPORT_BYTES - 64U * 1024U) /* the rest is the allocator's */

/* Only what an errand on a thread does not write to; a head that is still coming says nothing. */
static void print_request(struct buf *out, const struct conn *conn, uint64_t now_us)
{
    char method[LOG_QUOTE_MAX + 8], target[LOG_QUOTE_MAX + 8];
    if (!conn->ex || conn->state == CONN_HEAD || conn->state == CONN_PROXY ||
        conn->ex->req.base == NULL)
        return;
    struct rmd_request *req = &conn->ex->req;
    struct str raw = request_target(req);
    uint64_t elapsed_us = now_us > req->started_us ? now_us - req->started_us : 0;
    (void)!buf_printf(out, " method=%s target=%s elapsed_ms=%" PRIu64,
                      log_quote(method, req->method, strlen(req->method)),
                      log_quote(target, raw.p, raw.len), elapsed_us / CLOCK_US_PER_MS);
}

bool report_connection(struct buf *out, const struct conn *conn, uint64_t age_us,
                       uint64_t waited_us, uint64_t now_us)
{
    char peer[PEER_TEXT_MAX];
    if (out->len > CONNECTIONS_BYTES)
        return false;
    (void)request_format_peer(&conn->peer, true, peer);
    const char *state = conn->state < CONN_STATES ? conn_state_names[conn->state] : "?";
    (void)!buf_printf(out,
                      "connection peer=%s state=%s age_ms=%" PRIu64 " waited_ms=%" PRIu64
                      " requests=%" PRIu32 " unsent_bytes=%zu",
                      peer, state, age_us / CLOCK_US_PER_MS, waited_us / CLOCK_US_PER_MS,
                      conn->n_requests, conn->out.len - conn->out_sent);
    print_request(out, conn, now_us);
    (void)!buf_append(out, "\n", 1);
    return true;
}

/* malloc_info(3) takes the locks of all arenas, one after another, each for a moment. */
static void tell_allocator(struct buf *out)
{
    char *text = NULL;
    size_t len = 0;
    struct mallinfo2 m = mallinfo2();
    (void)!buf_printf(out,
                      "allocator arena_bytes=%zu mapped_bytes=%zu used_bytes=%zu free_bytes=%zu "
                      "top_bytes=%zu\n",
                      m.arena, m.hblkhd, m.uordblks, m.fordblks, m.keepcost);
    FILE *stream = open_memstream(&text, &len);
    if (!stream)
        return;
    (void)malloc_info(0, stream);
    if (fclose(stream) == 0 && text)
        (void)!buf_append(out, text, len);
    free(text);
}

static int write_at(int fd, const void *data, size_t len, off_t at)
{
    const char *from = data;
    while (len > 0) {
        ssize_t n = pwrite(fd, from, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        from += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

void report_answer(const struct msg *msg, int fd, void (*tell)(const void *all, struct buf *out),
                   const void *all)
{
    struct buf text = {0};
    struct report_head head = {.done = REPORT_DONE};
    off_t at = (off_t)msg->value;
    if (tell)
        tell(all, &text);
    tell_allocator(&text);
    size_t room = msg->about > (int)sizeof head ? (size_t)msg->about - sizeof head : 0;
    head.len = (uint32_t)(text.len < room ? text.len : room);
    if (write_at(fd, text.data ? text.data : "", head.len, at + (off_t)sizeof head) == 0)
        (void)!write_at(fd, &head, sizeof head, at); /* else it counts as not answered */
    buf_fini(&text);
}
