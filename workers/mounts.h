/* Folders that the settings mount into the server (`static`), in one web worker.
 *
 * Who answers a path: the mount with the longest path that the request's begins with, unless a
 * route of the app is more specific, which is a route whose pattern is the very path, or whose
 * pattern is longer than the mount's path before its first parameter. With a mount at /assets/, the
 * routes "/assets/version" and "/assets/img/:id" keep their requests, "/assets/:id" and "/:page"
 * never get one that begins with /assets/. A mount does not hand back what it does not find: that
 * is a 404. */
#ifndef REMUDA_WORKERS_MOUNTS_H
#define REMUDA_WORKERS_MOUNTS_H

#include <stddef.h>

#include "base/str.h"
#include "config/settings.h"
#include "http/files.h"
#include "http/mime.h"

struct err;

struct mount {
    struct files files; /* root_fd is owned; texts are the settings' */
};

struct mounts {
    struct mount *items; /* longest path first; heap */
    size_t n;
};

/* Opens every folder of settings->static_mounts, relative ones from the working directory.
 * settings, mime  as long as the mounts
 * Returns   0; -errno, *err says which mount; then *out is empty and needs no mounts_close()
 * Safe      may block: on the file system */
int mounts_open(struct mounts *out, const struct settings *settings, const struct mime *mime,
                struct err *err) __attribute__((warn_unused_result));
void mounts_close(struct mounts *mounts);

/* The mount with the longest path that `path` begins with.
 * path     normalised and decoded, as in router_match.path
 * Returns  NULL: none. No allocation; a walk over at most SETTINGS_MOUNTS_MAX */
const struct mount *mounts_find(const struct mounts *mounts, struct str path);

/* The mount that answers a request which was routed (request_route()), by the rule above.
 * Returns  NULL: the app answers, its 404 and 405 included. Where the app has routes for the path
 *          but not for this method, and the method is neither GET nor HEAD, the app says so */
const struct mount *mounts_choose(const struct mounts *mounts, const struct rmd_request *req);

/* Answers by a file of the mount; reads the wall clock.
 * Returns  as files_answer(): 0 answered; else the status of a page that the caller makes, *err
 *          with a reason where that is worth a line in the log */
int mounts_answer(const struct mount *mount, struct rmd_request *req, struct rmd_response *res,
                  struct err *err) __attribute__((warn_unused_result));

#endif
