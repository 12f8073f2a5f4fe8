/* Requests with bodies: octets that can't be mistaken for others, sent with a length or in
 * chunks. */
#ifndef REMUDA_TESTS_HARNESS_POST_H
#define REMUDA_TESTS_HARNESS_POST_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/harness/client.h"

/* Octets in which no stretch looks like another, always the same ones. Heap, to be freed. */
char *post_make(size_t len);

/* Sends "POST target" with a Content-Length.
 * fields   further lines, each with its CRLF; "": none
 * Returns  false when the peer has closed before it was all sent */
bool post_send(struct client *c, const char *target, const char *fields, const char *body,
               size_t len);

/* The same with Transfer-Encoding, in chunks of at most `chunk` octets, ≥ 1. */
bool post_send_chunked(struct client *c, const char *target, const char *body, size_t len,
                       size_t chunk);

#endif
