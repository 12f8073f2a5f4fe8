/* Capabilities of this process (capabilities(7)). */
#ifndef REMUDA_WORKERS_CAPABILITIES_H
#define REMUDA_WORKERS_CAPABILITIES_H

#include <stdint.h>

struct err;

/* A bit for each capability, as in /proc/self/status. */
struct capabilities {
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
    uint64_t bounding;
    uint64_t ambient;
};

/* Takes everything out of the bounding set, so that no program that is executed gets any. Before
 * capabilities_clear(), since that gives up the right to do it.
 * Returns  0, also where there is no such right; -errno, *err */
int capabilities_unbind(struct err *err) __attribute__((warn_unused_result));

/* Gives all of them up for good, and reads back that they are gone.
 * Returns  0; -errno, *err */
int capabilities_clear(struct err *err) __attribute__((warn_unused_result));

/* Returns  0; -errno, *err */
int capabilities_read(struct capabilities *out, struct err *err)
    __attribute__((warn_unused_result));

#endif
