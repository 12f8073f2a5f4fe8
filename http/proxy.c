/* Both versions are read in the order of their octets, and each octet is judged by those in front
 * of it only. So the outcome does not depend on how the header is cut, and a peer that speaks
 * something else is told apart at its first octet instead of being waited for.
 *
 * Version 1 is text for people, and other receivers have been lenient with it; here a line has
 * exactly one spelling of its numbers and blanks. Version 2 has lengths inside lengths: all of them
 * must fit exactly. Of its TLVs only the checksum is looked at. */
#include "http/proxy.h"

#include <arpa/inet.h>
#include <stdint.h>

#define V1_START STR("PROXY ")
#define V2_SIGNATURE STR("\r\n\r\n\0\r\nQUIT\n")
#define V2_FIXED 16      /* octets: signature, version and command, family, length */
#define V2_UNIX_PATH 108 /* octets of each address, whatever sun_path is here */
#define TLV_CRC32C 0x03

_Static_assert(sizeof((struct sockaddr_un *)0)->sun_path >= V2_UNIX_PATH, "unix(7)");

static enum proxy_outcome refuse(struct proxy_result *out, const char *reason)
{
    out->reason = reason;
    return PROXY_BAD;
}

/* Is one of the two the beginning of the other? */
static bool is_same_start(struct str octets, struct str expected)
{
    size_t len = octets.len < expected.len ? octets.len : expected.len;
    return memcmp(octets.p, expected.p, len) == 0;
}

/* ---- Version 1 ---- */

/* Finds the line's CRLF; *out_len is its length without it. */
static enum proxy_outcome find_line(struct str octets, size_t *out_len, struct proxy_result *out)
{
    for (size_t i = V1_START.len; i + 2 <= PROXY_V1_MAX; i++) {
        if (i >= octets.len)
            return PROXY_MORE;
        char c = octets.p[i];
        if (c == '\n')
            return refuse(out, "PROXY line with a bare LF");
        if (c != '\r')
            continue;
        if (i + 1 == octets.len)
            return PROXY_MORE;
        if (octets.p[i + 1] != '\n')
            return refuse(out, "PROXY line with a bare CR");
        *out_len = i;
        return PROXY_DONE;
    }
    return refuse(out, "PROXY line longer than 107 octets");
}

/* Cuts off what stands in front of the next blank. False: there is none */
static bool next_word(struct str *rest, struct str *out_word)
{
    const char *blank = memchr(rest->p, ' ', rest->len);
    if (!blank)
        return false;
    *out_word = str_make(rest->p, (size_t)(blank - rest->p));
    *rest = str_make(blank + 1, rest->len - out_word->len - 1);
    return true;
}

static bool read_port(struct str text, in_port_t *out_port)
{
    uint64_t port;
    if ((text.len > 1 && text.p[0] == '0') || str_parse_u64(text, 65535, &port) < 0)
        return false;
    *out_port = htons((uint16_t)port);
    return true;
}

static bool read_address(int family, struct str text, struct str port, union proxy_address *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len >= sizeof copy || memchr(text.p, '\0', text.len))
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    out->any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        return inet_pton(AF_INET, copy, &out->v4.sin_addr) == 1 &&
               read_port(port, &out->v4.sin_port);
    return inet_pton(AF_INET6, copy, &out->v6.sin6_addr) == 1 &&
           read_port(port, &out->v6.sin6_port);
}

/* "TCP4 192.0.2.1 192.0.2.2 4711 80" */
static enum proxy_outcome read_line(struct str line, struct proxy_result *out)
{
    struct proxy_result found = {.used = V1_START.len + line.len + 2};
    struct str protocol, source, destination, source_port;
    /* "UNKNOWN" may be followed by anything, which says nothing (section 2.1). */
    if (str_is_equal(line, STR("UNKNOWN")) || str_has_prefix(line, STR("UNKNOWN "))) {
        found.is_local = true;
        *out = found;
        return PROXY_DONE;
    }
    if (!next_word(&line, &protocol))
        return refuse(out, "PROXY line that is not of TCP4, TCP6 or UNKNOWN");
    bool is_v4 = str_is_equal(protocol, STR("TCP4"));
    if (!is_v4 && !str_is_equal(protocol, STR("TCP6")))
        return refuse(out, "PROXY line that is not of TCP4, TCP6 or UNKNOWN");
    if (!next_word(&line, &source) || !next_word(&line, &destination) ||
        !next_word(&line, &source_port))
        return refuse(out, "PROXY line without two addresses and two ports");
    int family = is_v4 ? AF_INET : AF_INET6;
    if (!read_address(family, source, source_port, &found.source) ||
        !read_address(family, destination, line, &found.destination))
        return refuse(out, "PROXY line with a malformed address or port");
    *out = found;
    return PROXY_DONE;
}

static enum proxy_outcome parse_v1(struct str octets, struct proxy_result *out)
{
    size_t len;
    if (!is_same_start(octets, V1_START))
        return refuse(out, "no PROXY header");
    if (octets.len <= V1_START.len)
        return PROXY_MORE;
    enum proxy_outcome outcome = find_line(octets, &len, out);
    if (outcome != PROXY_DONE)
        return outcome;
    return read_line(str_make(octets.p + V1_START.len, len - V1_START.len), out);
}

/* ---- Version 2 ---- */

/* CRC-32C (RFC 3309) bit by bit: a table of 1 KiB is not worth what comes once a connection. */
static uint32_t crc_add(uint32_t crc, struct str octets)
{
    for (size_t i = 0; i < octets.len; i++) {
        crc ^= (unsigned char)octets.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return crc;
}

/* The checksum is that of the whole header with zeros in its own place. */
static bool is_crc_right(struct str header, struct str sum)
{
    const char *behind = sum.p + sum.len;
    uint32_t crc = crc_add(UINT32_MAX, str_make(header.p, (size_t)(sum.p - header.p)));
    crc = crc_add(crc, STR("\0\0\0\0"));
    crc = ~crc_add(crc, str_make(behind, (size_t)(header.p + header.len - behind)));
    uint32_t sent;
    memcpy(&sent, sum.p, sizeof sent);
    return ntohl(sent) == crc;
}

static unsigned read_u16(const char *at)
{
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/* Walks the TLVs from `at` to the header's end. Returns NULL, or what is wrong */
static const char *check_tlvs(struct str header, size_t at)
{
    bool has_crc = false;
    while (at < header.len) {
        if (header.len - at < 3 || header.len - at - 3 < read_u16(header.p + at + 1))
            return "PROXY header with a TLV that does not fit";
        struct str value = str_make(header.p + at + 3, read_u16(header.p + at + 1));
        at += 3 + value.len;
        if (value.p[-3] != TLV_CRC32C)
            continue;
        if (has_crc || value.len != 4)
            return "PROXY header with a malformed checksum";
        if (!is_crc_right(header, value))
            return "PROXY header whose checksum is wrong";
        has_crc = true;
    }
    return NULL;
}

/* THE table of families (section 2.2); other values are to be refused, and datagrams are nothing
 * that HTTP comes over. */
static const struct family {
    unsigned char code; /* family and transport */
    sa_family_t family;
    unsigned char bytes; /* of both addresses and ports */
} families[] = {
    {0x00, AF_UNSPEC, 0},
    {0x11, AF_INET, 12},
    {0x21, AF_INET6, 36},
    {0x31, AF_UNIX, 2 * V2_UNIX_PATH},
};

static const struct family *find_family(char code)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i].code == (unsigned char)code)
            return &families[i];
    return NULL;
}

static void read_addresses(const char *at, sa_family_t family, struct proxy_result *found)
{
    union proxy_address *source = &found->source;
    union proxy_address *destination = &found->destination;
    source->any.sa_family = destination->any.sa_family = family;
    switch (family) {
    case AF_INET:
        memcpy(&source->v4.sin_addr, at, 4);
        memcpy(&destination->v4.sin_addr, at + 4, 4);
        memcpy(&source->v4.sin_port, at + 8, 2);
        memcpy(&destination->v4.sin_port, at + 10, 2);
        break;
    case AF_INET6:
        memcpy(&source->v6.sin6_addr, at, 16);
        memcpy(&destination->v6.sin6_addr, at + 16, 16);
        memcpy(&source->v6.sin6_port, at + 32, 2);
        memcpy(&destination->v6.sin6_port, at + 34, 2);
        break;
    default:
        memcpy(source->local.sun_path, at, V2_UNIX_PATH);
        memcpy(destination->local.sun_path, at + V2_UNIX_PATH, V2_UNIX_PATH);
        break;
    }
}

/* The 16 octets that every header of version 2 has, as far as they are there. */
static enum proxy_outcome check_fixed(struct str octets, struct proxy_result *out)
{
    if (!is_same_start(octets, V2_SIGNATURE))
        return refuse(out, "no PROXY header");
    if (octets.len > 12 && (octets.p[12] & 0xf0) != 0x20)
        return refuse(out, "PROXY header of an unknown version");
    if (octets.len > 12 && (octets.p[12] & 0x0f) > 1)
        return refuse(out, "PROXY header with an unknown command");
    if (octets.len > 13 && octets.p[12] == 0x21 && !find_family(octets.p[13]))
        return refuse(out, "PROXY header of a family or transport other than TCP or unix streams");
    if (octets.len < V2_FIXED)
        return PROXY_MORE;
    size_t len = read_u16(octets.p + 14);
    if (len > PROXY_BLOCK_MAX)
        return refuse(out, "PROXY header longer than 4112 octets");
    if (octets.p[12] == 0x21 && len < find_family(octets.p[13])->bytes)
        return refuse(out, "PROXY header too short for its addresses");
    return octets.len < V2_FIXED + len ? PROXY_MORE : PROXY_DONE;
}

static enum proxy_outcome parse_v2(struct str octets, struct proxy_result *out)
{
    enum proxy_outcome outcome = check_fixed(octets, out);
    if (outcome != PROXY_DONE)
        return outcome;
    struct str header = str_make(octets.p, V2_FIXED + read_u16(octets.p + 14));
    struct proxy_result found = {.used = header.len};
    /* LOCAL: the rest is to be discarded, family and all. Family unspecified: whatever follows
     * cannot be told apart (section 2.2). */
    const struct family *family = octets.p[12] == 0x20 ? &families[0] : find_family(octets.p[13]);
    found.is_local = family->family == AF_UNSPEC;
    if (!found.is_local) {
        const char *wrong = check_tlvs(header, V2_FIXED + family->bytes);
        if (wrong)
            return refuse(out, wrong);
        read_addresses(header.p + V2_FIXED, family->family, &found);
    }
    *out = found;
    return PROXY_DONE;
}

enum proxy_outcome proxy_parse(struct str octets, enum proxy_version wanted,
                               struct proxy_result *out)
{
    if (octets.len == 0)
        return PROXY_MORE;
    bool is_v2 = wanted == PROXY_VERSION_2 ||
                 (wanted == PROXY_VERSION_ANY && octets.p[0] == V2_SIGNATURE.p[0]);
    return is_v2 ? parse_v2(octets, out) : parse_v1(octets, out);
}
