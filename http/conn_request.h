/* The receiving half of the connection machine, for http/conn.c. */
#ifndef REMUDA_HTTP_CONN_REQUEST_H
#define REMUDA_HTTP_CONN_REQUEST_H

#include "http/conn.h"

/* Is the peer a proxy that is believed? Once for each peer, not for each of its requests. */
void conn_request_judge_peer(struct conn *c);

/* Puts an empty exchange to the connection's use: as a request of which nothing is known yet. */
void conn_request_begin(struct conn *c, struct exchange *ex);

/* Likewise, as a request that no connection has. */
void conn_request_begin_alone(struct conn_env *env, struct exchange *ex);

/* Is a body with a length read to where it stays, and is there room for more of it? */
bool conn_request_has_room(const struct conn *c);

/* Goes a step further with a request: one of the states up to CONN_AWAY.
 * Returns  whether it got anywhere */
bool conn_request_step(struct conn *c);

/* Where input goes when it can be read straight to its place; *out_room 0: memory is refused.
 * Returns  false when it is to be read into the loop's buffer */
bool conn_request_space(struct conn *c, char **out_space, size_t *out_room);

/* So many octets were read to that place. Returns false when they are in the loop's buffer */
bool conn_request_commit(struct conn *c, size_t n);

/* Does a request wait for its client's octets, whose time-out is worth a 408? */
bool conn_request_is_receiving(const struct conn *c);

#endif
