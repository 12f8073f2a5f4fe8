/* What a peer can make grow, and how far. Filled by workers from the settings. */
#ifndef REMUDA_HTTP_LIMITS_H
#define REMUDA_HTTP_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct http_limits {
    uint32_t request_line; /* bytes of the request line with its CRLF */
    uint32_t fields;       /* header fields, also trailer fields */
    uint32_t field_size;   /* bytes of one field line with its CRLF */
    uint32_t head;         /* bytes of the whole head */
    uint64_t body;         /* bytes of a body, decoded */
};

#endif
