/* A file that is open already as an answer: what HTTP says about it, whatever its name was. */
#ifndef REMUDA_HTTP_OPENED_H
#define REMUDA_HTTP_OPENED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/str.h"
#include "http/request.h"
#include "http/response.h"

struct err;

struct opened {
    int fd;                   /* a regular file, open for reading */
    struct stat st;           /* of it */
    struct str type;          /* Content-Type; as long as the answer */
    const char *coding;       /* Content-Encoding, which st and fd are of; NULL: none */
    bool varies;              /* another client might get another coding: Vary */
    struct str cache_control; /* Cache-Control, unless a filter has set it; empty: none */
};

/* Answers GET or HEAD; other methods are not looked at.
 * - ETag, strong, of mtime in nanoseconds, size, inode and coding; Last-Modified; Accept-Ranges. A
 *   file that is replaced by rename(2) gets another tag; one that is overwritten in place while it
 *   is sent may be sent in a mixture, as by every server
 * - Conditions before ranges (RFC 9110 §13.2.2): 304, 412; 206, 416 with Content-Range
 * file      its fd belongs to the response from now on, or is closed, also on failure
 * wall_s    now, seconds since 1970: no Last-Modified is later (RFC 9110 §8.8.2.1)
 * res       no body yet; fields that filters have set stay
 * Returns   0: res is the answer; 412 416 500 503: res has no more than the fields that belong to
 *           that status (Content-Range), and the page is the caller's to make
 * err       for 500 and 503 the reason, for the log; else as before
 * Safe      any thread; may block: no (nothing is read) */
int opened_answer(const struct opened *file, int64_t wall_s, struct rmd_request *req,
                  struct rmd_response *res, struct err *err) __attribute__((warn_unused_result));

#endif
