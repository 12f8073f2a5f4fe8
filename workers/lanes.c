/* See lanes.h. Where there are no compute workers, their routes run on threads, which wait better
 * than a loop: so it is in the one process of --single, where a debugger should find the handler.
 * Where there are, they run nowhere else, since here nothing would limit them. */
#include "workers/lanes.h"

#include "ipc/msg.h"
#include "workers/pool_map.h"
#include "workers/web_compute.h"
#include "workers/web_io.h"

/* What was decided for a route of the lane auto is told to everybody by the table. */
static void show(const struct web *web, const struct route *route)
{
    static const enum profile_lane shown[] = {
        [RMD_INLINE] = PROFILE_INLINE, [RMD_IO] = PROFILE_IO, [RMD_COMPUTE] = PROFILE_COMPUTE};
    enum profile_lane lane = shown[route->runs];
    if (lane == PROFILE_IO && !web->pool)
        lane = PROFILE_INLINE;
    if (lane == PROFILE_COMPUTE && !web->has_pools)
        lane = web->pool ? PROFILE_IO : PROFILE_INLINE;
    atomic_store_explicit(&web->part.routes[route->index].lane, lane, memory_order_relaxed);
}

void lanes_begin(struct web *web)
{
    for (size_t i = 0; i < router_count(web->app->router) && i < web->n_routes; i++) {
        const struct route *route = router_route(web->app->router, i);
        int pool = route->lane == RMD_AUTO && web->has_pools
                       ? pool_map_of_route(web->settings, route)
                       : POOL_MAP_NONE;
        atomic_store_explicit(&web->part.routes[i].auto_pool, (uint32_t)(pool + 1),
                              memory_order_relaxed);
        show(web, route);
    }
}

void lanes_obey(struct web *web, const struct msg *msg)
{
    size_t n = router_count(web->app->router);
    for (size_t i = 0; i < MSG_LANES_ROUTES; i++) {
        size_t index = (size_t)msg->value + i;
        if (msg->value < 0 || index >= n || index >= web->n_routes)
            return;
        const struct route *route = router_route(web->app->router, index);
        bool is_task = ((unsigned)(unsigned char)msg->text[i / 8] >> i % 8 & 1U) != 0;
        if (route->lane != RMD_AUTO || pool_map_of_route(web->settings, route) < 0)
            continue;
        bool leaves = !is_task && route->runs == RMD_COMPUTE;
        router_move(web->app->router, index, is_task ? RMD_COMPUTE : RMD_IO);
        if (leaves) /* and so do those that wait there behind others */
            web_compute_withdraw(web, route->index);
        show(web, route);
    }
}

enum conn_lane lanes_choose(void *owner, struct rmd_request *req)
{
    struct web *web = owner;
    const struct route *route = req->match.route;
    bool is_task = (web->compute || web->has_pools) && route->runs == RMD_COMPUTE;
    if (!web->compute && route->lane == RMD_AUTO)
        is_task = false;                  /* it may run here as well */
    if (mounts_choose(&web->mounts, req)) /* a mount wins over the route */
        return CONN_LANE_LOOP;
    exchange_of(req)->lane = is_task ? PROFILE_COMPUTE : PROFILE_IO;
    if (!is_task)
        return web_io_choose(web, req);
    return web->compute ? web_compute_choose(web, req) : CONN_LANE_FULL; /* it is to come yet */
}

void lanes_send(void *owner, struct exchange *ex)
{
    if (ex->is_task)
        web_compute_send(owner, ex);
    else
        web_io_send(owner, ex);
}

bool lanes_recall(void *owner, struct exchange *ex)
{
    return ex->is_task ? web_compute_recall(owner, ex) : web_io_recall(owner, ex);
}

void lanes_overdue(void *owner, struct exchange *ex)
{
    if (!ex->is_task) /* else it is back already, and only not looked at yet */
        web_io_overdue(owner, ex);
}

uint32_t lanes_count(struct web *web)
{
    return web_io_count(web) + web_compute_count(web);
}
