/* Streamed bodies: one call of the producer becomes one chunk. */
#ifndef REMUDA_HTTP_STREAM_H
#define REMUDA_HTTP_STREAM_H

#include <stdbool.h>

#include "base/buf.h"
#include "http/response.h"

/* Calls the producer once and appends what it wrote, framed, to out; the last chunk too at the end.
 * Returns  0 … 3600000 ms to wait; RMD_END; RMD_ABORT (also when memory was refused) */
int stream_produce(struct rmd_response *res, bool is_chunked, struct buf *out);

struct rmd_writer {
    struct buf *out;
    bool is_failed; /* memory was refused: the stream is cut, never shortened in silence */
};

#endif
