/* Content negotiation by what the client says it prefers (RFC 9110 §12.5). The offers are what the
 * server has, best first: of two that the client likes equally, the earlier one is taken.
 *
 * A field's value comes whole, several lines joined by ", " (§5.3); p NULL: absent, which is not
 * the same as empty. An element that is malformed is passed over, the others count. Of several
 * equally specific elements for the same offer the first counts. No allocation; one pass over the
 * value per offer, so the work is length × offers.
 *
 * Answers that depend on such a field must name it in Vary (§12.5.5). */
#ifndef REMUDA_HTTP_NEGOTIATE_H
#define REMUDA_HTTP_NEGOTIATE_H

#include <stddef.h>

#include "base/str.h"

/* Chooses a media type by Accept (§12.5.1).
 * accept   absent, empty or without one well-formed element: everything is welcome
 * offers   n types as in Content-Type, parameters included: "text/html;level=1". A range with
 *          parameters is for offers that have them all, in any order; values are compared without
 *          case and without quotes. The more specific range decides, then the weight
 * Returns  index of the offer; -1: none is acceptable (406), or n is 0 */
int negotiate_type(struct str accept, const char *const *offers, size_t n);

/* Chooses a content coding by Accept-Encoding (§12.5.3).
 * accept_encoding  absent: all are welcome, but a client that can decode says so: identity where it
 *                  is offered, else the first. Empty: identity only
 * offers           n codings, lower case: "br", "gzip"; "identity" for the content as it is, which
 *                  is acceptable unless excluded, but preferred to other codings only when it is
 *                  named. "x-gzip" and "x-compress" in the field are the codings without "x-"
 * Returns          index of the offer; -1: none is acceptable, or n is 0 */
int negotiate_encoding(struct str accept_encoding, const char *const *offers, size_t n);

/* Chooses a language by Accept-Language (§12.5.4). The longest range that is the offer's tag or
 * begins it decides ("de" for "de-CH": basic filtering, RFC 4647 §3.3.1); if there is none, a range
 * that the offer begins ("de-CH" for "de": lookup, §3.4), then "*".
 * accept_language  absent, empty or without one well-formed element: everything is welcome
 * offers           n language tags: "de-CH", "en"
 * Returns          index of the offer; -1: none is acceptable (send a default rather than 406), or
 *                  n is 0 */
int negotiate_language(struct str accept_language, const char *const *offers, size_t n);

#endif
