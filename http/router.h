/* Patterns to routes. Built once per generation from the application's tables, then read-only: one
 * router serves every thread of a process and survives fork.
 *
 * A pattern is a path as people read it, not percent-encoded: "/users/:id/files/" and then "*rest".
 * ":name" stands for one whole segment that is not empty, "*name" at the end for all that is left,
 * also for nothing ("/files/" has an empty rest, "/files" does not match). Names are made of
 * letters, digits, "_" and "-". A colon inside a segment is only a colon.
 *
 * Segment by segment, from the left, a static segment wins over a parameter and a parameter over
 * the rest. A pattern that has no route for the request's method counts as not matching, so a row
 * for OPTIONS or for "*" whose pattern is all rest catches what more special patterns leave. Within
 * one pattern the method's own row wins, then for HEAD the row of GET, then the row for "*". */
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

#define ROUTER_PARAMS_MAX 16  /* parameters in one pattern */
#define ROUTER_METHODS_MAX 48 /* different methods in one application; the server knows 34 */

#define ROUTER_UNSAID UINT64_MAX

struct route {
    uint16_t index;        /* 0 … router_count() - 1: its statistics block in the shared table */
    const char *method;    /* "GET" …, "*" any */
    const char *pattern;   /* prefix of the group included; owned by the router */
    const rmd_route *decl; /* the app's row, copied: as long as this header's, whatever the app's */
    const rmd_group *group;   /* likewise; NULL: in the app's own table */
    enum rmd_lane lane;       /* the app's, or the YAML's where it overrides */
    enum rmd_lane runs;       /* where its handler runs now: of RMD_AUTO another one, which changes;
                               else lane */
    uint64_t queue_target_us; /* the YAML's; ROUTER_UNSAID: it does not say */
};

enum router_outcome {
    ROUTER_FOUND,
    ROUTER_NOT_FOUND,   /* 404 */
    ROUTER_NOT_ALLOWED, /* 405: other methods exist for this path */
    ROUTER_OPTIONS,     /* OPTIONS without a route of its own: 204 with Allow */
    ROUTER_BAD_PATH     /* 400: malformed escape, %00, or a path not beginning with "/" */
};

struct router_param {
    const char *name; /* owned by the router */
    struct str value; /* as received, still encoded, so path_decode() is due exactly once, always;
                       * "*rest" without dot segments. Decoded it may hold "/" and "..", which
                       * "%2F" hid: whoever opens files by it must look again */
};

struct router_match {
    const struct route *route; /* ROUTER_FOUND only, else NULL */
    /* Normalised, see rmd_path(). In the target itself when that has no escapes or dot segments,
     * else in the arena with a NUL behind it. */
    struct str path;
    uint32_t n_params;
    struct router_param params[ROUTER_PARAMS_MAX]; /* in the order of the pattern */
};

/* Compiles the tables. Refuses, with the row in *err: bad pattern syntax, bad method (upper-case
 * letters and "-", or "*"), no handler, the same method and pattern twice (parameters may have
 * different names in different rows, but "/:a" and "/:b" are the same pattern), one name twice in a
 * pattern, more than limit_routes rows, unknown lane, timeout_ms over an hour.
 * limit_routes  1 … 65534
 * app           route_size and group_size say how far its rows are apart (0: as in this header)
 * Returns       0; -EINVAL; -ENOMEM */
int router_new(const rmd_app *app, size_t limit_routes, struct router **out_router, struct err *err)
    __attribute__((warn_unused_result));
void router_free(struct router *router);

/* What the settings say of one route, whatever the app declares. */
struct router_override {
    const char *route;   /* "POST /upload": method, blank, pattern with its group's prefix */
    uint64_t body_limit; /* bytes; 0: as declared */
    unsigned timeout_ms; /* up to an hour; 0: as declared */
    bool has_lane;       /* else as declared */
    enum rmd_lane lane;
    const char *pool; /* as long as the router; NULL: as declared */
    bool has_queue_target;
    uint64_t queue_target_us; /* as in struct route */
};

/* Puts an override into the router's copy of the row; before the router serves anything.
 * Returns  0; -EINVAL when the app has no such route, *err names the nearest one */
int router_override(struct router *router, const struct router_override *wanted, struct err *err)
    __attribute__((warn_unused_result));

/* A route of the lane auto runs elsewhere from now on: requests whose handler has not been called.
 * lane  not RMD_AUTO */
void router_move(struct router *router, size_t index, enum rmd_lane lane);

size_t router_count(const struct router *router);
const struct route *router_route(const struct router *router, size_t index);

/* Finds the route of a request.
 * raw_path  the target's path as received: without query, "/…", or "*" for OPTIONS *
 * arena     for the normalised path and the parameters when raw_path has escapes or dot segments
 * Returns   an outcome; -ENOMEM. out_match->path is empty for BAD_PATH and -ENOMEM; params beyond
 *           n_params are not touched
 * Safe      any thread; no allocation and no copy for a path without escapes and dot segments */
int router_match(const struct router *router, struct str method, struct str raw_path,
                 struct arena *arena, struct router_match *out_match);

/* Value of the Allow field ("GET, HEAD, OPTIONS", sorted), for 405 and OPTIONS: the methods of
 * every pattern that matches, HEAD where GET is, OPTIONS always. A row for "*" counts as all
 * methods that the app names and the seven usual ones.
 * path     normalised, as router_match() left it; "*": the methods of all routes
 * Returns  NUL-terminated text in the arena; NULL when memory is refused */
const char *router_allow(const struct router *router, struct str path, struct arena *arena);

#endif
