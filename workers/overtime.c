/* See overtime.h. Two system calls a request, which a class that serves one connection at a time
 * can afford. */
#include "workers/overtime.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/exchange.h"
#include "workers/crash.h"

static struct {
    struct web *web; /* NULL: off */
    timer_t timer;
    struct buf octets;
    struct crash_farewell farewell;
} overtime;

void overtime_open(struct web *web)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGABRT};
    if (timer_create(CLOCK_MONOTONIC, &event, &overtime.timer) == 0)
        overtime.web = web;
    else
        log_warn("no timer for request_timeout", "reason=\"%s\" does=\"rely on timeout\"",
                 strerror(errno));
}

void overtime_close(void)
{
    if (overtime.web)
        (void)timer_delete(overtime.timer);
    buf_fini(&overtime.octets);
    overtime.web = NULL;
}

static void set_timer(uint64_t us)
{
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(us / CLOCK_US_PER_S),
                                         .tv_nsec = (long)(us % CLOCK_US_PER_S) * 1000}};
    (void)timer_settime(overtime.timer, 0, &at, NULL); /* 0: none */
}

static uint64_t limit_of(const struct rmd_request *req)
{
    const struct route *route = req->match.route;
    return route && route->decl->timeout_ms > 0 ? route->decl->timeout_ms * CLOCK_US_PER_MS
                                                : overtime.web->settings->request_timeout_us;
}

/* Made before, since a signal handler can do little more than send it. */
static void prepare_farewell(struct rmd_request *req, int fd)
{
    static const char page[] = "504 Gateway Timeout\n";
    static const atomic_bool is_begun; /* never: what was answered before is out */
    const struct conn_env *env = &overtime.web->env;
    bool has_body = strcmp(req->method, "HEAD") != 0;
    struct str id = env->id_header.len > 0 ? request_trace_id(req) : (struct str){0};
    overtime.octets.len = 0;
    int rc = buf_printf(&overtime.octets,
                        "HTTP/1.1 504 Gateway Timeout\r\n%.*sContent-Type: text/plain; "
                        "charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\n",
                        STR_ARG(env->common), sizeof page - 1);
    if (rc == 0 && id.len > 0)
        rc = buf_printf(&overtime.octets, "%.*s: %.*s\r\n", STR_ARG(env->id_header), STR_ARG(id));
    if (rc == 0)
        rc = buf_printf(&overtime.octets, "\r\n%s", has_body ? page : "");
    if (rc < 0)
        return; /* its connection will just end */
    overtime.farewell = (struct crash_farewell){.fd = fd,
                                                .octets = overtime.octets.data,
                                                .len = overtime.octets.len,
                                                .is_begun = &is_begun};
    crash_set_farewell(&overtime.farewell);
}

void overtime_begin(struct rmd_request *req, int fd)
{
    if (!overtime.web)
        return;
    uint64_t limit_us = limit_of(req);
    uint64_t until_us = limit_us > 0 ? clock_now_us() + limit_us : 0;
    uint64_t client_us = exchange_of(req)->deadline_us; /* its own deadline */
    req->deadline_us =
        client_us > 0 && (until_us == 0 || client_us < until_us) ? client_us : until_us;
    prepare_farewell(req, fd);
    set_timer(limit_us);
}

void overtime_end(void)
{
    if (!overtime.web)
        return;
    set_timer(0);
    crash_set_farewell(NULL);
}
