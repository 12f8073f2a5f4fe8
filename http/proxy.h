/* The PROXY protocol, versions 1 and 2 (haproxy, doc/proxy-protocol.txt, sections 2.1 and 2.2):
 * what a load balancer puts in front of a connection to say whose connection it is. No sockets:
 * octets in, addresses out.
 *
 * A receiver must never guess whether there is a header (section 2): where it is switched on for a
 * peer, a connection that does not begin with one is refused. And it must be read by itself, before
 * anything else of the connection is looked at. */
#ifndef REMUDA_HTTP_PROXY_H
#define REMUDA_HTTP_PROXY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "base/str.h"

#define PROXY_V1_MAX 107 /* octets of a version 1 header with its CRLF, by the specification */
#define PROXY_BLOCK_MAX                                                                            \
    4096 /* octets behind the first 16 of a version 2 header; guess: TLS details
                                of haproxy and unique ids stay below 1 KiB */
#define PROXY_HEADER_MAX (16 + PROXY_BLOCK_MAX) /* what a buffer must hold at least */

enum proxy_version { PROXY_VERSION_1, PROXY_VERSION_2, PROXY_VERSION_ANY };

enum proxy_outcome {
    PROXY_MORE, /* so far it is a header, but not all of it is there */
    PROXY_DONE,
    PROXY_BAD /* no header, or not one that is allowed: the connection is to be closed */
};

union proxy_address {
    struct sockaddr any; /* sa_family: AF_INET, AF_INET6 or AF_UNIX */
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local; /* sun_path as sent: 108 octets, maybe without a NUL */
};

struct proxy_result {
    size_t used;                     /* octets of the header; what follows belongs to HTTP */
    bool is_local;                   /* keep the socket's own addresses: LOCAL (a health check of
                                         the balancer itself), UNKNOWN, or family unspecified */
    union proxy_address source;      /* who connected to the balancer; zeroed when is_local */
    union proxy_address destination; /* and where */
    const char *reason;              /* PROXY_BAD: static text; else NULL */
};

/* Reads the header at the start of a connection. May be called again with more octets, always from
 * the first one; however it is cut, the outcome is the same. A peer that does not send a header at
 * all is refused at the first octet that says so.
 * octets   all that there are, from the first of the connection; more than PROXY_HEADER_MAX never
 *          gives PROXY_MORE
 * wanted   PROXY_VERSION_ANY: whichever the first octet says
 * Returns  PROXY_DONE: *out is filled; PROXY_BAD: out->reason is, the rest is as before;
 *          PROXY_MORE: *out is as before */
enum proxy_outcome proxy_parse(struct str octets, enum proxy_version wanted,
                               struct proxy_result *out) __attribute__((warn_unused_result));

#endif
