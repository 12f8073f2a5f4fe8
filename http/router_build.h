/* The inside of a router: its tables, and how they are made. For router.c and router_build.c. */
#ifndef REMUDA_HTTP_ROUTER_BUILD_H
#define REMUDA_HTTP_ROUTER_BUILD_H

#include "base/arena.h"
#include "http/pattern.h"
#include "http/router.h"

_Static_assert(ROUTER_PARAMS_MAX == PATTERN_PARAMS_MAX, "a match holds what a pattern may have");

#define ROUTER_TIMEOUT_MAX_MS 3600000U /* as remuda.h promises */

/* Columns of the dispatch table: methods[i] is column COLUMN_FIRST + i. */
/* always empty · methods that nobody named, and "*" · methods[0] */
enum { COLUMN_NONE, COLUMN_OTHER, COLUMN_FIRST };

struct router_node {
    uint32_t parent;
    uint32_t hash;     /* of text */
    struct str text;   /* the static segment that leads here */
    uint32_t param;    /* node behind a parameter; 0: none */
    uint16_t rest;     /* endpoint of "*name" here; 0: none */
    uint16_t endpoint; /* of the pattern that ends here; 0: none */
    bool has_static;
};

struct router_place {
    const char *name;
    uint32_t depth; /* which segment of the path */
    bool is_rest;
};

struct router_params {
    uint32_t n;
    struct router_place *places;
};

struct router {
    struct arena arena; /* everything below */
    size_t n_routes;
    struct route *routes;
    struct router_params *params; /* of each route */
    uint32_t n_nodes;             /* nodes[0] is the root */
    struct router_node *nodes;
    uint32_t edges_shift; /* the hash's top 32 - shift bits are the index */
    uint32_t edges_mask;
    uint32_t
        *edges; /* open addressing, at most half full: node at the end of a static edge; 0: free */
    size_t n_methods;
    struct str methods[ROUTER_METHODS_MAX]; /* sorted */
    size_t column_get;
    size_t n_columns;
    uint16_t n_endpoints;       /* endpoint 0 has no route and stands for "none" */
    uint16_t *dispatch;         /* [endpoint][column]: index of the route + 1; 0: none */
    uint64_t *endpoint_columns; /* [endpoint]: bits of the columns that have a route */
};

struct router_segment {
    const char *p;
    size_t len;
    uint32_t hash;
};

#define ROUTER_HASH_SEED UINT32_C(2166136261) /* FNV-1a: two instructions an octet */

static inline uint32_t router_hash_octet(uint32_t hash, char octet)
{
    return (hash ^ (unsigned char)octet) * UINT32_C(16777619);
}

static inline uint32_t router_edge_place(const struct router *r, uint32_t parent, uint32_t hash)
{
    return ((hash ^ parent * UINT32_C(0x9e3779b1)) * UINT32_C(0x85ebca6b)) >> r->edges_shift;
}

/* Returns the node; 0: there is no such edge. Patterns are the app's, so no peer can fill the table
 * with collisions. */
static inline uint32_t router_find_edge(const struct router *r, uint32_t parent,
                                        const struct router_segment *s)
{
    uint32_t place = router_edge_place(r, parent, s->hash);
    for (; r->edges[place]; place = (place + 1) & r->edges_mask) {
        const struct router_node *node = &r->nodes[r->edges[place]];
        if (node->hash == s->hash && node->parent == parent && node->text.len == s->len &&
            (s->len == 0 || memcmp(node->text.p, s->p, s->len) == 0))
            return r->edges[place];
    }
    return 0;
}

/* Fills a router whose arena is ready and all else zero.
 * Returns  as router_new(); after a failure the router is only good for router_free() */
int router_build_tables(struct router *r, const rmd_app *app, size_t limit_routes, struct err *err)
    __attribute__((warn_unused_result));

#endif
