/* Access-log lines in Gunicorn's format language: compiled once, rendered without allocation. */
#ifndef REMUDA_HTTP_ACCESS_H
#define REMUDA_HTTP_ACCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;
struct access_format;

/* What one answered (or killed) request looked like. All borrowed for the call. */
struct access_entry {
    struct str peer_address;             /* without port; "-" for unix sockets */
    struct str method, target, protocol; /* as received; protocol "HTTP/1.1" */
    struct str path, query;
    int status;           /* 0: none was sent */
    uint64_t body_bytes;  /* of the answer's body, as sent */
    uint64_t elapsed_us;  /* first byte in to last byte handed to the kernel */
    int64_t wall_seconds; /* when it was answered, since 1970 */
    pid_t pid;
    struct str trace_id;
    struct str note; /* last words of a killed worker, or empty */
    /* Header lookups for %({name}i)s and %({name}o)s; an empty str with p NULL when absent. */
    struct str (*request_header)(void *context, struct str name);
    struct str (*response_header)(void *context, struct str name);
    void *context;
};

/* Gunicorn's default for access_log_format. */
#define ACCESS_FORMAT_DEFAULT "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\""

/* Compiles Gunicorn's access_log_format:
 *   h peer's address       l "-"                  u user of Basic authentication, or "-"
 *   t [21/Nov/2026:12:00:00 +0000], local time    r request line: method, target, protocol
 *   m method               U path, decoded        q query as received, may be empty
 *   H protocol             s status, or "-"       B b octets of the body; b: "-" for none
 *   f Referer, or "-"      a User-Agent, or "-"   p <pid>
 *   T seconds, whole       L seconds, 0.001234    M milliseconds, whole    D microseconds
 *   {name}i request field, {name}o response field, {name}e environment variable as of now; or "-"
 *   {trace_id}x            remuda's own: the request's identity
 * each written %(atom)s, and %% for a percent sign.
 * Returns  0; -EINVAL naming the position and the atoms there are; -ENOMEM */
int access_format_new(const char *format, struct access_format **out_format, struct err *err)
    __attribute__((warn_unused_result));
void access_format_free(struct access_format *format);

/* Renders one line with its newline into out. Peers' bytes are escaped as Apache does (\" \\ and
 * \xHH for what is not printable ASCII; in u, m, U and q, which formats leave unquoted, for blanks
 * too), so that no request can forge a line or a field. Last words follow as ` trace=ID note="…"`.
 * A line of more than cap - 4 bytes is cut, never inside an escape, and ends in "…" and a newline.
 * cap      ≥ 64
 * Returns  bytes written
 * Safe     any thread; signal handlers: no (time zone) */
size_t access_render(const struct access_format *format, const struct access_entry *entry,
                     char *out, size_t cap);

#endif
