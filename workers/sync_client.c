/* See sync_client.h. Process: sync workers. Which clock runs follows from what the machine waits
 * for; what happens at its end is the machine's to say, where it has an answer for it. */
#include "workers/sync_client.h"

#include <poll.h>

#include "config/settings.h"
#include "workers/drain.h"
#include "workers/report.h"

/* An idle connection is not closed for another so soon after its last answer: who asks again and
 * again would find it closed under his next request. A guess, above what a busy client needs. */
#define YIELD_US (CLOCK_US_PER_S / 10)
#define NEVER_US SYNC_CLIENT_NEVER_US

void sync_client_init(struct sync_client *c, struct web *web)
{
    *c = (struct sync_client){.web = web, .wait = CONN_WAIT_CLOSE, .drain_began_us = NEVER_US};
}

static bool is_draining(const struct sync_client *c)
{
    return c->drain_began_us != NEVER_US;
}

/* ---- its clock ---- */

/* A clock starts when the wait for something begins, and again with every progress, but for those
 * that have an end whatever comes. */
static void start_clock(struct sync_client *c)
{
    struct transfer *t = &c->transfer;
    uint64_t now_us = c->web->env.now_us;
    enum conn_wait wait = conn_wait(&t->conn), before = c->wait;
    c->wait = wait;
    c->since_us = now_us;
    if (wait == CONN_WAIT_REQUEST && t->conn.n_requests == 0)
        c->since_us = c->opened_us; /* it owes its first request as one owes a head */
    else if (wait == CONN_WAIT_HEAD)
        c->since_us = t->conn.ex->req.started_us;
    if (wait == CONN_WAIT_WRITE && before != wait)
        transfer_begin_waiting(t);
    if (wait == CONN_WAIT_LINGER && before != wait) {
        (void)shutdown(t->fd, SHUT_WR); /* ENOTCONN: the client is gone already */
        c->lingering_us = now_us;
    }
    if (wait != CONN_WAIT_TIMER)
        c->has_more = false;
}

static uint64_t after(uint64_t since_us, uint64_t limit_us)
{
    return limit_us > 0 ? since_us + limit_us : NEVER_US;
}

uint64_t sync_client_deadline_us(const struct sync_client *c)
{
    const struct settings *s = c->web->settings;
    const struct transfer *t = &c->transfer;
    uint64_t quiet_us, lingered_us;
    switch (c->wait) {
    case CONN_WAIT_REQUEST:
        if (is_draining(c))
            return (c->since_us > c->drain_began_us ? c->since_us : c->drain_began_us) +
                   drain_last_chance_us(s);
        return after(c->since_us, t->conn.n_requests == 0 ? s->header_timeout_us : s->keepalive_us);
    case CONN_WAIT_HEAD:
        return after(c->since_us, s->header_timeout_us);
    case CONN_WAIT_BODY:
        return after(c->since_us, s->body_timeout_us);
    case CONN_WAIT_WRITE:
        return t->looked_us + s->write_timeout_us / TRANSFER_LOOKS_A_TIMEOUT;
    case CONN_WAIT_TIMER:
        return t->conn.resume_us;
    case CONN_WAIT_LINGER:
        quiet_us = c->since_us + TRANSFER_LINGER_US;
        lingered_us = c->lingering_us + TRANSFER_LINGER_MAX_US;
        return quiet_us < lingered_us ? quiet_us : lingered_us;
    default:
        return NEVER_US;
    }
}

/* It is idle, and was served before. In a drain it has its last chance instead. */
uint64_t sync_client_yields_at_us(const struct sync_client *c)
{
    bool is_idle =
        c->wait == CONN_WAIT_REQUEST && c->transfer.conn.n_requests > 0 && !is_draining(c);
    return is_idle ? c->since_us + YIELD_US : NEVER_US;
}

/* ---- what happens to it ---- */

static void turn(struct sync_client *c)
{
    c->has_turned = true;
    transfer_turn(&c->transfer);
    start_clock(c);
}

static void show(struct sync_client *c, bool is_there)
{
    c->is_there = is_there;
    atomic_store_explicit(&c->web->part.head->connections, is_there, memory_order_relaxed);
}

void sync_client_open(struct sync_client *c, int fd, const struct sockaddr_storage *address)
{
    c->transfer = (struct transfer){0};
    c->wait = CONN_WAIT_CLOSE;
    c->opened_us = c->web->env.now_us;
    show(c, true);
    transfer_open(&c->transfer, c->web, fd, address);
    turn(c);
}

void sync_client_close(struct sync_client *c)
{
    transfer_close(&c->transfer);
    show(c, false);
}

void sync_client_drain(struct sync_client *c)
{
    c->drain_began_us = c->web->env.now_us;
}

bool sync_client_is_over(const struct sync_client *c)
{
    return c->wait == CONN_WAIT_CLOSE;
}

short sync_client_events(const struct sync_client *c)
{
    if (c->wait == CONN_WAIT_WRITE)
        return POLLOUT;
    return c->wait == CONN_WAIT_TIMER && c->has_more ? 0 : POLLIN;
}

void sync_client_on_ready(struct sync_client *c, short events)
{
    if (events == POLLIN && transfer_read(&c->transfer))
        c->has_more = true;
    turn(c);
}

void sync_client_part(struct sync_client *c)
{
    transfer_look_last(&c->transfer);
    if (conn_wait(&c->transfer.conn) == CONN_WAIT_REQUEST)
        conn_fini(&c->transfer.conn);
    start_clock(c);
}

void sync_client_expire(struct sync_client *c)
{
    struct transfer *t = &c->transfer;
    switch (c->wait) {
    case CONN_WAIT_REQUEST:
        sync_client_part(c);
        return;
    case CONN_WAIT_WRITE:
        if (transfer_is_taking(t))
            return;
        transfer_give_up(t);
        break;
    case CONN_WAIT_TIMER:
        break;
    default:
        conn_on_timeout(&t->conn);
        break;
    }
    turn(c);
}

/* Requests may have ended without theirs, so also when there is no client. */
void sync_client_take_tickets(struct sync_client *c)
{
    struct rmd_deferred *next;
    for (struct rmd_deferred *d = deferred_take(&c->web->box); d; d = next) {
        next = d->next;
        if (conn_on_ticket(&c->web->env, d))
            turn(c);
    }
}

void sync_client_tell(const void *client, struct buf *out)
{
    const struct sync_client *c = client;
    uint64_t now_us = clock_now_us();
    if (c->is_there)
        (void)report_connection(out, &c->transfer.conn, now_us - c->opened_us,
                                now_us > c->since_us ? now_us - c->since_us : 0, now_us);
    (void)!buf_printf(out, "connections open=%d told=%d\n", c->is_there, c->is_there);
}
