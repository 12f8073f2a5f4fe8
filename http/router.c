/* The router: a trie of path segments whose static edges all lie in one hash table.
 *
 * A match splits the path once, hashing each segment on the way, then walks the trie without looking
 * at the octets again but for one comparison per static edge. The cost does not depend on the number
 * of routes. Each node is visited at most once a match (it has one parent and one depth), so no path
 * makes backtracking explode.
 *
 * Which route answers which method is worked out when the router is built: every pattern is an
 * endpoint, a row of the dispatch table with a column for each method that the app names; GET's route
 * is already copied to HEAD and that of "*" to all columns without one.
 *
 * Paths with escapes or dot segments go through path_resolve() and match on the decoded segments; the
 * parameters are cut from the encoded ones at the same depth, which is why they decode exactly once
 * (see http/path.h). How the tables are made is in http/router_build.c. */
#include "http/router.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/err.h"
#include "http/path.h"
#include "http/router_build.h"

/* Column of a method, COLUMN_OTHER when the app does not name it. */
static inline size_t find_column(const struct router *r, struct str method)
{
    if (method.len == 3 && method.p[0] == 'G' && method.p[1] == 'E' && method.p[2] == 'T')
        return r->column_get;
    for (size_t i = 0; i < r->n_methods; i++) {
        if (str_is_equal(r->methods[i], method))
            return COLUMN_FIRST + i;
    }
    return COLUMN_OTHER;
}

/* ---- matching ---- */

/* Splits at slashes. Stores the first PATTERN_SEGMENTS_MAX segments, counts all.
 * is_raw   stops at an escape or a dot segment: then the path must be resolved first
 * Returns  whether it got to the end */
static inline __attribute__((always_inline)) bool
split_path(struct str path, bool is_raw, struct router_segment *segments, size_t *out_n)
{
    const char *end = path.p + path.len;
    size_t n = 0;
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
        if (n < PATTERN_SEGMENTS_MAX)
            segments[n] = (struct router_segment){start, len, hash};
    }
    *out_n = n;
    return true;
}

struct search {
    const struct router *router;
    const struct router_segment *segments;
    size_t n_segments;
    size_t column;    /* COLUMN_NONE: accepts nothing, so visits every pattern that matches */
    uint64_t columns; /* in which the patterns visited have routes; 0: no pattern matched */
};

static inline uint32_t try_endpoint(struct search *s, uint16_t endpoint)
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

/* A path that can't be taken as it stands: matches on the decoded segments, cuts from the encoded. */
static __attribute__((noinline)) int resolve(struct str raw, struct arena *arena,
                                             struct router_segment *segments, size_t *out_n,
                                             struct str *out_path, struct str *out_encoded)
{
    int rc = path_resolve(raw, arena, out_path, out_encoded);
    if (rc == 0)
        (void)split_path(*out_path, false, segments, out_n);
    return rc;
}

int router_match(const struct router *router, struct str method, struct str raw_path,
                 struct arena *arena, struct router_match *out_match)
{
    out_match->route = NULL;
    out_match->n_params = 0;
    bool is_options = str_is_equal(method, STR("OPTIONS"));
    if (raw_path.len == 0 || raw_path.p[0] != '/') {
        if (!is_options || !str_is_equal(raw_path, STR("*")))
            return ROUTER_BAD_PATH;
        out_match->path = raw_path;
        return ROUTER_OPTIONS;
    }

    struct router_segment segments[PATTERN_SEGMENTS_MAX];
    size_t n_segments;
    struct str encoded = raw_path;
    out_match->path = raw_path;
    bool is_resolved = !split_path(raw_path, true, segments, &n_segments);
    if (is_resolved) {
        int rc = resolve(raw_path, arena, segments, &n_segments, &out_match->path, &encoded);
        if (rc < 0)
            return rc == -EINVAL ? ROUTER_BAD_PATH : rc;
    }

    struct search search = {router, segments, n_segments, find_column(router, method), 0};
    uint32_t found = search_node(&search, 0, 0);
    if (found) {
        const struct router_params *params = &router->params[found - 1];
        out_match->route = &router->routes[found - 1];
        if (is_resolved && params->n > 0)
            (void)split_path(encoded, false, segments, &n_segments);
        if (params->n > 0)
            take_params(params, encoded, segments, out_match);
        return ROUTER_FOUND;
    }
    if (search.columns == 0)
        return ROUTER_NOT_FOUND;
    return is_options ? ROUTER_OPTIONS : ROUTER_NOT_ALLOWED;
}

/* ---- Allow ---- */

const char *router_allow(const struct router *router, struct str path, struct arena *arena)
{
    uint64_t columns = 0;
    if (path.len > 0 && path.p[0] == '/') {
        struct router_segment segments[PATTERN_SEGMENTS_MAX];
        size_t n_segments;
        (void)split_path(path, false, segments, &n_segments);
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
