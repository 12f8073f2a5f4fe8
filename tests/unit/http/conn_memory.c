/* http/conn.c when memory is refused: every allocation of a session that uses all of the machine
 * is refused once, and from there on always. Whatever is refused, nothing crashes, every body is
 * paid for once, nothing leaks (the sanitizers look), and the next connection of the loop is
 * served. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/exchange.h"

static unsigned n_allocations;
static unsigned refused_from; /* 0: none */
static unsigned refused_to;

static int is_refused(void)
{
    n_allocations++;
    return refused_from > 0 && n_allocations >= refused_from && n_allocations < refused_to;
}

static void *try_malloc(size_t bytes)
{
    return is_refused() ? NULL : malloc(bytes);
}

static void *try_calloc(size_t n, size_t bytes)
{
    return is_refused() ? NULL : calloc(n, bytes);
}

static void *try_realloc(void *data, size_t bytes)
{
    return is_refused() ? NULL : realloc(data, bytes);
}

/* The three sources that allocate, with another malloc; the linker takes these instead of the
 * libraries'. */
#define malloc try_malloc
#define calloc try_calloc
#define realloc try_realloc
#include "base/arena.c"
#include "base/buf.c"
#include "http/exchange.c"
#undef malloc
#undef calloc
#undef realloc

#include "tests/unit/http/wire.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

/* A request by a reference that outlives its turn, and its done. */
static void give_body(rmd_request *req, rmd_response *res)
{
    wire_give(res, 200, req->body.p, req->body.len);
    res->done = wire_on_done;
    wire_now->n_errors++; /* counted as owed */
}

static int produce(rmd_writer *out, void *state)
{
    struct wire *w = state;
    if (w->pieces++ == 3)
        return RMD_END;
    out->is_failed = buf_append(out->out, wire_big, 5000) < 0;
    return 1;
}

static void give_stream(rmd_request *req, rmd_response *res)
{
    wire_stream(req, res);
    res->produce = produce;
    wire_now->n_errors++;
}

static void on_handle(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    struct wire *w = owner;
    w->n_handled++;
    if (str_is_equal(req->raw_path, STR("/stream")))
        give_stream(req, res);
    else if (str_is_equal(req->raw_path, STR("/echo")))
        give_body(req, res);
    else if (str_is_equal(req->raw_path, STR("/missing")))
        response_error_page(res, req->arena, 404);
    else
        wire_root(req, res);
}

static void on_error(void *owner, struct rmd_request *req, struct rmd_response *res, int status)
{
    (void)owner;
    response_error_page(res, req->arena, status);
}

/* The client's memory is not refused. */
static void write_all(struct wire *w, size_t room)
{
    struct iovec parts[2];
    for (int n; (n = conn_output(&w->conn, parts)) > 0 && room > 0;) {
        size_t len = parts[0].iov_len < room ? parts[0].iov_len : room;
        if (n > 1 && len == parts[0].iov_len)
            len += parts[1].iov_len < room - len ? parts[1].iov_len : room - len;
        room -= len;
        conn_output_sent(&w->conn, len);
    }
}

static void turn(struct wire *w, size_t room)
{
    for (int round = 0; round < 16; round++) {
        conn_process(&w->conn);
        write_all(w, room);
        if (!conn_can_go_on(&w->conn))
            break;
    }
    conn_settle(&w->conn);
}

/* Reads `step` octets a turn into a socket that takes `room` a turn, until nothing goes on. */
static void serve(struct wire *w, const char *octets, size_t len, size_t step, size_t room)
{
    for (int turns = 0; turns < 20000; turns++) {
        enum conn_wait wait = conn_wait(&w->conn);
        char *space = NULL;
        size_t n = 0;
        if (wait == CONN_WAIT_CLOSE)
            return;
        if (wait == CONN_WAIT_TIMER) {
            w->env.now_us = w->conn.resume_us;
        } else if (wait != CONN_WAIT_WRITE) {
            if (len == 0)
                return;
            conn_input_space(&w->conn, &space, &n);
            if (n == 0) {
                conn_fini(&w->conn);
            } else {
                n = n < len ? n : len;
                n = n < step ? n : step;
                memcpy(space, octets, n);
                octets += n;
                len -= n;
                conn_on_input(&w->conn, n);
            }
        }
        turn(w, room);
    }
    CHECK_FAIL("the connection never rests");
}

static void add_echo(struct buf *session, size_t len)
{
    CHECK(buf_printf(session, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                     len) == 0);
    while (len-- > 0)
        CHECK(buf_append(session, "e", 1) == 0);
}

static struct buf make_session(void)
{
    struct buf session = {0};
    CHECK(buf_printf(&session, GET("/") GET("/missing") GET("/stream") GET("/")) == 0);
    add_echo(&session, 3);
    add_echo(&session, 30000);
    add_echo(&session, 100000);
    CHECK(buf_printf(&session,
                     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "5\r\nhello\r\n4e20\r\n%020000d\r\n0\r\n\r\n" GET("/stream"),
                     0) == 0);
    add_echo(&session, 20000);
    CHECK(buf_printf(&session, "nonsense\r\n\r\n") == 0);
    return session;
}

/* One session with allocations refused, then one of another client without. */
static void run(const struct buf *session, size_t step, size_t room)
{
    static const char next[] = GET("/");
    struct wire w;
    unsigned from = refused_from;
    refused_from = 0;
    wire_open(&w);
    w.env.hooks.handle = on_handle;
    w.env.hooks.error = on_error;
    n_allocations = 0;
    refused_from = from;
    serve(&w, session->data, session->len, step, room);
    unsigned n = n_allocations;
    refused_from = 0;
    conn_fini(&w.conn);
    CHECK_EQ(w.n_done, w.n_errors);
    wire_reopen(&w);
    wire_feed_text(&w, next);
    WIRE_ANSWERED(&w, 200);
    wire_close(&w);
    n_allocations = n;
}

static const size_t steps[] = {SIZE_MAX, 4000, 97};
static const size_t rooms[] = {SIZE_MAX, 1500};

static void sweep(bool is_lasting)
{
    struct buf session = make_session();
    unsigned total = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (size_t j = 0; j < sizeof rooms / sizeof rooms[0]; j++) {
            refused_from = 0;
            run(&session, steps[i], rooms[j]);
            for (unsigned at = 1, n = n_allocations; at <= n; at++) {
                check_context("step %zu, room %zu, allocation %u of %u", steps[i], rooms[j], at, n);
                refused_from = at;
                refused_to = is_lasting ? UINT32_MAX : at + 1;
                run(&session, steps[i], rooms[j]);
                total++;
            }
        }
    }
    refused_from = 0;
    CHECK(total > 50); /* else the session does not do what it is for */
    buf_fini(&session);
}

static void each_allocation_may_be_refused_once(void **state)
{
    (void)state;
    sweep(false);
}

static void memory_may_be_gone_from_any_moment_on(void **state)
{
    (void)state;
    sweep(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_be_refused_once),
        cmocka_unit_test(memory_may_be_gone_from_any_moment_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
