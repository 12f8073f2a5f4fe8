/* See lanes.h. Where there are no compute workers, their routes run on threads, which wait better
 * than a loop: so it is in the one process of --single, where a debugger should find the handler.
 * Where there are, they run nowhere else, since here nothing would limit them. */
#include "workers/lanes.h"

#include "workers/web_compute.h"
#include "workers/web_io.h"

enum conn_lane lanes_choose(void *owner, struct rmd_request *req)
{
    struct web *web = owner;
    bool is_task = (web->compute || web->has_pools) && req->match.route->lane == RMD_COMPUTE;
    if (mounts_choose(&web->mounts, req)) /* a mount wins over the route */
        return CONN_LANE_LOOP;
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
