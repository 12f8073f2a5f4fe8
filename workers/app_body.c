/* The functions of remuda.h that have to do with the body of a request, and with answers that come
 * later. */
#include <errno.h>

#include "http/conn.h"
#include "http/path.h"
#include "include/remuda.h"
#include "workers/chain.h"

rmd_slice rmd_body(const rmd_request *req)
{
    return (rmd_slice){req->body.p, req->body.len};
}

const char *rmd_form(rmd_request *req, const char *name)
{
    const struct field *type = request_find(req, STR("content-type"), NULL);
    if (!type)
        return NULL;
    struct str value = request_value(req, type);
    const char *semicolon = value.len > 0 ? memchr(value.p, ';', value.len) : NULL;
    if (semicolon)
        value.len = (size_t)(semicolon - value.p);
    if (!str_is_equal_nocase(str_trim(value), STR("application/x-www-form-urlencoded")))
        return NULL;
    return path_find_pair(req->body, name, req->arena);
}

int rmd_body_fd(const rmd_request *req)
{
    return req->conn->ex->body.fd;
}

int rmd_receive(rmd_request *req, rmd_consumer consume, void *state, void (*done)(void *state))
{
    if (req->consume || req->is_consumed)
        return -EBUSY;
    req->consume = consume;
    req->consume_state = state;
    req->consume_done = done;
    return 0;
}

rmd_deferred *rmd_defer(rmd_request *req)
{
    struct deferred_box *box = req->conn->env->box;
    if (req->deferred || !box)
        return NULL;
    req->deferred = deferred_new(box, req->conn);
    return req->deferred;
}

void rmd_complete(rmd_deferred *ticket, rmd_answer answer, void *arg)
{
    deferred_turn_in(ticket, answer, arg);
}

bool rmd_is_wanted(const rmd_deferred *ticket)
{
    return atomic_load_explicit(&ticket->is_wanted, memory_order_relaxed);
}
