/* Requests with bodies, for the tests of what becomes of them: conn_bodies.c, conn_receive.c,
 * conn_deferred.c. */
#ifndef REMUDA_TESTS_UNIT_HTTP_BODIES_H
#define REMUDA_TESTS_UNIT_HTTP_BODIES_H

#include "tests/unit/http/wire.h"

#define BODIES_MAX 700000U

/* So many octets, each place unlike its neighbours'; valid until the end. */
__attribute__((unused)) static const char *bodies_octets(size_t len)
{
    static char octets[BODIES_MAX];
    static bool is_made;
    CHECK(len <= sizeof octets);
    for (uint32_t i = 0; !is_made && i < sizeof octets; i++)
        octets[i] = (char)((i * 2654435761U) >> 13);
    is_made = true;
    return octets;
}

/* Appends "line HTTP/1.1", Host, and fields, each with its CRLF. */
static void bodies_write_head(struct buf *out, const char *line, const char *fields)
{
    CHECK(buf_printf(out, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, fields) == 0);
}

/* Appends a request.
 * line     "POST /path"
 * chunk    octets of each chunk; 0: by Content-Length */
__attribute__((unused)) static void bodies_write(struct buf *out, const char *line,
                                                 const char *fields, const char *body, size_t len,
                                                 size_t chunk)
{
    char all[256];
    if (chunk == 0)
        (void)snprintf(all, sizeof all, "%sContent-Length: %zu\r\n", fields, len);
    else
        (void)snprintf(all, sizeof all, "%sTransfer-Encoding: chunked\r\n", fields);
    bodies_write_head(out, line, all);
    if (chunk == 0)
        CHECK(buf_append(out, body, len) == 0);
    for (size_t at = 0, n; chunk > 0 && at < len; at += n) {
        n = chunk < len - at ? chunk : len - at;
        CHECK(buf_printf(out, "%zx\r\n", n) == 0);
        CHECK(buf_append(out, body + at, n) == 0 && buf_append(out, "\r\n", 2) == 0);
    }
    if (chunk > 0)
        CHECK(buf_append(out, "0\r\n\r\n", 5) == 0);
}

#endif
