/* A crash as a folder of files in crash_dir, to be looked at and replayed: see docs/crashes.md. */
#ifndef REMUDA_WORKERS_BUNDLE_H
#define REMUDA_WORKERS_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ipc/heritage.h"

struct err;

#define BUNDLE_PREFIX "crash-"
#define BUNDLE_REQUEST "request.http"

/* Writes the bundle of heritage->inquest, when crash_dir is set.
 * backtrace  its text, a frame a line
 * out_name   of the folder, in crash_dir
 * Returns    0; -ENOENT crash_dir is not set; another -errno, *err */
int bundle_write(const struct heritage *heritage, const struct buf *backtrace, char *out_name,
                 size_t cap, struct err *err) __attribute__((warn_unused_result));

#endif
