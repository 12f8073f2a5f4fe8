/* The limit on open files, raised to what the configuration needs. */
#ifndef REMUDA_SERVER_NOFILE_H
#define REMUDA_SERVER_NOFILE_H

#include <stdint.h>

struct err;
struct settings;

/* Raises the soft limit of RLIMIT_NOFILE (as root the hard one, too), which children inherit. A
 * worker needs a descriptor for each of worker_connections, one for each listening socket that it
 * may have to watch, and some for itself and the app; as many as connections again are wanted for
 * bodies in spool files and files that are being sent, since without one such a request fails; one
 * for each thread of the io lane; and as many as tasks that wait carry (pools_count_in_flight()).
 * What is needed and can't be had is an error under `strict` or when next to nothing is left; else
 * it is a warning, and worker_connections becomes what fits.
 * n_master  descriptors that the master needs, without reserve
 * Returns   0; -EMFILE, *err names the limit and the need */
int nofile_raise(struct settings *settings, uint32_t n_master, struct err *err)
    __attribute__((warn_unused_result));

/* What the configuration needs, of a worker, and what is wanted beside, for files and tasks. */
void nofile_count(const struct settings *settings, uint64_t *out_needed, uint64_t *out_wanted);

#endif
