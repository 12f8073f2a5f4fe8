/* See entry.h. Process: web and compute workers. */
#include "workers/entry.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "http/request.h"
#include "http/trace.h"
#include "ipc/scoreboard.h"

void entry_fill(struct request_entry *entry, struct rmd_request *req)
{
    entry->route = req->match.route ? req->match.route->index : UINT16_MAX;
    entry->started_us = req->started_us;
    struct str trace = request_trace_id(req);
    _Static_assert(TRACE_GIVEN_MAX <= SCOREBOARD_TRACE_MAX, "copied whole");
    entry->trace_len = (uint8_t)trace.len;
    if (__builtin_expect(trace.len == TRACE_ID_LEN, 1))
        memcpy(entry->trace, trace.p, TRACE_ID_LEN); /* without a call */
    else
        memcpy(entry->trace, trace.p, trace.len);
    _Static_assert(sizeof entry->method <= REQUEST_METHOD_MAX, "copied whole");
    memcpy(entry->method, req->method, sizeof entry->method);
    entry->method[sizeof entry->method - 1] = '\0';
    entry->peer_family = req->peer.address.any.sa_family;
    if (entry->peer_family == AF_INET6)
        memcpy(entry->peer_address, &req->peer.address.v6.sin6_addr, 16);
    else
        memcpy(entry->peer_address, &req->peer.address.v4.sin_addr, 4);
    size_t n = req->head.target_len;
    if (n > SCOREBOARD_TARGET_MAX)
        n = SCOREBOARD_TARGET_MAX;
    memcpy(entry->target, req->base + req->head.target_at, n);
    entry->target_len = (uint16_t)n;
}
