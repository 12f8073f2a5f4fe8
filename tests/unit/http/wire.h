/* A client, a socket and a small application around one connection machine, all in memory: for the
 * tests of http/conn.c and the cases. Drives it as workers/web_event.c does, turn by turn. */
#ifndef REMUDA_TESTS_UNIT_HTTP_WIRE_H
#define REMUDA_TESTS_UNIT_HTTP_WIRE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "http/conn.h"
#include "http/path.h"
#include "http/router.h"
#include "http/stream.h"
#include "tests/harness/check.h"

#define WIRE_ENDLESS SIZE_MAX
#define WIRE_BIG_BYTES 300000U  /* of /big: sent from where it lies */
#define WIRE_WALL 1700000000    /* Tue, 14 Nov 2023 22:13:20 GMT */
#define WIRE_IN_BYTES 32768U    /* input buffer, unless a test asks for another */
#define WIRE_FINISHED_MAX 4096U /* outcomes that are remembered */

struct wire {
    struct conn_env env;
    struct conn conn;
    struct router *router;
    struct buf sent;  /* what the client got */
    size_t room;      /* octets that the socket's buffer still takes; WIRE_ENDLESS */
    size_t writes;    /* calls of write(2) that took something */
    bool keeps_waits; /* a stream's wait is left to the test */
    unsigned n_handled;
    unsigned n_parked;
    unsigned n_errors; /* pages made by the error hook */
    unsigned n_finished;
    int finished[WIRE_FINISHED_MAX]; /* status of each; 0: cut off */
    unsigned n_done;                 /* calls of done, of all bodies */
    unsigned pieces;                 /* of the stream under way */
    unsigned empty_calls;            /* of its producer, in front, that write nothing, return 0 */
    unsigned n_paced;
    int waits_ms;       /* between the pieces of /stream */
    size_t piece_bytes; /* of /stream, which then has 100 such pieces */
    int ends_with;      /* RMD_END or RMD_ABORT */
    int spool_error;    /* that the last body which could not be kept had */
    unsigned n_spool_failed;
    const char *proxy_reason; /* why the last PROXY protocol header was refused */
    unsigned n_proxy_refused;
    struct deferred_box box;
};

static const struct http_limits wire_limits __attribute__((unused)) = LIMITS_DEFAULT;

static char wire_big[WIRE_BIG_BYTES];
static struct wire *wire_now; /* the handlers have no other way to it */

/* ---- the application ---- */

__attribute__((unused)) static void wire_give(rmd_response *res, int status, const char *body,
                                              size_t len)
{
    res->status = status;
    res->kind = RESPONSE_BYTES;
    res->type = STR("text/plain");
    res->body = body;
    res->body_len = len;
}

static void wire_on_done(void *arg)
{
    (void)arg;
    wire_now->n_done++;
}

static void wire_root(rmd_request *req, rmd_response *res)
{
    (void)req;
    wire_give(res, 200, "hello\n", 6);
}

static void wire_echo(rmd_request *req, rmd_response *res)
{
    wire_give(res, 200, req->body.p, req->body.len);
}

static void wire_hello(rmd_request *req, rmd_response *res)
{
    size_t len = 0;
    const char *name = path_decode(req->match.params[0].value, false, req->arena, NULL);
    char *text = name ? arena_printf(req->arena, &len, "hello, %s\n", name) : NULL;
    CHECK(text != NULL);
    wire_give(res, 200, text, len);
}

static void wire_give_big(rmd_request *req, rmd_response *res)
{
    (void)req;
    wire_give(res, 200, wire_big, sizeof wire_big);
    res->done = wire_on_done;
}

/* Three pieces, "piece 0\n" to "piece 2\n", with a wait behind each; or a hundred large ones. */
static int wire_produce(rmd_writer *out, void *state)
{
    struct wire *w = state;
    if (w->empty_calls > 0) {
        w->empty_calls--;
        return 0;
    }
    if (w->pieces == (w->piece_bytes > 0 ? 100U : 3U))
        return w->ends_with;
    unsigned piece = w->pieces++;
    if (w->piece_bytes > 0)
        CHECK(buf_append(out->out, wire_big, w->piece_bytes) == 0);
    else
        CHECK(buf_printf(out->out, "piece %u\n", piece) == 0);
    return w->waits_ms;
}

static void wire_stream(rmd_request *req, rmd_response *res)
{
    (void)req;
    res->status = 200;
    res->kind = RESPONSE_STREAM;
    res->produce = wire_produce;
    res->done = wire_on_done;
    res->done_arg = wire_now;
    wire_now->pieces = 0;
}

static void wire_no_content(rmd_request *req, rmd_response *res)
{
    (void)req;
    wire_give(res, 204, "never sent", 10);
}

/* ---- the hooks ---- */

static void wire_on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    struct wire *w = owner;
    w->n_handled++;
    CHECK_EQ(req->magic, REQUEST_MAGIC);
    if (req->match.route) {
        req->match.route->decl->handler(req, res);
    } else if (req->outcome == ROUTER_OPTIONS) {
        res->status = 204;
        res->kind = RESPONSE_EMPTY;
    } else {
        response_error_page(res, req->arena, req->outcome == ROUTER_NOT_ALLOWED ? 405 : 404);
    }
}

/* What workers/chain.c makes sure of: a request that waits for nothing has an answer. */
static void wire_check_answer(struct rmd_request *req, struct rmd_response *res)
{
    if (!request_is_put_off(req) && res->kind == RESPONSE_NONE && res->status == 0)
        response_error_page(res, req->arena, 500);
}

static void wire_on_consume(void *owner, struct rmd_request *req, struct rmd_response *res,
                            struct str piece)
{
    (void)owner;
    CHECK_EQ(req->magic, REQUEST_MAGIC);
    CHECK_SAYING(req->consume != NULL, "a piece for nobody");
    req->consume(req, res, (rmd_slice){piece.p, piece.len}, req->consume_state);
    wire_check_answer(req, res);
}

static void wire_on_answer(void *owner, struct rmd_request *req, struct rmd_response *res,
                           const struct rmd_deferred *ticket)
{
    (void)owner;
    CHECK_EQ(req->magic, REQUEST_MAGIC);
    ticket->answer(req, res, ticket->arg);
    wire_check_answer(req, res);
}

static void wire_on_paced(void *owner, struct rmd_request *req)
{
    struct wire *w = owner;
    CHECK_EQ(req->magic, REQUEST_MAGIC);
    w->n_paced++;
}

static void wire_on_spool_failed(void *owner, struct rmd_request *req, int error)
{
    struct wire *w = owner;
    (void)req;
    w->n_spool_failed++;
    w->spool_error = error;
}

static void wire_on_given_up(void *owner, const struct peer *peer)
{
    (void)owner;
    (void)peer;
}

static void wire_on_proxy_refused(void *owner, const struct peer *peer, const char *reason)
{
    struct wire *w = owner;
    (void)peer;
    CHECK(reason != NULL);
    w->n_proxy_refused++;
    w->proxy_reason = reason;
}

static void wire_on_error(void *owner, struct rmd_request *req, struct rmd_response *res,
                          int status)
{
    struct wire *w = owner;
    w->n_errors++;
    CHECK_EQ(res->status, status);
    response_error_page(res, req->arena, status);
}

static void wire_on_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    struct wire *w = owner;
    (void)req;
    CHECK(w->n_finished < WIRE_FINISHED_MAX);
    w->finished[w->n_finished++] = res->status;
}

static void wire_on_parked(void *owner, struct rmd_request *req)
{
    struct wire *w = owner;
    if (req->board_entry == UINT32_MAX)
        req->board_entry = w->n_parked++;
    else
        CHECK(exchange_of(req)->is_io); /* whose place in the table is looked at again */
}

/* ---- the connection ---- */

/* A connection of its own after an earlier one, from this peer: the loop's things stay. */
__attribute__((unused)) static void wire_reopen_from(struct wire *w, const struct peer *peer)
{
    conn_fini(&w->conn);
    conn_init(&w->conn, &w->env, peer);
    w->sent.len = 0;
    w->n_spool_failed = w->n_proxy_refused = w->n_paced = 0;
    w->spool_error = 0;
    w->n_handled = w->n_parked = w->n_errors = w->n_finished = w->n_done = 0;
    w->writes = 0;
    w->room = WIRE_ENDLESS;
}

__attribute__((unused)) static void wire_reopen(struct wire *w)
{
    wire_reopen_from(w, &(struct peer){.address.v4 = {.sin_family = AF_INET}});
}

/* With routes of the test's own. */
__attribute__((unused)) static void wire_open_app(struct wire *w, const rmd_route *routes,
                                                  const struct http_limits *limits, size_t in_bytes)
{
    static const struct conn_hooks hooks = {.handle = wire_on_handle,
                                            .consume = wire_on_consume,
                                            .answer = wire_on_answer,
                                            .error = wire_on_error,
                                            .paced = wire_on_paced,
                                            .spool_failed = wire_on_spool_failed,
                                            .given_up = wire_on_given_up,
                                            .proxy_refused = wire_on_proxy_refused,
                                            .finished = wire_on_finished,
                                            .parked = wire_on_parked};
    struct err err;
    struct peer peer = {.address.v4 = {.sin_family = AF_INET}};
    *w = (struct wire){.room = WIRE_ENDLESS, .ends_with = RMD_END};
    for (size_t i = 0; i < sizeof wire_big; i++)
        wire_big[i] = (char)('a' + i % 23);
    wire_now = w;
    if (router_new(&(rmd_app){.routes = routes}, 512, &w->router, &err) < 0)
        CHECK_FAIL("%s", err.text);
    CHECK(conn_env_init(&w->env, limits, w->router, &hooks, w, in_bytes) == 0);
    CHECK(deferred_open(&w->box) == 0);
    w->env.box = &w->box;
    w->env.now_us = 1000000;
    conn_env_set_time(&w->env, WIRE_WALL, STR("remuda"));
    conn_init(&w->conn, &w->env, &peer);
}

__attribute__((unused)) static void wire_open_with(struct wire *w, const struct http_limits *limits,
                                                   size_t in_bytes)
{
    static const rmd_route routes[] = {
        {.method = "GET", .pattern = "/", .handler = wire_root},
        {.method = "*", .pattern = "/echo", .handler = wire_echo},
        {.method = "GET", .pattern = "/hello/:name", .handler = wire_hello},
        {.method = "GET", .pattern = "/big", .handler = wire_give_big},
        {.method = "GET", .pattern = "/stream", .handler = wire_stream},
        {.method = "GET", .pattern = "/no-content", .handler = wire_no_content},
        {.method = "POST", .pattern = "/small", .handler = wire_echo, .body_limit = 10},
        {0}};
    wire_open_app(w, routes, limits, in_bytes);
}

__attribute__((unused)) static void wire_open(struct wire *w)
{
    wire_open_with(w, &wire_limits, WIRE_IN_BYTES);
}

__attribute__((unused)) static void wire_close(struct wire *w)
{
    conn_fini(&w->conn);
    conn_env_fini(&w->env);
    router_free(w->router);
    buf_fini(&w->sent);
    deferred_close(&w->box);
    fd_close(&w->box.wake_fd);
}

/* One write(2). Returns false when the socket took less than there was. */
static bool wire_write(struct wire *w, const struct iovec *parts, int n)
{
    size_t total = 0;
    size_t taken = 0;
    for (int i = 0; i < n; i++) {
        size_t len = parts[i].iov_len;
        CHECK(len > 0);
        total += len;
        if (len > w->room - taken)
            len = w->room - taken;
        CHECK(buf_append(&w->sent, parts[i].iov_base, len) == 0);
        taken += len;
    }
    if (w->room != WIRE_ENDLESS)
        w->room -= taken;
    if (taken > 0) {
        w->writes++;
        conn_output_sent(&w->conn, taken);
    }
    return taken == total;
}

/* One sendfile(2), of a piece. Returns as wire_write(); a file that is shorter than it was ends the
 * connection */
static bool wire_send_file(struct wire *w, const struct conn_file *file)
{
    char piece[4096];
    size_t len = file->len < sizeof piece ? file->len : sizeof piece;
    ssize_t n = pread(file->fd, piece, len, file->offset);
    if (n <= 0) {
        conn_fini(&w->conn);
        return false;
    }
    struct iovec part = {piece, (size_t)n};
    return wire_write(w, &part, 1);
}

static bool wire_send(struct wire *w)
{
    struct iovec parts[2];
    struct conn_file file;
    for (;;) {
        int n = conn_output(&w->conn, parts);
        bool is_all = true;
        if (n > 0)
            is_all = wire_write(w, parts, n);
        else if (conn_output_file(&w->conn, &file))
            is_all = wire_send_file(w, &file);
        else
            return true;
        if (!is_all)
            return false;
    }
}

__attribute__((unused)) static enum conn_wait wire_turn(struct wire *w)
{
    do
        conn_process(&w->conn);
    while (wire_send(w) && conn_can_go_on(&w->conn));
    conn_settle(&w->conn);
    return conn_wait(&w->conn);
}

/* The loop is woken: whoever turned a ticket in gets to answer. Returns how many came in */
__attribute__((unused)) static unsigned wire_take_tickets(struct wire *w)
{
    unsigned n = 0;
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&w->box); d; d = next, n++) {
        next = d->next;
        if (conn_on_ticket(&w->env, d))
            (void)wire_turn(w);
    }
    return n;
}

/* Goes on until only the client can do something: waits of streams are passed over. */
static enum conn_wait wire_rest(struct wire *w)
{
    for (;;) {
        enum conn_wait wait = conn_wait(&w->conn);
        if (wait == CONN_WAIT_TIMER && !w->keeps_waits)
            w->env.now_us = w->conn.resume_us;
        else if (wait != CONN_WAIT_WRITE || w->room == 0)
            return wait;
        (void)wire_turn(w);
    }
}

/* One read(2) of what fits, and its turn. Returns how many octets it took. */
__attribute__((unused)) static size_t wire_read(struct wire *w, const char *octets, size_t len)
{
    char *space = NULL;
    size_t room = 0;
    conn_input_space(&w->conn, &space, &room);
    CHECK(room > 0);
    size_t n = len < room ? len : room;
    memcpy(space, octets, n);
    conn_on_input(&w->conn, n);
    (void)wire_turn(w);
    return n;
}

/* The client sends; the server reads as long as it wants to. Returns how many octets were read. */
__attribute__((unused)) static size_t wire_feed(struct wire *w, const char *octets, size_t len)
{
    size_t fed = 0;
    enum conn_wait wait = wire_rest(w);
    while (fed < len && wait != CONN_WAIT_CLOSE && wait != CONN_WAIT_WRITE &&
           wait != CONN_WAIT_TIMER) {
        fed += wire_read(w, octets + fed, len - fed);
        wait = wire_rest(w);
    }
    return fed;
}

__attribute__((unused)) static void wire_feed_text(struct wire *w, const char *text)
{
    (void)wire_feed(w, text, strlen(text));
}

/* Piece by piece, each in a turn of its own. Returns how many were read */
__attribute__((unused)) static size_t wire_feed_pieces(struct wire *w, const char *octets,
                                                       size_t len, size_t piece)
{
    size_t fed = 0;
    while (fed < len) {
        size_t n = piece < len - fed ? piece : len - fed;
        size_t taken = wire_feed(w, octets + fed, n);
        fed += taken;
        if (taken < n)
            break;
    }
    return fed;
}

/* Descriptors that this process has open. */
__attribute__((unused)) static unsigned wire_count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned n = 0;
    CHECK(folder != NULL);
    while (readdir(folder))
        n++;
    (void)closedir(folder);
    return n;
}

/* What the client got, as text. */
__attribute__((unused)) static const char *wire_text(struct wire *w)
{
    CHECK(buf_append(&w->sent, "", 1) == 0);
    w->sent.len--;
    return w->sent.data;
}

/* ---- answers ---- */

struct wire_answer {
    int status;
    struct str head; /* status line and fields, with the empty line */
    struct str body; /* decoded in place when it was chunked */
};

__attribute__((unused)) static bool wire_field(const struct wire_answer *answer, const char *name,
                                               struct str *out_value)
{
    char wanted[128];
    int n = snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = memmem(answer->head.p, answer->head.len, wanted, (size_t)n);
    if (!at)
        return false;
    at += n;
    *out_value = str_make(at, strcspn(at, "\r"));
    return true;
}

static struct str wire_take_chunks(char *at, size_t len, size_t *out_used)
{
    char *start = at;
    char *end = at + len;
    char *to = at;
    for (;;) {
        char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        CHECK_SAYING(line_end != NULL, "an answer's chunk has no size line");
        char *digits_end;
        unsigned long size = strtoul(at, &digits_end, 16);
        CHECK_SAYING(digits_end == line_end && digits_end > at, "bad chunk size in an answer");
        at = line_end + 2;
        CHECK_SAYING(size + 2 <= (size_t)(end - at), "an answer's chunk is cut off");
        memmove(to, at, size);
        to += size;
        at += size;
        CHECK_SAYING(at[0] == '\r' && at[1] == '\n', "an answer's chunk ends otherwise");
        at += 2;
        if (size == 0)
            break;
    }
    *out_used = (size_t)(at - start);
    return str_make(start, (size_t)(to - start));
}

/* Cuts what the client got into answers, strictly; chunked bodies are decoded where they lie.
 * is_head  the answers are to HEAD: none has a body
 * Returns  how many; a rest that is no whole answer fails the test */
__attribute__((unused)) static size_t wire_answers(struct wire *w, bool is_head,
                                                   struct wire_answer *answers, size_t max)
{
    size_t n = 0;
    (void)wire_text(w);
    char *at = w->sent.data;
    char *end = at + w->sent.len;
    while (at < end) {
        CHECK(n < max);
        struct wire_answer *a = &answers[n++];
        const char *head_end = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        CHECK_SAYING(head_end != NULL, "no whole head in: %.*s", (int)(end - at), at);
        CHECK_SAYING(memcmp(at, "HTTP/1.1 ", 9) == 0, "no status line: %.60s", at);
        *a = (struct wire_answer){.status = atoi(at + 9),
                                  .head = str_make(at, (size_t)(head_end + 4 - at))};
        at += a->head.len;
        struct str value;
        size_t used = 0;
        bool is_bodiless = is_head || response_is_bodiless(a->status);
        if (!is_bodiless && wire_field(a, "Transfer-Encoding", &value)) {
            a->body = wire_take_chunks(at, (size_t)(end - at), &used);
        } else if (!is_bodiless && wire_field(a, "Content-Length", &value)) {
            used = strtoul(value.p, NULL, 10);
            CHECK_SAYING(used <= (size_t)(end - at), "body cut off: %zu of %zu octets",
                         (size_t)(end - at), used);
            a->body = str_make(at, used);
        } else if (!is_bodiless) {
            CHECK_SAYING(wire_field(a, "Connection", &value) && str_is_equal(value, STR("close")),
                         "no framing in: %.*s", STR_ARG(a->head));
            used = (size_t)(end - at);
            a->body = str_make(at, used);
        }
        at += used;
    }
    return n;
}

/* Fails unless exactly these statuses were answered; ends with 0. */
#define WIRE_ANSWERED(w, ...)                                                                      \
    wire_check_answered((w), (const int[]){__VA_ARGS__, 0}, __FILE__, __LINE__)

__attribute__((unused)) static void wire_check_answered(struct wire *w, const int *statuses,
                                                        const char *file, int line)
{
    struct wire_answer answers[64];
    size_t n = wire_answers(w, false, answers, 64);
    size_t i = 0;
    for (; statuses[i]; i++)
        check_eq(i < n ? answers[i].status : 0, statuses[i], "status", file, line);
    check_eq((long long)n, (long long)i, "number of answers", file, line);
}

#endif
