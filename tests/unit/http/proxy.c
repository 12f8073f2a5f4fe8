/* http/proxy.c: the forms of haproxy's specification and what is near them, each fed whole and cut
 * at every octet. */
#include "http/proxy.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ADDRESSES "\xc0\x00\x02\x07\xc6\x33\x64\x09\x12\x67\x01\xbb"
#define ADDRESSES_TEXT "192.0.2.7 4711 > 198.51.100.9 443"

static void print_address(char out[160], const union proxy_address *address)
{
    char host[INET6_ADDRSTRLEN];
    switch (address->any.sa_family) {
    case AF_INET:
        assert_non_null(inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host));
        (void)snprintf(out, 160, "%s %u", host, ntohs(address->v4.sin_port));
        break;
    case AF_INET6:
        assert_non_null(inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host));
        (void)snprintf(out, 160, "%s %u", host, ntohs(address->v6.sin6_port));
        break;
    case AF_UNIX:
        (void)snprintf(out, 160, "unix %.108s", address->local.sun_path);
        break;
    default:
        fail_msg("family %d", address->any.sa_family);
    }
}

/* "more", "bad REASON", "local", or "SOURCE > DESTINATION". *out_used is 0 unless it is done. */
static const char *say(struct str octets, enum proxy_version wanted, size_t *out_used)
{
    static char text[512];
    struct proxy_result out = {.used = 4711};
    /* A copy of the exact size, so that the sanitizer sees an octet too far. */
    char *exact = malloc(octets.len + (octets.len == 0));
    assert_non_null(exact);
    memcpy(exact, octets.p, octets.len);
    enum proxy_outcome outcome = proxy_parse(str_make(exact, octets.len), wanted, &out);
    free(exact);
    *out_used = 0;
    if (outcome != PROXY_DONE)
        assert_int_equal(out.used, 4711);
    if (outcome == PROXY_MORE) {
        assert_null(out.reason);
        return "more";
    }
    if (outcome == PROXY_BAD) {
        (void)snprintf(text, sizeof text, "bad %s", out.reason);
        return text;
    }
    assert_null(out.reason);
    *out_used = out.used;
    if (out.is_local) {
        assert_int_equal(out.source.any.sa_family, AF_UNSPEC);
        assert_int_equal(out.destination.any.sa_family, AF_UNSPEC);
        return "local";
    }
    char source[160];
    char destination[160];
    print_address(source, &out.source);
    print_address(destination, &out.destination);
    (void)snprintf(text, sizeof text, "%s > %s", source, destination);
    return text;
}

/* That the octets have this outcome, with something behind them or not, and that every beginning of
 * them has it or waits for more. */
static void expect(struct str octets, enum proxy_version wanted, const char *expected)
{
    char whole[512];
    size_t used;
    (void)snprintf(whole, sizeof whole, "%s", say(octets, wanted, &used));
    if (strcmp(whole, expected) != 0)
        fail_msg("%.*s: %s, not %s", STR_ARG(octets), whole, expected);
    for (size_t len = 0; len < octets.len; len++) {
        size_t used_of_part;
        const char *part = say(str_make(octets.p, len), wanted, &used_of_part);
        if (strcmp(part, "more") != 0 && (strcmp(part, whole) != 0 || used_of_part != used))
            fail_msg("%.*s at %zu: %s, not %s", STR_ARG(octets), len, part, whole);
    }
}

/* Of header and, behind it, a request: the header is used, no octet more. */
static void expect_done(struct str octets, enum proxy_version wanted, const char *expected)
{
    char both[5000];
    size_t used;
    expect(octets, wanted, expected);
    assert_true(octets.len + 16 < sizeof both);
    memcpy(both, octets.p, octets.len);
    memcpy(both + octets.len, "GET / HTTP/1.1\r\n", 16);
    assert_string_equal(say(str_make(both, octets.len + 16), wanted, &used), expected);
    assert_int_equal(used, octets.len);
    assert_string_equal(say(str_make(octets.p, octets.len - 1), wanted, &used), "more");
}

static void proxy_reads_lines_of_version_1(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
         "255.255.255.255 65535 > 255.255.255.255 65535"},
        {"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
         "192.168.0.1 56324 > 192.168.0.11 443"},
        {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0 0 > 0.0.0.0 0"},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 > ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535"},
        {"PROXY TCP6 2001:DB8::1 :: 1 80\r\n", "2001:db8::1 1 > :: 80"},
        {"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 80\r\n", "::ffff:192.0.2.1 1 > ::1 80"},
        {"PROXY UNKNOWN\r\n", "local"},
        {"PROXY UNKNOWN \r\n", "local"},
        {"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "local"},
        {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", /* the longest: 107 octets */
         "local"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_done(str_of(cases[i][0]), PROXY_VERSION_1, cases[i][1]);
        expect_done(str_of(cases[i][0]), PROXY_VERSION_ANY, cases[i][1]);
    }
    assert_int_equal(strlen(cases[9][0]), PROXY_V1_MAX);
}

static void proxy_refuses_lines_that_are_not_to_the_letter(void **state)
{
    (void)state;
    static const char none[] = "bad no PROXY header";
    static const char protocol[] = "bad PROXY line that is not of TCP4, TCP6 or UNKNOWN";
    static const char parts[] = "bad PROXY line without two addresses and two ports";
    static const char address[] = "bad PROXY line with a malformed address or port";
    static const char *const cases[][2] = {
        {"GET / HTTP/1.1\r\n\r\n", none},
        {"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", none},
        {"PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n", none},
        {" PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", none},
        {"PROXY\r\n", none},
        {"PROXX", none},
        {"\r\n", none},
        {"PROXY \r\n", protocol},
        {"PROXY TCP4\r\n", protocol},
        {"PROXY TCP 1.2.3.4 1.2.3.4 1 2\r\n", protocol},
        {"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", protocol},
        {"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", protocol},
        {"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", protocol},
        {"PROXY unknown\r\n", protocol},
        {"PROXY UNKNOWN1\r\n", protocol},
        {"PROXY UNKNOWN\t\r\n", protocol},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", parts},
        {"PROXY TCP4 1.2.3.4\r\n", parts},
        {"PROXY TCP4 \r\n", parts},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n", address},
        {"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4\t1.2.3.4 1 2 3\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 0x1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 18446744073709551617\r\n", address},
        {"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n", address},
        {"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", address},
        {"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP6 [::1] ::1 1 2\r\n", address},
        {"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", address},
        {"PROXY TCP6 :::1 ::1 1 2\r\n", address},
        {"PROXY TCP4 localhost 1.2.3.4 1 2\r\n", address},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "bad PROXY line with a bare LF"},
        {"PROXY UNKNOWN\n\r\n", "bad PROXY line with a bare LF"},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r", "more"},
        {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rG", "bad PROXY line with a bare CR"},
        {"PROXY UNKNOWN \r\r\n", "bad PROXY line with a bare CR"},
        {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350\r\n", /* 108 octets */
         "bad PROXY line longer than 107 octets"},
        {"PROXY", "more"},
        {"PROXY ", "more"},
        {"PROXY T", "more"},
        {"", "more"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(str_of(cases[i][0]), PROXY_VERSION_1, cases[i][1]);
        if (cases[i][0][0] != '\r')
            expect(str_of(cases[i][0]), PROXY_VERSION_ANY, cases[i][1]);
    }
    expect(STR("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), PROXY_VERSION_1, address);
    expect(STR("PROXY TCP4 1.2.3.4 1.2.3.4 1\0 2\r\n"), PROXY_VERSION_1, address);
}

static void proxy_is_bounded_when_no_line_ends(void **state)
{
    (void)state;
    char octets[PROXY_V1_MAX + 1];
    size_t used;
    memset(octets, 'x', sizeof octets);
    memcpy(octets, "PROXY UNKNOWN ", 14);
    /* After 105 octets a CRLF still fits, after 106 none does. */
    assert_string_equal(say(str_make(octets, 105), PROXY_VERSION_1, &used), "more");
    octets[105] = '\r';
    assert_string_equal(say(str_make(octets, 106), PROXY_VERSION_1, &used), "more");
    octets[105] = 'x';
    expect(str_make(octets, PROXY_V1_MAX), PROXY_VERSION_1,
           "bad PROXY line longer than 107 octets");
}

#define V2(command, family, len, block) STR(SIGNATURE command family len block)

static void proxy_reads_headers_of_version_2(void **state)
{
    (void)state;
    static const struct {
        struct str octets;
        const char *expected;
    } cases[] = {
        {V2("\x21", "\x11", "\0\x0c", ADDRESSES), ADDRESSES_TEXT},
        {V2("\x21", "\x11", "\0\x14", ADDRESSES "\x02\0\x05GET /"), ADDRESSES_TEXT},
        {V2("\x21", "\x11", "\0\x0f", ADDRESSES "\x04\0\0"), ADDRESSES_TEXT},
        {V2("\x21", "\x21", "\0\x24",
            "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
            "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1"
            "\x12\x67\x01\xbb"),
         "2001:db8::1 4711 > ::ffff:192.0.2.1 443"},
        {V2("\x20", "\0", "\0\0", ""), "local"},
        {V2("\x20", "\x11", "\0\x0c", ADDRESSES), "local"},
        {V2("\x20", "\xff", "\0\x03", "xyz"), "local"},
        {V2("\x20", "\x12", "\0\0", ""), "local"},
        {V2("\x21", "\0", "\0\0", ""), "local"},
        {V2("\x21", "\0", "\0\x02", "xy"), "local"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_done(cases[i].octets, PROXY_VERSION_2, cases[i].expected);
        expect_done(cases[i].octets, PROXY_VERSION_ANY, cases[i].expected);
    }
}

static void proxy_refuses_headers_of_version_2_that_do_not_fit(void **state)
{
    (void)state;
    static const char none[] = "bad no PROXY header";
    static const char family[] =
        "bad PROXY header of a family or transport other than TCP or unix streams";
    static const char short_one[] = "bad PROXY header too short for its addresses";
    static const char tlv[] = "bad PROXY header with a TLV that does not fit";
    static const struct {
        struct str octets;
        const char *expected;
    } cases[] = {
        {STR("\r\n\r\n\0\r\nQUIT\r"), none},
        {STR("\r\n\r\nG"), none},
        {STR("GET / HTTP/1.1\r\n"), none},
        {V2("\x11", "\x11", "\0\x0c", ADDRESSES), "bad PROXY header of an unknown version"},
        {V2("\x31", "\x11", "\0\x0c", ADDRESSES), "bad PROXY header of an unknown version"},
        {V2("\x01", "\x11", "\0\x0c", ADDRESSES), "bad PROXY header of an unknown version"},
        {V2("\x22", "\x11", "\0\x0c", ADDRESSES), "bad PROXY header with an unknown command"},
        {V2("\x2f", "\x11", "\0\x0c", ADDRESSES), "bad PROXY header with an unknown command"},
        {V2("\x21", "\x12", "\0\x0c", ADDRESSES), family}, /* UDP */
        {V2("\x21", "\x22", "\0\x24", ""), family},
        {V2("\x21", "\x32", "\0\xd8", ""), family},
        {V2("\x21", "\x10", "\0\x0c", ADDRESSES), family},
        {V2("\x21", "\x01", "\0\0", ""), family},
        {V2("\x21", "\x41", "\0\x0c", ADDRESSES), family},
        {V2("\x21", "\x11", "\0\x0b", ""), short_one},
        {V2("\x21", "\x11", "\0\0", ""), short_one},
        {V2("\x21", "\x21", "\0\x23", ""), short_one},
        {V2("\x21", "\x31", "\0\xd7", ""), short_one},
        {V2("\x21", "\x11", "\x10\x01", ""), "bad PROXY header longer than 4112 octets"},
        {V2("\x20", "\0", "\xff\xff", ""), "bad PROXY header longer than 4112 octets"},
        {V2("\x21", "\x11", "\0\x0d", ADDRESSES "\x04"), tlv},
        {V2("\x21", "\x11", "\0\x0e", ADDRESSES "\x04\0"), tlv},
        {V2("\x21", "\x11", "\0\x0f", ADDRESSES "\x04\0\1"), tlv},
        {V2("\x21", "\x11", "\0\x10", ADDRESSES "\x04\0\0\0"), tlv},
        {V2("\x21", "\x11", "\0\x12", ADDRESSES "\x04\xff\xff\0\0\0"), tlv},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i].octets, PROXY_VERSION_2, cases[i].expected);
        if (cases[i].octets.p[0] == '\r')
            expect(cases[i].octets, PROXY_VERSION_ANY, cases[i].expected);
    }
}

/* The sums come from another implementation. */
static void proxy_checks_the_checksum_where_there_is_one(void **state)
{
    (void)state;
    static const char wrong[] = "bad PROXY header whose checksum is wrong";
    static const char malformed[] = "bad PROXY header with a malformed checksum";
    struct str first = V2("\x21", "\x11", "\0\x1a",
                          ADDRESSES "\x02\0\x04"
                                    "demo\x03\0\x04\xa3\x81\xd8\x54");
    struct str last = V2("\x21", "\x11", "\0\x1a",
                         ADDRESSES "\x03\0\x04\xa9\xf9\xdb\x0d\x02\0\x04"
                                   "demo");
    expect_done(first, PROXY_VERSION_2, ADDRESSES_TEXT);
    expect_done(last, PROXY_VERSION_ANY, ADDRESSES_TEXT);
    /* No octet can change without being noticed, but for the checksum's own type. */
    for (size_t i = 0; i < first.len; i++) {
        char changed[64];
        struct str octets = str_make(changed, first.len);
        size_t used;
        memcpy(changed, first.p, first.len);
        changed[i] = (char)(changed[i] ^ 0x10);
        const char *outcome = say(octets, PROXY_VERSION_2, &used);
        assert_true(strncmp(outcome, "bad ", 4) == 0 || i == 35);
    }
    expect(V2("\x21", "\x11", "\0\x13", ADDRESSES "\x03\0\4\0\0\0\0"), PROXY_VERSION_2, wrong);
    expect(V2("\x21", "\x11", "\0\x12", ADDRESSES "\x03\0\3\0\0\0"), PROXY_VERSION_2, malformed);
    expect(V2("\x21", "\x11", "\0\x0f", ADDRESSES "\x03\0\0"), PROXY_VERSION_2, malformed);
}

static void proxy_refuses_a_second_checksum(void **state)
{
    (void)state;
    /* The first is right, as if the second were data. */
    struct str octets = V2("\x21", "\x11", "\0\x1a",
                           ADDRESSES "\x03\0\x04\0\0\0\0\x03\0\x04"
                                     "demo");
    char copy[64];
    size_t used;
    memcpy(copy, octets.p, octets.len);
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < octets.len; i++) {
        crc ^= (unsigned char)octets.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT32_C(0x82f63b78) : crc >> 1;
    }
    crc = htonl(~crc);
    memcpy(copy + 16 + 12 + 3, &crc, 4);
    assert_string_equal(say(str_make(copy, octets.len), PROXY_VERSION_2, &used),
                        "bad PROXY header with a malformed checksum");
}

static void proxy_reads_paths_of_unix_sockets(void **state)
{
    (void)state;
    char octets[16 + 216] = SIGNATURE "\x21\x31\0\xd8/run/a.sock";
    memset(octets + 16 + 108, 'b', 108); /* fills its place, without a NUL */
    char expected[200];
    (void)snprintf(expected, sizeof expected, "unix /run/a.sock > unix %.108s", octets + 16 + 108);
    expect_done(str_make(octets, sizeof octets), PROXY_VERSION_2, expected);
}

static void proxy_reads_the_longest_header_of_version_2(void **state)
{
    (void)state;
    static char octets[PROXY_HEADER_MAX + 1] = SIGNATURE "\x21\x11\x10\0" ADDRESSES "\x04\x0f\xf1";
    size_t used;
    expect_done(str_make(octets, PROXY_HEADER_MAX), PROXY_VERSION_2, ADDRESSES_TEXT);
    octets[15] = 1;
    assert_string_equal(say(str_make(octets, 16), PROXY_VERSION_2, &used),
                        "bad PROXY header longer than 4112 octets");
}

static void proxy_takes_only_the_version_that_is_wanted(void **state)
{
    (void)state;
    expect(STR("PROXY UNKNOWN\r\n"), PROXY_VERSION_2, "bad no PROXY header");
    expect(V2("\x20", "\0", "\0\0", ""), PROXY_VERSION_1, "bad no PROXY header");
    size_t used;
    assert_string_equal(say(STR("\r"), PROXY_VERSION_1, &used), "bad no PROXY header");
    assert_string_equal(say(STR("P"), PROXY_VERSION_2, &used), "bad no PROXY header");
    assert_string_equal(say(STR("G"), PROXY_VERSION_ANY, &used), "bad no PROXY header");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proxy_reads_lines_of_version_1),
        cmocka_unit_test(proxy_refuses_lines_that_are_not_to_the_letter),
        cmocka_unit_test(proxy_is_bounded_when_no_line_ends),
        cmocka_unit_test(proxy_reads_headers_of_version_2),
        cmocka_unit_test(proxy_refuses_headers_of_version_2_that_do_not_fit),
        cmocka_unit_test(proxy_checks_the_checksum_where_there_is_one),
        cmocka_unit_test(proxy_refuses_a_second_checksum),
        cmocka_unit_test(proxy_reads_paths_of_unix_sockets),
        cmocka_unit_test(proxy_reads_the_longest_header_of_version_2),
        cmocka_unit_test(proxy_takes_only_the_version_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
