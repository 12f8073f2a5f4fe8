/* HTTP as a test speaks it: octets on a socket, sent whole or in pieces, and answers that are taken
 * apart strictly (RFC 9112 framing), so that an answer that only a lenient client would understand
 * fails the test. All calls that wait have a deadline and fail the test when it passes. */
#ifndef REMUDA_TESTS_HARNESS_CLIENT_H
#define REMUDA_TESTS_HARNESS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tests/harness/server.h"

struct client {
    int fd;        /* -1: closed */
    struct buf in; /* received and not yet taken; a NUL follows */
};

/* One answer; belongs to who called client_read(), reused by the next one with the same struct. */
struct reply {
    int status;
    struct buf head; /* status line and fields, NUL-terminated, without the empty line */
    struct buf body; /* decoded, NUL-terminated */
    bool is_chunked;
    bool is_closing; /* the server said or meant that it closes the connection */
    unsigned chunks; /* how many, without the last */
};

/* ---- Connections: closed by client_close() or at the test's end ---- */

/* Connects to an address as in the log: "http://127.0.0.1:80", "http://[::1]:80", "unix:/path";
 * the wildcard addresses mean the loopback ones. Never returns NULL. */
struct client *client_open(const char *address);

/* To the first address of a server. */
struct client *client_to(const struct server *s);

/* Tries to connect. Returns 0, connected and closed again; -errno */
int client_try(const char *address);

void client_close(struct client *c);

/* Closes with a reset instead of an orderly end. */
void client_abort(struct client *c);

/* Says that nothing more will be sent. */
void client_shutdown(struct client *c);

/* Makes the receive buffer small, for clients that read slowly: large enough for one segment of the
 * loopback, since below that the kernel sends crumbs on a timer. */
void client_shrink(struct client *c);

/* Closes all that are still open: server_teardown() calls it. */
void client_close_all(void);

/* ---- Sending ---- */

/* Returns true when all of it was taken; false when the peer has closed. */
bool client_send(struct client *c, const void *data, size_t len);
void client_send_text(struct client *c, const char *text);

/* In pieces of at most `piece` octets, each a segment of its own. */
bool client_send_pieces(struct client *c, const void *data, size_t len, size_t piece);

/* Waits until the server has read all that was sent: what is sent next it reads apart from that.
 * Unix sockets only. Without effect when the server has closed. */
void client_wait_taken(struct client *c);

/* ---- Receiving ---- */

void reply_init(struct reply *r);
void reply_fini(struct reply *r);

/* Reads one whole answer. Fails the test when it is malformed or doesn't come.
 * is_head  it answers a HEAD: no body follows, whatever the fields say */
void client_read(struct client *c, struct reply *r, bool is_head);

/* As client_read(), only its head; the body follows in c->in, still encoded. */
void client_read_head(struct client *c, struct reply *r);

/* Waits until `len` octets lie in c->in. */
void client_read_raw(struct client *c, size_t len);

/* Reads one line with its LF into out, NUL-terminated. */
void client_read_line(struct client *c, char *out, size_t cap);

/* Waits until something has come, without taking it.
 * Returns  false when the connection closed first */
bool client_wait(struct client *c);

/* Waits until the server closes the connection. Fails the test when anything else comes first. */
void client_expect_close(struct client *c);

/* Waits until the server closes the connection; all that it sent lies in c->in then. */
void client_read_all(struct client *c);

/* Whether the server has closed or answered anything until now: never waits. */
bool client_is_quiet(struct client *c);

/* Value of a field of the answer, names without case; NULL when absent; fails the test when it is
 * there twice. Static text, valid until the next call. */
const char *reply_field(const struct reply *r, const char *name);

/* ---- Whole exchanges ---- */

/* Sends a request and reads the answer, on a connection that stays open.
 * request  complete octets as text; "HEAD " in front is noticed */
void client_exchange(struct client *c, struct reply *r, const char *request);

/* GET with Host on a connection of its own, checked to be of the status given.
 * Returns  the body, to be freed */
char *client_get(const struct server *s, const char *target, int status);

#endif
