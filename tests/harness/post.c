/* See post.h. */
#include "tests/harness/post.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness/check.h"

/* xorshift32 */
char *post_make(size_t len)
{
    char *body = malloc(len > 0 ? len : 1);
    uint32_t x = 2463534242U;
    CHECK(body != NULL);
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        body[i] = (char)x;
    }
    return body;
}

bool post_send(struct client *c, const char *target, const char *fields, const char *body,
               size_t len)
{
    char head[1024];
    int n =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n",
                 target, fields, len);
    CHECK(n > 0 && (size_t)n < sizeof head);
    return client_send(c, head, (size_t)n) && client_send(c, body, len);
}

bool post_send_chunked(struct client *c, const char *target, const char *body, size_t len,
                       size_t chunk)
{
    char line[512];
    int n = snprintf(line, sizeof line,
                     "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", target);
    CHECK(n > 0 && (size_t)n < sizeof line);
    bool is_open = client_send(c, line, (size_t)n);
    for (size_t at = 0; at < len && is_open; at += chunk) {
        size_t piece = len - at < chunk ? len - at : chunk;
        n = snprintf(line, sizeof line, "%zx\r\n", piece);
        is_open = client_send(c, line, (size_t)n) && client_send(c, body + at, piece) &&
                  client_send(c, "\r\n", 2);
    }
    return is_open && client_send(c, "0\r\n\r\n", 5);
}
