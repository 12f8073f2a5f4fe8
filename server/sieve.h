/* Keeping new connections out of a listening socket, while those under way still arrive. */
#ifndef REMUDA_SERVER_SIEVE_H
#define REMUDA_SERVER_SIEVE_H

#include <stdbool.h>

/* Has the kernel drop the first packet of each new connection to a TCP socket; a unix socket is
 * shut, which refuses connects and leaves its queue. What is done to a socket is done to all copies
 * of it.
 * Returns  0; -errno */
int sieve_refuse_new(int fd, bool is_tcp) __attribute__((warn_unused_result));

#endif
