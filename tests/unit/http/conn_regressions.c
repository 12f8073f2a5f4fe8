/* Mistakes of the connection machine that were found by reading and by tests/fuzz/fuzz_conn.c: each
 * failed before its repair. */
#include "http/conn.h"

#include "tests/unit/http/wire.h"

/* ---- what the hooks may rely on ---- */

static size_t logged_target;

/* Reads what an access log reads. */
static void log_finished(void *owner, struct rmd_request *req, struct rmd_response *res)
{
    struct str target = req->head.bytes > 0 ? request_target(req) : STR("");
    logged_target = 0;
    while (logged_target < target.len && target.p[logged_target] > ' ')
        logged_target++;
    if (req->base)
        (void)request_find(req, STR("x-request-id"), NULL);
    wire_on_finished(owner, req, res);
}

/* A head that is whole, but too large, was handed to the log without its octets: the worker died of
 * one request with a long field. */
static void conn_finishes_a_whole_head_that_is_too_large(void **state)
{
    (void)state;
    struct wire w;
    struct buf octets = {0};
    wire_open(&w);
    w.env.hooks.finished = log_finished;
    CHECK(buf_printf(&octets, "GET /seen HTTP/1.1\r\nHost: a\r\nX: %09000d\r\n\r\n", 0) == 0);
    (void)wire_feed(&w, octets.data, octets.len);
    WIRE_ANSWERED(&w, 431);
    CHECK_EQ(logged_target, strlen("/seen"));
    buf_fini(&octets);
    wire_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conn_finishes_a_whole_head_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
