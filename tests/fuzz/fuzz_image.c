/* Fuzz target: the image of a request, as a compute worker reads it out of memory that another
 * process writes to.
 *
 * Input: an octet, which is the length of the body that is handed in beside the image; all that
 * follows is the image. Asserted: what is taken is a whole request, every part of it within the
 * octets of its own copy; written as an image and read again it is the same; cut off or with one
 * octet more it is no image. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/conn_env.h"
#include "http/guard.h"
#include "http/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct conn_env env;
static char beside[256];

static void handler(rmd_request *req, rmd_response *res)
{
    (void)req;
    (void)res;
}

static void open_env(void)
{
    static const struct http_limits limits = {.request_line = 300,
                                              .fields = 10,
                                              .field_size = 200,
                                              .head = 1000,
                                              .body = 1000,
                                              .body_buffer = 1000,
                                              .pipelined = 1};
    static const rmd_route routes[] = {{.method = "GET", .pattern = "/", .handler = handler},
                                       {.method = "*", .pattern = "/a/:b/*c", .handler = handler},
                                       {0}};
    static const struct conn_hooks none;
    static struct router *router;
    struct err err;
    RMD_ASSERT(router_new(&(rmd_app){.routes = routes}, 10, &router, &err) == 0);
    RMD_ASSERT(conn_env_init(&env, &limits, router, &none, NULL, 4096) == 0);
}

/* A copy of its exact size, so that reading on is seen. */
static int read_exact(const char *octets, size_t len, struct str body, struct exchange *ex)
{
    const char *reason = NULL;
    char *copy = malloc(len ? len : 1);
    RMD_ASSERT(copy);
    memcpy(copy, octets, len);
    int rc = image_read_request(str_make(copy, len), body, &env, ex, &reason);
    free(copy);
    RMD_ASSERT(rc == 0 || (rc == -EBADMSG && reason));
    return rc;
}

static struct exchange *take(void)
{
    struct exchange *ex = exchange_take(&env.pool);
    RMD_ASSERT(ex);
    return ex;
}

static void give_back(struct exchange *ex)
{
    exchange_settle(ex);
    exchange_give_back(&env.pool, ex);
}

static bool is_within(const struct exchange *ex, struct str octets)
{
    const char *end = ex->store.data + ex->req.head.bytes;
    return octets.len == 0 || (octets.p >= ex->store.data && octets.p + octets.len <= end);
}

static void check_request(struct exchange *ex)
{
    struct rmd_request *req = &ex->req;
    RMD_ASSERT(req->base == ex->store.data && req->is_body_complete);
    RMD_ASSERT(strlen(req->method) == req->head.method_len && req->head.minor <= 9);
    RMD_ASSERT(is_within(ex, request_target(req)) && is_within(ex, req->query));
    RMD_ASSERT(is_within(ex, req->head.host));
    RMD_ASSERT(req->head.host.len == 0 || guard_is_host(req->head.host));
    RMD_ASSERT(req->head.n_fields <= env.limits.fields);
    for (uint32_t i = 0; i < req->head.n_fields; i++) {
        const struct field *field = &req->head.fields[i];
        RMD_ASSERT(is_within(ex, request_name(req, field)));
        RMD_ASSERT(is_within(ex, request_value(req, field)));
        RMD_ASSERT(!memchr(request_value(req, field).p, '\n', field->value_len));
    }
    struct str trace = request_trace_id(req);
    RMD_ASSERT(trace.len > 0 && trace.len <= TRACE_GIVEN_MAX);
    RMD_ASSERT(req->head.is_chunked ||
               req->body.len == (req->head.has_length ? req->head.content_length : 0));
}

static void check_same(struct exchange *a, struct exchange *b)
{
    RMD_ASSERT(strcmp(a->req.method, b->req.method) == 0);
    RMD_ASSERT(str_is_equal(request_target(&a->req), request_target(&b->req)));
    RMD_ASSERT(str_is_equal(a->req.match.path, b->req.match.path));
    RMD_ASSERT(str_is_equal(a->req.head.host, b->req.head.host));
    RMD_ASSERT(str_is_equal(a->req.body, b->req.body));
    RMD_ASSERT(str_is_equal(request_trace_id(&a->req), request_trace_id(&b->req)));
    RMD_ASSERT(a->req.head.n_fields == b->req.head.n_fields);
    RMD_ASSERT(a->req.head.minor == b->req.head.minor && a->req.is_https == b->req.is_https);
    RMD_ASSERT(a->req.match.route == b->req.match.route);
    RMD_ASSERT(a->req.outcome == b->req.outcome);
    RMD_ASSERT(memcmp(&a->req.peer, &b->req.peer, sizeof a->req.peer) == 0);
}

static void check_again(struct exchange *ex)
{
    size_t len = image_request_bytes(&ex->req, ex->req.body.len);
    char *octets = malloc(len + 1);
    struct exchange *again = take();
    struct exchange *cut = take();
    RMD_ASSERT(octets);
    image_put_request(&ex->req, ex->req.body, octets);
    octets[len] = ' ';
    RMD_ASSERT(read_exact(octets, len, STR(""), again) == 0);
    check_same(ex, again);
    RMD_ASSERT(read_exact(octets, len - 1, STR(""), cut) < 0);
    cut->store.len = 0;
    RMD_ASSERT(read_exact(octets, len + 1, STR(""), cut) < 0);
    give_back(cut);
    give_back(again);
    free(octets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!env.router)
        open_env();
    if (size == 0)
        return 0;
    struct exchange *ex = take();
    if (read_exact((const char *)data + 1, size - 1, str_make(beside, data[0]), ex) == 0) {
        check_request(ex);
        check_again(ex);
    }
    give_back(ex);
    return 0;
}
