/* multipart/form-data (RFC 7578, RFC 2046 §5.1): walks a complete body that lies in memory or in a
 * mapped file. Parts are views of it; nothing is copied, nothing allocated but by
 * multipart_decode().
 *
 * A name or filename is what a client chose to write. It may hold "/", "..", drive letters, another
 * user's name, controls (behind multipart_decode()), invalid UTF-8. Never make it part of a path:
 * store under a name of your own and keep this one as text to show. */
#ifndef REMUDA_HTTP_MULTIPART_H
#define REMUDA_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct arena;

#define MULTIPART_PARTS 1000U      /* for max_parts, where nobody knows better */
#define MULTIPART_LINES 8U         /* header lines of a part; browsers send 2, curl 3 */
#define MULTIPART_HEAD_BYTES 8192U /* of a part's header lines, with the empty one */

/* One part. Views of the body; those that are missing are empty. */
struct multipart_part {
    struct str name;         /* as received, between the quotes: see multipart_decode() */
    struct str filename;     /* likewise; meaningless unless has_filename */
    bool has_filename;       /* so that a file without a name is told from a field */
    struct str content_type; /* as received, trimmed; missing means text/plain (RFC 7578 §4.4) */
    struct str data;
    size_t data_at; /* offset of data in the body */
};

/* Where the walk is. Read `reason` only; the rest belongs to multipart.c. */
struct multipart {
    const char *reason; /* static text, after an error */
    struct str body;
    struct str boundary;
    size_t at; /* offset: behind the last delimiter line that was read */
    uint32_t max_parts;
    uint32_t n_parts;  /* handed out, ≤ max_parts */
    size_t n_compared; /* octets compared with the boundary, ≤ body.len; tests read it */
    int state;         /* what comes next; a negative errno after an error */
};

/* The boundary parameter of a Content-Type: a token or a quoted string of 1 … 70 characters that
 * RFC 2046 §5.1.1 allows, not ending in a blank; exactly one.
 * Returns  0; -EINVAL another media type, malformed, no boundary or none that is allowed.
 *          *out_boundary points into content_type */
int multipart_boundary(struct str content_type, struct str *out_boundary)
    __attribute__((warn_unused_result));

/* Starts a walk. body and boundary must stay as they are until it is over.
 * boundary   from multipart_boundary()
 * max_parts  parts that are handed out at most */
void multipart_begin(struct multipart *m, struct str body, struct str boundary, uint32_t max_parts);

/* Goes on to the next part. What stands before the first delimiter and behind the last is skipped.
 * Only the end tells that the body is whole: who must not act on half an upload walks once to the
 * end before looking at parts, which takes no memory.
 * Returns  1: *out is a part; 0: the end, after the closing delimiter; and from the first error on
 *          -EINVAL malformed: no closing delimiter, line ends that are not CRLF, a delimiter with
 *                  other text behind it, no Content-Disposition: form-data with one name, a
 *                  Content-Transfer-Encoding that changes octets (RFC 7578 §4.7)
 *          -E2BIG  more than max_parts, MULTIPART_LINES or MULTIPART_HEAD_BYTES
 *          m->reason says which. filename* is ignored (RFC 7578 §4.2), as are further headers */
int multipart_next(struct multipart *m, struct multipart_part *out)
    __attribute__((warn_unused_result));

/* Undoes the escapes of a name or filename. The WHATWG form encoding (HTML, "multipart/form-data
 * encoding algorithm") writes %22, %0D and %0A for quote, CR and LF, and leaves everything else
 * as it is, "%" and backslash too. So only these three are decoded; a name that held the text "%22"
 * looks the same on the way and becomes a quote. RFC 2183's \" of older clients becomes a quote as
 * well; every other backslash stays, both of two in a row.
 * Returns  0; -ENOMEM. *out_text is raw itself when there was nothing to undo, else NUL-terminated
 *          text in the arena; it may hold CR and LF, never NUL */
int multipart_decode(struct str raw, struct arena *arena, struct str *out_text)
    __attribute__((warn_unused_result));

#endif
