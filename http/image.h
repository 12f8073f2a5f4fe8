/* Requests and answers as octets, for handlers that run in another process: a compute worker
 * (ipc/task.h), which is sent the image of a request and sends back the image of its answer.
 *
 * An image has no pointers, says its version, and is believed nothing. A request's is its head as
 * it came, with the little that is known besides; reading it is parsing, judging and routing that
 * head again, so there is no second way in. An answer's fields go through response_set(), as if a
 * handler had set them. Large bodies are not part of an image: they are handed in beside it, from
 * where they lie. */
#ifndef REMUDA_HTTP_IMAGE_H
#define REMUDA_HTTP_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "http/exchange.h"
#include "http/response.h"

struct conn_env;

/* ---- requests ---- */

/* Room that the image takes, up to 4 GiB. body_len: octets of the body that go with it. */
size_t image_request_bytes(const struct rmd_request *req, size_t body_len);

/* Writes the image of a request that was judged and routed.
 * body     that goes with it; empty: it is handed in beside it, or there is none
 * out      room for image_request_bytes() */
void image_put_request(const struct rmd_request *req, struct str body, char *out);

/* Makes a request of its image: complete, as its handler gets it, with an answer begun.
 * image    may lie where another process writes: each octet is read once, then the copy is checked
 * body     that was handed in beside it, valid as long as the request; empty: it is in the image,
 *          or there is none. It must be as long as the head says
 * env      whose limits, router and owner the request gets; its clock is not asked
 * ex       fresh from exchange_take(); afterwards to be settled and given back, also on failure
 * Returns  0; -ENOMEM; -EBADMSG, *out_reason says what is wrong, static text. What ex->req then
 *          holds is no request */
int image_read_request(struct str image, struct str body, struct conn_env *env, struct exchange *ex,
                       const char **out_reason) __attribute__((warn_unused_result));

/* ---- answers ---- */

/* Room that the image takes. with_body: that of RESPONSE_BYTES goes with it. */
size_t image_answer_bytes(const struct rmd_response *res, bool with_body);

/* Writes the image of an answer: status, type, fields; of RESPONSE_FILE the parts, those that are
 * of memory with their octets; of RESPONSE_STREAM the head alone. The descriptor of a file, and
 * what is not with_body, are handed on beside it.
 * out      room for image_answer_bytes() */
void image_put_answer(const struct rmd_response *res, bool with_body, char *out);

/* Makes an answer of its image. Of it everything is copied into the arena.
 * image    in memory that nobody else writes to
 * body     of RESPONSE_BYTES, where it is not in the image; as long as the image says. Not copied:
 *          whose it is and until when the caller says by res->done, when this has returned
 * fd       of RESPONSE_FILE; must be a regular file. -1: none. Owned by the answer from now on,
 *          also on failure
 * res      begun; on failure it has no body, and what else it has is for nobody
 * Returns  0; -ENOMEM; -EBADMSG, *out_reason says what is wrong, static text. RESPONSE_STREAM: its
 *          producer is the caller's to set */
int image_read_answer(struct str image, struct str body, int fd, struct rmd_response *res,
                      struct arena *arena, const char **out_reason)
    __attribute__((warn_unused_result));

#endif
