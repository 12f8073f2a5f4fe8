/* Access-log lines, in Gunicorn's format language or as JSON: compiled once, rendered without
 * allocation. */
#ifndef REMUDA_HTTP_ACCESS_H
#define REMUDA_HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct err;
struct access_format;

/* How the task of the compute lane ended that a request was, and what it has used. */
struct access_task {
    const char *end;  /* static text: "answered", "crash" … */
    bool is_measured; /* else the numbers are not known, or it was never begun */
    uint64_t wait_us; /* in the queue */
    uint64_t wall_us;
    uint64_t cpu_us;
    uint64_t faults; /* pages touched for the first time */
    uint64_t peak_bytes;
};

/* What one answered (or killed) request looked like. All borrowed for the call. */
struct access_entry {
    struct str peer_address;             /* without port; "-" for unix sockets */
    struct str method, target, protocol; /* as received; protocol "HTTP/1.1"; empty: not known */
    struct str path, query;
    int status;          /* 0: none was sent */
    uint64_t body_bytes; /* of the answer's body, as sent */
    uint64_t elapsed_us; /* first byte in to last byte handed to the kernel */
    int64_t wall_us;     /* when it was answered, since 1970 */
    pid_t pid;
    struct str trace_id;            /* needed when access_has_trace() says so, and with a note */
    struct str note;                /* last words of a killed worker, or empty */
    const struct access_task *task; /* NULL: it was none */
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
 *   {name}i request field, {name}o response field, without case; or "-"
 *   {name}e what WSGI calls REQUEST_METHOD RAW_URI PATH_INFO QUERY_STRING SERVER_PROTOCOL
 *           REMOTE_ADDR CONTENT_TYPE CONTENT_LENGTH HTTP_<field>, without case; else the process's
 *           environment variable of that name, as of now; or "-"
 *   {trace_id}x            remuda's own: the request's identity
 *   {task_end}x            of requests of the compute lane, else "-": how the task ended, and
 *   {task_wait_us}x {task_wall_us}x {task_cpu_us}x {task_faults}x {task_peak_bytes}x
 *                          what it has used, "-" where that is not known
 * each written %(atom)s, and %% for a percent sign. The word json alone makes a line an object: see
 * access_json_render().
 * Returns  0; -EINVAL naming the position and the atoms there are; -ENOMEM */
int access_format_new(const char *format, struct access_format **out_format, struct err *err)
    __attribute__((warn_unused_result));
void access_format_free(struct access_format *format);

/* Whether lines of this format show the trace id, which is some work to make. */
bool access_has_trace(const struct access_format *format);

#define ACCESS_LINE_MIN 1024

/* Renders one line with its newline into out. Peers' bytes are escaped as Apache does (\" \\ and
 * \xHH for what is not printable ASCII; in u, m, U and q, which formats leave unquoted, for blanks
 * too), so that no request can forge a line or a field. Last words follow as ` trace=ID note="…"`.
 * A line of more than cap - 4 bytes is cut, never inside an escape, and ends in "…" and a newline;
 * JSON is cut inside its strings, so that it stays valid.
 * cap      ≥ ACCESS_LINE_MIN; of a format that is not JSON ≥ 64
 * Returns  bytes written
 * Safe     threads: one at a time for a format; signal handlers: no (time zone) */
size_t access_render(struct access_format *format, const struct access_entry *entry, char *out,
                     size_t cap);

#define ACCESS_USER_MAX 256

/* User of "Basic base64(user:password)" (RFC 7617 §2). Decodes up to the colon and no further, so
 * that no octet of a password is ever here; without a colon there is no user.
 * out      holds what is returned; longer users count as none
 * Returns  empty for none */
struct str access_user(const struct access_entry *entry, char out[ACCESS_USER_MAX]);

#endif
