/* A connection machine (http/conn.h) on a socket that does not block: reading, writing, and looking
 * at what the client has taken. What web workers of every class do alike with a connection; when
 * they do it is their own. */
#ifndef REMUDA_WORKERS_TRANSFER_H
#define REMUDA_WORKERS_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "workers/web.h"

#define TRANSFER_LINGER_US (2 * CLOCK_US_PER_S) /* without an octet */
#define TRANSFER_LINGER_MAX_US                                                                     \
    (30 * CLOCK_US_PER_S)           /* whatever comes; a guess, as others have it \
                                                      */
#define TRANSFER_LOOKS_A_TIMEOUT 10 /* how often one who is sent an answer is asked */

struct transfer {
    struct conn conn;
    uint64_t blocked_us; /* since when it waits for the client to take its answer */
    uint64_t given;      /* octets handed to the kernel since then */
    uint64_t taken;      /* and those that the client has taken, at the last look */
    uint64_t moved_us;   /* when a look last found more of them */
    uint64_t looked_us;  /* when that was */
    int fd;
    int queued;     /* octets in the socket when it began to wait */
    bool is_tcp;    /* and not of a unix socket */
    bool is_filled; /* the last read took as much as it might: there may be more */
};

/* Takes over an accepted socket, and reads once: mostly the request is here already.
 * address  as accept(2) gave it */
void transfer_open(struct transfer *t, struct web *web, int fd,
                   const struct sockaddr_storage *address);

/* Ends it, with a reset where an orderly end would be taken for that of a broken answer. */
void transfer_close(struct transfer *t);

/* The socket is readable: one read, unless the machine waits and wants to hear only of an end.
 * Returns  whether something was left unread because of that */
bool transfer_read(struct transfer *t);

/* Processes and sends until there is nothing more to do now, and settles. conn_wait() follows. */
void transfer_turn(struct transfer *t);

/* Its time without a request is over: one more look whether there is one, so that a client that has
 * just sent it does not lose it. conn_wait() follows. */
void transfer_look_last(struct transfer *t);

/* From now on it waits for the client to take its answer. */
void transfer_begin_waiting(struct transfer *t);

/* Has the client taken enough of it, and lately? One system call. */
bool transfer_is_taking(struct transfer *t);

/* It has not: cut off, with a reset, so that the kernel does not try to deliver the rest for
 * minutes. */
void transfer_give_up(struct transfer *t);

#endif
