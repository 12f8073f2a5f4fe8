/* The request of a crash bundle, to be fed to the handler again. */
#ifndef REMUDA_WORKERS_REPLAY_H
#define REMUDA_WORKERS_REPLAY_H

#include <stdio.h>

#include "base/buf.h"

struct err;

/* Appends the octets of the request to `octets`. Its body's length is told anew (Content-Length),
 * since it is kept decoded and maybe cut; all other fields are as they were, redacted ones too.
 * bundle   the folder, or the file request.http itself
 * say      gets a line about what is replayed, and what of it is not as it was
 * Returns  0; -ENOENT: no request is kept there; -EINVAL: that is none; another -errno; *err */
int replay_read(const char *bundle, struct buf *octets, FILE *say, struct err *err)
    __attribute__((warn_unused_result));

#endif
