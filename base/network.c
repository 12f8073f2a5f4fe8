/* Networks as pairs of 64-bit words with masks, so that asking whether an address is in one is two
 * exclusive-ors, whatever the family; it is asked for every request that a proxy passes on.
 *
 * IPv4 and IPv6 stay apart: "::/0" is every IPv6 address and no IPv4 one, also when the latter
 * comes IPv4-mapped through a socket of both families. Who means everybody writes "*". */
#include "base/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/err.h"

#define MAPPED_PREFIX UINT64_C(0xffff) /* high half of low in ::ffff:a.b.c.d */
#define MAPPED_BITS 96

static uint64_t word_of(const unsigned char octets[8])
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word = word << 8 | octets[i];
    return word;
}

static struct network v4_of(const struct in_addr *address)
{
    return (struct network){.kind = NETWORK_V4, .low = ntohl(address->s_addr)};
}

static struct network v6_of(const struct in6_addr *address)
{
    return (struct network){.kind = NETWORK_V6,
                            .high = word_of(address->s6_addr),
                            .low = word_of(address->s6_addr + 8)};
}

static bool is_mapped(const struct network *address)
{
    return address->kind == NETWORK_V6 && address->high == 0 && address->low >> 32 == MAPPED_PREFIX;
}

static struct network address_of(const struct sockaddr *address)
{
    struct network out = {.kind = NETWORK_ANY};
    if (!address)
        return out;
    switch (address->sa_family) {
    case AF_INET:
        return v4_of(&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    case AF_INET6:
        out = v6_of(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
        if (is_mapped(&out))
            out = (struct network){.kind = NETWORK_V4, .low = (uint32_t)out.low};
        return out;
    case AF_UNIX:
        out.kind = NETWORK_UNIX;
        return out;
    default:
        return out;
    }
}

bool network_has(const struct network_list *list, const struct sockaddr *address)
{
    if (list->n == 0)
        return false;
    struct network at = address_of(address);
    for (size_t i = 0; i < list->n; i++) {
        const struct network *network = &list->items[i];
        if (network->kind == NETWORK_ANY)
            return true;
        if (network->kind == at.kind && (((network->high ^ at.high) & network->high_mask) |
                                         ((network->low ^ at.low) & network->low_mask)) == 0)
            return true;
    }
    return false;
}

/* The first n bits of 64; n may be below 0 and over 64. */
static uint64_t mask_of(int n)
{
    return n <= 0 ? 0 : n >= 64 ? UINT64_MAX : ~(UINT64_MAX >> n);
}

static void set_masks(struct network *network, unsigned bits)
{
    network->bits = bits;
    if (network->kind == NETWORK_V4) {
        network->low_mask = mask_of((int)bits + 32) & UINT32_MAX;
    } else {
        network->high_mask = mask_of((int)bits);
        network->low_mask = mask_of((int)bits - 64);
    }
}

static int parse_address(struct str text, struct network *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.p, '\0', text.len))
        return -EINVAL;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, &v4) == 1)
        *out = v4_of(&v4);
    else if (inet_pton(AF_INET6, copy, &v6) == 1)
        *out = v6_of(&v6);
    else
        return -EINVAL;
    return 0;
}

static int parse_bits(struct str text, unsigned most, unsigned *out_bits)
{
    uint64_t bits;
    if ((text.len > 1 && text.p[0] == '0') || str_parse_u64(text, most, &bits) < 0)
        return -EINVAL;
    *out_bits = (unsigned)bits;
    return 0;
}

/* Bits behind the prefix: says which network may be meant. */
static int refuse_host_bits(const struct network *network, struct err *err)
{
    struct network meant = *network;
    char text[NETWORK_TEXT_MAX];
    meant.high &= meant.high_mask;
    meant.low &= meant.low_mask;
    network_format(&meant, text);
    return err_set(err, EINVAL, "has bits set behind its first %u; the network is %s",
                   network->bits, text);
}

int network_parse(struct str text, struct network *out, struct err *err)
{
    struct network found = {.kind = NETWORK_ANY};
    const char *slash = text.len > 0 ? memchr(text.p, '/', text.len) : NULL;
    struct str address = str_make(text.p, slash ? (size_t)(slash - text.p) : text.len);
    if (text.len == 0)
        return err_set(err, EINVAL, "is empty; allowed: " NETWORK_FORMS);
    if (str_is_equal(text, STR("*")) || str_is_equal(text, STR("unix"))) {
        found.kind = text.p[0] == '*' ? NETWORK_ANY : NETWORK_UNIX;
        *out = found;
        return 0;
    }
    if (parse_address(address, &found) < 0)
        return err_set(err, EINVAL, "is no IP address or network; allowed: " NETWORK_FORMS);
    unsigned most = found.kind == NETWORK_V4 ? 32 : 128;
    unsigned bits = most;
    if (slash && parse_bits(str_make(slash + 1, text.len - address.len - 1), most, &bits) < 0)
        return err_set(err, EINVAL, "has no number from 0 to %u behind its slash", most);
    if (is_mapped(&found) && bits >= MAPPED_BITS) {
        found = (struct network){.kind = NETWORK_V4, .low = (uint32_t)found.low};
        bits -= MAPPED_BITS;
    }
    set_masks(&found, bits);
    if ((found.high & ~found.high_mask) | (found.low & ~found.low_mask))
        return refuse_host_bits(&found, err);
    *out = found;
    return 0;
}

static void put_address(const struct network *network, char out[INET6_ADDRSTRLEN])
{
    struct in_addr v4 = {.s_addr = htonl((uint32_t)network->low)};
    struct in6_addr v6;
    for (int i = 0; i < 8; i++) {
        v6.s6_addr[i] = (unsigned char)(network->high >> (56 - 8 * i));
        v6.s6_addr[8 + i] = (unsigned char)(network->low >> (56 - 8 * i));
    }
    if (network->kind == NETWORK_V4)
        (void)inet_ntop(AF_INET, &v4, out, INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN);
}

size_t network_format(const struct network *network, char out[NETWORK_TEXT_MAX])
{
    if (network->kind == NETWORK_ANY || network->kind == NETWORK_UNIX)
        return (size_t)snprintf(out, NETWORK_TEXT_MAX, "%s",
                                network->kind == NETWORK_ANY ? "*" : "unix");
    char address[INET6_ADDRSTRLEN];
    put_address(network, address);
    if (network->bits == (network->kind == NETWORK_V4 ? 32U : 128U))
        return (size_t)snprintf(out, NETWORK_TEXT_MAX, "%s", address);
    return (size_t)snprintf(out, NETWORK_TEXT_MAX, "%s/%u", address, network->bits);
}
