/* IP networks, as lists of whom to trust are written: "*", "unix", "127.0.0.1", "10.0.0.0/8",
 * "fd00::/8". Plain values: a list is an array of them that its owner keeps. */
#ifndef REMUDA_BASE_NETWORK_H
#define REMUDA_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct err;
struct sockaddr;

#define NETWORK_FORMS "*, unix, or IP networks such as 127.0.0.1, 10.0.0.0/8, ::1, fd00::/8"

enum network_kind {
    NETWORK_ANY,  /* "*": every peer, whatever its family */
    NETWORK_UNIX, /* "unix": peers of unix sockets */
    NETWORK_V4,
    NETWORK_V6,
};

/* Numbers are in host order; an IPv4 address stands in the last 32 bits of low. */
struct network {
    uint64_t high, low;
    uint64_t high_mask, low_mask; /* bits that count; the others are 0 in high and low */
    enum network_kind kind;
    unsigned bits; /* of the prefix, 0 … 32 or 128 */
};

struct network_list {
    const struct network *items; /* n of them; may be NULL when n is 0 */
    size_t n;
};

/* Reads one network. Names, scopes ("fe80::1%eth0") and blanks are refused, and so are bits that
 * are set behind the prefix, since one of the two numbers must be wrong. An IPv4-mapped network of
 * at least 96 bits ("::ffff:10.0.0.0/104") is the IPv4 network in it.
 * Returns  0; -EINVAL, *err (may be NULL) says what is wrong, without the text itself */
int network_parse(struct str text, struct network *out, struct err *err)
    __attribute__((warn_unused_result));

/* Is the peer in one of the networks? IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2) are IPv4
 * addresses here. Addresses of other families, and NULL, match "*" only. Some ten instructions a
 * network; an empty list costs one compare.
 * Safe  anywhere */
bool network_has(const struct network_list *list, const struct sockaddr *address);

/* Canonical text, which network_parse() reads as the same: no "/32" or "/128" behind addresses.
 * Returns  its length; out is NUL-terminated */
#define NETWORK_TEXT_MAX 56
size_t network_format(const struct network *network, char out[NETWORK_TEXT_MAX]);

#endif
