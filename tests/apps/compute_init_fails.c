/* No compute worker can start while a file says so: the model, say, can't be loaded. */
#include <remuda.h>

#include <stdlib.h>
#include <unistd.h>

static int compute_init(const char *pool)
{
    if (access("no_model", F_OK) != 0)
        return 0;
    rmd_log(RMD_LOG_ERROR, "no model for %s", pool);
    return 3;
}

static void hello(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "%s\n", rmd_role());
}

static const rmd_route routes[] = {
    {"GET", "/", hello},
    {"GET", "/heavy", hello, .lane = RMD_COMPUTE},
    {0},
};

RMD_APP(.name = "compute_init_fails", .routes = routes, .compute_init = compute_init);
