/* Windows and last lines of a drain. Process: web workers. */
#include "workers/drain.h"

#include <inttypes.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/settings.h"
#include "http/conn.h"

#define CUT_AHEAD_US (CLOCK_US_PER_S / 4) /* some thousand lines can be written in that: a guess */

uint64_t drain_last_chance_us(const struct settings *settings)
{
    uint64_t window_us = settings->drain_keepalive_us;
    if (window_us > settings->graceful_timeout_us / 2)
        window_us = settings->graceful_timeout_us / 2;
    return window_us > 0 ? window_us : 1;
}

uint64_t drain_cut_us(const struct settings *settings)
{
    uint64_t limit_us = settings->graceful_timeout_us;
    uint64_t ahead_us = limit_us / 8 < CUT_AHEAD_US ? limit_us / 8 : CUT_AHEAD_US;
    return limit_us - ahead_us;
}

void drain_lift_sieve(int fd, sa_family_t family)
{
    int least = 0;
    if (family == AF_INET || family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IP, IP_MINTTL, &least, sizeof least);
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &least, sizeof least);
}

/* Octets that were made for the client and that the kernel never got. */
static size_t count_unsent(const struct conn *c)
{
    return c->out.len - c->out_sent;
}

static void log_request(struct conn *c, uint64_t now_us, const char *why, const char *peer)
{
    struct rmd_request *req = &c->ex->req;
    const struct route *route = req->match.route;
    char method[LOG_QUOTE_MAX + 8];
    char target[LOG_QUOTE_MAX + 8];
    char name[LOG_QUOTE_MAX + 8];
    struct str raw = request_target(req);
    /* A thread may be at the answer. */
    uint64_t sent = c->ex->is_away ? c->ex->sent_before : c->ex->res.body_sent;
    sent = c->ex->is_handled && sent > count_unsent(c) ? sent - count_unsent(c) : 0;
    log_warn(
        "request cut",
        "why=\"%s\" method=%s target=%s peer=%s phase=%s elapsed_ms=%" PRIu64 " sent=%" PRIu64
        " route=%s trace=%s",
        why, log_quote(method, req->method, strlen(req->method)), log_quote(target, raw.p, raw.len),
        peer, conn_state_names[c->state], (now_us - req->started_us) / CLOCK_US_PER_MS, sent,
        route ? log_quote(name, route->pattern, strlen(route->pattern)) : "-", rmd_trace_id(req));
}

void drain_log_cut(struct conn *c, uint64_t now_us, const char *why)
{
    char text[PEER_TEXT_MAX];
    (void)request_format_peer(&c->peer, true, text);
    if (c->ex && !c->ex->is_over && c->ex->req.head.bytes > 0)
        log_request(c, now_us, why, text);
    else if (c->ex && !c->ex->is_over)
        log_warn("request cut", "why=\"%s\" peer=%s phase=%s elapsed_ms=%" PRIu64, why, text,
                 conn_state_names[c->state], (now_us - c->ex->req.started_us) / CLOCK_US_PER_MS);
    else if (count_unsent(c) > 0)
        log_warn("answer cut", "why=\"%s\" peer=%s phase=%s unsent=%zu", why, text,
                 conn_state_names[c->state], count_unsent(c));
}
