/* Secrets in the head of a request, before it is written where people look at it. */
#ifndef REMUDA_WORKERS_REDACT_H
#define REMUDA_WORKERS_REDACT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

#define REDACT_VALUE "[redacted]"

/* Appends a head with the values of secret fields replaced by REDACT_VALUE: Authorization, Cookie
 * and their kind, every field whose name has a word such as "token", "secret" or "key" in it, and
 * those in `more`.
 * head     as received, maybe cut
 * more     names of further fields, between commas and blanks; NULL: none
 * names    gets the names of fields that were replaced, with ", " between them
 * Returns  0; -ENOMEM */
int redact_head(struct str head, const char *more, struct buf *out, struct buf *names)
    __attribute__((warn_unused_result));

/* Whether the value of a field of that name is a secret. */
bool redact_is_secret(struct str name, const char *more);

#endif
