/* The limit on open files, raised to what the configuration needs. */
#ifndef REMUDA_SERVER_NOFILE_H
#define REMUDA_SERVER_NOFILE_H

#include <stdint.h>

struct err;
struct settings;

/* Raises the soft limit of RLIMIT_NOFILE (and as root the hard one) to what a worker needs for
 * worker_connections and the master for its own. What can't be reached is an error under `strict`;
 * else a warning, and worker_connections becomes what fits.
 * n_master  descriptors that the master needs, without reserve
 * Returns   0; -EMFILE, *err names the limit and the need */
int nofile_raise(struct settings *settings, uint32_t n_master, struct err *err)
    __attribute__((warn_unused_result));

#endif
