/* See pools.h. Names are looked up once a route, when the app is loaded or a worker starts: a
 * request goes by numbers. */
#include "workers/pools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "config/settings.h"

_Static_assert(SETTINGS_POOLS_MAX <= 32, "a bit for each");

static int find(const struct settings *settings, const char *name)
{
    const struct setting_pools *pools = &settings->compute_pools;
    for (size_t i = 0; i < pools->n; i++)
        if (strcmp(pools->items[i].name, name ? name : "default") == 0)
            return (int)i;
    return POOLS_NONE;
}

int pools_of_route(const struct settings *settings, const struct route *route)
{
    return route->lane == RMD_COMPUTE ? find(settings, route->decl->pool) : POOLS_NONE;
}

/* "default, images" */
static void list_names(const struct settings *settings, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < settings->compute_pools.n && len < cap; i++) {
        const char *name = settings->compute_pools.items[i].name;
        int n = snprintf(out + len, cap - len, "%s%s", i > 0 ? ", " : "", name);
        len += n > 0 ? (size_t)n : 0;
    }
}

int pools_check(const struct settings *settings, const struct router *router, struct err *err)
{
    for (size_t i = 0; i < router_count(router) && settings->compute_pools.n > 0; i++) {
        const struct route *route = router_route(router, i);
        const char *name = route->decl->pool;
        char names[256];
        if ((route->lane != RMD_COMPUTE && route->lane != RMD_AUTO) || find(settings, name) >= 0)
            continue;
        list_names(settings, names, sizeof names);
        return err_set(err, EINVAL,
                       "route \"%s %s\" is of pool \"%.40s\", which the settings don't have; there "
                       "is %s: name it under `pools`, or give the route another one",
                       route->method, route->pattern, name ? name : "default", names);
    }
    return 0;
}

uint32_t pools_in_use(const struct settings *settings, const struct router *router)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < router_count(router); i++) {
        int pool = pools_of_route(settings, router_route(router, i));
        if (pool >= 0)
            bits |= UINT32_C(1) << pool;
    }
    return bits;
}

/* NULL: of none. */
static const char *name_of(const struct router *router, size_t i)
{
    const struct route *route = router_route(router, i);
    if (route->lane != RMD_COMPUTE)
        return NULL;
    return route->decl->pool ? route->decl->pool : "default";
}

static bool is_first_of_pool(const struct router *router, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        const char *name = name_of(router, i);
        if (name && strcmp(name, name_of(router, at)) == 0)
            return false;
    }
    return true;
}

int pools_tell(const struct router *router, int (*hook)(const char *pool), const char *what,
               struct err *err)
{
    for (size_t i = 0; hook && i < router_count(router); i++) {
        const char *name = name_of(router, i);
        int rc = name && is_first_of_pool(router, i) ? hook(name) : 0;
        if (rc != 0)
            return err_set(err, ECANCELED, "the app's %s returned %d for pool %s", what, rc, name);
    }
    return 0;
}
