/* Where a compute worker maps bodies that come as spool files. The addresses for the largest one
 * are taken when the worker begins, before memory_limit is set: so a body does not count as memory
 * of the handler's, and a limit below its size does not refuse it. */
#ifndef REMUDA_WORKERS_COMPUTE_SPOOL_H
#define REMUDA_WORKERS_COMPUTE_SPOOL_H

#include <stdint.h>

#include "base/str.h"

struct compute_spool {
    char *base;     /* addresses without memory; NULL: none could be had */
    uint64_t bytes; /* of them */
    struct str mapped;
};

/* bytes    of the largest body that may come; 0: none. Refused addresses are no failure: then files
 *          are mapped elsewhere, within the limit */
void compute_spool_open(struct compute_spool *spool, uint64_t bytes);

/* Maps a file for reading, one at a time.
 * Returns  0; -ENOMEM; -EMSGSIZE it is larger than any was expected to be, and memory_limit leaves
 *          no room for that */
int compute_spool_map(struct compute_spool *spool, int fd, uint64_t len, struct str *out_octets)
    __attribute__((warn_unused_result));

/* It is not needed any more. Nothing mapped: fine */
void compute_spool_unmap(struct compute_spool *spool);

#endif
