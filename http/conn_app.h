/* The part of the connection machine in which the application has a request, for its other parts:
 * http/conn.c and http/conn_request.c. */
#ifndef REMUDA_HTTP_CONN_APP_H
#define REMUDA_HTTP_CONN_APP_H

#include "http/conn.h"

/* Calls the handler, here or elsewhere, and goes on with what it leaves behind. */
void conn_app_dispatch(struct conn *c);

/* Gives the consumer a piece of the body; an empty one says that it is complete. Afterwards the
 * request may be over. */
void conn_app_feed(struct conn *c, struct str piece);

/* Asks for the body, when the client waits to be asked (RFC 9110 §10.1.1).
 * Returns  false when there was no memory, and the connection is over */
bool conn_app_continue(struct conn *c);

/* The body's rate counts from now on. */
static inline void conn_app_start_body_clock(struct conn *c)
{
    c->ex->body_octets = 0;
    c->ex->body_started_us = c->env->now_us;
}

/* What is due of its code runs elsewhere: the exchange is sent at the end of the turn. */
void conn_app_send(struct conn *c, enum errand errand);

/* CONN_DEFERRED, CONN_AWAY: goes on when that for which it waits is there, or its time is over.
 * Returns  whether it got anywhere */
bool conn_app_step_deferred(struct conn *c);
bool conn_app_step_away(struct conn *c);

#endif
