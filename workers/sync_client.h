/* The one connection of a sync worker: a connection machine with a socket (workers/transfer.h) and
 * a clock. It never waits itself: the room does, for what is said here, and reports what came. */
#ifndef REMUDA_WORKERS_SYNC_CLIENT_H
#define REMUDA_WORKERS_SYNC_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "workers/transfer.h"

#define SYNC_CLIENT_NEVER_US UINT64_MAX

struct sync_client {
    struct transfer transfer; /* valid while is_there */
    struct web *web;
    bool is_there;
    bool has_more;           /* it has sent more while it waits for an answer */
    bool has_turned;         /* since it was last waited for; the room clears it */
    enum conn_wait wait;     /* what it was last seen to wait for */
    uint64_t since_us;       /* the clock of that */
    uint64_t opened_us;      /* when it was accepted */
    uint64_t lingering_us;   /* when our side was shut */
    uint64_t drain_began_us; /* SYNC_CLIENT_NEVER_US: the worker does not drain */
};

/* Nobody yet. Lifetime of web: that of c. */
void sync_client_init(struct sync_client *c, struct web *web);

/* Takes over an accepted, non-blocking socket, and serves it at once if its request is there.
 * address  as accept(2) gave it */
void sync_client_open(struct sync_client *c, int fd, const struct sockaddr_storage *address);
void sync_client_close(struct sync_client *c);

/* The worker drains: a connection without a request has its last chance from now on. */
void sync_client_drain(struct sync_client *c);

/* Its line, for a dump. client: struct sync_client */
void sync_client_tell(const void *client, struct buf *out);

/* Nothing more is to be done for it. */
bool sync_client_is_over(const struct sync_client *c);

/* What of its socket is waited for: POLLIN, POLLOUT; 0: nothing. */
short sync_client_events(const struct sync_client *c);

/* By the clock of the worker's turns: when the wait has lasted long enough, for
 * sync_client_expire(); and from when on it gives way to others, for sync_client_part(). */
uint64_t sync_client_deadline_us(const struct sync_client *c);
uint64_t sync_client_yields_at_us(const struct sync_client *c);

/* events  that it was polled for, and one of which came */
void sync_client_on_ready(struct sync_client *c, short events);
void sync_client_expire(struct sync_client *c);

/* Ends it, unless a request has come after all. */
void sync_client_part(struct sync_client *c);

/* Answers that were put off and are there now. */
void sync_client_take_tickets(struct sync_client *c);

#endif
