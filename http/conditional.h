/* Conditional requests: entity tags and dates as validators (RFC 9110 §8.8), and preconditions in
 * the order in which they are to be evaluated (§13). */
#ifndef REMUDA_HTTP_CONDITIONAL_H
#define REMUDA_HTTP_CONDITIONAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define CONDITIONAL_NO_DATE INT64_MIN

struct conditional_etag {
    bool is_weak;
    struct str opaque; /* between the quotes, may be empty */
};

/* Values of the request's fields, each without blanks around it; p NULL: absent, which is not the
 * same as empty. Several lines of one field come joined by ", " (as rmd_header() does it): for the
 * lists that is what RFC 9110 §5.3 wants, and for the others it makes a value that is malformed. */
struct conditional_fields {
    struct str if_match;
    struct str if_none_match;
    struct str if_modified_since;
    struct str if_unmodified_since;
    struct str if_range;
};

/* What the answer's own validators are. */
struct conditional_current {
    struct str etag;          /* value of ETag; empty or malformed: none */
    int64_t modified_seconds; /* Last-Modified, since 1970; CONDITIONAL_NO_DATE: none */
};

struct conditional_verdict {
    int status;       /* 0: go on; 304; 412 */
    bool takes_range; /* go on, and a Range field, if there is one, counts */
};

enum conditional_search { CONDITIONAL_MISS, CONDITIONAL_HIT, CONDITIONAL_MALFORMED };

/* Reads one entity tag that fills the whole text: "xyzzy" with its quotes, or W/"xyzzy" (§8.8.3).
 * Returns  0; -EINVAL. out->opaque points into text */
int conditional_parse_etag(struct str text, struct conditional_etag *out_etag)
    __attribute__((warn_unused_result));

/* Same tag? Strong comparison: neither may be weak (§8.8.3.2). */
bool conditional_is_same(const struct conditional_etag *a, const struct conditional_etag *b,
                         bool is_strong);

/* Looks for a tag in the value of If-Match (is_strong) or If-None-Match (not).
 * etag     value of ETag; empty or malformed: only "*" is a hit
 * Returns  CONDITIONAL_HIT, for "*" always; CONDITIONAL_MISS, also for an empty list;
 *          CONDITIONAL_MALFORMED when any element is, or "*" has company: then a hit before it does
 *          not count */
enum conditional_search conditional_search(struct str list, struct str etag, bool is_strong);

/* Evaluates the preconditions of a request in the order of §13.2.2. To be asked only when the
 * answer without them would be 2xx (§13.2.1), and before anything is changed.
 *
 * What is malformed fails towards the harmless side: If-Match and, for methods other than GET and
 * HEAD, If-None-Match give 412; If-None-Match of GET and HEAD gives the whole answer; dates are
 * ignored as §13.1.3 and §13.1.4 say; If-Range takes the range away.
 *
 * method       as received; CONNECT, OPTIONS and TRACE have no preconditions (§13.2.1), and only
 *              GET takes ranges (§14.2)
 * current      NULL: the target has no representation now, so that "*" matches nothing
 * now_seconds  since 1970. Last-Modified beyond it counts as now (and must be sent so, §8.8.2.1).
 *              It is good for If-Range if it is a second older at least, since within its second
 *              the representation may have changed again (§8.8.2.2)
 * Returns      what to answer. takes_range is false unless status is 0 */
struct conditional_verdict conditional_judge(struct str method, const struct conditional_fields *in,
                                             const struct conditional_current *current,
                                             int64_t now_seconds);

#endif
