/* Patterns to routes. Built once per generation from the application's tables, then read-only: one
 * router serves every thread of a process and survives fork. */
#ifndef REMUDA_HTTP_ROUTER_H
#define REMUDA_HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "include/remuda.h"

struct arena;
struct err;
struct router;

#define ROUTER_PARAMS_MAX 16 /* parameters in one pattern */

struct route {
    uint16_t index;          /* 0 … router_count() - 1: its statistics block in the shared table */
    const char *method;      /* "GET" …, "*" any */
    const char *pattern;     /* prefix of the group included; owned by the router */
    const rmd_route *decl;   /* the app's row, borrowed */
    const rmd_group *group;  /* NULL: in the app's own table */
    enum rmd_lane lane;      /* the app's, or the YAML's where it overrides */
};

enum router_outcome {
    ROUTER_FOUND,
    ROUTER_NOT_FOUND,   /* 404 */
    ROUTER_NOT_ALLOWED, /* 405: other methods exist for this path */
    ROUTER_OPTIONS,     /* OPTIONS without a route of its own: 204 with Allow */
    ROUTER_BAD_PATH     /* 400: malformed escape, %00, or a path not beginning with "/" */
};

struct router_param {
    const char *name;  /* owned by the router */
    struct str value;  /* raw octets of the target, still percent-encoded */
};

struct router_match {
    const struct route *route;                     /* ROUTER_FOUND only, else NULL */
    struct str path;                               /* normalised, see rmd_path(); NUL follows it. In
                                                    * the target itself only when nothing changed:
                                                    * then no NUL follows */
    uint32_t n_params;
    struct router_param params[ROUTER_PARAMS_MAX]; /* in the order of the pattern */
};

/* Compiles the tables. Refuses, with the row in *err: bad pattern syntax, bad method token, no
 * handler, the same method and pattern twice, two names for one parameter position where that is
 * ambiguous, more than limit_routes rows, unknown lane.
 * Returns  0; -EINVAL; -ENOMEM */
int router_new(const rmd_app *app, size_t limit_routes, struct router **out_router,
               struct err *err) __attribute__((warn_unused_result));
void router_free(struct router *router);

size_t router_count(const struct router *router);
const struct route *router_route(const struct router *router, size_t index);

/* Finds the route of a request. Static segments win over parameters, parameters over the rest, with
 * backtracking; GET also answers HEAD unless HEAD has a row of its own.
 * raw_path  the target's path as received: without query, "/…", or "*" for OPTIONS *
 * arena     for the normalised path when it differs from raw_path
 * Returns   an outcome; -ENOMEM. out_match->path is set unless BAD_PATH
 * Safe      any thread; no allocation and no copy for a path without escapes and dot segments */
int router_match(const struct router *router, struct str method, struct str raw_path,
                 struct arena *arena, struct router_match *out_match);

/* Value of the Allow field for a path ("GET, HEAD, OPTIONS"), for 405 and OPTIONS; for "*" the
 * methods of all routes. NUL-terminated in the arena; NULL when memory is refused. */
const char *router_allow(const struct router *router, struct str path, struct arena *arena);

#endif
