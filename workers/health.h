/* The check that a new worker must pass before it says that it is ready: a GET of the setting
 * health_check, by a client of its own, over a pair of sockets. Here is the client's end, without a
 * loop; the other is a connection of the worker like any other. */
#ifndef REMUDA_WORKERS_HEALTH_H
#define REMUDA_WORKERS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "ipc/msg.h"

struct settings;

struct health {
    int fd; /* the client's, non-blocking; -1: closed */
    const char *path;
    struct buf answer; /* so far */
    bool is_over;      /* it is complete, or there is enough of it */
};

/* Opens the pair and sends the request.
 * path     as GET is asked for; must stay
 * out_fd   the worker's end, non-blocking, a unix socket; belongs to the caller
 * Returns  0; -errno */
int health_open(struct health *h, const char *path, int *out_fd)
    __attribute__((warn_unused_result));
void health_close(struct health *h);

/* Takes what can be read. Returns whether that was all: also h->is_over */
bool health_read(struct health *h);

/* Was there an answer, and a good one (2xx)?
 * limit_us  how long it had, for the log
 * out_why   a sentence when it was not; else untouched */
bool health_judge(const struct health *h, uint64_t limit_us, char out_why[MSG_TEXT_MAX]);

/* How long the answer may take: what boot_timeout has left, less a moment to say that it did not
 * come before the master, whose clock is boot_timeout, ends the worker. In µs, ≥ 1
 * spent_us  since the worker began */
uint64_t health_limit_us(const struct settings *settings, uint64_t spent_us);

#endif
