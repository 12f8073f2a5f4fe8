/* Fuzz target: PROXY headers. The first octet says which version is wanted, the others are the
 * connection's.
 *
 * However they are cut, the outcome is the same; what is used lies within the octets and within the
 * bounds; what follows a header changes nothing. And the addresses of one that was read, rendered
 * as headers of both versions, are read back. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "http/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    enum proxy_outcome outcome;
    struct proxy_result result; /* zeroed when there is none */
};

static struct reading read_header(const char *octets, size_t len, enum proxy_version wanted)
{
    struct reading reading;
    memset(&reading, 0, sizeof reading);
    char *exact = malloc(len + (len == 0)); /* so that the sanitizer sees an octet too far */
    RMD_ASSERT(exact);
    if (len > 0)
        memcpy(exact, octets, len);
    reading.outcome = proxy_parse(str_make(exact, len), wanted, &reading.result);
    free(exact);
    RMD_ASSERT((reading.result.reason != NULL) == (reading.outcome == PROXY_BAD));
    RMD_ASSERT(reading.outcome == PROXY_DONE || reading.result.used == 0);
    RMD_ASSERT(reading.result.used <= len && reading.result.used <= PROXY_HEADER_MAX);
    RMD_ASSERT(reading.outcome != PROXY_MORE || len < PROXY_HEADER_MAX);
    RMD_ASSERT(reading.outcome != PROXY_MORE || wanted != PROXY_VERSION_1 || len < PROXY_V1_MAX);
    return reading;
}

static bool is_same_address(const union proxy_address *a, const union proxy_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    switch (a->any.sa_family) {
    case AF_INET:
        return a->v4.sin_port == b->v4.sin_port &&
               memcmp(&a->v4.sin_addr, &b->v4.sin_addr, sizeof a->v4.sin_addr) == 0;
    case AF_INET6:
        return a->v6.sin6_port == b->v6.sin6_port &&
               memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
    case AF_UNIX:
        return memcmp(a->local.sun_path, b->local.sun_path, sizeof a->local.sun_path) == 0;
    default:
        return true;
    }
}

static bool is_same(const struct reading *a, const struct reading *b)
{
    return a->outcome == b->outcome && a->result.used == b->result.used &&
           a->result.is_local == b->result.is_local && a->result.reason == b->result.reason &&
           is_same_address(&a->result.source, &b->result.source) &&
           is_same_address(&a->result.destination, &b->result.destination);
}

/* ---- rendering ---- */

static uint32_t crc_of(const char *octets, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)octets[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT32_C(0x82f63b78) : crc >> 1;
    }
    return ~crc;
}

static size_t put(char *out, size_t at, const void *octets, size_t len)
{
    memcpy(out + at, octets, len);
    return at + len;
}

static size_t render_v1(char out[256], const struct proxy_result *r)
{
    char source[INET6_ADDRSTRLEN];
    char destination[INET6_ADDRSTRLEN];
    bool is_v4 = r->source.any.sa_family == AF_INET;
    const void *from = is_v4 ? (const void *)&r->source.v4.sin_addr : &r->source.v6.sin6_addr;
    const void *to =
        is_v4 ? (const void *)&r->destination.v4.sin_addr : &r->destination.v6.sin6_addr;
    int family = r->source.any.sa_family;
    RMD_ASSERT(inet_ntop(family, from, source, sizeof source));
    RMD_ASSERT(inet_ntop(family, to, destination, sizeof destination));
    int n = snprintf(out, 256, "PROXY TCP%c %s %s %u %u\r\n", is_v4 ? '4' : '6', source,
                     destination, ntohs(is_v4 ? r->source.v4.sin_port : r->source.v6.sin6_port),
                     ntohs(is_v4 ? r->destination.v4.sin_port : r->destination.v6.sin6_port));
    RMD_ASSERT(n > 0 && n <= PROXY_V1_MAX);
    return (size_t)n;
}

/* With a checksum in front of another TLV. */
static size_t render_v2(char out[512], const struct proxy_result *r)
{
    size_t at = put(out, 0, "\r\n\r\n\0\r\nQUIT\n\x21", 13);
    switch (r->source.any.sa_family) {
    case AF_INET:
        at = put(out, at, "\x11\0\0", 3);
        at = put(out, at, &r->source.v4.sin_addr, 4);
        at = put(out, at, &r->destination.v4.sin_addr, 4);
        at = put(out, at, &r->source.v4.sin_port, 2);
        at = put(out, at, &r->destination.v4.sin_port, 2);
        break;
    case AF_INET6:
        at = put(out, at, "\x21\0\0", 3);
        at = put(out, at, &r->source.v6.sin6_addr, 16);
        at = put(out, at, &r->destination.v6.sin6_addr, 16);
        at = put(out, at, &r->source.v6.sin6_port, 2);
        at = put(out, at, &r->destination.v6.sin6_port, 2);
        break;
    default:
        at = put(out, at, "\x31\0\0", 3);
        at = put(out, at, r->source.local.sun_path, 108);
        at = put(out, at, r->destination.local.sun_path, 108);
        break;
    }
    size_t sum_at = at + 3;
    at = put(out, at, "\x03\0\4\0\0\0\0\x04\0\2xy", 12);
    uint16_t len = htons((uint16_t)(at - 16));
    memcpy(out + 14, &len, 2);
    uint32_t sum = htonl(crc_of(out, at));
    memcpy(out + sum_at, &sum, 4);
    return at;
}

static void check_read_back(const struct reading *first, const char *octets, size_t len,
                            enum proxy_version version)
{
    for (int i = 0; i < 2; i++) {
        struct reading again = read_header(octets, len, i ? version : PROXY_VERSION_ANY);
        RMD_ASSERT(again.outcome == PROXY_DONE && again.result.used == len);
        RMD_ASSERT(is_same_address(&first->result.source, &again.result.source));
        RMD_ASSERT(is_same_address(&first->result.destination, &again.result.destination));
    }
}

static void check_rendered(const struct reading *first)
{
    char octets[512];
    sa_family_t family = first->result.source.any.sa_family;
    RMD_ASSERT(family == first->result.destination.any.sa_family);
    if (first->result.is_local) {
        RMD_ASSERT(family == AF_UNSPEC);
        return;
    }
    size_t len = render_v2(octets, &first->result);
    check_read_back(first, octets, len, PROXY_VERSION_2);
    octets[len - 1] ^= 1; /* and not when an octet is another */
    RMD_ASSERT(read_header(octets, len, PROXY_VERSION_2).outcome == PROXY_BAD);
    if (family == AF_UNIX)
        return;
    len = render_v1(octets, &first->result);
    check_read_back(first, octets, len, PROXY_VERSION_1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 6000)
        return 0;
    static const enum proxy_version versions[] = {PROXY_VERSION_1, PROXY_VERSION_2,
                                                  PROXY_VERSION_ANY};
    enum proxy_version wanted = versions[data[0] % 3];
    const char *octets = (const char *)data + 1;
    size_t len = size - 1;
    struct reading whole = read_header(octets, len, wanted);
    for (size_t cut = 0; cut < len; cut += cut < 300 ? 1 : 97) {
        struct reading part = read_header(octets, cut, wanted);
        RMD_ASSERT(part.outcome == PROXY_MORE || is_same(&part, &whole));
        RMD_ASSERT(whole.outcome != PROXY_DONE ||
                   (part.outcome == PROXY_MORE) == (cut < whole.result.used));
    }
    if (whole.outcome != PROXY_DONE)
        return 0;
    struct reading alone = read_header(octets, whole.result.used, wanted);
    RMD_ASSERT(is_same(&alone, &whole));
    check_rendered(&whole);
    return 0;
}
