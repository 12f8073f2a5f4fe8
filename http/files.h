/* Files of a folder as answers: which one a path means, and in which content coding. What else HTTP
 * says about it is in http/opened.h. Files are opened here and sent by the worker.
 *
 * - The path comes as received and is decoded here, once. A segment that is empty, "." or "..", or
 *   that hides a slash ("%2F"), is no file: 404. So is one that begins with "." unless
 *   has_dotfiles; so is a symbolic link that leads out of the folder, or any where is_following is
 *   off.
 * - Only regular files are sent: FIFOs, sockets and devices are 404.
 * - A folder without a slash behind it is redirected to the path with one (301, the query stays).
 *   With one it is answered by its first index file that is there; else by a list where is_listed
 *   is on (HTML, sorted, 10,000 names at most); else it is 403, as in nginx.
 * - NAME.br and NAME.gz beside NAME are sent in its place with Content-Encoding to clients that
 *   prefer it, when they are regular files and not older than NAME, to the nanosecond; they have
 *   tags of their own. What may be compressed varies by Accept-Encoding, also when it is not; only
 *   where both siblings were looked for and are missing, that is not said. */
#ifndef REMUDA_HTTP_FILES_H
#define REMUDA_HTTP_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/request.h"
#include "http/response.h"

struct err;
struct mime;

/* A folder that is served, and how. Borrowed everywhere: the owner closes root_fd. */
struct files {
    int root_fd;              /* of the folder; O_PATH is enough */
    struct str prefix;        /* path that the folder has in URLs, decoded, with "/" at both ends:
                               * "/assets/"; redirects begin with it */
    const char *const *index; /* names tried in a folder, in this order; n_index of them */
    size_t n_index;
    bool is_listed;           /* folders without index file show what is in them */
    bool has_dotfiles;        /* names that begin with "." exist */
    bool is_following;        /* symbolic links that stay inside */
    bool is_br;               /* NAME.br may stand for NAME */
    bool is_gzip;             /* NAME.gz may stand for NAME */
    struct str cache_control; /* of files, 304 included; empty: none */
    const struct mime *mime;  /* NULL: the built-in types */
};

/* Answers a request by a file of a folder. GET and HEAD; OPTIONS gets 204; other methods are 405.
 * Allow is set for both.
 * rest      of the target's path behind prefix: without leading slash, dot segments removed, still
 *           encoded (path_resolve(), router_param.value); "" is the folder itself
 * wall_s    now, seconds since 1970: no Last-Modified is later (RFC 9110 §8.8.2.1)
 * res       empty; gets status, type, fields and body, of RESPONSE_FILE where there is one
 * Returns   0: res is the answer; 403 404 405 412 416 500 503: res has the fields that belong to
 *           that status (Allow, Content-Range), and the page is the caller's to make
 * err       code 0, or for 500 and 503 the reason, for the log
 * Safe      any thread; may block: on the file system */
int files_answer(const struct files *files, struct str rest, int64_t wall_s,
                 struct rmd_request *req, struct rmd_response *res, struct err *err)
    __attribute__((warn_unused_result));

/* Answers by one file, whose path was made by the application: decoded, relative to the folder. The
 * same is refused; a folder is no file, so index, lists and redirects have no part in it.
 * files     prefix empty. Otherwise as files_answer() */
int files_answer_one(const struct files *files, const char *path, int64_t wall_s,
                     struct rmd_request *req, struct rmd_response *res, struct err *err)
    __attribute__((warn_unused_result));

/* Answers the folder's own path without the slash behind it ("/assets"): 301, or by the method.
 * Otherwise as files_answer() */
int files_redirect(const struct files *files, struct rmd_request *req, struct rmd_response *res,
                   struct err *err) __attribute__((warn_unused_result));

#endif
