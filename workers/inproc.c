/* Drives the connection machine from memory, the way web_event.c drives it from a socket. */
#include "workers/inproc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/conn.h"

#define IN_BYTES 32768U
#define FILE_PIECE_BYTES 65536U
#define TURNS_MAX 100000

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    chain_handle(owner, req, res);
}

static void on_consume(void *owner, struct rmd_request *req, struct rmd_response *res,
                       struct str piece)
{
    chain_consume(owner, req, res, piece);
}

static void on_answer(void *owner, struct rmd_request *req, struct rmd_response *res,
                      const struct rmd_deferred *ticket)
{
    chain_answer(owner, req, res, ticket);
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    chain_error(owner, req, res, status);
}

static void on_spool_failed(void *owner, struct rmd_request *req, int error)
{
    (void)owner;
    (void)req;
    (void)error;
}

static void on_given_up(void *owner, const struct peer *peer)
{
    (void)owner;
    (void)peer;
}

static void on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    (void)owner;
    (void)req;
    (void)res;
}

static void on_parked(void *owner, struct rmd_request *req)
{
    (void)owner;
    (void)req;
}

int inproc_write_request(const struct inproc_request *request, struct buf *octets)
{
    int rc = buf_printf(octets, "%s %s HTTP/1.1\r\nHost: localhost\r\n", request->method,
                        request->target);
    if (rc == 0)
        rc = buf_append(octets, request->headers.p, request->headers.len);
    if (rc == 0 && request->body.len > 0)
        rc = buf_printf(octets, "Content-Length: %zu\r\n", request->body.len);
    if (rc == 0)
        rc = buf_append(octets, "\r\n", 2);
    if (rc == 0)
        rc = buf_append(octets, request->body.p, request->body.len);
    return rc;
}

/* What comes out of memory. Returns octets; -ENOMEM */
static ssize_t take_memory(struct conn *c, struct buf *answer)
{
    struct iovec parts[2];
    int n = conn_output(c, parts);
    ssize_t sent = 0;
    for (int i = 0; i < n; i++) {
        if (buf_append(answer, parts[i].iov_base, parts[i].iov_len) < 0)
            return -ENOMEM;
        sent += (ssize_t)parts[i].iov_len;
    }
    return sent;
}

/* What comes out of a file. Returns octets; -ENOMEM; -EIO: it has become shorter */
static ssize_t take_file(struct conn *c, struct buf *answer)
{
    struct conn_file file;
    if (!conn_output_file(c, &file))
        return 0;
    size_t len = file.len < FILE_PIECE_BYTES ? file.len : FILE_PIECE_BYTES;
    if (buf_reserve(answer, len) < 0)
        return -ENOMEM;
    ssize_t n = pread(file.fd, answer->data + answer->len, len, file.offset);
    if (n <= 0)
        return -EIO;
    answer->len += (size_t)n;
    return n;
}

static int take_output(struct conn *c, struct buf *answer)
{
    for (;;) {
        ssize_t n = take_memory(c, answer);
        if (n == 0)
            n = take_file(c, answer);
        if (n == -EIO)
            conn_fini(c);
        if (n <= 0)
            return n == -ENOMEM ? -ENOMEM : 0;
        conn_output_sent(c, (size_t)n);
    }
}

/* Waits for the answer that the app has put off, or for the end of patience. */
static void wait_for_ticket(struct conn *c)
{
    struct conn_env *env = c->env;
    int wait_ms = -1;
    if (c->resume_us != CONN_NEVER_US)
        wait_ms = (int)((c->resume_us - env->now_us) / CLOCK_US_PER_MS) + 1;
    struct pollfd woken = {.fd = env->box->wake_fd, .events = POLLIN};
    if (poll(&woken, 1, wait_ms) == 0)
        env->now_us = c->resume_us;
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(env->box); d; d = next) {
        next = d->next;
        (void)conn_on_ticket(env, d);
    }
}

/* Copies the next octets in; false when there is nothing to read or nobody who reads. */
static bool give_input(struct conn *c, struct str *octets)
{
    enum conn_wait wait = conn_wait(c);
    if (octets->len == 0 || wait == CONN_WAIT_WRITE || wait == CONN_WAIT_TIMER ||
        wait == CONN_WAIT_CLOSE)
        return false;
    char *space;
    size_t room;
    conn_input_space(c, &space, &room);
    size_t n = octets->len < room ? octets->len : room;
    if (n == 0)
        return false;
    memcpy(space, octets->p, n);
    octets->p += n;
    octets->len -= n;
    conn_on_input(c, n);
    return true;
}

int inproc_exchange(const struct app *app, const struct http_limits *limits, struct str octets,
                    struct buf *answer, bool *out_is_closing)
{
    static const struct conn_hooks hooks = {.handle = on_handle,
                                            .consume = on_consume,
                                            .answer = on_answer,
                                            .error = on_error,
                                            .spool_failed = on_spool_failed,
                                            .given_up = on_given_up,
                                            .finished = on_finished,
                                            .parked = on_parked};
    static struct deferred_box box = {.wake_fd = -1}; /* one a process: tickets outlive requests */
    struct conn_env env;
    int rc = box.wake_fd < 0 ? deferred_open(&box) : 0;
    if (rc < 0)
        return rc;
    rc = conn_env_init(&env, limits, app->router, &hooks, (void *)(uintptr_t)app, IN_BYTES);
    if (rc < 0)
        return rc;
    env.box = &box;
    env.now_us = clock_now_us();
    conn_env_set_time(&env, (int64_t)(clock_wall_us() / CLOCK_US_PER_S), STR("remuda"));
    struct conn c;
    struct peer peer = {
        .address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)}};
    conn_init(&c, &env, &peer);
    for (int turn = 0; turn < TURNS_MAX && rc == 0; turn++) {
        bool is_fed = give_input(&c, &octets);
        conn_process(&c);
        rc = take_output(&c, answer);
        conn_settle(&c);
        if (c.state == CONN_DEFERRED)
            wait_for_ticket(&c);
        else if (conn_wait(&c) == CONN_WAIT_TIMER)
            env.now_us = c.resume_us; /* the wait is over, as far as anyone here can tell */
        else if (!is_fed && conn_wait(&c) != CONN_WAIT_WRITE)
            break;
        if (c.state == CONN_STREAM && answer->len > INPROC_STREAM_MAX_BYTES)
            break;
    }
    *out_is_closing = c.state == CONN_STREAM || c.state == CONN_LINGER || c.state == CONN_CLOSED;
    conn_fini(&c);
    conn_env_fini(&env);
    return rc;
}

static int append_chunks(struct buf *body, struct str octets)
{
    while (octets.len > 0) {
        const char *line_end = memmem(octets.p, octets.len, "\r\n", 2);
        if (!line_end)
            return 0;
        size_t size = strtoull(octets.p, NULL, 16); /* ours, so it is well-formed */
        size_t skip = (size_t)(line_end - octets.p) + 2;
        if (size == 0)
            return 0;
        if (size > octets.len - skip)
            size = octets.len - skip;
        if (buf_append(body, octets.p + skip, size) < 0)
            return -ENOMEM;
        size_t used = skip + size + 2;
        if (used > octets.len)
            return 0;
        octets.p += used;
        octets.len -= used;
    }
    return 0;
}

/* The value of a field in a head of ours; empty when it is not there. name with "\r\n" and ": ". */
static struct str find_field(struct str head, struct str name)
{
    const char *at = memmem(head.p, head.len, name.p, name.len);
    if (!at)
        return STR("");
    const char *value = at + name.len;
    const char *end = memchr(value, '\r', head.len - (size_t)(value - head.p));
    return str_make(value, end ? (size_t)(end - value) : 0);
}

int inproc_read_answer(struct str octets, struct buf *head, struct buf *body)
{
    const char *end;
    while ((end = octets.len > 0 ? memmem(octets.p, octets.len, "\r\n\r\n", 4) : NULL)) {
        size_t head_len = (size_t)(end - octets.p) + 4;
        struct str answer_head = str_make(octets.p, head_len);
        octets.p += head_len;
        octets.len -= head_len;
        uint64_t status = 0;
        if (head_len < 12 || str_parse_u64(str_make(answer_head.p + 9, 3), 999, &status) < 0)
            return 0;
        if (status < 200)
            continue;
        uint64_t length = octets.len;
        if (buf_append(head, answer_head.p, head_len) < 0 || buf_append(head, "", 1) < 0)
            return -ENOMEM;
        if (find_field(answer_head, STR("\r\nTransfer-Encoding: ")).len > 0)
            return append_chunks(body, octets) < 0 ? -ENOMEM : (int)status;
        struct str value = find_field(answer_head, STR("\r\nContent-Length: "));
        if (str_parse_u64(value, SIZE_MAX, &length) == 0 && length < octets.len)
            octets.len = (size_t)length;
        return buf_append(body, octets.p, octets.len) < 0 ? -ENOMEM : (int)status;
    }
    return 0;
}
