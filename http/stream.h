/* Streamed bodies: one call of the producer becomes one chunk. */
#ifndef REMUDA_HTTP_STREAM_H
#define REMUDA_HTTP_STREAM_H

#include <stdbool.h>

#include "base/buf.h"
#include "http/response.h"

/* A producer that writes nothing and does not want to wait either is called again at once, so often
 * in a row: one that compresses, say, may need much for a little. From then on it has to wait all
 * the same, or it would cost a CPU. */
#define STREAM_EMPTY_MAX 16U /* a guess */
#define STREAM_PACE_MS 10    /* a guess: 100 calls a second are not felt */

/* Calls the producer once and appends what it wrote, framed, to out; the last chunk too at the end.
 * Counts res->n_empty; at STREAM_EMPTY_MAX the pace has been put on.
 * Returns  0 … 3600000 ms to wait; RMD_END; RMD_ABORT (also when memory was refused) */
int stream_produce(struct rmd_response *res, bool is_chunked, struct buf *out);

struct rmd_writer {
    struct buf *out;
    bool is_failed; /* memory was refused: the stream is cut, never shortened in silence */
};

#endif
