/* Process: `remuda call --replay`. */
#include "workers/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/remains.h"
#include "workers/bundle.h"
#include "workers/redact.h"

#define FILE_MAX (2U * REMAINS_IMAGE_BYTES) /* what was redacted may have become longer */

struct replay {
    struct buf *octets;
    FILE *say;
    struct str body;
    uint64_t told; /* Content-Length as it was */
    bool has_length;
    bool has_redacted;
};

/* Framing fields, which tell of the body as it came. */
static bool is_framing(struct str name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "expect", "trailer"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_is_equal_nocase(name, str_of(names[i])))
            return true;
    return false;
}

static void say_redacted(struct replay *r, struct str name)
{
    (void)fprintf(r->say, "%s%.*s",
                  r->has_redacted ? ", " : "redacted, so not as they were: ", STR_ARG(name));
    r->has_redacted = true;
}

/* A line of the head without its end, behind the first. Returns 0; -ENOMEM */
static int take_field(struct replay *r, struct str line)
{
    const char *colon = memchr(line.p, ':', line.len);
    struct str name = str_make(line.p, colon ? (size_t)(colon - line.p) : 0);
    struct str value = str_make(line.p + name.len, line.len - name.len);
    if (colon && is_framing(name)) {
        r->has_length = true;
        if (str_is_equal_nocase(name, STR("content-length"))) {
            size_t skip = 1;
            while (skip < value.len && value.p[skip] == ' ')
                skip++;
            (void)!str_parse_u64(str_make(value.p + skip, value.len - skip), UINT64_MAX, &r->told);
        }
        return 0;
    }
    if (colon && str_is_equal(value, STR(": " REDACT_VALUE)))
        say_redacted(r, name);
    int rc = buf_append(r->octets, line.p, line.len);
    return rc == 0 ? buf_append(r->octets, "\r\n", 2) : rc;
}

static int take_head(struct replay *r, struct str head)
{
    bool is_first = true;
    int rc = 0;
    while (rc == 0 && head.len > 0) {
        const char *end = memmem(head.p, head.len, "\r\n", 2);
        struct str line = str_make(head.p, end ? (size_t)(end - head.p) : head.len);
        if (is_first) {
            char quoted[LOG_QUOTE_MAX + 8];
            (void)fprintf(r->say, "replaying %s\n", log_quote(quoted, line.p, line.len));
            rc = buf_append(r->octets, line.p, line.len);
            rc = rc == 0 ? buf_append(r->octets, "\r\n", 2) : rc;
        } else {
            rc = take_field(r, line);
        }
        is_first = false;
        size_t used = line.len + (end ? 2 : 0);
        head.p += used;
        head.len -= used;
    }
    if (r->has_redacted)
        (void)fputc('\n', r->say);
    return rc;
}

static int take_body(struct replay *r)
{
    int rc = 0;
    if (r->told > r->body.len)
        (void)fprintf(r->say, "body cut: %zu of %llu bytes were kept\n", r->body.len,
                      (unsigned long long)r->told);
    if (r->has_length || r->body.len > 0)
        rc = buf_printf(r->octets, "Content-Length: %zu\r\n", r->body.len);
    if (rc == 0)
        rc = buf_append(r->octets, "\r\n", 2);
    return rc == 0 ? buf_append(r->octets, r->body.p, r->body.len) : rc;
}

static int read_request(const char *bundle, char **out_text, size_t *out_len, struct err *err)
{
    struct stat st;
    struct buf path = {0};
    bool is_folder = stat(bundle, &st) == 0 && S_ISDIR(st.st_mode);
    int rc = buf_printf(&path, "%s%s", bundle, is_folder ? "/" BUNDLE_REQUEST : "");
    if (rc == 0)
        rc = fd_read_file(path.data, FILE_MAX, out_text, out_len);
    if (rc == -ENOENT && is_folder)
        rc = err_set(err, ENOENT,
                     "%s holds no " BUNDLE_REQUEST ": no request was in hand, or its "
                     "worker could not keep it",
                     bundle);
    else if (rc < 0)
        rc = err_set(err, -rc, "cannot read %s: %s", bundle, strerror(-rc));
    buf_fini(&path);
    return rc;
}

int replay_read(const char *bundle, struct buf *octets, FILE *say, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = read_request(bundle, &text, &len, err);
    if (rc < 0)
        return rc;
    const char *end = memmem(text, len, "\r\n\r\n", 4);
    if (end) {
        size_t head = (size_t)(end - text) + 2;
        struct replay r = {
            .octets = octets, .say = say, .body = str_make(text + head + 2, len - head - 2)};
        rc = take_head(&r, str_make(text, head));
        rc = rc == 0 ? take_body(&r) : rc;
        if (rc < 0)
            rc = err_set(err, ENOMEM, "no memory for the request");
    } else {
        rc = err_set(err, EINVAL, "%s holds no request: a head ends with an empty line", bundle);
    }
    free(text);
    return rc;
}
