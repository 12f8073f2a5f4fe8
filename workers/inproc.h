/* One request without sockets: octets through a connection machine, in this process. Behind
 * `remuda call` and the test library. */
#ifndef REMUDA_WORKERS_INPROC_H
#define REMUDA_WORKERS_INPROC_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "http/limits.h"
#include "workers/chain.h"

#define INPROC_STREAM_MAX_BYTES (1024U * 1024U) /* an endless stream is cut here */

struct inproc_request {
    const char *method;
    const char *target;
    struct str headers; /* further fields, each with its CRLF; Host and Content-Length are added */
    struct str body;
};

/* Appends the octets of a request. Returns 0; -ENOMEM */
int inproc_write_request(const struct inproc_request *request, struct buf *octets)
    __attribute__((warn_unused_result));

/* Feeds octets to a new connection and appends what it answers. Waits of stream producers are
 * passed over, not waited for.
 * Returns  0; -ENOMEM; another -errno. *out_is_closing: the connection has closed behind the answer
 *          */
int inproc_exchange(const struct app *app, const struct http_limits *limits, struct str octets,
                    struct buf *answer, bool *out_is_closing) __attribute__((warn_unused_result));

/* Takes the first final answer apart; interim ones (1xx) are passed over.
 * head     gets status line and fields as sent, with a NUL behind
 * body     gets the body, decoded when it was chunked; what there is of one that was cut
 * Returns  the status, 200 … 999; 0 no answer; -ENOMEM */
int inproc_read_answer(struct str octets, struct buf *head, struct buf *body)
    __attribute__((warn_unused_result));

#endif
