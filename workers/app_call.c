/* The functions of remuda.h that are for tasks. */
#include <errno.h>

#include "base/clock.h"
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
        break;
    }
    rmd_error(res, status);
}
