/* The router: a trie of path segments whose static edges all lie in one hash table.
 *
 * A match goes over the path once, cutting it into segments, hashing them and walking down the trie
 * by the first choice at each node; nearly every request ends there, found. One that does not is
 * searched for again with backtracking, over the segments that were cut. The cost does not depend
 * on the number of routes, and no path makes backtracking explode: a node has one parent and one
 * depth, so it is visited at most once.
 *
 * Which route answers which method is worked out when the router is built: every pattern is an
 * endpoint, a row of the dispatch table with a column for each method that the app names; GET's
 * route is already copied to HEAD and that of "*" to all columns without one.
 *
 * Paths with escapes or dot segments go through path_resolve() and match on the decoded segments;
 * the parameters are cut from the encoded ones at the same depth, which is why they decode exactly
 * once (see http/path.h). How the tables are made is in http/router_build.c. */
#include "http/router.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/panic.h"
#include "http/path.h"
#include "http/router_build.h"

static __attribute__((noinline)) size_t search_column(const struct router *r, struct str method)
{
    for (size_t i = 0; i < r->n_methods; i++) {
        if (str_is_equal(r->methods[i], method))
            return COLUMN_FIRST + i;
    }
    return COLUMN_OTHER;
}

/* Column of a method, COLUMN_OTHER when the app does not name it. */
static inline size_t find_column(const struct router *r, struct str method)
{
    bool is_get = method.len == 3 && method.p[0] == 'G' && method.p[1] == 'E' && method.p[2] == 'T';
    return is_get ? r->column_get : search_column(r, method);
}

/* ---- matching ---- */

#define NOWHERE UINT32_MAX

static inline uint32_t first_choice(const struct router *r, uint32_t index,
                                    const struct router_segment *segment)
{
    const struct router_node *node = &r->nodes[index];
    uint32_t child = node->has_static ? router_find_edge(r, index, segment) : 0;
    if (!child && segment->len > 0)
        child = node->param;
    return child ? child : NOWHERE;
}

/* Splits at slashes. Stores the first PATTERN_SEGMENTS_MAX segments, counts all, and walks along.
 * is_raw   stops at an escape or a dot segment: then the path must be resolved first
 * Returns  whether it got to the end. *out_node: where first choices lead, or NOWHERE */
static inline __attribute__((always_inline)) bool split_path(const struct router *r,
                                                             struct str path, bool is_raw,
                                                             struct router_segment *segments,
                                                             size_t *out_n, uint32_t *out_node)
{
    const char *end = path.p + path.len;
    size_t n = 0;
    uint32_t node = 0;
    for (const char *at = path.p; at < end; n++) {
        const char *start = ++at;
        uint32_t hash = ROUTER_HASH_SEED;
        for (; at < end && *at != '/'; at++) {
            if (is_raw && *at == '%')
                return false;
            hash = router_hash_octet(hash, *at);
        }
        size_t len = (size_t)(at - start);
        if (is_raw && len > 0 && *start == '.' && (len == 1 || (len == 2 && start[1] == '.')))
            return false;
        struct router_segment segment = {start, len, hash};
        if (n < PATTERN_SEGMENTS_MAX)
            segments[n] = segment;
        if (node != NOWHERE)
            node = first_choice(r, node, &segment);
    }
    *out_n = n;
    *out_node = node;
    return true;
}

struct search {
    const struct router *router;
    const struct router_segment *segments;
    size_t n_segments;
    size_t column;    /* COLUMN_NONE: accepts nothing, so visits every pattern that matches */
    uint64_t columns; /* in which the patterns visited have routes; 0: no pattern matched */
};

static uint32_t try_endpoint(struct search *s, uint16_t endpoint)
{
    const struct router *r = s->router;
    s->columns |= r->endpoint_columns[endpoint];
    return r->dispatch[endpoint * r->n_columns + s->column];
}

/* Best route from a node on. Recursion ends at the deepest pattern, at most PATTERN_SEGMENTS_MAX.
 * Returns  its index + 1; 0: none */
static uint32_t search_node(struct search *s, uint32_t index, size_t depth)
{
    const struct router_node *node = &s->router->nodes[index];
    if (depth == s->n_segments)
        return try_endpoint(s, node->endpoint);
    const struct router_segment *segment = &s->segments[depth];
    uint32_t found = 0;
    if (node->has_static) {
        uint32_t child = router_find_edge(s->router, index, segment);
        found = child ? search_node(s, child, depth + 1) : 0;
    }
    if (!found && node->param && segment->len > 0)
        found = search_node(s, node->param, depth + 1);
    return found ? found : try_endpoint(s, node->rest);
}

/* Cuts the parameters of a route from the encoded path that the segments are of. */
static void take_params(const struct router_params *params, struct str encoded,
                        const struct router_segment *segments, struct router_match *match)
{
    for (uint32_t i = 0; i < params->n; i++) {
        const struct router_place *place = &params->places[i];
        const struct router_segment *s = &segments[place->depth];
        size_t len = place->is_rest ? (size_t)(encoded.p + encoded.len - s->p) : s->len;
        match->params[i] = (struct router_param){place->name, str_make(s->p, len)};
    }
    match->n_params = params->n;
}

/* The long way, for what first choices did not find.
 * Returns  index + 1; 0: none, *out_why says why */
static __attribute__((noinline)) uint32_t search_all(const struct router *router, struct str method,
                                                     const struct router_segment *segments,
                                                     size_t n_segments, int *out_why)
{
    struct search search = {router, segments, n_segments, find_column(router, method), 0};
    uint32_t found = search_node(&search, 0, 0);
    if (search.columns == 0)
        *out_why = ROUTER_NOT_FOUND;
    else
        *out_why = str_is_equal(method, STR("OPTIONS")) ? ROUTER_OPTIONS : ROUTER_NOT_ALLOWED;
    return found;
}

/* A path that can't be taken as it stands: matches on the decoded segments, cuts parameters from
 * the encoded ones. */
static __attribute__((noinline)) int match_resolved(const struct router *router, struct str method,
                                                    struct str raw_path, struct arena *arena,
                                                    struct router_segment *segments,
                                                    struct router_match *out_match)
{
    struct str path = STR("");
    struct str encoded;
    size_t n_segments;
    uint32_t node;
    int rc = path_resolve(raw_path, arena, &path, &encoded);
    out_match->path = path;
    if (rc < 0)
        return rc == -EINVAL ? ROUTER_BAD_PATH : rc;
    (void)split_path(router, path, false, segments, &n_segments, &node);
    int why;
    uint32_t found = search_all(router, method, segments, n_segments, &why);
    if (!found)
        return why;
    out_match->route = &router->routes[found - 1];
    (void)split_path(router, encoded, false, segments, &n_segments, &node);
    take_params(&router->params[found - 1], encoded, segments, out_match);
    return ROUTER_FOUND;
}

static __attribute__((noinline)) int match_asterisk(struct str method, struct str raw_path,
                                                    struct router_match *out_match)
{
    out_match->path = STR("");
    if (!str_is_equal(method, STR("OPTIONS")) || !str_is_equal(raw_path, STR("*")))
        return ROUTER_BAD_PATH;
    out_match->path = raw_path;
    return ROUTER_OPTIONS;
}

int router_match(const struct router *router, struct str method, struct str raw_path,
                 struct arena *arena, struct router_match *out_match)
{
    out_match->route = NULL;
    out_match->n_params = 0;
    if (raw_path.len == 0 || raw_path.p[0] != '/')
        return match_asterisk(method, raw_path, out_match);
    struct router_segment segments[PATTERN_SEGMENTS_MAX];
    size_t n_segments;
    uint32_t node;
    if (!split_path(router, raw_path, true, segments, &n_segments, &node))
        return match_resolved(router, method, raw_path, arena, segments, out_match);

    out_match->path = raw_path;
    uint32_t found = 0;
    if (node != NOWHERE)
        found = router->dispatch[router->nodes[node].endpoint * router->n_columns +
                                 find_column(router, method)];
    if (!found) {
        int why;
        found = search_all(router, method, segments, n_segments, &why);
        if (!found)
            return why;
    }
    out_match->route = &router->routes[found - 1];
    const struct router_params *params = &router->params[found - 1];
    if (params->n > 0)
        take_params(params, raw_path, segments, out_match);
    return ROUTER_FOUND;
}

/* ---- Allow ---- */

const char *router_allow(const struct router *router, struct str path, struct arena *arena)
{
    uint64_t columns = 0;
    if (path.len > 0 && path.p[0] == '/') {
        struct router_segment segments[PATTERN_SEGMENTS_MAX];
        size_t n_segments;
        uint32_t node;
        (void)split_path(router, path, false, segments, &n_segments, &node);
        struct search search = {router, segments, n_segments, COLUMN_NONE, 0};
        (void)search_node(&search, 0, 0);
        columns = search.columns;
    } else {
        for (uint32_t i = 0; i <= router->n_endpoints; i++)
            columns |= router->endpoint_columns[i];
    }

    size_t room = 1;
    for (size_t i = 0; i < router->n_methods; i++)
        room += router->methods[i].len + 2;
    char *text = arena_alloc_text(arena, room);
    if (!text)
        return NULL;
    char *at = text;
    for (size_t i = 0; i < router->n_methods; i++) {
        struct str name = router->methods[i];
        if (!(columns & UINT64_C(1) << (COLUMN_FIRST + i)) && !str_is_equal(name, STR("OPTIONS")))
            continue;
        if (at > text) {
            memcpy(at, ", ", 2);
            at += 2;
        }
        memcpy(at, name.p, name.len);
        at += name.len;
    }
    *at = '\0';
    return text;
}

/* ---- life ---- */

int router_new(const rmd_app *app, size_t limit_routes, struct router **out_router, struct err *err)
{
    struct router *router = calloc(1, sizeof *router);
    if (!router)
        return err_set(err, ENOMEM, "no memory for the routes");
    arena_init(&router->arena, 4096);
    int rc = router_build_tables(router, app, limit_routes, err);
    if (rc < 0)
        router_free(router);
    else
        *out_router = router;
    return rc;
}

void router_free(struct router *router)
{
    if (!router)
        return;
    arena_fini(&router->arena);
    free(router);
}

size_t router_count(const struct router *router)
{
    return router->n_routes;
}

const struct route *router_route(const struct router *router, size_t index)
{
    return index < router->n_routes ? &router->routes[index] : NULL;
}

/* ---- what the settings override ---- */

/* Is this how the settings name the route? */
static bool is_named(const struct route *route, const char *name)
{
    size_t len = strlen(route->method);
    return strncmp(name, route->method, len) == 0 && name[len] == ' ' &&
           strcmp(name + len + 1, route->pattern) == 0;
}

/* Returns  NULL: there is nothing to compare, or only texts longer than str_distance() takes */
static const struct route *find_nearest(const struct router *r, const char *name)
{
    char text[64];               /* with the NUL, as long as str_distance() takes */
    unsigned best = sizeof text; /* farther than any two such texts are */
    const struct route *near = NULL;
    for (size_t i = 0; i < r->n_routes; i++) {
        const struct route *route = &r->routes[i];
        int n = snprintf(text, sizeof text, "%s %s", route->method, route->pattern);
        if (n < 0 || (size_t)n >= sizeof text)
            continue;
        unsigned distance = str_distance(name, text);
        if (distance < best) {
            best = distance;
            near = route;
        }
    }
    return near;
}

void router_move(struct router *router, size_t index, enum rmd_lane lane)
{
    RMD_ASSERT(lane != RMD_AUTO && index < router->n_routes);
    if (router->routes[index].lane == RMD_AUTO)
        router->routes[index].runs = lane;
}

int router_override(struct router *router, const struct router_override *wanted, struct err *err)
{
    RMD_ASSERT(wanted->timeout_ms <= ROUTER_TIMEOUT_MAX_MS);
    for (size_t i = 0; i < router->n_routes; i++) {
        if (!is_named(&router->routes[i], wanted->route))
            continue;
        rmd_route *row = (rmd_route *)(uintptr_t)router->routes[i].decl; /* of add_row() */
        if (wanted->body_limit > 0)
            row->body_limit = (size_t)wanted->body_limit;
        if (wanted->timeout_ms > 0)
            row->timeout_ms = wanted->timeout_ms;
        if (wanted->pool)
            row->pool = wanted->pool;
        if (wanted->has_lane) {
            router->routes[i].lane = wanted->lane;
            router->routes[i].runs = wanted->lane == RMD_AUTO ? RMD_IO : wanted->lane;
        }
        if (wanted->has_queue_target)
            router->routes[i].queue_target_us = wanted->queue_target_us;
        return 0;
    }
    const struct route *near = find_nearest(router, wanted->route);
    if (!near)
        return err_set(err, EINVAL,
                       "the app has no route \"%.100s\"; `remuda routes` lists its own",
                       wanted->route);
    return err_set(err, EINVAL,
                   "the app has no route \"%.100s\"; the nearest is \"%s %s\", `remuda routes` "
                   "lists all",
                   wanted->route, near->method, near->pattern);
}
