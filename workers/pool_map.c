/* See pool_map.h. Names are looked up once a route, when the app is loaded or a worker starts: a
 * request goes by numbers. */
#include "workers/pool_map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "config/settings.h"

_Static_assert(SETTINGS_POOLS_MAX <= 32, "a bit for each");

static int find(const struct settings *settings, const char *name)
{
    const struct setting_pools *pools = &settings->compute_pools;
    for (size_t i = 0; i < pools->n; i++)
        if (strcmp(pools->items[i].name, name ? name : "default") == 0)
            return (int)i;
    return POOL_MAP_NONE;
}

/* A handler that takes its body as it comes can't, elsewhere: of lane auto it stays. */
static bool may_run_there(const struct route *route)
{
    return route->lane == RMD_COMPUTE || (route->lane == RMD_AUTO && !route->decl->stream_body);
}

int pool_map_of_route(const struct settings *settings, const struct route *route)
{
    return may_run_there(route) ? find(settings, route->decl->pool) : POOL_MAP_NONE;
}

int pool_map_of_task(const struct settings *settings, const rmd_task *task)
{
    return find(settings, task->pool);
}

/* ---- routes and tasks, in one row ---- */

struct user {
    const struct route *route; /* NULL: a task */
    const rmd_task *task;
    const char *pool;
    bool is_of_pool; /* runs there, or may be moved there */
};

/* Number i. Returns false behind the last. */
static bool take_user(const struct app *app, size_t i, struct user *out)
{
    size_t n = router_count(app->router);
    *out = (struct user){.pool = "default"};
    if (i < n) {
        out->route = router_route(app->router, i);
        out->is_of_pool = may_run_there(out->route);
        if (out->route->decl->pool)
            out->pool = out->route->decl->pool;
        return true;
    }
    out->task = chain_task(app, i - n);
    out->is_of_pool = true;
    if (out->task && out->task->pool)
        out->pool = out->task->pool;
    return out->task != NULL;
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

static int refuse(const struct settings *settings, const struct user *user, struct err *err)
{
    char names[256];
    char who[200];
    list_names(settings, names, sizeof names);
    if (user->route)
        (void)snprintf(who, sizeof who, "route \"%s %s\"", user->route->method,
                       user->route->pattern);
    else
        (void)snprintf(who, sizeof who, "task \"%s\"", user->task->name);
    return err_set(err, EINVAL,
                   "%s is of pool \"%.40s\", which the settings don't have; there is %s: name it "
                   "under `pools`, or give the %s another one",
                   who, user->pool, names, user->route ? "route" : "task");
}

int pool_map_check(const struct settings *settings, const struct app *app, struct err *err)
{
    struct user user;
    for (size_t i = 0; settings->compute_pools.n > 0 && take_user(app, i, &user); i++) {
        bool needs_pool = user.is_of_pool || (user.route && user.route->lane == RMD_AUTO);
        if (needs_pool && find(settings, user.pool) < 0)
            return refuse(settings, &user, err);
    }
    return 0;
}

uint32_t pool_map_in_use(const struct settings *settings, const struct app *app)
{
    struct user user;
    uint32_t bits = 0;
    for (size_t i = 0; take_user(app, i, &user); i++) {
        int pool = user.is_of_pool ? find(settings, user.pool) : POOL_MAP_NONE;
        if (pool >= 0)
            bits |= UINT32_C(1) << pool;
    }
    return bits;
}

/* What a route says that means something to the lane compute alone. */
static void tell_ignored(const struct route *route)
{
    const struct {
        const char *field;
        bool is_said;
    } fields[] = {{"fallback", route->decl->fallback != NULL},
                  {"idempotent", route->decl->idempotent}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].is_said)
            log_warn("field of a route has no effect",
                     "route=\"%s %s\" field=%s why=\"it is of another lane\" "
                     "does=\"say lane: compute\"",
                     route->method, route->pattern, fields[i].field);
}

void pool_map_tell_unused(const struct settings *settings, const struct app *app)
{
    uint32_t bits = pool_map_in_use(settings, app);
    for (size_t i = 0; i < router_count(app->router); i++) {
        const struct route *route = router_route(app->router, i);
        if (!may_run_there(route))
            tell_ignored(route);
        if (route->decl->pool && !may_run_there(route))
            log_warn("pool of a route has no effect",
                     "route=\"%s %s\" pool=%s why=\"it is of another lane\" "
                     "does=\"say lane: compute\"",
                     route->method, route->pattern, route->decl->pool);
    }
    for (size_t i = 1; i < settings->compute_pools.n; i++)
        if (!(bits >> i & 1U))
            log_warn("compute pool is not used",
                     "pool=%s why=\"no route and no task of the app is of it\" "
                     "does=\"start no worker for it\"",
                     settings->compute_pools.items[i].name);
}

static bool is_first_of_pool(const struct app *app, size_t at, const struct user *user)
{
    struct user other;
    for (size_t i = 0; i < at && take_user(app, i, &other); i++)
        if (other.is_of_pool && strcmp(other.pool, user->pool) == 0)
            return false;
    return user->is_of_pool;
}

int pool_map_call(const struct app *app, int (*hook)(const char *pool), const char *what,
                  struct err *err)
{
    struct user user;
    for (size_t i = 0; hook && take_user(app, i, &user); i++) {
        int rc = is_first_of_pool(app, i, &user) ? hook(user.pool) : 0;
        if (rc != 0)
            return err_set(err, ECANCELED, "the app's %s returned %d for pool %s", what, rc,
                           user.pool);
    }
    return 0;
}
