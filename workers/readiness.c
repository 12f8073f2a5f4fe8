/* See readiness.h. A master that does not answer is told and changes nothing: workers serve without
 * it, and where they don't, their hearts say so. */
#include "workers/readiness.h"

#include <stddef.h>

const char *readiness_judge(const struct readiness_view *view)
{
    if (view->stage == BOARD_LEAVING)
        return "draining: the server stops soon";
    if (view->stage != BOARD_SERVING)
        return "draining: the server stops";
    if (view->ready > 0)
        return NULL;
    return view->hung > 0 ? "all workers hang" : "no worker is ready";
}

bool readiness_is_hung(uint64_t heartbeat_us, uint64_t now_us)
{
    return heartbeat_us < now_us && now_us - heartbeat_us > READINESS_HUNG_US;
}
