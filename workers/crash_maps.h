/* Which shared object each frame of a backtrace is in, read from /proc/self/maps within a signal
 * handler: no memory is allocated, no lock taken, nothing but plain reading done. */
#ifndef REMUDA_WORKERS_CRASH_MAPS_H
#define REMUDA_WORKERS_CRASH_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/remains.h"

#define CRASH_MAPS_LINE_MAX 512

struct crash_maps {
    struct remains *remains; /* its frames get their modules */
    bool has_memory;         /* the mappings are this process's: build ids are read out of them */
    char line[CRASH_MAPS_LINE_MAX];
    size_t len;                     /* of line so far */
    char path[CRASH_MAPS_LINE_MAX]; /* of the object whose mappings these are; "" none */
    uint64_t base;                  /* its first mapping, */
    uint64_t base_end;              /* and the end of that */
    uint16_t module;                /* its index in remains; REMAINS_NO_MODULE: no frame yet */
};

/* remains: frames are there, modules get counted from 0 */
void crash_maps_init(struct crash_maps *maps, struct remains *remains, bool has_memory);

/* The next octets of the file, cut anywhere. */
void crash_maps_feed(struct crash_maps *maps, const char *data, size_t len);

/* The GNU build id of an object of which `len` octets are mapped at `base`.
 * Returns  its length, at most REMAINS_BUILD_ID_MAX; 0: none there */
size_t crash_maps_build_id(const unsigned char *base, size_t len,
                           unsigned char out[REMAINS_BUILD_ID_MAX]);

#endif
