/* Strict on purpose: a status other than 200, two lengths, a chunk that is not as it should be or
 * an octet too many is ASK_WRONG, since the load's other end is known to be right. */
#include "tests/harness/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ASK_HEAD_MAX 8192

enum place { AT_HEAD, AT_BODY, AT_CHUNK_SIZE, AT_CHUNK, AT_CHUNK_END, AT_TRAILER };

const char *ask_name(enum ask_kind kind)
{
    static const char *const names[ASK_KINDS] = {"plain",   "hello",  "bytes", "echo",
                                                 "chunked", "stream", "later", "sleep"};
    return names[kind];
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t ask_random(uint64_t *state)
{
    return mix(*state += 0x9e3779b97f4a7c15u);
}

unsigned char ask_octet(uint64_t id, uint64_t at)
{
    return (unsigned char)(mix(id + (at / 8 + 1) * 0x9e3779b97f4a7c15u) >> (at % 8 * 8));
}

/* ---- The request --------------------------------------------------------------------------- */

static void forget(struct ask *a)
{
    struct buf want = a->want, body = a->body, line = a->line, head = a->head;
    want.len = body.len = line.len = head.len = 0;
    *a = (struct ask){.want = want, .body = body, .line = line, .head = head};
}

int ask_plain(struct ask *a, const char *target, const char *body, bool closes, struct buf *out)
{
    forget(a);
    a->has_want = body != NULL;
    int rc = body ? buf_append(&a->want, body, strlen(body)) : 0;
    return rc ? rc
              : buf_printf(out, "GET %s HTTP/1.1\r\nHost: load\r\n%s\r\n", target,
                           closes ? "Connection: close\r\n" : "");
}

/* Mostly small, at times more than the buffers of a socket take. */
static size_t choose_size(uint64_t dice)
{
    static const size_t limits[16] = {1,    20,   20,   200,  200,  200,   200,   1000,
                                      1000, 1000, 5000, 5000, 5000, 20000, 70000, 400000};
    return (size_t)(dice >> 8) % limits[dice % 16];
}

static int fill(struct buf *b, uint64_t id, size_t len)
{
    int rc = buf_reserve(b, len);
    for (size_t i = 0; rc == 0 && i < len; i++)
        b->data[b->len++] = (char)ask_octet(id, i);
    return rc;
}

static int want_lines(struct ask *a, unsigned n)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = buf_printf(&a->want, "%016" PRIx64 " %06u\n", a->id, i);
    return rc;
}

/* The body in chunks of sizes that the identity chooses. */
static int write_chunks(const struct ask *a, struct buf *out)
{
    uint64_t dice = a->id;
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && at < a->want.len) {
        size_t n = 1 + choose_size(ask_random(&dice));
        n = n < a->want.len - at ? n : a->want.len - at;
        rc = buf_printf(out, "%zx\r\n", n);
        rc = rc ? rc : buf_append(out, a->want.data + at, n);
        rc = rc ? rc : buf_append(out, "\r\n", 2);
        at += n;
    }
    return rc ? rc : buf_printf(out, "0\r\n\r\n");
}

static int write_upload(struct ask *a, bool is_chunked, const char *rest, struct buf *out)
{
    char length[64] = "Transfer-Encoding: chunked\r\n";
    if (!is_chunked)
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", a->want.len);
    int rc = buf_printf(out, "POST /echo HTTP/1.1\r\nHost: load\r\n%s%s", length, rest);
    if (rc)
        return rc;
    return is_chunked ? write_chunks(a, out) : buf_append(out, a->want.data, a->want.len);
}

int ask_begin(struct ask *a, enum ask_kind kind, uint64_t id, uint64_t dice, bool closes,
              struct buf *out)
{
    const char *rest = closes ? "Connection: close\r\n\r\n" : "\r\n";
    const char *form = " HTTP/1.1\r\nHost: load\r\n";
    size_t size = choose_size(dice);
    unsigned n = (unsigned)(1 + size % 20), ms = (unsigned)(dice >> 40) % 20;
    int rc = 0;
    forget(a);
    a->kind = kind;
    a->id = id;
    a->has_want = true;
    switch (kind) {
    case ASK_BYTES:
        rc = fill(&a->want, id, size);
        return rc ? rc
                  : buf_printf(out, "GET /bytes?n=%zu&id=%016" PRIx64 "%s%s", size, id, form, rest);
    case ASK_ECHO:
    case ASK_CHUNKED:
        rc = fill(&a->want, id, size);
        return rc ? rc : write_upload(a, kind == ASK_CHUNKED, rest, out);
    case ASK_STREAM:
        rc = want_lines(a, n);
        return rc ? rc
                  : buf_printf(out, "GET /stream?n=%u&ms=%u&id=%016" PRIx64 "%s%s", n, ms / 4, id,
                               form, rest);
    case ASK_LATER:
        rc = buf_printf(&a->want, "later %016" PRIx64 "\n", id);
        return rc ? rc
                  : buf_printf(out, "GET /later?ms=%u&id=%016" PRIx64 "%s%s", ms, id, form, rest);
    case ASK_SLEEP:
        rc = buf_printf(&a->want, "slept %016" PRIx64 "\n", id);
        return rc ? rc
                  : buf_printf(out, "GET /sleep?ms=%u&id=%016" PRIx64 "%s%s", ms, id, form, rest);
    case ASK_HELLO:
        rc = buf_printf(&a->want, "hello, %016" PRIx64 "\n", id);
        return rc ? rc : buf_printf(out, "GET /hello/%016" PRIx64 "%s%s", id, form, rest);
    case ASK_PLAIN:
    case ASK_KINDS:
        break;
    }
    return -EINVAL;
}

/* ---- The answer ---------------------------------------------------------------------------- */

static void refuse(struct ask *a, const char *why)
{
    a->state = ASK_WRONG;
    a->why = why;
}

static void finish(struct ask *a)
{
    if (a->has_want && a->seen != a->want.len) {
        refuse(a, "the body is shorter than it must be");
        return;
    }
    const char *pid = a->has_want || buf_printf(&a->body, "%s", "") != 0
                          ? NULL
                          : strstr(a->body.data, "\"pid\":");
    if (pid)
        a->pid = (pid_t)atoi(pid + strlen("\"pid\":"));
    a->state = ASK_RIGHT;
}

/* Takes octets of a line, or of the head, until `end` is there. Returns how many it took; *out_has
 * says whether it is complete, in a->line, with a NUL behind it. */
static size_t gather(struct ask *a, const char *data, size_t len, const char *end, bool *out_has)
{
    size_t end_len = strlen(end);
    *out_has = false;
    for (size_t i = 0; i < len; i++) {
        if (a->line.len >= ASK_HEAD_MAX || buf_append(&a->line, data + i, 1) != 0) {
            refuse(a, "a head or a line without an end");
            return i;
        }
        if (a->line.len < end_len ||
            memcmp(a->line.data + a->line.len - end_len, end, end_len) != 0)
            continue;
        *out_has = buf_printf(&a->line, "%s", "") == 0;
        return i + 1;
    }
    return len;
}

/* Value of a field of the head; *out_count says how often it is there. */
static const char *field(const struct ask *a, const char *name, unsigned *out_count)
{
    size_t len = strlen(name);
    const char *value = NULL;
    *out_count = 0;
    for (const char *line = strstr(a->line.data, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
            value = line + 3 + len + strspn(line + 3 + len, " ");
            ++*out_count;
        }
    return value;
}

static void read_head(struct ask *a)
{
    unsigned lengths, codings, n;
    a->head.len = 0;
    int rc = buf_append(&a->head, a->line.data, a->line.len + 1);
    if (rc || strncmp(a->line.data, "HTTP/1.1 200 ", 13) != 0) {
        refuse(a, "a status other than 200");
        return;
    }
    const char *length = field(a, "content-length", &lengths);
    const char *coding = field(a, "transfer-encoding", &codings);
    if (lengths + codings != 1 || (coding && strncmp(coding, "chunked\r", 8) != 0)) {
        refuse(a, "the framing is not clear");
        return;
    }
    const char *connection = field(a, "connection", &n);
    a->is_closing = connection && strncasecmp(connection, "close\r", 6) == 0;
    const char *worker = field(a, "x-worker", &n);
    int pid = 0;
    if (worker && sscanf(worker, "pid=%d generation=%d", &pid, &a->generation) == 2)
        a->pid = pid;
    a->is_chunked = coding != NULL;
    a->left = length ? strtoull(length, NULL, 10) : 0;
    a->at = a->is_chunked ? AT_CHUNK_SIZE : AT_BODY;
    if (a->has_want && !a->is_chunked && a->left != a->want.len)
        refuse(a, "Content-Length is not what it must be");
    else if (!a->is_chunked && a->left == 0)
        finish(a);
}

static void read_chunk_size(struct ask *a)
{
    char *end;
    a->left = strtoull(a->line.data, &end, 16);
    if (end == a->line.data || strcmp(end, "\r\n") != 0)
        refuse(a, "a chunk's size is not one");
    a->at = a->left > 0 ? AT_CHUNK : AT_TRAILER;
}

static void read_line(struct ask *a)
{
    switch ((enum place)a->at) {
    case AT_HEAD:
        read_head(a);
        break;
    case AT_CHUNK_SIZE:
        read_chunk_size(a);
        break;
    case AT_CHUNK_END:
        if (strcmp(a->line.data, "\r\n") != 0)
            refuse(a, "no end behind a chunk");
        a->at = AT_CHUNK_SIZE;
        break;
    case AT_TRAILER:
        if (strcmp(a->line.data, "\r\n") == 0)
            finish(a);
        break;
    case AT_BODY:
    case AT_CHUNK:
        break;
    }
    a->line.len = 0;
}

static size_t take_body(struct ask *a, const char *data, size_t len)
{
    size_t n = len < a->left ? len : (size_t)a->left;
    if (a->has_want ? n > a->want.len - a->seen || memcmp(a->want.data + a->seen, data, n) != 0
                    : buf_append(&a->body, data, n) != 0)
        refuse(a, "the body differs");
    a->seen += n;
    a->left -= n;
    if (a->left == 0 && a->at == AT_CHUNK)
        a->at = AT_CHUNK_END;
    else if (a->left == 0 && a->state != ASK_WRONG)
        finish(a);
    return n;
}

size_t ask_feed(struct ask *a, const char *data, size_t len)
{
    size_t at = 0;
    if (len > 0 && a->state == ASK_OWED)
        a->state = ASK_COMES;
    while (at < len && a->state == ASK_COMES) {
        bool has_line;
        if (a->at == AT_BODY || a->at == AT_CHUNK) {
            at += take_body(a, data + at, len - at);
            continue;
        }
        at += gather(a, data + at, len - at, a->at == AT_HEAD ? "\r\n\r\n" : "\n", &has_line);
        if (has_line)
            read_line(a);
    }
    return at;
}

const char *ask_head(const struct ask *a)
{
    return a->head.len > 0 ? a->head.data : "";
}

void ask_fini(struct ask *a)
{
    buf_fini(&a->want);
    buf_fini(&a->body);
    buf_fini(&a->line);
    buf_fini(&a->head);
    *a = (struct ask){0};
}
