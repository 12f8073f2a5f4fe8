/* Process: coroner, with the master's rights. Nothing here comes from a file; what the dead process
 * left is bounded and was checked, and goes to a file only through quotes, or as octets into
 * request.http. */
#include "workers/bundle.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/safedir.h"
#include "config/settings.h"
#include "http/parse.h"
#include "ipc/inquest.h"
#include "ipc/signals.h"
#include "workers/redact.h"
#include "workers/symbols.h"
#include "workers/web_event.h"

#define HEAD_END "\r\n\r\n"

/* One line: `key: "quoted"`. */
static int put_quoted(struct buf *out, const char *key, const char *data, size_t len)
{
    char quoted[LOG_QUOTE_MAX + 8];
    return buf_printf(out, "%s: %s\n", key, log_quote(quoted, data, len));
}

/* ---- request.http ---- */

/* The head as received, without its secrets; without one, as far as the table names the request.
 * Returns  0; -ENOMEM */
static int put_request(const struct heritage *h, struct buf *out, struct buf *redacted)
{
    const struct remains *r = h->inquest->remains;
    struct str head = str_make(r->image, r->head_len);
    if (head.len == 0)
        return 0;
    int rc = redact_head(head, h->settings->crash_redact, out, redacted);
    bool is_whole = r->head_len == r->head_bytes;
    if (rc == 0 && !is_whole) /* the line that was cut is still a line, and the head has an end */
        rc = buf_append(out, HEAD_END, 4);
    size_t body = r->body_len;
    if (body > h->settings->crash_body_max_bytes)
        body = (size_t)h->settings->crash_body_max_bytes;
    return rc == 0 ? buf_append(out, r->image + r->head_len, body) : rc;
}

/* ---- report.txt ---- */

static int put_time(struct buf *out)
{
    time_t now = (time_t)(clock_wall_us() / CLOCK_US_PER_S);
    struct tm tm;
    (void)gmtime_r(&now, &tm);
    return buf_printf(out, "time: %04d-%02d-%02dT%02d:%02d:%02dZ\n", tm.tm_year + 1900,
                      tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static int put_end(const struct inquest *q, struct buf *out)
{
    const struct remains *r = q->remains;
    int rc = WIFSIGNALED(q->status)
                 ? buf_printf(out, "signal: %s\n", signals_name(WTERMSIG(q->status)))
                 : buf_printf(out, "exit: %d\n", WEXITSTATUS(q->status));
    if (rc == 0 && r->kind == REMAINS_SIGNAL)
        rc = buf_printf(out, "code: %s\naddress: 0x%" PRIx64 "\n",
                        remains_code_name(r->signal, r->code), r->address);
    if (rc == 0 && r->kind != REMAINS_NONE)
        rc = r->tid == r->pid ? buf_printf(out, "thread: main\n")
                              : put_quoted(out, "thread", r->thread, strlen(r->thread));
    return rc;
}

static int put_process(const struct heritage *h, struct buf *out)
{
    const struct inquest *q = h->inquest;
    int rc = buf_printf(out, "what: %s %s\n", role_table[q->role].title, q->event);
    if (rc == 0 && q->why[0])
        rc = put_quoted(out, "why", q->why, strlen(q->why));
    if (rc == 0)
        rc = put_time(out);
    if (rc == 0)
        rc = put_end(q, out);
    if (rc == 0)
        rc = buf_printf(out, "pid: %d\nslot: %d\ngeneration: %d\nuptime_ms: %" PRIu64 "\n",
                        (int)q->pid, h->slot, h->generation, q->uptime_us / CLOCK_US_PER_MS);
    return rc;
}

static int put_request_lines(const struct inquest *q, const struct buf *redacted, struct buf *out)
{
    const struct request_entry *entry = &q->request;
    const struct remains *r = q->remains;
    if (entry->phase == ENTRY_FREE)
        return buf_printf(out, "\nrequest: none\n");
    int rc = buf_printf(out, "\n");
    if (rc == 0 && q->route[0])
        rc = put_quoted(out, "route", q->route, strnlen(q->route, sizeof q->route));
    if (rc == 0)
        rc = put_quoted(out, "method", entry->method, strlen(entry->method));
    if (rc == 0)
        rc = put_quoted(out, "target", entry->target, entry->target_len);
    if (rc == 0)
        rc = put_quoted(out, "trace", entry->trace, entry->trace_len);
    if (rc == 0)
        rc = buf_printf(out, "elapsed_ms: %" PRIu64 "\n", q->elapsed_us / CLOCK_US_PER_MS);
    if (rc == 0)
        rc = buf_printf(out, "head: %u of %" PRIu64 " bytes\nbody: %u of %" PRIu64 " bytes\n",
                        r->head_len, r->head_bytes, r->body_len, r->body_bytes);
    if (rc == 0)
        rc = put_quoted(out, "redacted", redacted->data ? redacted->data : "", redacted->len);
    return rc;
}

static int put_versions(const struct heritage *h, struct buf *out)
{
    const struct remains *r = h->inquest->remains;
    struct utsname kernel = {0};
    (void)uname(&kernel);
    int rc = buf_printf(out,
                        "\nremuda: %s\nllhttp: %s\nlibev: %s\nlibdw: %s\nlibc: glibc %s\n"
                        "kernel: %s %s %s\n",
                        REMUDA_VERSION, parse_version(), web_event_library(), symbols_library(),
                        gnu_get_libc_version(), kernel.sysname, kernel.release, kernel.machine);
    if (rc == 0)
        rc = put_quoted(out, "app", h->settings->app, strlen(h->settings->app));
    for (uint32_t i = 0; rc == 0 && i < r->n_modules; i++) {
        char id[2 * REMAINS_BUILD_ID_MAX + 1];
        const struct remains_module *module = &r->modules[i];
        char key[2 * REMAINS_BUILD_ID_MAX + 16];
        (void)snprintf(key, sizeof key, "module %s",
                       module->build_id_len > 0 ? remains_build_id(module, id) : "(no build id)");
        rc = put_quoted(out, key, module->path, strlen(module->path));
    }
    return rc;
}

static int put_limit(struct buf *out, const char *name, const struct remains_limit *limit)
{
    char texts[2][24];
    const uint64_t values[2] = {limit->soft, limit->hard};
    for (int i = 0; i < 2; i++)
        if (values[i] == UINT64_MAX)
            (void)snprintf(texts[i], sizeof texts[i], "unlimited");
        else
            (void)snprintf(texts[i], sizeof texts[i], "%" PRIu64, values[i]);
    return buf_printf(out, "limit %s: %s, hard %s\n", name, texts[0], texts[1]);
}

/* Names by the number of the limit, as in getrlimit(2). */
static int put_limits(const struct remains *r, struct buf *out)
{
    static const char *const names[] = {
        "CPU",     "FSIZE", "DATA",  "STACK",      "CORE",     "RSS",  "NPROC",  "NOFILE",
        "MEMLOCK", "AS",    "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"};
    int rc = r->n_limits > 0 ? buf_printf(out, "\n") : 0;
    for (uint32_t i = 0; rc == 0 && i < r->n_limits; i++)
        rc = put_limit(out, names[i], &r->limits[i]);
    return rc;
}

static int put_counters(const struct seat_head *head, struct buf *out)
{
    int rc =
        buf_printf(out,
                   "\nconnections: %" PRIu64 "\naccepted: %" PRIu64 "\nrequests: %" PRIu64
                   "\nbytes_in: %" PRIu64 "\nbytes_out: %" PRIu64 "\nlog_dropped: %" PRIu64 "\n",
                   head->connections, head->accepted, head->requests, head->bytes_in,
                   head->bytes_out, head->log_dropped);
    for (size_t i = 0; rc == 0 && i < sizeof head->responses / sizeof head->responses[0]; i++)
        rc = i == 0 ? buf_printf(out, "responses cut off: %" PRIu64 "\n", head->responses[i])
                    : buf_printf(out, "responses %zuxx: %" PRIu64 "\n", i, head->responses[i]);
    return rc;
}

static int put_report(const struct heritage *h, const struct buf *backtrace,
                      const struct buf *redacted, struct buf *out)
{
    const struct inquest *q = h->inquest;
    int rc = put_process(h, out);
    if (rc == 0)
        rc = put_request_lines(q, redacted, out);
    if (rc == 0)
        rc = buf_printf(out, "\nbacktrace:\n");
    if (rc == 0)
        rc = backtrace->len > 0 ? buf_append(out, backtrace->data, backtrace->len)
                                : buf_printf(out, "none: its handler of signals did not run\n");
    if (rc == 0)
        rc = put_versions(h, out);
    if (rc == 0)
        rc = put_limits(q->remains, out);
    return rc == 0 ? put_counters(&q->head, out) : rc;
}

/* ---- log.txt ---- */

static int put_log(const struct inquest *q, struct buf *out)
{
    static char lines[LOG_RING_BYTES];
    int rc = buf_printf(out, "Last lines of process %d:\n", (int)q->pid);
    size_t len = log_read_ring(&q->remains->log, lines);
    if (rc == 0)
        rc = buf_append(out, lines, len);
    if (rc == 0)
        rc = buf_printf(out, "\nLast lines of the master:\n");
    len = log_read_ring(q->log, lines);
    return rc == 0 ? buf_append(out, lines, len) : rc;
}

/* ---- the folder ---- */

static void print_name(const struct inquest *q, char *out, size_t cap)
{
    time_t now = (time_t)(clock_wall_us() / CLOCK_US_PER_S);
    struct tm tm;
    (void)gmtime_r(&now, &tm);
    (void)snprintf(out, cap, BUNDLE_PREFIX "%04d%02d%02dT%02d%02d%02dZ-%d", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)q->pid);
}

int bundle_write(const struct heritage *h, const struct buf *backtrace, char *out_name, size_t cap,
                 struct err *err)
{
    struct buf request = {0};
    struct buf redacted = {0};
    struct buf report = {0};
    struct buf log = {0};
    int fd = -1;
    if (!h->settings->crash_dir)
        return err_set(err, ENOENT, "crash_dir is not set");
    int rc = put_request(h, &request, &redacted);
    if (rc == 0)
        rc = put_report(h, backtrace, &redacted, &report);
    if (rc == 0)
        rc = put_log(h->inquest, &log);
    if (rc < 0)
        rc = err_set(err, ENOMEM, "no memory");
    if (rc == 0)
        rc = safedir_open(h->settings->crash_dir, &fd, err);
    if (rc == 0) {
        const struct safedir_file files[] = {{"report.txt", report.data, report.len},
                                             {"log.txt", log.data, log.len},
                                             {BUNDLE_REQUEST, request.data, request.len}};
        print_name(h->inquest, out_name, cap);
        rc = safedir_write(fd, BUNDLE_PREFIX, out_name, files, request.len > 0 ? 3 : 2,
                           h->settings->crash_dir_max, err);
    }
    fd_close(&fd);
    buf_fini(&request);
    buf_fini(&redacted);
    buf_fini(&report);
    buf_fini(&log);
    return rc;
}
