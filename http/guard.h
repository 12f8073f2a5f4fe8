/* Refusals that llhttp leaves to us: framing to the letter of RFC 9112, and who the request is for.
 * Anything ambiguous is refused, never repaired. */
#ifndef REMUDA_HTTP_GUARD_H
#define REMUDA_HTTP_GUARD_H

#include "http/limits.h"
#include "http/parse.h"

/* Judges a complete head and fills the lower half of struct head (framing, Host, keep-alive,
 * Expect). base: first octet of the request line.
 * Returns  0: go on; else the status of the refusal, *out_reason static text */
int guard_judge(struct head *head, const char *base, const struct http_limits *limits,
                const char **out_reason);

/* uri-host [ ":" port ] (RFC 9110 §7.2, RFC 3986 §3.2), not empty. */
int guard_is_host(struct str host);

#endif
