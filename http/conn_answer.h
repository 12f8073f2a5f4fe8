/* The answering half of the connection machine, for its other halves: http/conn.c and
 * http/conn_request.c. */
#ifndef REMUDA_HTTP_CONN_ANSWER_H
#define REMUDA_HTTP_CONN_ANSWER_H

#include "http/conn.h"

/* The answer in c->ex->res is known: puts it on the way. */
void conn_answer_give(struct conn *c);

/* Refuses a request: one answer, then the connection ends, because what follows can't be trusted to
 * be a request (RFC 9112 §2.2, §9.6).
 * reason  static text for the client; NULL: only the status */
void conn_answer_refuse(struct conn *c, int status, const char *reason);

/* Answers a well-formed request with an error page; the connection goes on. */
void conn_answer_error(struct conn *c, int status);

/* Answers 503 with Retry-After: there is no room for the request where it should run. */
void conn_answer_busy(struct conn *c);

/* The answer is on its way as a whole, or broken off. */
void conn_answer_finish(struct conn *c);

/* The exchange is over: the next request may come. */
void conn_answer_release(struct conn *c);

/* No memory even for an error: the connection ends, others go on. */
void conn_answer_give_up(struct conn *c);

/* Octets that follow are nobody's. */
void conn_answer_drop_input(struct conn *c);

#endif
