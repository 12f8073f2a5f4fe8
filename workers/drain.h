/* What web workers of every class agree on when they drain: how long for what, and what is said
 * about requests that do not end in time. docs/drain.md tells the whole, with the reasons. */
#ifndef REMUDA_WORKERS_DRAIN_H
#define REMUDA_WORKERS_DRAIN_H

#include <stdint.h>
#include <sys/socket.h>

struct conn;
struct settings;

/* A stop: how long a socket is still watched, although its queue is empty. Connects whose first
 * packet came before the kernel was told to drop them (server/listen.h) arrive within a round trip:
 * this covers those of clients that are at most so far away. */
#define DRAIN_LAST_LOOK_US UINT64_C(100000)

/* How long an idle connection is kept for one more request: drain_keepalive, but at most half of
 * graceful_timeout, so that a request that comes at its end has the other half. In µs, ≥ 1 */
uint64_t drain_last_chance_us(const struct settings *settings);

/* From the word to drain until what remains is cut: graceful_timeout less a moment, in which the
 * worker says what it cuts before the master, whose clock is graceful_timeout, kills it. In µs */
uint64_t drain_cut_us(const struct settings *settings);

/* For a connection that was accepted in a drain: its listening socket may be behind a sieve
 * (refuse_far() in server/listen.c), which its connections inherit. */
void drain_lift_sieve(int fd, sa_family_t family);

/* A connection is about to be closed by force: a line for the request that loses its answer by
 * that, or the rest of it; none when nobody loses anything.
 * why  a setting or an event, for the log */
void drain_log_cut(struct conn *c, uint64_t now_us, const char *why);

#endif
