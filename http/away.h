/* Exchanges that are away: the application's code for them runs on a thread that may block, while
 * the loop serves others.
 *
 * An errand is one call of it: filters and handler, a consumer, a ticket's callback, a producer. A
 * request that has one goes into CONN_AWAY; at the end of the turn, when none of its octets lie in
 * the loop's buffers any more, the exchange is sent (hooks.send). Then it belongs to whoever runs
 * the errand, as a whole but for the fields that the loop keeps for itself; it comes back by the
 * box, as a token (conn_on_ticket()). So there is no lock: one has it or the other.
 *
 * A client that leaves, and a request that takes too long, wait for nothing. What has not begun is
 * taken back (hooks.recall); what runs is let go of: it is an orphan, and when it comes back the
 * loop only frees it. For the client that still waits a second exchange with a copy of the head
 * takes its place. An orphan whose client has left has no more time than if it had stayed. */
#ifndef REMUDA_HTTP_AWAY_H
#define REMUDA_HTTP_AWAY_H

#include <stdbool.h>

#include "http/conn.h"

/* ---- the loop's side, for the connection machine ---- */

/* Sends the exchange of a connection in CONN_AWAY. Nothing of it may lie in the loop's buffers. */
void away_send(struct conn *c);

/* An exchange has come in.
 * Returns  the connection that waits for it; NULL: none did, it is freed */
struct conn *away_come_back(struct conn_env *env, struct exchange *ex);

/* Takes it back, if its errand has not begun. Returns whether it is here again */
bool away_recall(struct conn *c);

/* The connection ends while its exchange is away: c->ex is here again, or NULL. */
void away_let_go(struct conn *c);

/* Now and then: says of each orphan whose time is over that it is (hooks.overdue), once. */
void away_expire(struct conn_env *env);

/* The loop ends, and does not wait for the orphans that there still are: their requests end here
 * (hooks.finished, cut off), by copies, since the errands run on.
 * tell     called before with each that still runs: target, route, trace id, time may be read */
void away_abandon(struct conn_env *env, void (*tell)(void *owner, struct rmd_request *req));

/* The request's time is over while its errand runs: gives the connection another exchange for the
 * answer, with a copy of the head and without a body.
 * Returns  0; -ENOMEM: the connection has none */
int away_replace(struct conn *c) __attribute__((warn_unused_result));

/* What the producer has made goes behind what is in out.
 * Returns  as stream_produce() */
int away_take_made(struct exchange *ex, struct buf *out);

/* ---- the other side ---- */

/* ERRAND_PRODUCE: calls the producer until it waits, ends, or has written enough for one turn.
 * Safe     threads: whoever has the exchange */
void away_produce(struct exchange *ex);

/* The errand is done: the loop has the exchange again.
 * Safe     threads: whoever has it */
void away_turn_in(struct exchange *ex);

/* Likewise, but it could not be done (ERRAND_HANDLE): the client gets an error page.
 * status  an error's; 503: with Retry-After
 * why     for the server's own page: static text, or in the exchange's arena; NULL: only the
 *         status */
void away_fail(struct exchange *ex, int status, const char *why);

#endif
