/* The body of a request as it comes in: in memory up to a limit, above it in a spool file that has
 * no name and goes with the request. A finished body is one piece of memory either way: a spool
 * file is mapped. */
#ifndef REMUDA_HTTP_BODY_H
#define REMUDA_HTTP_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "http/limits.h"

struct body {
    struct buf memory; /* while fd is -1 */
    int fd;            /* the spool file; -1: none */
    char *map;         /* of len octets of it; NULL: none yet */
    uint64_t len;      /* octets taken */
};

/* Empty. Lifetime of what it gets: until body_reset(). */
void body_init(struct body *b);

/* Appends octets; past limits->body_buffer all of it moves to a spool file.
 * Returns  0; -ENOMEM; what open(2) or write(2) of the spool file said, such as -ENOSPC. On error
 *          nothing more may be appended */
int body_append(struct body *b, const struct http_limits *limits, const char *data, size_t len)
    __attribute__((warn_unused_result));

/* Room to read straight into, for a body that stays in memory.
 * want     octets, 1 …
 * Returns  0; -ENOMEM. body_commit() says how many octets came */
int body_reserve(struct body *b, size_t want, char **out_space, size_t *out_room)
    __attribute__((warn_unused_result));
void body_commit(struct body *b, size_t n);

/* The whole body, valid until body_reset().
 * Returns  0; -ENOMEM when a spool file can't be mapped */
int body_view(struct body *b, struct str *out_octets) __attribute__((warn_unused_result));

/* Empty again; a buffer of ordinary size is kept for the next request. */
void body_reset(struct body *b);
void body_fini(struct body *b);

/* The status for a failure of body_append(): 507 where the spool's folder is full, else 503. */
int body_status(int error);

#endif
