/* The connection state machine of HTTP/1.1: octets in, handler calls and octets out. No sockets, no
 * clock, no loop: the event worker, unit tests, `remuda call` and fuzzers drive the same code.
 *
 * A turn, as its driver sees it:
 *     conn_input_space(c, &space, &room);   read into it
 *     conn_on_input(c, n);                  or conn_on_eof(c)
 *     do {
 *         conn_process(c);                  parses, calls handlers, appends answers
 *         conn_output(c, iov) … write … conn_output_sent(c, n)
 *         conn_output_file(c, &file) … sendfile … conn_output_sent(c, n)
 *     } while (everything was sent and (conn_can_go_on(c), or
 *              conn_has_room_for_body(c) and conn_on_input() again));
 *     conn_settle(c);                       keeps what must outlive the turn
 *     conn_wait(c)                          says what to wait for
 *
 * All complete requests of one read are answered before one write. What a connection needs only
 * while a request is in it (exchange: parser, fields, arena, buffers) belongs to the loop's pool;
 * an idle connection has none. Input and output buffers belong to the loop too, and serve one
 * connection between conn_on_input() and conn_settle(): a driver finishes one turn before it starts
 * another. */
#ifndef REMUDA_HTTP_CONN_H
#define REMUDA_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "http/conn_env.h"
#include "http/exchange.h"
#include "http/limits.h"
#include "http/request.h"
#include "http/response.h"

enum conn_state {
    CONN_PROXY,    /* its PROXY protocol header is to come */
    CONN_IDLE,     /* between requests */
    CONN_HEAD,     /* a head has begun */
    CONN_LENGTH,   /* a body of known length */
    CONN_CHUNKED,  /* a chunked body */
    CONN_SENDING,  /* a body is sent from where it lies */
    CONN_STREAM,   /* a producer writes the body */
    CONN_DEFERRED, /* the application owes the answer */
    CONN_AWAY,     /* its code runs elsewhere: http/away.h */
    CONN_CLOSING,  /* the last answer is being sent */
    CONN_LINGER,   /* our side is shut; reading until the client has read it all */
    CONN_CLOSED,
    CONN_STATES
};
extern const char *const conn_state_names[CONN_STATES];

/* What the driver has to wait for. Each has a clock of its own. */
enum conn_wait {
    CONN_WAIT_REQUEST, /* readable; keepalive */
    CONN_WAIT_HEAD,    /* readable; header_timeout since the first octet */
    CONN_WAIT_BODY,    /* readable; body_timeout since the last octet */
    CONN_WAIT_WRITE,   /* writable; write_timeout since the last octet */
    CONN_WAIT_TIMER,   /* resume_us, or a ticket; nothing else */
    CONN_WAIT_LINGER,  /* shutdown(SHUT_WR) done once; readable; a short clock */
    CONN_WAIT_CLOSE    /* nothing: close it */
};

struct conn {
    struct conn_env *env;
    struct exchange *ex; /* NULL while idle */
    struct buf pending;  /* input behind a request whose answer is under way */
    struct buf out;      /* output that did not fit the socket; empty when all was sent */
    size_t out_sent;     /* of out */
    uint64_t resume_us;  /* CONN_STREAM: when the producer wants to go on; CONN_DEFERRED and
                          * CONN_AWAY: when patience ends, CONN_NEVER_US: never */
    struct peer peer;    /* after a PROXY protocol header: whom that names */
    uint32_t n_requests;
    uint8_t state;      /* enum conn_state */
    bool has_cr;        /* a CR of an empty line before a request was taken */
    bool is_keep_alive; /* after the answer under way */
    bool is_lingering;  /* the client may still be sending: linger instead of close */
    bool is_paused;     /* gave the loop to others; goes on when writable */
    bool is_open_ended; /* the end of the connection is the end of its last answer */
    bool is_trusted;    /* the peer is a proxy that is believed what it says about its client */
    bool is_broken;     /* the answer was broken off, which the client must not take for its end */
    uint8_t n_empty_lines;
};

#define CONN_NEVER_US UINT64_MAX

/* A stretch of a file that is to be sent. */
struct conn_file {
    int fd; /* borrowed */
    off_t offset;
    size_t len; /* ≥ 1 */
};

/* peer  whom accept(2) named */
void conn_init(struct conn *c, struct conn_env *env, const struct peer *peer);

/* Ends everything at once: pays what is owed to producers and bodies, gives all memory back. */
void conn_fini(struct conn *c);

/* Where the next read goes. room ≥ 1 except when memory is refused: then 0 and the connection is to
 * be closed. */
void conn_input_space(struct conn *c, char **out_space, size_t *out_room);
void conn_on_input(struct conn *c, size_t n);
void conn_on_eof(struct conn *c);

/* Goes as far as input and output room allow. */
void conn_process(struct conn *c);

/* Output to send, in order, out of memory. iov has room for 2. Returns how many; 0: nothing */
int conn_output(struct conn *c, struct iovec *iov);

/* Does more output follow behind that of conn_output(), out of a file? */
bool conn_output_has_file(const struct conn *c);

/* Output to send when there is none out of memory. Returns false when there is none here either */
bool conn_output_file(const struct conn *c, struct conn_file *out_file);

/* Octets of either were sent. */
void conn_output_sent(struct conn *c, size_t n);

/* Has all output there was been sent? */
static inline bool conn_is_sent(const struct conn *c)
{
    return c->out.len == 0 && c->env->out.len == 0 && c->state != CONN_SENDING;
}

/* A ticket came in, or an exchange that was away (deferred_take()).
 * Returns  the connection that waits for it, for which a turn follows; NULL: none does */
struct conn *conn_on_ticket(struct conn_env *env, struct rmd_deferred *d);

/* Is there more to do now, without waiting? */
bool conn_can_go_on(const struct conn *c);

/* Does it want more of a body, which will be read to where it stays? Then another read may follow
 * in the same turn, and conn_process() behind it, as behind all input: what is complete would else
 * wait for more. */
bool conn_has_room_for_body(const struct conn *c);

/* Ends a turn. */
void conn_settle(struct conn *c);

/* For a driver that finds input unread on a connection that ended with this turn: closing it now
 * would reset what the client has not read yet, so it lingers. */
void conn_linger(struct conn *c);

enum conn_wait conn_wait(const struct conn *c);

/* The clock of what it waits for has run out: answers 408 or just closes. A turn follows. */
void conn_on_timeout(struct conn *c);

#endif
