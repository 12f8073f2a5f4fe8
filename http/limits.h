/* What a peer can make grow or wait for, and how far. Filled by workers from the settings. */
#ifndef REMUDA_HTTP_LIMITS_H
#define REMUDA_HTTP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_limits {
    uint32_t request_line;  /* bytes of the request line with its CRLF */
    uint32_t fields;        /* header fields, also trailer fields */
    uint32_t field_size;    /* bytes of one field line with its CRLF */
    uint32_t head;          /* bytes of the whole head */
    uint64_t body;          /* bytes of a body, decoded */
    uint64_t body_buffer;   /* bytes of a body in memory; what is longer goes to a spool file */
    const char *spool_dir;  /* folder of spool files; NULL or "": memfds */
    uint64_t body_grace_us; /* body_min_rate counts from then on */
    uint32_t body_min_rate; /* bytes a second of a body, on the wire; 0: none */
    uint32_t pipelined;     /* requests of a connection answered before a write, 1 … */
    uint64_t answer_us;     /* what a handler that puts off its answer has; 0: no limit */
};

/* The settings' defaults, for whoever has no settings. */
#define LIMITS_DEFAULT                                                                             \
    {                                                                                              \
        .request_line = 8190, .fields = 100, .field_size = 8190, .head = 65536, .body = 16U << 20, \
        .body_buffer = 1U << 20, .body_grace_us = 30000000, .body_min_rate = 240,                  \
        .pipelined = 128, .answer_us = 60000000                                                    \
    }

/* Has a peer that should move min_rate bytes a second, after some grace, fallen behind? */
static inline bool limits_is_too_slow(uint64_t elapsed_us, uint64_t bytes, uint64_t grace_us,
                                      uint32_t min_rate)
{
    if (elapsed_us <= grace_us)
        return false;
    return (double)bytes < (double)(elapsed_us - grace_us) * 1e-6 * min_rate;
}

#endif
