/* crashes.c, as it is after somebody has looked into it. */
#include <remuda.h>

static void length(rmd_request *req, rmd_response *res)
{
    const char *key = rmd_header(req, "X-Api-Key");
    rmd_text(res, 200, "%zu bytes, key %s\n", rmd_body(req).len, key ? key : "none");
}

static const rmd_route routes[] = {
    {"POST", "/length", length, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "crashes", .routes = routes);
