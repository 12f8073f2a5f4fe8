/* The connections of an event worker: each a connection machine (http/conn.h) with a socket, a
 * place in libev's loop and a clock. */
#ifndef REMUDA_WORKERS_CLIENT_H
#define REMUDA_WORKERS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "workers/web.h"

struct ev_loop;

/* The clocks a connection can be under; each a list in order of time, so expiry looks at the
 * front. */
enum client_clock {
    CLIENT_CLOCK_IDLE,   /* keepalive; in a drain: the last chance, also of new connections */
    CLIENT_CLOCK_HEAD,   /* header_timeout */
    CLIENT_CLOCK_BODY,   /* body_timeout */
    CLIENT_CLOCK_WRITE,  /* write_timeout */
    CLIENT_CLOCK_LINGER, /* after our side was shut */
    CLIENT_CLOCK_NONE,   /* a stream waits, by its own word, or the app owes the answer */
    CLIENT_CLOCKS
};

/* All connections of one loop. */
struct clients {
    struct ev_loop *loop;
    struct web *web;
    struct ev_io *tickets; /* the box of answers that had been put off */
    struct ev_timer *more; /* runs when client_expire() has left some over */
    void (*on_idle)(void); /* one has become idle, and could make room for another; once for each
                              * time that wants_idle is set */
    bool wants_idle;
    void (*on_closed)(void); /* one connection less; may stop the loop */
    struct list clocks[CLIENT_CLOCKS];
    uint32_t counts[CLIENT_CLOCKS];    /* of those in each */
    uint64_t limits_us[CLIENT_CLOCKS]; /* 0: no limit */
    size_t n;                          /* open now */
    bool is_draining;
};

/* Lifetime of everything: until client_close_all(). Returns 0; -ENOMEM */
int client_init(struct clients *all, struct ev_loop *loop, struct web *web, void (*on_closed)(void),
                void (*on_idle)(void)) __attribute__((warn_unused_result));

/* Takes over an accepted, non-blocking socket, and serves it at once if its request is there.
 * address  as accept(2) gave it */
void client_open(struct clients *all, int fd, const struct sockaddr_storage *address);

/* Looks into the box, at once: somebody has just put something in. */
void client_take_tickets(struct clients *all);

/* Is there an idle connection, which could make room for a new one? */
bool client_has_idle(const struct clients *all);

/* Closes the one that has been idle longest, after one more look whether a request has come, which
 * is then answered: one idle connection less, and usually one connection. There must be one. */
void client_close_oldest_idle(struct clients *all);

/* Begins to drain: connections that wait for a request, be it their first or another, are kept for
 * so long from now on, then closed, after one more look whether one has come. The answers' part is
 * conn_env.is_draining.
 * window_us  ≥ 1 */
void client_drain(struct clients *all, uint64_t window_us);

/* Ends those whose clock has run out, so many at once; of more than that the loop does the rest by
 * itself, a part in each of its next turns. */
#define CLIENT_EXPIRE_MOST 128
void client_expire(struct clients *all);

/* A line for each, for a dump. clients: struct clients */
void client_tell_all(const void *clients, struct buf *out);

/* Closes all. Requests under way are cut, and logged.
 * why  what is said about them */
void client_close_all(struct clients *all, const char *why);

#endif
