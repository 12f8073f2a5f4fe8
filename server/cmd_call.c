/* `remuda call`: one request through connection machine, router, filters and handler of the app,
 * without a socket; the answer goes to standard output. Like `curl -f` it exits 1 when the answer's
 * status is 400 or above, so that scripts can use it as a check. With --replay the request is that
 * of a crash bundle, and the process may well crash again: under a debugger, say. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/merge.h"
#include "server/cli.h"
#include "workers/loader.h"

#define BODY_MAX (256U * 1024U * 1024U) /* of a file; more is not for one call (a guess) */

enum { INCLUDE, HEADER, DATA, REPLAY };

static int usage(const char *what)
{
    (void)fprintf(stderr, "remuda call: %s; `remuda call --help` says what it takes\n", what);
    return CLI_USAGE;
}

/* -H fields as lines of a head. Line breaks would make more of them than were given. */
static int add_headers(const struct merge_option *option, struct buf *out)
{
    for (unsigned i = 0; i < option->n_given; i++) {
        const char *field = option->values[i];
        if (strpbrk(field, "\r\n") || !strchr(field, ':') || field[0] == ':')
            return usage("-H takes a field such as 'Accept: text/plain'");
        if (buf_printf(out, "%s\r\n", field) < 0)
            return CLI_CONFIG;
    }
    return CLI_OK;
}

static int read_input(struct buf *out)
{
    while (out->len <= BODY_MAX) {
        if (buf_reserve(out, 65536) < 0)
            return -ENOMEM;
        ssize_t n = read(STDIN_FILENO, out->data + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->len += (size_t)n;
    }
    return -EFBIG;
}

static int add_body(const char *data, struct buf *out)
{
    int rc;
    if (data[0] != '@') {
        rc = buf_append(out, data, strlen(data));
    } else if (strcmp(data, "@-") == 0) {
        rc = read_input(out);
    } else {
        char *text = NULL;
        size_t len = 0;
        rc = fd_read_file(data + 1, BODY_MAX, &text, &len);
        if (rc == 0)
            *out = (struct buf){text, len, len + 1}; /* becomes the buffer's */
    }
    if (rc < 0) {
        (void)fprintf(stderr, "remuda call: -d %s: %s\n", data, strerror(-rc));
        return CLI_CONFIG;
    }
    return CLI_OK;
}

static int call(const struct merge_result *r, const struct merge_option *options,
                struct buf *headers, struct buf *body)
{
    if (r->is_help_wanted) {
        cli_print_help("call", stdout);
        return CLI_OK;
    }
    const char *replay = options[REPLAY].n_given > 0 ? options[REPLAY].values[0] : NULL;
    if (!r->settings->app)
        return usage(replay ? "which app? remuda call --replay BUNDLE ./app.so"
                            : "which app? remuda call ./app.so GET /");
    if (replay && (r->n_rest > 0 || options[HEADER].n_given > 0 || options[DATA].n_given > 0))
        return usage("--replay has its request from the bundle: no METHOD, TARGET, -H or -d");
    if (options[REPLAY].n_given > 1)
        return usage("--replay is given twice");
    if (!replay && r->n_rest < 2)
        return usage("METHOD and TARGET are missing, such as GET /");
    if (r->n_rest > 2)
        return cli_refuse_argument("call", r->rest[2]);
    if (options[DATA].n_given > 1)
        return usage("-d is given twice");
    int code = add_headers(&options[HEADER], headers);
    if (code == CLI_OK && options[DATA].n_given > 0)
        code = add_body(options[DATA].values[0], body);
    if (code != CLI_OK)
        return code;
    struct err err;
    struct loader_call request = {.replay = replay,
                                  .method = replay ? NULL : r->rest[0],
                                  .target = replay ? NULL : r->rest[1],
                                  .headers = str_make(headers->data, headers->len),
                                  .body = str_make(body->data, body->len)};
    log_init(STDERR_FILENO, r->settings->loglevel, r->settings->log_format);
    int status = loader_call(r->settings, &request, options[INCLUDE].n_given > 0, stdout, &err);
    if (status < 0) {
        (void)fprintf(stderr, "remuda call: %s\n", err.text);
        return CLI_CONFIG;
    }
    return fflush(stdout) == 0 && status < 400 ? CLI_OK : CLI_CONFIG;
}

int cmd_call(int argc, char **argv)
{
    struct merge_option options[] = {
        [INCLUDE] = {.name = "--include", .letter = 'i'},
        [HEADER] = {.name = "--header", .letter = 'H', .takes_value = true},
        [DATA] = {.name = "--data", .letter = 'd', .takes_value = true},
        [REPLAY] = {.name = "--replay", .takes_value = true},
        {.name = NULL},
    };
    struct merge_input in = {
        .argc = argc, .argv = argv, .environment = environ, .options = options};
    struct merge_result r;
    struct buf headers = {0};
    struct buf body = {0};
    int code;
    if (merge_settings(&in, &r) < 0) {
        merge_print(&r, stderr);
        code = r.exit_code;
    } else {
        code = call(&r, options, &headers, &body);
    }
    buf_fini(&headers);
    buf_fini(&body);
    merge_fini(&r);
    return code;
}
