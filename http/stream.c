/* Streamed bodies. The chunk's size is known only after the producer has written, so room for the
 * largest size line is left in front and the data moved up to it (16 KiB, usually). */
#include "http/stream.h"

#include <stdio.h>
#include <string.h>

#define SIZE_LINE_MAX 18 /* 16 hexadecimal digits and CRLF */
#define WAIT_MAX_MS 3600000

static int close_chunk(struct buf *out, size_t start)
{
    size_t data_at = start + SIZE_LINE_MAX;
    size_t len = out->len - data_at;
    if (len == 0) { /* nothing written: a chunk of size 0 would end the body */
        out->len = start;
        return 0;
    }
    char line[SIZE_LINE_MAX + 1];
    int n = snprintf(line, sizeof line, "%zx\r\n", len);
    memcpy(out->data + start, line, (size_t)n);
    memmove(out->data + start + n, out->data + data_at, len);
    out->len = start + (size_t)n + len;
    return buf_append(out, "\r\n", 2);
}

/* What to wait, where it does not say itself. Once put on the pace stays, whatever is written in
 * between: the producer has shown what its 0 means. */
static int pace(struct rmd_response *res, bool has_written, int wait_ms)
{
    bool is_empty = wait_ms == 0 && !has_written;
    if (res->n_empty < STREAM_EMPTY_MAX)
        res->n_empty = is_empty ? res->n_empty + 1 : 0;
    return is_empty && res->n_empty >= STREAM_EMPTY_MAX ? STREAM_PACE_MS : wait_ms;
}

int stream_produce(struct rmd_response *res, bool is_chunked, struct buf *out)
{
    size_t start = out->len;
    if (is_chunked) {
        if (buf_reserve(out, SIZE_LINE_MAX) < 0)
            return RMD_ABORT;
        out->len += SIZE_LINE_MAX;
    }
    size_t data_at = out->len;
    struct rmd_writer writer = {.out = out};
    int wait_ms = res->produce(&writer, res->done_arg);
    bool has_written = out->len > data_at;
    res->body_sent += out->len - data_at;
    if (writer.is_failed || wait_ms < RMD_END || (is_chunked && close_chunk(out, start) < 0)) {
        out->len = start;
        return RMD_ABORT;
    }
    if (wait_ms == RMD_END && is_chunked && buf_append(out, "0\r\n\r\n", 5) < 0)
        return RMD_ABORT;
    return wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : pace(res, has_written, wait_ms);
}
