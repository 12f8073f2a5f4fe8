/* The functions of remuda.h that are for tasks. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/exchange.h"
#include "workers/call.h"

void *rmd_call_alloc(rmd_call *call, size_t bytes)
{
    return arena_alloc(call->arena, bytes);
}

void rmd_call_result(rmd_call *call, const void *data, size_t len)
{
    call->result = str_make(data, len);
}

bool rmd_call_cancelled(const rmd_call *call)
{
    return !task_is_wanted(call->record, call->task->id);
}

long long rmd_call_deadline_ms(const rmd_call *call)
{
    uint64_t now_us = clock_now_us();
    if (call->task->deadline_us == TASK_NEVER_US)
        return -1;
    return now_us < call->task->deadline_us
               ? (long long)((call->task->deadline_us - now_us) / CLOCK_US_PER_MS)
               : 0;
}

/* What only the app's author can mend. NULL: it is nothing of that kind */
static const char *mistake_of(int error)
{
    static const struct {
        int error;
        const char *is;
    } rows[] = {
        {-ENOENT, "no task of the app's table has that name"},
        {-EOPNOTSUPP, "compute workers can't hand on work"},
        {-EMSGSIZE, "payload or result is larger than its pool's segment"},
        {-EDEADLK, "rmd_offload_wait() is for the lane io and sync workers; here: rmd_offload()"},
        {-EINVAL, "rmd_offload_map() has no payloads, or too many"},
        {-EBUSY, "the answer was given or put off before"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].error == error)
            return rows[i].is;
    return NULL;
}

static void tell_mistake(struct rmd_request *req, const char *mistake)
{
    const struct route *route = req->match.route;
    struct str trace = request_trace_id(req);
    log_error("mistake of the app: its work can't be handed on",
              "why=\"%s\" route=\"%s %s\" trace=%.*s does=\"answer 500\"", mistake,
              route ? route->method : "", route ? route->pattern : "", STR_ARG(trace));
}

void rmd_offload_error(rmd_response *res, int error)
{
    int status = 500;
    switch (error) {
    case -ETIMEDOUT:
        status = 504;
        break;
    case -EAGAIN:
    case -ECONNREFUSED:
    case -ECANCELED:
    case -ENOMEM:
    case -ENOTCONN:
    case -ETIME:
        status = 503;
        (void)rmd_set_header(res, "Retry-After", "1");
        break;
    default:
        if (mistake_of(error))
            tell_mistake(res->req, mistake_of(error));
        break;
    }
    rmd_error(res, status);
}
