/* One element of Forwarded (RFC 7239 §4) or of X-Forwarded-For. */
#ifndef REMUDA_HTTP_FORWARDED_ELEMENT_H
#define REMUDA_HTTP_FORWARDED_ELEMENT_H

#include "base/str.h"
#include "http/forwarded.h"

/* What an element says of who sent the request to its writer. */
enum forwarded_node {
    FORWARDED_NODE_ADDRESS,
    FORWARDED_NODE_HIDDEN, /* "unknown", or obfuscated ("_name") */
    FORWARDED_NODE_NONE,   /* nothing: there is no for= */
    FORWARDED_NODE_BAD     /* the element is malformed, and nothing of it is set */
};

struct forwarded_element {
    enum forwarded_node node;
    struct peer named;          /* of FORWARDED_NODE_ADDRESS; port 0 when no number was given */
    struct str host;            /* a valid host, a view into the element; else empty */
    enum forwarded_proto proto; /* of proto=http and proto=https; else UNKNOWN */
};

/* Reads one element of Forwarded: parameters in any order and case, none of for, by, host and proto
 * twice. text: without blanks around it, not empty */
void forwarded_element_read(struct str text, struct forwarded_element *out);

/* Reads one address of X-Forwarded-For: with a port, in brackets, or a bare IPv6 address; "unknown"
 * too. text: without blanks around it, not empty */
void forwarded_element_read_x(struct str text, struct forwarded_element *out);

#endif
