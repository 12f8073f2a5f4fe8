/* Makes a router's tables out of an application's. Runs once per generation and process, so nothing
 * here is in a hurry; it refuses whatever would otherwise show up as a wrong answer later.
 *
 * Two passes over the rows: the first checks and copies them and collects patterns and methods, so
 * that every table can be allocated at its final size; the second threads the patterns into the
 * trie and enters the routes. What the dispatch table leaves empty is then filled in from "*" and
 * GET. */
#include "http/router_build.h"

#include <errno.h>

#include "base/err.h"
#include "base/panic.h"
#include "http/grammar.h"

#define ROUTES_MAX 65534 /* index + 1 must fit the dispatch table's 16 bits */

_Static_assert(COLUMN_FIRST + ROUTER_METHODS_MAX <= 64, "a column is a bit of endpoint_columns");

/* Always there, so that Allow of a "*" route names them. GET's place is looked up: methods sort. */
static const char *const usual_methods[] = {"DELETE", "GET",  "HEAD", "OPTIONS",
                                            "PATCH",  "POST", "PUT"};

static void *alloc_zero(struct router *r, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    void *p = arena_alloc(&r->arena, total);
    if (p)
        memset(p, 0, total);
    return p;
}

static int refuse_memory(struct err *err)
{
    return err_set(err, ENOMEM, "no memory for the routes");
}

/* Copies a row of a table whose rows are `stride` apart in the app: what an older header lacks is
 * zero, what a newer one has more is left. */
static void copy_row(void *out, size_t bytes, const void *rows, size_t stride, size_t i)
{
    if (stride == 0)
        stride = bytes;
    memset(out, 0, bytes);
    memcpy(out, (const char *)rows + i * stride, stride < bytes ? stride : bytes);
}

static bool is_last_route(const rmd_route *row)
{
    return !row->method && !row->pattern && !row->handler;
}

static bool is_last_group(const rmd_group *row)
{
    return !row->prefix && !row->routes && !row->before && !row->after;
}

/* ---- pass one: rows ---- */

static size_t count_routes(const rmd_app *app, const rmd_route *rows)
{
    size_t n = 0;
    rmd_route row;
    while (rows) {
        copy_row(&row, sizeof row, rows, app->route_size, n);
        if (is_last_route(&row))
            break;
        n++;
    }
    return n;
}

static int check_method(const char *method, struct err *err)
{
    if (!method || !*method)
        return err_set(err, EINVAL, "no method; \"*\" stands for any");
    if (strcmp(method, "*") == 0)
        return 0;
    for (const char *at = method; *at; at++) {
        if ((*at < 'A' || *at > 'Z') && *at != '-')
            return err_set(err, EINVAL,
                           "method \"%s\": methods are upper-case letters and \"-\", or \"*\"",
                           method);
    }
    if (!grammar_knows_method(str_of(method)))
        return err_set(err, EINVAL,
                       "method \"%s\": the server answers it 501 before any route is looked for",
                       method);
    return 0;
}

static int check_row(const rmd_route *row, struct err *err)
{
    int rc = check_method(row->method, err);
    if (rc < 0)
        return rc;
    if (!row->pattern)
        return err_set(err, EINVAL, "no pattern");
    if (!row->handler)
        return err_set(err, EINVAL, "no handler");
    if ((int)row->lane < RMD_INLINE || (int)row->lane > RMD_AUTO)
        return err_set(err, EINVAL,
                       "lane %d; lanes are RMD_INLINE, RMD_IO, RMD_COMPUTE and RMD_AUTO",
                       (int)row->lane);
    if (row->timeout_ms > ROUTER_TIMEOUT_MAX_MS)
        return err_set(err, EINVAL, "timeout_ms %u; allowed are 0 (the server's setting) to %u",
                       row->timeout_ms, ROUTER_TIMEOUT_MAX_MS);
    return 0;
}

static int check_prefix(const char *prefix, struct err *err)
{
    size_t len = strlen(prefix);
    if (len == 0)
        return 0;
    if (prefix[0] != '/' || prefix[len - 1] == '/')
        return err_set(err, EINVAL,
                       "prefix \"%s\" must be empty, or begin with \"/\" and not end with one",
                       prefix);
    return 0;
}

static void add_method(struct router *r, const char *method)
{
    if (strcmp(method, "*") == 0)
        return;
    struct str name = str_of(method);
    size_t at = 0;
    while (at < r->n_methods && strcmp(r->methods[at].p, method) < 0)
        at++;
    if (at < r->n_methods && str_is_equal(r->methods[at], name))
        return;
    RMD_ASSERT(r->n_methods < ROUTER_METHODS_MAX); /* check_method() has let in fewer */
    memmove(&r->methods[at + 1], &r->methods[at], (r->n_methods - at) * sizeof r->methods[0]);
    r->methods[at] = name;
    r->n_methods++;
}

/* One row into r->routes. Its texts stay the app's; only the pattern is put together here. */
static int add_row(struct router *r, const rmd_group *group, const rmd_route *row, struct err *err)
{
    int rc = check_row(row, err);
    if (rc < 0)
        return rc;
    add_method(r, row->method);
    const char *prefix = group && group->prefix ? group->prefix : "";
    rmd_route *decl = alloc_zero(r, 1, sizeof *decl);
    char *pattern = arena_printf(&r->arena, NULL, "%s%s", prefix, row->pattern);
    if (!decl || !pattern)
        return refuse_memory(err);
    *decl = *row;
    r->routes[r->n_routes] = (struct route){
        .index = (uint16_t)r->n_routes,
        .method = row->method,
        .pattern = pattern,
        .decl = decl,
        .group = group,
        .lane = row->lane,
        .runs = row->lane == RMD_AUTO ? RMD_IO : row->lane,
        .queue_target_us = ROUTER_UNSAID,
    };
    r->n_routes++;
    return 0;
}

/* where  "" or "groups[2]." */
static int add_rows(struct router *r, const rmd_app *app, const rmd_group *group,
                    const rmd_route *rows, const char *where, struct err *err)
{
    size_t n = count_routes(app, rows);
    for (size_t i = 0; i < n; i++) {
        rmd_route row;
        copy_row(&row, sizeof row, rows, app->route_size, i);
        int rc = add_row(r, group, &row, err);
        if (rc < 0) {
            (void)err_wrap(err, "%sroutes[%zu] %s %s", where, i, row.method ? row.method : "?",
                           row.pattern ? row.pattern : "?"); /* returns rc as well */
            return rc;
        }
    }
    return 0;
}

static size_t count_groups(const rmd_app *app)
{
    size_t n = 0;
    rmd_group group;
    while (app->groups) {
        copy_row(&group, sizeof group, app->groups, app->group_size, n);
        if (is_last_group(&group))
            break;
        n++;
    }
    return n;
}

static int add_groups(struct router *r, const rmd_app *app, rmd_group *groups, size_t n_groups,
                      struct err *err)
{
    for (size_t i = 0; i < n_groups; i++) {
        char where[32];
        (void)snprintf(where, sizeof where, "groups[%zu].", i);
        int rc = check_prefix(groups[i].prefix ? groups[i].prefix : "", err);
        if (rc < 0) {
            (void)err_wrap(err, "groups[%zu]", i); /* returns rc as well */
            return rc;
        }
        rc = add_rows(r, app, &groups[i], groups[i].routes, where, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Copies all rows and learns the methods. */
static int collect(struct router *r, const rmd_app *app, size_t limit_routes, struct err *err)
{
    size_t n_groups = count_groups(app);
    rmd_group *groups = alloc_zero(r, n_groups, sizeof *groups);
    if (!groups)
        return refuse_memory(err);
    size_t n = count_routes(app, app->routes);
    for (size_t i = 0; i < n_groups; i++) {
        copy_row(&groups[i], sizeof groups[i], app->groups, app->group_size, i);
        n += count_routes(app, groups[i].routes);
    }
    size_t limit = limit_routes < ROUTES_MAX ? limit_routes : ROUTES_MAX;
    if (n > limit)
        return err_set(err, EINVAL, "%zu routes; limit_routes allows %zu", n, limit);

    r->routes = alloc_zero(r, n, sizeof *r->routes);
    if (!r->routes)
        return refuse_memory(err);
    for (size_t i = 0; i < sizeof usual_methods / sizeof usual_methods[0]; i++)
        add_method(r, usual_methods[i]);
    int rc = add_rows(r, app, NULL, app->routes, "", err);
    return rc < 0 ? rc : add_groups(r, app, groups, n_groups, err);
}

/* ---- pass two: trie and dispatch table ---- */

static int alloc_tables(struct router *r, struct err *err)
{
    size_t nodes_max = 1;
    for (size_t i = 0; i < r->n_routes; i++) {
        for (const char *at = r->routes[i].pattern; *at; at++)
            nodes_max += *at == '/';
    }
    unsigned bits = 4;
    while ((size_t)1 << bits < 2 * nodes_max)
        bits++;
    if (bits > 31)
        return refuse_memory(err);
    r->edges_shift = 32 - bits;
    r->edges_mask = (UINT32_C(1) << bits) - 1;
    r->n_columns = COLUMN_FIRST + r->n_methods;
    r->n_nodes = 1;
    r->edges = alloc_zero(r, (size_t)1 << bits, sizeof *r->edges);
    r->nodes = alloc_zero(r, nodes_max, sizeof *r->nodes);
    r->params = alloc_zero(r, r->n_routes, sizeof *r->params);
    r->dispatch = alloc_zero(r, (r->n_routes + 1) * r->n_columns, sizeof *r->dispatch);
    r->endpoint_columns = alloc_zero(r, r->n_routes + 1, sizeof *r->endpoint_columns);
    if (!r->edges || !r->nodes || !r->params || !r->dispatch || !r->endpoint_columns)
        return refuse_memory(err);
    return 0;
}

static uint32_t add_edge(struct router *r, uint32_t parent, struct str text)
{
    struct router_segment s = {text.p, text.len, ROUTER_HASH_SEED};
    for (size_t i = 0; i < text.len; i++)
        s.hash = router_hash_octet(s.hash, text.p[i]);
    uint32_t child = router_find_edge(r, parent, &s);
    if (child)
        return child;
    child = r->n_nodes++;
    r->nodes[child] = (struct router_node){.parent = parent, .hash = s.hash, .text = text};
    r->nodes[parent].has_static = true;
    uint32_t place = router_edge_place(r, parent, s.hash);
    while (r->edges[place])
        place = (place + 1) & r->edges_mask;
    r->edges[place] = child;
    return child;
}

/* Finds or makes the endpoint of a pattern. */
static uint16_t *thread_pattern(struct router *r, const struct pattern *pattern)
{
    uint32_t node = 0;
    for (size_t i = 0; i < pattern->n_segments; i++) {
        const struct pattern_segment *s = &pattern->segments[i];
        if (s->kind == PATTERN_REST)
            return &r->nodes[node].rest;
        if (s->kind == PATTERN_STATIC) {
            node = add_edge(r, node, s->text);
        } else {
            if (!r->nodes[node].param)
                r->nodes[node].param = r->n_nodes++;
            node = r->nodes[node].param;
        }
    }
    return &r->nodes[node].endpoint;
}

static int keep_params(struct router *r, struct router_params *params,
                       const struct pattern *pattern, struct err *err)
{
    params->places = alloc_zero(r, pattern->n_params, sizeof *params->places);
    if (!params->places)
        return refuse_memory(err);
    for (size_t i = 0; i < pattern->n_segments; i++) {
        const struct pattern_segment *s = &pattern->segments[i];
        if (s->kind == PATTERN_STATIC)
            continue;
        const char *name = arena_strndup(&r->arena, s->text.p, s->text.len);
        if (!name)
            return refuse_memory(err);
        params->places[params->n++] =
            (struct router_place){name, (uint32_t)i, s->kind == PATTERN_REST};
    }
    return 0;
}

static size_t column_of(const struct router *r, const char *method)
{
    size_t i = 0;
    while (i < r->n_methods && strcmp(r->methods[i].p, method) != 0)
        i++;
    return i < r->n_methods ? COLUMN_FIRST + i : COLUMN_OTHER; /* "*" is none of them */
}

static int enter_route(struct router *r, size_t index, struct err *err)
{
    const struct route *route = &r->routes[index];
    struct pattern pattern;
    int rc = pattern_parse(route->pattern, &pattern, err);
    if (rc == 0)
        rc = keep_params(r, &r->params[index], &pattern, err);
    if (rc < 0)
        return rc;
    uint16_t *endpoint = thread_pattern(r, &pattern);
    if (*endpoint == 0)
        *endpoint = ++r->n_endpoints;
    uint16_t *cell = &r->dispatch[*endpoint * r->n_columns + column_of(r, route->method)];
    if (*cell != 0)
        return err_set(err, EINVAL, "the same as route %s %s", r->routes[*cell - 1].method,
                       r->routes[*cell - 1].pattern);
    *cell = (uint16_t)(index + 1);
    return 0;
}

/* HEAD from GET, then all that is empty from "*". */
static void fill_dispatch(struct router *r)
{
    size_t get = column_of(r, "GET");
    size_t head = column_of(r, "HEAD");
    r->column_get = get;
    for (size_t e = 1; e <= r->n_endpoints; e++) {
        uint16_t *row = &r->dispatch[e * r->n_columns];
        if (!row[head])
            row[head] = row[get];
        for (size_t c = COLUMN_OTHER; c < r->n_columns; c++) {
            if (!row[c])
                row[c] = row[COLUMN_OTHER];
            if (row[c])
                r->endpoint_columns[e] |= UINT64_C(1) << c;
        }
    }
}

int router_build_tables(struct router *r, const rmd_app *app, size_t limit_routes, struct err *err)
{
    int rc = collect(r, app, limit_routes, err);
    if (rc == 0)
        rc = alloc_tables(r, err);
    for (size_t i = 0; rc == 0 && i < r->n_routes; i++) {
        rc = enter_route(r, i, err);
        if (rc < 0)
            (void)err_wrap(err, "route %s %s", r->routes[i].method,
                           r->routes[i].pattern); /* returns rc as well */
    }
    if (rc == 0)
        fill_dispatch(r);
    return rc;
}
